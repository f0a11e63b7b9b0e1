//! What is live and when it is next due: so that a sweep touches only what has something to do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::approval::event::EndCause;
use crate::approval::lockdown::Lockdown;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::store::Version;
use crate::id::{LockdownId, RequestId, Timestamp};
use crate::span::Span;

/// Live requests by id and by deadline.
#[derive(Debug, Default)]
pub(super) struct Agenda {
    inner: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    live: BTreeMap<RequestId, Entry>,
    due: BTreeSet<(Timestamp, RequestId)>,
    /// Revocations that shut the gate and could not be written yet.
    owed: BTreeMap<RequestId, (EndCause, String)>,
    /// Lockdowns that shut the gate, likewise.
    lockdowns: BTreeMap<LockdownId, Lockdown>,
}

#[derive(Debug, Clone)]
struct Entry {
    version: Version,
    pending: bool,
    due: Option<Timestamp>,
    used: Option<Timestamp>,
    tracked: Option<Tracked>,
}

/// A grant that ends when it is not used.
#[derive(Debug, Clone, Copy)]
struct Tracked {
    every: Span,
    flushed: Option<Timestamp>,
}

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // Every change below leaves the entries whole; a panic elsewhere while they were held has broken nothing.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of a request at `version`; older versions than the one known change nothing.
    pub(super) fn put(&self, version: Version, request: &Request) {
        let mut entries = self.lock();
        let old = entries.live.get(&request.id).cloned();
        if old.as_ref().is_some_and(|old| old.version > version) {
            return;
        }
        if let Some(due) = old.as_ref().and_then(|old| old.due) {
            entries.due.remove(&(due, request.id));
        }
        if request.state.is_terminal() {
            entries.live.remove(&request.id);
            entries.owed.remove(&request.id);
            return;
        }
        let used = old.as_ref().and_then(|old| old.used);
        let due = request.next_deadline(used);
        if let Some(due) = due {
            entries.due.insert((due, request.id));
        }
        let shortest = request
            .grant
            .as_ref()
            .and_then(|g| match (g.use_within, g.idle_timeout) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            });
        let flushed = old
            .and_then(|old| old.tracked)
            .and_then(|tracked| tracked.flushed);
        let tracked = shortest.map(|span| Tracked {
            every: tenth(span),
            flushed,
        });
        entries.live.insert(
            request.id,
            Entry {
                version,
                pending: request.state == State::Pending,
                due,
                used,
                tracked,
            },
        );
    }

    /// The version known of a live request.
    pub(super) fn version(&self, id: RequestId) -> Option<Version> {
        self.lock().live.get(&id).map(|entry| entry.version)
    }

    /// Takes note of a use; only the latest counts. Says whether it is time to write it down.
    pub(super) fn used(&self, id: RequestId, at: Timestamp) -> bool {
        let mut entries = self.lock();
        let Some(entry) = entries.live.get_mut(&id) else {
            return false;
        };
        entry.used = entry.used.max(Some(at));
        entry
            .tracked
            .is_some_and(|t| t.flushed.is_none_or(|flushed| at >= t.every.after(flushed)))
    }

    /// The use written down last.
    pub(super) fn flushed(&self, id: RequestId, at: Timestamp) {
        if let Some(tracked) = self
            .lock()
            .live
            .get_mut(&id)
            .and_then(|entry| entry.tracked.as_mut())
        {
            tracked.flushed = tracked.flushed.max(Some(at));
        }
    }

    /// The latest use known in this process.
    pub(super) fn last_use(&self, id: RequestId) -> Option<Timestamp> {
        self.lock().live.get(&id).and_then(|entry| entry.used)
    }

    /// What is due at `now`, earliest first, at most `limit`.
    pub(super) fn due(&self, now: Timestamp, limit: usize) -> Vec<RequestId> {
        self.lock()
            .due
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(limit)
            .map(|(_, id)| *id)
            .collect()
    }

    /// Looks at it again at `at`.
    pub(super) fn postpone(&self, id: RequestId, at: Timestamp) {
        let mut entries = self.lock();
        let Some(old) = entries.live.get_mut(&id).map(|entry| entry.due.replace(at)) else {
            return;
        };
        if let Some(old) = old {
            entries.due.remove(&(old, id));
        }
        entries.due.insert((at, id));
    }

    /// All live requests.
    pub(super) fn live(&self) -> Vec<RequestId> {
        self.lock().live.keys().copied().collect()
    }

    /// How many requests wait for a decision.
    pub(super) fn pending(&self) -> usize {
        let entries = self.lock();
        entries.live.values().filter(|entry| entry.pending).count()
    }

    /// A revocation that could not be written.
    pub(super) fn owe(&self, id: RequestId, cause: EndCause, reason: String) {
        self.lock().owed.insert(id, (cause, reason));
    }

    /// A lockdown that could not be written.
    pub(super) fn owe_lockdown(&self, lockdown: Lockdown) {
        self.lock().lockdowns.insert(lockdown.id, lockdown);
    }

    /// Lockdowns that could not be written yet.
    pub(super) fn owed_lockdowns(&self) -> Vec<Lockdown> {
        self.lock().lockdowns.values().cloned().collect()
    }

    /// It has been written.
    pub(super) fn settle_lockdown(&self, id: LockdownId) {
        self.lock().lockdowns.remove(&id);
    }

    /// Revocations that could not be written yet.
    pub(super) fn owed(&self) -> Vec<(RequestId, EndCause, String)> {
        self.lock()
            .owed
            .iter()
            .map(|(id, (cause, reason))| (*id, cause.clone(), reason.clone()))
            .collect()
    }

    /// It has been written, or needs no writing any more.
    pub(super) fn settle(&self, id: RequestId) {
        self.lock().owed.remove(&id);
    }
}

fn tenth(span: Span) -> Span {
    Span::millis((span.as_millis() / 10).max(1)).unwrap_or(span)
}
