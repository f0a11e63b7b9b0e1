//! Refusals as responses.

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Response};
use jit_core::gate::Gate;
use jit_core::gate::problem::{Problem, accepts_html};
use jit_core::gate::refusal::Refusal;
use jit_core::id::Timestamp;

/// A refusal, and what an answer to it may depend on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Refused<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// The head of the request, as it came. Nothing in it has been proven or cleaned.
    pub head: &'a Parts,
    /// Where the control API is.
    pub control_prefix: &'a str,
    /// When it was refused.
    pub now: Timestamp,
}

/// Answers refusals. Implemented by every `Fn(Refused<'_>) -> Response<Bytes>`.
///
/// Whatever it answers, the [`Refusal`] is put into the response's extensions, a `HEAD` gets no body, and a 2xx status is
/// replaced by the refusal's own: other proxies take any 2xx for an admission.
pub trait RefusalResponder {
    /// The answer.
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes>;
}

impl<F> RefusalResponder for F
where
    F: Fn(Refused<'_>) -> Response<Bytes>,
{
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes> {
        self(refused)
    }
}

/// problem+json (RFC 9457) for programs, and a plain page for clients that accept `text/html`: a [`Problem`], relative to the
/// control API's prefix.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct DefaultRefusal;

impl RefusalResponder for DefaultRefusal {
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes> {
        let problem = Problem::of(refused.refusal, refused.control_prefix, refused.now);
        let html = accepts_html(&refused.head.headers);
        problem.response(html).map(Bytes::from)
    }
}

pub(crate) fn refuse<R: RefusalResponder>(
    responder: &R,
    gate: &Gate,
    head: &Parts,
    refusal: Refusal,
) -> Response<Bytes> {
    let mut response = responder.respond(Refused {
        refusal: &refusal,
        head,
        control_prefix: gate.control_prefix(),
        now: gate.now(),
    });
    if response.status().is_success() {
        *response.status_mut() = refusal.status();
    }
    if head.method == Method::HEAD {
        response.body_mut().clear();
    }
    response.extensions_mut().insert(refusal);
    response
}
