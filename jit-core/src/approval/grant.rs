//! A grant: what an approved request becomes.

use serde::{Deserialize, Serialize};

use crate::approval::ask::Selector;
use crate::id::{GrantId, PersonId, PolicyName, Principal, RequestId, Timestamp};
use crate::policy::terms::{MfaTerms, ResourceDef, Scope};
use crate::span::Span;

/// The right to use a resource, or a part of it, within an absolute window `[not_before, not_after)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its id.
    pub id: GrantId,
    /// The principal who may use it.
    pub holder: Principal,
    /// The holder's person.
    pub person: PersonId,
    /// How a gate recognises the holder.
    pub selector: Selector,
    /// The policy it was granted under.
    pub policy: PolicyName,
    /// The resource as it was when the request was approved. What is admitted is this ∩ the resource as it is now.
    pub resource: ResourceDef,
    /// The part of it that was granted.
    pub scope: Scope,
    /// The first moment of the window.
    pub not_before: Timestamp,
    /// The first moment after the window: absolute, never recomputed from a duration.
    pub not_after: Timestamp,
    /// It ends as unused if the first use has not come within this of `not_before`.
    pub use_within: Option<Span>,
    /// It ends as idle-expired when it was not used for this long.
    pub idle_timeout: Option<Span>,
    /// Requests in all.
    pub max_requests: Option<u64>,
    /// Bytes to the client in all.
    pub max_bytes: Option<u64>,
    /// Requests in flight at once.
    pub max_concurrent: Option<u32>,
    /// How strongly the holder must have signed in at first use.
    pub mfa: Option<MfaTerms>,
    /// The request whose grant this one continues.
    pub extends: Option<RequestId>,
}
