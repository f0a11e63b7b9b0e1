//! Refusals as pingora's responses.

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http::{Method, Response};
use jit_core::gate::Gate;
use jit_core::gate::problem::{Problem, accepts_html};
use jit_core::gate::refusal::Refusal;
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// Sends the same answer as every other door: a [`Problem`].
pub(crate) async fn answer(gate: &Gate, session: &mut Session, refusal: &Refusal) -> pingora::Result<()> {
    let head: &Parts = session.req_header();
    let problem = Problem::of(refusal, gate.control_prefix(), gate.now());
    let mut response = problem.response(accepts_html(&head.headers)).map(Bytes::from);
    let length = response.body().len();
    response.headers_mut().insert(CONTENT_LENGTH, length.into());
    if head.method == Method::HEAD {
        response.body_mut().clear();
    }
    // What is malformed may have been framed otherwise than pingora thinks, and nobody has to wait for the rest of a refused body.
    let malformed = matches!(refusal, Refusal::BadTarget(_) | Refusal::BadHeaders(_));
    if malformed || !session.is_body_empty() {
        session.set_keepalive(None);
    }
    write(session, response).await
}

async fn write(session: &mut Session, response: Response<Bytes>) -> pingora::Result<()> {
    let (head, body) = response.into_parts();
    let end = body.is_empty();
    let header = Box::new(ResponseHeader::from(head));
    session.write_response_header(header, end).await?;
    if !end {
        session.write_response_body(Some(body), true).await?;
    }
    Ok(())
}
