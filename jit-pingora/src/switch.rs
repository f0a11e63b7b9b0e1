//! A client's connection that can be ended from outside.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU8, Ordering};
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
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

const ON: u8 = 0;
const ANSWERING: u8 = 1;
const OFF: u8 = 2;

/// Ends one connection.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    state: AtomicU8,
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

    /// From now on nothing is read, and nothing written but an answer if there still has to be one. Whoever waits hears of it.
    pub(crate) fn end(&self, answering: bool) {
        self.state
            .store(if answering { ANSWERING } else { OFF }, Ordering::SeqCst);
        for waiting in [&self.reader, &self.writer] {
            let waker = waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }

    /// Polls unless the state forbids it, before or after.
    fn poll<T>(
        &self,
        waiting: &Mutex<Option<Waker>>,
        most: u8,
        cx: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let off = || self.state.load(Ordering::SeqCst) > most;
        if !off() {
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
        if off() {
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
        switch.poll(&switch.writer, ANSWERING, cx, |cx| poll(Pin::new(stream), cx))
    }
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, switch } = &mut *self;
        switch.poll(&switch.reader, ON, cx, |cx| Pin::new(stream).poll_read(cx, buf))
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
