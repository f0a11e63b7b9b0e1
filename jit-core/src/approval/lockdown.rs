//! Lockdowns: nothing that they match is admitted, asked for, approved or reviewed until they are lifted.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::approval::event::LockdownEvent;
use crate::broker::directory::Person;
use crate::id::{LockdownId, PersonId, Principal, ResourceName, Role, Timestamp};

/// What a lockdown matches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "a target that is not understood would lock nothing"
)]
pub enum Target {
    /// One identity.
    Principal(Principal),
    /// One person, under every identity.
    Person(PersonId),
    /// Everyone with this role.
    Role(Role),
    /// One resource.
    Resource(ResourceName),
    /// Everything and everyone.
    All,
}

/// One lockdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lockdown {
    /// Its id.
    pub id: LockdownId,
    /// What it matches.
    pub target: Target,
    /// Why, cleaned.
    pub reason: String,
    /// Declared under which identity.
    pub principal: Principal,
    /// Declared by whom.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
}

/// Most lockdowns in force at once.
pub const LOCKDOWNS_MAX: usize = 1000;

impl Target {
    /// Whether this concerns `person` under `principal`.
    pub fn concerns(&self, principal: &Principal, person: &Person) -> bool {
        match self {
            Self::Principal(locked) => locked == principal,
            Self::Person(locked) => *locked == person.id,
            Self::Role(locked) => person.roles.contains(locked),
            Self::Resource(_) => false,
            Self::All => true,
        }
    }

    /// Whether this concerns `resource`, whoever asks.
    pub fn locks(&self, resource: &ResourceName) -> bool {
        match self {
            Self::Resource(locked) => locked == resource,
            Self::All => true,
            Self::Principal(_) | Self::Person(_) | Self::Role(_) => false,
        }
    }
}

/// The folded state of the stream of all lockdowns: those in force.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lockdowns {
    open: BTreeMap<LockdownId, Lockdown>,
}

impl Lockdowns {
    /// The state after `event`.
    #[must_use]
    pub fn fold(mut self, event: &LockdownEvent) -> Self {
        match event {
            LockdownEvent::LockedDown { lockdown } => {
                self.open.insert(lockdown.id, lockdown.clone());
            }
            LockdownEvent::LockdownLifted { id, .. } => {
                self.open.remove(id);
            }
        }
        self
    }

    /// Those in force.
    pub fn iter(&self) -> impl Iterator<Item = &Lockdown> {
        self.open.values()
    }

    /// The one with this id, if it is in force.
    pub fn get(&self, id: LockdownId) -> Option<&Lockdown> {
        self.open.get(&id)
    }

    /// How many are in force.
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The first that keeps `person` from doing anything.
    pub fn person(&self, principal: &Principal, person: &Person) -> Option<&Lockdown> {
        self.iter()
            .find(|lockdown| lockdown.target.concerns(principal, person))
    }

    /// Whether one is aimed at `person` in particular, not at everyone.
    pub fn singles_out(&self, principal: &Principal, person: &Person) -> bool {
        self.iter()
            .any(|l| l.target != Target::All && l.target.concerns(principal, person))
    }

    /// The first that keeps `person` from `resource`.
    pub fn access(
        &self,
        principal: &Principal,
        person: &Person,
        resource: &ResourceName,
    ) -> Option<&Lockdown> {
        self.iter()
            .find(|l| l.target.concerns(principal, person) || l.target.locks(resource))
    }
}
