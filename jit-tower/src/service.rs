use std::mem;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use jit_core::gate::{Gate, Verdict};
use tower_service::Service;

use http_body::Body;

use crate::body::{RequestBody, ResponseBody};
use crate::future::{Carrier, ResponseFuture, carry_out};
use crate::peer::Client;
use crate::refuse::RefusalResponder;

/// A service behind a [`Gate`]. Made by [`JitLayer`](crate::JitLayer).
#[derive(Debug, Clone)]
pub struct Jit<S, R> {
    inner: S,
    gate: Gate,
    responder: R,
}

impl<S, R> Jit<S, R> {
    pub(crate) const fn new(inner: S, gate: Gate, responder: R) -> Self {
        Self {
            inner,
            gate,
            responder,
        }
    }
}

impl<S, R, ReqBody, ResBody> Service<Request<ReqBody>> for Jit<S, R>
where
    S: Service<Request<RequestBody<ReqBody>>, Response = Response<ResBody>> + Clone,
    R: RefusalResponder + Clone,
    ReqBody: Body,
    ResBody: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<ResponseBody<ResBody>>;
    type Error = S::Error;
    type Future = ResponseFuture<S, R, ReqBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let (head, body) = request.into_parts();
        let client = Client::of(&head.extensions);
        match self.gate.decide_for(client.door(), &head, client.peer) {
            Verdict::Lookup(lookup) => {
                // The service that said it was ready is the one to call; what stays behind has to be asked again.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                let carrier = Carrier {
                    service: ready,
                    body,
                    responder: self.responder.clone(),
                    gate: self.gate.clone(),
                    connection: client.connection,
                };
                ResponseFuture::lookup(carrier, head, client.peer, lookup)
            }
            verdict => {
                let Client { connection, .. } = client;
                ResponseFuture {
                    kind: carry_out(
                        &mut self.inner,
                        &self.responder,
                        &self.gate,
                        connection,
                        head,
                        body,
                        verdict,
                    ),
                }
            }
        }
    }
}
