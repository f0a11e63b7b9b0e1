//! A connection that went on as a WebSocket, and the one to the server behind it.
//!
//! When it is time to leave, the client gets a close frame with the code 1001 (RFC 6455 §7.4.1) as soon as what the server says stands between
//! two frames, and a few seconds to answer it.

use std::future::poll_fn;
use std::io;
use std::mem;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jit_core::gate::farewell::Frames;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::sleep;

use super::CLOSING;
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

    /// Passes on what either says until both have ended, one breaks off, nothing has passed for `idle`, or it is time for `leaving`.
    pub(super) async fn run(self, idle: Duration, leaving: impl Future<Output = ()>) -> Result<(), BoxError> {
        let (client, server) = tokio::try_join!(self.client, self.server)?;
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        Ok(pass(&mut client, &mut server, idle, leaving).await?)
    }
}

/// A WebSocket on which nothing passes is noticed after `idle`, or twice that at the latest.
async fn pass<C, S>(
    client: &mut C,
    server: &mut S,
    idle: Duration,
    leaving: impl Future<Output = ()>,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut there, mut back) = (Way::new(), Way::new());
    let mut moved = false;
    let (mut patience, mut leaving) = (pin!(sleep(idle)), pin!(leaving));
    // Whether it is time to leave, and the client was told.
    let (mut leaves, mut parted) = (false, false);
    poll_fn(|cx| {
        leaves = leaves || leaving.as_mut().poll(cx).is_ready();
        back.pauses = leaves;
        let ended = [there.poll(cx, client, server)?, back.poll(cx, server, client)?];
        if ended.iter().all(Poll::is_ready) {
            return Poll::Ready(Ok(()));
        }
        // A grant that ends severs the client's connection, and wakes whoever has read from it. That must not go unnoticed where only the
        // server is waited for, be it to say something or to take it.
        if !there.over {
            let _ = Pin::new(&mut *client).poll_flush(cx)?;
        }
        if back.told && leaves && !parted {
            parted = true;
            patience.set(sleep(CLOSING));
        }
        moved |= mem::take(&mut there.moved) | mem::take(&mut back.moved);
        while patience.as_mut().poll(cx).is_ready() {
            if parted {
                return Poll::Ready(Ok(()));
            }
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
    /// Where frames begin in what was read.
    frames: Frames,
    /// Instead of the next frame comes the one that goes away.
    pauses: bool,
}

impl Way {
    fn new() -> Self {
        Self {
            buffer: vec![0; BUFFER].into_boxed_slice(),
            held: 0..0,
            over: false,
            told: false,
            moved: false,
            frames: Frames::after_head(),
            pauses: false,
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
            if self.pauses
                && let Some(last) = self.frames.going_away()
            {
                self.held = 0..last.len();
                self.buffer[self.held.clone()].copy_from_slice(&last);
                self.over = true;
                continue;
            }
            let mut buffer = ReadBuf::new(&mut self.buffer);
            if Pin::new(&mut *from).poll_read(cx, &mut buffer)?.is_pending() {
                ready!(Pin::new(&mut *to).poll_flush(cx))?;
                return Poll::Pending;
            }
            self.frames.sent(buffer.filled());
            self.held = 0..buffer.filled().len();
            self.over = self.held.is_empty();
            self.moved = true;
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use jit_core::gate::cut::Cut;
    use jit_tower::connection::Severable;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn what_is_said_passes_and_an_end_is_told() {
        let (mut client, mut inner) = duplex(64);
        let (mut outer, mut server) = duplex(64);
        let passing = tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND, pending()).await });
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
        let passing = tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND * 10, pending()).await });
        for _ in 0..10 {
            sleep(SECOND * 9).await;
            server.write_all(b"x").await.unwrap();
            assert_eq!(client.read_u8().await.unwrap(), b'x');
        }
        let ended = tokio::time::timeout(SECOND * 20, passing).await.unwrap();
        assert_eq!(ended.unwrap().unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_severed_ends_though_its_server_takes_nothing() {
        for has_ended in [false, true] {
            let (client, inner) = duplex(64);
            let (mut outer, mut server) = duplex(64);
            let mut inner = Severable::new(inner);
            let connection = inner.connection();
            let passing =
                tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND * 3600, pending()).await });
            if has_ended {
                server.shutdown().await.unwrap();
            }
            sleep(SECOND).await;
            let (mut said, mut says) = tokio::io::split(client);
            let talking = tokio::spawn(async move { says.write_all(&[0; 100_000]).await });
            sleep(SECOND).await;
            connection.sever(Cut::Revoked);
            let ended = tokio::time::timeout(SECOND * 60, passing).await.unwrap();
            let ended = ended.unwrap().unwrap_err();
            assert_eq!(ended.kind(), io::ErrorKind::ConnectionAborted, "{has_ended}");
            assert!(talking.await.unwrap().is_err());
            assert_eq!(said.read(&mut [0]).await.unwrap(), 0);
            drop(server);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_leaves_says_so_between_two_frames() {
        let (mut client, mut inner) = duplex(64);
        let (mut outer, mut server) = duplex(64);
        let (leave, left) = tokio::sync::oneshot::channel::<()>();
        let leaving = async { drop(left.await) };
        let passing = tokio::spawn(async move { pass(&mut inner, &mut outer, SECOND * 3600, leaving).await });
        server.write_all(b"\x82\x03ab").await.unwrap();
        let mut got = [0; 4];
        client.read_exact(&mut got).await.unwrap();
        leave.send(()).unwrap();
        // In the middle of a frame there is no room.
        let more = tokio::time::timeout(SECOND * 60, client.read_u8()).await;
        assert!(more.is_err(), "{more:?}");
        server.write_all(b"c").await.unwrap();
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert_eq!(last[..5], [b'c', 0x88, 24, 0x03, 0xe9]);
        // What the client answers still gets there.
        client.write_all(b"bye").await.unwrap();
        let mut got = [0; 3];
        server.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"bye");
        // And whoever answers nothing is not waited for.
        let ended = tokio::time::timeout(CLOSING * 2, passing).await.unwrap();
        ended.unwrap().unwrap();

        let (_client, mut inner) = duplex(64);
        let (mut outer, _server) = duplex(64);
        let passing = pass(&mut inner, &mut outer, SECOND * 3600, ready(()));
        tokio::time::timeout(CLOSING * 2, passing).await.unwrap().unwrap();
    }
}
