//! The body of an admitted request's answer: what passes is counted, and it ends with its grant.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jit_core::gate::cut::Cut;
use jit_core::gate::farewell::Events;
use jit_core::gate::flight::{Direction, Flight};
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::connection::{Connection, Reaper};
use crate::guard::{Guard, Step};

/// From how many octets on the connection is watched as well: a peer that does not read keeps more than this from being sent.
const REAP_FROM: u64 = 64 << 10;
/// The longest frame that is passed on. What was passed on can't be taken back, and a body whose last frame was is over, however long the
/// peer takes for it.
const FRAME_MAX: usize = 64 << 10;

/// What a body hands over.
pub(crate) type Handed = Result<Frame<Bytes>, BoxError>;

/// What came of a poll.
pub(crate) enum Next {
    Frame(Frame<Bytes>),
    /// The last there is, and nothing of the body is needed any more.
    Last(Option<Handed>),
}

pin_project! {
    /// A body with what follows it.
    pub(crate) struct AdmittedBody<B> {
        #[pin]
        body: B,
        guarded: Guarded,
    }
}

/// What the body of an admitted request has with it.
struct Guarded {
    guard: Guard<Bytes>,
    /// What is left of a frame that was too long for one.
    rest: Option<Bytes>,
    events: Option<Events>,
    connection: Option<Connection>,
    reaper: Option<Reaper>,
}

impl<B: Body<Data = Bytes>> AdmittedBody<B> {
    pub(crate) const fn new(
        body: B,
        flight: Arc<Flight>,
        events: Option<Events>,
        connection: Option<Connection>,
    ) -> Self {
        Self {
            body,
            guarded: Guarded {
                guard: Guard::new(flight, Direction::Sent),
                rest: None,
                events,
                connection,
                reaper: None,
            },
        }
    }

    /// Leaves it to somebody else to wait for the end, by [`AdmittedBody::poll_cut`].
    pub(crate) fn watched(mut self) -> Self {
        self.guarded.guard.leave_watch();
        self
    }

    /// Ready when it is to be cut, with the last there is to hand over.
    pub(crate) fn poll_cut(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Handed> {
        let guarded = self.project().guarded;
        let cut = ready!(guarded.guard.cut(cx));
        Poll::Ready(guarded.last(cut))
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        !self.guarded.holds_a_frame() && self.body.is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        if self.guarded.holds_a_frame() {
            return SizeHint::default();
        }
        self.body.size_hint()
    }
}

impl<B> AdmittedBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(crate) fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next> {
        let this = self.project();
        let guarded = this.guarded;
        let step = match ready!(guarded.guard.before(cx)) {
            Step::Poll => match guarded.poll_rest(this.body, cx) {
                Poll::Pending => Step::Cut(ready!(guarded.guard.waits(cx))),
                Poll::Ready(Some(Ok(frame))) => {
                    let frame = guarded.first_of(frame);
                    ready!(guarded.guard.frame(cx, frame))
                }
                Poll::Ready(other) => {
                    return Poll::Ready(Next::Last(other.map(|frame| frame.map_err(Into::into))));
                }
            },
            step => step,
        };
        match step {
            Step::Pass(frame) => {
                guarded.passes(&frame);
                Poll::Ready(Next::Frame(frame))
            }
            Step::Cut(cut) => Poll::Ready(Next::Last(Some(guarded.last(cut)))),
            // Nothing else asks for another poll; if it did, this would be the way to get it.
            Step::Poll => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl Guarded {
    /// Whether there is something in here that the body has handed over already.
    const fn holds_a_frame(&self) -> bool {
        self.guard.holds_a_frame() || self.rest.is_some()
    }

    /// What is left of the last frame, or else the next one.
    fn poll_rest<B: Body<Data = Bytes>>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        match self.rest.take() {
            Some(rest) => Poll::Ready(Some(Ok(Frame::data(rest)))),
            None => body.poll_frame(cx),
        }
    }

    /// As much of a frame as is passed on at once.
    fn first_of(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_data() {
            Ok(mut data) if data.len() > FRAME_MAX => {
                let first = data.split_to(FRAME_MAX);
                self.rest = Some(data);
                Frame::data(first)
            }
            Ok(data) => Frame::data(data),
            Err(frame) => frame,
        }
    }

    fn passes(&mut self, frame: &Frame<Bytes>) {
        if let (Some(events), Some(data)) = (&mut self.events, frame.data_ref()) {
            events.sent(data);
        }
        let flight = self.guard.flight();
        if self.reaper.is_none() && flight.passed(Direction::Sent) >= REAP_FROM {
            let connection = self.connection.take();
            self.reaper = connection.map(|connection| connection.reap(Arc::clone(flight)));
        }
    }

    /// The last words, where there are some.
    fn last(&self, cut: Cut) -> Handed {
        let words = self.events.as_ref().and_then(|events| events.last(cut));
        words
            .map(|words| Frame::data(words.into()))
            .ok_or_else(|| cut.into())
    }
}
