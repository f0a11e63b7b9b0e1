use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use jit_core::gate::authenticate::{CredentialSource, Subject};
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::step_up::CredentialId;
use jit_core::gate::{Gate, Lookup, Verdict, hygiene};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::body::{RequestBody, ResponseBody};
use crate::refuse::{RefusalResponder, refuse};

type Pending = Pin<Box<dyn Future<Output = (Parts, Verdict)> + Send>>;

/// What a request that waits for a look-up will need.
#[derive(Debug)]
pub(crate) struct Carrier<S, R, ReqBody> {
    pub(crate) service: S,
    pub(crate) body: ReqBody,
    pub(crate) responder: R,
    pub(crate) gate: Gate,
}

pin_project! {
    /// The response of a [`Jit`](crate::Jit).
    ///
    /// Nothing is boxed unless a look-up has to be awaited: a credential seen for the first time, or a budget to be reserved.
    pub struct ResponseFuture<S, R, ReqBody>
    where
        S: Service<Request<RequestBody<ReqBody>>>,
    {
        #[pin]
        kind: Kind<S, R, ReqBody, S::Future>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<S, R, ReqBody, F> {
        Forwarded {
            #[pin]
            future: F,
            permit: Option<Permit>,
        },
        Refused {
            response: Option<Response<Bytes>>,
        },
        Lookup {
            pending: Pending,
            carrier: Option<Carrier<S, R, ReqBody>>,
        },
    }
}

impl<S, R, ReqBody> ResponseFuture<S, R, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>>,
    R: RefusalResponder,
{
    pub(crate) fn decided(
        service: &mut S,
        responder: &R,
        gate: &Gate,
        head: Parts,
        body: ReqBody,
        verdict: Verdict,
    ) -> Self {
        Self {
            kind: carry_out(service, responder, gate, head, body, verdict),
        }
    }

    pub(crate) fn lookup(
        carrier: Carrier<S, R, ReqBody>,
        head: Parts,
        peer: Option<IpAddr>,
        lookup: Lookup,
    ) -> Self {
        let gate = carrier.gate.clone();
        let pending = Box::pin(async move {
            let verdict = gate.resolve(&head, peer, lookup).await;
            (head, verdict)
        });
        Self {
            kind: Kind::Lookup {
                pending,
                carrier: Some(carrier),
            },
        }
    }
}

fn carry_out<S, R, ReqBody>(
    service: &mut S,
    responder: &R,
    gate: &Gate,
    mut head: Parts,
    body: ReqBody,
    verdict: Verdict,
) -> Kind<S, R, ReqBody, S::Future>
where
    S: Service<Request<RequestBody<ReqBody>>>,
    R: RefusalResponder,
{
    let refused = |head: &Parts, refusal| Kind::Refused {
        response: Some(refuse(responder, gate, head, refusal)),
    };
    let permit = match verdict {
        Verdict::Admit(admission) => {
            prepare(&mut head, Some(admission.subject), Some(admission.credential));
            head.extensions.insert(admission.permit.clone());
            Some(admission.permit)
        }
        Verdict::Open(passage) => {
            prepare(&mut head, passage.subject, passage.credential);
            None
        }
        Verdict::Control { subject, credential } => {
            let plain = subject.as_deref().cloned();
            prepare(&mut head, subject, None);
            if let Some(subject) = plain {
                head.extensions.insert(subject);
            }
            if let Some(credential) = credential {
                head.extensions.insert(credential);
            }
            None
        }
        Verdict::Refuse(refusal) => return refused(&head, refusal),
        // `Gate::resolve` settles every look-up; if one were left, nothing is known of who asks.
        Verdict::Lookup(_) => return refused(&head, Refusal::AuthenticationUnavailable),
    };
    Kind::Forwarded {
        future: service.call(Request::from_parts(head, RequestBody::new(body))),
        permit,
    }
}

/// Takes away what must not reach the inner service, and leaves what was proven.
fn prepare(head: &mut Parts, subject: Option<Arc<Subject>>, credential: Option<CredentialSource>) {
    hygiene::strip(&mut head.headers);
    if let Some(source) = credential {
        hygiene::strip_credential(&mut head.headers, source);
    }
    // A gate outside this one may have left its own; only this decision counts in here.
    head.extensions.remove::<Permit>();
    head.extensions.remove::<Arc<Subject>>();
    head.extensions.remove::<Subject>();
    head.extensions.remove::<CredentialId>();
    if let Some(subject) = subject {
        head.extensions.insert(subject);
    }
}

impl<S, R, ReqBody, ResBody> Future for ResponseFuture<S, R, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    R: RefusalResponder,
{
    type Output = Result<Response<ResponseBody<ResBody>>, S::Error>;

    #[expect(
        clippy::expect_used,
        reason = "a future must not be polled after it is ready; there is nothing left to answer"
    )]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut kind = self.project().kind;
        loop {
            let next = match kind.as_mut().project() {
                KindProj::Forwarded { future, permit } => {
                    let response = ready!(future.poll(cx))?;
                    let permit = permit.take();
                    return Poll::Ready(Ok(response.map(|body| ResponseBody::forwarded(body, permit))));
                }
                KindProj::Refused { response } => {
                    let response = response.take().expect("polled after completion");
                    return Poll::Ready(Ok(response.map(ResponseBody::refusal)));
                }
                KindProj::Lookup { pending, carrier } => {
                    let (head, verdict) = ready!(pending.as_mut().poll(cx));
                    let Carrier {
                        mut service,
                        body,
                        responder,
                        gate,
                    } = carrier.take().expect("polled after completion");
                    carry_out(&mut service, &responder, &gate, head, body, verdict)
                }
            };
            kind.set(next);
        }
    }
}

impl<S, R, ReqBody> fmt::Debug for ResponseFuture<S, R, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Forwarded { .. } => "forwarded",
            Kind::Refused { .. } => "refused",
            Kind::Lookup { .. } => "lookup",
        };
        f.debug_tuple("ResponseFuture").field(&kind).finish()
    }
}
