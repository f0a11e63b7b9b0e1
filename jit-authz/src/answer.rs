//! A ruling in the words that each balancer understands.

use std::borrow::Cow;

use axum::body::Body;
use http::header::{CACHE_CONTROL, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, Response, StatusCode};
use jit_core::gate::introduce::percent_encoded;
use jit_core::gate::problem::{Problem, accepts_html};
use jit_core::gate::refusal::Refusal;

use crate::check::{Authz, Reason, Ruling, to_remove};
use crate::dialect::Dialect;

/// The kind of refusal, for logs and for a balancer's own pages.
pub(crate) const REFUSAL: HeaderName = HeaderName::from_static("x-jit-refusal");
/// The status that the client should get, where the balancer understands but 401 and 403.
const STATUS: HeaderName = HeaderName::from_static("x-jit-status");
/// The problem as JSON, where the balancer drops bodies.
const PROBLEM: HeaderName = HeaderName::from_static("x-jit-problem");
/// Envoy removes the fields that this one names from the request.
const TO_REMOVE: HeaderName = HeaderName::from_static("x-envoy-auth-headers-to-remove");

/// Longest address that is handed on as `return`, in bytes.
const RETURN_MAX: usize = 2048;

/// What the one who asked can make of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Audience {
    /// A page is welcome.
    pub(crate) html: bool,
    /// A browser that goes wherever it is sent, in a tab of its own.
    navigates: bool,
}

impl Audience {
    /// By what the client accepts and, where a browser says so, by what it will do with the answer
    /// (<https://www.w3.org/TR/fetch-metadata/>).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let says = |name: &str, wanted: &[u8]| {
            let value = headers.get(name);
            value.is_none_or(|value| value.as_bytes().eq_ignore_ascii_case(wanted))
        };
        let html = accepts_html(headers) && says("sec-fetch-mode", b"navigate");
        Self {
            html,
            navigates: html && says("sec-fetch-dest", b"document"),
        }
    }

    pub(crate) fn asks_with(self, method: &Method) -> Self {
        Self {
            navigates: self.navigates && (method == Method::GET || method == Method::HEAD),
            ..self
        }
    }
}

/// What goes to a client that was refused.
pub(crate) struct Denied<'a> {
    pub(crate) problem: Problem<'a>,
    pub(crate) location: Option<HeaderValue>,
}

impl Authz {
    pub(crate) fn denied<'a>(
        &'a self,
        reason: &'a Reason,
        wanted: Option<&str>,
        audience: Audience,
    ) -> Denied<'a> {
        let gate = &self.0.gate;
        let control = self
            .0
            .settings
            .control
            .as_deref()
            .unwrap_or(gate.control_prefix());
        let problem = match reason {
            Reason::Refused(refusal) => Problem::of(refusal, control, gate.now()),
            Reason::Metadata(bad) => Problem {
                detail: Cow::Owned(format!("This is for the operator: {bad}.")),
                ..plain(
                    control,
                    bad.kind(),
                    "The balancer's question can't be answered",
                    StatusCode::BAD_REQUEST,
                )
            },
            Reason::H2c => Problem {
                detail: Cow::Borrowed("An upgrade to h2c is not served here. Send the request without it."),
                ..plain(
                    control,
                    "upgrade-refused",
                    "Protocol change refused",
                    StatusCode::FORBIDDEN,
                )
            },
            Reason::Busy => Problem {
                detail: Cow::Borrowed(
                    "The gate has too many questions to answer at once. Try again shortly.",
                ),
                retry_after: Some(1),
                ..plain(
                    control,
                    "busy",
                    "Too many questions at once",
                    StatusCode::SERVICE_UNAVAILABLE,
                )
            },
        };
        let location = match reason {
            Reason::Refused(refusal) if audience.navigates => self.location(refusal, wanted),
            _ => None,
        };
        Denied { problem, location }
    }

    /// Where a browser may sign in, ask or wait.
    fn location(&self, refusal: &Refusal, wanted: Option<&str>) -> Option<HeaderValue> {
        let page = self.0.settings.page.as_deref()?;
        let helps = matches!(refusal, Refusal::Unauthenticated | Refusal::StepUp { .. })
            || refusal.can_ask()
            || refusal.request().is_some();
        if !helps {
            return None;
        }
        let start = if page.contains('?') { '&' } else { '?' };
        let mut url = format!("{page}{start}reason={}", refusal.kind());
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
        let request = refusal.request().map(|id| id.to_string());
        for (name, value) in [
            ("resource", refusal.resource().map(|name| name.as_str())),
            ("request", request.as_deref()),
            ("return", wanted.filter(|wanted| wanted.len() <= RETURN_MAX)),
        ] {
            if let Some(value) = value {
                url.push_str(&format!("&{name}={}", percent_encoded(value, unreserved)));
            }
        }
        HeaderValue::from_str(&url).ok()
    }

    /// The ruling as an answer over HTTP. Never a 2xx unless it allows.
    pub(crate) fn answer(
        &self,
        dialect: Option<Dialect>,
        ruling: Ruling,
        audience: Audience,
    ) -> Response<Body> {
        let (reason, wanted) = match ruling {
            Ruling::Allow { told, came } => return allow(dialect, told, &came),
            Ruling::Deny { reason, wanted } => (reason, wanted),
        };
        let Denied { problem, location } = self.denied(&reason, wanted.as_deref(), audience);
        let mut response = problem.response(audience.html).map(Body::from);
        let kind = HeaderValue::from_str(problem.kind).ok();
        if dialect == Some(Dialect::AuthRequest) {
            let status = problem.status;
            let json = HeaderValue::from_str(&problem.json()).ok();
            let headers = response.headers_mut();
            headers.insert(STATUS, status.as_u16().into());
            if let Some(json) = json {
                headers.insert(PROBLEM, json);
            }
            if status != StatusCode::UNAUTHORIZED {
                *response.status_mut() = StatusCode::FORBIDDEN;
            }
        } else if location.is_some() {
            *response.status_mut() = StatusCode::SEE_OTHER;
        }
        let headers = response.headers_mut();
        if let Some(kind) = kind {
            headers.insert(REFUSAL, kind);
        }
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        match reason {
            Reason::Refused(refusal) => drop(response.extensions_mut().insert(refusal)),
            Reason::Metadata(bad) => drop(response.extensions_mut().insert(bad)),
            Reason::H2c | Reason::Busy => {}
        }
        response
    }
}

fn plain<'a>(control: &'a str, kind: &'a str, title: &'a str, status: StatusCode) -> Problem<'a> {
    Problem {
        control,
        kind,
        title,
        status,
        detail: Cow::Borrowed(""),
        resource: None,
        asks: false,
        request: None,
        challenge: None,
        retry_after: None,
    }
}

fn allow(dialect: Option<Dialect>, mut told: HeaderMap, came: &HeaderMap) -> Response<Body> {
    if dialect == Some(Dialect::ExtAuthz)
        && let Ok(names) = HeaderValue::from_str(&to_remove(&told, came).join(","))
    {
        told.insert(TO_REMOVE, names);
    }
    told.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let mut response = Response::new(Body::empty());
    *response.headers_mut() = told;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_browsers_own_tab_is_sent_elsewhere() {
        const HTML: (&str, &str) = ("accept", "text/html,*/*;q=0.8");
        for (fields, method, want) in [
            (&[HTML][..], "GET", (true, true)),
            (&[HTML], "HEAD", (true, true)),
            (&[HTML], "POST", (true, false)),
            (
                &[
                    HTML,
                    ("sec-fetch-mode", "navigate"),
                    ("sec-fetch-dest", "document"),
                ],
                "GET",
                (true, true),
            ),
            (
                &[HTML, ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")],
                "GET",
                (true, false),
            ),
            (&[HTML, ("sec-fetch-mode", "cors")], "GET", (false, false)),
            (&[("accept", "*/*")], "GET", (false, false)),
            (&[], "GET", (false, false)),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_static(value));
            }
            let audience = Audience::of(&headers).asks_with(&method.parse().unwrap());
            assert_eq!((audience.html, audience.navigates), want, "{fields:?} {method}");
        }
    }
}
