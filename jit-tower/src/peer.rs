//! What is at the other end of the connection, and the handle on it.

use std::net::IpAddr;

use http::Extensions;
use jit_core::gate::Door;

use crate::connection::Connection;

/// The peer's address, for servers other than axum's: put it into each request's extensions from the accepted connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an address and nothing else")]
pub struct PeerAddr(pub IpAddr);

pub(crate) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    let told = extensions.get::<PeerAddr>().map(|peer| peer.0);
    #[cfg(feature = "axum")]
    let told = told.or_else(|| {
        use axum::extract::ConnectInfo;
        let accepted = extensions.get::<ConnectInfo<crate::connection::Accepted>>();
        let plain = || {
            extensions
                .get::<ConnectInfo<std::net::SocketAddr>>()
                .map(|info| info.0)
        };
        accepted
            .map(|info| info.0.peer)
            .or_else(plain)
            .map(|peer| peer.ip())
    });
    told
}

pub(crate) fn connection(extensions: &Extensions) -> Option<&Connection> {
    let told = extensions.get::<Connection>();
    #[cfg(feature = "axum")]
    let told = told.or_else(|| {
        use axum::extract::ConnectInfo;
        let accepted = extensions.get::<ConnectInfo<crate::connection::Accepted>>();
        accepted.map(|info| &info.0.connection)
    });
    told
}

/// What this door can do about a request with these extensions.
pub(crate) fn door(extensions: &Extensions) -> Door {
    let door = Door::new().counting_bytes();
    match connection(extensions) {
        Some(_) => door.severing(),
        None => door,
    }
}
