//! Lockdowns: nothing that they match is admitted, asked for, approved or reviewed until they are lifted.

use serde::{Deserialize, Serialize};

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
