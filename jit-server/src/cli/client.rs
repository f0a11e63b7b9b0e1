//! One request to the control API and its answer.
//!
//! 1. No redirect is followed: the token goes where it was meant to, and nowhere else.
//! 2. An answer is read up to a limit, and JSON or an error.
//! 3. What can be gone when the same is sent again is told apart from what can't ([`Passing`]): who may send it again does so (`retry.rs`).
//! 4. A problem becomes a [`Failure`] (`problem.rs`).

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::tls::Certificate;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Failure, Passing};
use super::problem::{Endpoint, problem};

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
        self.send(&Method::GET, request).await
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
        self.send(&Method::POST, request).await
    }

    fn url(&self, path: &str) -> Result<Url, Failure> {
        self.base.join(path).map_err(Failure::failed)
    }

    async fn send(&self, method: &Method, request: RequestBuilder) -> Result<Value, Failure> {
        let request = request
            .header(AUTHORIZATION, self.bearer.clone())
            .header(ACCEPT, "application/json, application/problem+json");
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        let status = response.status();
        let endpoint = Endpoint::of(method, response.url());
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
            Some(value) => Err(problem(status, value, &endpoint).passing(passing)),
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
        // What rustls says of an answer that begins with no record of TLS (RFC 8446 §5.1).
        let why = if why.contains("InvalidContentType") {
            "nothing speaks TLS there; is it http://?".to_owned()
        } else {
            why
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
