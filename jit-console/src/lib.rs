//! The control API of just-in-time access, as an [`axum`] router that any app can nest.
//!
//! ```no_run
//! use jit_console::{ApiSettings, api};
//! use jit_core::broker::Broker;
//!
//! fn app(broker: Broker) -> axum::Router {
//!     axum::Router::new().nest("/_jit", api(broker, ApiSettings::default()))
//! }
//! ```
//!
//! # Rules
//!
//! 1. Authentication is done before: the layer in front puts a [`Subject`](jit_core::gate::authenticate::Subject) into the
//!    request's extensions. Without one the answer is 401; someone whom the Directory does not know is not eligible, 403.
//! 2. First who calls, then whether they may see the thing, and only then whether what they sent is valid: a stranger's malformed review
//!    of a request that exists is answered like one of a request that does not, 404. Ids that can't be ids are 404 as well.
//! 3. GET and HEAD change nothing. What changes anything is a POST of one JSON object of at most 64 KiB, with
//!    `Content-Type: application/json`. Unknown fields, doubled fields and unknown query parameters are refused with 400, which
//!    names the field and what would be right.
//! 4. A POST that another origin's page sends is refused with 403, by `Sec-Fetch-Site` and else by `Origin` against `Host`. Bearer
//!    tokens are not sent by a browser on its own, and the gate lets no cookie prove anyone to this API: a script on a guarded page has the
//!    API's own origin there, and would approve in the name of whoever looks at the page.
//! 5. Every refusal is a problem (RFC 9457) with a stable `type`. A store that fails is 503 `audit-unavailable`: what
//!    can't be written down is not done. Why it failed is logged, never told.
//! 6. Every response carries `Cache-Control: no-store`, `X-Content-Type-Options: nosniff`, a Content-Security-Policy that permits
//!    nothing, and `Referrer-Policy: no-referrer`.
//! 7. Whoever waits (`GET /v1/requests/{id}?wait=30s`) or follows the log (`GET /v1/events` as `text/event-stream`) takes one of a
//!    bounded number of places: 1024 waiters, 16 for a person; 64 followers, 4 for a person. One too many is 429.
//!
//! 8. `POST /v1/me/step-up` takes a code of the caller's second factor, where the app gives the API
//!    [`StepUps`](jit_core::gate::step_up::StepUps): the credential of that call is stronger and fresher for a while. Who falls short
//!    of a policy's `mfa` is answered 401 with the challenge of RFC 9470, and told where to send a code.
//! 9. `GET /problems/{name}` says in plain words what a problem's `type` means and what to do. It says nothing about the installation,
//!    and needs no `Subject`.
//!
//! # Deployment caveats
//!
//! - The router trusts the `Subject` in the extensions and nothing else. Nest it behind a layer that authenticates, and never
//!   let anything that a client can reach write that extension.
//! - An identity that a browser brings along by itself (a client certificate, or fields that a proxy in front sets from a cookie of its own)
//!   counts here: with such, serve this API on a host of its own, and guard the others with
//!   [`without_control_api`](jit_core::gate::GateBuilder::without_control_api), or a guarded page can approve for its reader.
//! - A proxy in front must pass `Host` on as the browser sent it, or the browser's own POSTs look like another origin's.
//! - A long poll holds its connection for up to a minute and a stream for up to a quarter of an hour: proxies in front need idle
//!   timeouts above 15 seconds for streams, when a comment is sent, and above a minute for long polls.
//! - A nested router does not see the prefix with a slash and nothing after it (`/_jit/`): that is answered by the app's own fallback,
//!   unless the app merges [`mounted`].
//! - How many connections and requests a client may have at once is the server's to limit.

mod dto;
mod extract;
mod finish;
mod json;
mod openapi;
mod pages;
mod problem;
mod routes;
#[cfg(test)]
mod sample;
mod settings;
mod view;
mod wait;
#[cfg(feature = "web")]
pub mod web;

use axum::Router;
use axum::extract::State;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use jit_core::broker::Broker;
use tower_http::csrf::CsrfLayer;

pub use settings::{ApiSettings, PrefixError};

use crate::problem::{Kind, Problem};
use crate::settings::Shared;

/// The control API with its place: to be merged into an app's router. All that is at or below the prefix is the API's.
pub fn mounted(broker: Broker, settings: ApiSettings) -> Router {
    let path = settings.path().to_owned();
    let shared = Shared::new(broker, settings);
    if path.is_empty() {
        return router(shared);
    }
    Router::new()
        .route(&format!("{path}/"), any(not_found))
        .route_layer(from_fn_with_state(shared.clone(), finish::finish))
        .with_state(shared.clone())
        .nest(&path, router(shared))
}

/// The control API, to be nested where `settings` say it is reached.
///
/// The document at `/openapi.json` describes it; only that and the pages about problems need no `Subject`.
pub fn api(broker: Broker, settings: ApiSettings) -> Router {
    router(Shared::new(broker, settings))
}

fn router(shared: Shared) -> Router {
    let router = routes::endpoints()
        .into_iter()
        .fold(Router::new(), |router, endpoint| {
            router.route(endpoint.path, endpoint.handler)
        });
    router
        .route("/problems/{name}", get(pages::page))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(CsrfLayer::new())
        .layer(from_fn_with_state(shared.clone(), finish::finish))
        .with_state(shared)
}

async fn not_found(State(shared): State<Shared>) -> Problem {
    let prefix = shared.settings.prefix();
    Problem::new(
        Kind::NotFound,
        format!("There is no such endpoint; {prefix}/openapi.json lists them."),
    )
}

async fn method_not_allowed() -> Problem {
    Problem::new(
        Kind::MethodNotAllowed,
        "The Allow header says which methods this endpoint takes.",
    )
}
