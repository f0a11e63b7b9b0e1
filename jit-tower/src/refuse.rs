//! Refusals as responses.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::request::Parts;
use http::{Method, Response};
use jit_core::gate::Gate;
use jit_core::gate::refusal::Refusal;
use jit_core::id::{RequestId, Timestamp};
use serde::Serialize;

/// A refusal, and what an answer to it may depend on.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Refused<'a> {
    /// Why.
    pub refusal: &'a Refusal,
    /// The head of the request, as it came. Nothing in it has been proven or cleaned.
    pub head: &'a Parts,
    /// Where the control API is.
    pub control_prefix: &'a str,
    /// When it was refused.
    pub now: Timestamp,
}

/// Answers refusals. Implemented by every `Fn(Refused<'_>) -> Response<Bytes>`.
///
/// Whatever it answers, the [`Refusal`] is put into the response's extensions, a `HEAD` gets no body, and a 2xx status is
/// replaced by the refusal's own: other proxies take any 2xx for an admission.
pub trait RefusalResponder {
    /// The answer.
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes>;
}

impl<F> RefusalResponder for F
where
    F: Fn(Refused<'_>) -> Response<Bytes>,
{
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes> {
        self(refused)
    }
}

/// problem+json (RFC 9457) for programs, and a plain page for clients that accept `text/html`.
///
/// The problem's `type` is a reference relative to the host (RFC 9457 §3.1.1): the control API's prefix, `/problems/` and
/// [`Refusal::kind`]. The last part is stable.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct DefaultRefusal;

/// The members of the problem (RFC 9457 §3), and ours.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resource: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_url: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<RequestId>,
}

impl RefusalResponder for DefaultRefusal {
    fn respond(&self, refused: Refused<'_>) -> Response<Bytes> {
        let Refused {
            refusal,
            head,
            control_prefix,
            now,
        } = refused;
        let detail = refusal.detail();
        let asks = refusal.can_ask() || refusal.request().is_some();
        let problem = Problem {
            r#type: format!("{control_prefix}/problems/{}", refusal.kind()),
            title: refusal.title(),
            status: refusal.status().as_u16(),
            detail: &detail,
            resource: refusal.resource().map(|name| name.as_str()),
            request_url: asks.then(|| format!("{control_prefix}/v1/requests")),
            request_id: refusal.request(),
        };
        let html = accepts_html(head);
        let (kind, text) = if html {
            ("text/html; charset=utf-8", page(&problem))
        } else {
            let json = serde_json::to_string(&problem).unwrap_or_default();
            ("application/problem+json", json)
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = refusal.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = "default-src 'none'; frame-ancestors 'none'";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        if let Some(challenge) = refusal.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        if let Some(seconds) = refusal.retry_after(now) {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

/// Whether the client names `text/html` among what it accepts, as browsers do on a navigation.
fn accepts_html(head: &Parts) -> bool {
    let fields = head.headers.get_all(ACCEPT).iter();
    let mut ranges = fields.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    ranges.any(|range| {
        let kind = range.split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
}

fn page(problem: &Problem<'_>) -> String {
    let mut more = String::new();
    for (label, value) in [
        ("Resource", problem.resource.map(str::to_owned)),
        ("Your request", problem.request_id.map(|id| id.to_string())),
        ("Ask at", problem.request_url.clone()),
    ] {
        if let Some(value) = value {
            more.push_str(&format!("<p>{label}: <code>{}</code></p>\n", escaped(&value)));
        }
    }
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n{more}</html>\n",
        title = escaped(problem.title),
        detail = escaped(problem.detail),
    )
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

pub(crate) fn refuse<R: RefusalResponder>(
    responder: &R,
    gate: &Gate,
    head: &Parts,
    refusal: Refusal,
) -> Response<Bytes> {
    let mut response = responder.respond(Refused {
        refusal: &refusal,
        head,
        control_prefix: gate.control_prefix(),
        now: gate.now(),
    });
    if response.status().is_success() {
        *response.status_mut() = refusal.status();
    }
    if head.method == Method::HEAD {
        response.body_mut().clear();
    }
    response.extensions_mut().insert(refusal);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_is_text() {
        assert_eq!(
            escaped(r#"<a href="x" id='y'>&"#),
            "&lt;a href=&quot;x&quot; id=&#39;y&#39;&gt;&amp;"
        );
    }

    #[test]
    fn only_who_names_html_gets_a_page() {
        for (accept, expected) in [
            ("text/html,application/xhtml+xml,*/*;q=0.8", true),
            ("application/json, TEXT/HTML ;q=0.1", true),
            ("*/*", false),
            ("text/*", false),
            ("application/text/html", false),
            ("", false),
        ] {
            let request = http::Request::builder().header(ACCEPT, accept).body(()).unwrap();
            assert_eq!(accepts_html(&request.into_parts().0), expected, "{accept}");
        }
    }
}
