//! Connections that can be severed under whoever uses them.
//!
//! A body that is polled ends itself when its grant does. Two things are out of a body's reach: a connection that went on in another protocol
//! (a WebSocket), and one whose peer does not read what was sent. For those the layer needs the connection itself:
//!
//! 1. Wrap each accepted stream in [`Severable`], outside TLS, and put [`Severable::connection`] into the extensions of each of its requests. With
//!    axum, [`SeverableListener`] and `into_make_service_with_connect_info::<Accepted>()` do both.
//! 2. An upgrade to WebSocket is then admitted under a grant like any request. What passes counts as use of the grant. At the grant's end the
//!    client gets a close frame (code 1008) that says why, if the stream stands between two frames; then the connection is severed.
//! 3. A response that its peer does not take, and that has not ended [`GRACE`] after its grant, takes its connection with it, and all other
//!    streams of that connection.
//!
//! Without a [`Connection`] upgrades are refused on what is protected.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use jit_core::gate::cut::Cut;
use jit_core::gate::flight::Flight;
use tokio::task::AbortHandle;

#[cfg(feature = "axum")]
mod listener;
mod severable;

#[cfg(feature = "axum")]
pub use listener::{Accepted, SeverableListener};
pub use severable::Severable;

/// How long after its grant's end a response may still be ended in order, before its connection is severed.
pub const GRACE: Duration = Duration::from_millis(50);

/// A handle on an accepted connection, for a request's extensions. Clones are the same connection.
#[derive(Clone)]
pub struct Connection {
    line: Arc<dyn Line>,
}

/// What a handle can do, whatever the connection is made of.
trait Line: Send + Sync {
    /// Ends it, with a last frame where there is room for one.
    fn sever(&self, cut: Cut);
    /// What passes from here on belongs to this flight.
    fn carry(&self, flight: Arc<Flight>, guard: AbortHandle);
}

impl Connection {
    fn new(line: Arc<dyn Line>) -> Self {
        Self { line }
    }

    /// Ends the connection now. Whoever reads from it or writes to it gets an error.
    pub fn sever(&self, cut: Cut) {
        self.line.sever(cut);
    }

    /// The connection has become this flight: it counts what passes, and ends with it.
    pub(crate) fn carry(&self, flight: Arc<Flight>) {
        let (connection, watched) = (Arc::downgrade(&self.line), Arc::clone(&flight));
        let guard = tokio::spawn(async move {
            let cut = watched.cut().await;
            if let Some(line) = connection.upgrade() {
                line.sever(cut);
            }
        });
        self.line.carry(flight, guard.abort_handle());
    }

    /// Severs the connection if this flight's response is still there [`GRACE`] after its end.
    pub(crate) fn reap(self, flight: Arc<Flight>) -> Reaper {
        let task = tokio::spawn(async move {
            let cut = flight.cut().await;
            drop(flight);
            tokio::time::sleep(GRACE).await;
            self.sever(cut);
        });
        Reaper(task.abort_handle())
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

/// Held by a response for as long as it is there.
#[derive(Debug)]
pub(crate) struct Reaper(AbortHandle);

impl Drop for Reaper {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Polls something once for whoever is not waiting for it.
fn once<T>(poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    poll(&mut Context::from_waker(std::task::Waker::noop()))
}
