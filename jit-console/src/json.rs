//! Answers in JSON, each a whole line: whoever reads it with curl has their prompt on the next.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::CONTENT_TYPE;
use serde::Serialize;

/// An answer's body.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        line(&self.0).map_or_else(
            // Nothing that is answered has a map with keys that are no text, which is all that can fail.
            || StatusCode::INTERNAL_SERVER_ERROR.into_response(),
            |body| ([(CONTENT_TYPE, "application/json")], body).into_response(),
        )
    }
}

/// `value` and the end of its line.
pub(crate) fn line(value: &impl Serialize) -> Option<Vec<u8>> {
    let mut body = serde_json::to_vec(value).ok()?;
    body.push(b'\n');
    Some(body)
}
