//! The last words on a response that is cut.

use bytes::Bytes;
use http::StatusCode;
use jit_core::gate::cut::Cut;
use jit_core::gate::farewell::{Events, Frames};
use pingora::http::ResponseHeader;
use pingora::proxy::Session;

/// Follows a response for the place where words fit.
#[derive(Debug, Default)]
pub(crate) struct Words {
    kind: Option<Kind>,
    /// What the filter has let pass. Pingora writes it later, or not at all.
    passed: usize,
}

#[derive(Debug)]
enum Kind {
    Events(Events),
    Frames(Frames),
}

impl Words {
    /// For a response with this header.
    pub(crate) fn of(response: &ResponseHeader) -> Self {
        let kind = if response.status == StatusCode::SWITCHING_PROTOCOLS {
            Some(Kind::Frames(Frames::after_head()))
        } else {
            Events::of(&response.headers).map(Kind::Events)
        };
        Self { kind, passed: 0 }
    }

    /// Whether there may be something to say.
    pub(crate) const fn any(&self) -> bool {
        self.kind.is_some()
    }

    /// Notes what the filter has let pass.
    pub(crate) fn passes(&mut self, data: &Bytes) {
        self.passed = self.passed.saturating_add(data.len());
        match &mut self.kind {
            Some(Kind::Events(events)) => events.sent(data),
            Some(Kind::Frames(frames)) => frames.sent(data),
            None => {}
        }
    }

    /// What there is to say, where the session has written all that has passed, and as it was.
    pub(crate) fn last(&self, session: &Session, cut: Cut) -> Option<Bytes> {
        let written = session.response_written()?;
        // A module may have compressed it behind the filter.
        if session.body_bytes_sent() != self.passed || !Self::of(written).any() {
            return None;
        }
        match self.kind.as_ref()? {
            Kind::Events(events) => events.last(cut).map(Bytes::from),
            Kind::Frames(frames) => frames.close(cut).map(Bytes::from),
        }
    }
}
