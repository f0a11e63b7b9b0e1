//! What of a connection is in flight.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;

/// How many requests of one connection are in flight.
#[derive(Debug, Default)]
pub(super) struct Flow {
    requests: AtomicUsize,
    changed: Notify,
}

impl Flow {
    /// Ready when nothing was in flight for this long.
    pub(super) async fn rests_for(&self, time: Duration) {
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
pub(super) struct Held(Arc<Flow>);

impl Held {
    pub(super) fn of(flow: &Arc<Flow>) -> Self {
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
pub(super) struct Counted {
    body: Body,
    _held: Option<Held>,
}

impl Counted {
    pub(super) const fn new(body: Body, held: Held) -> Self {
        Self {
            body,
            _held: Some(held),
        }
    }

    /// One that keeps no connection open.
    pub(super) const fn not(body: Body) -> Self {
        Self { body, _held: None }
    }
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
