//! A body that can be taken from whoever holds it.
//!
//! Over HTTP/2 a body is not polled while its stream has no window, and a peer need never give one. What the body holds of the application
//! would stay there after the grant's end. So a task waits for that end beside it, and takes the body out when it comes.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http_body::{Body, SizeHint};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use crate::BoxError;
use crate::admitted::{AdmittedBody, Handed, Next};

/// Holds a body until it ends, is cut or is dropped, whichever is first.
pub(crate) struct Slot<B> {
    shared: Arc<Shared<B>>,
    task: AbortHandle,
}

struct Shared<B>(Mutex<State<B>>);

struct State<B> {
    body: Option<Pin<Box<AdmittedBody<B>>>>,
    /// What a body that was cut has left to be handed over.
    last: Option<Handed>,
    reader: Option<Waker>,
}

impl<B> Slot<B>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    /// Puts a body in here, with a task of `runtime` that waits for its end.
    pub(crate) fn new(body: AdmittedBody<B>, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared(Mutex::new(State {
            body: Some(Box::pin(body.watched())),
            last: None,
            reader: None,
        })));
        // The task keeps neither the body nor its flight.
        let weak = Arc::downgrade(&shared);
        let task = runtime.spawn(poll_fn(move |cx| match weak.upgrade() {
            Some(shared) => shared.poll_cut(cx),
            None => Poll::Ready(()),
        }));
        Self {
            shared,
            task: task.abort_handle(),
        }
    }
}

impl<B> Shared<B> {
    /// Nothing in here can be left half done by a panic.
    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<B: Body<Data = Bytes>> Shared<B> {
    fn poll_cut(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        let Some(body) = &mut state.body else {
            return Poll::Ready(());
        };
        state.last = Some(ready!(body.as_mut().poll_cut(cx)));
        let parts = (state.body.take(), state.reader.take());
        drop(state);
        let (body, reader) = parts;
        // What it holds may do anything when it is dropped; nobody is kept waiting meanwhile.
        drop(body);
        if let Some(reader) = reader {
            reader.wake();
        }
        Poll::Ready(())
    }
}

impl<B: Body<Data = Bytes>> Slot<B> {
    pub(crate) fn is_end_stream(&self) -> bool {
        let state = self.shared.state();
        let body = state.body.as_ref();
        state.last.is_none() && body.is_none_or(|body| body.is_end_stream())
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        let state = self.shared.state();
        match &state.body {
            Some(body) => body.size_hint(),
            None if state.last.is_some() => SizeHint::default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B> Slot<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Handed>> {
        let mut state = self.shared.state();
        if let Some(last) = state.last.take() {
            return Poll::Ready(Some(last));
        }
        let Some(body) = &mut state.body else {
            return Poll::Ready(None);
        };
        match body.as_mut().poll_next(cx) {
            Poll::Pending => {
                match &mut state.reader {
                    Some(reader) => reader.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
            Poll::Ready(Next::Frame(frame)) => Poll::Ready(Some(Ok(frame))),
            Poll::Ready(Next::Last(last)) => {
                let body = state.body.take();
                drop(state);
                drop(body);
                Poll::Ready(last)
            }
        }
    }
}

impl<B> Drop for Slot<B> {
    fn drop(&mut self) {
        self.task.abort();
    }
}
