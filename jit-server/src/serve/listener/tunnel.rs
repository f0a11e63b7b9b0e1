//! A connection that went on as a WebSocket, and the one to the server behind it.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use crate::BoxError;

/// How much of either way is held here at most, in bytes.
const BUFFER: usize = 16 * 1024;

/// Two connections whose protocol changes at the same time.
pub(super) struct Tunnel {
    client: OnUpgrade,
    server: OnUpgrade,
}

impl Tunnel {
    pub(super) const fn new(client: OnUpgrade, server: OnUpgrade) -> Self {
        Self { client, server }
    }

    /// Passes on what either says until both have ended, one breaks off, or nothing has passed for `idle`.
    pub(super) async fn run(self, idle: Duration) -> Result<(), BoxError> {
        let (client, server) = tokio::try_join!(self.client, self.server)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        Ok(pass(&mut client, &mut server, idle).await?)
    }
}

/// A WebSocket on which nothing passes is noticed after `idle`, or twice that at the latest.
async fn pass<C, S>(client: &mut C, server: &mut S, idle: Duration) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Way::new(), Way::new());
    let mut moved = false;
    let mut patience = pin!(sleep(idle));
    poll_fn(|cx| {
        let ended = [there.poll(cx, client, server)?, back.poll(cx, server, client)?];
        if ended.iter().all(Poll::is_ready) {
            return Poll::Ready(Ok(()));
        }
        // A grant that ends severs the client's connection, and wakes whoever has read from it. That must not go unnoticed where only the
        // server is waited for.
        if !there.over && !back.over {
            let _ = Pin::new(&mut *client).poll_flush(cx)?;
        }
        moved |= mem::take(&mut there.moved) | mem::take(&mut back.moved);
        while patience.as_mut().poll(cx).is_ready() {
            if !mem::take(&mut moved) {
                let error = io::Error::new(
                    io::ErrorKind::TimedOut,
                    "nothing passed on a WebSocket for too long",
                );
                return Poll::Ready(Err(error));
            }
            patience.set(sleep(idle));
        }
        Poll::Pending
    })
    .await
}

/// One of the two ways.
struct Way {
    buffer: Box<[u8]>,
    /// What of the buffer was read and is not yet written.
    held: std::ops::Range<usize>,
    /// There is nothing more to read.
    over: bool,
    /// The other side was told.
    told: bool,
    /// Something was read or written since this was last asked.
    moved: bool,
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            held: 0..0,
            over: false,
            told: false,
            moved: false,
        }
    }

    /// Ready when one side has ended, and the other was told.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        while !self.told {
            while !self.held.is_empty() {
                let held = &self.buffer[self.held.clone()];
                let written = ready!(Pin::new(&mut *to).poll_write(cx, held))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.held.start += written;
                self.moved = true;
            }
            if self.over {
                ready!(Pin::new(&mut *to).poll_shutdown(cx))?;
                self.told = true;
                break;
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            if Pin::new(&mut *from).poll_read(cx, &mut buffer)?.is_pending() {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            }
            self.held = 0..buffer.filled().len();
            self.over = self.held.is_empty();
            self.moved = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_said_passes_and_an_end_is_told() {
        let (mut client, mut inner) = duplex(64);
        let (mut outer, mut server) = duplex(64);
        let passing = tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND).await });
        let long: Vec<u8> = (0..100_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let sent = long.clone();
        let sending = tokio::spawn(async move {
            client.write_all(&sent).await.unwrap();
            client.shutdown().await.unwrap();
            let mut answer = Vec::new();
            client.read_to_end(&mut answer).await.unwrap();
            answer
        });
        let mut got = Vec::new();
        server.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, long);
        server.write_all(b"thanks").await.unwrap();
        drop(server);
        assert_eq!(sending.await.unwrap(), b"thanks");
        passing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn only_one_on_which_nothing_passes_is_idle() {
        let (mut client, mut inner) = duplex(64);
        let (mut outer, mut server) = duplex(64);
        let passing = tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND * 10).await });
        for _ in 0..10 {
            sleep(SECOND * 9).await;
            server.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
        let ended = tokio::time::timeout(SECOND * 20, passing).await.unwrap();
        assert_eq!(ended.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}
