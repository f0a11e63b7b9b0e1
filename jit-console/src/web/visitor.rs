//! Who is at the console: the session's person, looked up again for every page.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Redirect, Response};
use http::Method;
use http::request::Parts;
use jit_core::approval::ask::Actor;
use jit_core::broker::Powers;

use super::Console;
use super::cookies::{CONSOLE_COOKIE, cookie};
use super::failure::Failure;
use super::frame::Frame;
use super::handoff::{PATH_MAX, Return};
use super::session::{Place, Session};

/// Someone signed in at the console, known to the Directory.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    pub(super) actor: Actor,
    pub(super) powers: Powers,
    pub(super) session: Session,
    /// The cookie's value, by which the session is found.
    pub(super) cookie: String,
    /// Whether the console has a page for their second factors.
    pub(super) security: bool,
}

impl Visitor {
    /// The frame of a page for this reader.
    pub(super) fn frame(&self, section: &'static str, title: impl Into<String>) -> Frame {
        Frame::new(self, self.powers, section, title)
    }

    /// Refuses a form that was not made for this session, this action and this matter.
    pub(super) fn check(&self, token: &str, action: &str, what: &str) -> Result<(), Failure> {
        if self.session.expects(token, action, what) {
            Ok(())
        } else {
            Err(Failure::stale_form())
        }
    }
}

/// As [`Visitor`], where a page asks by itself: that is no use of the session.
#[derive(Debug, Clone)]
pub(super) struct Onlooker(pub(super) Visitor);

/// Whether a page that stands open asks for its new self (htmx). A script of another origin can't say so: the console answers no preflight.
fn is_by_itself(parts: &Parts) -> bool {
    parts.method == Method::GET && parts.headers.get("hx-request").is_some_and(|said| said == "true")
}

/// Signed in, whoever it is.
fn session(console: &Console, parts: &Parts, uses: bool) -> Option<(Session, String)> {
    let cookie = cookie(&parts.headers, CONSOLE_COOKIE)?;
    let (sessions, now) = (&console.0.sessions, console.0.broker.now());
    let session = match uses {
        true => sessions.find(cookie, Place::Console, now)?,
        false => sessions.look(cookie, Place::Console, now)?,
    };
    Some((session, cookie.to_owned()))
}

impl FromRequestParts<Console> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        let uses = !is_by_itself(parts);
        Self::of(session(console, parts, uses), parts, console).await
    }
}

impl FromRequestParts<Console> for Onlooker {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Console) -> Result<Self, Response> {
        Visitor::of(session(console, parts, false), parts, console)
            .await
            .map(Self)
    }
}

impl Visitor {
    async fn of(
        session: Option<(Session, String)>,
        parts: &Parts,
        console: &Console,
    ) -> Result<Self, Response> {
        let Some((mut session, cookie)) = session else {
            return Err(sent_to_sign_in(console, parts));
        };
        let actor = console
            .0
            .broker
            .identify(&session.subject)
            .await
            .map_err(|rejection| Failure::from(rejection).with_sign_in().into_response())?;
        console
            .0
            .sessions
            .belongs(&cookie, &mut session, &actor.person.id);
        Ok(Self {
            powers: console.0.broker.powers(&actor),
            actor,
            session,
            cookie,
            security: console.has_security_page(),
        })
    }
}

/// A page is come back to after the sign-in; a form is not sent twice.
fn sent_to_sign_in(console: &Console, parts: &Parts) -> Response {
    let page = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
    let Some(page) = page else {
        return Failure::signed_out().into_response();
    };
    if page.as_str().len() > PATH_MAX {
        return Redirect::to("/login").into_response();
    }
    let way = Return::Console(page.as_str().to_owned());
    match console.0.returns.keep(way, console.0.broker.now()) {
        Ok(slip) => Redirect::to(&format!("/login?to={slip}")).into_response(),
        Err(error) => Failure::from(error).into_response(),
    }
}
