//! The Enforcer: which grants are live, and whether one of them admits a request.
//!
//! 1. Access is decided from the grant's window and `now`. Publishing, sweeping and expiry on paper never lengthen it.
//! 2. A published version only replaces an older one; a terminal state is the last.
//! 3. [`Enforcer::shut`] and [`Enforcer::lock`] act at once: no check that starts after they return admits what they shut, and
//!    no later publish opens it again. They come before the write, and stay if the write fails.
//! 4. A view that was not complete within the last `stale_after` admits nothing.
//! 5. Where several grants admit a request, it is attributed to the one that ends last. A grant whose budget has to be reserved
//!    first comes after those that admit at once.
//! 6. A grant that wants a second factor wants it for every request, and a fresh one for the first.
//! 7. There is one place where a [`Permit`](crate::gate::permit::Permit) is made.
//!
//! A check reads shared memory and writes at most the grant's own counters: it does not wait, and allocates only for a grant
//! with a limit of concurrent requests.

use std::collections::BTreeMap;
use std::hash::BuildHasher as _;
use std::sync::Arc;

use chrono::TimeDelta;

use crate::approval::grant::Grant;
use crate::approval::lockdown::Lockdown;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::directory::Person;
use crate::broker::store::Version;
use crate::gate::authenticate::Subject;
use crate::gate::budget::Budgeted;
use crate::gate::cut::Cut;
use crate::gate::live::{Live, Usage};
use crate::gate::locks::Locks;
use crate::gate::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use crate::gate::sync::dashmap::{self, DashMap};
use crate::gate::sync::{ArcSwap, RandomState};
use crate::id::{Digest, GrantId, PersonId, Principal, ResourceName, Timestamp};
use crate::policy::terms::ResourceDef;
use crate::span::Span;

mod caller;
mod check;
mod heard;
mod settings;
mod shared;
mod standing;
mod watch;

pub use caller::Caller;
pub use check::Answer;
pub(in crate::gate) use check::{Asker, Bearer, covers};
use heard::{Filing, Heard, Holder, Known, Waiting};
pub use settings::{EnforcerSettings, SettingError};
use shared::Shared;
pub(in crate::gate) use standing::Standing;
use watch::Watches;

/// How long after a grant's end it is remembered, so that a publisher that lags can't bring it back: as long as the oldest view that
/// may admit anything.
const AFTERLIFE: TimeDelta = TimeDelta::minutes(5);

/// How many counters of changes there are: holders that share one make each other's standings be made anew.
const VERSIONS: usize = 8192;

/// The live grants of one gate.
#[derive(Debug)]
pub struct Enforcer {
    /// In milliseconds.
    stale_after: i64,
    lag: TimeDelta,
    /// When the view was last complete, in milliseconds since the epoch.
    synced: AtomicI64,
    locks: ArcSwap<Locks>,
    /// Whether there has ever been a lockdown. Until then a check need not look at `locks`, which costs it a write to shared memory.
    locked: AtomicBool,
    /// What was heard of each request. Its shard's lock is taken before one of `holders`, never after.
    ledger: DashMap<GrantId, Heard>,
    holders: DashMap<Principal, Holder, RandomState>,
    /// The grants that are bound to a credential, by its hash. Locked like `holders`.
    bound: DashMap<Digest, Arc<Live>>,
    /// Counts, for the holders that a hash puts in each place, how often what they hold has changed: sessions keep copies of it.
    versions: Box<[AtomicU64]>,
    hasher: RandomState,
    shared: Shared,
    watches: Watches,
}

impl Enforcer {
    /// Knows of nothing, and is stale until the first [`Enforcer::synced`].
    pub fn new(settings: EnforcerSettings) -> Self {
        let hasher = RandomState::default();
        Self {
            stale_after: settings.stale_after.as_delta().num_milliseconds(),
            lag: settings.clock_lag.map_or(TimeDelta::zero(), Span::as_delta),
            synced: AtomicI64::new(i64::MIN),
            locks: ArcSwap::default(),
            locked: AtomicBool::new(false),
            ledger: DashMap::new(),
            holders: DashMap::with_hasher(hasher.clone()),
            bound: DashMap::new(),
            versions: (0..VERSIONS).map(|_| AtomicU64::new(0)).collect(),
            hasher,
            shared: Shared::default(),
            watches: Watches::default(),
        }
    }

    /// Makes the view of one request what `request` says, if `version` is newer than what was heard before.
    ///
    /// Active: its grant admits within its window. Pending or scheduled: it does not, and a refusal can name it. Terminal: it is
    /// gone for good.
    pub fn publish(&self, version: Version, request: &Request) {
        let id = GrantId::from(request.id);
        let mut entry = self.ledger.entry(id).or_default();
        let Heard::Open(heard) = &mut *entry else {
            return;
        };
        if version <= heard.version {
            return;
        }
        heard.version = version;
        let end = request
            .grant
            .as_ref()
            .map_or(request.pending_until, |grant| grant.not_after);
        let until = heard.until.map_or(end, |until| until.max(end));
        heard.until = Some(until);
        heard.grant = None;
        let live = |heard: &Known, grant: &Grant| {
            let usage = Arc::clone(&heard.usage);
            let resource = self
                .shared
                .one(&grant.resource, || Arc::new(grant.resource.clone()));
            let credential = request.credential.as_ref();
            let live = Live::new(grant, resource, credential, self.lag, usage);
            Arc::new(match self.names(&grant.holder) {
                Some((holder, person)) => live.named(&holder, person.as_ref().unwrap_or(&grant.person)),
                None => live,
            })
        };
        let wait = |opens_at| Waiting {
            request: request.id,
            resource: request.ruling.resource.name.clone(),
            opens_at,
        };
        let filing = match (request.state, &request.grant) {
            (State::Pending, _) => Filing::Waiting(wait(None)),
            (State::Scheduled, Some(grant)) => {
                heard.grant = Some(live(heard, grant));
                Filing::Waiting(wait(Some(grant.not_before)))
            }
            (State::Active, Some(grant)) => {
                let live = live(heard, grant);
                heard.grant = Some(Arc::clone(&live));
                Filing::Live(live)
            }
            // A terminal state, or a grant that is said to be there and is not.
            _ => {
                heard.usage.shut(Cut::of(request.state));
                Filing::Nowhere
            }
        };
        let holder = request
            .grant
            .as_ref()
            .map_or(&request.requester.principal, |grant| &grant.holder);
        self.file(id, heard, holder, filing);
        self.bind(heard);
        // After filing: a lockdown that does not see this entry yet is seen from here.
        self.kill(heard);
        // What is in flight asks whether it is covered still.
        heard.usage.wake();
        if request.state.is_terminal() {
            *entry = Heard::Over { until };
        }
    }

    /// The version of a live grant that has replaced this one, if one has.
    pub(in crate::gate) fn newer(&self, live: &Live) -> Option<Arc<Live>> {
        if live.is_newest() {
            return None;
        }
        self.ledger.get(&live.grant().id)?.known()?.grant.clone()
    }

    /// Has what the grant's credential opens be what the grant is now. The credential before it opens nothing any more.
    fn bind(&self, heard: &mut Known) {
        let bound = heard
            .grant
            .as_ref()
            .and_then(|live| Some((live.credential()?.digest, Arc::clone(live))));
        let digest = bound.as_ref().map(|(digest, _)| *digest);
        if let Some((digest, live)) = bound {
            self.bound.insert(digest, live);
        }
        let before = std::mem::replace(&mut heard.bound, digest.map(Box::new));
        if let Some(before) = before.filter(|before| digest != Some(**before)) {
            self.bound.remove(&before);
        }
    }

    /// Who bears this credential, if it opens a grant or will. Whether that admits a request is for [`Enforcer::check_as`] to say.
    pub(in crate::gate) fn bearer(&self, credential: Digest, now: Timestamp) -> Option<Bearer> {
        let live = self.bound.get(&credential)?;
        let grant = live.grant().id;
        live.is_alive(now).then_some(Bearer { grant, credential })
    }

    /// Whom this credential stands for, as strongly signed in as they were when they took it.
    pub(in crate::gate) fn holder_by(&self, credential: &Digest, now: Timestamp) -> Option<Subject> {
        let live = self.bound.get(credential).filter(|live| live.is_alive(now))?;
        Some(Subject {
            principal: live.grant().holder.clone(),
            assurance: live.credential()?.assurance.clone(),
            claims: BTreeMap::new(),
            expires_at: Some(live.until()),
        })
    }

    /// Files a request with its holder, in place of what was filed before. A grant that stays live is never missing in between.
    fn file(&self, id: GrantId, heard: &mut Known, holder: &Principal, filing: Filing) {
        let drop_old = |holder: &mut Holder| {
            holder
                .waiting
                .retain(|waiting| GrantId::from(waiting.request) != id);
            holder.live.retain(|live| live.grant().id != id);
        };
        if let Some(old) = heard.filed.take_if(|old| old != holder) {
            self.with_holder(&old, drop_old);
        }
        if matches!(filing, Filing::Nowhere) {
            heard.filed = None;
            self.with_holder(holder, drop_old);
            return;
        }
        heard.filed = Some(holder.clone());
        let principal = holder;
        let mut holder = self.holders.entry(holder.clone()).or_default();
        drop_old(&mut holder);
        match filing {
            Filing::Live(live) => holder.live.push(live),
            Filing::Waiting(waiting) => holder.waiting.push(waiting),
            Filing::Nowhere => {}
        }
        drop(holder);
        self.changed(principal);
    }

    /// A holder's principal and person as what they hold names them: who is the same is found so by where that is in memory, if both have
    /// their names from here.
    pub(in crate::gate) fn names(&self, holder: &Principal) -> Option<(Principal, Option<PersonId>)> {
        let known = self.holders.get(holder)?;
        let person = known.live.first().map(|live| live.grant().person.clone());
        Some((known.key().clone(), person))
    }

    /// What everybody holds in place of a resource's definition.
    pub(in crate::gate) fn shared(&self, def: &Arc<ResourceDef>) -> Arc<ResourceDef> {
        self.shared.one(def, || Arc::clone(def))
    }

    /// The hash of a holder, always the same here.
    pub(in crate::gate) fn hash(&self, holder: &Principal) -> u64 {
        self.hasher.hash_one(holder)
    }

    /// What a holder holds has changed: from here on no standing that was made of it counts, and whoever waits for it looks again.
    fn changed(&self, holder: &Principal) {
        if let Some(version) = self.version(self.hash(holder)) {
            version.fetch_add(1, Ordering::AcqRel);
        }
        self.watches.wake(holder);
    }

    /// Changes what a holder has, and forgets a holder that has nothing left.
    fn with_holder(&self, holder: &Principal, change: impl FnOnce(&mut Holder)) {
        if let dashmap::Entry::Occupied(mut entry) = self.holders.entry(holder.clone()) {
            change(entry.get_mut());
            if entry.get().live.is_empty() && entry.get().waiting.is_empty() {
                entry.remove();
            }
        }
        self.changed(holder);
    }

    /// Shuts one grant, at once and for good, and has what is in flight under it cut. Called before the revocation is written; it stays
    /// shut if that fails.
    ///
    /// For a grant that was never published this is remembered as long as the enforcer lives.
    pub fn shut(&self, grant: GrantId, why: Cut) {
        if let Heard::Open(heard) = &*self.ledger.entry(grant).or_default() {
            heard.usage.shut(why);
        }
    }

    /// Whether a grant was shut here, or has ended.
    pub fn is_shut(&self, grant: GrantId) -> bool {
        self.ledger
            .get(&grant)
            .is_some_and(|heard| heard.known().is_none_or(|known| known.usage.is_shut()))
    }

    /// Puts the lockdowns in force that were so at `version` of their stream, and shuts every grant that one of them matches: for
    /// good, even when it is lifted later. An older version than one seen before lifts nothing.
    pub fn set_lockdowns(&self, version: Version, lockdowns: &[Lockdown]) {
        if !lockdowns.is_empty() {
            self.locked.store(true, Ordering::SeqCst);
        }
        self.locks.rcu(|locks| locks.logged(version, lockdowns));
        self.kill_all();
        self.watches.wake_all();
    }

    /// Puts one lockdown in force at once, before it is written. It stays in force until a published version that holds it was
    /// followed by one that does not; if the write fails, until the process ends.
    pub fn lock(&self, lockdown: &Lockdown) {
        self.locked.store(true, Ordering::SeqCst);
        self.locks.rcu(|locks| locks.urgent(lockdown));
        self.kill_all();
        self.watches.wake_all();
    }

    /// What is in flight looks again as well: whom a locked role bars is not for a grant to say.
    fn kill_all(&self) {
        self.each_known(|heard| {
            self.kill(heard);
            heard.usage.wake();
        });
    }

    /// The rules have changed: everything in flight looks again whether it may go on.
    pub(in crate::gate) fn rules_changed(&self) {
        self.each_known(|heard| heard.usage.wake());
    }

    fn each_known(&self, work: impl Fn(&Known)) {
        self.ledger
            .iter()
            .for_each(|heard| heard.known().into_iter().for_each(&work));
    }

    /// Whether a lockdown that is in force keeps someone from a resource.
    pub(in crate::gate) fn bars(
        &self,
        principal: &Principal,
        person: &Person,
        resource: &ResourceName,
    ) -> bool {
        self.locked.load(Ordering::SeqCst) && self.locks.load().bar(principal, person, resource)
    }

    fn kill(&self, heard: &Known) {
        if let Some(live) = &heard.grant
            && self.locks.load().kill(live.grant())
        {
            heard.usage.shut(Cut::LockedDown);
        }
    }

    /// Says that at `at` the view was complete: everything written before was published.
    pub fn synced(&self, at: Timestamp) {
        self.synced.fetch_max(at.timestamp_millis(), Ordering::AcqRel);
    }

    /// Whether the view is too old at `now` to admit anything.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let synced = self.synced.load(Ordering::Acquire);
        // A part of a millisecond counts as a whole one: it is past the last moment that the view is good for.
        let millis = now.timestamp_millis();
        let begun = i64::from(!now.timestamp_subsec_nanos().is_multiple_of(1_000_000));
        synced == i64::MIN || millis.saturating_add(begun).saturating_sub(synced) > self.stale_after
    }

    /// The last moment at which the view is not too old, as things are at `now`. `None`: it is.
    pub(in crate::gate) fn fresh_until(&self, now: Timestamp) -> Option<Timestamp> {
        let synced = Timestamp::from_timestamp_millis(self.synced.load(Ordering::Acquire))?;
        let until = synced.checked_add_signed(TimeDelta::milliseconds(self.stale_after))?;
        (now <= until).then_some(until)
    }

    /// Adds what was durably reserved for this gate to what is left of a grant's budget. 0 says that nothing is left to reserve.
    pub fn allow(&self, grant: GrantId, of: Budgeted, more: u64) {
        if let Some(usage) = self.usage(grant) {
            usage.budget(of).allow(more);
        }
    }

    /// A use that another gate saw.
    pub fn note_use(&self, grant: GrantId, at: Timestamp) {
        if let Some(usage) = self.usage(grant) {
            usage.note(at);
        }
    }

    /// The last use of every grant that was used since the last call, as far as no other gate's use is later. Whoever can't pass
    /// them on loses them until the next use; a grant then ends early, never late.
    pub fn drain_uses(&self) -> Vec<(GrantId, Timestamp)> {
        self.ledger
            .iter()
            .filter_map(|heard| Some((*heard.key(), heard.known()?.usage.drain()?)))
            .collect()
    }

    /// Forgets what ended long enough before `now`.
    pub fn sweep(&self, now: Timestamp) {
        self.ledger.retain(|id, heard| {
            let kept = heard
                .until()
                .is_none_or(|until| until.checked_add_signed(AFTERLIFE).is_none_or(|end| now < end));
            if let Heard::Open(heard) = heard
                && !kept
            {
                if let Some(holder) = heard.filed.clone() {
                    self.file(*id, heard, &holder, Filing::Nowhere);
                }
                heard.grant = None;
                self.bind(heard);
            }
            kept
        });
        self.shared.sweep();
    }

    /// How many grants are active as far as was heard. Walks through all of them: for metrics, not for requests.
    pub fn live_count(&self) -> usize {
        self.holders.iter().map(|holder| holder.live.len()).sum()
    }

    /// How many requests anything is remembered of.
    pub fn remembered_count(&self) -> usize {
        self.ledger.len()
    }

    /// The grant's changing part, for the one that reserves.
    pub(in crate::gate) fn usage(&self, grant: GrantId) -> Option<Arc<Usage>> {
        Some(Arc::clone(&self.ledger.get(&grant)?.known()?.usage))
    }
}

#[cfg(test)]
mod tests;
