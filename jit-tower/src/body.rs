use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};
#[cfg(doc)]
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::{Direction, Flight};
use pin_project_lite::pin_project;
use tokio::runtime::Handle;

use crate::BoxError;
use crate::admitted::{AdmittedBody, Next};
use crate::guard::{Guard, Step};
use crate::slot::Slot;

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
    pub(crate) fn new(body: B, flight: Option<&Arc<Flight>>) -> Self {
        // What has no data needs no guard.
        let guard = flight
            .filter(|_| !body.is_end_stream())
            .map(|flight| Guard::new(Arc::clone(flight), Direction::Received));
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
    /// grant's concurrent ones. When the grant ends first, the inner body is dropped, over HTTP/2 even if nobody polls this one; what has not been
    /// handed over by then is not sent.
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
        Open {
            #[pin]
            body: B,
        },
        Admitted {
            #[pin]
            body: Option<AdmittedBody<B>>,
        },
        Slotted {
            slot: Slot<B>,
        },
        Refusal {
            bytes: Bytes,
        },
    }
}

impl<B> ResponseBody<B> {
    pub(crate) const fn open(body: B) -> Self {
        Self {
            kind: Kind::Open { body },
        }
    }

    pub(crate) const fn refusal(bytes: Bytes) -> Self {
        Self {
            kind: Kind::Refusal { bytes },
        }
    }
}

impl<B: Body<Data = Bytes> + Send + 'static> ResponseBody<B> {
    pub(crate) fn admitted(body: AdmittedBody<B>, version: Version) -> Self {
        // One stream among others of a connection need not be polled ever again.
        let slot = match Handle::try_current() {
            Ok(runtime) if version >= Version::HTTP_2 => Slot::new(body, &runtime),
            _ => {
                return Self {
                    kind: Kind::Admitted { body: Some(body) },
                };
            }
        };
        Self {
            kind: Kind::Slotted { slot },
        }
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
        let mut admitted = match self.project().kind.project() {
            KindProj::Admitted { body } => body,
            KindProj::Open { body } => {
                let frame = ready!(body.poll_frame(cx));
                return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
            }
            KindProj::Slotted { slot } => return slot.poll_frame(cx),
            KindProj::Refusal { bytes } if bytes.is_empty() => return Poll::Ready(None),
            KindProj::Refusal { bytes } => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
        };
        let Some(body) = admitted.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        match ready!(body.poll_next(cx)) {
            Next::Frame(frame) => Poll::Ready(Some(Ok(frame))),
            Next::Last(last) => {
                admitted.set(None);
                Poll::Ready(last)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Open { body } => body.is_end_stream(),
            Kind::Admitted { body } => body.as_ref().is_none_or(AdmittedBody::is_end_stream),
            Kind::Slotted { slot } => slot.is_end_stream(),
            Kind::Refusal { bytes } => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Open { body } => body.size_hint(),
            Kind::Admitted { body: Some(body) } => body.size_hint(),
            Kind::Admitted { body: None } => SizeHint::with_exact(0),
            Kind::Slotted { slot } => slot.size_hint(),
            Kind::Refusal { bytes } => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.kind {
            Kind::Admitted { .. } | Kind::Slotted { .. } => "admitted",
            Kind::Open { .. } => "open",
            Kind::Refusal { .. } => "refusal",
        };
        f.debug_tuple("ResponseBody").field(&kind).finish()
    }
}
