//! A refusal as the body and headers of an HTTP answer, the same at every door.
//!
//! Programs get problem+json (RFC 9457), browsers a plain page. The problem's `type` is the control API's address, `/problems/`
//! and [`Refusal::kind`]: a reference relative to the host (RFC 9457 §3.1.1) where that address is a path. The last part is stable.

use std::borrow::Cow;

use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER, VARY,
    WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use http::{Response, StatusCode};
use serde::Serialize;

use crate::gate::refusal::Refusal;
use crate::id::{RequestId, ResourceName, Timestamp};

/// What a refusal says, before it is put into words for a program or a browser.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a door that refuses before the gate is asked says why in the same form"
)]
pub struct Problem<'a> {
    /// Where the control API is: a path, or a URL that ends with one. Without a slash at its end.
    pub control: &'a str,
    /// The stable name: the end of the problem type.
    pub kind: &'a str,
    /// What happened, in a few words.
    pub title: &'a str,
    /// The status: 4xx or 5xx.
    pub status: StatusCode,
    /// What to do next, in a sentence.
    pub detail: Cow<'a, str>,
    /// What was wanted, where the caller may learn its name.
    pub resource: Option<&'a ResourceName>,
    /// Whether a grant may be asked for, or was.
    pub asks: bool,
    /// The asking that waits.
    pub request: Option<RequestId>,
    /// The challenge of a 401.
    pub challenge: Option<HeaderValue>,
    /// In how many seconds to try again.
    pub retry_after: Option<u64>,
}

/// The members of the problem (RFC 9457 §3), and ours.
#[derive(Serialize)]
struct Members<'a> {
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

impl<'a> Problem<'a> {
    /// The problem that a gate's refusal is, at `now`.
    pub fn of(refusal: &'a Refusal, control: &'a str, now: Timestamp) -> Self {
        Self {
            control,
            kind: refusal.kind(),
            title: refusal.title(),
            status: refusal.status(),
            detail: refusal.detail(),
            resource: refusal.resource(),
            asks: refusal.can_ask() || refusal.request().is_some(),
            request: refusal.request(),
            challenge: refusal.challenge(),
            retry_after: refusal.retry_after(now),
        }
    }

    /// As problem+json. ASCII and printable, so that it fits a header field as well.
    pub fn json(&self) -> String {
        let members = Members {
            r#type: format!("{}/problems/{}", self.control, self.kind),
            title: self.title,
            status: self.status.as_u16(),
            detail: &self.detail,
            resource: self.resource.map(|name| name.as_str()),
            request_url: self.request_url(),
            request_id: self.request,
        };
        let text = serde_json::to_string(&members).unwrap_or_default();
        if text.is_ascii() {
            return text;
        }
        let mut ascii = String::with_capacity(text.len() + 16);
        for c in text.chars() {
            if c.is_ascii() {
                ascii.push(c);
            } else {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    ascii.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
        ascii
    }

    /// As a plain page.
    pub fn page(&self) -> String {
        let mut more = String::new();
        for (label, value) in [
            ("Resource", self.resource.map(|name| name.as_str().to_owned())),
            ("Your request", self.request.map(|id| id.to_string())),
            ("Ask at", self.request_url()),
        ] {
            if let Some(value) = value {
                more.push_str(&format!("<p>{label}: <code>{}</code></p>\n", escaped(&value)));
            }
        }
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
             <title>{title}</title>\n<h1>{title}</h1>\n<p>{detail}</p>\n{more}</html>\n",
            title = escaped(self.title),
            detail = escaped(&self.detail),
        )
    }

    /// As a whole answer: the page if `html`, else problem+json. Its body ends with a line end, for whoever reads it in a terminal.
    pub fn response(&self, html: bool) -> Response<String> {
        let (kind, text) = if html {
            ("text/html; charset=utf-8", self.page())
        } else {
            ("application/problem+json", self.json() + "\n")
        };
        let mut response = Response::new(text);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(VARY, HeaderValue::from_static("accept"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        let policy = "default-src 'none'; frame-ancestors 'none'";
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
        if let Some(challenge) = &self.challenge {
            headers.insert(WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    fn request_url(&self) -> Option<String> {
        self.asks.then(|| format!("{}/v1/requests", self.control))
    }
}

/// Whether the client names `text/html` among what it accepts, as browsers do on a navigation.
pub fn accepts_html(headers: &HeaderMap) -> bool {
    let fields = headers.get_all(ACCEPT).iter();
    let mut ranges = fields.flat_map(|value| value.as_bytes().split(|b| *b == b','));
    ranges.any(|range| {
        let kind = range.split(|b| *b == b';').next().unwrap_or_default();
        kind.trim_ascii().eq_ignore_ascii_case(b"text/html")
    })
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
    fn a_problem_fits_a_header_field() {
        let mut problem = Problem::of(&Refusal::LockedDown, "/_jit", Timestamp::UNIX_EPOCH);
        problem.detail = "Zur\u{fc}ck \u{1f512}\r\n".into();
        let json = problem.json();
        assert!(json.contains(r"Zur\u00fcck \ud83d\udd12\r\n"), "{json}");
        assert!(HeaderValue::from_str(&json).is_ok());
        let read: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(read["detail"], "Zur\u{fc}ck \u{1f512}\r\n");
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
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(accepts_html(&headers), expected, "{accept}");
        }
    }
}
