//! The layer around all handlers: renders problems and sets the headers that every response carries.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue};
use tower_http::csrf::ProtectionError;

use crate::problem::{Kind, Problem};
use crate::settings::Shared;

const ALWAYS: [(HeaderName, &str); 4] = [
    (CACHE_CONTROL, "no-store"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (REFERRER_POLICY, "no-referrer"),
];

pub(crate) async fn finish(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if response.extensions_mut().remove::<ProtectionError>().is_some() {
        cross_origin().render(&mut response, &shared.settings, || shared.broker.now());
    } else if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        problem.render(&mut response, &shared.settings, || shared.broker.now());
    }
    for (name, value) in ALWAYS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn cross_origin() -> Problem {
    Problem::new(
        Kind::CrossOrigin,
        "A page of another origin may not send this. Programs leave `Origin` and `Sec-Fetch-Site` away.",
    )
}
