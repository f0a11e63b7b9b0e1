//! One admitted request while it is in flight: what passes is counted, and it ends with its grant.
//!
//! 1. A flight is cut when its grant is shut, when a newer version of its grant does not cover it, when new rules have another resource
//!    govern it, when a lockdown bars its holder, when its window closes, when nothing passed for its idle timeout, when its budget of
//!    octets is used up, and when the gate's view is stale. The first cause stays.
//! 2. At a natural end it asks once more: if another live grant of the holder covers the request, the flight goes on under that one. A
//!    grant that was taken away ends what was admitted under it, whatever else its holder has. A credential that has ended or was revoked
//!    keeps a flight from going on under another grant, and so does the end of all sessions ([`Gate::forget_sessions`]). None of them
//!    cuts in mid-grant: whoever has to be cut at once loses the grant, or is locked down.
//! 3. What passes counts as use of the grant.
//! 4. Whoever waits registers first and reads the grant then: no end is missed in between.
//! 5. When nobody holds it any more it is recorded, if the gate records.
//! 6. A timer is armed only once something has to be waited for.
//!
//! # Caveats
//! - A grant whose budget would have to be reserved first does not take over at a natural end.
//! - [`Watch`] and [`Flight::reserve`] need a Tokio runtime, with time enabled.

mod watch;

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::approval::ask::Selector;
use crate::gate::authenticate::Subject;
use crate::gate::budget::{Budgeted, Draw};
use crate::gate::cut::{Cause, Cut};
use crate::gate::enforcer::{Answer, Asker, covers};
use crate::gate::interactions::{Note, Outcome, Path, Place};
use crate::gate::live::Held;
use crate::gate::permit::Permit;
use crate::gate::rules::Governed;
use crate::gate::session::Session;
use crate::gate::target::Target;
use crate::gate::{Admission, Gate};
use crate::id::{GrantId, Timestamp};
use http::request::Parts;
use http::{HeaderValue, Method, Request, StatusCode, Uri, Version, header};

pub use watch::Watch;

/// Which way octets pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "there are two ways")]
pub enum Direction {
    /// From the client.
    Received,
    /// To the client.
    Sent,
}

/// One admitted request while it is in flight.
///
/// It is in flight for as long as somebody holds this.
pub struct Flight {
    gate: Gate,
    asked: Asked,
    session: Arc<Session>,
    /// Of the sessions, when it began.
    epoch: u64,
    /// The rules that it was last found to be governed by.
    rules_number: AtomicU64,
    counts_bytes: bool,
    permit: Mutex<Permit>,
    /// The grants that it went on from.
    before: Mutex<Vec<GrantId>>,
    began: Timestamp,
    place: Option<Place>,
    cut: Cause,
    status: AtomicU16,
    received: AtomicU64,
    sent: AtomicU64,
}

/// What the decision rested on, as far as it has to be made again.
struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
    host: Option<HeaderValue>,
}

impl Flight {
    /// The flight of a request that `gate` has admitted. `head` is the request's, as it was decided on.
    pub fn begin(gate: &Gate, admission: &Admission, head: &Parts) -> Arc<Self> {
        Arc::new(Self {
            gate: gate.clone(),
            asked: Asked {
                method: head.method.clone(),
                uri: head.uri.clone(),
                version: head.version,
                host: head.headers.get(header::HOST).cloned(),
            },
            session: Arc::clone(&admission.session),
            epoch: gate.inner.sessions.epoch(),
            rules_number: AtomicU64::new(admission.rules_number),
            counts_bytes: admission.counts_bytes,
            permit: Mutex::new(admission.permit.clone()),
            before: Mutex::default(),
            began: admission.at,
            place: admission.place.clone(),
            cut: Cause::default(),
            status: AtomicU16::new(0),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
        })
    }

    /// The permit that it goes on under.
    pub fn permit(&self) -> Permit {
        self.current().clone()
    }

    /// [`Permit::expires`] of the permit that it goes on under.
    pub fn expires(&self) -> HeaderValue {
        self.current().expires().clone()
    }

    /// The gate that admitted it.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// What was asked for: method, target and host, and no other field.
    pub fn head(&self) -> Parts {
        self.asked.head()
    }

    /// Who was admitted.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.session.subject
    }

    /// Whether no octet passes that was not allowed before. A request that changes the protocol of its connection can't say so: no grant
    /// with a limit on octets admits it, now or later.
    pub const fn counts_bytes(&self) -> bool {
        self.counts_bytes
    }

    /// The status that the request was answered with, once it was.
    pub fn status(&self) -> Option<StatusCode> {
        StatusCode::from_u16(self.status.load(Ordering::Relaxed)).ok()
    }

    /// Notes what the request was answered with.
    pub fn answered(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Ordering::Relaxed);
    }

    /// How many octets have passed.
    pub fn passed(&self, direction: Direction) -> u64 {
        self.counter(direction).load(Ordering::Relaxed)
    }

    /// Until when it may go on, as far as can be said now.
    ///
    /// # Errors
    /// Why it may not go on. From then on it never may.
    pub fn goes_on(&self) -> Result<Timestamp, Cut> {
        let now = self.gate.now();
        let permit = self.under(now)?;
        let ends = permit.live().goes_on_until();
        drop(permit);
        match self.gate.enforcer().fresh_until(now) {
            Some(fresh) => Ok(ends.min(fresh)),
            None => Err(self.end(Cut::StaleView)),
        }
    }

    /// The permit that it goes on under at `now`.
    fn under(&self, now: Timestamp) -> Result<MutexGuard<'_, Permit>, Cut> {
        if let Some(cut) = self.cut.get() {
            return Err(cut);
        }
        if self.gate.enforcer().is_stale(now) {
            return Err(self.end(Cut::StaleView));
        }
        let mut permit = self.current();
        if self.is_barred(&permit) {
            drop(permit);
            return Err(self.end(Cut::LockedDown));
        }
        if !self.is_governed(&permit) {
            drop(permit);
            return Err(self.end(Cut::Revoked));
        }
        if let Some(newer) = self.gate.enforcer().newer(permit.live()) {
            if !self.is_covered(newer.grant()) {
                drop(permit);
                return Err(self.end(Cut::Revoked));
            }
            *permit = permit.under(newer);
        }
        let mut over = permit.live().over(now);
        if let Some(cut) = over
            && let Some(next) = cut.is_natural().then(|| self.ask_again(&permit, now)).flatten()
        {
            tracing::info!(from = %permit.grant_id(), to = %next.grant_id(), %cut, "a flight goes on under another grant");
            let before = std::mem::replace(&mut *permit, next);
            lock(&self.before).push(before.grant_id());
            over = permit.live().over(now);
        }
        match over {
            None => Ok(permit),
            Some(cut) => {
                drop(permit);
                Err(self.end(cut))
            }
        }
    }

    /// Counts octets that are about to pass, and says how many of them may: all, or what is left of a budget.
    ///
    /// # Errors
    /// Why none may: [`Stop`].
    pub fn pass(&self, direction: Direction, octets: u64) -> Result<u64, Stop> {
        let now = self.gate.now();
        let permit = self.under(now)?;
        let live = permit.live();
        let allowed = match live.grant().max_bytes {
            None => octets,
            Some(_) if octets == 0 => 0,
            Some(_) => match live.usage().budget(Budgeted::Bytes).draw(octets) {
                Draw::Drawn(some) => some,
                Draw::Empty => return Err(Stop::Reserve),
                Draw::Spent => return Err(Stop::Cut(self.end(Cut::Exhausted))),
            },
        };
        live.used(now);
        drop(permit);
        self.counter(direction).fetch_add(allowed, Ordering::Relaxed);
        Ok(allowed)
    }

    /// Reserves more octets, after [`Stop::Reserve`].
    ///
    /// # Errors
    /// [`Cut::BudgetUnavailable`] where none could be reserved. That none is left is for the next [`Flight::pass`] to say.
    pub async fn reserve(&self) -> Result<(), Cut> {
        let grant = self.current().grant_id();
        self.gate.reserve(grant, Budgeted::Bytes).await.map_err(|error| {
            tracing::warn!(%grant, %error, "a budget could not be reserved");
            self.end(Cut::BudgetUnavailable)
        })
    }

    /// Resolves when the flight is to be cut.
    pub async fn cut(self: &Arc<Self>) -> Cut {
        let mut watch = Watch::new(Arc::clone(self));
        poll_fn(|cx| watch.poll_cut(cx)).await
    }

    fn current(&self) -> MutexGuard<'_, Permit> {
        lock(&self.permit)
    }

    fn counter(&self, direction: Direction) -> &AtomicU64 {
        match direction {
            Direction::Received => &self.received,
            Direction::Sent => &self.sent,
        }
    }

    fn end(&self, cut: Cut) -> Cut {
        self.cut.set(cut);
        self.cut.get().unwrap_or(cut)
    }

    /// Whether a lockdown keeps out whoever was admitted: one of a role is in no grant, and ends what is in flight before the grants that it
    /// takes away are written down.
    fn is_barred(&self, permit: &Permit) -> bool {
        let Session { subject, person, .. } = &*self.session;
        person.as_ref().is_some_and(|person| {
            let enforcer = self.gate.enforcer();
            enforcer.bars(&subject.principal, person, permit.resource())
        })
    }

    /// Whether what was asked for is still governed by its grant's resource, or open by now. Looked up when the rules have changed.
    fn is_governed(&self, permit: &Permit) -> bool {
        let gate = &self.gate.inner;
        let number = gate.rules_number.load(Ordering::Acquire);
        if self.rules_number.load(Ordering::Relaxed) == number {
            return true;
        }
        let head = self.asked.head();
        let Ok(target) = Target::read(&head) else {
            return false;
        };
        let governed = match gate.rules.load().govern(&target, &head.method) {
            Governed::Open => true,
            Governed::Protected { resource, exact } => exact && resource.def().name == *permit.resource(),
            Governed::UnknownHost | Governed::Nothing => false,
        };
        if governed {
            self.rules_number.store(number, Ordering::Relaxed);
        }
        governed
    }

    /// Whether a grant, as it is now, covers what was asked for.
    fn is_covered(&self, grant: &Held) -> bool {
        let head = self.asked.head();
        Target::read(&head).is_ok_and(|target| covers(grant, &target, &head.method))
    }

    /// Another grant of the holder's that admits what was asked for.
    fn ask_again(&self, before: &Permit, now: Timestamp) -> Option<Permit> {
        let gate = &self.gate.inner;
        // A second factor counts no longer than for another request.
        let session = self.gate.raised(Arc::clone(self.session.base()), now);
        let Session {
            subject,
            person,
            proof,
            ..
        } = &*session;
        let over = subject.expires_at.is_some_and(|end| end <= now);
        let bound = before.live().grant().selector == Selector::Credential;
        let forgotten = gate.sessions.epoch() != self.epoch;
        if over || bound || forgotten || gate.authenticators.revoked(proof) {
            return None;
        }
        let head = self.asked.head();
        let target = Target::read(&head).ok()?;
        let rules = gate.rules.load();
        let Governed::Protected {
            resource,
            exact: true,
        } = rules.govern(&target, &head.method)
        else {
            return None;
        };
        let asker = Asker {
            subject,
            hash: session.hash,
            person: person.as_ref()?,
            standing: None,
            bearer: None,
            counts_bytes: self.counts_bytes,
        };
        match gate
            .enforcer
            .check_as(&asker, resource, &target, &head.method, now)
        {
            Answer::Admit(permit) => Some(permit),
            Answer::Refuse(_) | Answer::Reserve(..) => None,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Flight {
    fn drop(&mut self) {
        let Some(interactions) = &self.gate.inner.interactions else {
            return;
        };
        let permit = self.permit.get_mut().unwrap_or_else(PoisonError::into_inner);
        let before = self.before.get_mut().unwrap_or_else(PoisonError::into_inner);
        let outcome = Outcome {
            status: *self.status.get_mut(),
            received: *self.received.get_mut(),
            sent: *self.sent.get_mut(),
            took: self.gate.now().signed_duration_since(self.began),
            cut: self.cut.get(),
        };
        let note = Note {
            live: Arc::clone(permit.live()),
            before: std::mem::take(before),
            method: std::mem::take(&mut self.asked.method),
            path: Path::of(&self.asked.uri),
            began: self.began,
            outcome: Some(outcome),
        };
        interactions.push(self.place.take(), note);
    }
}

impl Asked {
    fn head(&self) -> Parts {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        if let Some(host) = &self.host {
            head.headers.insert(header::HOST, host.clone());
        }
        head
    }
}

impl fmt::Debug for Flight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("permit", &*self.current())
            .field("method", &self.asked.method)
            .field("cut", &self.cut.get())
            .field("received", &self.passed(Direction::Received))
            .field("sent", &self.passed(Direction::Sent))
            .finish()
    }
}

/// Why octets can't pass now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a door must handle both")]
pub enum Stop {
    /// Never.
    Cut(Cut),
    /// Not before more was reserved: [`Flight::reserve`].
    Reserve,
}

impl From<Cut> for Stop {
    fn from(cut: Cut) -> Self {
        Self::Cut(cut)
    }
}
