//! Passkeys: the list of one's own, and the pages on which an authenticator is asked.

use askama::Template;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::approval::refused::Refused;
use jit_core::broker::View;
use jit_core::broker::passkeys::NAME_MAX;
use jit_core::gate::step_up::{FactorError, StepUpError};
use jit_core::id::Timestamp;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::acts::ReviewForm;
use super::form::{Posted, shown};
use super::one::{self, Typed};
use super::step_up;
use super::words::{self, Moment};
use super::{acts, parts};
use crate::problem::{Kind, Problem};
use crate::web::Console;
use crate::web::errands::TYPED_MAX;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::handoff::Return;
use crate::web::passkeys::{Begun, METHODS, Passkeys, Purpose, Shown, Signing};
use crate::web::session::{CONSOLE_COOKIE, Place, set_cookie};
use crate::web::visitor::Visitor;

/// The page of one's own passkeys.
const SECURITY: &str = "/security";

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

#[derive(Template)]
#[template(path = "passkey.html")]
struct PasskeyPage {
    frame: Frame,
    lead: &'static str,
    /// What is signed, line by line.
    signs: Vec<(&'static str, String)>,
    /// Which of the browser's functions makes it: `create` or `get`.
    kind: &'static str,
    /// Asks at once.
    at_once: bool,
    button: &'static str,
    back: String,
    csrf: String,
    begun: Begun,
}

pub(super) fn passkeys(console: &Console) -> Result<&Passkeys, Failure> {
    console
        .0
        .passkeys
        .as_ref()
        .ok_or_else(|| Problem::not_found().into())
}

pub(super) async fn script() -> impl IntoResponse {
    (super::SCRIPT, include_str!("../../../assets/passkey.js"))
}

/// One's own passkeys.
pub(super) async fn security(State(console): State<Console>, visitor: Visitor) -> Result<Response, Failure> {
    show(&console, &visitor, String::new(), None).await
}

async fn show(
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StepUpForm {
    csrf: String,
    to: String,
}

/// Asks an authenticator for a second factor.
pub(super) async fn step_up(
    State(console): State<Console>,
    visitor: Visitor,
    Posted(form): Posted<StepUpForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf, "step-up", &form.to)?;
    let now = console.0.broker.now();
    // What is kept with a ceremony is a slip's name, or nothing.
    let known = console.errand(&visitor, &form.to).is_some();
    let to = if known { form.to } else { String::new() };
    let back = format!("/step-up?to={to}");
    let begun = passkeys(&console)?.step_up(&visitor, to, now).await?;
    let Some(begun) = begun else {
        return Err(Problem::from(StepUpError::NotEnrolled).into());
    };
    page(&PasskeyPage {
        frame: visitor.frame("", "Use your passkey"),
        lead: "Your device or your security key asks for your finger, your face or your PIN.",
        signs: Vec::new(),
        kind: "get",
        at_once: true,
        button: "Use the passkey",
        back,
        csrf: visitor.session.token("passkey", &begun.ceremony).to_string(),
        begun,
    })
}

/// Asks an authenticator to sign what the visitor decides. The page says what that is, and waits.
pub(super) async fn sign(
    console: &Console,
    visitor: &Visitor,
    view: &View,
    form: ReviewForm,
) -> Result<Response, Failure> {
    let request = &view.request;
    let read = || {
        if form.len() > TYPED_MAX {
            return Err(Problem::invalid(
                "comment",
                "and all else may be at most 8 KiB together",
            ));
        }
        let opinion = form.read()?;
        if opinion.digest != request.digest {
            return Err(Refused::StaleDigest {
                current: request.digest,
            }
            .into());
        }
        jit_core::broker::Broker::canonical(opinion).map_err(Problem::from)
    };
    let opinion = match read() {
        Ok(opinion) => opinion,
        Err(problem) => return acts::failed(console, visitor, &form, request.id, &problem).await,
    };
    let (ruling, requester) = (&request.ruling, &request.requester);
    let (resource, scope) = (&ruling.resource, &ruling.scope);
    let who = format!(
        "{} ({}, {})",
        clean(&requester.name),
        requester.person,
        clean(&requester.principal.to_string())
    );
    let opens = format!(
        "{} and what is below, at {}, by {}",
        words::paths(resource, scope).join(", "),
        words::list(&resource.hosts),
        words::methods(resource, scope)
    );
    let mut signs = vec![
        ("You approve", format!("{} for {who}", resource.name)),
        ("What opens", opens),
        ("How long", words::length(ruling.duration)),
        ("Why", clean(&ruling.reason)),
    ];
    let less = parts::less(&opinion.narrowing);
    let comment = clean(&opinion.comment);
    let optional = [("Less than asked", less), ("Your comment", comment)];
    signs.extend(optional.into_iter().filter(|(_, text)| !text.is_empty()));
    signs.push(("Digest", request.digest.to_string()));
    let now = console.0.broker.now();
    let begun = passkeys(console)?
        .sign(visitor, request.id, opinion, form, now)
        .await?;
    let Some(begun) = begun else {
        return Err(Problem::from(StepUpError::NotEnrolled).into());
    };
    page(&PasskeyPage {
        frame: visitor.frame("approvals", "Sign your approval"),
        lead: "Your passkey signs this, and the signature is kept in the log. Nothing was decided yet.",
        signs,
        kind: "get",
        at_once: false,
        button: "Sign and approve",
        back: format!("/requests/{}", request.id),
        csrf: visitor.session.token("passkey", &begun.ceremony).to_string(),
        begun,
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AnswerForm {
    csrf: String,
    ceremony: String,
    /// What the authenticator says, as JSON.
    answer: String,
}

/// Takes an authenticator's answer.
pub(super) async fn answer(
    State(console): State<Console>,
    visitor: Visitor,
    Posted(form): Posted<AnswerForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf, "passkey", &form.ceremony)?;
    let passkeys = passkeys(&console)?;
    let now = console.0.broker.now();
    let Some(ceremony) = passkeys.ends(&visitor, &form.ceremony, now) else {
        return Err(Failure::new(
            StatusCode::FORBIDDEN,
            "This took too long, or was answered before",
            "Nothing was changed. Go back, load the page again, and start anew.",
        ));
    };
    let (person, answer) = (&visitor.actor.person.id, form.answer.as_str());
    let step_ups = &console.0.step_ups;
    match &ceremony.purpose {
        // Asked again: what there is by now may be somebody else's, who found this session.
        Purpose::Enrol { .. } if !matches!(console.has_shown(&visitor, passkeys).await?, Shown::Recently) => {
            Ok(Redirect::to(SECURITY).into_response())
        }
        Purpose::Enrol { name, state } => {
            match passkeys.enrolled(&visitor.actor, name, state, answer, now).await {
                Ok(()) => Ok(Redirect::to(SECURITY).into_response()),
                Err(error) => show(&console, &visitor, shown(name), Some(said(error, now))).await,
            }
        }
        Purpose::StepUp { to, state } => {
            let proof = passkeys.proven(person, state, answer, now);
            match step_ups.paced(person, now, proof).await {
                Ok(()) => step_up::raised(&console, &visitor, METHODS.to_vec(), to),
                Err(error) => {
                    let told = refused(error, now);
                    step_up::show(&console, &visitor, to.clone(), Some(told)).await
                }
            }
        }
        Purpose::Sign(signing) => {
            let signed = passkeys.signed(person, signing, answer, now);
            match step_ups.paced(person, now, signed).await {
                Ok(evidence) => decide(&console, visitor, signing, &evidence, now).await,
                Err(error) => {
                    let view = console.0.broker.view(&visitor.actor, signing.request).await?;
                    let (status, told) = refused(error, now);
                    let typed = Typed {
                        notice: Some(format!("{told} Nothing was decided.")),
                        status,
                        ..signing.form.typed()
                    };
                    one::show(&console, &visitor, &view, None, typed).await
                }
            }
        }
    }
}

/// Decides what was signed. That was a second factor as well: the session is stronger from now on.
async fn decide(
    console: &Console,
    mut visitor: Visitor,
    signing: &Signing,
    evidence: &jit_core::approval::evidence::Evidence,
    now: Timestamp,
) -> Result<Response, Failure> {
    let cookie = step_up::raise(console, &visitor, METHODS.to_vec())?;
    let session = console.0.sessions.find(&cookie, Place::Console, now);
    visitor.session = session.ok_or_else(Failure::signed_out)?;
    visitor.actor.assurance = visitor.session.subject.assurance.clone();
    visitor.cookie.clone_from(&cookie);
    let id = signing.request;
    let opinion = signing.opinion.clone();
    let reviewed = console
        .0
        .broker
        .review_signed(&visitor.actor, id, opinion, evidence)
        .await;
    let shown = match reviewed.map_err(Problem::from) {
        Ok(_) => Redirect::to(&format!("/approvals?done={id}")).into_response(),
        Err(problem) => {
            let failed = acts::failed(console, &visitor, &signing.form, id, &problem).await;
            failed.unwrap_or_else(IntoResponse::into_response)
        }
    };
    let set = Failure::header(&set_cookie(CONSOLE_COOKIE, &cookie))?;
    Ok(([(SET_COOKIE, set)], shown).into_response())
}

/// Why a passkey proved nothing, for the person.
fn refused(error: StepUpError, now: Timestamp) -> (StatusCode, String) {
    match step_up::told(error, now) {
        (StatusCode::FORBIDDEN, _) => (
            StatusCode::FORBIDDEN,
            "Your passkey was not accepted. Try it again.".to_owned(),
        ),
        other => other,
    }
}

/// Why a passkey was not added or removed, for the person.
fn said(error: FactorError, now: Timestamp) -> (StatusCode, String) {
    match error {
        FactorError::Unavailable { source } => step_up::told(StepUpError::Unavailable { source }, now),
        _ => (
            Kind::InvalidCode.status(),
            "This passkey was not accepted. Try it again.".to_owned(),
        ),
    }
}
