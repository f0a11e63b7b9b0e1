//! One live grant as a gate holds it: what was granted, and what is changing about it.
//!
//! What was granted is immutable and replaced whole when a later version of the request is published. What changes on the
//! request path is in [`Usage`], in atomics, and outlives such a replacement.

use std::sync::{Arc, OnceLock};

use chrono::{SecondsFormat, TimeDelta};
use http::HeaderValue;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::approval::ask::Selector;
use crate::approval::credential::GrantCredential;
use crate::approval::grant::Grant;
use crate::gate::budget::{Budget, Budgeted};
use crate::gate::cut::{Cause, Cut};
use crate::gate::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering, fence};
use crate::id::{GrantId, PersonId, PolicyName, Principal, Timestamp};
use crate::policy::terms::{MfaTerms, ResourceDef, Scope};
use crate::span::Span;

/// What was granted, as far as a gate needs it. There are many of these: what others have as well is shared, and what few have lies
/// elsewhere.
#[derive(Debug, Clone)]
pub(in crate::gate) struct Held {
    pub(in crate::gate) id: GrantId,
    pub(in crate::gate) holder: Principal,
    pub(in crate::gate) person: PersonId,
    pub(in crate::gate) selector: Selector,
    pub(in crate::gate) policy: PolicyName,
    /// As it was when the request was approved.
    pub(in crate::gate) resource: Arc<ResourceDef>,
    /// `None`: the whole resource.
    pub(in crate::gate) scope: Option<Box<Scope>>,
    pub(in crate::gate) not_before: Timestamp,
    pub(in crate::gate) use_within: Option<Span>,
    pub(in crate::gate) idle_timeout: Option<Span>,
    pub(in crate::gate) max_requests: Option<u64>,
    pub(in crate::gate) max_bytes: Option<u64>,
    pub(in crate::gate) max_concurrent: Option<u32>,
    pub(in crate::gate) mfa: Option<Box<MfaTerms>>,
}

impl Held {
    /// Of a grant whose resource is the same as `resource`.
    fn new(grant: &Grant, resource: Arc<ResourceDef>) -> Self {
        Self {
            id: grant.id,
            holder: grant.holder.clone(),
            person: grant.person.clone(),
            selector: grant.selector,
            policy: grant.policy.clone(),
            resource,
            scope: (grant.scope != Scope::default()).then(|| Box::new(grant.scope.clone())),
            not_before: grant.not_before,
            use_within: grant.use_within,
            idle_timeout: grant.idle_timeout,
            max_requests: grant.max_requests,
            max_bytes: grant.max_bytes,
            max_concurrent: grant.max_concurrent,
            mfa: grant.mfa.clone().map(Box::new),
        }
    }
}

/// A grant within its view.
#[derive(Debug)]
pub(in crate::gate) struct Live {
    grant: Held,
    credential: Option<Box<GrantCredential>>,
    until: Timestamp,
    /// `until` in words, once they are wanted.
    expires: OnceLock<Box<HeaderValue>>,
    /// Its number among the versions of the grant that were heard of.
    number: u64,
    /// How much newer a use must be to be worth a write to shared memory, in milliseconds.
    grain: i64,
    /// Whether it asks for nothing but its window: neither budgets nor places nor a second factor.
    unlimited: bool,
    usage: Arc<Usage>,
}

impl Live {
    /// `resource` is the grant's own; `lag` is how far this gate's clock may be behind: the window ends that much earlier.
    pub(in crate::gate) fn new(
        grant: &Grant,
        resource: Arc<ResourceDef>,
        credential: Option<&GrantCredential>,
        lag: TimeDelta,
        usage: Arc<Usage>,
    ) -> Self {
        let until = grant
            .not_after
            .checked_sub_signed(lag)
            .unwrap_or(Timestamp::MIN_UTC);
        usage.end_by(until);
        let tenth = grant.idle_timeout.map_or(u64::MAX, |idle| idle.as_millis() / 10);
        let credential = credential.filter(|_| grant.selector == Selector::Credential);
        Self {
            number: usage.numbers.fetch_add(1, Ordering::AcqRel) + 1,
            grain: i64::try_from(tenth.min(1000)).unwrap_or(1000),
            credential: credential.cloned().map(Box::new),
            unlimited: grant.max_requests.is_none()
                && grant.max_bytes.is_none()
                && grant.max_concurrent.is_none()
                && grant.mfa.is_none(),
            grant: Held::new(grant, resource),
            expires: OnceLock::new(),
            until,
            usage,
        }
    }

    /// The same grant with its holder's names as `holder` and `person` have them, if they are the same: then they are found equal by where
    /// they are in memory.
    pub(in crate::gate) fn named(mut self, holder: &Principal, person: &PersonId) -> Self {
        if self.grant.holder == *holder {
            self.grant.holder = holder.clone();
        }
        if self.grant.person == *person {
            self.grant.person = person.clone();
        }
        self
    }

    /// The same grant, in memory of its own. What changes about it is shared.
    pub(in crate::gate) fn copy(&self) -> Self {
        Self {
            grant: self.grant.clone(),
            credential: self.credential.clone(),
            until: self.until,
            expires: OnceLock::new(),
            number: self.number,
            grain: self.grain,
            unlimited: self.unlimited,
            usage: Arc::clone(&self.usage),
        }
    }

    /// Whether it is this principal's, and this person's.
    pub(in crate::gate) fn is_held_by(&self, principal: &Principal, person: &PersonId) -> bool {
        self.grant.holder == *principal && self.grant.person == *person
    }

    /// The credential that opens it, where it is one that does.
    pub(in crate::gate) fn credential(&self) -> Option<&GrantCredential> {
        self.credential.as_deref()
    }

    pub(in crate::gate) fn grant(&self) -> &Held {
        &self.grant
    }

    /// Whether the grant's own resource is known to be what `rule` says, with nothing changed: what the rule governs, it admits.
    pub(in crate::gate) fn is_of(&self, rule: &Arc<ResourceDef>) -> bool {
        Arc::ptr_eq(&self.grant.resource, rule)
    }

    pub(in crate::gate) fn expires(&self) -> &HeaderValue {
        self.expires.get_or_init(|| Box::new(expires(self.until)))
    }

    /// Whether a request that it covers takes nothing from it.
    pub(in crate::gate) fn is_unlimited(&self) -> bool {
        self.unlimited
    }

    /// The first moment at which nothing is admitted any more.
    pub(in crate::gate) fn until(&self) -> Timestamp {
        self.until
    }

    pub(in crate::gate) fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Whether no later version of the grant was heard of.
    pub(in crate::gate) fn is_newest(&self) -> bool {
        self.usage.numbers.load(Ordering::Acquire) == self.number
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
        if self.grant.idle_timeout.is_none() && self.grant.use_within.is_none() {
            return true;
        }
        // Before the first use the first-use limit rules, where there is one.
        let (limit, since) = match (self.usage.last_use(), self.grant.use_within) {
            (Some(last), _) => (self.grant.idle_timeout, last),
            (None, Some(within)) => (Some(within), self.grant.not_before),
            (None, None) => (self.grant.idle_timeout, self.grant.not_before),
        };
        limit.is_none_or(|limit| now < limit.after(since))
    }

    /// Until when what was admitted may go on, as things are. A use moves the end of a grant that can lie idle; what is in flight is neither
    /// idle before its first byte nor another request.
    pub(in crate::gate) fn goes_on_until(&self) -> Timestamp {
        let ends = Timestamp::from_timestamp_micros(self.usage.ends.load(Ordering::Acquire));
        let until = ends.map_or(self.until, |ends| ends.min(self.until));
        self.idle_from().map_or(until, |idle| until.min(idle))
    }

    /// Why what was admitted may not go on at `now`, if it may not: [`Live::goes_on_until`] has come, or somebody shut the grant. It is asked for
    /// every frame, and makes as few dates as it can: they take longer than all the rest.
    pub(in crate::gate) fn over(&self, now: Timestamp) -> Option<Cut> {
        if let Some(cut) = self.usage.shut.get() {
            return Some(cut);
        }
        if self.until <= now || self.usage.ends.load(Ordering::Acquire) <= now.timestamp_micros() {
            return Some(Cut::Expired);
        }
        self.idle_from()
            .is_some_and(|idle| now >= idle)
            .then_some(Cut::IdleExpired)
    }

    /// From when on what was admitted has lain idle for too long, unless it is used before.
    fn idle_from(&self) -> Option<Timestamp> {
        let since = || self.usage.last_use().unwrap_or(self.grant.not_before);
        self.grant.idle_timeout.map(|idle| idle.after(since()))
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

fn expires(until: Timestamp) -> HeaderValue {
    let text = until.to_rfc3339_opts(SecondsFormat::Secs, true);
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

const NEVER: i64 = i64::MIN;

/// What changes about a grant while it lives.
#[derive(Debug)]
pub(in crate::gate) struct Usage {
    /// Why it is shut, once it is.
    shut: Cause,
    /// The earliest end that any version of the grant had, in microseconds since the epoch: what was admitted under an older one ends
    /// with the newest.
    ends: AtomicI64,
    /// How many versions there were.
    numbers: AtomicU64,
    /// Milliseconds since the epoch.
    last_use: AtomicI64,
    /// The last use that the rest of the fleet knows of, likewise.
    known_use: AtomicI64,
    in_flight: AtomicU32,
    /// Made when first asked for: most grants have none.
    budgets: OnceLock<Box<Budgets>>,
    /// Wakes what is in flight when the grant ends earlier than it did. Made when first something waits.
    shorter: OnceLock<Arc<Notify>>,
}

#[derive(Debug, Default)]
struct Budgets {
    requests: Budget,
    bytes: Budget,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            shut: Cause::default(),
            ends: AtomicI64::new(i64::MAX),
            numbers: AtomicU64::new(0),
            last_use: AtomicI64::new(NEVER),
            known_use: AtomicI64::new(NEVER),
            in_flight: AtomicU32::new(0),
            budgets: OnceLock::new(),
            shorter: OnceLock::new(),
        }
    }
}

impl Usage {
    /// Shuts the grant for good.
    pub(in crate::gate) fn shut(&self, why: Cut) {
        if self.shut.set(why) {
            self.wake();
        }
    }

    pub(in crate::gate) fn is_shut(&self) -> bool {
        self.shut.is_set()
    }

    fn end_by(&self, until: Timestamp) {
        self.ends.fetch_min(until.timestamp_micros(), Ordering::AcqRel);
    }

    /// Has what is in flight look again whether it may go on.
    pub(in crate::gate) fn wake(&self) {
        // What was changed comes before this, and whoever waits looks at it after theirs: either the change is seen there, or what to wake
        // is seen here.
        fence(Ordering::SeqCst);
        if let Some(shorter) = self.shorter.get() {
            shorter.notify_waiters();
        }
    }

    /// Resolves when the grant is shut or shortened after this call, or something else that may end what is in flight has happened.
    pub(in crate::gate) fn shorter(&self) -> OwnedNotified {
        let shorter = Arc::clone(self.shorter.get_or_init(Arc::default)).notified_owned();
        fence(Ordering::SeqCst);
        shorter
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

    pub(in crate::gate) fn budget(&self, of: Budgeted) -> &Budget {
        let budgets = self.budgets.get_or_init(Box::default);
        match of {
            Budgeted::Requests => &budgets.requests,
            Budgeted::Bytes => &budgets.bytes,
        }
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
