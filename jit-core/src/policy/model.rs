//! The policy file as it is written: the keys, their types and what they mean.
//!
//! Names, durations and patterns are plain text in here. The compiler parses them and names every one that is wrong, with its
//! line, instead of stopping at the first. What can't be a policy file at all (an unknown key, a number where text belongs) stops
//! here. The JSON Schema is made of these types, so their documentation is what an editor shows.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::policy::table::{self, Table};
#[cfg(feature = "schema")]
use {
    crate::id::{PersonId, PolicyName, ResourceName, Role, StageName},
    crate::span::Span,
    std::collections::BTreeSet,
};

/// A policy file: what is protected, who may ask for it, and who must agree.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(rename = "PolicyFile")
)]
pub(super) struct File {
    /// Roles for what is nobody's by default.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) control: Control,
    /// What is recorded of the requests under a grant.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) interactions: Interactions,
    /// What nothing protects. Where a resource protects the same, the resource wins.
    #[serde(default)]
    pub(super) open: Vec<Open>,
    /// What is protected.
    #[serde(default)]
    pub(super) resources: Vec<Resource>,
    /// Who may ask for which resources, on what conditions. The order counts: a request that names no policy gets the first one
    /// that its requester is eligible for.
    #[serde(default)]
    pub(super) policies: Vec<Entry>,
    /// Roles for who comes with the right claims: people of an identity provider, jobs of a CI system.
    #[serde(default)]
    pub(super) mappings: Vec<Mapping>,
}

/// Roles for who comes with the right claims. Everything that is named must hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Mapping {
    /// Who says so: the `iss` of its tokens, exactly.
    pub(super) issuer: String,
    /// Claims by name. Each must be one of the values given, or a list that holds one of them; texts are compared whole.
    #[serde(default)]
    pub(super) claims: BTreeMap<String, Wanted>,
    /// A CEL expression over `claims` and `subject` {issuer, subject}.
    pub(super) when: Option<String>,
    /// The roles that they have.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<Role>"))]
    pub(super) roles: Vec<String>,
}

/// One value, or several of which one is enough.
#[derive(Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "a claim is compared with a text, a whole number, true or false, or a list of those"
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) enum Wanted {
    /// This one.
    One(Plain),
    /// Any of these.
    Any(Vec<Plain>),
}

/// A value that is compared whole.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) enum Plain {
    /// A text.
    Text(String),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Bool(bool),
}

/// Roles for what is nobody's by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Control {
    /// Roles that may read every request and the whole audit log.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<Role>"))]
    pub(super) auditors: Vec<String>,
    /// Roles that may revoke any grant.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<Role>"))]
    pub(super) revokers: Vec<String>,
    /// Roles that may declare and lift lockdowns, and clear passkeys that others have lost.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<Role>"))]
    pub(super) lockdown: Vec<String>,
}

/// What is recorded of the requests under a grant.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Interactions {
    /// What happens to requests while too many records wait to be written down. Default: "count".
    #[cfg_attr(feature = "schema", schemars(with = "Option<OnFull>"))]
    pub(super) on_full: Option<String>,
}

/// What happens to requests whose record has no room.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(rename_all = "snake_case")]
#[expect(dead_code, reason = "the words that the schema knows")]
enum OnFull {
    /// They pass, and how many records were lost is recorded.
    Count,
    /// They are refused.
    Refuse,
}

/// What nothing protects.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Open {
    /// Host names in lower case without a port, or `*.` and a parent name.
    pub(super) hosts: Vec<String>,
    /// Decoded paths without patterns; each stands for itself and everything below it.
    pub(super) paths: Vec<String>,
    /// Only these methods. Absent: every method.
    #[serde(default)]
    pub(super) methods: Vec<String>,
}

/// What is protected.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Resource {
    /// Its name, unique in the file.
    #[cfg_attr(feature = "schema", schemars(with = "ResourceName"))]
    pub(super) name: String,
    /// Host names in lower case without a port, or `*.` and a parent name.
    pub(super) hosts: Vec<String>,
    /// Decoded paths without patterns; each stands for itself and everything below it.
    pub(super) paths: Vec<String>,
    /// Only these methods. Absent: every method.
    #[serde(default)]
    pub(super) methods: Vec<String>,
    /// Labels that people and conditions can read.
    #[serde(default)]
    pub(super) tags: Vec<String>,
}

/// Who may ask for which resources, for how long, on what conditions, and who must agree.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Policy"))]
pub(super) struct Entry {
    /// Its name, unique in the file.
    #[cfg_attr(feature = "schema", schemars(with = "PolicyName"))]
    pub(super) name: String,
    /// The names of the resources it governs.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<ResourceName>"))]
    pub(super) resources: Vec<String>,
    /// Who may ask.
    #[serde(deserialize_with = "table::only")]
    pub(super) requesters: PeopleKeys,
    /// How long access may last.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) duration: Duration,
    /// A request that is not decided within this dies. Default: 1h.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) pending_timeout: Option<String>,
    /// A grant that is not used within this of its start dies. Default: never.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) use_within: Option<String>,
    /// A grant that is not used for this long dies. Default: never.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) idle_timeout: Option<String>,
    /// How long someone waits after a denial before asking for the same resource again. Default: 1m.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) cooldown: Option<String>,
    /// What the reason must look like.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) reason: Reason,
    /// What the ticket must look like.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) ticket: Ticket,
    /// How the requester must have signed in. Absent: in whatever way.
    #[serde(default, deserialize_with = "table::any")]
    pub(super) mfa: Option<Mfa>,
    /// What one grant may be used for in all.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) limits: Limits,
    /// Who must agree, in this order.
    #[serde(default)]
    pub(super) stages: Vec<Stage>,
    /// `"automatic"`: nobody has to agree. Instead of `stages`.
    pub(super) approval: Option<Approval>,
    /// Requests that need nobody's agreement although there are stages: the first rule that holds decides.
    #[serde(default)]
    pub(super) automatic: Vec<Rule>,
    /// Immediate access in an emergency, reviewed afterwards.
    #[serde(default, deserialize_with = "table::any")]
    pub(super) break_glass: Option<BreakGlass>,
}

/// A set of people: everyone who has one of the roles, and the persons named.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "People"))]
pub(super) struct PeopleKeys {
    /// Any one of these roles is enough.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<Role>"))]
    pub(super) roles: Vec<String>,
    /// Persons by the directory's id.
    #[serde(default)]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<PersonId>"))]
    pub(super) persons: Vec<String>,
}

/// How long access may last.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Duration {
    /// When the request names none. Default: 30m, or `max` if that is shorter.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) default: Option<String>,
    /// The longest that one grant may last. Default: 4h.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) max: Option<String>,
    /// The longest that a grant and its extensions may last together. Default: `max`, so that nothing can be extended.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) max_total: Option<String>,
}

/// What the reason must look like.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Reason {
    /// Whether there must be one. Default: false.
    #[serde(default)]
    pub(super) required: bool,
    /// Fewest characters, at most 500. Default: 0.
    #[serde(default)]
    pub(super) min_length: u16,
}

/// What the ticket must look like.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Ticket {
    /// Whether there must be one. Default: false.
    #[serde(default)]
    pub(super) required: bool,
    /// A regular expression that the whole ticket must match.
    pub(super) pattern: Option<String>,
}

/// How someone must have signed in.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Mfa {
    /// Whether several factors are needed. Default: true.
    #[serde(default = "yes")]
    pub(super) required: bool,
    /// One of these authentication context classes must stand in the sign-in's `acr`, the preferred first. Default: whichever.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 16), inner(length(min = 1, max = 128)))
    )]
    pub(super) acr: Option<Vec<String>>,
    /// One of these methods (RFC 8176) must stand in the sign-in's `amr`. Default: where no `acr` is asked for either, one of mfa,
    /// hwk, swk, otp, fpt and face.
    #[cfg_attr(
        feature = "schema",
        schemars(length(min = 1, max = 16), inner(length(min = 1, max = 128)))
    )]
    pub(super) amr: Option<Vec<String>>,
    /// The sign-in (`auth_time`) may be at most this old, at least 1s. Default: however old.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) max_age: Option<String>,
}

fn yes() -> bool {
    true
}

/// What one grant may be used for in all. Absent: no limit.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Limits {
    /// Requests under one grant.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub(super) requests: Option<u64>,
    /// Bytes sent to the client under one grant.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub(super) bytes: Option<u64>,
    /// Requests in flight at once under one grant.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub(super) concurrent: Option<u32>,
    /// Scheduled and active grants of one person under this policy.
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub(super) active_per_person: Option<u32>,
}

/// One stage of approval.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Stage {
    /// Its name, unique in the policy. Default: `stage-` and its number.
    #[cfg_attr(feature = "schema", schemars(with = "Option<StageName>"))]
    pub(super) name: Option<String>,
    /// Who may fill its seats.
    #[serde(default, deserialize_with = "table::only")]
    pub(super) approvers: PeopleKeys,
    /// How many distinct persons must approve. Default: 1.
    #[serde(default = "one")]
    #[cfg_attr(feature = "schema", schemars(range(min = 1)))]
    pub(super) quorum: u16,
    /// After this long without an answer `escalate_to` may fill its seats as well.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) escalate_after: Option<String>,
    /// Who joins the approvers then.
    #[serde(default, deserialize_with = "table::any")]
    pub(super) escalate_to: Option<PeopleKeys>,
    /// How a reviewer must have signed in. Absent: in whatever way.
    #[serde(default, deserialize_with = "table::any")]
    pub(super) mfa: Option<Mfa>,
}

fn one() -> u16 {
    1
}

/// Who must agree, where it is not stages.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) enum Approval {
    /// Nobody.
    Automatic,
}

/// One automatic rule.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct Rule {
    /// A CEL expression over `subject`, `resource`, `request` and `now`.
    pub(super) when: String,
    /// It answers only requests for at most this long. Default: the policy's `duration.max`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) max: Option<String>,
}

/// Immediate access in an emergency.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct BreakGlass {
    /// Who may break the glass. They need not be among the policy's requesters.
    #[serde(deserialize_with = "table::only")]
    pub(super) requesters: PeopleKeys,
    /// The longest that it may last.
    #[cfg_attr(feature = "schema", schemars(with = "Span"))]
    pub(super) max: String,
    /// Another person must have looked into it within this. Default: 24h.
    #[cfg_attr(feature = "schema", schemars(with = "Option<Span>"))]
    pub(super) review_within: Option<String>,
    /// How the requester must have signed in. Absent: as the policy asks, and with several factors in any case.
    #[serde(default, deserialize_with = "table::any")]
    pub(super) mfa: Option<Mfa>,
}

macro_rules! tables {
    ($($name:ident: $example:literal;)*) => {
        $(impl Table for $name {
            const EXAMPLE: &'static str = $example;
        })*
    };
}

tables! {
    PeopleKeys: "{ roles = [\"sre\"] }";
    Duration: "{ default = \"30m\", max = \"4h\" }";
    Reason: "{ required = true, min_length = 10 }";
    Ticket: "{ required = true }";
    Mfa: "{ required = true }";
    Control: "{ auditors = [\"security\"] }";
    Interactions: "{ on_full = \"refuse\" }";
    Limits: "{ requests = 100 }";
    BreakGlass: "{ requesters = { roles = [\"on-call\"] }, max = \"30m\" }";
}
