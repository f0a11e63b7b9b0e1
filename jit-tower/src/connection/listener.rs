//! Severable connections for `axum::serve`.

use std::net::SocketAddr;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};

use crate::connection::{Connection, Severable};

/// A listener whose connections can be severed. See the [module's page](crate::connection).
///
/// ```no_run
/// # use axum::Router;
/// # use jit_tower::connection::{Accepted, SeverableListener};
/// # async fn serve(app: Router) -> std::io::Result<()> {
/// let listener = SeverableListener::new(tokio::net::TcpListener::bind("127.0.0.1:8080").await?);
/// axum::serve(listener, app.into_make_service_with_connect_info::<Accepted>()).await
/// # }
/// ```
#[derive(Debug)]
pub struct SeverableListener<L>(L);

impl<L: Listener<Addr = SocketAddr>> SeverableListener<L> {
    /// Wraps a listener: a TCP one, or one whose streams are TLS already.
    pub const fn new(listener: L) -> Self {
        Self(listener)
    }
}

impl<L: Listener<Addr = SocketAddr>> Listener for SeverableListener<L> {
    type Io = Severable<L::Io>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        let (stream, peer) = self.0.accept().await;
        (Severable::new(stream), peer)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// Where a connection came from, and the handle on it: what `ConnectInfo` holds behind a [`SeverableListener`].
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Accepted {
    /// The address at the other end.
    pub peer: SocketAddr,
    /// The handle.
    pub connection: Connection,
}

impl<L: Listener<Addr = SocketAddr>> Connected<IncomingStream<'_, SeverableListener<L>>> for Accepted {
    fn connect_info(stream: IncomingStream<'_, SeverableListener<L>>) -> Self {
        Self {
            peer: *stream.remote_addr(),
            connection: stream.io().connection(),
        }
    }
}
