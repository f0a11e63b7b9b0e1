//! What is around every page: its head, the person, where they can go, and the headers of the answer.

use askama::Template;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jit_core::broker::Powers;
use tower_http::csrf::ProtectionError;

use super::failure::Failure;
use super::visitor::Visitor;

const ALWAYS: [(HeaderName, &str); 6] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    ),
    // Under `no-referrer` a browser would send its own forms with `Origin: null`.
    (REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
];

/// What every page says about itself and its reader. The field `frame` of each template.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) title: String,
    /// Which entry of the navigation the page is under: `requests`, `approvals`, `grants`, `audit`, `policies`, or none.
    pub(super) section: &'static str,
    pub(super) me: Option<Me>,
    /// Shows what has changed since, by itself.
    pub(super) live: Option<Live>,
    /// Goes there by itself, at once.
    pub(super) goes_to: Option<String>,
}

/// How a page finds out that it is out of date, and takes the parts that may have changed out of its new self.
#[derive(Debug)]
pub(super) struct Live {
    /// What tells it: a stream of events.
    pub(super) url: String,
    /// Where the page is found anew.
    pub(super) page: String,
    /// The parts that are shown anew, as `hx-select-oob` lists them. No field that can be typed into is in any.
    pub(super) parts: &'static str,
    /// Which forms the page has, for a page that has any beside those parts.
    pub(super) forms: Option<String>,
    /// Without scripts it loads itself again after so many seconds. Never under somebody's typing.
    pub(super) seconds: Option<u32>,
}

/// The reader.
#[derive(Debug)]
pub(super) struct Me {
    pub(super) name: String,
    /// What the form that signs out must carry.
    pub(super) sign_out: String,
    pub(super) auditor: bool,
    /// Whether there is a page for second factors.
    pub(super) security: bool,
}

impl Frame {
    /// Around a page for a signed-in reader.
    pub(super) fn new(
        visitor: &Visitor,
        powers: Powers,
        section: &'static str,
        title: impl Into<String>,
    ) -> Self {
        Self {
            section,
            me: Some(Me {
                name: visitor.actor.person.name.clone(),
                sign_out: visitor.session.token("sign-out", "").to_string(),
                auditor: powers.auditor,
                security: visitor.security,
            }),
            ..Self::bare(title)
        }
    }

    /// Around a page for anyone.
    pub(super) fn bare(title: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            section: "",
            me: None,
            live: None,
            goes_to: None,
        }
    }
}

/// A template as an answer.
pub(super) fn page(template: &impl Template) -> Result<Response, Failure> {
    Ok(Html(template.render()?).into_response())
}

/// The headers that every answer of the console carries.
pub(super) async fn finish(request: Request, next: Next) -> Response {
    let refused = is_loaded_elsewhere(request.headers());
    let mut response = if refused {
        StatusCode::FORBIDDEN.into_response()
    } else {
        next.run(request).await
    };
    if refused || response.extensions_mut().remove::<ProtectionError>().is_some() {
        response = Failure::new(
            StatusCode::FORBIDDEN,
            "Another site's page sent this",
            "Nothing was changed. Go on from the console's own pages.",
        )
        .into_response();
    }
    let headers = response.headers_mut();
    for (name, value) in ALWAYS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Whether another origin's page loads this by itself. A sibling's request brings the session's cookie along: it would keep the session
/// from idling out, and take its person's places. Whoever goes here by a link is welcome; no page can be framed.
fn is_loaded_elsewhere(headers: &HeaderMap) -> bool {
    let says = |name: &str, any: &[&str]| {
        let said = headers.get(name).map(|said| said.as_bytes());
        said.is_some_and(|said| any.iter().any(|one| one.as_bytes() == said))
    };
    says("sec-fetch-site", &["same-site", "cross-site"])
        && says("sec-fetch-mode", &["no-cors", "cors", "websocket"])
}
