use std::fmt;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::request::Parts;
use http::{Extensions, HeaderName, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::cut::Cut;
use jit_core::gate::farewell::Events;
use jit_core::gate::flight::{Flight, Watch};
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::step_up::CredentialId;
use jit_core::gate::{Gate, Lookup, Verdict, hygiene};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::admitted::AdmittedBody;
use crate::body::{RequestBody, ResponseBody};
use crate::connection::Connection;
use crate::refuse::{RefusalResponder, refuse};

/// What an admitted request has with it until its answer begins.
struct Admitted<R> {
    watch: Watch,
    connection: Option<Connection>,
    responder: R,
    /// What the client would take for an answer.
    accept: Option<HeaderValue>,
    version: Version,
}

impl<R: RefusalResponder> Admitted<R> {
    /// Why an answer that is there now is too late, if it had to be waited for and is.
    fn late(&self) -> Option<Cut> {
        self.watch
            .is_armed()
            .then(|| self.watch.flight().goes_on().err())
            .flatten()
    }

    fn ended(&self, cut: Cut) -> Response<Bytes> {
        let resource = self.watch.flight().permit().resource().clone();
        self.refused(Refusal::GrantEnded { resource, cut })
    }

    fn refused(&self, refusal: Refusal) -> Response<Bytes> {
        let flight = self.watch.flight();
        let mut head = flight.head();
        if let Some(accept) = &self.accept {
            head.headers.insert(header::ACCEPT, accept.clone());
        }
        let response = refuse(&self.responder, flight.gate(), &head, refusal);
        flight.answered(response.status());
        response
    }

    /// The answer of the inner service goes out.
    fn answer<B: Body<Data = Bytes> + Send + 'static>(
        self,
        mut response: Response<B>,
    ) -> Response<ResponseBody<B>> {
        let flight = self.watch.flight();
        let upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        // What was decided on as a request alone is not upgraded, whatever made the service think so: nothing would end or limit it.
        if upgraded && (flight.counts_bytes() || self.connection.is_none()) {
            let resource = flight.permit().resource().clone();
            return self
                .refused(Refusal::UpgradeRefused { resource })
                .map(ResponseBody::refusal);
        }
        let flight = self.watch.into_flight();
        flight.answered(response.status());
        let events = Events::of(response.headers());
        response.headers_mut().insert(EXPIRES, flight.expires());
        if upgraded {
            if let Some(connection) = self.connection {
                connection.carry(flight);
            }
            return response.map(ResponseBody::open);
        }
        response.map(|body| {
            if body.is_end_stream() {
                return ResponseBody::open(body);
            }
            let body = AdmittedBody::new(body, flight, events, self.connection);
            ResponseBody::admitted(body, self.version)
        })
    }
}

/// When the grant ends, for the client to count down to.
const EXPIRES: HeaderName = HeaderName::from_static("x-jit-expires");

type Pending = Pin<Box<dyn Future<Output = (Parts, Verdict)> + Send>>;

/// What a request that waits for a look-up will need.
#[derive(Debug)]
pub(crate) struct Carrier<S, R, ReqBody> {
    pub(crate) service: S,
    pub(crate) body: ReqBody,
    pub(crate) responder: R,
    pub(crate) gate: Gate,
    pub(crate) connection: Option<Connection>,
}

pin_project! {
    /// The response of a [`Jit`](crate::Jit).
    ///
    /// Nothing is boxed unless something has to be awaited: a credential seen for the first time, a budget to be reserved, an inner
    /// service that takes its time.
    pub struct ResponseFuture<S, R, ReqBody>
    where
        S: Service<Request<RequestBody<ReqBody>>>,
        ReqBody: Body,
    {
        #[pin]
        pub(crate) kind: Kind<S, R, ReqBody, S::Future>,
    }
}

pin_project! {
    #[project = KindProj]
    pub(crate) enum Kind<S, R, ReqBody, F> {
        Forwarded {
            #[pin]
            future: F,
            admitted: Option<Admitted<R>>,
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
    R: RefusalResponder + Clone,
    ReqBody: Body,
{
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

pub(crate) fn carry_out<S, R, ReqBody>(
    service: &mut S,
    responder: &R,
    gate: &Gate,
    connection: Option<Connection>,
    mut head: Parts,
    body: ReqBody,
    verdict: Verdict,
) -> Kind<S, R, ReqBody, S::Future>
where
    S: Service<Request<RequestBody<ReqBody>>>,
    R: RefusalResponder + Clone,
    ReqBody: Body,
{
    let refused = |head: &Parts, refusal| Kind::Refused {
        response: Some(refuse(responder, gate, head, refusal)),
    };
    let admitted = match verdict {
        Verdict::Admit(admission) => {
            let admitted = Admitted {
                watch: Watch::new(Flight::begin(gate, &admission, &head)),
                connection,
                responder: responder.clone(),
                accept: head.headers.get(header::ACCEPT).cloned(),
                version: head.version,
            };
            admission.strip(&mut head.headers);
            leave(
                &mut head.extensions,
                Some(admission.subject),
                Some(admission.permit),
            );
            Some(admitted)
        }
        Verdict::Open(passage) => {
            passage.strip(&mut head.headers);
            leave(&mut head.extensions, passage.subject, None);
            None
        }
        Verdict::Control { subject, credential } => {
            let plain = subject.as_deref().cloned();
            hygiene::strip(&mut head.headers);
            leave(&mut head.extensions, subject, None);
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
    let flight = admitted.as_ref().map(|admitted| admitted.watch.flight());
    let body = RequestBody::new(body, flight);
    Kind::Forwarded {
        future: service.call(Request::from_parts(head, body)),
        admitted,
    }
}

/// Leaves what was proven. A gate outside this one may have left its own; only this decision counts in here.
fn leave(extensions: &mut Extensions, subject: Option<Arc<Subject>>, permit: Option<Permit>) {
    extensions.remove::<Subject>();
    extensions.remove::<CredentialId>();
    match subject {
        Some(subject) => drop(extensions.insert(subject)),
        None => drop(extensions.remove::<Arc<Subject>>()),
    }
    match permit {
        Some(permit) => drop(extensions.insert(permit)),
        None => drop(extensions.remove::<Permit>()),
    }
}

impl<S, R, ReqBody, ResBody> Future for ResponseFuture<S, R, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>>,
    R: RefusalResponder + Clone,
    ReqBody: Body,
    ResBody: Body<Data = Bytes> + Send + 'static,
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
                KindProj::Forwarded { future, admitted } => {
                    let polled = future.poll(cx);
                    let Some(waiting) = admitted else {
                        return polled.map_ok(|response| response.map(ResponseBody::open));
                    };
                    let cut = match polled {
                        // An answer that had to be waited for may have come too late.
                        Poll::Ready(Ok(response)) => match waiting.late() {
                            Some(cut) => cut,
                            None => match admitted.take() {
                                Some(admitted) => return Poll::Ready(Ok(admitted.answer(response))),
                                None => return Poll::Ready(Ok(response.map(ResponseBody::open))),
                            },
                        },
                        Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                        Poll::Pending => ready!(waiting.watch.poll_cut(cx)),
                    };
                    Kind::Refused {
                        response: Some(waiting.ended(cut)),
                    }
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
                        connection,
                    } = carrier.take().expect("polled after completion");
                    carry_out(&mut service, &responder, &gate, connection, head, body, verdict)
                }
            };
            kind.set(next);
        }
    }
}

impl<S, R, ReqBody> fmt::Debug for ResponseFuture<S, R, ReqBody>
where
    S: Service<Request<RequestBody<ReqBody>>>,
    ReqBody: Body,
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
