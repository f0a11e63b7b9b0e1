//! Coming in and going out: signing in, signing out, and the way to and from guarded pages.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::{ORIGIN, SET_COOKIE};
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode};
use jit_core::approval::ask::Assurance;
use jit_core::gate::authenticate::Subject;
use serde::Deserialize;

use super::form::Posted;
use crate::extract::Params;
use crate::web::Console;
use crate::web::cookies::{CONSOLE_COOKIE, cookie, set_cookie};
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::handoff::{Guarded, Return, Why};
use crate::web::session::Place;
use crate::web::visitor::Visitor;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LoginParams {
    to: Option<String>,
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'c> {
    frame: Frame,
    people: &'c [crate::web::DemoPerson],
    provider: Option<&'c str>,
    to: String,
}

/// Who are you?
pub(super) async fn login(State(console): State<Console>, params: Params) -> Result<Response, Failure> {
    let params: LoginParams = params.read()?;
    let (settings, to) = (&console.0.settings, params.to.unwrap_or_default());
    let (people, provider) = (&*settings.demo_people, settings.provider_name());
    // Whoever was on the way to somewhere has one place to sign in at: nothing is left to choose.
    if provider.is_some()
        && people.is_empty()
        && console.0.returns.read(&to, console.0.broker.now()).is_some()
    {
        return Ok(Redirect::to(&format!("/login/start?to={to}")).into_response());
    }
    page(&LoginPage {
        frame: Frame::bare("Sign in"),
        people,
        provider,
        to,
    })
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignInForm {
    /// Which of the demo people, counted from 0.
    person: usize,
    #[serde(default)]
    to: String,
}

/// Signs a demo person in.
pub(super) async fn sign_in(
    State(console): State<Console>,
    headers: HeaderMap,
    form: Result<Posted<SignInForm>, Failure>,
) -> Result<Response, Failure> {
    let person = form
        .ok()
        .and_then(|Posted(form)| Some((console.0.settings.demo_people.get(form.person)?, form.to)));
    let Some((person, to)) = person else {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "There is no such person here",
            "Go back, and choose one of the list.",
        ));
    };
    let now = console.0.broker.now();
    let subject = Subject {
        principal: person.principal.clone(),
        assurance: Assurance {
            authenticated_at: Some(now),
            ..Assurance::default()
        },
        claims: BTreeMap::new(),
        expires_at: None,
    };
    signed_in(&console, &headers, subject, &to, None)
}

/// Begins the session of somebody who has just been proven, and lets them go on to where they were on the way: the slip `to`, or what their
/// browser has brought back of it.
pub(super) fn signed_in(
    console: &Console,
    headers: &HeaderMap,
    subject: Subject,
    to: &str,
    brought: Option<Return>,
) -> Result<Response, Failure> {
    let now = console.0.broker.now();
    let sessions = &console.0.sessions;
    // Whoever was signed in here before is not any longer, here and at guarded origins.
    if let Some(before) = cookie(headers, CONSOLE_COOKIE) {
        sessions.end(before);
    }
    let cookie = sessions.sign_in(subject, now)?;
    let onwards = match brought.or_else(|| console.0.returns.read(to, now)) {
        Some(way) => {
            sessions.remember(&cookie, to, way);
            format!("/go/{to}")
        }
        None => "/".to_owned(),
    };
    let set = Failure::header(&set_cookie(CONSOLE_COOKIE, &cookie))?;
    Ok(([(SET_COOKIE, set)], Redirect::to(&onwards)).into_response())
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SignOutForm {
    csrf: String,
}

/// Ends every session of this sign-in. That always works: also for a session that has lain idle, under a form from before the last step-up,
/// and for somebody whom the directory no longer knows. What a browser says of where the form comes from was judged before (`CsrfLayer`);
/// where it says nothing, a live session is ended by its own form alone.
pub(super) async fn sign_out(
    State(console): State<Console>,
    headers: HeaderMap,
    form: Result<Posted<SignOutForm>, Failure>,
) -> Result<Response, Failure> {
    let sessions = &console.0.sessions;
    if let Some(known) = cookie(&headers, CONSOLE_COOKIE) {
        let judged = headers.contains_key("sec-fetch-site") || headers.contains_key(ORIGIN);
        let live = sessions.find(known, Place::Console, console.0.broker.now());
        if let Some(session) = live.filter(|_| !judged)
            && !session.expects(&form?.0.csrf, "sign-out", "")
        {
            return Err(Failure::stale_form());
        }
        sessions.end(known);
    }
    let set = Failure::header(&set_cookie(CONSOLE_COOKIE, ""))?;
    Ok(([(SET_COOKIE, set)], Redirect::to("/login")).into_response())
}

/// Where a browser goes that a guarded origin sent here, or that has just signed in.
pub(super) async fn go(
    State(console): State<Console>,
    Path(slip): Path<String>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    let now = console.0.broker.now();
    let way = match visitor.session.way_back(&slip) {
        Some(way) => way.clone(),
        None => match console.0.returns.read(&slip, now) {
            Some(way) => {
                console.0.sessions.remember(&visitor.cookie, &slip, way.clone());
                way
            }
            None => return Ok(Redirect::to("/").into_response()),
        },
    };
    match way {
        Return::Console(path) => Ok(Redirect::to(&path).into_response()),
        Return::Guarded(to) => match &to.why {
            Why::SignIn => onwards(&console, &visitor, &to),
            Why::Ask(_) => Ok(Redirect::to(&format!("/ask?back={slip}")).into_response()),
            // Proven here already: only the session there is older than that.
            Why::StepUp(wanted) if visitor.actor.assurance.satisfies(wanted, now) => {
                onwards(&console, &visitor, &to)
            }
            Why::StepUp(wanted) => {
                let way = format!("/back/{slip}");
                let step_up = console.step_up(&visitor, way, Some(wanted.clone()), None)?;
                Ok(Redirect::to(&step_up).into_response())
            }
            Why::Wait(id) => Ok(Redirect::to(&format!("/requests/{id}?back={slip}")).into_response()),
        },
    }
}

/// Back to the guarded page, signed in there as the same person.
pub(super) async fn back(
    State(console): State<Console>,
    Path(slip): Path<String>,
    visitor: Visitor,
) -> Result<Response, Failure> {
    match visitor.session.way_back(&slip) {
        Some(Return::Guarded(to)) => onwards(&console, &visitor, to),
        _ => Ok(Redirect::to("/").into_response()),
    }
}

#[derive(Template)]
#[template(path = "onwards.html")]
struct OnwardsPage<'a> {
    frame: Frame,
    url: &'a str,
}

/// A page that goes on by itself: a form's answer may not lead to another origin (CSP `form-action`), a page may.
fn onwards(console: &Console, visitor: &Visitor, to: &Guarded) -> Result<Response, Failure> {
    let way_in = console.way_in(&visitor.session, to, console.0.broker.now())?;
    let mut frame = visitor.frame("", "Taking you back");
    frame.goes_to = Some(way_in);
    page(&OnwardsPage {
        frame,
        url: &to.url(),
    })
}
