//! One person's approve or deny of one exact digest.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::approval::evidence::Evidence;
use crate::id::{Digest, PersonId, Principal, Timestamp};
use crate::span::Span;

/// Approve or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Decision {
    /// Yes, perhaps to less than was asked.
    Approve,
    /// No. One eligible deny ends the request.
    Deny,
}

/// What a reviewer says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opinion {
    /// Approve or deny.
    pub decision: Decision,
    /// The digest of what the reviewer saw.
    pub digest: Digest,
    /// Cleaned before it is kept.
    #[serde(default)]
    pub comment: String,
    /// Less than was asked.
    #[serde(default, flatten)]
    pub narrowing: Narrowing,
}

/// How an approval takes less than was asked. What is absent is taken as asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Narrowing {
    /// A shorter window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<Span>,
    /// Fewer methods.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub methods: BTreeSet<String>,
    /// Fewer or deeper paths.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub paths: BTreeSet<String>,
    /// Fewer requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_requests: Option<u64>,
}

/// A review that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Review {
    /// Under which identity it was given.
    pub principal: Principal,
    /// By whom: what quorum counts.
    pub person: PersonId,
    /// Their name then, for people to read.
    pub name: String,
    /// The stage whose seat it fills, counted from 0.
    pub stage: u16,
    /// Approve or deny.
    pub decision: Decision,
    /// The digest reviewed.
    pub digest: Digest,
    /// The comment, cleaned.
    pub comment: String,
    /// Less than was asked.
    pub narrowing: Narrowing,
    /// When.
    pub at: Timestamp,
    /// The assertion of a passkey over it, if its author gave one. Absent in a record of a review without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence: Option<Box<Evidence>>,
}
