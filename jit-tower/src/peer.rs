//! What is at the other end of the connection, and the handle on it.

use std::net::IpAddr;

use http::Extensions;
use jit_core::gate::Door;

use crate::connection::Connection;

/// The peer's address, for servers other than axum's: put it into each request's extensions from the accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an address and nothing else")]
pub struct PeerAddr(pub IpAddr);

/// What is known of the other end of a request's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) peer: Option<IpAddr>,
    pub(crate) connection: Option<Connection>,
}

impl Client {
    pub(crate) fn of(extensions: &Extensions) -> Self {
        let client = Self {
            peer: extensions.get::<PeerAddr>().map(|peer| peer.0),
            connection: extensions.get::<Connection>().cloned(),
        };
        #[cfg(feature = "axum")]
        let client = client.or_as_axum_says(extensions);
        client
    }

    #[cfg(feature = "axum")]
    fn or_as_axum_says(self, extensions: &Extensions) -> Self {
        use axum::extract::ConnectInfo;

        use crate::connection::Accepted;

        let accepted = extensions
            .get::<ConnectInfo<Accepted>>()
            .map(|ConnectInfo(accepted)| accepted);
        let plain = || {
            let plain = extensions.get::<ConnectInfo<std::net::SocketAddr>>();
            plain.map(|ConnectInfo(peer)| *peer)
        };
        Self {
            peer: self.peer.or_else(|| {
                let peer = accepted.map(|accepted| accepted.peer).or_else(plain);
                peer.map(|peer| peer.ip())
            }),
            connection: self
                .connection
                .or_else(|| accepted.map(|accepted| accepted.connection.clone())),
        }
    }

    /// What this door can do about the request.
    pub(crate) const fn door(&self) -> Door {
        let door = Door::new().counting_bytes();
        match self.connection {
            Some(_) => door.severing(),
            None => door,
        }
    }
}
