//! What was proven of people, kept in the cells of a store: a restart forgets nobody.
//!
//! The cell `claims/{SHA-256 of issuer|subject}` holds what one principal proved last, or nothing once that gave no role any more.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::broker::store::{Cell, Put, Store, StoreError};
use crate::id::{Digest, Principal, Timestamp};

/// A proof of the same is written down again after this long.
pub(super) const AGAIN: TimeDelta = TimeDelta::minutes(15);
/// How often a lost compare-and-set is tried again.
const TRIES: usize = 8;

/// What somebody proved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Proven {
    pub(super) name: String,
    pub(super) claims: BTreeMap<String, Value>,
    pub(super) as_of: Timestamp,
}

/// Where it is kept.
#[derive(Debug)]
pub(super) struct Kept(pub(super) Arc<dyn Store>);

impl Kept {
    /// What this principal proved last, if that is kept.
    pub(super) async fn read(&self, principal: &Principal) -> Result<Option<Proven>, StoreError> {
        self.cell(principal).await.map(|(_, proven)| proven)
    }

    /// Keeps what was proven last. An older proof, from another process, replaces no newer one.
    pub(super) async fn write(&self, principal: &Principal, proven: &Proven) -> Result<(), StoreError> {
        let value = serde_json::to_string(proven).map_err(StoreError::unavailable)?;
        let newer = |kept: &Proven| kept.as_of > proven.as_of;
        self.put(principal, &value, |kept| kept.is_some_and(newer)).await
    }

    /// Keeps nothing of this principal.
    pub(super) async fn forget(&self, principal: &Principal) -> Result<(), StoreError> {
        self.put(principal, "", |kept| kept.is_none()).await
    }

    async fn put(
        &self,
        principal: &Principal,
        value: &str,
        is_done: impl Fn(Option<&Proven>) -> bool,
    ) -> Result<(), StoreError> {
        for _ in 0..TRIES {
            let (cell, kept) = self.cell(principal).await?;
            if is_done(kept.as_ref()) {
                return Ok(());
            }
            let put = Put {
                expected: cell.version,
                value: value.to_owned(),
            };
            match self.0.cell(&name(principal), Some(put)).await {
                Err(StoreError::Conflict { .. }) => {}
                put => return put.map(drop),
            }
        }
        Err(StoreError::unavailable(
            "too many proofs of one principal at once",
        ))
    }

    async fn cell(&self, principal: &Principal) -> Result<(Cell, Option<Proven>), StoreError> {
        let name = name(principal);
        let cell = self.0.cell(&name, None).await?;
        let proven = match cell.value.as_str() {
            "" => None,
            text => Some(serde_json::from_str(text).map_err(|_| StoreError::Damaged {
                what: format!("cell {name}"),
            })?),
        };
        Ok((cell, proven))
    }
}

fn name(principal: &Principal) -> String {
    format!("claims/{}", Digest::plain(principal.to_string().as_bytes()))
}
