//! A listener of the endpoints' own.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::ConnectInfo;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::check::Authz;
use crate::metadata::BadMetadata;

/// Longest wait for a request head, the pause between two requests on one connection included: longer than the minute after which
/// balancers let go of idle connections themselves.
const HEAD_PATIENCE: Duration = Duration::from_secs(75);
/// Most bytes of a request head: the client's own, and what the balancer adds.
const HEAD_MAX: usize = 128 * 1024;
/// Most fields of a request head: what the gate lets a client send, and what balancers add.
const FIELDS_MAX: usize = 128;
/// Streams that one HTTP/2 connection may have at once.
#[cfg(feature = "grpc")]
const STREAMS: u32 = 256;
/// As [`HEAD_MAX`].
#[cfg(feature = "grpc")]
const HEAD_MAX_H2: u32 = 128 * 1024;
/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Authz {
    pub(crate) fn trusts(&self, peer: SocketAddr) -> bool {
        self.0.settings.proxies.trusts(peer.ip())
    }

    /// Answers on `listener` until dropped; then every connection is closed. HTTP/1.1, and with the feature `grpc` HTTP/2 without
    /// TLS as well. Let balancers alone reach it: peers that are not listed are closed at once.
    ///
    /// # Errors
    /// None so far: a connection that can't be accepted is waited out.
    pub async fn serve(&self, listener: TcpListener) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(self.0.settings.connections));
        let router = self.router();
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            if !self.trusts(peer) {
                self.complain(BadMetadata::UntrustedPeer);
                continue;
            }
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tracing::warn!(
                    limit = self.0.settings.connections,
                    "too many connections; one is closed"
                );
                continue;
            };
            let router = router.clone();
            connections.spawn(async move {
                converse(stream, peer, router).await;
                drop(place);
            });
        }
    }
}

async fn converse(stream: TcpStream, peer: SocketAddr, router: axum::Router) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection stays slow");
    }
    let service = TowerToHyperService::new(router.layer(Extension(ConnectInfo(peer))));
    let mut server = Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_headers(FIELDS_MAX)
        .max_buf_size(HEAD_MAX);
    #[cfg(feature = "grpc")]
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(HEAD_PATIENCE)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEAD_MAX_H2);
    if let Err(error) = server.serve_connection(TokioIo::new(stream), service).await {
        tracing::debug!(error, "a connection ended early");
    }
}
