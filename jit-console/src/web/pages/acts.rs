//! What is done to one request: decided on, taken back, given back, taken away, looked into.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{MethodRouter, post};
use jit_core::approval::ask::Actor;
use jit_core::approval::event::Finding;
use jit_core::approval::request::Request;
use jit_core::approval::review::Opinion;
use jit_core::broker::{Broker, View};
use jit_core::id::RequestId;
use serde::Deserialize;

use super::form::{Posted, filled, lines, several, shown};
use super::one::{self, Typed};
use crate::dto::{AfterReviewBody, Count, DecisionName, FindingName, NoteBody, ReasonBody, ReviewBody};
use crate::extract::Id;
use crate::problem::{Kind, Problem};
use crate::web::Console;
use crate::web::errands;
use crate::web::failure::Failure;
use crate::web::visitor::Visitor;

/// The thing that a form is about, which the visitor must be able to see before anything is said about the form.
async fn seen(
    console: &Console,
    visitor: &Visitor,
    id: Result<Id<RequestId>, Problem>,
) -> Result<View, Failure> {
    let Id(id) = id?;
    Ok(console.0.broker.view(&visitor.actor, id).await?)
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::web) struct ReviewForm {
    csrf: String,
    digest: String,
    decision: String,
    comment: String,
    duration: String,
    methods: String,
    paths: String,
    max_requests: String,
}

impl ReviewForm {
    pub(super) fn read(&self) -> Result<Opinion, Problem> {
        let count = filled(&self.max_requests);
        ReviewBody {
            decision: match self.decision.as_str() {
                "approve" => DecisionName::Approve,
                #[cfg(feature = "passkeys")]
                "sign" => DecisionName::Approve,
                "deny" => DecisionName::Deny,
                _ => return Err(Problem::invalid("decision", "must be `approve` or `deny`")),
            },
            digest: self.digest.clone(),
            comment: Some(self.comment.clone()),
            duration: filled(&self.duration),
            methods: several(&self.methods),
            paths: lines(&self.paths),
            max_requests: count
                .map(|count| Count::typed("max_requests", &count))
                .transpose()?,
        }
        .try_into()
    }

    /// How much was typed, in bytes.
    pub(in crate::web) fn len(&self) -> usize {
        let all = [
            &self.digest,
            &self.decision,
            &self.comment,
            &self.duration,
            &self.methods,
            &self.paths,
            &self.max_requests,
        ];
        all.iter().map(|text| text.len()).sum()
    }

    /// Whether it was made for the request as it is now.
    pub(super) fn is_of(&self, request: &Request) -> bool {
        self.digest == request.digest.to_string()
    }

    /// What was typed, for the page as it is now.
    pub(super) fn typed(&self) -> Typed {
        Typed {
            comment: shown(&self.comment),
            duration: shown(&self.duration),
            methods: shown(&self.methods),
            paths: shown(&self.paths),
            max_requests: shown(&self.max_requests),
            ..Typed::default()
        }
    }
}

/// Approves or denies what the form showed.
pub(super) async fn review(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<RequestId>, Problem>,
    form: Result<Posted<ReviewForm>, Failure>,
) -> Result<Response, Failure> {
    let view = seen(&console, &visitor, id).await?;
    let Posted(form) = form?;
    visitor.check(&form.csrf, "review", &form.digest)?;
    #[cfg(feature = "passkeys")]
    if form.decision == "sign" {
        return super::ceremony::sign(&console, &visitor, &view, form).await;
    }
    let id = view.request.id;
    let broker = &console.0.broker;
    let reviewed = async {
        let opinion = form.read()?;
        broker
            .review(&visitor.actor, id, opinion)
            .await
            .map_err(Problem::from)
    };
    match reviewed.await {
        Ok(_) => Ok(Redirect::to(&format!("/approvals?done={id}")).into_response()),
        Err(problem) => failed(&console, &visitor, &form, id, &problem).await,
    }
}

/// What is shown when nothing was decided: the page with what was wrong, or where a second factor is proven.
pub(super) async fn failed(
    console: &Console,
    visitor: &Visitor,
    form: &ReviewForm,
    id: RequestId,
    problem: &Problem,
) -> Result<Response, Failure> {
    const FIELDS: [&str; 5] = ["comment", "duration", "methods", "paths", "max_requests"];
    // As it stands by now: it may have changed since the form was made.
    let view = console.0.broker.view(&visitor.actor, id).await?;
    if form.is_of(&view.request)
        && let Some(wanted) = console.mend(visitor, problem).await
    {
        let typed = errands::Typed::Review(form.clone());
        let step_up = console.step_up(visitor, format!("/requests/{id}"), Some(wanted), Some(typed))?;
        return Ok(Redirect::to(&step_up).into_response());
    }
    let mut typed = form.typed().failed(problem, &FIELDS);
    // Whatever else is wrong: the form below is for what is shown now, and what was typed was not.
    if problem.kind() == Kind::StaleDigest || !form.is_of(&view.request) {
        typed = typed.stale();
    }
    one::show(console, visitor, &view, None, typed).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ActForm {
    csrf: String,
    reason: String,
}

/// Ends one request or grant.
#[derive(Debug, Clone, Copy)]
pub(super) enum Act {
    /// Takes back one's own request.
    Withdraw,
    /// Gives back one's own grant.
    Release,
    /// Takes away someone's grant.
    Revoke,
}

impl Act {
    /// What its form is bound to, besides the request.
    const fn name(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Release => "release",
            Self::Revoke => "revoke",
        }
    }

    async fn done(self, broker: &Broker, by: &Actor, id: RequestId, reason: String) -> Result<View, Problem> {
        let done = match self {
            Self::Withdraw => broker.withdraw(by, id, &note(reason)?).await,
            Self::Release => broker.release(by, id, &note(reason)?).await,
            Self::Revoke => broker.revoke(by, id, &ReasonBody { reason }.reason()?).await,
        };
        done.map_err(Problem::from)
    }
}

fn note(reason: String) -> Result<String, Problem> {
    NoteBody { reason: Some(reason) }.reason()
}

/// The form that does it.
pub(super) fn ending(act: Act) -> MethodRouter<Console> {
    let end = async move |State(console): State<Console>,
                          visitor: Visitor,
                          id: Result<Id<RequestId>, Problem>,
                          form: Result<Posted<ActForm>, Failure>|
                -> Result<Response, Failure> {
        let id = seen(&console, &visitor, id).await?.request.id;
        let Posted(form) = form?;
        visitor.check(&form.csrf, act.name(), &id.to_string())?;
        let typed = Typed {
            reason: shown(&form.reason),
            ..Typed::default()
        };
        let done = act.done(&console.0.broker, &visitor.actor, id, form.reason).await;
        onwards(&console, &visitor, id, done, typed, "reason").await
    };
    post(end)
}

/// Back to the request, or the page with what was wrong with `field`.
async fn onwards(
    console: &Console,
    visitor: &Visitor,
    id: RequestId,
    done: Result<View, Problem>,
    typed: Typed,
    field: &str,
) -> Result<Response, Failure> {
    let Err(problem) = done else {
        return Ok(Redirect::to(&format!("/requests/{id}")).into_response());
    };
    let view = console.0.broker.view(&visitor.actor, id).await?;
    one::show(console, visitor, &view, None, typed.failed(&problem, &[field])).await
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AfterForm {
    csrf: String,
    finding: String,
    comment: String,
}

impl AfterForm {
    fn read(&self) -> Result<(Finding, String), Problem> {
        AfterReviewBody {
            finding: match self.finding.as_str() {
                "justified" => FindingName::Justified,
                "unjustified" => FindingName::Unjustified,
                _ => {
                    return Err(Problem::invalid(
                        "finding",
                        "must be `justified` or `unjustified`",
                    ));
                }
            },
            comment: Some(self.comment.clone()),
        }
        .read()
    }
}

/// Says what came of looking into a break-glass.
pub(super) async fn after_review(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<RequestId>, Problem>,
    form: Result<Posted<AfterForm>, Failure>,
) -> Result<Response, Failure> {
    let id = seen(&console, &visitor, id).await?.request.id;
    let Posted(form) = form?;
    visitor.check(&form.csrf, "after-review", &id.to_string())?;
    let broker = &console.0.broker;
    let done = async {
        let (finding, comment) = form.read()?;
        let done = broker.after_review(&visitor.actor, id, finding, &comment).await;
        done.map_err(Problem::from)
    };
    let done = done.await;
    let typed = Typed {
        comment: shown(&form.comment),
        ..Typed::default()
    };
    onwards(&console, &visitor, id, done, typed, "comment").await
}
