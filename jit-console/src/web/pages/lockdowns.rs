//! Lockdowns: which are in force, declaring one, lifting one.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::approval::lockdown::{Lockdown, Target};
use jit_core::approval::refused::Refused;
use jit_core::id::{LockdownId, Timestamp};
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::form::{Errors, Posted, filled, shown};
use super::words::Moment;
use crate::dto::{LockdownBody, ReasonBody};
use crate::extract::{Id, Params};
use crate::problem::Problem;
use crate::routes::lockdowns::warnings;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DeclareForm {
    csrf: String,
    /// `person`, `role`, `resource` or `all`.
    kind: String,
    name: String,
    reason: String,
}

impl DeclareForm {
    fn read(&self) -> Result<(Target, String), Problem> {
        let name = |kind: &str| filled(&self.name).filter(|_| self.kind == kind);
        let all = self.kind == "all";
        if all && filled(&self.name).is_some() {
            return Err(Problem::invalid("name", "must be empty to lock everything"));
        }
        if !all && filled(&self.name).is_none() {
            return Err(Problem::invalid("name", "must say whom or what to lock"));
        }
        LockdownBody {
            principal: None,
            person: name("person"),
            role: name("role"),
            resource: name("resource"),
            all: all.then_some(true),
            reason: self.reason.clone(),
        }
        .read()
    }
}

#[derive(Template)]
#[template(path = "lockdowns.html")]
struct LockdownsPage {
    frame: Frame,
    locks: Vec<LockRow>,
    /// What the form that declares one carries, for those who may.
    csrf: Option<String>,
    typed: DeclareForm,
    errors: Errors,
    /// Whether there are passkeys that can be lost.
    passkeys: bool,
}

struct LockRow {
    url: String,
    target: String,
    reason: String,
    who: String,
    at: Moment,
    /// What may be a mistake.
    warning: Option<String>,
    lift: Option<String>,
}

impl LockRow {
    fn new(lockdown: &Lockdown, warning: Option<String>, visitor: &Visitor, now: Timestamp) -> Self {
        let id = lockdown.id.to_string();
        let may = visitor.powers.lockdown;
        Self {
            url: format!("/lockdowns/{id}/lift"),
            target: target(&lockdown.target),
            reason: clean(&lockdown.reason),
            who: lockdown.person.to_string(),
            at: Moment::new(lockdown.at, now),
            warning,
            lift: may.then(|| visitor.session.token("lift", &id).to_string()),
        }
    }
}

/// What is locked, in words.
pub(super) fn target(target: &Target) -> String {
    match target {
        Target::Principal(principal) => format!("the identity {}", clean(&principal.to_string())),
        Target::Person(person) => format!("{person}, under every identity"),
        Target::Role(role) => format!("everyone with the role {role}"),
        Target::Resource(resource) => format!("the resource {resource}"),
        Target::All => "everything and everyone".to_owned(),
    }
}

/// Which are in force.
pub(super) async fn lockdowns(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    if visitor.powers.lockdown || visitor.powers.auditor || visitor.powers.revoker {
        let NoParams {} = params.read()?;
    }
    show(&console, &visitor, DeclareForm::default(), None).await
}

async fn show(
    console: &Console,
    visitor: &Visitor,
    typed: DeclareForm,
    problem: Option<&Problem>,
) -> Result<Response, Failure> {
    let broker = &console.0.broker;
    let locks = broker.lockdowns(&visitor.actor).await?;
    let now = broker.now();
    let rows = locks.iter().zip(warnings(broker, &locks).await);
    let rows = rows.map(|(lock, warning)| LockRow::new(lock, warning, visitor, now));
    let may = visitor.powers.lockdown;
    let shown = page(&LockdownsPage {
        frame: visitor.frame("grants", "Lockdowns"),
        locks: rows.collect(),
        csrf: may.then(|| visitor.session.token("lock-down", "").to_string()),
        typed,
        errors: problem.map_or_else(Errors::default, |problem| {
            Errors::new(problem, &["name", "reason"])
        }),
        passkeys: console.has_security_page(),
    })?;
    let status = problem.map_or(StatusCode::OK, |problem| problem.kind().status());
    Ok((status, shown).into_response())
}

fn may_lock_down(visitor: &Visitor) -> Result<(), Problem> {
    if visitor.powers.lockdown {
        Ok(())
    } else {
        Err(Refused::NotEligible.into())
    }
}

/// Declares one.
pub(super) async fn declare(
    State(console): State<Console>,
    visitor: Visitor,
    form: Result<Posted<DeclareForm>, Failure>,
) -> Result<Response, Failure> {
    may_lock_down(&visitor)?;
    let Posted(form) = form?;
    visitor.check(&form.csrf, "lock-down", "")?;
    let done = async {
        let (target, reason) = form.read()?;
        let done = console.0.broker.lock_down(&visitor.actor, target, &reason).await;
        done.map_err(Problem::from)
    };
    match done.await {
        Ok(_) => Ok(Redirect::to("/lockdowns").into_response()),
        Err(problem) => {
            let typed = DeclareForm {
                name: shown(&form.name),
                reason: shown(&form.reason),
                ..form
            };
            show(&console, &visitor, typed, Some(&problem)).await
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LiftForm {
    csrf: String,
    reason: String,
}

/// Lifts one. What it ended stays ended.
pub(super) async fn lift(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<LockdownId>, Problem>,
    form: Result<Posted<LiftForm>, Failure>,
) -> Result<Response, Failure> {
    may_lock_down(&visitor)?;
    let Id(id) = id?;
    let Posted(form) = form?;
    visitor.check(&form.csrf, "lift", &id.to_string())?;
    let reason = form.reason;
    let reason = ReasonBody { reason }.reason()?;
    console.0.broker.lift(&visitor.actor, id, &reason).await?;
    Ok(Redirect::to("/lockdowns").into_response())
}
