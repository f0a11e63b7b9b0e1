use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::{Direction, Flight};
use pin_project_lite::pin_project;

use crate::BoxError;
use crate::connection::{Connection, Reaper};
use crate::farewell::Farewell;
use crate::guard::{Guard, Step};

pin_project! {
    /// The request's body on its way to the inner service: its data while the grant lasts, and never its trailers.
    ///
    /// Trailers come after the decision. A service that merges them into the header would let them say what the decision took away:
    /// an identity, another path (CVE-2026-88004).
    ///
    /// # Errors
    /// A [`Cut`] when the grant ends before the body; otherwise the body's own error.
    pub struct RequestBody<B: Body> {
        #[pin]
        body: B,
        guard: Option<Guard<B::Data>>,
        over: bool,
    }
}

impl<B: Body> RequestBody<B> {
    pub(crate) fn new(body: B, flight: Option<Arc<Flight>>) -> Self {
        // What has no data needs no guard.
        let guard = flight
            .filter(|_| !body.is_end_stream())
            .map(|flight| Guard::new(flight, Direction::Received));
        Self {
            body,
            guard,
            over: false,
        }
    }
}

impl<B> Body for RequestBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        if *this.over {
            return Poll::Ready(None);
        }
        let cut = 'cut: {
            if let Some(guard) = this.guard {
                match ready!(guard.before(cx)) {
                    Step::Pass(frame) => return Poll::Ready(Some(Ok(frame))),
                    Step::Cut(cut) => break 'cut cut,
                    Step::Poll => {}
                }
            }
            loop {
                let polled = this.body.as_mut().poll_frame(cx);
                match (polled, this.guard.as_mut()) {
                    (Poll::Ready(Some(Ok(frame))), _) if frame.is_trailers() => {}
                    (Poll::Ready(Some(Ok(frame))), Some(guard)) => match ready!(guard.frame(cx, frame)) {
                        Step::Pass(frame) => return Poll::Ready(Some(Ok(frame))),
                        Step::Cut(cut) => break 'cut cut,
                        Step::Poll => {}
                    },
                    (Poll::Pending, Some(guard)) => break 'cut ready!(guard.waits(cx)),
                    (Poll::Pending, None) => return Poll::Pending,
                    (Poll::Ready(other), _) => {
                        return Poll::Ready(other.map(|frame| frame.map_err(Into::into)));
                    }
                }
            }
        };
        *this.over = true;
        *this.guard = None;
        Poll::Ready(Some(Err(cut.into())))
    }

    fn is_end_stream(&self) -> bool {
        let waits = self.guard.as_ref().is_some_and(Guard::holds_a_frame);
        self.over || (self.body.is_end_stream() && !waits)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.guard {
            _ if self.over => SizeHint::with_exact(0),
            Some(guard) if guard.holds_a_frame() => SizeHint::default(),
            _ => self.body.size_hint(),
        }
    }
}

impl<B: Body> fmt::Debug for RequestBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("guarded", &self.guard.is_some())
            .field("over", &self.over)
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The inner service's body, or that of a refusal.
    ///
    /// The body of an admitted request keeps it in flight until it ends, is cut or is dropped: until then the request counts among the
    /// grant's concurrent ones. When the grant ends first, the inner body is dropped; what has not been handed over by then is not sent.
    /// A stream of events (`text/event-stream`) that stands between two events gets one more, named `jit-grant-ended`.
    ///
    /// # Errors
    /// A [`Cut`] when the grant ends before the body; otherwise the body's own error.
    pub struct ResponseBody<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project! {
    #[project = KindProj]
    enum Kind<B> {
        Forwarded {
            #[pin]
            body: Option<B>,
            guard: Option<Guarded>,
        },
        Refusal {
            bytes: Bytes,
        },
    }
}

/// What the body of an admitted request has with it.
struct Guarded {
    guard: Guard<Bytes>,
    /// What is left of a frame that was too long for one.
    rest: Option<Bytes>,
    farewell: Option<Farewell>,
    connection: Option<Connection>,
    reaper: Option<Reaper>,
}

/// From how many octets on the connection is watched as well: a peer that does not read keeps more than this from being sent.
const REAP_FROM: u64 = 64 << 10;
/// The longest frame that is passed on. What was passed on can't be taken back, and a body whose last frame was is over, however long the
/// peer takes for it.
const FRAME_MAX: usize = 64 << 10;

impl<B> ResponseBody<B> {
    pub(crate) const fn open(body: B) -> Self {
        Self {
            kind: Kind::Forwarded {
                body: Some(body),
                guard: None,
            },
        }
    }

    pub(crate) const fn refusal(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Refusal { bytes },
        }
    }
}

impl<B: Body> ResponseBody<B> {
    pub(crate) fn admitted(
        body: B,
        flight: Arc<Flight>,
        farewell: Option<Farewell>,
        connection: Option<Connection>,
    ) -> Self {
        if body.is_end_stream() {
            return Self::open(body);
        }
        Self {
            kind: Kind::Forwarded {
                body: Some(body),
                guard: Some(Guarded {
                    guard: Guard::new(flight, Direction::Sent),
                    rest: None,
                    farewell,
                    connection,
                    reaper: None,
                }),
            },
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
        if let (Some(farewell), Some(data)) = (&mut self.farewell, frame.data_ref()) {
            farewell.saw(data);
        }
        let flight = self.guard.flight();
        if self.reaper.is_none() && flight.passed(Direction::Sent) >= REAP_FROM {
            let connection = self.connection.take();
            self.reaper = connection.map(|connection| connection.reap(Arc::clone(flight)));
        }
    }

    /// The last words, where there are some.
    fn farewell(&self, cut: Cut) -> Result<Frame<Bytes>, BoxError> {
        let words = self.farewell.as_ref().and_then(|farewell| farewell.say(cut));
        words.map(Frame::data).ok_or_else(|| cut.into())
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let (mut body, guarded) = match self.project().kind.project() {
            KindProj::Forwarded { body, guard } => (body, guard),
            KindProj::Refusal { bytes } if bytes.is_empty() => return Poll::Ready(None),
            KindProj::Refusal { bytes } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
        };
        let Some(inner) = body.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(guard) = guarded else {
            let frame = ready!(inner.poll_frame(cx));
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        };
        let step = match ready!(guard.guard.before(cx)) {
            Step::Poll => match guard.poll_rest(inner, cx) {
                Poll::Pending => Step::Cut(ready!(guard.guard.waits(cx))),
                Poll::Ready(Some(Ok(frame))) => {
                    let frame = guard.first_of(frame);
                    ready!(guard.guard.frame(cx, frame))
                }
                Poll::Ready(other) => {
                    *guarded = None;
                    return Poll::Ready(other.map(|frame| frame.map_err(Into::into)));
                }
            },
            step => step,
        };
        match step {
            Step::Pass(frame) => {
                guard.passes(&frame);
                Poll::Ready(Some(Ok(frame)))
            }
            Step::Cut(cut) => {
                let last = guard.farewell(cut);
                *guarded = None;
                body.set(None);
                Poll::Ready(Some(last))
            }
            // Nothing else asks for another poll; if it did, this would be the way to get it.
            Step::Poll => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Forwarded {
                guard: Some(guarded), ..
            } if guarded.holds_a_frame() => false,
            Kind::Forwarded { body, .. } => body.as_ref().is_none_or(Body::is_end_stream),
            Kind::Refusal { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Forwarded {
                guard: Some(guarded), ..
            } if guarded.holds_a_frame() => SizeHint::default(),
            Kind::Forwarded { body: Some(body), .. } => body.size_hint(),
            Kind::Forwarded { body: None, .. } => SizeHint::with_exact(0),
            Kind::Refusal { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Forwarded { guard: Some(_), .. } => "admitted",
            Kind::Forwarded { .. } => "open",
            Kind::Refusal { .. } => "refusal",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}
