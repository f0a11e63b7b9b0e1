//! Refused browsers go to the console; programs are told why.

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderValue, LOCATION, SET_COOKIE, VARY};
use http::{Response, StatusCode};
use jit_console::web::{Console, Landing};
use jit_tower::{DefaultRefusal, RefusalResponder, Refused};

/// Sends a browser to where its person can do something about the refusal. Everyone else, and every refusal that nobody can do
/// anything about, gets the answer of [`DefaultRefusal`].
#[derive(Debug, Clone)]
pub struct ToConsole(Console);

impl ToConsole {
    /// To the pages of this console.
    pub const fn new(console: Console) -> Self {
        Self(console)
    }
}

impl RefusalResponder for ToConsole {
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes> {
        self.0
            .landing(refused.refusal, refused.head, refused.now)
            .and_then(sent)
            .unwrap_or_else(|| DefaultRefusal::default().respond(refused))
    }
}

fn sent(landing: Landing) -> Option<Response<Bytes>> {
    let mut response = Response::new(Bytes::new());
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(LOCATION, HeaderValue::try_from(landing.location).ok()?);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("accept"));
    headers.insert(SET_COOKIE, HeaderValue::try_from(landing.cookie).ok()?);
    Some(response)
}
