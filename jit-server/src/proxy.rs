//! Forwards what a gate has let through to an upstream, over HTTP/1.1 with TLS or without.
//!
//! # Rules
//!
//! 1. Method, path, query and `Host` reach the upstream as they were decided on. Bodies are passed on as they come, both ways.
//! 2. Fields for one hop alone (RFC 9110 §7.6.1) are dropped, both ways: `Connection` and what it names, `Keep-Alive`,
//!    `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`.
//! 3. The upstream is told of whom the gate has proven: `Remote-User`, and `X-Jit-Grant` and `X-Jit-Expires` under a grant. What a client says
//!    in these fields never gets there.
//! 4. The upstream sets none of the gate's own cookies, whose names begin with `__Host-jit`, and has browsers clear none: of `Clear-Site-Data`
//!    only what is known not to touch cookies is passed on.
//! 5. WebSocket over HTTP/1.1 is the one protocol that a connection may go on in, and only where its listener can connect the two sides: at
//!    `jit serve`. Of every other offer the upstream sees nothing, and one that changes the protocol unasked, or
//!    does not answer the key that it was asked with, has not answered.
//! 6. TLS to an upstream is always verified; without it nothing is sent there in its place.
//! 7. An upstream that does not answer as it should is 502. Why is logged, never told.
//!
//! # Deployment caveats
//!
//! - This is no gate: put it behind a [`JitLayer`](jit_tower::JitLayer), which also drops credentials and reserved fields.
//! - Scripts of an application's pages can have a browser forget cookies by setting very many, and set others in their place. Keep applications
//!   that are not trusted with each other's visitors on hosts of their own.
//! - How long a [`Proxy`]'s upstream may take is not limited: a grant's end is the only one.

mod connect;
mod progress;
mod websocket;

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, Entry, HOST, HeaderMap, HeaderName,
    HeaderValue, SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::{Authority, PathAndQuery};
use http::{Extensions, Method, StatusCode, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jit_core::gate::introduce;
use jit_core::gate::problem::accepts_html;
use jit_tower::{Permit, Subject};

use crate::BoxError;
pub(crate) use connect::Trust;
use connect::{Connector, mend, tls_error};
pub(crate) use websocket::Upgradable;

const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");
/// What a browser can be told to clear that is no cookie (Clear Site Data §3.1, and what browsers have added).
const CLEARS_NO_COOKIES: [&str; 6] = [
    "\"cache\"",
    "\"clientHints\"",
    "\"executionContexts\"",
    "\"prefetchCache\"",
    "\"prerenderCache\"",
    "\"storage\"",
];

const ONE_HOP: [HeaderName; 6] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Forwards requests to one upstream. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Proxy {
    hop: Hop,
    upstream: Authority,
}

impl Proxy {
    /// To the upstream that listens there.
    ///
    /// # Errors
    /// When the address can't be written as an authority.
    pub fn new(upstream: SocketAddr) -> Result<Self, http::uri::InvalidUri> {
        Ok(Self {
            hop: Hop::new(Patience::default(), None),
            upstream: upstream.to_string().parse()?,
        })
    }

    /// A router that forwards everything. What is merged with it is served in its place.
    pub fn router(self) -> Router {
        Router::new().fallback(forward).with_state(self)
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let html = accepts_html(request.headers());
    match proxy.hop.send(&proxy.upstream, request).await {
        Ok(response) => response,
        Err(failure) => {
            tracing::warn!(upstream = %proxy.upstream, why = chain(&failure), "the upstream did not answer");
            failure.answer(html)
        }
    }
}

/// How long is waited for a server.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Patience {
    /// For a connection with its handshake; `None` is as long as the operating system tries.
    pub(crate) connect: Option<Duration>,
    /// For the head of the response, from when the request was last seen to move on; `None` is without end.
    pub(crate) head: Option<Duration>,
}

/// Why there is no response.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// Nothing was sent.
    #[error("the server can't be reached: {0}")]
    Unreachable(#[source] BoxError),
    /// Nothing was sent: the server could not prove who it is, or does not speak TLS.
    #[error("there is no TLS with the server ({})", mend(.0))]
    Untrusted(#[source] tokio_rustls::rustls::Error),
    /// It may have been sent.
    #[error("the server did not answer as it should: {0}")]
    Broken(#[source] BoxError),
    /// The server has been waited for.
    #[error("the server took too long to answer")]
    Slow,
    /// The client has been waited for.
    #[error("the client did not send the rest of its request in time")]
    ClientSlow,
    /// The client broke off.
    #[error("the client did not send the rest of its request")]
    ClientGone,
}

impl Failure {
    /// Whether it says anything about the server.
    pub(crate) const fn is_the_servers(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_) | Self::Untrusted(_) | Self::Broken(_) | Self::Slow
        )
    }

    /// Whether another server may be asked the same: the client is not to blame, and nobody has been waited for in vain.
    pub(crate) const fn may_be_tried_again(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Untrusted(_) | Self::Broken(_))
    }

    fn of(error: hyper_util::client::legacy::Error) -> Self {
        if !error.is_connect() {
            return Self::Broken(error.into());
        }
        match tls_error(&error) {
            Some(tls) => Self::Untrusted(tls.clone()),
            None => Self::Unreachable(error.into()),
        }
    }

    /// What the client is told: never why.
    pub(crate) fn answer(&self, html: bool) -> Response {
        let (status, title, detail) = match self {
            Self::Unreachable(_) | Self::Untrusted(_) | Self::Broken(_) => (
                StatusCode::BAD_GATEWAY,
                "The application does not answer",
                "The request may pass, but the application behind the gate did not answer it. Try again soon.",
            ),
            Self::Slow => (
                StatusCode::GATEWAY_TIMEOUT,
                "The application takes too long",
                "The request may pass, but the application behind the gate did not answer it in time. What it has asked for may be done all the same.",
            ),
            Self::ClientSlow | Self::ClientGone => (
                StatusCode::REQUEST_TIMEOUT,
                "The request did not arrive",
                "The rest of the request did not arrive in time. Send it again.",
            ),
        };
        answer(status, title, detail, html)
    }
}

/// The way to servers of one kind. Clones share their connections.
#[derive(Debug, Clone)]
pub(crate) struct Hop {
    client: Client<Connector, Body>,
    connector: Connector,
    patience: Patience,
}

impl Hop {
    /// With TLS if it is said whom to believe, or without.
    pub(crate) fn new(patience: Patience, trust: Option<Trust>) -> Self {
        let connector = Connector::new(patience.connect, trust);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector.clone());
        Self {
            client,
            connector,
            patience,
        }
    }

    /// The same way with TLS that believes others, on connections of its own.
    pub(crate) fn with_trust(&self, trust: Trust) -> Self {
        Self::new(self.patience, Some(trust))
    }

    /// Asks the server at `to` for this, on a connection that nothing else uses.
    pub(crate) async fn ask(
        &self,
        to: &Authority,
        path: &str,
        headers: HeaderMap,
    ) -> Result<StatusCode, Failure> {
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(0)
            .build(self.connector.clone());
        let mut request = Request::new(Body::empty());
        let uri = self.uri(to, path);
        *request.uri_mut() = uri.map_err(|error| Failure::Broken(error.into()))?;
        *request.headers_mut() = headers;
        Ok(client.request(request).await.map_err(Failure::of)?.status())
    }

    fn uri(&self, to: &Authority, path: &str) -> Result<Uri, http::Error> {
        Uri::builder()
            .scheme(self.connector.scheme())
            .authority(to.clone())
            .path_and_query(path)
            .build()
    }

    /// Sends a request that was let through to the server at `to`.
    pub(crate) async fn send(&self, to: &Authority, request: Request) -> Result<Response, Failure> {
        let is_head = request.method() == Method::HEAD;
        let broken = |error: BoxError| Failure::Broken(error);
        let (head, body) = request.into_parts();
        let websocket = websocket::asked_for(&head, &body);
        let path = head.uri.path_and_query().map_or("/", PathAndQuery::as_str);
        let uri = self.uri(to, path).map_err(|error| broken(error.into()))?;
        let mut outgoing = outgoing(uri, Request::from_parts(head, body)).map_err(broken)?;
        if websocket.is_some() {
            websocket::offer(outgoing.headers_mut());
        }
        let (mut head, body) = self.exchange(outgoing).await?.into_parts();
        let switched = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let side = switched.then(|| websocket::taken_up(&mut head, websocket.as_ref()));
        let mut headers = head.headers;
        drop_one_hop(&mut headers);
        drop_gate_cookies(&mut headers);
        keep_cookies(&mut headers);
        if let Some(side) = side {
            let side = side.map_err(|wrong| broken(wrong.into()))?;
            return Ok(websocket::answer(headers, side));
        }
        // The length of what would have been sent is not known, and that of nothing must not be told in its place.
        let is_about_another = is_head || head.status == StatusCode::NOT_MODIFIED;
        let body = if is_about_another && !headers.contains_key(CONTENT_LENGTH) {
            Body::from_stream(stream::empty::<Result<bytes::Bytes, BoxError>>())
        } else {
            Body::new(body)
        };
        let mut response = Response::new(body);
        *response.status_mut() = head.status;
        *response.headers_mut() = headers;
        Ok(response)
    }

    async fn exchange(&self, outgoing: Request) -> Result<Response<Incoming>, Failure> {
        let (head, body) = outgoing.into_parts();
        let (body, progress) = progress::watched(body);
        let answer = self.client.request(Request::from_parts(head, Body::new(body)));
        let answered = match self.patience.head {
            None => Ok(answer.await),
            Some(patience) => progress.wait(answer, patience).await,
        };
        match answered {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(_)) if progress.is_broken() => Err(Failure::ClientGone),
            Ok(Err(error)) => Err(Failure::of(error)),
            Err(progress::Late::Client) => Err(Failure::ClientSlow),
            Err(progress::Late::Server) => Err(Failure::Slow),
        }
    }
}

/// The request as the server gets it.
fn outgoing(uri: Uri, request: Request) -> Result<Request, BoxError> {
    let (head, body) = request.into_parts();
    let mut headers = head.headers;
    drop_one_hop(&mut headers);
    // Over HTTP/2 there may be no Host field.
    if let (false, Some(authority)) = (headers.contains_key(HOST), head.uri.authority()) {
        headers.insert(HOST, authority.as_str().parse()?);
    }
    join_cookies(&mut headers);
    introduce(&mut headers, &head.extensions);
    let mut outgoing = Request::new(body);
    *outgoing.method_mut() = head.method;
    *outgoing.uri_mut() = uri;
    *outgoing.headers_mut() = headers;
    Ok(outgoing)
}

/// Drops what was for the connection that it came over.
fn drop_one_hop(headers: &mut HeaderMap) {
    let fields = headers.get_all(CONNECTION).iter();
    let named: Vec<HeaderName> = fields
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|option| HeaderName::from_bytes(option.trim_ascii()).ok())
        .collect();
    for name in named.iter().chain(&ONE_HOP) {
        headers.remove(name);
    }
}

/// Over HTTP/2 cookies may come in several fields. Over HTTP/1.1 there is one (RFC 9113 §8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let fields: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if fields.len() < 2 {
        return;
    }
    // Good values make a good value; if ever not, no cookie is the safe answer.
    match HeaderValue::from_bytes(&fields.join(&b"; "[..])) {
        Ok(mut joined) => {
            joined.set_sensitive(true);
            headers.insert(COOKIE, joined);
        }
        Err(_) => drop(headers.remove(COOKIE)),
    }
}

/// Drops what would set a cookie of the gate's or the console's: the application could sign its visitors in as somebody else. A script on its
/// pages can still try; where the gate has set a cookie, no script can replace it while the browser has it.
fn drop_gate_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(entry) = headers.entry(SET_COOKIE) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter(|value| !sets_gate_cookie(value)).collect();
    for value in kept {
        headers.append(name.clone(), value);
    }
}

/// Drops what would clear cookies: browsers clear those of the whole registrable domain, the gate's and the console's among them, which a script
/// could then set. What is not known could do that too.
fn keep_cookies(headers: &mut HeaderMap) {
    let Entry::Occupied(entry) = headers.entry(CLEAR_SITE_DATA) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let mut kept: Vec<&str> = Vec::new();
    for value in values {
        for kind in value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii) {
            kept.extend(CLEARS_NO_COOKIES.iter().filter(|known| known.as_bytes() == kind));
        }
    }
    if let (false, Ok(value)) = (kept.is_empty(), HeaderValue::try_from(kept.join(", "))) {
        headers.insert(name, value);
    }
}

fn sets_gate_cookie(value: &HeaderValue) -> bool {
    // A cookie without a name is sent back as its value alone, which reads as one with a name.
    let pair = value.as_bytes().trim_ascii_start();
    let pair = pair.strip_prefix(b"=").unwrap_or(pair);
    let name = pair.split(|b| matches!(b, b'=' | b';')).next();
    let name = name.unwrap_or_default().trim_ascii().to_ascii_lowercase();
    name == b"__host-jit" || name.starts_with(b"__host-jit-")
}

/// Tells the upstream who asks and under which grant, in the fields that the other doors use.
fn introduce(headers: &mut HeaderMap, proven: &Extensions) {
    for name in &introduce::FIELDS {
        headers.remove(name);
    }
    if let Some(subject) = proven.get::<Arc<Subject>>() {
        headers.extend(introduce::caller(subject, None));
    }
    if let Some(permit) = proven.get::<Permit>() {
        headers.extend(introduce::grant(permit));
    }
}

/// An answer of the proxy's own: a problem (RFC 9457) for programs, a page for browsers.
pub(crate) fn answer(status: StatusCode, title: &str, detail: &str, html: bool) -> Response {
    let (kind, text) = if html {
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n</html>\n"
        );
        ("text/html; charset=utf-8", page)
    } else {
        // Nothing more is known than what the status says (RFC 9457 §4.2.1).
        let problem = serde_json::json!({
            "type": "about:blank", "title": status.canonical_reason(), "status": status.as_u16(), "detail": detail,
        });
        ("application/problem+json", problem.to_string())
    };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, "no-store"),
        (VARY, "accept"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// An error with all that it came from, but what the one before has told already.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text.push_str(&format!(": {more}"));
        }
        source = error.source();
    }
    text
}
