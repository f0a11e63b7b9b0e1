//! A listener, its connections, and what bounds them.
//!
//! # Rules
//! 1. Connections are limited in number; one more is closed at once.
//! 2. A request's head has a time limit over HTTP/1.1, and a TLS handshake the same, ten seconds at most. A head's size and the number of its
//!    fields are limited. An HTTP/2 connection has at most 100 streams.
//! 3. A connection on which nothing is in flight for a while is closed, whatever else its peer does.
//! 4. Every connection can be severed, so that a grant's end reaches it ([`jit_tower::connection`]).
//! 5. Told to stop, a listener takes no more connections, lets what is in flight end and says so to its peers. Dropped, it ends them.
//!
//! Without TLS it speaks HTTP/1.1 alone.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::ConnectInfo;
use bytes::Bytes;
use http::Request;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use jit_core::gate::hygiene::TrustedProxies;
use jit_tower::PeerAddr;
use jit_tower::connection::Severable;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use super::{measures, tls};

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
}

/// Takes connections for a router.
pub(super) struct Door {
    pub(super) name: &'static str,
    pub(super) listener: TcpListener,
    pub(super) tls: Option<TlsAcceptor>,
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
            let (name, tls) = (self.name, self.tls.clone());
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
    async fn take(self, stream: TcpStream, tls: Option<TlsAcceptor>) -> Result<(), crate::BoxError> {
        stream.set_nodelay(true)?;
        let Some(tls) = tls else {
            return self.speak(stream, false, false).await;
        };
        let mut stopping = self.stopping.clone();
        let patience = self.bounds.head_timeout.min(HANDSHAKE_MAX);
        let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the TLS handshake took too long");
        let stream = tokio::select! {
            shaken = tokio::time::timeout(patience, tls.accept(stream)) => shaken.map_err(late)??,
            () = told(&mut stopping) => return Ok(()),
        };
        let h2 = stream.get_ref().1.alpn_protocol() == Some(tls::H2);
        self.speak(stream, true, h2).await
    }

    async fn speak<T>(self, stream: T, secured: bool, h2: bool) -> Result<(), crate::BoxError>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            peer,
            bounds,
            router,
            mut stopping,
        } = self;
        let stream = Severable::new(stream);
        let connection = stream.connection();
        let flow = Arc::new(Flow::default());
        let counted = Arc::clone(&flow);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let known = request.extensions_mut();
            known.insert(ConnectInfo(peer));
            known.insert(PeerAddr(peer.ip()));
            known.insert(connection.clone());
            if secured {
                known.insert(Secured);
            }
            let held = Held::of(&counted);
            let answer = router.clone().oneshot(request.map(Body::new));
            async move {
                let Ok(response) = answer.await;
                Ok::<_, Infallible>(response.map(|body| Counted { body, _held: held }))
            }
        });
        let server = server(bounds, h2);
        let mut served = pin!(server.serve_connection(TokioIo::new(stream), service));
        let mut ending = false;
        loop {
            let idle = if ending { CLOSING } else { bounds.idle_timeout };
            tokio::select! {
                served = served.as_mut() => return served,
                () = told(&mut stopping), if !ending => {}
                () = flow.rests_for(idle) => if ending { return Ok(()) },
            }
            served.as_mut().graceful_shutdown();
            ending = true;
        }
    }
}

fn server(bounds: Bounds, h2: bool) -> Builder<TokioExecutor> {
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(bounds.head_timeout)
        .max_headers(bounds.fields)
        .max_buf_size(usize::try_from(bounds.head).unwrap_or(usize::MAX));
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(bounds.head);
    // One of the two, as the handshake has settled it: to find out by reading has no time limit.
    if h2 {
        server.http2_only()
    } else {
        server.http1_only()
    }
}

/// How many requests of one connection are in flight.
#[derive(Debug, Default)]
struct Flow {
    requests: AtomicUsize,
    changed: Notify,
}

impl Flow {
    /// Ready when nothing was in flight for this long.
    async fn rests_for(&self, time: Duration) {
        loop {
            let changed = self.changed.notified();
            if self.requests.load(Ordering::Acquire) != 0 {
                changed.await;
            } else if tokio::time::timeout(time, changed).await.is_err() {
                return;
            }
        }
    }
}

/// A request in flight, until dropped.
struct Held(Arc<Flow>);

impl Held {
    fn of(flow: &Arc<Flow>) -> Self {
        flow.requests.fetch_add(1, Ordering::AcqRel);
        flow.changed.notify_one();
        Self(Arc::clone(flow))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

/// A response's body, in flight until it is dropped.
struct Counted {
    body: Body,
    _held: Held,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
