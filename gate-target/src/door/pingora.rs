//! The gate in a pingora proxy, with the worst upstream behind it.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
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
use tokio::task::JoinSet;

/// A proxy with one upstream.
struct To(SocketAddr);

#[async_trait]
impl ProxyHttp for To {
    type CTX = Ticket;

    fn new_ctx(&self) -> Ticket {
        Ticket::default()
    }

    // Off unless asked for: what comes behind a request is not answered then. The corpus has more to try with it.
    async fn early_request_filter(&self, session: &mut Session, _: &mut Ticket) -> pingora::Result<()> {
        session.set_pipelining_enabled(true);
        Ok(())
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Ticket) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// Why a row can't get its verdict here, although nobody gets in.
pub(super) fn excuse(row: &str) -> Option<&'static str> {
    Some(match row {
        "target-003" | "target-004" | "more-target-004" | "more-target-005" | "more-target-006"
        | "more-target-007" | "more-target-008" | "more-target-009" | "more-target-010"
        | "more-target-011" | "more-target-012" => {
            "pingora wants Host to be the target's authority to the byte, and refuses the rest by itself"
        }
        "target-026" | "more-target-085" | "more-target-086" | "more-target-087" | "more-target-088"
        | "more-target-089" | "more-target-090" | "more-target-091" | "more-target-092"
        | "more-target-093" | "more-target-094" | "more-target-095" | "more-target-096" => {
            "pingora refuses CONNECT by itself, with a status of its own"
        }
        "more-reqline-015" | "more-target-069" => {
            "pingora percent-encodes spaces in a target before anything sees it, for gate and upstream alike"
        }
        "framing-001" | "framing-002" | "more-framing-049" => {
            "the gate refuses a length that comes twice; where this is served, the server has dropped one before it asked"
        }
        "more-framing-112" | "more-framing-118" | "more-framing-124" => {
            "the connection ends with a request that is malformed, or that has a body and is refused"
        }
        _ => return None,
    })
}

/// Proxies to `application`. HTTP/1.1, and HTTP/2 without TLS. Pingora's own server would run until its process ends; here every
/// connection ends when this is dropped.
pub(super) async fn serve(listener: TcpListener, gate: Gate, application: SocketAddr) {
    let mut options = HttpServerOptions::default();
    options.h2c = true;
    let proxied = Jit::new(JitGate::new(gate), To(application));
    let mut proxy = http_proxy(&Arc::new(ServerConf::default()), proxied);
    proxy.server_options = Some(options);
    let app = Arc::new(Severing::new(proxy));
    let (_running, shutdown) = watch::channel(false);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("no connection was taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        // As pingora's own listener does it.
        let digest = SocketDigest::from_raw_fd(stream.as_raw_fd());
        let _ = digest.peer_addr.set(Some(peer.into()));
        let mut stream = Stream::from(stream);
        stream.set_socket_digest(digest);
        let (app, shutdown) = (Arc::clone(&app), shutdown.clone());
        connections.spawn(async move { app.process_new(Box::new(stream), &shutdown).await });
        while connections.try_join_next().is_some() {}
    }
}
