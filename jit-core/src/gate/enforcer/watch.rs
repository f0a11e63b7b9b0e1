//! Waking up whoever waits for what a holder holds to change.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use super::Enforcer;
use crate::gate::sync::dashmap::{DashMap, Entry};
use crate::id::Principal;

/// Who waits for which holder.
#[derive(Debug, Default)]
pub(super) struct Watches(DashMap<Principal, Watched>);

#[derive(Debug, Default)]
struct Watched {
    /// How many watch: the last one takes the entry away.
    count: usize,
    change: Arc<Notify>,
}

impl Watches {
    /// What this holder holds has changed, and can be read.
    pub(super) fn wake(&self, holder: &Principal) {
        if let Some(watched) = self.0.get(holder) {
            watched.change.notify_waiters();
        }
    }

    /// What anyone holds may have changed.
    pub(super) fn wake_all(&self) {
        self.0.iter().for_each(|watched| watched.change.notify_waiters());
    }
}

/// Somebody who waits, until dropped.
#[derive(Debug)]
pub(in crate::gate) struct Watch<'e> {
    watches: &'e Watches,
    holder: &'e Principal,
    change: Arc<Notify>,
}

impl Watch<'_> {
    /// Done after the first change from now on. What is read after this call is as it was before that change, or newer.
    pub(in crate::gate) fn changed(&self) -> Notified<'_> {
        self.change.notified()
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if let Entry::Occupied(mut watched) = self.watches.0.entry(self.holder.clone()) {
            let count = &mut watched.get_mut().count;
            *count = count.saturating_sub(1);
            if *count == 0 {
                watched.remove();
            }
        }
    }
}

impl Enforcer {
    /// Watches for changes of what `holder` holds, waits for or is locked out of. Time passes unseen: what opens or ends by the clock
    /// wakes nobody.
    pub(in crate::gate) fn watch<'e>(&'e self, holder: &'e Principal) -> Watch<'e> {
        let mut watched = self.watches.0.entry(holder.clone()).or_default();
        watched.count = watched.count.saturating_add(1);
        Watch {
            watches: &self.watches,
            holder,
            change: Arc::clone(&watched.change),
        }
    }

    /// How many holders are watched.
    #[cfg(test)]
    pub(in crate::gate) fn watched_count(&self) -> usize {
        self.watches.0.len()
    }
}
