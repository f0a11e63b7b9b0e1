//! Shutting everything that a lockdown matches, and lifting it again.

use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use jit_core::approval::lockdown::{Lockdown, Target};
use jit_core::approval::refused::Refused;
use jit_core::broker::Broker;
use jit_core::id::LockdownId;
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::grants::NoParams;
use crate::dto::{LockdownBody, ReasonBody};
use crate::extract::{Caller, Id, Params, Sent};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{Page, PrincipalView, Time, text};

/// A lockdown in force. Exactly one of `principal`, `person`, `role`, `resource` and `all` is there.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Lockdown)]
pub(crate) struct LockdownView {
    id: String,
    #[serde(flatten)]
    target: TargetView,
    reason: String,
    /// Who declared it.
    declared_by: DeclarerView,
    at: Time,
    /// What about it may be a mistake.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
}

/// Who declared a lockdown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Declarer)]
pub(crate) struct DeclarerView {
    person: String,
    principal: PrincipalView,
}

/// What a lockdown matches.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Target)]
pub(crate) enum TargetView {
    /// One identity.
    Principal(PrincipalView),
    /// One person, under every identity.
    Person(String),
    /// Everyone with this role.
    Role(String),
    /// One resource.
    Resource(String),
    /// `true`: everything and everyone.
    All(bool),
}

impl LockdownView {
    fn new(lockdown: &Lockdown, warning: Option<String>) -> Self {
        Self {
            id: text(lockdown.id),
            target: match &lockdown.target {
                Target::Principal(principal) => TargetView::Principal(principal.into()),
                Target::Person(person) => TargetView::Person(text(person)),
                Target::Role(role) => TargetView::Role(text(role)),
                Target::Resource(resource) => TargetView::Resource(text(resource)),
                Target::All => TargetView::All(true),
            },
            reason: text(&lockdown.reason),
            declared_by: DeclarerView {
                person: text(&lockdown.person),
                principal: (&lockdown.principal).into(),
            },
            at: Time(lockdown.at),
            warning,
        }
    }
}

/// The broker decides again; this only keeps the caller's input out of it until the caller may lock down at all.
fn may_lock_down(shared: &Shared, caller: &Caller) -> Result<(), Problem> {
    if shared.broker.powers(&caller.actor).lockdown {
        Ok(())
    } else {
        Err(Refused::NotEligible.into())
    }
}

/// List the lockdowns in force.
#[utoipa::path(
    get, path = "/v1/lockdowns", tag = "lockdowns", operation_id = "list_lockdowns",
    responses((status = 200, description = "All of them, on one page.", body = Page<LockdownView>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<LockdownView>>, Problem> {
    let lockdowns = shared.broker.lockdowns(&caller.actor).await?;
    let NoParams {} = params.read()?;
    let warnings = warnings(&shared.broker, &lockdowns).await;
    let items = lockdowns.iter().zip(warnings);
    Ok(Json(Page {
        items: items
            .map(|(lockdown, warning)| LockdownView::new(lockdown, warning))
            .collect(),
        next: None,
    }))
}

/// Declare a lockdown: it ends every grant that it matches, and nothing that it matches is granted until it is lifted.
#[utoipa::path(
    post, path = "/v1/lockdowns", tag = "lockdowns", operation_id = "declare_lockdown", request_body = LockdownBody,
    responses((status = 201, description = "In force.", body = LockdownView)))]
pub(crate) async fn declare(
    State(shared): State<Shared>,
    caller: Caller,
    sent: Sent,
) -> Result<(StatusCode, Json<LockdownView>), Problem> {
    may_lock_down(&shared, &caller)?;
    let (target, reason) = sent.json::<LockdownBody>().await?.read()?;
    let lockdown = shared.broker.lock_down(&caller.actor, target, &reason).await?;
    let warning = warnings(&shared.broker, std::slice::from_ref(&lockdown))
        .await
        .pop();
    let view = LockdownView::new(&lockdown, warning.flatten());
    Ok((StatusCode::CREATED, Json(view)))
}

/// How long a directory may take to doubt lockdowns. They are in force, whatever it says; who declared one in an emergency does not wait.
const DOUBT_TIMEOUT: Duration = Duration::from_secs(1);

/// What is said of each lockdown that locks out nobody and shuts nothing, as far as it is known: it may be a slip of whoever typed it.
pub(crate) async fn warnings(broker: &Broker, lockdowns: &[Lockdown]) -> Vec<Option<String>> {
    let mut warnings = Vec::with_capacity(lockdowns.len());
    let asking = async {
        for lockdown in lockdowns {
            // A directory that can't say now leaves everybody without a doubt.
            let is_unknown = broker.is_unknown(&lockdown.target).await.unwrap_or(false);
            warnings.push(is_unknown.then(|| unknown(&lockdown.target)).flatten());
        }
    };
    let _ = timeout(DOUBT_TIMEOUT, asking).await;
    warnings.resize(lockdowns.len(), None);
    warnings
}

fn unknown(target: &Target) -> Option<String> {
    match target {
        Target::All | Target::Principal(_) => None,
        Target::Resource(name) => Some(format!(
            "the policy names no resource `{name}`, so this shuts nothing that it guards"
        )),
        Target::Person(id) => Some(format!(
            "nobody has the id `{id}`, so this locks out nobody who is known"
        )),
        Target::Role(role) => Some(format!(
            "nobody has the role `{role}`, so this locks out nobody who is known"
        )),
    }
}

/// Lift a lockdown. What it ended stays ended.
#[utoipa::path(
    post, path = "/v1/lockdowns/{id}/lift", tag = "lockdowns", operation_id = "lift_lockdown", request_body = ReasonBody,
    params(("id" = String, Path, description = "The lockdown's id.")),
    responses((status = 204, description = "Lifted.")))]
pub(crate) async fn lift(
    State(shared): State<Shared>,
    caller: Caller,
    id: Result<Id<LockdownId>, Problem>,
    sent: Sent,
) -> Result<StatusCode, Problem> {
    may_lock_down(&shared, &caller)?;
    let Id(id) = id?;
    let reason = sent.json::<ReasonBody>().await?.reason()?;
    shared.broker.lift(&caller.actor, id, &reason).await?;
    Ok(StatusCode::NO_CONTENT)
}
