//! Why the broker did not do what it was asked: values, not failures.

use crate::approval::state::State;
use crate::id::{Digest, RequestId, Timestamp};
use crate::policy::terms::MfaTerms;

/// A refusal by the control plane. Nothing was changed.
///
/// Not `#[non_exhaustive]`: whoever shows refusals to people must find words for each.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever shows refusals must find words for each"
)]
pub enum Refused {
    /// There is no such thing, or none that the caller may see: the two are told apart by nobody.
    #[error("there is no such request")]
    NotFound,
    /// The caller may not do this. An unknown resource answers the same.
    #[error("you are not eligible for this")]
    NotEligible,
    /// The requester's own person may not review, under any of its principals.
    #[error("nobody reviews a request of their own")]
    SelfReview,
    /// The review was of another version of the request.
    #[error("the request has changed since you saw it; read it again")]
    StaleDigest {
        /// The digest that counts now.
        current: Digest,
    },
    /// The request is in a state in which this can't be done.
    #[error("the request is {state}; that can't be done now")]
    AlreadyDecided {
        /// The state.
        state: State,
    },
    /// A limit is reached.
    #[error("{limit}")]
    LimitReached {
        /// Which, in words.
        limit: String,
        /// When trying again can help.
        retry_at: Option<Timestamp>,
        /// The request that stands in the way.
        request: Option<RequestId>,
    },
    /// A lockdown is in force.
    #[error("locked down: {reason}")]
    LockedDown {
        /// What the people who locked it say.
        reason: String,
    },
    /// A stronger or fresher sign-in is needed.
    #[error("a stronger or more recent sign-in is needed")]
    StepUp {
        /// What is needed.
        terms: MfaTerms,
    },
    /// The input is wrong.
    #[error("`{field}` {problem}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: String,
    },
}

impl Refused {
    /// A wrong input.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid {
            field,
            problem: problem.into(),
        }
    }
}
