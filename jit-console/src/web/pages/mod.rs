//! The pages, one module for each place in the navigation.

mod door;

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::{get, post};

use super::Console;
use super::failure::Failure;

/// Every page.
pub(super) fn router() -> Router<Console> {
    Router::new()
        .route("/style.css", get(style))
        .route("/login", get(door::login).post(door::sign_in))
        .route("/logout", post(door::sign_out))
        .route("/go/{slip}", get(door::go))
        .route("/back/{slip}", get(door::back))
        .fallback(nothing_here)
}

async fn style() -> impl IntoResponse {
    let headers = [
        (CONTENT_TYPE, "text/css; charset=utf-8"),
        (CACHE_CONTROL, "max-age=3600"),
    ];
    (headers, include_str!("../../../assets/style.css"))
}

async fn nothing_here() -> Failure {
    crate::problem::Problem::not_found().into()
}
