//! What stands between a body and whoever reads it: octets are counted, and nothing passes once the grant has ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http_body::Frame;
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::{Direction, Flight, Stop, Watch};

type Reserving = Pin<Box<dyn Future<Output = Result<(), Cut>> + Send>>;

/// Guards one body of a request in flight.
pub(crate) struct Guard<D> {
    watch: Watch,
    direction: Direction,
    /// A frame that waits for budget, and how many of its octets have some.
    held: Option<Box<(Frame<D>, u64)>>,
    reserving: Option<Reserving>,
    /// Somebody else waits for the end.
    is_watched: bool,
}

/// What became of a poll.
pub(crate) enum Step<D> {
    /// Pass this on.
    Pass(Frame<D>),
    /// Poll the body.
    Poll,
    /// Cut.
    Cut(Cut),
}

impl<D: bytes::Buf> Guard<D> {
    pub(crate) const fn new(flight: Arc<Flight>, direction: Direction) -> Self {
        Self {
            watch: Watch::new(flight),
            direction,
            held: None,
            reserving: None,
            is_watched: false,
        }
    }

    /// Leaves it to somebody else to wait for the end, by [`Guard::cut`], and to poll the body then.
    pub(crate) const fn leave_watch(&mut self) {
        self.is_watched = true;
    }

    /// Ready when the body is to be cut.
    pub(crate) fn cut(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        self.watch.poll_cut(cx)
    }

    pub(crate) const fn flight(&self) -> &Arc<Flight> {
        self.watch.flight()
    }

    /// Whether a frame waits in here that the body has handed over already.
    pub(crate) const fn holds_a_frame(&self) -> bool {
        self.held.is_some()
    }

    /// What is to be done before the body is polled.
    pub(crate) fn before(&mut self, cx: &mut Context<'_>) -> Poll<Step<D>> {
        if let Some(reserving) = &mut self.reserving {
            match reserving.as_mut().poll(cx) {
                Poll::Pending => return self.waits(cx).map(Step::Cut),
                Poll::Ready(Err(cut)) => return Poll::Ready(Step::Cut(cut)),
                Poll::Ready(Ok(())) => self.reserving = None,
            }
        }
        match self.held.take() {
            Some(held) => self.count(cx, held.0, held.1),
            None => Poll::Ready(Step::Poll),
        }
    }

    /// What is to be done with a frame of the body.
    pub(crate) fn frame(&mut self, cx: &mut Context<'_>, frame: Frame<D>) -> Poll<Step<D>> {
        self.count(cx, frame, 0)
    }

    /// Ready when what can't go on now never will.
    pub(crate) fn waits(&mut self, cx: &mut Context<'_>) -> Poll<Cut> {
        if self.is_watched {
            return Poll::Pending;
        }
        self.cut(cx)
    }

    /// Counts a frame whole or not at all: what was taken of the budget for one that is then cut is lost.
    fn count(&mut self, cx: &mut Context<'_>, frame: Frame<D>, mut counted: u64) -> Poll<Step<D>> {
        let octets = frame.data_ref().map_or(0, |data| data.remaining() as u64);
        loop {
            let flight = self.watch.flight();
            match flight.pass(self.direction, octets.saturating_sub(counted)) {
                Err(Stop::Cut(cut)) => return Poll::Ready(Step::Cut(cut)),
                Ok(passed) => counted = counted.saturating_add(passed),
                Err(Stop::Reserve) => {
                    let flight = Arc::clone(flight);
                    let mut reserving: Reserving = Box::pin(async move { flight.reserve().await });
                    match reserving.as_mut().poll(cx) {
                        Poll::Ready(Ok(())) => {}
                        Poll::Ready(Err(cut)) => return Poll::Ready(Step::Cut(cut)),
                        Poll::Pending => {
                            self.held = Some(Box::new((frame, counted)));
                            self.reserving = Some(reserving);
                            return self.waits(cx).map(Step::Cut);
                        }
                    }
                }
            }
            if counted >= octets {
                return Poll::Ready(Step::Pass(frame));
            }
        }
    }
}
