//! One asking and everything that became of it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::approval::ask::{Actor, Route, Ruling};
use crate::approval::credential::GrantCredential;
use crate::approval::digest::digest;
use crate::approval::event::{AfterReview, EndCause};
use crate::approval::grant::Grant;
use crate::approval::review::Review;
use crate::approval::state::State;
use crate::id::{Digest, PersonId, Principal, RequestId, Timestamp};

/// One asking, and the grant it may have become: the folded state of one stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Its id.
    pub id: RequestId,
    /// Over everything that a reviewer decides on. Any change of it voids the reviews.
    pub digest: Digest,
    /// Who asked, as proven then.
    pub requester: Requester,
    /// What was asked for and under which terms.
    pub ruling: Ruling,
    /// The request that this one continues.
    pub extends: Option<RequestId>,
    /// Requests that continue this one.
    pub extended_by: Vec<RequestId>,
    /// Who could fill a seat in each stage when this was asked; `None` where the Directory could not list them. Someone who joins
    /// a role later does not join these.
    pub approvers: Vec<Option<BTreeSet<PersonId>>>,
    /// When it was asked.
    pub asked_at: Timestamp,
    /// When the present stage was opened: escalation counts from here.
    pub stage_since: Timestamp,
    /// It times out then if it is still pending.
    pub pending_until: Timestamp,
    /// Where it stands, as last written down. What holds at a moment is [`Request::effective`].
    pub state: State,
    /// The stage that is open, counted from 0; the number of stages when all are done.
    pub stage: u16,
    /// Reviews that count, in order.
    pub reviews: Vec<Review>,
    /// The grant, once approved.
    pub grant: Option<Grant>,
    /// The credential that the grant is bound to, once its holder has taken one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<GrantCredential>,
    /// How it ended, once it has.
    pub end: Option<End>,
    /// Whether the glass was broken, and who has looked into it since.
    pub break_glass: Option<BreakGlassDebt>,
    /// When it last changed.
    pub changed_at: Timestamp,
}

impl Request {
    /// A request as it is when it has just been asked: pending in its first stage. `approvers` are those who can fill a seat in each
    /// stage now.
    ///
    /// # Errors
    /// The encoder's, from [`digest`].
    pub fn new(
        id: RequestId,
        actor: &Actor,
        ruling: Ruling,
        extends: Option<RequestId>,
        approvers: Vec<Option<BTreeSet<PersonId>>>,
        now: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        let requester = Requester {
            principal: actor.principal.clone(),
            person: actor.person.id.clone(),
            name: actor.person.name.clone(),
        };
        let glass = ruling
            .terms
            .break_glass
            .as_ref()
            .filter(|_| ruling.route == Route::BreakGlass);
        Ok(Self {
            id,
            digest: digest(id, &requester, &ruling, extends)?,
            requester,
            extends,
            extended_by: Vec::new(),
            approvers,
            asked_at: now,
            stage_since: now,
            pending_until: ruling.terms.pending_timeout.after(now),
            state: State::Pending,
            stage: 0,
            reviews: Vec::new(),
            grant: None,
            credential: None,
            end: None,
            break_glass: glass.map(|glass| BreakGlassDebt {
                review_by: glass.review_within.after(now),
                review: None,
            }),
            changed_at: now,
            ruling,
        })
    }
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// The identity proven.
    pub principal: Principal,
    /// The person: never reviews this request.
    pub person: PersonId,
    /// Their name then, for people to read.
    pub name: String,
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    /// When.
    pub at: Timestamp,
    /// By what or by whom.
    pub cause: EndCause,
    /// In words.
    pub reason: String,
}

/// A break-glass and its review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BreakGlassDebt {
    /// It should have been reviewed by then.
    pub review_by: Timestamp,
    /// The review that settled it.
    pub review: Option<AfterReview>,
}
