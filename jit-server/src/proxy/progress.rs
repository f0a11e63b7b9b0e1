//! A request's body on its way to a server, and who is waited for.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::sync::Notify;

/// The server's turn: it takes what there is, or answers.
const SERVER: u8 = 0;
/// The client's turn: what it has not sent yet is waited for.
const CLIENT: u8 = 1;
/// The client broke off.
const BROKEN: u8 = 2;

/// Passes a body on, and says how it goes.
pub(super) struct Watched {
    body: Body,
    progress: Arc<Progress>,
}

/// How it goes with a body.
#[derive(Debug, Default)]
pub(super) struct Progress {
    turn: AtomicU8,
    moved: Notify,
}

/// Who was waited for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Late {
    /// It had something to send yet.
    Client,
    /// It had everything that there was.
    Server,
}

pub(super) fn watched(body: Body) -> (Watched, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let watched = Watched {
        body,
        progress: Arc::clone(&progress),
    };
    (watched, progress)
}

impl Progress {
    /// Waits for an answer, for as long as no more than `patience` passes without a part of the body.
    pub(super) async fn wait<T>(
        &self,
        answer: impl Future<Output = T>,
        patience: Duration,
    ) -> Result<T, Late> {
        let mut answer = pin!(answer);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return Ok(answer),
                () = self.moved.notified() => {}
                () = tokio::time::sleep(patience) => {
                    let client = self.turn.load(Ordering::Acquire) == CLIENT;
                    return Err(if client { Late::Client } else { Late::Server });
                }
            }
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        self.turn.load(Ordering::Acquire) == BROKEN
    }
}

impl HttpBody for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        let turn = match &polled {
            Poll::Pending => CLIENT,
            Poll::Ready(Some(Err(_))) => BROKEN,
            Poll::Ready(_) => SERVER,
        };
        self.progress.turn.store(turn, Ordering::Release);
        if polled.is_ready() {
            self.progress.moved.notify_one();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt as _;
    use tokio::time::sleep;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A body of so many parts, each of which takes so long.
    fn parts(count: u32, each: Duration) -> Body {
        let parts = stream::unfold(0, move |n| async move {
            sleep(each).await;
            (n < count).then(|| (Ok::<_, axum::Error>("part"), n + 1))
        });
        Body::from_stream(parts)
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_pause_is_too_long() {
        for (count, each, answers_after, expected) in [
            // An upload takes as long as it moves on.
            (100, SECOND * 9, SECOND * 9, Ok(())),
            (0, SECOND * 9, SECOND, Ok(())),
            (100, SECOND * 9, SECOND * 11, Err(Late::Server)),
            (0, Duration::ZERO, SECOND * 11, Err(Late::Server)),
            (2, SECOND * 11, SECOND, Err(Late::Client)),
        ] {
            let (mut body, progress) = watched(parts(count, each));
            let answer = async {
                while body.frame().await.is_some() {}
                sleep(answers_after).await;
            };
            let waited = progress.wait(answer, SECOND * 10).await;
            assert_eq!(waited, expected, "{count} {each:?} {answers_after:?}");
        }
    }
}
