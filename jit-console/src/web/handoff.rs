//! The way of a browser from a guarded origin to the console and back, and how a sign-in goes with it.
//!
//! 1. A refused browser is sent to `/go/{slip}` at the console ([`Console::landing`]). The slip holds where it wanted to go, and the hash of
//!    a random word, made for this one landing, which that browser alone holds in a cookie at the guarded origin. A word that the browser
//!    brought along is never used: the application may have read it there and have given it to somebody else.
//! 2. Signed in there, it is sent back with a code to the guarded origin's entrance ([`Console::entrance`]), which takes the code once and
//!    only together with that cookie: a code in someone else's link signs nobody in.
//! 3. Only navigations that ask for a page are sent anywhere. Programs, forms and what a page loads by itself get the refusal.

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::TimeDelta;
use http::header::{HOST, LOCATION, SET_COOKIE};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode, Uri};
use jit_core::gate::problem::accepts_html;
use jit_core::gate::refusal::Refusal;
use jit_core::id::{Digest, RequestId, ResourceName, Timestamp};
use jit_core::policy::terms::MfaTerms;
use serde::{Deserialize, Serialize};

use super::Console;
use super::cookies::{GUARDED_COOKIE, cookie, set_cookie};
use super::failure::Failure;
use super::frame::finish;
use super::session::Session;
use super::slips::random;
use crate::extract::Params;

/// How long the console remembers where a browser that nobody is signed in with came from.
pub(super) const RETURN_LIFE: TimeDelta = TimeDelta::minutes(15);
/// How long a code is good.
pub(super) const CODE_LIFE: TimeDelta = TimeDelta::seconds(30);
/// The cookie by which a guarded origin knows the browser that it sent away.
const ENTER_COOKIE: &str = "__Host-jit-enter";
/// The length of a word in it: 16 bytes in base64url without padding.
const WORD_LEN: usize = 22;
/// Most words in it, the newest first: one for each of the windows in which a person was refused lately.
const WORDS_MAX: usize = 8;
/// Longest path and query that is remembered, in bytes.
pub(super) const PATH_MAX: usize = 4096;

/// Where a browser came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Return {
    /// A page of the console, by its path and query.
    Console(String),
    /// A page at a guarded origin.
    Guarded(Guarded),
}

/// A page at a guarded origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Guarded {
    /// Scheme, host and port.
    pub(super) origin: String,
    /// Path and query, as they were sent.
    pub(super) path: String,
    /// What the browser was told.
    pub(super) why: Why,
    /// Of the cookie that the browser holds there.
    browser: Digest,
}

impl Guarded {
    /// The whole address.
    pub(super) fn url(&self) -> String {
        format!("{}{}", self.origin, self.path)
    }
}

/// Why a browser was sent to the console.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// Nobody is signed in there.
    SignIn,
    /// There is no live grant, and none was asked for.
    Ask(ResourceName),
    /// A request waits, or its window has not opened.
    Wait(RequestId),
    /// There is a grant, and its use needs a stronger or fresher sign-in.
    StepUp(MfaTerms),
}

/// A code that carries a sign-in to a guarded origin.
#[derive(Debug, Clone)]
pub(super) struct Code {
    session: Session,
    to: Guarded,
}

/// Where a refused browser goes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Landing {
    /// The page at the console: the `Location` of a 303.
    pub location: String,
    /// The `Set-Cookie` that goes with it.
    pub cookie: String,
}

impl Console {
    /// Where the browser behind `head` goes after `refusal`, if it is one and there is something for it to do at the console.
    pub fn landing(&self, refusal: &Refusal, head: &Parts, now: Timestamp) -> Option<Landing> {
        let why = match refusal {
            Refusal::Unauthenticated => Why::SignIn,
            Refusal::ApprovalRequired { resource } => Why::Ask(resource.clone()),
            Refusal::ApprovalPending { request, .. } => Why::Wait(*request),
            Refusal::StepUp { terms, .. } => Why::StepUp(terms.clone()),
            _ => return None,
        };
        if !navigates(head) {
            return None;
        }
        let path = head.uri.path_and_query()?.as_str();
        let settings = &self.0.settings;
        let origin = settings.guarded_origin(authority(&head.uri, &head.headers)?)?;
        if path.len() > PATH_MAX || !path.starts_with('/') {
            return None;
        }
        let word = random(16).ok()?;
        let mut words = words(&head.headers);
        words.truncate(WORDS_MAX - 1);
        words.insert(0, &word);
        let words = words.join(".");
        let guarded = Guarded {
            origin: origin.to_owned(),
            path: path.to_owned(),
            why,
            browser: Digest::plain(word.as_bytes()),
        };
        let slip = self.0.returns.keep(Return::Guarded(guarded), now).ok()?;
        Some(Landing {
            location: format!("{}/go/{slip}", settings.origin),
            cookie: set_cookie(ENTER_COOKIE, &words),
        })
    }

    /// The entrance of a guarded origin, by which a sign-in comes back from the console: to be merged into the guarded application, behind
    /// its gate, at the control API's prefix.
    pub fn entrance(&self) -> Router {
        Router::new()
            .route(&self.0.settings.entrance, get(enter))
            .layer(from_fn(finish))
            .with_state(self.clone())
    }

    /// The address that takes `session` to where its person wanted to go.
    pub(super) fn way_in(&self, session: &Session, to: &Guarded, now: Timestamp) -> Result<String, Failure> {
        let code = Code {
            session: session.clone(),
            to: to.clone(),
        };
        let code = self.0.codes.keep(code, now)?;
        Ok(format!("{}{}?code={code}", to.origin, self.0.settings.entrance))
    }
}

/// The host and port that a request was sent to.
pub(super) fn authority<'h>(uri: &'h Uri, headers: &'h HeaderMap) -> Option<&'h str> {
    match uri.authority() {
        Some(authority) => Some(authority.as_str()),
        None => headers.get(HOST)?.to_str().ok(),
    }
}

/// What the browser was given when it was sent away.
fn words(headers: &HeaderMap) -> Vec<&str> {
    let plain = |word: &&str| {
        word.len() == WORD_LEN
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
    };
    let words = cookie(headers, ENTER_COOKIE).unwrap_or_default().split('.');
    words.filter(plain).take(WORDS_MAX).collect()
}

/// Whether a person looks at what comes back, as far as the browser says.
fn navigates(head: &Parts) -> bool {
    let says = |name: &str, wanted: &str| {
        let said = head.headers.get(name);
        said.is_none_or(|said| said.as_bytes() == wanted.as_bytes())
    };
    matches!(head.method, Method::GET | Method::HEAD)
        && accepts_html(&head.headers)
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnterParams {
    code: String,
}

async fn enter(
    State(console): State<Console>,
    uri: Uri,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Failure> {
    let now = console.0.broker.now();
    let params: Option<EnterParams> = params.read().ok();
    let code = params.and_then(|params| console.0.codes.take(&params.code, now));
    let words = words(&headers);
    let knows = |wanted: Digest| words.iter().any(|word| Digest::plain(word.as_bytes()) == wanted);
    // Of this origin alone: a page of another that reads a code in passing can't spend it at its own.
    let host = authority(&uri, &headers);
    let origin = host.and_then(|host| console.0.settings.guarded_origin(host));
    let here = |to: &Guarded| origin == Some(to.origin.as_str());
    let Some((code, host)) = code
        .filter(|code| here(&code.to) && knows(code.to.browser))
        .zip(host)
    else {
        return Err(Failure::new(
            StatusCode::BAD_REQUEST,
            "This link was used, or is too old",
            "Go to the page that you wanted; you are sent through here again.",
        ));
    };
    // Signed out in the meantime: no new session begins.
    let cookie = console
        .0
        .sessions
        .carry(&code.session, host, now)?
        .ok_or_else(Failure::signed_out)?;
    let mut response = StatusCode::SEE_OTHER.into_response();
    for (name, value) in [
        (LOCATION, code.to.url()),
        (SET_COOKIE, set_cookie(GUARDED_COOKIE, &cookie)),
    ] {
        response.headers_mut().append(name, Failure::header(&value)?);
    }
    Ok(response)
}
