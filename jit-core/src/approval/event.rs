//! What happened: the words of the audit log.

use serde::{Deserialize, Serialize};

use crate::approval::ask::Actor;
use crate::approval::credential::GrantCredential;
use crate::approval::grant::Grant;
use crate::approval::lockdown::Lockdown;
use crate::approval::request::Request;
use crate::approval::review::Review;
use crate::approval::state::State;
use crate::id::{Digest, LockdownId, PersonId, Principal, RequestId, Timestamp};
use crate::policy::terms::Scope;

/// Something that happened to one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Event {
    /// Someone asked. Holds the whole request as it was then.
    Requested {
        /// The request, pending.
        request: Box<Request>,
        /// The caller's own key for this asking, so that a repeat finds it again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<IdempotencyKey>,
    },
    /// Someone reviewed it; an earlier review by the same person is replaced.
    Reviewed {
        /// The review.
        review: Review,
    },
    /// A review stopped counting: its author is no longer eligible.
    ReviewVoided {
        /// Whose.
        person: PersonId,
        /// Why.
        reason: String,
    },
    /// A stage was opened: the one before has its quorum, or lost it.
    StageOpened {
        /// Which, counted from 0.
        stage: u16,
    },
    /// All who must agree have: the grant as it was granted.
    Approved {
        /// On whose word.
        by: ApprovedBy,
        /// The grant.
        grant: Box<Grant>,
    },
    /// The grant was activated; from its `not_before` it admits.
    Activated,
    /// The policy changed while the request was pending: it was asked anew under the new terms, and all reviews are void.
    Restated {
        /// The request with its new ruling and digest.
        request: Box<Request>,
    },
    /// A policy change took something from a live grant.
    Narrowed {
        /// The new end of the window, never later than before.
        not_after: Timestamp,
        /// The new scope, never wider than before.
        scope: Scope,
        /// Why.
        reason: String,
    },
    /// Another request asks to continue this one.
    Extended {
        /// Which.
        by: RequestId,
    },
    /// The holder was given a credential for the grant. The one before, if there was one, ended with this.
    CredentialIssued {
        /// What is kept of it: never the credential itself.
        credential: GrantCredential,
    },
    /// It ended.
    Ended {
        /// In which state.
        state: State,
        /// By what or by whom.
        cause: EndCause,
        /// In words.
        reason: String,
        /// When it took effect: for a window that closed, the moment it closed, which may be before this was written down.
        at: Timestamp,
    },
    /// Another person looked into a break-glass.
    AfterReviewed {
        /// What they found.
        review: AfterReview,
    },
}

/// The caller's own key for an asking, hashed, beside a hash of what was asked under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyKey {
    /// Over the key.
    pub key: Digest,
    /// Over the asking.
    pub ask: Digest,
}

/// On whose word a request was approved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ApprovedBy {
    /// These persons, one for each seat.
    Quorum(Vec<PersonId>),
    /// The policy is automatic, or this rule of it held (counted from 0).
    Automatic(Option<u16>),
    /// Nobody yet.
    BreakGlass,
}

/// By what or by whom a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndCause {
    /// A person decided so.
    Person {
        /// The identity.
        principal: Principal,
        /// The person.
        person: PersonId,
    },
    /// A deadline or a budget in the grant itself.
    Limit,
    /// A lockdown.
    Lockdown(LockdownId),
    /// The request that this one continues was revoked.
    Parent(RequestId),
    /// The policy no longer permits it.
    Policy,
    /// The requester or an approver was no longer eligible.
    Recheck,
}

impl EndCause {
    /// By this actor.
    pub fn actor(actor: &Actor) -> Self {
        Self::Person {
            principal: actor.principal.clone(),
            person: actor.person.id.clone(),
        }
    }
}

/// What someone found when they looked into a break-glass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AfterReview {
    /// The identity.
    pub principal: Principal,
    /// Who.
    pub person: PersonId,
    /// Was it right?
    pub finding: Finding,
    /// In words, cleaned.
    pub comment: String,
    /// When.
    pub at: Timestamp,
}

/// The outcome of an after-review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum Finding {
    /// It was called for.
    Justified,
    /// It was not.
    Unjustified,
}

/// Something that happened to lockdowns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum LockdownEvent {
    /// One was declared.
    LockedDown {
        /// It.
        lockdown: Lockdown,
    },
    /// One was lifted. What it ended stays ended.
    LockdownLifted {
        /// Which.
        id: LockdownId,
        /// By which identity.
        principal: Principal,
        /// By whom.
        person: PersonId,
        /// Why.
        reason: String,
    },
}

/// Something that the control plane did by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum ControlEvent {
    /// A policy was put in force.
    PolicyLoaded {
        /// Over its source text.
        digest: Digest,
    },
    /// Records of what was done were lost, and under which grants is not known any more.
    InteractionsLost {
        /// How many.
        count: u64,
    },
}

/// Something that happened to how a person shows that it is them. It is told in the person's own stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum PersonEvent {
    /// A passkey was enrolled.
    PasskeyEnrolled {
        /// Whose it is.
        owner: PersonId,
        /// It.
        passkey: NamedPasskey,
        /// By which identity.
        principal: Principal,
        /// By whom.
        person: PersonId,
    },
    /// A passkey was removed.
    PasskeyRemoved {
        /// Whose it was.
        owner: PersonId,
        /// It.
        passkey: NamedPasskey,
        /// By which identity.
        principal: Principal,
        /// By whom.
        person: PersonId,
    },
    /// Somebody else took all passkeys of a person away.
    PasskeysCleared {
        /// Whose they were.
        owner: PersonId,
        /// They.
        passkeys: Vec<NamedPasskey>,
        /// By which identity.
        principal: Principal,
        /// By whom.
        person: PersonId,
        /// Why, cleaned.
        reason: String,
    },
}

/// What the log says of a passkey: nothing that verifies it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever tells of one has to say all of it"
)]
pub struct NamedPasskey {
    /// The id of the credential, in base64url without padding (RFC 4648 §5).
    pub id: String,
    /// What its person calls it, cleaned.
    pub name: String,
}
