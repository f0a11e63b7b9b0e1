//! Proving a second factor, and going on with what it was wanted for.

use askama::Template;
use axum::extract::State;
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::gate::step_up::StepUpError;
use jit_core::id::Timestamp;
use serde::Deserialize;

use super::form::Posted;
use super::words::{self, Moment};
use crate::extract::Params;
use crate::problem::Problem;
use crate::web::Console;
use crate::web::cookies::{CONSOLE_COOKIE, set_cookie};
use crate::web::errands::Factors;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::session::Proof;
use crate::web::visitor::Visitor;

/// Where one goes on when nothing was kept.
const HOME: &str = "/";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct StepUpParams {
    /// The slip of the errand.
    to: String,
}

#[derive(Template)]
#[template(path = "step_up.html")]
struct StepUpPage {
    frame: Frame,
    to: String,
    csrf: String,
    /// How one must be signed in.
    wanted: Option<String>,
    keeps: bool,
    factors: Factors,
    error: Option<String>,
}

/// Prove that it is you.
pub(super) async fn form(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let params: StepUpParams = params.read()?;
    show(&console, &visitor, params.to, None).await
}

pub(super) async fn show(
    console: &Console,
    visitor: &Visitor,
    to: String,
    error: Option<(StatusCode, String)>,
) -> Result<Response, Failure> {
    let errand = console.errand(visitor, &to);
    let wanted = errand.as_ref().and_then(|errand| errand.wanted.as_ref());
    let factors = console.factors(visitor, wanted).await?;
    let (status, error) = error.unzip();
    let shown = page(&StepUpPage {
        frame: visitor.frame("", "Show that it is you"),
        csrf: visitor.session.token("step-up", &to).to_string(),
        wanted: wanted.map(words::sign_in),
        keeps: errand.as_ref().is_some_and(|errand| errand.keeps()),
        to,
        factors,
        error,
    })?;
    Ok((status.unwrap_or(StatusCode::OK), shown).into_response())
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CodeForm {
    csrf: String,
    to: String,
    code: String,
}

/// Takes a code of an authenticator app.
pub(super) async fn code(
    State(console): State<Console>,
    visitor: Visitor,
    Posted(form): Posted<CodeForm>,
) -> Result<Response, Failure> {
    visitor.check(&form.csrf, "step-up", &form.to)?;
    // Apps show it in two groups.
    let typed = form.code.split_whitespace().collect::<String>();
    if typed.len() != 6 || !typed.bytes().all(|b| b.is_ascii_digit()) {
        let odd = "A code has six digits.".to_owned();
        return show(&console, &visitor, form.to, Some((StatusCode::BAD_REQUEST, odd))).await;
    }
    let now = console.0.broker.now();
    let person = &visitor.actor.person.id;
    match console.0.step_ups.verify(person, &typed, now).await {
        Ok(method) => raised(&console, &visitor, vec![method], &form.to),
        Err(error) => {
            let told = told(error, now);
            show(&console, &visitor, form.to, Some(told)).await
        }
    }
}

/// The visitor has proven a second factor: their session is stronger from now on, under another cookie, and they go on.
pub(super) fn raised(
    console: &Console,
    visitor: &Visitor,
    methods: Vec<&'static str>,
    to: &str,
) -> Result<Response, Failure> {
    let errand = console.errand(visitor, to);
    let cookie = raise(console, visitor, methods)?;
    let onwards = errand.map_or_else(|| HOME.to_owned(), |errand| errand.onwards(to));
    let set = Failure::header(&set_cookie(CONSOLE_COOKIE, &cookie))?;
    Ok(([(SET_COOKIE, set)], Redirect::to(&onwards)).into_response())
}

/// Makes the visitor's session stronger; answers its new cookie.
pub(super) fn raise(
    console: &Console,
    visitor: &Visitor,
    methods: Vec<&'static str>,
) -> Result<String, Failure> {
    let now = console.0.broker.now();
    let proof = Proof {
        methods,
        at: now,
        until: console.0.step_ups.life().after(now),
    };
    let raised = console.0.sessions.raise(&visitor.cookie, proof, now)?;
    raised.ok_or_else(Failure::signed_out)
}

/// Why it was not taken, for the person.
pub(super) fn told(error: StepUpError, now: Timestamp) -> (StatusCode, String) {
    let problem = Problem::from(error);
    let said = match (problem.retry_at(), problem.kind()) {
        (Some(at), _) => format!(
            "Too many tries in a row. This one was not looked at; the next one is {}.",
            Moment::new(at, now)
        ),
        (None, crate::problem::Kind::InvalidCode) => {
            "That was not right, or was used before. Wait for the next code, and enter that.".to_owned()
        }
        (None, kind) => format!("{}. {}", kind.title(), problem.detail()),
    };
    (problem.kind().status(), said)
}
