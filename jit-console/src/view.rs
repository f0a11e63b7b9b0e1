//! What callers read: views of the core's types, with a shape of their own, so that the core can change without the API changing.
//!
//! Names are snake_case; times are RFC 3339 in UTC with a `Z`; durations read like `30m`; what does not apply is `null`. There
//! is one field in here that holds a credential: [`IssuedView`]'s.

use std::collections::BTreeSet;

use chrono::SecondsFormat;
use jit_core::approval::event::{AfterReview, EndCause, Finding};
use jit_core::approval::request::{BreakGlassDebt, End, Request};
use jit_core::approval::review::{Decision, Narrowing, Review};
use jit_core::broker::View;
use jit_core::id::{Principal, Timestamp};
use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::settings::ApiSettings;

mod credential;
mod grant;
mod terms;

pub(crate) use credential::IssuedView;
pub(crate) use grant::{GrantView, LiveGrantView};
pub(crate) use terms::{DefinitionView, MfaView, StageView};

/// A moment, RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = String, format = DateTime, example = "2026-03-01T09:00:00Z")]
pub(crate) struct Time(pub(crate) Timestamp);

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.to_rfc3339_opts(SecondsFormat::AutoSi, true))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "so that it maps over what an Option holds"
)]
pub(crate) fn text(value: impl ToString) -> String {
    value.to_string()
}

pub(crate) fn texts<T: ToString>(values: &BTreeSet<T>) -> Vec<String> {
    values.iter().map(T::to_string).collect()
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// Where the next page begins: hand it back as `after`. `null` when there is none.
    pub(crate) next: Option<String>,
}

/// One identity.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Principal)]
pub(crate) struct PrincipalView {
    /// Who vouches for the subject.
    issuer: String,
    /// The issuer's lasting name for it.
    subject: String,
}

impl From<&Principal> for PrincipalView {
    fn from(principal: &Principal) -> Self {
        Self {
            issuer: text(principal.issuer()),
            subject: text(principal.subject()),
        }
    }
}

/// One stage of a request's approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RequestStage)]
pub(crate) struct RequestStageView {
    #[serde(flatten)]
    stage: StageView,
    /// How many have approved.
    filled: usize,
}

/// How an approval takes less than was asked. What is absent or empty is taken as asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Narrowing)]
pub(crate) struct NarrowingView {
    duration: Option<String>,
    methods: Vec<String>,
    paths: Vec<String>,
    max_requests: Option<u64>,
}

impl From<&Narrowing> for NarrowingView {
    fn from(narrowing: &Narrowing) -> Self {
        Self {
            duration: narrowing.duration.map(text),
            methods: texts(&narrowing.methods),
            paths: texts(&narrowing.paths),
            max_requests: narrowing.max_requests,
        }
    }
}

/// One review that counts.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Review)]
pub(crate) struct ReviewView {
    person: String,
    name: String,
    /// The stage whose seat it fills, counted from 0.
    stage: u16,
    /// `approve` or `deny`.
    decision: &'static str,
    comment: String,
    at: Time,
    narrowing: NarrowingView,
}

impl From<&Review> for ReviewView {
    fn from(review: &Review) -> Self {
        Self {
            person: text(&review.person),
            name: text(&review.name),
            stage: review.stage,
            decision: match review.decision {
                Decision::Approve => "approve",
                Decision::Deny => "deny",
            },
            comment: text(&review.comment),
            at: Time(review.at),
            narrowing: (&review.narrowing).into(),
        }
    }
}

/// Who asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Requester)]
pub(crate) struct RequesterView {
    person: String,
    name: String,
    principal: PrincipalView,
}

/// How a request ended.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = End)]
pub(crate) struct EndView {
    at: Time,
    cause: CauseView,
    reason: String,
}

impl From<&End> for EndView {
    fn from(end: &End) -> Self {
        Self {
            at: Time(end.at),
            cause: (&end.cause).into(),
            reason: text(&end.reason),
        }
    }
}

/// By what or by whom a request ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "by", rename_all = "snake_case")]
#[schema(as = EndCause)]
pub(crate) enum CauseView {
    /// A person decided so.
    Person {
        person: String,
        principal: PrincipalView,
    },
    /// A deadline or a budget in the grant itself.
    Limit,
    /// A lockdown.
    Lockdown { id: String },
    /// The request that this one continues was revoked.
    Parent { id: String },
    /// The policy no longer permits it.
    Policy,
    /// The requester or an approver was no longer eligible.
    Recheck,
    /// Something that this version of the API has no word for.
    Other,
}

impl From<&EndCause> for CauseView {
    fn from(cause: &EndCause) -> Self {
        match cause {
            EndCause::Person { principal, person } => Self::Person {
                person: text(person),
                principal: principal.into(),
            },
            EndCause::Limit => Self::Limit,
            EndCause::Lockdown(id) => Self::Lockdown { id: text(id) },
            EndCause::Parent(id) => Self::Parent { id: text(id) },
            EndCause::Policy => Self::Policy,
            EndCause::Recheck => Self::Recheck,
            _ => Self::Other,
        }
    }
}

/// A break-glass and its review.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = BreakGlass)]
pub(crate) struct BreakGlassView {
    /// It should have been reviewed by then.
    review_by: Time,
    /// Whether it has been.
    reviewed: bool,
    review: Option<AfterReviewView>,
}

impl From<&BreakGlassDebt> for BreakGlassView {
    fn from(debt: &BreakGlassDebt) -> Self {
        Self {
            review_by: Time(debt.review_by),
            reviewed: debt.review.is_some(),
            review: debt.review.as_ref().map(Into::into),
        }
    }
}

/// What someone found when they looked into a break-glass.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AfterReview)]
pub(crate) struct AfterReviewView {
    person: String,
    /// `justified` or `unjustified`.
    finding: &'static str,
    comment: String,
    at: Time,
}

impl From<&AfterReview> for AfterReviewView {
    fn from(review: &AfterReview) -> Self {
        Self {
            person: text(&review.person),
            finding: match review.finding {
                Finding::Justified => "justified",
                Finding::Unjustified => "unjustified",
            },
            comment: text(&review.comment),
            at: Time(review.at),
        }
    }
}

/// How many seats of a stage are filled.
pub(crate) fn filled(request: &Request, stage: usize) -> usize {
    let counts = |review: &&Review| {
        usize::from(review.stage) == stage
            && review.decision == Decision::Approve
            && review.digest == request.digest
    };
    request.reviews.iter().filter(counts).count()
}

/// A request, and the grant it may have become.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Request)]
pub(crate) struct RequestView {
    id: String,
    /// One of `pending`, `scheduled`, `active`, `denied`, `withdrawn`, `timed_out`, `expired`, `idle_expired`, `unused`,
    /// `exhausted`, `released`, `revoked`: as it is now, whether written down yet or not.
    state: &'static str,
    /// Over everything that a reviewer decides on. A review names it.
    digest: String,
    /// How often the request has been written to.
    version: u64,
    /// The stage that is open, counted from 0; the number of stages when all are done.
    stage: u16,
    /// The resource's name.
    resource: String,
    /// The resource as it was when this was asked.
    definition: DefinitionView,
    policy: String,
    reason: String,
    ticket: Option<String>,
    /// How long access was asked for.
    #[schema(example = "30m")]
    duration: String,
    /// The methods asked for. Empty: all.
    methods: Vec<String>,
    /// The paths asked for. Empty: the whole resource.
    paths: Vec<String>,
    max_requests: Option<u64>,
    max_bytes: Option<u64>,
    /// How a gate recognises the holder: `principal`, by who they are, or `credential`, by one that they take for this grant.
    selector: &'static str,
    /// When the credential that opens the grant was issued; `null` while there is none.
    credential_issued_at: Option<Time>,
    /// When the window was asked to open; `null`: as soon as approved.
    start: Option<Time>,
    requester: RequesterView,
    asked_at: Time,
    /// It times out then if it is still pending.
    pending_until: Time,
    /// The window's first moment, once approved.
    not_before: Option<Time>,
    /// The first moment after the window, once approved.
    not_after: Option<Time>,
    stages: Vec<RequestStageView>,
    reviews: Vec<ReviewView>,
    grant: Option<GrantView>,
    end: Option<EndView>,
    break_glass: Option<BreakGlassView>,
    /// The request that this one continues.
    extends: Option<String>,
    /// Requests that continue this one.
    extended_by: Vec<String>,
    /// Where this is read.
    url: String,
}

impl RequestView {
    pub(crate) fn new(view: &View, settings: &ApiSettings) -> Self {
        let request = &view.request;
        let ruling = &request.ruling;
        Self {
            id: text(request.id),
            state: request.state.as_str(),
            digest: text(request.digest),
            version: view.version,
            stage: request.stage,
            resource: text(&ruling.resource.name),
            definition: (&ruling.resource).into(),
            policy: text(&ruling.terms.policy),
            reason: text(&ruling.reason),
            ticket: ruling.ticket.clone(),
            duration: text(ruling.duration),
            methods: texts(&ruling.scope.methods),
            paths: texts(&ruling.scope.paths),
            max_requests: ruling.max_requests,
            max_bytes: ruling.max_bytes,
            selector: credential::selector(ruling.selector),
            credential_issued_at: request
                .credential
                .as_ref()
                .map(|credential| Time(credential.issued_at)),
            start: ruling.start.map(Time),
            requester: RequesterView {
                person: text(&request.requester.person),
                name: text(&request.requester.name),
                principal: (&request.requester.principal).into(),
            },
            asked_at: Time(request.asked_at),
            pending_until: Time(request.pending_until),
            not_before: request.grant.as_ref().map(|grant| Time(grant.not_before)),
            not_after: request.grant.as_ref().map(|grant| Time(grant.not_after)),
            stages: (ruling.terms.stages.iter().enumerate())
                .map(|(number, stage)| RequestStageView {
                    stage: stage.into(),
                    filled: filled(request, number),
                })
                .collect(),
            reviews: request.reviews.iter().map(Into::into).collect(),
            grant: request.grant.as_ref().map(Into::into),
            end: request.end.as_ref().map(Into::into),
            break_glass: request.break_glass.as_ref().map(Into::into),
            extends: request.extends.map(text),
            extended_by: request.extended_by.iter().map(text).collect(),
            url: settings.request_url(request.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use jit_core::approval::event::EndCause;
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::{active, at, pending, person, principal};

    fn shown(view: &View) -> Value {
        serde_json::to_value(RequestView::new(view, &ApiSettings::default())).unwrap()
    }

    #[test]
    fn a_pending_request_shows_what_a_reviewer_decides_on() {
        let view = pending();
        let id = "req_00000000000000000000000000000007";
        assert_eq!(
            shown(&view),
            json!({
                "id": id,
                "state": "pending",
                "digest": view.request.digest.to_string(),
                "version": 2,
                "stage": 0,
                "resource": "admin",
                "definition": {"hosts": ["app.example.com"], "paths": ["/admin"], "methods": [], "tags": ["tier-1"]},
                "policy": "admin-for-sre",
                "reason": "INC-1",
                "ticket": null,
                "duration": "1h 30m",
                "methods": ["GET"],
                "paths": [],
                "max_requests": 10,
                "max_bytes": null,
                "selector": "principal",
                "credential_issued_at": null,
                "start": null,
                "requester": {
                    "person": "alice",
                    "name": "Alice",
                    "principal": {"issuer": "https://id.example.com", "subject": "alice"},
                },
                "asked_at": "2026-03-01T09:00:00Z",
                "pending_until": "2026-03-01T10:00:00Z",
                "not_before": null,
                "not_after": null,
                "stages": [{
                    "name": "lead",
                    "quorum": 2,
                    "filled": 1,
                    "approvers": {"roles": ["sre-lead"], "persons": []},
                    "escalate_after": null,
                    "escalate_to": null,
                    "mfa": null,
                }],
                "reviews": [{
                    "person": "bob",
                    "name": "Bob",
                    "stage": 0,
                    "decision": "approve",
                    "comment": "fine",
                    "at": "2026-03-01T09:01:00Z",
                    "narrowing": {"duration": "1h", "methods": [], "paths": [], "max_requests": null},
                }],
                "grant": null,
                "end": null,
                "break_glass": null,
                "extends": null,
                "extended_by": [],
                "url": format!("/_jit/v1/requests/{id}"),
            })
        );
    }

    #[test]
    fn only_approvals_of_this_digest_fill_seats() {
        let mut view = pending();
        view.request.reviews[0].digest = jit_core::id::Digest::ZERO;
        assert_eq!(shown(&view)["stages"][0]["filled"], 0);
        let mut view = pending();
        view.request.reviews[0].decision = Decision::Deny;
        assert_eq!(shown(&view)["stages"][0]["filled"], 0);
    }

    #[test]
    fn a_grant_shows_its_window_and_an_end_its_cause() {
        let mut view = active();
        let cause = EndCause::Person {
            principal: principal("carol"),
            person: person("carol"),
        };
        view.request.end = Some(End {
            at: at(9),
            cause,
            reason: "INC-2".to_owned(),
        });
        let shown = shown(&view);
        assert_eq!(shown["not_before"], "2026-03-01T09:05:00Z");
        assert_eq!(shown["not_after"], "2026-03-01T10:05:00Z");
        assert_eq!(shown["grant"]["id"], "grt_00000000000000000000000000000007");
        assert_eq!(shown["grant"]["window"]["not_after"], shown["not_after"]);
        assert_eq!(shown["grant"]["scope"], json!({"methods": ["GET"], "paths": []}));
        assert_eq!(shown["end"]["cause"]["by"], "person");
        assert_eq!(shown["end"]["cause"]["person"], "carol");
    }
}
