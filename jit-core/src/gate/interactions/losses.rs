//! How many records were lost, and of which grants.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::id::GrantId;

/// Most grants whose losses are counted apart between two drains.
const GRANTS_MAX: usize = 1024;

/// Counts what was lost.
#[derive(Debug, Default)]
pub(super) struct Losses {
    of_grants: Mutex<HashMap<GrantId, u64>>,
    /// Of grants that could not be told apart in time.
    of_others: AtomicU64,
    total: AtomicU64,
}

/// What was lost.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) of_grants: HashMap<GrantId, u64>,
    /// Of grants that nobody can name any more.
    pub(crate) of_others: u64,
}

impl Losses {
    pub(super) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts one. It never waits for another thread: where the list is in use, or full, it counts without the grant.
    pub(super) fn count(&self, grant: GrantId) {
        self.add(grant, 1);
    }

    pub(super) fn add(&self, grant: GrantId, count: u64) {
        self.total.fetch_add(count, Ordering::Relaxed);
        if let Ok(mut of_grants) = self.of_grants.try_lock() {
            let room = of_grants.len() < GRANTS_MAX;
            if room || of_grants.contains_key(&grant) {
                let lost = of_grants.entry(grant).or_default();
                *lost = lost.saturating_add(count);
                return;
            }
        }
        self.of_others.fetch_add(count, Ordering::AcqRel);
    }

    pub(super) fn drain(&self) -> Lost {
        let mut of_grants = self.of_grants.lock().unwrap_or_else(PoisonError::into_inner);
        Lost {
            of_grants: std::mem::take(&mut *of_grants),
            of_others: self.of_others.swap(0, Ordering::AcqRel),
        }
    }
}
