//! Asking for access in the name of whoever sent a request, in the same step.

use std::fmt;

use async_trait::async_trait;

use crate::approval::ask::Ask;
use crate::approval::refused::Refused;
use crate::gate::authenticate::Subject;
use crate::gate::refusal::Refusal;
use crate::id::{RequestId, ResourceName};

/// Asks for access as the control API does.
///
/// # Contract
/// - Whoever is proven is looked up in the Directory again. The policy, the limits of one person and lockdowns decide as they do on every
///   other asking, and nothing is granted that they would not grant there.
/// - The answer comes when the asking is durable with its audit record, and when the gate's enforcer knows what became of it: the
///   decision after it sees a request that waits, or a grant where the policy approves at once.
/// - It may be dropped before it answers. Then all of the asking is written, or nothing.
#[async_trait]
pub trait Asking: fmt::Debug + Send + Sync + 'static {
    /// Asks for `ask` in the name of `subject`, and says which request that is.
    async fn ask(&self, subject: &Subject, ask: Ask) -> Result<RequestId, NotAsked>;
}

/// Nothing was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotAsked {
    /// It may not be: the policy, a limit or a lockdown says no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// It could not be written down or decided just now.
    #[error("nothing could be asked for: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl NotAsked {
    /// The refusal that says so.
    pub(super) fn refusal(self, resource: ResourceName) -> Refusal {
        let refused = match self {
            Self::Refused(refused) => refused,
            Self::Unavailable { source } => {
                tracing::warn!(error = %source, "an asking could not be written down");
                return Refusal::AskingUnavailable;
            }
        };
        match refused {
            Refused::NotEligible | Refused::NotFound | Refused::SelfReview => {
                Refusal::NotEligible { resource }
            }
            Refused::LimitReached {
                limit,
                retry_at,
                request,
            } => Refusal::LimitReached {
                resource,
                limit,
                retry_at,
                request,
            },
            Refused::LockedDown { .. } => Refusal::LockedDown,
            Refused::StepUp { terms } => Refusal::StepUp { resource, terms },
            invalid @ Refused::Invalid { .. } => Refusal::AskingInvalid {
                resource,
                problem: invalid.to_string(),
            },
            // A new request has neither a digest that someone saw nor a decision.
            Refused::StaleDigest { .. } | Refused::AlreadyDecided { .. } => Refusal::AskingUnavailable,
        }
    }
}
