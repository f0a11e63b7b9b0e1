//! The terms of a policy and the definition of a resource, as they are snapshotted into every request.
//!
//! A request carries its own copy: a reviewer agrees to these terms, whatever the policy file says later. The compiled policy
//! hands them out; the approval machine reads them; nothing in here looks at a clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::broker::directory::Person;
use crate::id::{PersonId, PolicyName, ResourceName, Role, StageName};
use crate::span::Span;

/// A set of people: everyone who has one of the roles, and the persons named. Empty means nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct People {
    /// Any one of these roles is enough.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<Role>,
    /// Persons by the Directory's id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub persons: BTreeSet<PersonId>,
}

impl People {
    /// Whether `person` is one of them. A disabled person is nobody.
    pub fn includes(&self, person: &Person) -> bool {
        !person.disabled
            && (self.persons.contains(&person.id)
                || person.roles.iter().any(|role| self.roles.contains(role)))
    }

    /// Whether nobody can be one of them.
    pub fn is_empty(&self) -> bool {
        self.roles.is_empty() && self.persons.is_empty()
    }
}

/// What happens to a request while too many records of earlier ones wait to be written down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a gate must know what to do, or refuse")]
pub enum OnFull {
    /// It passes. How many records were lost, and of which grants, is recorded.
    #[default]
    Count,
    /// It is refused: nothing is admitted that is not recorded.
    Refuse,
}

/// What is protected: hosts and path prefixes, and optionally only some methods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceDef {
    /// Its name in the policy file.
    pub name: ResourceName,
    /// Canonical host names (lower case, no port, no trailing dot), or `*.` and a canonical parent name.
    pub hosts: BTreeSet<String>,
    /// Canonical decoded path prefixes, without a slash at the end except for `/` itself. Each covers itself and what is below it.
    pub paths: BTreeSet<String>,
    /// The methods protected, upper case. Empty: every method.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// Labels that people and conditions can read.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
}

/// What everyone may reach without asking, as far as no resource protects it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenDef {
    /// Canonical host names, or `*.` and a canonical parent name.
    pub hosts: BTreeSet<String>,
    /// Canonical decoded path prefixes, as in [`ResourceDef::paths`].
    pub paths: BTreeSet<String>,
    /// The methods opened, upper case. Empty: every method.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
}

/// The part of a resource that is asked for or granted. An empty set narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Methods, upper case. Empty: every method that the resource has.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// Canonical path prefixes at or below the resource's. Empty: the whole resource.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
}

/// Whether the canonical path `prefix` covers the canonical `path`: it is that path, or an ancestor of it at a `/`.
pub fn covers(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix) {
        Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
        None => false,
    }
}

/// The terms of one policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The policy's name.
    pub policy: PolicyName,
    /// Who may ask.
    pub requesters: People,
    /// How long access may last.
    pub duration: DurationTerms,
    /// A request that is not decided within this ends as timed out.
    pub pending_timeout: Span,
    /// A grant that is not used within this of its start ends as unused.
    pub use_within: Option<Span>,
    /// A grant that is not used for this long ends as idle-expired.
    pub idle_timeout: Option<Span>,
    /// After a denial the same person waits this long before asking for the same resource again.
    pub cooldown: Option<Span>,
    /// What the reason must look like.
    pub reason: ReasonTerms,
    /// What the ticket must look like.
    pub ticket: TicketTerms,
    /// How strongly and how recently the requester must have signed in, checked at ask and at first use; how strongly, at every use.
    pub mfa: Option<MfaTerms>,
    /// What a grant may be used for in all.
    pub limits: LimitTerms,
    /// Who must agree, in this order. Empty only where `automatic` says `always` or has rules.
    pub stages: Vec<StageTerms>,
    /// What needs nobody's agreement.
    pub automatic: AutomaticTerms,
    /// Immediate access in an emergency, reviewed afterwards.
    pub break_glass: Option<BreakGlassTerms>,
}

impl Terms {
    /// Everyone whom some stage counts, or would count after its escalation.
    pub fn reviews(&self, person: &Person) -> bool {
        self.stages.iter().any(|stage| stage.could_review(person))
    }
}

/// How long access may last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurationTerms {
    /// When the asking names none.
    pub default: Span,
    /// The longest that one grant may last.
    pub max: Span,
    /// The longest that a grant and its extensions may last together.
    pub max_total: Span,
}

/// What the reason must look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReasonTerms {
    /// Whether there must be one.
    pub required: bool,
    /// Fewest characters, after cleaning.
    pub min_length: u16,
}

/// What the ticket must look like.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketTerms {
    /// Whether there must be one.
    pub required: bool,
    /// A regular expression that the whole ticket must match.
    pub pattern: Option<String>,
}

/// How strongly and how recently someone must have signed in. [`Assurance::satisfies`] says what that means.
///
/// [`Assurance::satisfies`]: crate::approval::ask::Assurance::satisfies
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MfaTerms {
    /// One of these authentication context classes (OpenID Connect Core §2 `acr`), the preferred first. Empty: whichever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub acr: Vec<String>,
    /// One of these authentication methods (RFC 8176 `amr`). Empty: where `acr` is empty too, any that proves several factors.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub amr: BTreeSet<String>,
    /// The sign-in may be at most this old.
    pub max_age: Option<Span>,
}

/// What a grant may be used for in all. `None` is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitTerms {
    /// Requests under one grant.
    pub requests: Option<u64>,
    /// Bytes sent to the client under one grant.
    pub bytes: Option<u64>,
    /// Requests in flight at once under one grant.
    pub concurrent: Option<u32>,
    /// Scheduled and active grants of one person under this policy.
    pub active_per_person: Option<u32>,
}

/// One stage of approval.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageTerms {
    /// Its name, unique in the policy.
    pub name: StageName,
    /// Who may fill its seats.
    pub approvers: People,
    /// How many distinct persons must approve; at least 1.
    pub quorum: u16,
    /// After this long in the stage without an answer `escalate_to` may fill its seats as well.
    pub escalate_after: Option<Span>,
    /// Who joins the approvers then.
    pub escalate_to: Option<People>,
    /// How strongly an approver must have signed in.
    pub mfa: Option<MfaTerms>,
}

impl StageTerms {
    /// Whether `person` may fill a seat here, now or after escalation.
    pub fn could_review(&self, person: &Person) -> bool {
        self.approvers.includes(person)
            || self
                .escalate_to
                .as_ref()
                .is_some_and(|people| people.includes(person))
    }
}

/// What needs nobody's agreement.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomaticTerms {
    /// `approval = "automatic"`: every request that the policy permits.
    pub always: bool,
    /// Otherwise the first rule whose condition holds.
    pub rules: Vec<AutomaticRule>,
}

/// One automatic rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutomaticRule {
    /// A CEL expression over `subject`, `resource`, `request` and `now`.
    pub when: String,
    /// It answers only requests for at most this long.
    pub max: Option<Span>,
}

/// Immediate access in an emergency.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassTerms {
    /// Who may break the glass.
    pub requesters: People,
    /// The longest that it may last.
    pub max: Span,
    /// Another person must have looked into it within this.
    pub review_within: Span,
    /// How strongly the requester must have signed in; `None` only where the policy file says so outright.
    pub mfa: Option<MfaTerms>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_at_a_slash() {
        for (prefix, path, want) in [
            ("/admin", "/admin", true),
            ("/admin", "/admin/", true),
            ("/admin", "/admin/users", true),
            ("/admin", "/administrator", false),
            ("/admin", "/", false),
            ("/", "/anything", true),
            ("/", "/", true),
        ] {
            assert_eq!(covers(prefix, path), want, "{prefix} {path}");
        }
    }
}
