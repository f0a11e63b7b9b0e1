//! The applications behind the gate: which one serves a request, on which of its servers.
//!
//! # Rules
//! 1. Host and path choose, in the canonical form that the gate has decided on: the most specific host first, then the longest path.
//! 2. Servers take turns. One that failed several times in a row is left out until its health check passes again or, without one, for a
//!    while. When none is left the answer is 503.
//! 3. A request is sent once. Only what can't have an effect, GET, HEAD and OPTIONS without a body, is tried again at other servers when
//!    one could not be reached or broke off; a request that was waited for too long is not.
//! 4. Servers with `https://` are spoken to in TLS alone, and have to prove who they are ([`trust`]).
//! 5. The upstream is told where the request came from: `X-Forwarded-For`, `-Proto` and `-Host`, as seen here.

mod health;
mod server;
pub(super) mod trust;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use http::header::{HOST, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use jit_core::clock::Clock;
use jit_core::gate::problem::accepts_html;
use jit_core::gate::target::{Target, host_matches};
use jit_core::policy::terms::covers;

use super::config;
use super::listener::Secured;
use super::measures;
use crate::proxy::{Failure, Hop, Patience, Trust, answer, chain};
use server::Server;

/// At how many servers a request is tried.
const TRIES: usize = 3;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Every application.
#[derive(Debug)]
pub(super) struct Upstreams {
    /// The most specific first.
    places: Vec<Place>,
    all: Vec<Arc<Upstream>>,
    clock: Arc<dyn Clock>,
}

/// A host and a path that one application serves.
#[derive(Debug)]
struct Place {
    host: Option<String>,
    path: String,
    upstream: Arc<Upstream>,
}

/// One application.
#[derive(Debug)]
struct Upstream {
    name: String,
    servers: Vec<Server>,
    next: AtomicUsize,
    /// Replaced when others are to be believed.
    hop: ArcSwap<Hop>,
    health: Option<config::Health>,
}

impl Upstreams {
    /// `trusts` are of those whose servers are spoken to in TLS, by name.
    pub(super) fn new(
        configured: Vec<config::Upstream>,
        trusts: &mut HashMap<String, Trust>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (mut places, mut all) = (Vec::new(), Vec::new());
        for written in configured {
            let hosts: Vec<_> = match written.hosts.is_empty() {
                true => vec![None],
                false => written.hosts.iter().cloned().map(Some).collect(),
            };
            let paths = written.paths.clone();
            let trust = trusts.remove(&written.name);
            let upstream = Arc::new(Upstream::new(written, trust));
            all.push(Arc::clone(&upstream));
            for host in hosts {
                places.extend(paths.iter().map(|path| Place {
                    host: host.clone(),
                    path: path.clone(),
                    upstream: Arc::clone(&upstream),
                }));
            }
        }
        places.sort_by_key(|place| std::cmp::Reverse(place.rank()));
        Self { places, all, clock }
    }

    fn choose(&self, host: &str, path: &str) -> Option<&Arc<Upstream>> {
        let mut places = self.places.iter();
        let place = places.find(|place| place.serves(host, path))?;
        Some(&place.upstream)
    }

    /// A router that forwards everything. What is merged with it is served in its place.
    pub(super) fn router(self: &Arc<Self>) -> Router {
        Router::new().fallback(forward).with_state(Arc::clone(self))
    }

    /// Believes these from the next request on, each on new connections.
    pub(super) fn trust(&self, mut trusts: HashMap<String, Trust>) {
        for upstream in &self.all {
            if let Some(trust) = trusts.remove(&upstream.name) {
                let hop = upstream.hop.load().with_trust(trust);
                upstream.hop.store(Arc::new(hop));
            }
        }
    }

    /// Asks servers whether they are well, until dropped.
    pub(super) async fn watch(&self) {
        health::watch(self).await;
    }
}

impl Place {
    /// An exact host before a wildcard, a longer wildcard before a shorter, any before none; then the longer path.
    fn rank(&self) -> (bool, usize, usize) {
        let host = self.host.as_deref().unwrap_or_default();
        let exact = !host.is_empty() && !host.starts_with("*.");
        (exact, host.len(), self.path.len())
    }

    fn serves(&self, host: &str, path: &str) -> bool {
        let here = self
            .host
            .as_deref()
            .is_none_or(|pattern| host_matches(pattern, host));
        here && covers(&self.path, path)
    }
}

impl Upstream {
    fn new(written: config::Upstream, trust: Option<Trust>) -> Self {
        let patience = Patience {
            connect: Some(written.connect_timeout),
            head: Some(written.head_timeout),
        };
        let rest = written.health.is_none().then_some(written.rest);
        let passes = written.health.as_ref().map_or(1, |health| health.passes);
        let servers = written.servers.into_iter();
        let servers = servers.map(|at| Server::new(&written.name, at, written.failures, passes, rest));
        Self {
            servers: servers.collect(),
            next: AtomicUsize::new(0),
            hop: ArcSwap::from_pointee(Hop::new(patience, trust)),
            health: written.health,
            name: written.name,
        }
    }

    /// The server whose turn it is, of those that are well and were not tried.
    fn next(&self, tried: &[usize], clock: &dyn Clock) -> Option<(usize, &Server)> {
        let now = clock.now();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        let turns = (0..count).map(|n| turn.wrapping_add(n) % count);
        turns
            .filter(|n| !tried.contains(n))
            .filter_map(|n| Some((n, self.servers.get(n)?)))
            .find(|(_, server)| server.is_well(now))
    }

    async fn serve(&self, request: Request, clock: &dyn Clock) -> Result<Response, Answer> {
        let safe = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
        let spare = (safe && request.body().is_end_stream()).then(|| copy(&request));
        let mut first = Some(request);
        let (mut tried, mut failed) = (Vec::new(), None);
        while tried.len() < TRIES
            && let Some((n, server)) = self.next(&tried, clock)
            && let Some(request) = first.take().or_else(|| spare.as_ref().map(copy))
        {
            tried.push(n);
            let hop = self.hop.load_full();
            let failure = match hop.send(&server.at, request).await {
                Ok(response) => {
                    server.did_well();
                    return Ok(response);
                }
                Err(failure) => failure,
            };
            if failure.is_the_servers() {
                server.failed(clock.now(), &chain(&failure));
            }
            let again = spare.is_some() && failure.may_be_tried_again();
            failed = Some(failure);
            if !again {
                break;
            }
        }
        Err(failed.map_or(Answer::NoServer, Answer::Failed))
    }
}

/// The same request, of one without a body.
fn copy(request: &Request) -> Request {
    let mut copy = Request::new(Body::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

/// Why there is no response of the application's.
enum Answer {
    NoServer,
    Failed(Failure),
}

async fn forward(State(upstreams): State<Arc<Upstreams>>, request: Request) -> Response {
    let html = accepts_html(request.headers());
    let (head, body) = request.into_parts();
    let chosen = Target::read(&head)
        .ok()
        .and_then(|target| upstreams.choose(target.host().as_str(), target.path().as_str()));
    let Some(upstream) = chosen else {
        return nowhere(html);
    };
    let mut request = Request::from_parts(head, body);
    tell_origin(&mut request);
    let (outcome, response) = match upstream.serve(request, &*upstreams.clock).await {
        Ok(response) => (measures::class(response.status()), response),
        Err(Answer::NoServer) => {
            tracing::warn!(upstream = %upstream.name, "no server is well");
            ("no-server", no_server(html))
        }
        Err(Answer::Failed(failure)) => {
            tracing::warn!(upstream = %upstream.name, why = chain(&failure), "a request was not answered");
            let outcome = if failure.is_the_servers() {
                "failed"
            } else {
                "client"
            };
            (outcome, failure.answer(html))
        }
    };
    measures::upstream_answered(&upstream.name, outcome);
    response
}

/// What the gate has dropped of what the client said, as it is.
fn tell_origin(request: &mut Request) {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0.ip().to_canonical().to_string());
    let secured = request.extensions().get::<Secured>().is_some();
    let host = match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(HOST).cloned(),
    };
    let headers = request.headers_mut();
    for name in [FORWARDED_FOR, FORWARDED_HOST, FORWARDED_PROTO] {
        headers.remove(name);
    }
    if let Some(peer) = peer.and_then(|peer| HeaderValue::from_str(&peer).ok()) {
        headers.insert(FORWARDED_FOR, peer);
    }
    if let Some(host) = host {
        headers.insert(FORWARDED_HOST, host);
    }
    let scheme = if secured { "https" } else { "http" };
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme));
}

fn no_server(html: bool) -> Response {
    let mut response = answer(
        StatusCode::SERVICE_UNAVAILABLE,
        "The application is down",
        "The request may pass, but no server of the application behind the gate is well. Try again soon.",
        html,
    );
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("5"));
    response
}

fn nowhere(html: bool) -> Response {
    answer(
        StatusCode::BAD_GATEWAY,
        "No application is here",
        "The request may pass, but the gate was not told which application serves this address. Tell its operator.",
        html,
    )
}

#[cfg(test)]
mod tests {
    use jit_core::clock::SystemClock;

    use super::*;

    fn upstream(name: &str, hosts: &[&str], paths: &[&str]) -> config::Upstream {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        config::Upstream {
            name: name.to_owned(),
            hosts: texts(hosts),
            paths: texts(paths),
            servers: vec!["127.0.0.1:1".parse().unwrap()],
            connect_timeout: std::time::Duration::from_secs(1),
            head_timeout: std::time::Duration::from_secs(1),
            failures: 1,
            rest: std::time::Duration::from_secs(1),
            health: None,
        }
    }

    #[test]
    fn the_most_specific_host_then_the_longest_path_chooses() {
        let all = vec![
            upstream("rest", &[], &["/"]),
            upstream("wild", &["*.example.com"], &["/"]),
            upstream("deep", &["*.eu.example.com"], &["/"]),
            upstream("app", &["app.example.com"], &["/", "/a"]),
            upstream("api", &["app.example.com"], &["/api"]),
            upstream("only-x", &["x.example.com"], &["/x"]),
        ];
        let upstreams = Upstreams::new(all, &mut HashMap::new(), Arc::new(SystemClock::new()));
        for (host, path, name) in [
            ("app.example.com", "/", "app"),
            ("app.example.com", "/api", "api"),
            ("app.example.com", "/api/v1", "api"),
            ("app.example.com", "/apis", "app"),
            ("b.example.com", "/api", "wild"),
            ("b.eu.example.com", "/", "deep"),
            ("x.example.com", "/x/y", "only-x"),
            ("x.example.com", "/", "wild"),
            ("example.com", "/", "rest"),
            ("127.0.0.1", "/api", "rest"),
        ] {
            let chosen = upstreams.choose(host, path).unwrap();
            assert_eq!(chosen.name, name, "{host}{path}");
        }
        let one = vec![upstream("app", &["app.example.com"], &["/app"])];
        let upstreams = Upstreams::new(one, &mut HashMap::new(), Arc::new(SystemClock::new()));
        assert!(upstreams.choose("app.example.com", "/").is_none());
        assert!(upstreams.choose("other.example.com", "/app").is_none());
    }
}
