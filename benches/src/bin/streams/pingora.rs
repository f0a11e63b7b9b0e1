//! A pingora proxy behind the gate, and the application as its upstream.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;

use async_trait::async_trait;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::gate::Gate;
use jit_pingora::{Jit, JitGate, Severing, Ticket};
use pingora::apps::{HttpServerOptions, ServerApp as _};
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::{GetSocketDigest as _, SocketDigest};
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::application::answer;
use crate::clients::STREAMS;

/// A proxy with one upstream, which is spoken to as the client speaks.
struct To(SocketAddr);

#[async_trait]
impl ProxyHttp for To {
    type CTX = Ticket;

    fn new_ctx(&self) -> Ticket {
        Ticket::default()
    }

    async fn upstream_peer(&self, session: &mut Session, _: &mut Ticket) -> pingora::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.0, false, String::new());
        if session.is_http2() {
            // A connection of its own for each of the streams would be more than a process may have open.
            peer.options.set_http_version(2, 2);
            peer.options.max_h2_streams = STREAMS;
        }
        Ok(Box::new(peer))
    }
}

/// HTTP/1.1, and HTTP/2 without TLS.
pub(crate) async fn over_pingora(listener: TcpListener, gate: Gate, application: SocketAddr) {
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    let guarded = Jit::new(JitGate::new(gate), To(application));
    let mut proxy = http_proxy(&Arc::new(ServerConf::default()), guarded);
    proxy.server_options = Some(options);
    let app = Arc::new(Severing::new(proxy));
    let (_running, shutdown) = watch::channel(false);
    while let Ok((stream, peer)) = listener.accept().await {
        // As pingora's own listener does it.
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let _ = digest.peer_addr.set(Some(peer.into()));
        let mut stream = Stream::from(stream);
        stream.set_socket_digest(digest);
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        tokio::spawn(async move { app.process_new(Box::new(stream), &shutdown).await });
    }
}

/// The application by itself.
pub(crate) async fn application(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let app = tower::service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            // A connection that fails concerns nobody but its client.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(app))
                .await;
        });
    }
}
