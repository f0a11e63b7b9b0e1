//! A listener, its connections, and what bounds them.
//!
//! # Rules
//! 1. Connections are limited in number; one more is closed at once.
//! 2. A request's head has a time limit over HTTP/1.1, and a TLS handshake the same, ten seconds at most. A head's size and the number of its
//!    fields are limited. An HTTP/2 connection has at most 100 streams.
//! 3. A connection on which nothing is in flight for a while is closed, whatever else its peer does.
//! 4. Every connection can be severed, so that a grant's end reaches it ([`jit_tower::connection`]).
//! 5. A client that has shown a certificate has proven something to the authorities of that moment: when those are read again, its
//!    connections are ended in order, and prove it anew. What it still asks on them, whether or not it has heard of the end, is 421
//!    (RFC 9110 §15.5.20) and keeps none of them open; a WebSocket is cut.
//! 6. Told to stop, a listener takes no more connections, lets what is in flight end and says so to its peers. Dropped, it ends them.
//! 7. Where it may, a connection over HTTP/1.1 goes on as a WebSocket: it is still one of the connections, and closed when nothing has passed
//!    on it for long. At a stop its client is told (close code 1001).
//!
//! Without TLS it speaks HTTP/1.1 alone.

mod flow;
mod tunnel;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::Response;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use jit_auth::mtls::TlsConnection;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::problem::accepts_html;
use jit_tower::PeerAddr;
use jit_tower::connection::Severable;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tower::ServiceExt as _;

use super::measures;
use super::tls::{H2, Handshakes};
use crate::proxy::{Upgradable, answer};
use flow::{Counted, Flow, Held};
use tunnel::Tunnel;

/// Longest that a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a peer that was told of the end may take to close.
const CLOSING: Duration = Duration::from_secs(5);
/// Pause after a connection could not be accepted: most often there are no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Streams that one HTTP/2 connection may have at once.
const STREAMS: u32 = 100;
/// How often the peer of an HTTP/2 connection has to show that it is there.
const PING: Duration = Duration::from_secs(20);

/// In the extensions of a request that came over TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Secured;

/// How far the end of the process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not in sight.
    Serving,
    /// The process says that it is going, and still takes connections.
    Leaving,
    /// No connection is taken any more.
    Closing,
}

/// What one client may take of a listener.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) connections: usize,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// Most bytes of a request's head.
    pub(super) head: u32,
    /// Most fields of a request's head.
    pub(super) fields: usize,
    /// How long a WebSocket may have nothing to pass on. `None`: no connection goes on as one.
    pub(super) websocket_idle: Option<Duration>,
}

/// Takes connections for a router.
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<Arc<Handshakes>>,
    pub(super) bounds: Bounds,
    /// Who may connect at all; everybody if it is not said.
    pub(super) peers: Option<TrustedProxies>,
    pub(super) router: Router,
}

impl Door {
    /// Serves until it is time to close, and everything in flight has ended.
    pub(super) async fn serve(self, mut stopping: watch::Receiver<Stage>) {
        let places = Arc::new(Semaphore::new(self.bounds.connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                () = told(&mut stopping) => break,
                Some(_) = connections.join_next() => continue,
                accepted = self.listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(listener = self.name, %error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if self.peers.as_ref().is_some_and(|peers| !peers.trusts(peer.ip())) {
                measures::connection_refused(self.name, "peer");
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                measures::connection_refused(self.name, "limit");
                continue;
            };
            let line = Line {
                peer,
                bounds: self.bounds,
                router: self.router.clone(),
                stopping: stopping.clone(),
            };
            let (name, tls) = (self.name, self.tls.as_ref().map(|tls| tls.follow()));
            connections.spawn(async move {
                let open = measures::connection_opened(name);
                if let Err(error) = line.take(stream, tls).await {
                    tracing::debug!(listener = name, error, "a connection ended early");
                }
                drop((open, place));
            });
        }
        drop(self.listener);
        while connections.join_next().await.is_some() {}
    }
}

/// Ready when it is time to close: when that was said, or whoever could say it is gone.
async fn told(stopping: &mut watch::Receiver<Stage>) {
    // Either way it is time.
    let _ = stopping.wait_for(|stage| *stage == Stage::Closing).await;
}

/// One connection.
struct Line {
    peer: SocketAddr,
    bounds: Bounds,
    router: Router,
    stopping: watch::Receiver<Stage>,
}

impl Line {
    async fn take(
        self,
        stream: TcpStream,
        tls: Option<watch::Receiver<Arc<ServerConfig>>>,
    ) -> Result<(), crate::BoxError> {
        stream.set_nodelay(true)?;
        let Some(mut tls) = tls else {
            return self.speak(stream, None).await;
        };
        let mut stopping = self.stopping.clone();
        let patience = self.bounds.head_timeout.min(HANDSHAKE_MAX);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow_and_update()));
        let stream = tokio::select! {
            shaken = tokio::time::timeout(patience, acceptor.accept(stream)) => shaken.map_err(late)??,
            () = told(&mut stopping) => return Ok(()),
        };
        let shaken = TlsConnection::of(stream.get_ref().1);
        self.speak(stream, Some((shaken, tls))).await
    }

    async fn speak<T>(
        self,
        stream: T,
        tls: Option<(TlsConnection, watch::Receiver<Arc<ServerConfig>>)>,
    ) -> Result<(), crate::BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            bounds,
            router,
            mut stopping,
        } = self;
        let (shaken, terms) = tls.unzip();
        let h2 = shaken.as_ref().and_then(TlsConnection::alpn) == Some(H2);
        // Who has proven nothing has nothing to prove anew.
        let proven = shaken.as_ref().is_some_and(|shaken| shaken.leaf().is_some());
        let terms = terms.filter(|_| proven);
        let shown_under = terms.clone();
        let stream = Severable::new(stream);
        let connection = stream.connection();
        let stream = TokioIo::new(stream);
        let flow = Arc::new(Flow::default());
        let counted = Arc::clone(&flow);
        let switched = Arc::new(Mutex::new(None));
        let switching = Arc::clone(&switched);
        // Over HTTP/2 one stream of several would be the WebSocket (RFC 8441): nobody offers that.
        let websocket_idle = bounds.websocket_idle.filter(|_| !h2);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let client = websocket_idle.map(|_| hyper::upgrade::on(&mut request));
            let known = request.extensions_mut();
            known.insert(ConnectInfo(peer));
            known.insert(PeerAddr(peer.ip()));
            known.insert(connection.clone());
            if let Some(shaken) = &shaken {
                known.insert(Secured);
                known.insert(shaken.clone());
            }
            if client.is_some() {
                known.insert(Upgradable);
            }
            // Asked for each request: who does not acknowledge the end of an HTTP/2 connection can begin streams on it for ever.
            let html = accepts_html(request.headers());
            let valid = !shown_under.as_ref().is_some_and(are_replaced);
            let asked = valid.then(|| {
                let asked = router.clone().oneshot(request.map(Body::new));
                (asked, Held::of(&counted))
            });
            let switching = Arc::clone(&switching);
            async move {
                let Some((answer, held)) = asked else {
                    return Ok(outdated(html, h2).map(Counted::not));
                };
                let Ok(mut response) = answer.await;
                if let (Some(client), StatusCode::SWITCHING_PROTOCOLS) = (client, response.status()) {
                    let tunnel = Tunnel::new(client, hyper::upgrade::on(&mut response));
                    *switching.lock().unwrap_or_else(PoisonError::into_inner) = Some(tunnel);
                }
                Ok::<_, Infallible>(response.map(|body| Counted::new(body, held)))
            }
        });
        // One of the two, as the handshake has settled it: to find out by reading has no time limit.
        if h2 {
            let served = http2(bounds).serve_connection(stream, service);
            let end = http2::Connection::graceful_shutdown;
            drive(served, end, &flow, bounds, replaced(terms.clone()), &mut stopping).await?;
        } else {
            let served = http1(bounds).serve_connection(stream, service).with_upgrades();
            let end = http1::UpgradeableConnection::graceful_shutdown;
            drive(served, end, &flow, bounds, replaced(terms.clone()), &mut stopping).await?;
        }
        let tunnel = switched.lock().unwrap_or_else(PoisonError::into_inner).take();
        match (tunnel, websocket_idle) {
            (Some(tunnel), Some(idle)) => tokio::select! {
                passed = tunnel.run(idle, told(&mut stopping)) => passed,
                () = replaced(terms) => Err("who vouched for the client of a WebSocket may not count any more".into()),
            },
            _ => Ok(()),
        }
    }
}

/// Whether other terms hold than those that a client has proven itself by, or it can't be known any more.
fn are_replaced(terms: &watch::Receiver<Arc<ServerConfig>>) -> bool {
    terms.has_changed().unwrap_or(true)
}

/// The answer to what is asked on a connection that proves nothing any more.
fn outdated(html: bool, h2: bool) -> Response {
    let mut response = answer(
        StatusCode::MISDIRECTED_REQUEST,
        "Connect again",
        "Who vouches for clients has changed since this connection began. Ask again on a new connection.",
        html,
    );
    // HTTP/2 has no such field (RFC 9113 §8.2.2).
    if !h2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Ready when other terms hold than those that a client has proven itself by.
async fn replaced(terms: Option<watch::Receiver<Arc<ServerConfig>>>) {
    let replaced = match terms {
        Some(mut terms) => terms.changed().await.is_ok(),
        None => false,
    };
    if !replaced {
        std::future::pending::<()>().await;
    }
}

/// Serves a connection until it ends, is idle, was proven by what is `replaced`, or it is time to close. `end` has it end what is in flight, and take nothing more.
async fn drive<C: Future<Output = hyper::Result<()>>>(
    served: C,
    end: fn(Pin<&mut C>),
    flow: &Flow,
    bounds: Bounds,
    replaced: impl Future<Output = ()>,
    stopping: &mut watch::Receiver<Stage>,
) -> hyper::Result<()> {
    let (mut served, mut replaced) = (pin!(served), pin!(replaced));
    let mut ending = false;
    loop {
        let idle = if ending { CLOSING } else { bounds.idle_timeout };
        tokio::select! {
            served = served.as_mut() => return served,
            () = told(stopping), if !ending => {}
            () = replaced.as_mut(), if !ending => {}
            () = flow.rests_for(idle) => if ending { return Ok(()) },
        }
        end(served.as_mut());
        ending = true;
    }
}

fn http1(bounds: Bounds) -> http1::Builder {
    let mut server = http1::Builder::new();
    server
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(bounds.fields)
        .max_buf_size(usize::try_from(bounds.head).unwrap_or(usize::MAX));
    server
}

fn http2(bounds: Bounds) -> http2::Builder<TokioExecutor> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(bounds.head);
    server
}
