//! Requests that ask to go on as a WebSocket (RFC 6455 §4), and what answers them.

use axum::body::{Body, HttpBody as _};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AsHeaderName, CONNECTION, HeaderMap, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{StatusCode, response};
use hyper::upgrade::OnUpgrade;
use jit_core::gate::hygiene::asks_for_websocket;
use sha1::{Digest as _, Sha1};

/// What a server adds to the key before it hashes it (RFC 6455 §1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// In the extensions of a request whose connection can go on as a WebSocket. Who puts it there finds the server's side in an answer of 101, by
/// [`hyper::upgrade::on`], and connects the two.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Upgradable;

/// What a server has to prove that it has understood a handshake: its `Sec-WebSocket-Accept`.
pub(super) struct Accept(String);

/// Whether to ask the server for a WebSocket, and what it has to answer. What does not ask for one in order goes on without: an offer may always
/// be ignored (RFC 9110 §7.8).
pub(super) fn asked_for(head: &Parts, body: &Body) -> Option<Accept> {
    let in_order = head.extensions.get::<Upgradable>().is_some()
        && asks_for_websocket(head)
        && names_upgrade(&head.headers)
        && body.is_end_stream()
        && only(&head.headers, SEC_WEBSOCKET_VERSION).is_some_and(|version| version == b"13");
    let key = only(&head.headers, SEC_WEBSOCKET_KEY).filter(|_| in_order)?;
    // 16 octets in base64 (RFC 6455 §4.1).
    let is_key = STANDARD.decode(key).is_ok_and(|octets| octets.len() == 16);
    is_key.then(|| Accept(STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())))
}

/// Asks for a WebSocket on the next hop, or takes it up there.
pub(super) fn offer(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// The server's side, where it has answered by 101 that the protocol is WebSocket from here on.
///
/// # Errors
/// Why it is not.
pub(super) fn taken_up(
    head: &mut response::Parts,
    asked: Option<&Accept>,
) -> Result<OnUpgrade, &'static str> {
    let upgrade = only(&head.headers, UPGRADE).filter(|_| names_upgrade(&head.headers));
    let websocket = upgrade.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"));
    let (true, Some(accept)) = (websocket, asked) else {
        return Err("the upstream changed to a protocol that it was not asked for");
    };
    if only(&head.headers, SEC_WEBSOCKET_ACCEPT) != Some(accept.0.as_bytes()) {
        return Err("the upstream's Sec-WebSocket-Accept does not answer the key that it was asked with");
    }
    let side = head.extensions.remove::<OnUpgrade>();
    side.ok_or("the upstream's connection can't go on as a WebSocket")
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

/// The value of a field that there is once.
fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&[u8]> {
    let mut fields = headers.get_all(name).iter();
    let one = fields.next()?;
    fields.next().is_none().then(|| one.as_bytes())
}

fn names_upgrade(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(CONNECTION).iter();
    let mut options = fields.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    options.any(|option| option.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
}
