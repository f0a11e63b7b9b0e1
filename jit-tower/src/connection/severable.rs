//! The stream that can be severed.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use jit_core::gate::cut::Cut;
use jit_core::gate::farewell::Frames;
use jit_core::gate::flight::{Direction, Flight, Stop};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::AbortHandle;

use crate::connection::{Connection, Line, once};

/// How long a peer that was told why may still take what was sent to it.
const LINGER: Duration = Duration::from_secs(1);

/// An accepted stream that can be severed from outside. See the [module's page](crate::connection).
pub struct Severable<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    state: Mutex<State<T>>,
}

struct State<T> {
    stream: Option<T>,
    cut: Option<Cut>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    upgraded: Option<Upgraded>,
}

/// A connection that has become one flight.
struct Upgraded {
    flight: Arc<Flight>,
    guard: AbortHandle,
    frames: Frames,
}

impl Drop for Upgraded {
    fn drop(&mut self) {
        self.guard.abort();
    }
}

impl<T> Severable<T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    /// Wraps an accepted stream: the one that HTTP is spoken on, outside TLS.
    pub fn new(stream: T) -> Self {
        let state = State {
            stream: Some(stream),
            cut: None,
            reader: None,
            writer: None,
            upgraded: None,
        };
        Self {
            shared: Arc::new(Shared {
                state: Mutex::new(state),
            }),
        }
    }

    /// The handle for the extensions of each of its requests.
    pub fn connection(&self) -> Connection {
        Connection::new(Arc::<Shared<T>>::clone(&self.shared))
    }
}

impl<T> Shared<T> {
    /// Nothing in here can be left half done by a panic.
    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line for Shared<T>
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    fn sever(&self, cut: Cut) {
        let mut state = self.state();
        state.cut.get_or_insert(cut);
        let stream = state.stream.take();
        let close = state
            .upgraded
            .take()
            .and_then(|upgraded| upgraded.frames.close(cut));
        let waiting = [state.reader.take(), state.writer.take()];
        drop(state);
        if let (Some(stream), Some(close)) = (stream, close) {
            part(stream, &close);
        }
        waiting.into_iter().flatten().for_each(Waker::wake);
    }

    fn carry(&self, flight: Arc<Flight>, guard: AbortHandle) {
        let upgraded = Upgraded {
            flight,
            guard,
            frames: Frames::with_head(),
        };
        let mut state = self.state();
        if state.stream.is_some() {
            state.upgraded = Some(upgraded);
        }
    }
}

/// Sends the last frame if it can be sent at once, and lets the peer take it: closing a socket that has unread octets would take it back.
fn part<T>(mut stream: T, close: &[u8])
where
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let sent = once(|cx| Pin::new(&mut stream).poll_write(cx, close));
    if !matches!(sent, Poll::Ready(Ok(octets)) if octets == close.len()) {
        return;
    }
    tokio::spawn(async move {
        let leave = async {
            poll_fn(|cx| Pin::new(&mut stream).poll_shutdown(cx)).await?;
            let mut buffer = [0; 1024];
            loop {
                let mut buffer = ReadBuf::new(&mut buffer);
                poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await?;
                if buffer.filled().is_empty() {
                    return Ok::<_, io::Error>(());
                }
            }
        };
        // Whether the peer took it or not, the connection is over.
        let _ = tokio::time::timeout(LINGER, leave).await;
    });
}

impl<T> State<T>
where
    T: AsyncRead + AsyncWrite + Unpin,
{
    fn stream(&mut self) -> io::Result<&mut T> {
        let cut = self.cut;
        self.stream.as_mut().ok_or_else(|| match cut {
            Some(cut) => io::Error::new(io::ErrorKind::ConnectionAborted, cut),
            None => io::ErrorKind::NotConnected.into(),
        })
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(self.stream()?).poll_read(cx, buffer);
        if polled.is_pending() {
            keep(&mut self.reader, cx);
            return Poll::Pending;
        }
        ready!(polled)?;
        self.passes(Direction::Received, buffer.filled().len() - before)
            .inspect_err(|_| buffer.set_filled(before))
            .into()
    }

    /// Writes by `write`; `data` are the octets that it writes of, in order.
    fn write<'d>(
        &mut self,
        cx: &mut Context<'_>,
        data: impl Iterator<Item = &'d [u8]>,
        write: impl FnOnce(Pin<&mut T>, &mut Context<'_>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        // What is written can't be taken back: it is asked before.
        self.passes(Direction::Sent, 0)?;
        let polled = write(Pin::new(self.stream()?), cx);
        if polled.is_pending() {
            keep(&mut self.writer, cx);
            return Poll::Pending;
        }
        let written = ready!(polled)?;
        self.passes(Direction::Sent, written)?;
        if let Some(upgraded) = &mut self.upgraded {
            let mut left = written;
            for part in data {
                let part = part.get(..left.min(part.len())).unwrap_or_default();
                upgraded.frames.sent(part);
                left -= part.len();
            }
        }
        Poll::Ready(Ok(written))
    }

    /// Counts octets of an upgraded connection. Its grant has no limit on them: with one it would not have been admitted.
    fn passes(&mut self, direction: Direction, octets: usize) -> io::Result<()> {
        let Some(upgraded) = &self.upgraded else {
            return Ok(());
        };
        let octets = u64::try_from(octets).unwrap_or(u64::MAX);
        let cut = match upgraded.flight.pass(direction, octets) {
            Ok(_) => return Ok(()),
            Err(Stop::Cut(cut)) => cut,
            Err(Stop::Reserve) => Cut::BudgetUnavailable,
        };
        // The task that waits for the end closes it in order.
        Err(io::Error::new(io::ErrorKind::ConnectionAborted, cut))
    }

    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(self.stream()?).poll_flush(cx);
        if polled.is_pending() {
            keep(&mut self.writer, cx);
        }
        polled
    }

    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Ok(stream) = self.stream() else {
            return Poll::Ready(Ok(()));
        };
        let polled = Pin::new(stream).poll_shutdown(cx);
        if polled.is_pending() {
            keep(&mut self.writer, cx);
        }
        polled
    }
}

/// Remembers whom to wake when the stream is severed.
fn keep(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncRead for Severable<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.shared.state().read(cx, buffer)
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Severable<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let one = std::iter::once(data);
        self.shared
            .state()
            .write(cx, one, |stream, cx| stream.poll_write(cx, data))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = data.iter().map(|part| &**part);
        let mut state = self.shared.state();
        state.write(cx, all, |stream, cx| stream.poll_write_vectored(cx, data))
    }

    fn is_write_vectored(&self) -> bool {
        let state = self.shared.state();
        state.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.state().flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.shared.state().shutdown(cx)
    }
}

/// Whoever held a handle could keep the socket open otherwise.
impl<T> Drop for Severable<T> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let parts = (state.stream.take(), state.upgraded.take());
        drop(state);
        drop(parts);
    }
}

impl<T> fmt::Debug for Severable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Severable").finish_non_exhaustive()
    }
}
