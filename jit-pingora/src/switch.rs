//! A client's connection that can be ended from outside.

use std::io::{self, Cursor};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use async_trait::async_trait;
use pingora::protocols::http::ServerSession;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::{SslDigest, TlsRef};
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream,
    TimingDigest, UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::timeout;

/// How long a peer that was told why may still take what was sent to it.
const LINGER: Duration = Duration::from_secs(1);

/// What still passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum State {
    On,
    /// An answer, or the last words on one.
    Answering,
    Off,
}

/// Ends one connection.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    state: AtomicU8,
    /// Somebody was told.
    noticed: AtomicBool,
    lingers: AtomicBool,
    reader: Mutex<Option<Waker>>,
    writer: Mutex<Option<Waker>>,
}

impl Switch {
    /// The switch of a session over HTTP/1. Those over HTTP/2 share their connection with others, which go on.
    pub(crate) fn of(session: &ServerSession) -> Option<Arc<Self>> {
        let stream = session.as_http1().and_then(|_| session.stream())?;
        let switched = (**stream).as_any().downcast_ref::<Switched>()?;
        Some(Arc::clone(&switched.switch))
    }

    /// From now on nothing passes but what this state lets pass. Whoever waits hears of it.
    pub(crate) fn set(&self, state: State) {
        self.noticed.store(false, Ordering::SeqCst);
        self.state.store(state as u8, Ordering::SeqCst);
        for waiting in [&self.reader, &self.writer] {
            let waker = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Whether pingora knows that it has to come to an end.
    pub(crate) fn is_noticed(&self) -> bool {
        self.noticed.load(Ordering::SeqCst)
    }

    /// The last words were said: the client gets the time to take them. Closing a socket that has unread octets would take them back.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Ordering::SeqCst);
    }

    fn is_beyond(&self, most: State) -> bool {
        self.state.load(Ordering::SeqCst) > most as u8
    }

    /// Polls unless the state forbids it, before or after.
    fn poll<T>(
        &self,
        waiting: &Mutex<Option<Waker>>,
        most: State,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if !self.is_beyond(most) {
            match poll(cx) {
                Poll::Pending => {
                    let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                    match &mut *waiting {
                        Some(waker) => waker.clone_from(cx.waker()),
                        none => *none = Some(cx.waker().clone()),
                    }
                }
                ready @ Poll::Ready(_) => return ready,
            }
        }
        // Looked at again after the waker is there: no end is missed in between.
        if self.is_beyond(most) {
            self.noticed.store(true, Ordering::SeqCst);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::ConnectionAborted,
                "the grant has ended",
            )));
        }
        Poll::Pending
    }
}

/// A connection with its switch.
#[derive(Debug)]
pub(crate) struct Switched {
    stream: Stream,
    switch: Arc<Switch>,
}

impl Switched {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            switch: Arc::default(),
        }
    }

    fn write<T>(
        &mut self,
        cx: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut Stream>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Self { stream, switch } = self;
        let polled = switch.poll(&switch.writer, State::Answering, cx, |cx| {
            poll(Pin::new(&mut *stream), cx)
        });
        if polled.is_ready() {
            self.part(cx);
        }
        polled
    }

    /// Once nothing passes, the client hears of the end however long pingora takes for its own.
    fn part(&mut self, cx: &mut Context<'_>) {
        if self.switch.is_beyond(State::Answering) {
            // What can't be sent at once is given up with the connection.
            let _: Poll<io::Result<()>> = Pin::new(&mut self.stream).poll_shutdown(cx);
        }
    }
}

impl Drop for Switched {
    fn drop(&mut self) {
        if !self.switch.lingers.load(Ordering::SeqCst) {
            return;
        }
        let nothing: Stream = Box::new(Cursor::new(Vec::new()));
        let stream = std::mem::replace(&mut self.stream, nothing);
        if let Ok(runtime) = Handle::try_current() {
            // Whether the client took them or not, the connection is over.
            runtime.spawn(async { timeout(LINGER, leave(stream)).await });
        }
    }
}

/// Says that nothing more will come, and reads until the client has left.
async fn leave(mut stream: Stream) -> io::Result<()> {
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await?;
    let mut buffer = [0; 1024];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, switch } = &mut *self;
        let polled = switch.poll(&switch.reader, State::On, cx, |cx| {
            Pin::new(&mut *stream).poll_read(cx, buf)
        });
        if polled.is_ready() {
            self.part(cx);
        }
        polled
    }
}

impl AsyncWrite for Switched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.write(cx, |stream, cx| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.write(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}

#[async_trait]
impl Shutdown for Switched {
    async fn shutdown(&mut self) {
        self.stream.shutdown().await;
    }
}

#[async_trait]
impl Peek for Switched {
    async fn try_peek(&mut self, buf: &mut [u8]) -> io::Result<bool> {
        self.stream.try_peek(buf).await
    }
}

impl UniqueID for Switched {
    fn id(&self) -> UniqueIDType {
        self.stream.id()
    }
}

impl Ssl for Switched {
    fn get_ssl(&self) -> Option<&TlsRef> {
        self.stream.get_ssl()
    }

    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.stream.get_ssl_digest()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.stream.selected_alpn_proto()
    }
}

impl GetTimingDigest for Switched {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        self.stream.get_timing_digest()
    }

    fn get_read_pending_time(&self) -> Duration {
        self.stream.get_read_pending_time()
    }

    fn get_write_pending_time(&self) -> Duration {
        self.stream.get_write_pending_time()
    }
}

impl GetProxyDigest for Switched {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        self.stream.get_proxy_digest()
    }

    fn set_proxy_digest(&mut self, digest: ProxyDigest) {
        self.stream.set_proxy_digest(digest);
    }
}

impl GetSocketDigest for Switched {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        self.stream.get_socket_digest()
    }

    fn set_socket_digest(&mut self, digest: SocketDigest) {
        self.stream.set_socket_digest(digest);
    }
}
