//! Extractors for axum handlers behind the layer.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::request::Parts;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::permit::Permit;

/// The permit that the request was admitted under. `Option<Permitted>` where the route may be open.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart")]
pub struct Permitted(pub Permit);

/// The subject that the request's credential proved. `Option<Proven>` where there may be none.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "handlers take it apart")]
pub struct Proven(pub Arc<Subject>);

/// The handler needs what only a protected route has: the route is open, or is not behind a [`JitLayer`](crate::JitLayer). Answers
/// 500, because only a change of the program or its policy can mend it.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct NotGuarded;

impl IntoResponse for NotGuarded {
    fn into_response(self) -> Response {
        StatusCode::INTERNAL_SERVER_ERROR.into_response()
    }
}

macro_rules! extractor {
    ($name:ident, $held:ty) => {
        impl<S: Sync> FromRequestParts<S> for $name {
            type Rejection = NotGuarded;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, NotGuarded> {
                parts
                    .extensions
                    .get::<$held>()
                    .cloned()
                    .map(Self)
                    .ok_or(NotGuarded)
            }
        }

        impl<S: Sync> OptionalFromRequestParts<S> for $name {
            type Rejection = Infallible;

            async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
                Ok(parts.extensions.get::<$held>().cloned().map(Self))
            }
        }
    };
}

extractor!(Permitted, Permit);
extractor!(Proven, Arc<Subject>);
