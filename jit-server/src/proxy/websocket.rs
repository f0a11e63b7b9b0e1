//! Requests that ask to go on as a WebSocket (RFC 6455 §4), and what answers them.

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use http::header::{CONNECTION, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{StatusCode, response};
use hyper::upgrade::OnUpgrade;
use jit_core::gate::hygiene::asks_for_websocket;

/// In the extensions of a request whose connection can go on as a WebSocket. Who puts it there finds the server's side in an answer of 101, by
/// [`hyper::upgrade::on`], and connects the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upgradable;

/// Whether to ask the server for a WebSocket. What does not ask for one in order goes on without: an offer may always be ignored
/// (RFC 9110 §7.8).
pub(super) fn is_asked_for(head: &Parts, body: &Body) -> bool {
    head.extensions.get::<Upgradable>().is_some()
        && asks_for_websocket(head)
        && names_upgrade(&head.headers)
        && body.is_end_stream()
}

/// Asks for a WebSocket on the next hop, or takes it up there.
pub(super) fn offer(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The server's side, where it has answered that the protocol is WebSocket from here on.
pub(super) fn taken_up(head: &mut response::Parts) -> Option<OnUpgrade> {
    let switched = head.status == StatusCode::SWITCHING_PROTOCOLS && names_upgrade(&head.headers);
    let mut fields = head.headers.get_all(UPGRADE).iter();
    let one = fields.next().filter(|_| fields.next().is_none());
    let websocket = one.is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let side = head.extensions.remove::<OnUpgrade>();
    side.filter(|_| switched && websocket)
}

/// The answer to the client, with the server's side.
pub(super) fn answer(mut headers: HeaderMap, side: OnUpgrade) -> Response {
    offer(&mut headers);
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response.extensions_mut().insert(side);
    response
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(CONNECTION).iter();
    let mut options = fields.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}
