//! One's own passkeys: the list, adding one and removing it.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::broker::passkeys::NAME_MAX;
use jit_core::gate::step_up::{FactorError, StepUpError};
use jit_core::id::Timestamp;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::ceremony::PasskeyPage;
use super::form::{Posted, shown};
use super::step_up;
use super::words::Moment;
use crate::problem::{Kind, Problem};
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::handoff::Return;
use crate::web::passkeys::{Passkeys, Shown};
use crate::web::visitor::Visitor;

/// The page of one's own passkeys.
pub(super) const SECURITY: &str = "/security";

#[derive(Template)]
#[template(path = "security.html")]
struct SecurityPage {
    frame: Frame,
    rows: Vec<PasskeyRow>,
    codes: bool,
    /// How one must show that it is oneself, before anything is changed here.
    first: Option<&'static str>,
    /// Whether that is by signing in again.
    anew: bool,
    enrol: String,
    name: String,
    error: Option<String>,
}

struct PasskeyRow {
    id: String,
    name: String,
    added: Moment,
    used: Option<Moment>,
    remove: String,
}

pub(super) fn passkeys(console: &Console) -> Result<&Passkeys, Failure> {
    console
        .0
        .passkeys
        .as_ref()
        .ok_or_else(|| Problem::not_found().into())
}

/// One's own passkeys.
pub(super) async fn security(State(console): State<Console>, visitor: Visitor) -> Result<Response, Failure> {
    show(&console, &visitor, String::new(), None).await
}

pub(super) async fn show(
    console: &Console,
    visitor: &Visitor,
    name: String,
    error: Option<(StatusCode, String)>,
) -> Result<Response, Failure> {
    let passkeys = passkeys(console)?;
    let now = console.0.broker.now();
    let person = &visitor.actor.person.id;
    let codes = console.has_app(person).await?;
    let shown = console.has_shown(visitor, passkeys).await?;
    let first = match shown {
        Shown::Recently => None,
        Shown::StepUpFirst => Some("You are asked for your second factor before anything is changed here."),
        Shown::SignInFirst => {
            Some("You signed in more than 5 minutes ago. Do so again before you add your first passkey.")
        }
    };
    let (status, error) = error.unzip();
    let rows = passkeys.of(person).await?;
    let rows = rows.into_iter().map(|passkey| PasskeyRow {
        name: clean(&passkey.name),
        added: Moment::new(passkey.added_at, now),
        used: passkey.used_at.map(|at| Moment::new(at, now)),
        remove: visitor.session.token("remove-passkey", &passkey.id).to_string(),
        id: passkey.id,
    });
    let page = page(&SecurityPage {
        frame: visitor.frame("security", "Security"),
        rows: rows.collect(),
        codes,
        first,
        anew: shown == Shown::SignInFirst,
        enrol: visitor.session.token("enrol-passkey", "").to_string(),
        name,
        error,
    })?;
    Ok((status.unwrap_or(StatusCode::OK), page).into_response())
}

/// Has somebody sign in again who is signed in, and brings them back: a provider asks them then, even if it remembers them.
pub(super) async fn anew(State(console): State<Console>, _: Visitor) -> Result<Response, Failure> {
    let way = Return::Console(SECURITY.to_owned());
    let slip = console.0.returns.keep(way, console.0.broker.now())?;
    let start = match console.0.settings.provider_name() {
        Some(_) => "/login/start?anew=true&to=",
        None => "/login?to=",
    };
    Ok(Redirect::to(&format!("{start}{slip}")).into_response())
}

/// Lets only those go on who have shown recently that it is them; leads the others to that.
async fn first(console: &Console, visitor: &Visitor, name: &str) -> Result<Option<Response>, Failure> {
    Ok(match console.has_shown(visitor, passkeys(console)?).await? {
        Shown::Recently => None,
        Shown::StepUpFirst => {
            let step_up = console.step_up(visitor, SECURITY.to_owned(), None, None)?;
            Some(Redirect::to(&step_up).into_response())
        }
        Shown::SignInFirst => {
            let old = "Sign in again first: a first passkey is added within 5 minutes of that.";
            let error = (StatusCode::FORBIDDEN, old.to_owned());
            Some(show(console, visitor, shown(name), Some(error)).await?)
        }
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct EnrolForm {
    csrf: String,
    name: String,
}

/// Asks an authenticator for a passkey.
pub(super) async fn enrol(
    State(console): State<Console>,
    visitor: Visitor,
    Posted(form): Posted<EnrolForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf, "enrol-passkey", "")?;
    if let Some(other) = first(&console, &visitor, &form.name).await? {
        return Ok(other);
    }
    let name = match clean(form.name.trim()) {
        name if name.is_empty() => "Passkey".to_owned(),
        name => name,
    };
    if name.chars().count() > NAME_MAX {
        let long = (
            StatusCode::BAD_REQUEST,
            format!("A name has at most {NAME_MAX} characters."),
        );
        return show(&console, &visitor, shown(&form.name), Some(long)).await;
    }
    let begun = passkeys(&console)?
        .enrol(&visitor, name, console.0.broker.now())
        .await?;
    page(&PasskeyPage {
        frame: visitor.frame("security", "Add a passkey"),
        lead: "Your device or your security key makes it, and asks for your finger, your face or your PIN.",
        signs: Vec::new(),
        kind: "create",
        at_once: true,
        button: "Add the passkey",
        back: SECURITY.to_owned(),
        csrf: visitor.session.token("passkey", &begun.ceremony).to_string(),
        begun,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RemoveForm {
    csrf: String,
    id: String,
}

/// Removes a passkey.
pub(super) async fn remove(
    State(console): State<Console>,
    visitor: Visitor,
    Posted(form): Posted<RemoveForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf, "remove-passkey", &form.id)?;
    if let Some(other) = first(&console, &visitor, "").await? {
        return Ok(other);
    }
    let now = console.0.broker.now();
    match passkeys(&console)?.remove(&visitor.actor, &form.id, now).await {
        Ok(()) => Ok(Redirect::to(SECURITY).into_response()),
        Err(error) => {
            let told = said(error, now);
            show(&console, &visitor, String::new(), Some(told)).await
        }
    }
}

/// Why a passkey was not added or removed, for the person.
pub(super) fn said(error: FactorError, now: Timestamp) -> (StatusCode, String) {
    match error {
        FactorError::Unavailable { source } => step_up::told(StepUpError::Unavailable { source }, now),
        _ => (
            Kind::InvalidCode.status(),
            "This passkey was not accepted. Try it again.".to_owned(),
        ),
    }
}
