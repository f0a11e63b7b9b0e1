//! What an enforcer remembers: of each request, and of each holder.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::broker::store::Version;
use crate::gate::live::{Live, Usage};
use crate::id::{Digest, Principal, RequestId, ResourceName, Timestamp};

/// What a gate remembers of one request.
#[derive(Debug)]
pub(super) enum Heard {
    /// It may admit something, now or later.
    Open(Box<Known>),
    /// It is in a terminal state, and nothing heard later counts. No more than this is kept: there are many of these.
    Over {
        /// As in [`Known`].
        until: Timestamp,
    },
}

/// What is known of a request that is not over.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) version: Version,
    /// Shared with the live grant, across its versions.
    pub(super) usage: Arc<Usage>,
    /// What is live or scheduled, for lockdowns to match.
    pub(super) grant: Option<Arc<Live>>,
    /// In whose [`Holder`] it is filed.
    pub(super) filed: Option<Principal>,
    /// The credential that it is bound to.
    pub(super) bound: Option<Box<Digest>>,
    /// Nothing in here matters after this; `None` while only a shut was heard of.
    pub(super) until: Option<Timestamp>,
}

impl Default for Heard {
    fn default() -> Self {
        Self::Open(Box::default())
    }
}

impl Heard {
    pub(super) fn known(&self) -> Option<&Known> {
        match self {
            Self::Open(known) => Some(known),
            Self::Over { .. } => None,
        }
    }

    pub(super) fn until(&self) -> Option<Timestamp> {
        match self {
            Self::Open(known) => known.until,
            Self::Over { until } => Some(*until),
        }
    }
}

/// The live grants of one principal. Most have one.
pub(super) type Lives = SmallVec<[Arc<Live>; 1]>;

/// What one principal has.
#[derive(Debug, Default)]
pub(super) struct Holder {
    pub(super) live: Lives,
    pub(super) waiting: Vec<Waiting>,
}

#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) request: RequestId,
    pub(super) resource: ResourceName,
    pub(super) opens_at: Option<Timestamp>,
}

/// Where a request is filed.
pub(super) enum Filing {
    Nowhere,
    Waiting(Waiting),
    Live(Arc<Live>),
}
