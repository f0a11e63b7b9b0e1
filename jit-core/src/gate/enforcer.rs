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
//! 7. There is one place where a [`Permit`] is made.
//!
//! A check reads shared memory and writes at most the grant's own counters: it does not wait, and allocates only for a grant
//! with a limit of concurrent requests.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use chrono::TimeDelta;
use dashmap::DashMap;
use http::Method;

use crate::approval::ask::Selector;
use crate::approval::grant::Grant;
use crate::approval::lockdown::Lockdown;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::directory::Person;
use crate::broker::store::Version;
use crate::gate::authenticate::Subject;
use crate::gate::live::{Draw, Live, Usage};
use crate::gate::locks::Locks;
use crate::gate::permit::Permit;
use crate::gate::refusal::Refusal;
use crate::gate::rules::admits;
use crate::gate::target::Target;
use crate::id::{Digest, GrantId, Principal, RequestId, ResourceName, Timestamp};
use crate::policy::terms::{ResourceDef, Scope};
use crate::span::Span;

mod settings;

pub use settings::{EnforcerSettings, SettingError};

/// How long after a grant's end its versions are remembered, so that a publisher that lags can't bring it back.
const AFTERLIFE: TimeDelta = TimeDelta::hours(1);

/// The live grants of one gate.
#[derive(Debug)]
pub struct Enforcer {
    stale_after: TimeDelta,
    lag: TimeDelta,
    /// When the view was last complete, in milliseconds since the epoch.
    synced: AtomicI64,
    locks: ArcSwap<Locks>,
    /// What was heard of each request. Its shard's lock is taken before one of `holders`, never after.
    ledger: DashMap<GrantId, Heard>,
    holders: DashMap<Principal, Holder>,
    /// The grants that are bound to a credential, by its hash. Locked like `holders`.
    bound: DashMap<Digest, Arc<Live>>,
}

/// What a gate remembers of one request.
#[derive(Debug, Default)]
struct Heard {
    version: Version,
    /// In a terminal state: nothing heard later counts.
    over: bool,
    /// Shared with the live grant, across its versions.
    usage: Arc<Usage>,
    /// What is live or scheduled, for lockdowns to match.
    grant: Option<Arc<Live>>,
    /// In whose [`Holder`] it is filed.
    filed: Option<Principal>,
    /// The credential that it is bound to.
    bound: Option<Digest>,
    /// Nothing in here matters after this; `None` while only a shut was heard of.
    until: Option<Timestamp>,
}

/// What one principal has.
#[derive(Debug, Default)]
struct Holder {
    live: Vec<Arc<Live>>,
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Waiting {
    request: RequestId,
    resource: ResourceName,
    opens_at: Option<Timestamp>,
}

/// Where a request is filed.
enum Filing {
    Nowhere,
    Waiting(Waiting),
    Live(Arc<Live>),
}

impl Enforcer {
    /// Knows of nothing, and is stale until the first [`Enforcer::synced`].
    pub fn new(settings: EnforcerSettings) -> Self {
        Self {
            stale_after: settings.stale_after.as_delta(),
            lag: settings.clock_lag.map_or(TimeDelta::zero(), Span::as_delta),
            synced: AtomicI64::new(i64::MIN),
            locks: ArcSwap::default(),
            ledger: DashMap::new(),
            holders: DashMap::new(),
            bound: DashMap::new(),
        }
    }

    /// Makes the view of one request what `request` says, if `version` is newer than what was heard before.
    ///
    /// Active: its grant admits within its window. Pending or scheduled: it does not, and a refusal can name it. Terminal: it is
    /// gone for good.
    pub fn publish(&self, version: Version, request: &Request) {
        let id = GrantId::from(request.id);
        let mut heard = self.ledger.entry(id).or_default();
        if heard.over || version <= heard.version {
            return;
        }
        heard.version = version;
        let end = request
            .grant
            .as_ref()
            .map_or(request.pending_until, |grant| grant.not_after);
        heard.until = heard.until.max(Some(end));
        heard.grant = None;
        let live = |heard: &Heard, grant: &Grant| {
            let usage = Arc::clone(&heard.usage);
            Arc::new(Live::new(
                grant.clone(),
                request.credential.clone(),
                self.lag,
                usage,
            ))
        };
        let wait = |opens_at| Waiting {
            request: request.id,
            resource: request.ruling.resource.name.clone(),
            opens_at,
        };
        let filing = match (request.state, &request.grant) {
            (State::Pending, _) => Filing::Waiting(wait(None)),
            (State::Scheduled, Some(grant)) => {
                heard.grant = Some(live(&heard, grant));
                Filing::Waiting(wait(Some(grant.not_before)))
            }
            (State::Active, Some(grant)) => {
                let live = live(&heard, grant);
                heard.grant = Some(Arc::clone(&live));
                Filing::Live(live)
            }
            // A terminal state, or a grant that is said to be there and is not.
            _ => {
                heard.over = request.state.is_terminal();
                heard.usage.shut();
                Filing::Nowhere
            }
        };
        let holder = request
            .grant
            .as_ref()
            .map_or(&request.requester.principal, |grant| &grant.holder);
        self.file(id, &mut heard, holder, filing);
        self.bind(&mut heard);
        // After filing: a lockdown that does not see this entry yet is seen from here.
        self.kill(&heard);
    }

    /// Has what the grant's credential opens be what the grant is now. The credential before it opens nothing any more.
    fn bind(&self, heard: &mut Heard) {
        let bound = heard
            .grant
            .as_ref()
            .and_then(|live| Some((live.credential()?.digest, Arc::clone(live))));
        let digest = bound.as_ref().map(|(digest, _)| *digest);
        if let Some((digest, live)) = bound {
            self.bound.insert(digest, live);
        }
        let before = std::mem::replace(&mut heard.bound, digest);
        if let Some(before) = before.filter(|before| digest != Some(*before)) {
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
    fn file(&self, id: GrantId, heard: &mut Heard, holder: &Principal, filing: Filing) {
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
        let mut holder = self.holders.entry(holder.clone()).or_default();
        drop_old(&mut holder);
        match filing {
            Filing::Live(live) => holder.live.push(live),
            Filing::Waiting(waiting) => holder.waiting.push(waiting),
            Filing::Nowhere => {}
        }
    }

    /// Changes what a holder has, and forgets a holder that has nothing left.
    fn with_holder(&self, holder: &Principal, change: impl FnOnce(&mut Holder)) {
        if let dashmap::Entry::Occupied(mut entry) = self.holders.entry(holder.clone()) {
            change(entry.get_mut());
            if entry.get().live.is_empty() && entry.get().waiting.is_empty() {
                entry.remove();
            }
        }
    }

    /// Shuts one grant, at once and for good. Called before the revocation is written; it stays shut if that fails.
    ///
    /// For a grant that was never published this is remembered as long as the enforcer lives.
    pub fn shut(&self, grant: GrantId) {
        self.ledger.entry(grant).or_default().usage.shut();
    }

    /// Whether a grant was shut here, or has ended.
    pub fn is_shut(&self, grant: GrantId) -> bool {
        self.ledger.get(&grant).is_some_and(|heard| heard.usage.is_shut())
    }

    /// Puts the lockdowns in force that were so at `version` of their stream, and shuts every grant that one of them matches: for
    /// good, even when it is lifted later. An older version than one seen before lifts nothing.
    pub fn set_lockdowns(&self, version: Version, lockdowns: &[Lockdown]) {
        self.locks.rcu(|locks| locks.logged(version, lockdowns));
        self.kill_all();
    }

    /// Puts one lockdown in force at once, before it is written. It stays in force until a published version that holds it was
    /// followed by one that does not; if the write fails, until the process ends.
    pub fn lock(&self, lockdown: &Lockdown) {
        self.locks.rcu(|locks| locks.urgent(lockdown));
        self.kill_all();
    }

    fn kill_all(&self) {
        self.ledger.iter().for_each(|heard| self.kill(&heard));
    }

    fn kill(&self, heard: &Heard) {
        if let Some(live) = &heard.grant
            && self.locks.load().kill(live.grant())
        {
            heard.usage.shut();
        }
    }

    /// Says that at `at` the view was complete: everything written before was published.
    pub fn synced(&self, at: Timestamp) {
        self.synced.fetch_max(at.timestamp_millis(), Ordering::AcqRel);
    }

    /// Whether the view is too old at `now` to admit anything.
    pub fn is_stale(&self, now: Timestamp) -> bool {
        let synced = Timestamp::from_timestamp_millis(self.synced.load(Ordering::Acquire));
        synced.is_none_or(|at| now.signed_duration_since(at) > self.stale_after)
    }

    /// Adds requests that were durably reserved for this gate to a grant's allowance. 0 says that nothing is left to reserve.
    pub fn allow(&self, grant: GrantId, requests: u64) {
        if let Some(heard) = self.ledger.get(&grant) {
            heard.usage.allow(requests);
        }
    }

    /// A use that another gate saw.
    pub fn note_use(&self, grant: GrantId, at: Timestamp) {
        if let Some(heard) = self.ledger.get(&grant) {
            heard.usage.note(at);
        }
    }

    /// The last use of every grant that was used since the last call, as far as no other gate's use is later. Whoever can't pass
    /// them on loses them until the next use; a grant then ends early, never late.
    pub fn drain_uses(&self) -> Vec<(GrantId, Timestamp)> {
        self.ledger
            .iter()
            .filter_map(|heard| Some((*heard.key(), heard.usage.drain()?)))
            .collect()
    }

    /// Forgets what ended long enough before `now`.
    pub fn sweep(&self, now: Timestamp) {
        self.ledger.retain(|id, heard| {
            let kept = heard
                .until
                .is_none_or(|until| until.checked_add_signed(AFTERLIFE).is_none_or(|end| now < end));
            if !kept {
                if let Some(holder) = heard.filed.clone() {
                    self.file(*id, heard, &holder, Filing::Nowhere);
                }
                heard.grant = None;
                self.bind(heard);
            }
            kept
        });
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
        self.ledger.get(&grant).map(|heard| Arc::clone(&heard.usage))
    }

    /// Whether a live grant of `subject` admits `method` on `target`, which `governing` (as it is now) governs.
    ///
    /// A grant admits what its own resource, its scope and the governing resource all cover, and only under the name of the
    /// governing resource: a parent's grant never opens a stricter child.
    ///
    /// A grant that is bound to a credential does not count here: its holder's identity does not open it.
    pub fn check(
        &self,
        subject: &Subject,
        person: &Person,
        governing: &ResourceDef,
        target: &Target<'_>,
        method: &Method,
        now: Timestamp,
    ) -> Answer {
        let asker = Asker {
            subject,
            person,
            bearer: None,
        };
        self.check_as(&asker, governing, target, method, now)
    }

    /// As [`Enforcer::check`], for whoever `asker` is: with a credential, only the grant that is bound to it counts.
    pub(in crate::gate) fn check_as(
        &self,
        asker: &Asker<'_>,
        governing: &ResourceDef,
        target: &Target<'_>,
        method: &Method,
        now: Timestamp,
    ) -> Answer {
        let whole = Scope::default();
        let covers = |grant: &Grant| {
            admits(&grant.resource, &grant.scope, target, method) && admits(governing, &whole, target, method)
        };
        self.admit(asker, &governing.name, covers, now)
    }

    /// Whether one of the holder's live grants for `resource` admits a request that `covers` says it covers.
    fn admit(
        &self,
        asker: &Asker<'_>,
        resource: &ResourceName,
        covers: impl Fn(&Grant) -> bool,
        now: Timestamp,
    ) -> Answer {
        let &Asker { subject, person, .. } = asker;
        if self.is_stale(now) {
            return Answer::Refuse(Refusal::StaleView);
        }
        if self.locks.load().bar(&subject.principal, person, resource) {
            return Answer::Refuse(Refusal::LockedDown);
        }
        if person.disabled {
            return Answer::Refuse(Refusal::NotEligible {
                resource: resource.clone(),
            });
        }
        let Some(holder) = self.holders.get(&subject.principal) else {
            return Answer::Refuse(Refusal::ApprovalRequired {
                resource: resource.clone(),
            });
        };
        let candidate = |live: &&Arc<Live>| {
            let grant = live.grant();
            asker.opens(live) && grant.resource.name == *resource && live.is_open(now) && covers(grant)
        };
        let order = |live: &Arc<Live>| (live.until(), live.grant().id);
        let mut hindrance: Option<Hindrance> = None;
        let mut tried = None;
        // From the latest end to the earliest, without a list: a holder has few live grants.
        while let Some(live) = holder
            .live
            .iter()
            .filter(|live| tried.is_none_or(|tried| order(live) < tried))
            .filter(candidate)
            .max_by_key(|live| order(live))
        {
            tried = Some(order(live));
            match Self::take(live, subject, now) {
                Ok(permit) => return Answer::Admit(permit),
                Err(found) => hindrance = Some(hindrance.map_or(found.clone(), |first| first.or(found))),
            }
        }
        let resource = resource.clone();
        Answer::Refuse(match hindrance {
            Some(Hindrance::Reserve(grant)) => return Answer::Reserve(grant),
            Some(Hindrance::Concurrent) => Refusal::TooManyConcurrent { resource },
            Some(Hindrance::StepUp(live)) => match live.grant().mfa.clone() {
                Some(terms) => Refusal::StepUp { resource, terms },
                None => Refusal::ApprovalRequired { resource },
            },
            Some(Hindrance::Spent) => Refusal::BudgetSpent { resource },
            Some(Hindrance::Bytes) => Refusal::LimitNotEnforceable { resource },
            None => {
                let bound = |live: &&Arc<Live>| {
                    live.grant().selector == Selector::Credential
                        && live.grant().resource.name == resource
                        && live.is_open(now)
                        && covers(live.grant())
                };
                if asker.bearer.is_none() && holder.live.iter().any(|live| bound(&live)) {
                    Refusal::CredentialRequired { resource }
                } else {
                    holder.waits_for(asker, &resource, now)
                }
            }
        })
    }

    /// Takes one request from a grant that covers it: the one place that makes a [`Permit`].
    fn take(live: &Arc<Live>, subject: &Subject, now: Timestamp) -> Result<Permit, Hindrance> {
        let (grant, usage) = (live.grant(), live.usage());
        if grant.max_bytes.is_some() {
            return Err(Hindrance::Bytes);
        }
        if let Some(terms) = &grant.mfa {
            // How strong the sign-in is counts for every request: another, weaker credential of the holder does not ride along. How
            // old it is counts once.
            let enough = match usage.last_use() {
                None => subject.assurance.satisfies(terms, now),
                Some(_) => subject.assurance.is_strong(terms),
            };
            if !enough {
                return Err(Hindrance::StepUp(Arc::clone(live)));
            }
        }
        let slot = match grant.max_concurrent {
            None => None,
            Some(limit) => Some(Arc::new(usage.enter(limit).ok_or(Hindrance::Concurrent)?)),
        };
        if grant.max_requests.is_some() {
            match usage.draw() {
                Draw::Drawn => {}
                Draw::Empty => return Err(Hindrance::Reserve(grant.id)),
                Draw::Spent => return Err(Hindrance::Spent),
            }
        }
        live.used(now);
        Ok(Permit::admitted(Arc::clone(live), slot))
    }
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct Asker<'a> {
    pub(in crate::gate) subject: &'a Subject,
    pub(in crate::gate) person: &'a Person,
    /// The credential that named them, where it was one that is bound to a grant.
    pub(in crate::gate) bearer: Option<Bearer>,
}

/// A credential that was presented, and the grant that it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Bearer {
    grant: GrantId,
    credential: Digest,
}

impl Bearer {
    pub(in crate::gate) const fn credential(&self) -> Digest {
        self.credential
    }
}

impl Asker<'_> {
    /// Whether this grant is one that they hold, as its selector says.
    fn opens(&self, live: &Live) -> bool {
        let grant = live.grant();
        let named = match (grant.selector, &self.bearer) {
            (Selector::Principal, None) => true,
            (Selector::Credential, Some(bearer)) => {
                let bound = live.credential().map(|bound| bound.digest);
                grant.id == bearer.grant && bound == Some(bearer.credential)
            }
            (Selector::Principal, Some(_)) | (Selector::Credential, None) => false,
        };
        named && grant.holder == self.subject.principal && grant.person == self.person.id
    }

    /// Whether a refusal may name this request of the holder's: whoever bears a credential learns of its grant alone.
    fn may_know(&self, request: RequestId) -> bool {
        self.bearer.is_none_or(|bearer| bearer.grant == request.into())
    }
}

/// What a check came to.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must handle every answer")]
pub enum Answer {
    /// Admitted.
    Admit(Permit),
    /// Not admitted.
    Refuse(Refusal),
    /// It may be, once more of this grant's requests have been reserved.
    Reserve(GrantId),
}

/// Why a grant that covers a request does not admit it.
#[derive(Debug, Clone)]
enum Hindrance {
    Reserve(GrantId),
    Concurrent,
    StepUp(Arc<Live>),
    Spent,
    Bytes,
}

impl Hindrance {
    /// The one of two that is easier to mend.
    fn or(self, other: Self) -> Self {
        let rank = |hindrance: &Self| match hindrance {
            Self::Reserve(_) => 0,
            Self::Concurrent => 1,
            Self::StepUp(_) => 2,
            Self::Spent => 3,
            Self::Bytes => 4,
        };
        if rank(&other) < rank(&self) { other } else { self }
    }
}

impl Holder {
    /// The refusal for someone whom no grant covers: it names what they wait for, if they do.
    fn waits_for(&self, asker: &Asker<'_>, resource: &ResourceName, now: Timestamp) -> Refusal {
        let resource = resource.clone();
        let asked = self
            .waiting
            .iter()
            .filter(|waiting| waiting.resource == resource)
            .map(|waiting| (waiting.request, waiting.opens_at));
        let ahead = self
            .live
            .iter()
            .map(|live| live.grant())
            .filter(|grant| grant.resource.name == resource && now < grant.not_before)
            .map(|grant| (RequestId::from(grant.id), Some(grant.not_before)));
        // The one that opens first; those that are not approved come last.
        let known = asked.chain(ahead).filter(|(request, _)| asker.may_know(*request));
        match known.min_by_key(|(_, at)| (at.is_none(), *at)) {
            Some((request, opens_at)) => Refusal::ApprovalPending {
                resource,
                request,
                opens_at,
            },
            None => Refusal::ApprovalRequired { resource },
        }
    }
}

#[cfg(test)]
mod tests;
