//! The lockdowns in force, as a gate holds them.

use std::collections::{BTreeMap, HashSet};

use crate::approval::lockdown::{Lockdown, Target};
use crate::broker::directory::Person;
use crate::broker::store::Version;
use crate::gate::live::Held;
use crate::id::{LockdownId, PersonId, Principal, ResourceName, Role};

/// Lockdowns by what they match: those that the log has, and those declared here that the log does not have yet.
#[derive(Debug, Clone, Default)]
pub(in crate::gate) struct Locks {
    version: Version,
    logged: BTreeMap<LockdownId, Target>,
    /// Declared here. Each stays until a version of the log that holds it was seen: from then on the log says when it is lifted.
    urgent: BTreeMap<LockdownId, Target>,
    matcher: Matcher,
}

impl Locks {
    /// With the lockdowns that were in force at `version` of their stream.
    pub(in crate::gate) fn logged(&self, version: Version, lockdowns: &[Lockdown]) -> Self {
        let mut next = self.clone();
        for lockdown in lockdowns {
            next.urgent.remove(&lockdown.id);
        }
        if version > self.version {
            next.version = version;
            next.logged = lockdowns.iter().map(|l| (l.id, l.target.clone())).collect();
        }
        next.matching()
    }

    /// With one more, before the log has it.
    pub(in crate::gate) fn urgent(&self, lockdown: &Lockdown) -> Self {
        let mut next = self.clone();
        if !next.logged.contains_key(&lockdown.id) {
            next.urgent.insert(lockdown.id, lockdown.target.clone());
        }
        next.matching()
    }

    fn matching(mut self) -> Self {
        self.matcher = self
            .logged
            .values()
            .chain(self.urgent.values())
            .cloned()
            .collect();
        self
    }

    /// Whether someone, or what they want, is locked down.
    pub(in crate::gate) fn bar(
        &self,
        principal: &Principal,
        person: &Person,
        resource: &ResourceName,
    ) -> bool {
        let m = &self.matcher;
        m.any
            && (m.all
                || m.principals.contains(principal)
                || m.persons.contains(&person.id)
                || m.resources.contains(resource)
                || person.roles.iter().any(|role| m.roles.contains(role)))
    }

    /// Whether one of them kills `grant`. A role is not in a grant: locked roles bar people, as the Directory says who has them.
    pub(in crate::gate) fn kill(&self, grant: &Held) -> bool {
        let m = &self.matcher;
        m.any
            && (m.all
                || m.principals.contains(&grant.holder)
                || m.persons.contains(&grant.person)
                || m.resources.contains(&grant.resource.name))
    }
}

#[derive(Debug, Clone, Default)]
struct Matcher {
    any: bool,
    all: bool,
    principals: HashSet<Principal>,
    persons: HashSet<PersonId>,
    roles: HashSet<Role>,
    resources: HashSet<ResourceName>,
}

impl FromIterator<Target> for Matcher {
    fn from_iter<I: IntoIterator<Item = Target>>(targets: I) -> Self {
        let mut m = Self::default();
        for target in targets {
            m.any = true;
            match target {
                Target::Principal(principal) => {
                    m.principals.insert(principal);
                }
                Target::Person(person) => {
                    m.persons.insert(person);
                }
                Target::Role(role) => {
                    m.roles.insert(role);
                }
                Target::Resource(resource) => {
                    m.resources.insert(resource);
                }
                Target::All => m.all = true,
            }
        }
        m
    }
}
