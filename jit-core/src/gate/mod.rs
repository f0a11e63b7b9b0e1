//! The data plane: may this request pass?
//!
//! A door hands the head of a request to [`Gate::decide`] and does what the [`Verdict`] says. All doors share this one decision:
//!
//! 1. The target and the headers are read first. What is malformed is refused, whoever sent it and whatever is granted.
//! 2. A host that no rule names is refused.
//! 3. The control API's own paths pass without a grant, where they are spelled as they are: what has to be decoded first is no such path.
//! 4. What a resource protects needs a proven holder of a live grant that covers the request's exact form.
//!    A credential that is bound to a grant stands for its holder and opens that grant alone; presented here it counts before any other
//!    proof, and is refused when it is not good. Nowhere else does it name anyone.
//! 5. What no resource protects and a rule opens passes. A credential there may name the caller; it is not needed, and one that
//!    is not valid only names nobody.
//! 6. Everything else is refused.
//!
//! The answer comes from memory and at once. Where memory is not enough (a credential that was not verified yet, a budget that
//! has to be reserved) the verdict is a [`Lookup`], and [`Gate::resolve`] awaits what is missing and decides again. So it is where a
//! request without a grant asks for one in the same step, or prefers to wait for it ([`GateBuilder::with_asking`],
//! [`GateBuilder::with_hold`]).
//!
//! What was decided is what must be forwarded: a door must not rewrite the target after the decision.
//!
//! # Deployment caveats
//!
//! - The control API is reached from the origin of what is guarded. That a page there does nothing in its visitor's name, who is proven by
//!   their connection (a client certificate) or by a proxy, rests on what browsers say: `Sec-Fetch-Site`, or `Origin`. Every browser
//!   sends `Origin` with what changes anything. A browser without Fetch Metadata says nothing about a plain read from the same origin: there, a
//!   guarded application's page can *read* the control API as its visitor. Where people come by client certificates, have them use browsers
//!   with Fetch Metadata (Chromium since 76, Firefox since 90, Safari since 16.4), or give the gate no control API
//!   ([`GateBuilder::without_control_api`]) and serve it elsewhere.

mod asking;
pub mod authenticate;
pub mod authenticators;
pub mod budget;
mod builder;
pub mod challenge;
mod classes;
pub mod cut;
pub mod enforcer;
pub mod farewell;
#[cfg(test)]
mod fixtures;
pub mod flight;
pub mod hold;
pub mod hygiene;
mod identity;
pub mod interactions;
pub mod introduce;
mod live;
mod local;
mod locks;
mod mark;
pub mod permit;
pub mod problem;
mod pursuit;
pub mod refusal;
mod reserve;
pub mod rules;
#[cfg(all(test, shuttle))]
mod schedules;
mod session;
pub mod step_up;
mod sync;
pub mod target;
pub mod tokens;
#[cfg(feature = "totp")]
#[cfg_attr(docsrs, doc(cfg(feature = "totp")))]
pub mod totp;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderMap, header};

use crate::broker::directory::{Directory, Person};
use crate::clock::Clock;
use crate::gate::authenticate::CredentialSource::{self, Cookie};
use crate::gate::authenticate::Subject;
use crate::gate::authenticators::{Authenticators, Shown};
use crate::gate::budget::Budgeted;
use crate::gate::enforcer::{Answer, Asker, Enforcer};
use crate::gate::hold::Hold;
use crate::gate::hygiene::Dirt;
use crate::gate::identity::{Identity, Verified};
use crate::gate::interactions::{Interactions, Note, Path, Place};
use crate::gate::permit::Permit;
use crate::gate::pursuit::Pursuit;
use crate::gate::refusal::Refusal;
use crate::gate::rules::{Governed, RuleSet};
use crate::gate::session::{Session, SessionKey, Sessions};
use crate::gate::step_up::{CredentialId, StepUps};
use crate::gate::target::Target;
use crate::id::{Digest, GrantId, Timestamp};
use crate::policy::terms::covers;

pub use asking::{Asking, NotAsked};
pub use builder::GateBuilder;
pub use reserve::{Reserve, ReserveError};
pub use session::SESSION_MAX;

/// Where the control API is, unless said otherwise.
pub const CONTROL_PREFIX: &str = "/_jit";
/// How many verified sessions are kept, unless said otherwise.
pub const SESSIONS: usize = 100_000;
/// How often one request may wait for a look-up: once for its credential, and for its budget as often as others were faster.
const LOOKUPS_MAX: usize = 4;

/// What a door does with a request.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a door that does not know a verdict can't carry it out"
)]
pub enum Verdict {
    /// Forward it under a grant.
    Admit(Admission),
    /// Forward it: it is open to everyone.
    Open(Passage),
    /// Hand it to the control API.
    Control {
        /// Who asks, if they could prove it by more than what a browser adds to whatever a page of the guarded application asks for: the gate's
        /// cookie, and where a page asks (`Origin`, `Sec-Fetch-Site`) a client certificate or what a proxy says. Without, the API answers 401.
        subject: Option<Arc<Subject>>,
        /// What proved them: the API raises it when they prove a second factor.
        credential: Option<CredentialId>,
    },
    /// Answer it.
    Refuse(Refusal),
    /// Await [`Gate::resolve`].
    Lookup(Lookup),
}

/// A request admitted under a grant.
#[derive(Debug, Clone)]
pub struct Admission {
    /// The proof.
    pub permit: Permit,
    /// The holder as proven on this request.
    pub subject: Arc<Subject>,
    /// Where the gate's credential stands: it must not be forwarded.
    pub credential: CredentialSource,
    session: Arc<Session>,
    /// What of its header must not be forwarded.
    dirt: Dirt,
    /// Whether its door counts what passes by the octet.
    counts_bytes: bool,
    /// By which rules.
    rules_number: u64,
    /// When the gate decided.
    at: Timestamp,
    /// Where its record will go, if that had to be settled before.
    place: Option<Place>,
}

impl Admission {
    /// Drops from the header of the request what must not be forwarded, as [`hygiene::strip`] and [`hygiene::strip_credential`] do. It must
    /// be the header that was decided on: what was not there then is not looked for.
    pub fn strip(&self, headers: &mut HeaderMap) {
        self.dirt.strip(headers, Some(self.credential));
    }

    /// The holder's person, as the Directory said when the session began.
    pub fn person(&self) -> Option<&Person> {
        self.session.person.as_ref()
    }
}

/// A request to something open.
#[derive(Debug, Clone)]
pub struct Passage {
    /// Who asks, if they could prove it and the Directory knows them.
    pub subject: Option<Arc<Subject>>,
    /// Where the gate's credential stands, if there is one or may be one: it must not be forwarded.
    pub credential: Option<CredentialSource>,
    session: Option<Arc<Session>>,
    /// What of its header must not be forwarded.
    dirt: Dirt,
}

impl Passage {
    /// As [`Admission::strip`].
    pub fn strip(&self, headers: &mut HeaderMap) {
        self.dirt.strip(headers, self.credential);
    }

    /// The caller's person, as the Directory said when the session began.
    pub fn person(&self) -> Option<&Person> {
        self.session.as_ref()?.person.as_ref()
    }
}

/// What a door can do about what it has let through. What it can't do, it must not let through: the gate refuses that for it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Door {
    counts_bytes: bool,
    severs: bool,
    /// Whether a request may do something about a refusal.
    pursues: bool,
}

impl Door {
    /// It can do nothing more once a request is admitted.
    pub const fn new() -> Self {
        Self {
            counts_bytes: false,
            severs: false,
            pursues: false,
        }
    }

    /// It hands every octet of both bodies to the request's [`Flight`](flight::Flight), and passes on no more than that allows.
    #[must_use]
    pub const fn counting_bytes(mut self) -> Self {
        self.counts_bytes = true;
        self
    }

    /// It severs the request's connection when the [`Flight`](flight::Flight) says so, whatever protocol the connection speaks by then.
    #[must_use]
    pub const fn severing(mut self) -> Self {
        self.severs = true;
        self
    }
}

/// What a verdict has to wait for. Opaque: [`Gate::resolve`] takes it.
#[derive(Clone)]
pub struct Lookup {
    want: Want,
    door: Door,
}

#[derive(Clone)]
enum Want {
    Verify {
        key: SessionKey,
        shown: Shown<'static>,
    },
    /// Whether the Directory still knows the holder whom a credential of a grant stands for.
    Holder(Digest),
    Reserve(GrantId, Budgeted),
    /// What comes after a refusal: [`Gate::look_up`] leaves it to [`Gate::resolve`].
    Pursue(Box<Pursuit>),
}

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.want {
            Want::Verify { key, .. } => write!(f, "Lookup(<redacted>, {:?})", key.source),
            Want::Holder(_) => f.write_str("Lookup(<redacted>, Grant)"),
            Want::Reserve(grant, of) => write!(f, "Lookup({grant}, {of})"),
            Want::Pursue(pursuit) => write!(f, "Lookup({pursuit:?})"),
        }
    }
}

/// Decides on requests. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gate {
    inner: Arc<Inner>,
    at_once: bool,
}

#[derive(Debug)]
struct Inner {
    rules: ArcSwap<RuleSet>,
    /// How often the rules were set anew: read before they are, counted up after they were.
    rules_number: AtomicU64,
    enforcer: Arc<Enforcer>,
    authenticators: Authenticators,
    directory: Arc<dyn Directory>,
    clock: Arc<dyn Clock>,
    reserve: Option<Arc<dyn Reserve>>,
    asking: Option<Arc<dyn Asking>>,
    hold: Option<Hold>,
    interactions: Option<Arc<Interactions>>,
    sessions: Sessions,
    step_ups: Option<Arc<StepUps>>,
    control_prefix: Box<str>,
    control_here: bool,
    control_on_any_host: bool,
}

impl Gate {
    /// Starts a gate over these rules and ports. `authenticators` is one, or several ([`Authenticators`]).
    pub fn builder(
        rules: RuleSet,
        enforcer: Arc<Enforcer>,
        authenticators: impl Into<Authenticators>,
        directory: Arc<dyn Directory>,
        clock: Arc<dyn Clock>,
    ) -> GateBuilder {
        GateBuilder {
            inner: Inner {
                rules: ArcSwap::from_pointee(rules.shared_by(&enforcer)),
                rules_number: AtomicU64::new(0),
                enforcer,
                authenticators: authenticators.into(),
                directory,
                clock,
                reserve: None,
                asking: None,
                hold: None,
                interactions: None,
                sessions: Sessions::new(SESSIONS),
                step_ups: None,
                control_prefix: CONTROL_PREFIX.into(),
                control_here: true,
                control_on_any_host: false,
            },
        }
    }

    /// The same gate for a door that can't wait for people: through this handle requests neither ask for access nor wait for it.
    #[must_use]
    pub fn at_once(mut self) -> Self {
        self.at_once = true;
        self
    }

    /// Decides by these rules from now on. What is in flight is cut where its grant's resource does not govern it any more.
    pub fn set_rules(&self, rules: RuleSet) {
        let rules = rules.shared_by(&self.inner.enforcer);
        self.inner.rules.store(Arc::new(rules));
        self.inner.rules_number.fetch_add(1, Ordering::AcqRel);
        self.inner.enforcer.rules_changed();
    }

    /// Verifies everyone anew: after a change in the Directory that must not wait for the sessions to end. Second factors have to be
    /// proven anew as well.
    pub fn forget_sessions(&self) {
        if let Some(step_ups) = &self.inner.step_ups {
            step_ups.forget_all();
        }
        self.inner.sessions.clear();
    }

    /// How many sessions are kept.
    pub fn session_count(&self) -> usize {
        self.inner.sessions.len()
    }

    /// How many requests are parked ([`hold`]).
    pub fn parked_count(&self) -> usize {
        self.inner.hold.as_ref().map_or(0, Hold::parked)
    }

    /// The live grants.
    pub fn enforcer(&self) -> &Arc<Enforcer> {
        &self.inner.enforcer
    }

    /// The clock that it decides by.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now()
    }

    /// Where the control API is.
    pub fn control_prefix(&self) -> &str {
        &self.inner.control_prefix
    }

    /// Decides on a request from its head. `peer` is the address at the other end of the connection, where the door knows it.
    pub fn decide(&self, head: &Parts, peer: Option<IpAddr>) -> Verdict {
        self.decide_for(Door::new(), head, peer)
    }

    /// As [`Gate::decide`], for a door that can do more.
    pub fn decide_for(&self, door: Door, head: &Parts, peer: Option<IpAddr>) -> Verdict {
        let pursues = !self.at_once;
        self.decide_knowing(Door { pursues, ..door }, head, peer, None)
    }

    /// Records an admitted request of which the door sees no more: for doors that admit and do not forward. The others begin a
    /// [`Flight`](flight::Flight), which is recorded when it ends.
    pub fn record_admitted(&self, admission: &Admission, head: &Parts) {
        if let Some(interactions) = &self.inner.interactions {
            let note = Note {
                live: Arc::clone(admission.permit.live()),
                before: Vec::new(),
                method: head.method.clone(),
                path: Path::of(&head.uri),
                began: admission.at,
                outcome: None,
            };
            interactions.push(admission.place.clone(), note);
        }
    }

    /// Awaits what [`Gate::decide`] lacked and decides again. Never answers [`Verdict::Lookup`].
    ///
    /// It takes as long as a credential's verification, or as a request is parked: up to [`hold::WAIT_MAX`]. Dropped before, it leaves
    /// nothing behind but what was asked for.
    pub async fn resolve(&self, head: &Parts, peer: Option<IpAddr>, lookup: Lookup) -> Verdict {
        match self.look_up(head, peer, lookup).await {
            // Boxed, so that whoever only waits for a look-up has no room for this.
            Verdict::Lookup(Lookup {
                want: Want::Pursue(pursuit),
                door,
            }) => {
                let door = Door {
                    pursues: false,
                    ..door
                };
                Box::pin(self.pursue(door, head, peer, *pursuit)).await
            }
            verdict => verdict,
        }
    }

    /// Decides again and awaits what that lacks, for a door that pursues nothing.
    async fn decide_on(
        &self,
        door: Door,
        head: &Parts,
        peer: Option<IpAddr>,
        verified: Option<&Verified>,
    ) -> Verdict {
        match self.decide_knowing(door, head, peer, verified) {
            Verdict::Lookup(lookup) => self.look_up(head, peer, lookup).await,
            verdict => verdict,
        }
    }

    /// Awaits what a decision lacked and decides again. The one look-up that it answers is [`Want::Pursue`], and only for a door that
    /// pursues.
    async fn look_up(&self, head: &Parts, peer: Option<IpAddr>, lookup: Lookup) -> Verdict {
        let Lookup { mut want, door } = lookup;
        let mut verified = None;
        for _ in 0..LOOKUPS_MAX {
            match want {
                Want::Verify { key, shown } => verified = Some(self.verify(key, &shown).await),
                Want::Holder(credential) => verified = Some(self.verify_bearer(credential).await),
                Want::Reserve(grant, of) => {
                    if let Err(error) = self.reserve(grant, of).await {
                        tracing::warn!(%grant, %error, "a budget could not be reserved");
                        return Verdict::Refuse(Refusal::BudgetUnavailable);
                    }
                }
                Want::Pursue(_) => break,
            }
            match self.decide_knowing(door, head, peer, verified.as_ref()) {
                Verdict::Lookup(next) => want = next.want,
                verdict => return verdict,
            }
        }
        match want {
            Want::Verify { .. } | Want::Holder(_) => Verdict::Refuse(Refusal::AuthenticationUnavailable),
            Want::Reserve(..) => Verdict::Refuse(Refusal::BudgetUnavailable),
            Want::Pursue(_) => Verdict::Lookup(Lookup { want, door }),
        }
    }

    fn decide_knowing(
        &self,
        door: Door,
        head: &Parts,
        peer: Option<IpAddr>,
        verified: Option<&Verified>,
    ) -> Verdict {
        let target = match Target::read(head) {
            Ok(target) => target,
            Err(bad) => return Verdict::Refuse(Refusal::BadTarget(bad)),
        };
        let inspected = match hygiene::inspect(head) {
            Ok(inspected) => inspected,
            Err(bad) => return Verdict::Refuse(Refusal::BadHeaders(bad)),
        };
        let now = self.inner.clock.now();
        let rules_number = self.inner.rules_number.load(Ordering::Acquire);
        let rules = self.inner.rules.load();
        let governed = rules.govern(&target, &head.method);
        let known = self.inner.control_on_any_host || !matches!(governed, Governed::UnknownHost);
        let control_here = self.inner.control_here && known;
        // As it came: whoever routes to the control API compares that, and what only decodes to its place goes to the application.
        if control_here && covers(&self.inner.control_prefix, target.raw_path()) {
            return self.control(door, head, self.identify(head, peer, verified, now));
        }
        let (resource, exact) = match governed {
            Governed::UnknownHost => return Verdict::Refuse(Refusal::UnknownHost),
            Governed::Nothing => return Verdict::Refuse(Refusal::NotOpen),
            Governed::Open => {
                return self.open(door, self.identify(head, peer, verified, now), inspected.dirt);
            }
            Governed::Protected { resource, exact } => (resource, exact),
        };
        let enforcer = &self.inner.enforcer;
        let bearer = inspected.presented.map(|presented| self.bearer(presented, now));
        let identity = match bearer {
            None => self.identify(head, peer, verified, now),
            Some(Some(bearer)) => self.identify_bearer(bearer, head, peer, verified, now),
            // It may be good, and not have been heard of here.
            Some(None) if enforcer.is_stale(now) => return Verdict::Refuse(Refusal::StaleView),
            Some(None) => return Verdict::Refuse(Refusal::Unauthenticated),
        };
        let (session, credential) = match identity {
            Identity::Proven(session, source) => (session, source),
            Identity::Nobody | Identity::Invalid(_) => return Verdict::Refuse(Refusal::Unauthenticated),
            Identity::Unverifiable(_) => return Verdict::Refuse(Refusal::AuthenticationUnavailable),
            Identity::Unknown(want) => return Verdict::Lookup(Lookup { want, door }),
        };
        if !exact {
            return Verdict::Refuse(Refusal::NotOpen);
        }
        let name = || resource.def().name.clone();
        let Some(person) = &session.person else {
            return Verdict::Refuse(Refusal::NotEligible { resource: name() });
        };
        let changes = inspected.changes_protocol;
        if changes && !(door.severs && hygiene::asks_for_websocket(head)) {
            return Verdict::Refuse(Refusal::UpgradeRefused { resource: name() });
        }
        let asker = Asker {
            subject: &session.subject,
            hash: session.hash,
            person,
            standing: session.standing.as_ref(),
            bearer: bearer.flatten(),
            // What was read from a severed connection would have to be given back.
            counts_bytes: door.counts_bytes && !changes,
        };
        // Before a grant is asked: what can't be recorded must not use up a budget.
        let Ok(place) = self
            .inner
            .interactions
            .as_deref()
            .map_or(Ok(None), Interactions::reserve)
        else {
            return Verdict::Refuse(Refusal::LogFull);
        };
        match enforcer.check_as(&asker, resource, &target, &head.method, now) {
            Answer::Admit(permit) => {
                self.stand(&session);
                Verdict::Admit(Admission {
                    permit,
                    subject: Arc::clone(&session.subject),
                    credential,
                    dirt: inspected.dirt,
                    counts_bytes: asker.counts_bytes,
                    session,
                    rules_number,
                    at: now,
                    place,
                })
            }
            Answer::Refuse(refusal) if door.pursues && inspected.presented.is_none() => {
                self.refuse_or_pursue(door, head, inspected.plea, session, refusal)
            }
            Answer::Refuse(refusal) => Verdict::Refuse(refusal),
            Answer::Reserve(grant, of) => {
                let want = Want::Reserve(grant, of);
                Verdict::Lookup(Lookup { want, door })
            }
        }
    }

    fn control(&self, door: Door, head: &Parts, identity: Identity) -> Verdict {
        match identity {
            // A browser adds the cookie to whatever a page of the guarded application asks for, from the same origin as this: it proves
            // nobody where people decide. So it does what its connection or a proxy proves, which programs have as well.
            Identity::Proven(_, source)
                if is_ambient(source) && (source == Cookie || is_for_a_page(head)) =>
            {
                Verdict::Control {
                    subject: None,
                    credential: None,
                }
            }
            Identity::Proven(session, _) => Verdict::Control {
                subject: Some(Arc::clone(&session.subject)),
                credential: Some(CredentialId::of(&session.proof)),
            },
            Identity::Nobody | Identity::Invalid(_) => Verdict::Control {
                subject: None,
                credential: None,
            },
            Identity::Unverifiable(_) => Verdict::Refuse(Refusal::AuthenticationUnavailable),
            Identity::Unknown(want) => Verdict::Lookup(Lookup { want, door }),
        }
    }

    fn open(&self, door: Door, identity: Identity, dirt: Dirt) -> Verdict {
        Verdict::Open(match identity {
            Identity::Proven(session, source) => Passage {
                subject: session.person.is_some().then(|| Arc::clone(&session.subject)),
                credential: Some(source),
                session: Some(session),
                dirt,
            },
            Identity::Nobody => Passage {
                subject: None,
                credential: None,
                session: None,
                dirt,
            },
            // The application may read the same header for credentials of its own. The cookie is the gate's alone.
            Identity::Invalid(source) => Passage {
                subject: None,
                credential: (source == CredentialSource::Cookie).then_some(source),
                session: None,
                dirt,
            },
            Identity::Unverifiable(source) => Passage {
                subject: None,
                credential: Some(source),
                session: None,
                dirt,
            },
            Identity::Unknown(want) => return Verdict::Lookup(Lookup { want, door }),
        })
    }
}

/// Whether a browser shows it without being asked to.
const fn is_ambient(source: CredentialSource) -> bool {
    match source {
        Cookie | CredentialSource::Connection | CredentialSource::Proxy => true,
        CredentialSource::Authorization | CredentialSource::Grant => false,
    }
}

/// Whether a browser says that it sends this for a page, or for whoever types an address: no page can keep it from that (Fetch Metadata
/// Request Headers §2, Fetch §3.2).
fn is_for_a_page(head: &Parts) -> bool {
    head.headers.contains_key(header::ORIGIN) || head.headers.contains_key(pursuit::FETCH_SITE)
}

#[cfg(test)]
mod tests;
