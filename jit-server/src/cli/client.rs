//! One request to the control API and its answer.
//!
//! 1. No redirect is followed: the token goes where it was meant to, and nowhere else.
//! 2. An answer is read up to a limit, and JSON or an error.
//! 3. What can be gone when the same is sent again is told apart from what can't ([`Passing`]): who may send it again does so (`retry.rs`).
//! 4. A problem becomes a [`Failure`] with the code of its kind, its own words, and what to do.

use std::error::Error;
use std::fmt::Write as _;
use std::io;
use std::time::Duration;

use jit_core::id::RequestId;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::tls::Certificate;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Failure, Passing};
use super::inert::Text;

/// Longest answer, in bytes. The longest that the API gives is a page of the audit log.
const ANSWER_MAX: usize = 32 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take, beyond what was asked to be waited.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A control API, and who asks it.
#[derive(Debug)]
pub(super) struct Client {
    http: reqwest::Client,
    base: Url,
    bearer: HeaderValue,
}

impl Client {
    pub(super) fn new(
        base: Url,
        local: bool,
        bearer: HeaderValue,
        authorities: Option<&str>,
    ) -> Result<Self, Failure> {
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("jit/", env!("CARGO_PKG_VERSION")));
        if local {
            // What is meant for this machine is no proxy's business.
            builder = builder.no_proxy();
        }
        if let Some(pem) = authorities {
            let certificates = Certificate::from_pem_bundle(pem.as_bytes());
            let certificates = certificates.ok().filter(|found| !found.is_empty());
            let certificates = certificates.ok_or_else(|| {
                Failure::usage("--ca-file holds no certificate in PEM; name the right file")
            })?;
            builder = builder.tls_certs_merge(certificates);
        }
        let http = builder.build().map_err(|error| Failure::failed(causes(&error)))?;
        Ok(Self { http, base, bearer })
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, String)]) -> Result<Value, Failure> {
        self.get_within(path, query, Duration::ZERO).await
    }

    /// Reads what is answered after at most `wait`, when things are as they should be.
    pub(super) async fn get_within(
        &self,
        path: &str,
        query: &[(&str, String)],
        wait: Duration,
    ) -> Result<Value, Failure> {
        let mut url = self.url(path)?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let request = self
            .http
            .request(Method::GET, url)
            .timeout(ANSWER_TIMEOUT.saturating_add(wait));
        self.send(request).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.post_once(path, body, None).await
    }

    /// Posts under a key: the same key again does nothing again, and is answered the same.
    pub(super) async fn post_once(
        &self,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Result<Value, Failure> {
        let mut request = (self.http.request(Method::POST, self.url(path)?))
            .timeout(ANSWER_TIMEOUT)
            .header(CONTENT_TYPE, "application/json")
            .body(body.to_string());
        if let Some(key) = key {
            let value = HeaderValue::try_from(key);
            let value = value
                .map_err(|_| Failure::usage("--idempotency-key must be 1 to 128 visible ASCII characters"))?;
            request = request.header("idempotency-key", value);
        }
        self.send(request).await
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(Failure::failed)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Value, Failure> {
        let request = request
            .header(AUTHORIZATION, self.bearer.clone())
            .header(ACCEPT, "application/json, application/problem+json");
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let about = about(response.url());
        let passing = passing(status, response.headers());
        let is_json = is_json(&response);
        let body = self.body(response).await?;
        if status == StatusCode::NO_CONTENT {
            return Ok(Value::Null);
        }
        let read = if is_json {
            serde_json::from_slice(&body).ok()
        } else {
            None
        };
        match read {
            Some(value) if status.is_success() => Ok(value),
            Some(value) => Err(problem(status, value, about).passing(passing)),
            None => Err(Failure::new(
                Exit::Unreachable,
                format!(
                    "{} answers {status} without JSON, so no control API is there; check --url or JIT_URL",
                    self.base
                ),
            )
            .passing(passing)),
        }
    }

    async fn body(&self, mut response: Response) -> Result<Vec<u8>, Failure> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            if body.len().saturating_add(chunk.len()) > ANSWER_MAX {
                let base = &self.base;
                return Err(Failure::failed(format!(
                    "{base} answers more than {ANSWER_MAX} bytes, which no answer has; check --url or JIT_URL"
                )));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    fn unreachable(&self, error: &reqwest::Error) -> Failure {
        let why = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            causes(error)
        };
        Failure::new(
            Exit::Unreachable,
            format!(
                "{} can't be reached: {why}; check --url or JIT_URL, and that the server runs",
                self.base
            ),
        )
        .passing(lost(error))
    }
}

fn is_json(response: &Response) -> bool {
    let kind = response.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
        || essence.eq_ignore_ascii_case("application/problem+json")
}

/// A balancer without a server, or a server that can't do it now. One that is restarted can have done it before it ended.
fn passing(status: StatusCode, headers: &HeaderMap) -> Option<Passing> {
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.parse().ok());
    matches!(
        status,
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT
    )
    .then(|| Passing {
        may_be_done: true,
        after: seconds.map(Duration::from_secs),
    })
}

/// What became of a request without a whole answer. A name or a certificate that is wrong stays wrong.
fn lost(error: &reqwest::Error) -> Option<Passing> {
    let unsent = error.is_connect();
    let passes = !unsent || error.is_timeout() || is_gone(error);
    (passes && !error.is_builder()).then_some(Passing {
        may_be_done: !unsent,
        after: None,
    })
}

fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, NetworkUnreachable, TimedOut,
        UnexpectedEof,
    };
    matches!(
        error.kind(),
        ConnectionRefused
            | ConnectionReset
            | ConnectionAborted
            | HostUnreachable
            | NetworkUnreachable
            | TimedOut
            | UnexpectedEof
    )
}

/// Whether the operating system said that there is nobody, or that whoever was there is gone.
fn is_gone(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(known) = cause {
        if known.downcast_ref().is_some_and(is_passing) {
            return true;
        }
        cause = known.source();
    }
    false
}

/// The innermost cause says what went wrong; those around it say where in the code.
fn causes(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Reads an answer as what it should be.
pub(super) fn parsed<T: for<'de> Deserialize<'de>>(answer: &Value) -> Result<T, Failure> {
    T::deserialize(answer).map_err(|error| {
        Failure::failed(format!(
            "the answer is not what this version of jit knows: {error}; use the server's version of jit"
        ))
    })
}

/// A problem (RFC 9457), as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<Text>,
    detail: Option<Text>,
    request_id: Option<RequestId>,
    retry_at: Option<Text>,
    step_up_url: Option<Text>,
    console_url: Option<Text>,
    amr_values: Option<Vec<Text>>,
}

impl Problem {
    /// What whoever falls short of a policy's second factor can do.
    fn factors(&self) -> Vec<String> {
        let takes_codes = self.step_up_url.is_some()
            && (self.amr_values.as_ref())
                .is_none_or(|methods| methods.iter().any(|method| method.as_str() == "otp"));
        let code = takes_codes.then(|| "With an authenticator app: jit step-up, then this again.".to_owned());
        let passkey = self.console_url.as_ref().map(|url| {
            format!(
                "With a passkey: do this in the web console, {url}; a passkey can't be used in a terminal."
            )
        });
        let mends: Vec<String> = code.into_iter().chain(passkey).collect();
        if mends.is_empty() {
            return vec!["Sign in anew with your identity provider, and use the new token.".to_owned()];
        }
        mends
    }
}

/// Which request an endpoint is about.
fn about(url: &Url) -> Option<RequestId> {
    url.path_segments()?.find_map(|part| part.parse().ok())
}

fn problem(status: StatusCode, value: Value, about: Option<RequestId>) -> Failure {
    let problem: Problem = serde_json::from_value(value).unwrap_or_default();
    let kind = problem
        .kind
        .as_deref()
        .and_then(|kind| kind.rsplit('/').next())
        .unwrap_or_default();
    let exit = match kind {
        "stale-digest" | "already-decided" => Exit::Changed,
        "audit-unavailable" | "directory-unavailable" => Exit::Unreachable,
        _ if status.is_server_error() => Exit::Unreachable,
        _ if status.is_client_error() => Exit::Refused,
        _ => Exit::Failed,
    };
    let mut text = match (&problem.title, &problem.detail) {
        (Some(title), Some(detail)) => match rest(detail, title) {
            Some(rest) => format!("{title}{rest}"),
            None => format!("{title}\n  {detail}"),
        },
        (Some(text), None) | (None, Some(text)) => text.to_string(),
        (None, None) => format!("the control API answers {status}"),
    };
    let mut mend = |mend: String| {
        let _ = write!(text, "\n  {mend}");
    };
    match kind {
        "unauthenticated" => {
            mend("Check JIT_TOKEN or --token-file: the server does not know this token.".to_owned());
        }
        "stale-digest" | "already-decided" => {
            let id = about.map_or_else(|| "ID".to_owned(), |id| id.to_string());
            mend(format!("Read it again: jit show {id}"));
        }
        "not-eligible" => mend(
            "What you may ask for: jit policies. The rest is for who may approve, and for the roles under [control] in the policy file."
                .to_owned(),
        ),
        "step-up-required" => problem.factors().into_iter().for_each(&mut mend),
        "no-second-factor" => {
            if let Some(url) = &problem.console_url {
                mend(format!(
                    "With a passkey: act in the web console, {url}; a passkey can't be used in a terminal."
                ));
            }
        }
        _ => {}
    }
    if let Some(id) = problem.request_id {
        mend(format!("The request in the way: jit show {id}"));
    }
    if let Some(at) = problem.retry_at {
        mend(format!("Trying again can help from {at}."));
    }
    Failure::new(exit, text)
}

/// What a detail says after the title, if it begins by saying that again.
fn rest<'t>(detail: &'t Text, title: &Text) -> Option<&'t str> {
    let (start, rest) = detail.as_str().split_at_checked(title.as_str().len())?;
    start.eq_ignore_ascii_case(title.as_str()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_title_says_is_not_said_twice() {
        for (title, detail, said) in [
            (
                "You are not eligible",
                "you are not eligible for this",
                "You are not eligible for this",
            ),
            (
                "There is no such thing",
                "There is no such thing, or none",
                "There is no such thing, or none",
            ),
            (
                "The request's state does not allow that",
                "the request is denied",
                "The request's state does not allow that\n  the request is denied",
            ),
            ("Né", "N", "Né\n  N"),
        ] {
            let (title, detail) = (json!(title), json!(detail));
            let value = json!({"type": "/_jit/problems/x", "title": title, "detail": detail});
            assert_eq!(problem(StatusCode::CONFLICT, value, None).text, said);
        }
    }

    #[test]
    fn each_kind_of_problem_has_its_exit_code() {
        for (status, kind, exit) in [
            (403, "not-eligible", Exit::Refused),
            (401, "unauthenticated", Exit::Refused),
            (429, "limit-reached", Exit::Refused),
            (400, "invalid", Exit::Refused),
            (404, "not-found", Exit::Refused),
            (409, "stale-digest", Exit::Changed),
            (409, "already-decided", Exit::Changed),
            (503, "audit-unavailable", Exit::Unreachable),
            (502, "", Exit::Unreachable),
            (301, "", Exit::Failed),
        ] {
            let value = json!({"type": format!("/_jit/problems/{kind}"), "title": "T", "detail": "d\u{1b}[2J\r\nerror: x"});
            let failure = problem(StatusCode::from_u16(status).unwrap(), value, None);
            assert_eq!(failure.exit, exit, "{status} {kind}");
            assert!(
                failure.text.starts_with("T\n  d\\u{1b}[2J\\r\\nerror: x"),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn who_falls_short_is_told_what_they_can_prove() {
        let (code, passkey, anew) = (
            "jit step-up",
            "https://access.example.com; a passkey",
            "Sign in anew",
        );
        for (more, told) in [
            (
                json!({"step_up_url": "/_jit/v1/me/step-up", "console_url": "https://access.example.com"}),
                [true, true, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk", "otp"]}),
                [true, false, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk"], "console_url": "https://access.example.com"}),
                [false, true, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk"]}),
                [false, false, true],
            ),
            (json!({}), [false, false, true]),
        ] {
            let mut value = json!({"type": "/_jit/problems/step-up-required", "title": "T"});
            value
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let text = problem(StatusCode::UNAUTHORIZED, value, None).text;
            assert_eq!(
                [code, passkey, anew].map(|part| text.contains(part)),
                told,
                "{more}: {text}"
            );
        }
    }

    #[test]
    fn a_problem_that_is_none_is_still_a_refusal() {
        for value in [json!(null), json!([]), json!("x"), json!({"title": 7}), json!({})] {
            assert_eq!(problem(StatusCode::FORBIDDEN, value, None).exit, Exit::Refused);
        }
    }
}
