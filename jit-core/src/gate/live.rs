//! One live grant as a gate holds it: what was granted, and what is changing about it.
//!
//! What was granted is immutable and replaced whole when a later version of the request is published. What changes on the
//! request path is in [`Usage`], in atomics, and outlives such a replacement.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use chrono::TimeDelta;
use tokio::sync::Mutex;

use crate::approval::ask::Selector;
use crate::approval::credential::GrantCredential;
use crate::approval::grant::Grant;
use crate::id::Timestamp;

/// A grant within its view.
#[derive(Debug)]
pub(in crate::gate) struct Live {
    grant: Grant,
    credential: Option<GrantCredential>,
    until: Timestamp,
    /// How much newer a use must be to be worth a write to shared memory, in milliseconds.
    grain: i64,
    usage: Arc<Usage>,
}

impl Live {
    /// `lag` is how far this gate's clock may be behind: the window ends that much earlier.
    pub(in crate::gate) fn new(
        grant: Grant,
        credential: Option<GrantCredential>,
        lag: TimeDelta,
        usage: Arc<Usage>,
    ) -> Self {
        let until = grant
            .not_after
            .checked_sub_signed(lag)
            .unwrap_or(Timestamp::MIN_UTC);
        usage.end_by(until);
        let tenth = grant.idle_timeout.map_or(u64::MAX, |idle| idle.as_millis() / 10);
        Self {
            grain: i64::try_from(tenth.min(1000)).unwrap_or(1000),
            credential: credential.filter(|_| grant.selector == Selector::Credential),
            grant,
            until,
            usage,
        }
    }

    /// The same grant, in memory of its own. What changes about it is shared.
    pub(in crate::gate) fn copy(&self) -> Self {
        Self {
            grant: self.grant.clone(),
            credential: self.credential.clone(),
            until: self.until,
            grain: self.grain,
            usage: Arc::clone(&self.usage),
        }
    }

    /// The credential that opens it, where it is one that does.
    pub(in crate::gate) fn credential(&self) -> Option<&GrantCredential> {
        self.credential.as_ref()
    }

    pub(in crate::gate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The first moment at which nothing is admitted any more.
    pub(in crate::gate) fn until(&self) -> Timestamp {
        self.until
    }

    pub(in crate::gate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Whether its window is open at `now`, nobody shut it, and it has neither lain idle nor unused for too long.
    pub(in crate::gate) fn is_open(&self, now: Timestamp) -> bool {
        now >= self.grant.not_before && self.is_alive(now)
    }

    /// Whether it is open at `now`, or will be.
    pub(in crate::gate) fn is_alive(&self, now: Timestamp) -> bool {
        if now >= self.until || self.usage.is_shut() {
            return false;
        }
        // Before the first use the first-use limit rules, where there is one.
        let (limit, since) = match (self.usage.last_use(), self.grant.use_within) {
            (Some(last), _) => (self.grant.idle_timeout, last),
            (None, Some(within)) => (Some(within), self.grant.not_before),
            (None, None) => (self.grant.idle_timeout, self.grant.not_before),
        };
        limit.is_none_or(|limit| now < limit.after(since))
    }

    /// Writes down a use at `now`. At most one write a second, or ten in an idle timeout: that tolerance keeps the cores from
    /// fighting over one cache line.
    pub(in crate::gate) fn used(&self, now: Timestamp) {
        let now = now.timestamp_millis();
        let last = self.usage.last_use.load(Ordering::Relaxed);
        if last == NEVER || now.saturating_sub(last) > self.grain {
            self.usage.last_use.fetch_max(now, Ordering::Relaxed);
        }
    }
}

const NEVER: i64 = i64::MIN;

/// What changes about a grant while it lives.
#[derive(Debug)]
pub(in crate::gate) struct Usage {
    shut: AtomicBool,
    /// The earliest end that any version of the grant had, in microseconds since the epoch: what was admitted under an older one ends
    /// with the newest.
    ends: AtomicI64,
    /// Milliseconds since the epoch.
    last_use: AtomicI64,
    /// The last use that the rest of the fleet knows of, likewise.
    known_use: AtomicI64,
    /// Requests that were reserved for this gate and are left.
    allowance: AtomicU64,
    /// Nothing is left to reserve.
    spent: AtomicBool,
    in_flight: AtomicU32,
    /// Held by the one that reserves: a crowd at an empty allowance reserves once.
    reserving: Mutex<()>,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            shut: AtomicBool::new(false),
            ends: AtomicI64::new(i64::MAX),
            last_use: AtomicI64::new(NEVER),
            known_use: AtomicI64::new(NEVER),
            allowance: AtomicU64::new(0),
            spent: AtomicBool::new(false),
            in_flight: AtomicU32::new(0),
            reserving: Mutex::new(()),
        }
    }
}

/// What a draw on the allowance came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Draw {
    /// One request was taken off.
    Drawn,
    /// There is nothing here; more may be reserved.
    Empty,
    /// There is nothing here and nothing to reserve.
    Spent,
}

impl Usage {
    /// Shuts the grant for good.
    pub(in crate::gate) fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
    }

    pub(in crate::gate) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::SeqCst)
    }

    fn end_by(&self, until: Timestamp) {
        self.ends.fetch_min(until.timestamp_micros(), Ordering::AcqRel);
    }

    /// Whether no version of the grant is over at `now`.
    pub(in crate::gate) fn lasts(&self, now: Timestamp) -> bool {
        now.timestamp_micros() < self.ends.load(Ordering::Acquire)
    }

    pub(in crate::gate) fn last_use(&self) -> Option<Timestamp> {
        moment(self.last_use.load(Ordering::Relaxed))
    }

    /// A use that the fleet knows of.
    pub(in crate::gate) fn note(&self, at: Timestamp) {
        let at = at.timestamp_millis();
        self.known_use.fetch_max(at, Ordering::Relaxed);
        self.last_use.fetch_max(at, Ordering::Relaxed);
    }

    /// The last use, if the fleet does not know of it. It does from here on.
    pub(in crate::gate) fn drain(&self) -> Option<Timestamp> {
        let last = self.last_use.load(Ordering::Relaxed);
        (self.known_use.fetch_max(last, Ordering::Relaxed) < last)
            .then(|| moment(last))
            .flatten()
    }

    /// Adds `requests` to the allowance; 0 says that there will never be more.
    pub(in crate::gate) fn allow(&self, requests: u64) {
        if requests == 0 {
            self.spent.store(true, Ordering::Release);
        }
        let add = |left: u64| Some(left.saturating_add(requests));
        // The closure never answers `None`, so the update never fails.
        let _: Result<u64, u64> = self
            .allowance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// Whether a draw would come to nothing that another reservation could mend.
    pub(in crate::gate) fn is_empty(&self) -> bool {
        self.allowance.load(Ordering::Acquire) == 0 && !self.spent.load(Ordering::Acquire)
    }

    pub(in crate::gate) fn draw(&self) -> Draw {
        let take = |left: u64| left.checked_sub(1);
        match self
            .allowance
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
        {
            Ok(_) => Draw::Drawn,
            Err(_) if self.spent.load(Ordering::Acquire) => Draw::Spent,
            Err(_) => Draw::Empty,
        }
    }

    pub(in crate::gate) fn reserving(&self) -> &Mutex<()> {
        &self.reserving
    }

    /// Takes one of `limit` places, if one is free.
    pub(in crate::gate) fn enter(self: &Arc<Self>, limit: u32) -> Option<Slot> {
        let take = |taken: u32| taken.checked_add(1).filter(|taken| *taken <= limit);
        self.in_flight
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, take)
            .ok()
            .map(|_| Slot {
                usage: Arc::clone(self),
            })
    }
}

fn moment(millis: i64) -> Option<Timestamp> {
    Timestamp::from_timestamp_millis(millis)
}

/// One place among a grant's concurrent requests, given back when dropped.
#[derive(Debug)]
pub(in crate::gate) struct Slot {
    usage: Arc<Usage>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.usage.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}
