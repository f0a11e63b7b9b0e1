//! The endpoints: one table that routes requests and that the document is checked against.

use axum::handler::Handler;
use axum::routing::{MethodRouter, get, post};
use http::Method;

use crate::settings::Shared;

pub(crate) mod events;
pub(crate) mod grants;
pub(crate) mod interactions;
pub(crate) mod lockdowns;
pub(crate) mod me;
pub(crate) mod passkeys;
pub(crate) mod requests;
pub(crate) mod reviews;
pub(crate) mod step_up;

/// One method at one path.
#[derive(Debug)]
pub(crate) struct Endpoint {
    #[cfg_attr(not(test), expect(dead_code, reason = "what the document is checked against"))]
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<Shared>,
}

fn read<H: Handler<T, Shared>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint {
        method: Method::GET,
        path,
        handler: get(handler),
    }
}

fn change<H: Handler<T, Shared>, T: 'static>(path: &'static str, handler: H) -> Endpoint {
    Endpoint {
        method: Method::POST,
        path,
        handler: post(handler),
    }
}

/// Every endpoint. What changes anything is a POST.
pub(crate) fn endpoints() -> Vec<Endpoint> {
    vec![
        change("/v1/requests", requests::ask),
        read("/v1/requests", requests::list),
        read("/v1/requests/{id}", requests::one),
        change("/v1/requests/{id}/review", reviews::review),
        change("/v1/requests/{id}/withdraw", requests::withdraw),
        change("/v1/requests/{id}/release", requests::release),
        change("/v1/requests/{id}/credential", requests::credential),
        change("/v1/requests/{id}/revoke", requests::revoke),
        change("/v1/requests/{id}/after-review", reviews::after_review),
        read("/v1/requests/{id}/interactions", interactions::list),
        read("/v1/grants", grants::list),
        read("/v1/lockdowns", lockdowns::list),
        change("/v1/lockdowns", lockdowns::declare),
        change("/v1/lockdowns/{id}/lift", lockdowns::lift),
        change("/v1/passkeys/clear", passkeys::clear),
        read("/v1/events", events::list),
        read("/v1/policies", me::policies),
        read("/v1/me", me::me),
        change("/v1/me/step-up", step_up::step_up),
        read("/openapi.json", me::openapi),
    ]
}
