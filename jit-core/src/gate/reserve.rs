//! Taking of a limited grant's budget before it is used.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use crate::gate::Gate;
use crate::gate::budget::Budgeted;
use crate::id::{GrantId, Timestamp};

/// Reserves some of a limited grant's budget for this gate, durably, before it is used: a crash loses budget and never gives any.
///
/// # Contract
/// - The sum of all that was ever answered for one grant and kind, on all gates, is at most its `max_requests` or `max_bytes`.
/// - 0 says that nothing is left, now and for good.
///
/// The gate calls it in a Tokio task of its own: a request that is dropped meanwhile does not cancel it.
#[async_trait]
pub trait Reserve: fmt::Debug + Send + Sync + 'static {
    /// Reserves some of what is left of `grant`, and says how many.
    async fn reserve(&self, grant: GrantId, of: Budgeted, now: Timestamp) -> Result<u64, ReserveError>;
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
    /// Fills a budget of a grant. A crowd at an empty one reserves once, and whoever goes away meanwhile loses nothing of it.
    pub(super) async fn reserve(&self, grant: GrantId, of: Budgeted) -> Result<(), ReserveError> {
        let Some(reserve) = &self.inner.reserve else {
            return Err(ReserveError {
                source: "no port for reservations is configured".into(),
            });
        };
        let Some(usage) = self.inner.enforcer.usage(grant) else {
            return Ok(());
        };
        let (reserve, clock) = (Arc::clone(reserve), Arc::clone(&self.inner.clock));
        // A future that nobody polls would hold its turn, and hold up every other request of the grant; so this goes on by itself.
        let filling = tokio::spawn(async move {
            let budget = usage.budget(of);
            let _turn = budget.reserving().lock().await;
            if budget.is_empty() {
                budget.allow(reserve.reserve(grant, of, clock.now()).await?);
            }
            Ok(())
        });
        filling
            .await
            .unwrap_or_else(|error| Err(ReserveError { source: error.into() }))
    }
}
