//! Signing in at an OpenID Connect provider: going there, and coming back.
//!
//! 1. What a browser that comes back is checked against is kept by that browser alone, sealed, for ten minutes, and counts once: see
//!    [`Departures`](crate::web::departures::Departures).
//! 2. Only the browser that was sent away may come back: it shows the cookie that it left with. Nobody can finish, in another's browser,
//!    a sign-in that they began in their own.
//! 3. What the provider or an address says is never shown, except for an error's code.

use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderMap, StatusCode};
use jit_auth::oidc::{Arrival, CodeFlow, SignInError};
use jit_core::id::Timestamp;
use serde::Deserialize;

use super::door::signed_in;
use crate::extract::Params;
use crate::web::Console;
use crate::web::departures::{Away, Way, taken_away};
use crate::web::failure::Failure;
use crate::web::handoff::Return;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StartParams {
    #[serde(default)]
    to: String,
    /// Whether the provider shall ask, even if it remembers them.
    #[serde(default)]
    anew: bool,
}

fn flow(console: &Console) -> Result<&CodeFlow, Failure> {
    let provider = console.0.settings.provider.as_ref();
    provider.map(|provider| &*provider.flow).ok_or_else(|| {
        Failure::new(
            StatusCode::NOT_FOUND,
            "There is no identity provider here",
            "This console signs people in otherwise. Start at its sign-in page.",
        )
    })
}

/// To the provider.
pub(super) async fn start(
    State(console): State<Console>,
    headers: HeaderMap,
    params: Params,
) -> Result<Response, Failure> {
    let StartParams { to, anew } = params.read()?;
    let flow = flow(&console)?;
    let now = console.0.broker.now();
    let mut departure = flow.depart();
    if anew {
        departure = departure.anew();
    }
    let to = on_the_way(&console, to, now);
    let left = (console.0.departures).leave(&headers, departure.clone(), to, now)?;
    let url = flow.url(&departure, &left.state, now).await.map_err(failure)?;
    sets(Redirect::to(&url).into_response(), &left.cookies)
}

/// Where a browser is on the way to that comes by the slip `to`. Who was refused at a guarded origin comes by two, one behind the other.
fn on_the_way(console: &Console, to: String, now: Timestamp) -> Option<Way> {
    let read = |slip: &str| console.0.returns.read(slip, now);
    let way = read(&to)?;
    if let Return::Console(path) = &way
        && let Some(behind) = path.strip_prefix("/go/")
        && let Some(way) = read(behind)
    {
        return Some(Way::new(behind.to_owned(), way));
    }
    Some(Way::new(to, way))
}

/// Back from the provider.
pub(super) async fn callback(
    State(console): State<Console>,
    headers: HeaderMap,
    arrival: Result<Query<Arrival>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Failure> {
    let flow = flow(&console)?;
    let now = console.0.broker.now();
    let Ok(Query(arrival)) = arrival else {
        return Err(over());
    };
    let state = arrival.state.clone();
    let away = console
        .0
        .departures
        .find(&headers, &state, now)
        .ok_or_else(over)?;
    let answer = match flow.arrive(away.departure.clone(), arrival, now).await {
        // The code may not have been spent: whoever loads the page again may yet come in.
        Err(error @ SignInError::Unavailable { .. }) => return Err(failure(error)),
        Err(error) => failure(error).into_response(),
        Ok(subject) => {
            // Of two answers at once, which a provider believes that takes a code twice, one counts.
            if !console.0.departures.use_up(&state, &away, now) {
                return Err(over());
            }
            let Away { to, .. } = away;
            let (slip, known) = to.map_or_else(Default::default, |way| (way.slip, way.known));
            signed_in(&console, &headers, subject, &slip, known)?
        }
    };
    sets(answer, &[taken_away(&state)])
}

/// An answer with these `Set-Cookie`s besides.
fn sets(mut answer: Response, cookies: &[String]) -> Result<Response, Failure> {
    for cookie in cookies {
        answer.headers_mut().append(SET_COOKIE, Failure::header(cookie)?);
    }
    Ok(answer)
}

/// Too late, twice, or in another browser.
fn over() -> Failure {
    Failure::not_signed_in(
        StatusCode::BAD_REQUEST,
        "This sign-in is over, or began in another browser. Start again from here.",
    )
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn failure(error: SignInError) -> Failure {
    match &error {
        SignInError::Declined(code) => {
            tracing::info!(code, "the identity provider declined a sign-in");
            let detail =
                format!("The identity provider declined ({code}). Try again, or ask whoever runs it.");
            Failure::not_signed_in(StatusCode::FORBIDDEN, detail)
        }
        SignInError::Unavailable { source } => {
            tracing::warn!(error = %source, "the identity provider can't be reached");
            Failure::not_signed_in(
                StatusCode::SERVICE_UNAVAILABLE,
                "The identity provider does not answer as it should. Try again in a minute.",
            )
        }
        _ => {
            tracing::warn!(%error, "a sign-in did not hold");
            Failure::not_signed_in(
                StatusCode::FORBIDDEN,
                "What the identity provider answered does not hold. Start again; if it stays, tell whoever runs this server.",
            )
        }
    }
}
