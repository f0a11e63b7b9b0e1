//! The pages on which an authenticator is asked, and what comes of its answer.

use askama::Template;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::approval::refused::Refused;
use jit_core::broker::View;
use jit_core::gate::step_up::StepUpError;
use jit_core::id::Timestamp;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::acts::ReviewForm;
use super::form::{Posted, shown};
use super::one::{self, Typed};
use super::passkeys::{SECURITY, passkeys, said, show};
use super::words;
use super::{acts, parts, step_up};
use crate::problem::Problem;
use crate::web::Console;
use crate::web::cookies::{CONSOLE_COOKIE, set_cookie};
use crate::web::errands::TYPED_MAX;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::passkeys::{Begun, METHODS, Purpose, Shown, Signing};
use crate::web::session::Place;
use crate::web::visitor::Visitor;

#[derive(Template)]
#[template(path = "passkey.html")]
pub(super) struct PasskeyPage {
    pub(super) frame: Frame,
    pub(super) lead: &'static str,
    /// What is signed, line by line.
    pub(super) signs: Vec<(&'static str, String)>,
    /// Which of the browser's functions makes it: `create` or `get`.
    pub(super) kind: &'static str,
    /// Asks at once.
    pub(super) at_once: bool,
    pub(super) button: &'static str,
    pub(super) back: String,
    pub(super) csrf: String,
    pub(super) begun: Begun,
}

pub(super) async fn script() -> impl IntoResponse {
    (super::SCRIPT, include_str!("../../../assets/passkey.js"))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StepUpForm {
    csrf: String,
    to: String,
}

/// Asks an authenticator for a second factor.
pub(super) async fn prove(
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
            let lives = || console.0.sessions.has_not_ended(&visitor.session);
            let enrolled = passkeys.enrolled(&visitor.actor, lives, name, state, answer, now);
            match enrolled.await {
                Ok(()) => Ok(Redirect::to(SECURITY).into_response()),
                Err(_) if !lives() => {
                    tracing::warn!(%person, "a session was ended while a passkey was enrolled by it");
                    Err(Failure::signed_out())
                }
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
