//! Uses and budgets: what gates have seen, shared through small cells beside the log.
//!
//! A gate notes a use in memory. [`Broker::flush_uses`] hands the latest use of each grant that can end by lack of use to a cell, not
//! more often than every tenth of the grant's shortest such limit; only the shared maximum ends a grant. A crash can lose up to that
//! tenth: a grant then ends that much too early, never too late.

use async_trait::async_trait;

use crate::broker::change::Intent;
use crate::broker::store::{Put, StoreError};
use crate::broker::{Broker, Rejection};
use crate::gate::budget::Budgeted;
use crate::gate::{Reserve, ReserveError};
use crate::id::{GrantId, RequestId, Timestamp};

/// How often a lost compare-and-set on a cell is tried again.
const TRIES: usize = 64;
/// Most requests reserved at once.
const REQUESTS_MAX: u64 = 64;
/// Most octets reserved at once.
const BYTES_MAX: u64 = 4 << 20;

impl Broker {
    /// Hands what this process's gate has seen to the store.
    ///
    /// # Errors
    /// The store's, after everything else has been tried; what was not handed over goes with the grant's next use.
    pub async fn flush_uses(&self) -> Result<(), Rejection> {
        let mut failed = None;
        for (grant, at) in self.inner.enforcer.drain_uses() {
            let id = RequestId::from(grant);
            if !self.inner.agenda.used(id, at) {
                continue;
            }
            match self.share_use(grant, at).await {
                Ok(shared) => {
                    self.inner.agenda.flushed(id, at);
                    self.inner.agenda.used(id, shared);
                    self.inner.enforcer.note_use(grant, shared);
                }
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    /// The latest use that any gate has shared.
    pub(super) async fn shared_use(&self, grant: GrantId) -> Result<Option<Timestamp>, Rejection> {
        let cell = self.inner.store.cell(&use_cell(grant), None).await?;
        parse_use(&cell.value).map_err(Rejection::from)
    }

    async fn share_use(&self, grant: GrantId, at: Timestamp) -> Result<Timestamp, Rejection> {
        let name = use_cell(grant);
        let mut cell = self.inner.store.cell(&name, None).await?;
        for _ in 0..TRIES {
            match parse_use(&cell.value)? {
                Some(shared) if shared >= at => return Ok(shared),
                _ => {}
            }
            let put = Put {
                expected: cell.version,
                value: at.timestamp_millis().to_string(),
            };
            match self.inner.store.cell(&name, Some(put)).await {
                Ok(_) => return Ok(at),
                Err(StoreError::Conflict { .. }) => cell = self.inner.store.cell(&name, None).await?,
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(StoreError::unavailable("too many gates report a use at once").into())
    }

    /// Takes some of a grant's budget, durably, before any of it is used: a crash loses what was taken and not used, and never gives any
    /// back. Answers how much may be used; 0: the budget is used up, and the grant ends.
    ///
    /// # Errors
    /// The store's: nothing was taken that will be used.
    pub async fn reserve(&self, grant: GrantId, of: Budgeted) -> Result<u64, Rejection> {
        let loaded = self.request(RequestId::from(grant)).await?;
        let most = loaded.state.grant.as_ref().and_then(|grant| match of {
            Budgeted::Requests => grant.max_requests,
            Budgeted::Bytes => grant.max_bytes,
        });
        let Some(most) = most else {
            return Ok(u64::MAX);
        };
        let (name, chunk_max) = match of {
            Budgeted::Requests => (format!("budget/{grant}"), REQUESTS_MAX),
            Budgeted::Bytes => (format!("budget/{grant}/bytes"), BYTES_MAX),
        };
        let chunk = (most / 16).clamp(1, chunk_max);
        for _ in 0..TRIES {
            let cell = self.inner.store.cell(&name, None).await?;
            let taken: u64 = match cell.value.as_str() {
                "" => 0,
                text => text.parse().map_err(|_| StoreError::Damaged {
                    what: format!("cell {name}"),
                })?,
            };
            let n = chunk.min(most.saturating_sub(taken));
            if n == 0 {
                match self.act(RequestId::from(grant), &Intent::Exhaust).await {
                    Ok(_) | Err(Rejection::Refused(_)) => return Ok(0),
                    Err(failure) => return Err(failure),
                }
            }
            let put = Put {
                expected: cell.version,
                value: (taken + n).to_string(),
            };
            match self.inner.store.cell(&name, Some(put)).await {
                Ok(_) => return Ok(n),
                Err(StoreError::Conflict { .. }) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(StoreError::unavailable("too many gates take from one budget at once").into())
    }
}

#[async_trait]
impl Reserve for Broker {
    async fn reserve(&self, grant: GrantId, of: Budgeted, _: Timestamp) -> Result<u64, ReserveError> {
        Self::reserve(self, grant, of)
            .await
            .map_err(|error| ReserveError { source: error.into() })
    }
}

fn use_cell(grant: GrantId) -> String {
    format!("use/{grant}")
}

fn parse_use(text: &str) -> Result<Option<Timestamp>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    let at = text.parse().ok().and_then(Timestamp::from_timestamp_millis);
    at.map(Some).ok_or_else(|| StoreError::Damaged {
        what: "the cell of a grant's last use".to_owned(),
    })
}
