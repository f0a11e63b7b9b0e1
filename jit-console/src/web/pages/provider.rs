//! Signing in at an OpenID Connect provider: going there, and coming back.
//!
//! 1. What a browser that comes back is checked against is kept here under the `state`, for [`AWAY_LIFE`], and used once.
//! 2. Only the browser that was sent away may come back: it shows the cookie that it left with. Nobody can finish, in another's browser,
//!    a sign-in that they began in their own.
//! 3. What the provider or an address says is never shown, except for an error's code.

use axum::extract::{Query, State};
use axum::http::header::SET_COOKIE;
use axum::response::{IntoResponse, Redirect, Response};
use chrono::TimeDelta;
use http::{HeaderMap, StatusCode};
use jit_auth::oidc::{Arrival, CodeFlow, Departure, SignInError};
use jit_core::gate::hygiene::SIGN_IN_COOKIE;
use jit_core::id::Digest;
use serde::Deserialize;

use super::door::signed_in;
use crate::extract::Params;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::session::{COOKIE_LEN, cookie, set_cookie};
use crate::web::slips::random;

/// How long somebody may take to sign in.
pub(in crate::web) const AWAY_LIFE: TimeDelta = TimeDelta::minutes(15);

/// Somebody who was sent away to sign in.
#[derive(Clone)]
pub(in crate::web) struct Away {
    departure: Departure,
    /// Of the cookie of their browser.
    browser: Digest,
    /// The slip of where they were on the way to.
    to: String,
}

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
    // A browser keeps its cookie: of several pages that were opened at once, each can be signed in from.
    let browser = match cookie(&headers, SIGN_IN_COOKIE).filter(|known| known.len() == COOKIE_LEN) {
        Some(known) => known.to_owned(),
        None => random(32)?,
    };
    let mut departure = flow.depart();
    if anew {
        departure = departure.anew();
    }
    let away = Away {
        departure: departure.clone(),
        browser: Digest::plain(browser.as_bytes()),
        to,
    };
    let state = console.0.departures.keep(away, now)?;
    let url = flow.url(&departure, &state, now).await.map_err(failure)?;
    let set = Failure::header(&set_cookie(SIGN_IN_COOKIE, &browser))?;
    Ok(([(SET_COOKIE, set)], Redirect::to(&url)).into_response())
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
    let browser = cookie(&headers, SIGN_IN_COOKIE).map(|cookie| Digest::plain(cookie.as_bytes()));
    let departures = &console.0.departures;
    // Looked at before it is taken: whoever has the address alone can't use it up.
    let own = departures
        .read(&arrival.state, now)
        .filter(|away| Some(away.browser) == browser)
        .and_then(|_| departures.take(&arrival.state, now));
    let away = own.ok_or_else(over)?;
    let subject = flow.arrive(away.departure, arrival, now).await.map_err(failure)?;
    signed_in(&console, &headers, subject, &away.to)
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
