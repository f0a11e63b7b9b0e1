//! Making a broker.

use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use tokio::sync::watch;

use crate::approval::audit::Tail;
use crate::approval::person::Limits;
use crate::broker::agenda::Agenda;
use crate::broker::directory::Directory;
use crate::broker::interactions::Logbook;
use crate::broker::notify::Notifier;
use crate::broker::pace::Pace;
use crate::broker::store::Store;
use crate::broker::{Broker, Inner, Rejection};
use crate::clock::{Clock, SystemClock};
use crate::gate::enforcer::{Enforcer, EnforcerSettings};
use crate::gate::interactions::Interactions;
use crate::policy::Policy;

/// Makes a [`Broker`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    store: Arc<dyn Store>,
    directory: Arc<dyn Directory>,
    policy: Policy,
    notifier: Option<Arc<dyn Notifier>>,
    clock: Arc<dyn Clock>,
    enforcer: Option<Arc<Enforcer>>,
    limits: Limits,
    interactions: Option<Arc<Interactions>>,
}

impl Builder {
    pub(super) fn new(store: Arc<dyn Store>, directory: Arc<dyn Directory>, policy: Policy) -> Self {
        Self {
            store,
            directory,
            policy,
            notifier: None,
            clock: Arc::new(SystemClock::new()),
            enforcer: None,
            limits: Limits::default(),
            interactions: None,
        }
    }

    /// Tells people. None by default.
    pub fn notifier(mut self, notifier: Arc<dyn Notifier>) -> Self {
        self.notifier = Some(notifier);
        self
    }

    /// Another clock than the machine's.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The enforcer of a gate that stands already.
    pub fn enforcer(mut self, enforcer: Arc<Enforcer>) -> Self {
        self.enforcer = Some(enforcer);
        self
    }

    /// Other limits on what one person can have open.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Writes down what admitted requests do. Hand the same to the gates. Without, nothing is written down.
    pub fn interactions(mut self, interactions: Arc<Interactions>) -> Self {
        self.interactions = Some(interactions);
        self
    }

    /// Reads what is live from the store, hands it to the gate, and records the policy put in force.
    ///
    /// # Errors
    /// The store's.
    pub async fn build(self) -> Result<Broker, Rejection> {
        let enforcer = self
            .enforcer
            .unwrap_or_else(|| Arc::new(Enforcer::new(EnforcerSettings::default())));
        let (changes, _) = watch::channel(Tail::START.position);
        let (decisions, _) = watch::channel(Tail::START.position);
        let digest = self.policy.digest();
        let broker = Broker {
            inner: Arc::new(Inner {
                store: self.store,
                directory: self.directory,
                notifier: self.notifier,
                clock: self.clock,
                enforcer,
                policy: ArcSwap::from_pointee(self.policy),
                limits: self.limits,
                agenda: Agenda::default(),
                review_pace: Pace::default(),
                interactions: self.interactions.map(Logbook::new),
                changes,
                decisions,
                proofs: Mutex::default(),
                followed: tokio::sync::Mutex::new(Tail::START.position),
            }),
        };
        broker.rule_interactions();
        let complete = broker.boot().await?;
        broker.policy_loaded(digest).await?;
        broker.reconsider().await?;
        // Not before: a gate that stands already would admit under what this policy forbids.
        broker.inner.enforcer.synced(complete);
        Ok(broker)
    }
}
