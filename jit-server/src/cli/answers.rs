//! The control API's answers, as far as they are shown: each text is inert from here on, and what is sent back is parsed.
//!
//! Members that this version does not know are passed over: a newer server must stay of use.

use jit_core::id::{Digest, LockdownId, RequestId};
use serde::Deserialize;

use super::inert::Text;

#[derive(Debug, Deserialize)]
pub(super) struct Principal {
    pub(super) issuer: Text,
    pub(super) subject: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Requester {
    pub(super) person: Text,
    pub(super) name: Text,
    pub(super) principal: Principal,
}

#[derive(Debug, Deserialize)]
pub(super) struct Definition {
    pub(super) hosts: Vec<Text>,
    pub(super) paths: Vec<Text>,
    pub(super) methods: Vec<Text>,
}

#[derive(Debug, Deserialize)]
pub(super) struct People {
    pub(super) roles: Vec<Text>,
    pub(super) persons: Vec<Text>,
}

/// What may be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Offer {
    pub(super) resource: Text,
    pub(super) definition: Definition,
    pub(super) policy: Text,
    pub(super) duration: OfferedDuration,
    pub(super) stages: Vec<OfferedStage>,
    pub(super) automatic: Text,
    pub(super) break_glass: Option<OfferedBreakGlass>,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfferedDuration {
    pub(super) max: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfferedStage {
    pub(super) quorum: u16,
    pub(super) approvers: People,
}

#[derive(Debug, Deserialize)]
pub(super) struct OfferedBreakGlass {
    pub(super) max: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stage {
    pub(super) name: Text,
    pub(super) quorum: u16,
    pub(super) filled: usize,
    pub(super) approvers: People,
}

#[derive(Debug, Deserialize)]
pub(super) struct Review {
    pub(super) name: Text,
    pub(super) decision: Text,
    pub(super) comment: Text,
    pub(super) at: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct End {
    pub(super) at: Text,
    pub(super) cause: Cause,
    pub(super) reason: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Cause {
    pub(super) by: Text,
    #[serde(default)]
    pub(super) person: Option<Text>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BreakGlass {
    pub(super) review_by: Text,
    pub(super) reviewed: bool,
    pub(super) review: Option<AfterReview>,
}

#[derive(Debug, Deserialize)]
pub(super) struct AfterReview {
    pub(super) person: Text,
    pub(super) finding: Text,
    pub(super) comment: Text,
    pub(super) at: Text,
}

#[derive(Debug, Deserialize)]
pub(super) struct Grant {
    pub(super) scope: Scope,
}

#[derive(Debug, Deserialize)]
pub(super) struct Scope {
    pub(super) methods: Vec<Text>,
    pub(super) paths: Vec<Text>,
}

/// A request.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    pub(super) id: RequestId,
    pub(super) state: Text,
    pub(super) digest: Digest,
    pub(super) version: u64,
    pub(super) stage: usize,
    pub(super) resource: Text,
    pub(super) definition: Definition,
    pub(super) policy: Text,
    pub(super) reason: Text,
    pub(super) ticket: Option<Text>,
    pub(super) duration: Text,
    pub(super) methods: Vec<Text>,
    pub(super) paths: Vec<Text>,
    pub(super) max_requests: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) selector: Text,
    pub(super) credential_issued_at: Option<Text>,
    pub(super) start: Option<Text>,
    pub(super) requester: Requester,
    pub(super) asked_at: Text,
    pub(super) pending_until: Text,
    pub(super) not_before: Option<Text>,
    pub(super) not_after: Option<Text>,
    pub(super) stages: Vec<Stage>,
    pub(super) reviews: Vec<Review>,
    pub(super) grant: Option<Grant>,
    pub(super) end: Option<End>,
    pub(super) break_glass: Option<BreakGlass>,
    pub(super) extends: Option<RequestId>,
}

/// What a request has come to, for whoever waits for it. A state that this version does not know is no access.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Pending,
    Scheduled,
    Active,
    Ended,
}

impl Request {
    pub(super) fn standing(&self) -> Standing {
        match self.state.as_str() {
            "pending" => Standing::Pending,
            "scheduled" => Standing::Scheduled,
            "active" => Standing::Active,
            _ => Standing::Ended,
        }
    }
}

/// A live grant.
#[derive(Debug, Deserialize)]
pub(super) struct LiveGrant {
    pub(super) request_id: RequestId,
    pub(super) state: Text,
    pub(super) resource: Text,
    pub(super) person: Text,
    pub(super) scope: Scope,
    pub(super) window: Window,
    pub(super) remaining: Remaining,
}

#[derive(Debug, Deserialize)]
pub(super) struct Window {
    pub(super) not_after: Text,
}

/// In seconds.
#[derive(Debug, Deserialize)]
pub(super) struct Remaining {
    pub(super) starts_in: u64,
    pub(super) expires_in: u64,
    pub(super) unused_in: Option<u64>,
    pub(super) idle_in: Option<u64>,
}

/// A lockdown in force.
#[derive(Debug, Deserialize)]
pub(super) struct Lockdown {
    pub(super) id: LockdownId,
    pub(super) principal: Option<Principal>,
    pub(super) person: Option<Text>,
    pub(super) role: Option<Text>,
    pub(super) resource: Option<Text>,
    pub(super) reason: Text,
    pub(super) declared_by: Declarer,
    pub(super) at: Text,
    pub(super) warning: Option<Text>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Declarer {
    pub(super) person: Text,
}
