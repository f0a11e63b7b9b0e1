//! Taking of a limited grant's budget before it is used.

use std::fmt;

use async_trait::async_trait;

use crate::gate::Gate;
use crate::id::{GrantId, Timestamp};

/// Reserves requests of a limited grant for this gate, durably, before they are used: a crash loses budget and never gives any.
///
/// # Contract
/// - The sum of all that was ever answered for one grant, on all gates, is at most its `max_requests`.
/// - 0 says that nothing is left, now and for good.
#[async_trait]
pub trait Reserve: fmt::Debug + Send + Sync + 'static {
    /// Reserves some of what is left of `grant`, and says how many.
    async fn reserve(&self, grant: GrantId, now: Timestamp) -> Result<u64, ReserveError>;
}

/// Nothing could be reserved just now.
#[derive(Debug, thiserror::Error)]
#[error("no budget could be reserved: {source}")]
pub struct ReserveError {
    /// What went wrong.
    #[from]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl Gate {
    /// Fills the allowance of a grant. A crowd at an empty one reserves once.
    pub(super) async fn reserve(&self, grant: GrantId) -> Result<(), ReserveError> {
        let Some(reserve) = &self.inner.reserve else {
            return Err(ReserveError {
                source: "no port for reservations is configured".into(),
            });
        };
        let Some(usage) = self.inner.enforcer.usage(grant) else {
            return Ok(());
        };
        let _turn = usage.reserving().lock().await;
        if usage.is_empty() {
            usage.allow(reserve.reserve(grant, self.inner.clock.now()).await?);
        }
        Ok(())
    }
}
