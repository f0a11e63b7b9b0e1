//! Forwards what a gate has let through to an upstream, over HTTP/1.1.
//!
//! # Rules
//!
//! 1. Method, path, query and `Host` reach the upstream as they were decided on. Bodies are passed on as they come, both ways.
//! 2. Fields for one hop alone (RFC 9110 §7.6.1) are dropped, both ways: `Connection` and what it names, `Keep-Alive`,
//!    `Proxy-Connection`, `TE`, `Transfer-Encoding`, `Upgrade`.
//! 3. The upstream is told of whom the gate has proven: `Remote-User`, and `X-Jit-Grant` and `X-Jit-Expires` under a grant. What a client says
//!    in these fields never gets there.
//! 4. The upstream sets none of the gate's own cookies, whose names begin with `__Host-jit`.
//! 5. Requests don't change the protocol of their connection: the upstream does not see that they asked to.
//! 6. An upstream that does not answer as it should is 502. Why is logged, never told.
//!
//! # Deployment caveats
//!
//! - This is no gate: put it behind a [`JitLayer`](jit_tower::JitLayer), which also drops credentials and reserved fields.
//! - How long an upstream may take is not limited: a grant's end is the only one.

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use futures_util::stream;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, Entry, HOST, HeaderMap, HeaderName, HeaderValue,
    SET_COOKIE, TE, TRANSFER_ENCODING, UPGRADE, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Extensions, Method, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use jit_core::gate::introduce;
use jit_core::gate::problem::accepts_html;
use jit_tower::{Permit, Subject};

use crate::BoxError;

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
    client: Client<HttpConnector, Body>,
    upstream: Authority,
}

impl Proxy {
    /// To the upstream that listens there.
    ///
    /// # Errors
    /// When the address can't be written as an authority.
    pub fn new(upstream: SocketAddr) -> Result<Self, http::uri::InvalidUri> {
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build_http();
        Ok(Self {
            client,
            upstream: upstream.to_string().parse()?,
        })
    }

    /// A router that forwards everything. What is merged with it is served in its place.
    pub fn router(self) -> Router {
        Router::new().fallback(forward).with_state(self)
    }

    async fn send(&self, request: Request) -> Result<Response, BoxError> {
        let (head, body) = request.into_parts();
        let (is_head, authority) = (head.method == Method::HEAD, head.uri.authority().cloned());
        let mut headers = head.headers;
        drop_one_hop(&mut headers);
        // Over HTTP/2 there may be no Host field.
        if let (false, Some(authority)) = (headers.contains_key(HOST), authority) {
            headers.insert(HOST, authority.as_str().parse()?);
        }
        introduce(&mut headers, &head.extensions);
        let mut outgoing = Request::new(body);
        *outgoing.method_mut() = head.method;
        *outgoing.uri_mut() = self.at(head.uri.path_and_query())?;
        *outgoing.headers_mut() = headers;

        let (head, body) = self.client.request(outgoing).await?.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err("the upstream changed the protocol, and was not asked to".into());
        }
        let mut headers = head.headers;
        drop_one_hop(&mut headers);
        drop_gate_cookies(&mut headers);
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

    fn at(&self, path: Option<&PathAndQuery>) -> Result<Uri, http::Error> {
        let path = path.map_or("/", PathAndQuery::as_str);
        Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.upstream.clone())
            .path_and_query(path)
            .build()
    }
}

async fn forward(State(proxy): State<Proxy>, request: Request) -> Response {
    let html = accepts_html(request.headers());
    match proxy.send(request).await {
        Ok(response) => response,
        Err(error) => {
            let why = chain(&*error);
            tracing::warn!(upstream = %proxy.upstream, why, "the upstream did not answer");
            bad_gateway(html)
        }
    }
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

/// Drops what would set a cookie of the gate's or the console's: the application could sign its visitors in as somebody else. A script on its
/// pages can still try; where the gate has set a cookie, no script can replace it.
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

fn sets_gate_cookie(value: &HeaderValue) -> bool {
    let name = value.as_bytes().split(|b| matches!(b, b'=' | b';')).next();
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

fn bad_gateway(html: bool) -> Response {
    let status = StatusCode::BAD_GATEWAY;
    let detail =
        "The request may pass, but the application behind the gate did not answer it. Try again soon.";
    let (kind, text) = if html {
        let page = format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>Bad gateway</title>\n<h1>The application does not answer</h1>\n<p>{detail}</p>\n</html>\n"
        );
        ("text/html; charset=utf-8", page)
    } else {
        // Nothing more is known than what the status says (RFC 9457 §4.2.1).
        let problem = serde_json::json!({
            "type": "about:blank", "title": "Bad Gateway", "status": status.as_u16(), "detail": detail,
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

fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(&format!(": {error}"));
        source = error.source();
    }
    text
}
