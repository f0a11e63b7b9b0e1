//! The control plane: the one place that awaits.
//!
//! ```text
//! load ──► decide (pure) ──► append (compare-and-set) ──► publish to the gate
//!            ▲                     │ lost
//!            └─────────────────────┘
//! ```
//!
//! [`Broker`] takes what people and programs want, loads the streams that it concerns, lets the approval machine decide, writes the
//! events, the new states and the audit records in one transaction, and only then tells the gate. What can't be written did not
//! happen. Taking away is the one exception: a revocation or a lockdown shuts this process's gate first, then writes; if the write
//! fails the caller is told so, the gate stays shut, and the sweeper tries again until it is written.
//!
//! Four loops belong to a running broker ([`Broker::run`] drives them; each is a method that tests call as they like):
//! - [`Broker::follow`] reads the log and keeps the gate in step with it, also with what other processes wrote, and tells the
//!   gate how fresh its view is: a gate whose view is stale admits nothing;
//! - [`Broker::sweep`] writes down what time has ended, activates what is due, and checks holders again. Access never depends on it;
//! - [`Broker::deliver`] hands the log to the notifier;
//! - [`Broker::flush_interactions`] writes down what admitted requests did.

mod acting;
mod agenda;
mod asking;
mod builder;
mod change;
pub mod claims;
mod courier;
pub mod directories;
pub mod directory;
mod follower;
mod interactions;
mod loading;
mod locking;
pub mod notify;
mod pace;
pub mod passkeys;
pub mod people;
mod reading;
mod reload;
pub mod store;
mod sweeper;
mod uses;
mod verify;

use std::sync::{Arc, Mutex, Weak};

use arc_swap::ArcSwap;
use chrono::SubsecRound;
use tokio::sync::watch;

use crate::approval::ask::Actor;
use crate::approval::person::Limits;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::broker::agenda::Agenda;
use crate::broker::directory::{Directory, DirectoryError};
use crate::broker::interactions::Logbook;
use crate::broker::notify::Notifier;
use crate::broker::pace::Pace;
use crate::broker::passkeys::Proofs;
use crate::broker::store::{Position, Store, StoreError, Version};
use crate::clock::Clock;
use crate::gate::authenticate::Subject;
use crate::gate::enforcer::Enforcer;
use crate::id::Timestamp;
use crate::policy::Policy;

pub use acting::Issued;
pub use asking::Asked;
pub use builder::Builder;
pub use courier::DeliveryError;
pub use interactions::{Ended, Interaction, InteractionPage};
pub use reading::{Filter, Listing};
pub use verify::verify_log;

/// Why the broker did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// It may not, or can't, be done: a value, nothing is broken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store did not answer, or answered nonsense.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory did not answer.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The operating system gave no randomness for an id.
    #[error("no randomness for an id: {source}")]
    Entropy {
        /// Its error.
        #[from]
        source: getrandom::Error,
    },
}

/// A request as it stands now, with the version of its stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The request, with what time has done to it.
    pub request: Request,
    /// How often its stream has been written to.
    pub version: Version,
    /// When its grant was last used, as far as any gate has told; only known where it can end the grant.
    pub used: Option<Timestamp>,
}

/// What someone is to the control plane besides a requester or an approver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Powers {
    /// May read everything.
    pub auditor: bool,
    /// May revoke any grant, and see any request.
    pub revoker: bool,
    /// May declare and lift lockdowns, and clear passkeys that others have lost.
    pub lockdown: bool,
}

/// The control plane. Cheap to clone; all clones are one.
#[derive(Debug, Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Arc<dyn Store>,
    directory: Arc<dyn Directory>,
    notifier: Option<Arc<dyn Notifier>>,
    clock: Arc<dyn Clock>,
    enforcer: Arc<Enforcer>,
    policy: ArcSwap<Policy>,
    limits: Limits,
    agenda: Agenda,
    review_pace: Pace,
    interactions: Option<Logbook>,
    changes: watch::Sender<Position>,
    decisions: watch::Sender<Position>,
    proofs: Mutex<Vec<Weak<dyn Proofs>>>,
    /// The last record that the gate's view holds. Held while following, so that one follower at a time moves it.
    followed: tokio::sync::Mutex<Position>,
}

impl Broker {
    /// Starts to make a broker.
    pub fn builder(store: Arc<dyn Store>, directory: Arc<dyn Directory>, policy: Policy) -> Builder {
        Builder::new(store, directory, policy)
    }

    /// The present moment, as the broker's clock tells, in whole microseconds: what the log keeps of a moment.
    pub fn now(&self) -> Timestamp {
        self.inner.clock.now().trunc_subsecs(6)
    }

    /// The live grants that gates check against.
    pub fn enforcer(&self) -> &Arc<Enforcer> {
        &self.inner.enforcer
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.policy.load_full()
    }

    /// Changes whenever something was written: the position of the newest record known here.
    pub fn changes(&self) -> watch::Receiver<Position> {
        self.inner.changes.subscribe()
    }

    /// Changes whenever a request or a lockdown was written: the position of the newest such record known here. What admitted requests do is
    /// written all the time and moves only [`Broker::changes`].
    pub fn decisions(&self) -> watch::Receiver<Position> {
        self.inner.decisions.subscribe()
    }

    /// How many requests wait for a decision, as far as this process has heard. Walks through all that is live: for metrics.
    pub fn pending_count(&self) -> usize {
        self.inner.agenda.pending()
    }

    /// Who stands behind a proven subject.
    ///
    /// # Errors
    /// [`Refused::NotEligible`] when the Directory does not know them or they are disabled; the Directory's own failure.
    pub async fn identify(&self, subject: &Subject) -> Result<Actor, Rejection> {
        let person = self
            .inner
            .directory
            .resolve(&subject.principal, self.now())
            .await?;
        match person.filter(|person| !person.disabled) {
            Some(person) => Ok(Actor {
                principal: subject.principal.clone(),
                person,
                assurance: subject.assurance.clone(),
                claims: subject.claims.clone(),
            }),
            None => Err(Refused::NotEligible.into()),
        }
    }

    /// What `actor` is to the control plane.
    pub fn powers(&self, actor: &Actor) -> Powers {
        let policy = self.inner.policy.load();
        let control = policy.control();
        Powers {
            auditor: control.is_auditor(&actor.person),
            revoker: control.is_revoker(&actor.person),
            lockdown: control.may_lock_down(&actor.person),
        }
    }
}
