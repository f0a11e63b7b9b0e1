//! The pages, one module for each place in the navigation.

mod acts;
mod ask;
mod audit;
#[cfg(feature = "passkeys")]
mod ceremony;
mod chronicle;
#[cfg(feature = "passkeys")]
mod clearing;
mod door;
mod form;
mod grants;
mod live;
mod lockdowns;
mod one;
mod parts;
#[cfg(feature = "passkeys")]
mod passkeys;
mod policies;
#[cfg(feature = "oidc")]
mod provider;
mod requests;
mod reviewer;
mod rows;
mod step_up;
mod words;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::HeaderName;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::Console;
use super::failure::Failure;
use crate::extract::BODY_MAX;
use acts::Act;

pub(super) use acts::ReviewForm;
pub(super) use ask::AskForm;

/// Every page.
pub(super) fn router() -> Router<Console> {
    let pages = pages();
    #[cfg(feature = "passkeys")]
    let pages = pages
        .route("/passkey.js", get(ceremony::script))
        .route("/passkey", post(ceremony::answer))
        .route("/step-up/passkey", post(ceremony::prove))
        .route("/security", get(passkeys::security).post(passkeys::enrol))
        .route("/security/anew", get(passkeys::anew))
        .route("/security/remove", post(passkeys::remove))
        .route("/security/clear", get(clearing::form).post(clearing::clear));
    #[cfg(feature = "oidc")]
    let pages = pages
        .route("/login/start", get(provider::start))
        .route("/login/callback", get(provider::callback));
    pages
        .method_not_allowed_fallback(not_here)
        .fallback(nothing_here)
        .layer(DefaultBodyLimit::max(BODY_MAX))
}

fn pages() -> Router<Console> {
    Router::new()
        .route("/style.css", get(style))
        .route(
            "/htmx.js",
            get(async || script(include_str!("../../../assets/htmx/htmx.min.js"))),
        )
        .route(
            "/sse.js",
            get(async || script(include_str!("../../../assets/htmx/sse.min.js"))),
        )
        .route(
            "/console.js",
            get(async || script(include_str!("../../../assets/console.js"))),
        )
        .route("/live", get(live::any))
        .route("/login", get(door::login).post(door::sign_in))
        .route("/logout", post(door::sign_out))
        .route("/go/{slip}", get(door::go))
        .route("/back/{slip}", get(door::back))
        .route("/step-up", get(step_up::form).post(step_up::code))
        .route("/", get(requests::home))
        .route("/ask", get(ask::form).post(ask::ask))
        .route("/requests", get(requests::mine))
        .route("/requests/{id}", get(one::one))
        .route("/requests/{id}/live", get(live::one))
        .route("/requests/{id}/done", get(grants::done))
        .route("/requests/{id}/review", post(acts::review))
        .route("/requests/{id}/withdraw", acts::ending(Act::Withdraw))
        .route("/requests/{id}/release", acts::ending(Act::Release))
        .route("/requests/{id}/revoke", acts::ending(Act::Revoke))
        .route("/requests/{id}/after-review", post(acts::after_review))
        .route("/approvals", get(requests::queue))
        .route("/grants", get(grants::grants))
        .route("/lockdowns", get(lockdowns::lockdowns).post(lockdowns::declare))
        .route("/lockdowns/{id}/lift", post(lockdowns::lift))
        .route("/audit", get(audit::audit))
        .route("/audit.ndjson", get(audit::download))
        .route("/audit/{id}", get(audit::story))
        .route("/policies", get(policies::policies))
}

async fn style() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, include_str!("../../../assets/style.css"))
}

/// A script as an answer.
fn script(text: &'static str) -> impl IntoResponse {
    (SCRIPT, text)
}

/// The headers of a script.
const SCRIPT: [(HeaderName, &str); 2] = [
    (CONTENT_TYPE, "text/javascript; charset=utf-8"),
    (CACHE_CONTROL, "max-age=3600"),
];

async fn not_here() -> Failure {
    let detail = "Nothing was changed. Go on from the console's own pages.";
    crate::problem::Problem::new(crate::problem::Kind::MethodNotAllowed, detail).into()
}

async fn nothing_here() -> Failure {
    crate::problem::Problem::not_found().into()
}
