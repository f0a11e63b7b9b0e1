//! Problems (RFC 9457): one way to say no, with a stable `type` for programs and a sentence for people.
//!
//! 1. What the control plane refuses is told as it is; what failed inside is logged with its source and told as "try again".
//! 2. Text that came from the caller is cleaned and cut before it is sent back.
//! 3. Only [`Problem::render`] writes a body: the prefix and the time come in there, once, from the layer around all handlers.

mod kind;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue};
use jit_core::approval::refused::Refused;
use jit_core::approval::state::State;
use jit_core::broker::Rejection;
use jit_core::gate::challenge;
use jit_core::gate::step_up::StepUpError;
use jit_core::id::{Digest, RequestId, Timestamp};
use jit_core::policy::terms::MfaTerms;
use jit_core::policy::text;
use serde::Serialize;
use utoipa::ToSchema;

pub(crate) use kind::Kind;

use crate::json::line;
use crate::settings::ApiSettings;
use crate::view::{Time, texts};

/// Longest detail, in characters.
const DETAIL_MAX: usize = 400;
/// When to come back after something inside failed, in seconds.
const RETRY_SECONDS: u64 = 5;

/// A problem on its way to the caller.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Kind,
    detail: String,
    more: Box<More>,
}

/// What a program may want to read, beyond the kind.
#[derive(Debug, Clone, Default)]
struct More {
    field: Option<String>,
    digest: Option<Digest>,
    state: Option<State>,
    request: Option<RequestId>,
    retry_at: Option<Timestamp>,
    mfa: Option<MfaTerms>,
}

/// A problem as it is sent (RFC 9457 §3). Members that do not apply are absent.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody {
    /// Which kind of problem: a relative reference that ends in a stable name, such as `/_jit/problems/not-eligible`.
    #[serde(rename = "type")]
    kind: String,
    /// The kind in words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time, and what would be right.
    detail: String,
    /// `invalid`: the field, parameter or header that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<String>,
    /// `stale-digest`: the digest that counts now.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_digest: Option<String>,
    /// `already-decided`: the state that the request is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
    /// `limit-reached`: the request that stands in the way.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<String>,
    /// Where that request is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    request_url: Option<String>,
    /// `limit-reached`: when trying again can help.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_at: Option<Time>,
    /// `step-up-required`: how old the sign-in may be, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_age: Option<u64>,
    /// `step-up-required`: the classes of which the sign-in's `acr` must be one, the preferred first.
    #[serde(skip_serializing_if = "Option::is_none")]
    acr_values: Option<Vec<String>>,
    /// `step-up-required`: the methods of which one must be in the sign-in's `amr`.
    #[serde(skip_serializing_if = "Option::is_none")]
    amr_values: Option<Vec<String>>,
    /// `step-up-required`: where a code of your second factor can be sent, if this server takes any.
    #[serde(skip_serializing_if = "Option::is_none")]
    step_up_url: Option<String>,
    /// `step-up-required`, `no-second-factor`: where a browser can prove a second factor, such as a passkey, and do the same, if this server
    /// has a console.
    #[serde(skip_serializing_if = "Option::is_none")]
    console_url: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl AsRef<str>) -> Self {
        Self {
            kind,
            detail: text::clean(detail.as_ref()).chars().take(DETAIL_MAX).collect(),
            more: Box::default(),
        }
    }

    /// A wrong `field`, parameter or header; `problem` reads on after its name.
    pub(crate) fn invalid(field: impl AsRef<str>, problem: impl AsRef<str>) -> Self {
        let field: String = text::clean(field.as_ref()).chars().take(64).collect();
        let mut made = Self::new(Kind::Invalid, format!("`{field}` {}", problem.as_ref()));
        made.more.field = Some(field);
        made
    }

    /// No such thing, or none that the caller may see.
    pub(crate) fn not_found() -> Self {
        Refused::NotFound.into()
    }

    /// Too many at once; try again soon.
    pub(crate) fn too_many(detail: &str, now: Timestamp) -> Self {
        let mut made = Self::new(Kind::LimitReached, detail);
        made.more.retry_at = now.checked_add_signed(chrono::TimeDelta::seconds(1));
        made
    }

    #[cfg(any(test, feature = "web"))]
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    #[cfg(any(test, feature = "web"))]
    pub(crate) fn field(&self) -> Option<&str> {
        self.more.field.as_deref()
    }

    #[cfg(any(test, feature = "web"))]
    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    /// The request that stands in the way.
    #[cfg(feature = "web")]
    pub(crate) fn request(&self) -> Option<RequestId> {
        self.more.request
    }

    /// How the sign-in must be, if that is what is missing.
    #[cfg(feature = "web")]
    pub(crate) fn wanted(&self) -> Option<&MfaTerms> {
        self.more.mfa.as_ref()
    }

    /// When trying again can help.
    #[cfg(feature = "web")]
    pub(crate) fn retry_at(&self) -> Option<Timestamp> {
        self.more.retry_at
    }

    /// The body, without the response around it.
    pub(crate) fn body(&self, settings: &ApiSettings) -> ProblemBody {
        let more = &self.more;
        ProblemBody {
            kind: settings.problem_type(self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail.clone(),
            field: more.field.clone(),
            current_digest: more.digest.map(|digest| digest.to_string()),
            state: more.state.map(State::as_str),
            request_id: more.request.map(|id| id.to_string()),
            request_url: more.request.map(|id| settings.request_url(id)),
            retry_at: more.retry_at.map(Time),
            max_age: more.mfa.as_ref().and_then(challenge::max_age_seconds),
            acr_values: (more.mfa.as_ref())
                .filter(|terms| !terms.acr.is_empty())
                .map(|terms| terms.acr.clone()),
            amr_values: (more.mfa.as_ref())
                .filter(|terms| !terms.amr.is_empty())
                .map(|terms| texts(&terms.amr)),
            step_up_url: (self.kind == Kind::StepUpRequired)
                .then(|| settings.step_up_url())
                .flatten(),
            console_url: (settings.console())
                .filter(|_| matches!(self.kind, Kind::StepUpRequired | Kind::NoSecondFactor))
                .map(str::to_owned),
        }
    }

    /// How to sign in, if signing in helps.
    fn challenge(&self) -> Option<HeaderValue> {
        match (self.kind, &self.more.mfa) {
            (Kind::Unauthenticated, _) => Some(challenge::unauthenticated()),
            (Kind::StepUpRequired, Some(terms)) => Some(challenge::step_up(terms)),
            _ => None,
        }
    }

    /// Writes the problem into `response`, which keeps the headers that others have set (`Allow`).
    pub(crate) fn render(
        &self,
        response: &mut Response,
        settings: &ApiSettings,
        now: impl FnOnce() -> Timestamp,
    ) {
        let body = line(&self.body(settings)).unwrap_or_default();
        *response.status_mut() = self.kind.status();
        *response.body_mut() = body.into();
        let headers = response.headers_mut();
        headers.remove(http::header::CONTENT_LENGTH);
        if let Some(challenge) = self.challenge() {
            headers.insert(WWW_AUTHENTICATE, challenge);
        }
        let mut put = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        };
        put(CONTENT_TYPE, "application/problem+json".to_owned());
        match self.kind {
            Kind::AuditUnavailable | Kind::DirectoryUnavailable => {
                put(RETRY_AFTER, RETRY_SECONDS.to_string());
            }
            _ => {}
        }
        if let Some(at) = self.more.retry_at {
            // Rounded up: whoever comes back on the second must not come too early.
            let millis = at.signed_duration_since(now()).num_milliseconds().max(0);
            put(
                RETRY_AFTER,
                millis.saturating_add(999).div_euclid(1000).max(1).to_string(),
            );
        }
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let detail = refused.to_string();
        let mut more = More::default();
        let kind = match refused {
            Refused::NotFound => {
                return Self::new(
                    Kind::NotFound,
                    "There is no such thing, or none that you may see.",
                );
            }
            Refused::NotEligible => Kind::NotEligible,
            Refused::SelfReview => Kind::SelfReview,
            Refused::StaleDigest { current } => {
                more.digest = Some(current);
                Kind::StaleDigest
            }
            Refused::AlreadyDecided { state } => {
                more.state = Some(state);
                Kind::AlreadyDecided
            }
            Refused::LimitReached {
                retry_at, request, ..
            } => {
                more.retry_at = retry_at;
                more.request = request;
                Kind::LimitReached
            }
            Refused::LockedDown { .. } => Kind::LockedDown,
            Refused::StepUp { terms } => {
                more.mfa = Some(terms);
                Kind::StepUpRequired
            }
            Refused::Invalid { field, problem } => return Self::invalid(field, problem),
        };
        Self {
            more: Box::new(more),
            ..Self::new(kind, detail)
        }
    }
}

impl From<Rejection> for Problem {
    fn from(rejection: Rejection) -> Self {
        match rejection {
            Rejection::Refused(refused) => refused.into(),
            Rejection::Store(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the store failed under the control API"
                );
                Self::new(
                    Kind::AuditUnavailable,
                    "Nothing can be written down at the moment, so nothing is done. Try again soon.",
                )
            }
            Rejection::Directory(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the directory failed under the control API"
                );
                Self::new(
                    Kind::DirectoryUnavailable,
                    "People can't be looked up at the moment. Try again soon.",
                )
            }
            other => {
                tracing::error!(
                    error = &other as &dyn std::error::Error,
                    "the broker failed under the control API"
                );
                Self::new(
                    Kind::AuditUnavailable,
                    "This can't be done at the moment. Try again soon.",
                )
            }
        }
    }
}

impl From<StepUpError> for Problem {
    fn from(error: StepUpError) -> Self {
        match error {
            StepUpError::NotEnrolled => Self::new(
                Kind::NoSecondFactor,
                "Ask whoever runs this server to add the secret of your authenticator app, or sign in anew with your identity provider.",
            ),
            StepUpError::Wrong => Self::new(
                Kind::InvalidCode,
                "The code is not right, not right any more, or was used before. Wait for the next one and send that.",
            ),
            StepUpError::TooMany { retry_at } => {
                let mut made = Self::new(
                    Kind::LimitReached,
                    "Too many codes were sent for you; this one was not looked at.",
                );
                made.more.retry_at = Some(retry_at);
                made
            }
            other => {
                tracing::error!(
                    error = &other as &dyn std::error::Error,
                    "a second factor could not be verified"
                );
                Self::new(
                    Kind::DirectoryUnavailable,
                    "Your second factor can't be verified at the moment. Try again soon.",
                )
            }
        }
    }
}

/// Hands the problem to the layer around all handlers, which renders it.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use jit_core::broker::directory::DirectoryError;
    use jit_core::broker::store::StoreError;
    use jit_core::span::Span;
    use serde_json::{Value, json};

    use super::*;
    use crate::sample::at;

    async fn sent(problem: impl Into<Problem>) -> (Response, Value) {
        let problem: Problem = problem.into();
        let mut response = problem.clone().into_response();
        problem.render(&mut response, &ApiSettings::default(), || at(0));
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 16).await.unwrap();
        let value = serde_json::from_slice(&body).unwrap();
        (Response::from_parts(parts, body.into()), value)
    }

    #[tokio::test]
    async fn each_refusal_has_its_status_and_type() {
        let digest = Digest::plain(b"now");
        let limit = |retry_at| Refused::LimitReached {
            limit: "one request at a time".to_owned(),
            retry_at,
            request: Some(RequestId::from_u128(1)),
        };
        let step_up = |max_age| Refused::StepUp {
            terms: MfaTerms {
                max_age,
                ..MfaTerms::default()
            },
        };
        let locked = Refused::LockedDown {
            reason: "INC-9".to_owned(),
        };
        for (refused, status, name, member, value) in [
            (
                Refused::NotFound,
                404,
                "not-found",
                "title",
                json!("There is no such thing"),
            ),
            (Refused::NotEligible, 403, "not-eligible", "status", json!(403)),
            (Refused::SelfReview, 403, "self-review", "status", json!(403)),
            (
                Refused::StaleDigest { current: digest },
                409,
                "stale-digest",
                "current_digest",
                json!(digest),
            ),
            (
                Refused::AlreadyDecided {
                    state: State::TimedOut,
                },
                409,
                "already-decided",
                "state",
                json!("timed_out"),
            ),
            (
                limit(None),
                429,
                "limit-reached",
                "request_id",
                json!(RequestId::from_u128(1)),
            ),
            (
                limit(Some(at(1))),
                429,
                "limit-reached",
                "retry_at",
                json!("2026-03-01T09:01:00Z"),
            ),
            (locked, 403, "locked-down", "detail", json!("locked down: INC-9")),
            (step_up(None), 401, "step-up-required", "max_age", Value::Null),
            (
                step_up(Some(Span::minutes(15))),
                401,
                "step-up-required",
                "max_age",
                json!(900),
            ),
            (
                Refused::invalid("duration", "is too long"),
                400,
                "invalid",
                "field",
                json!("duration"),
            ),
        ] {
            let (response, body) = sent(refused).await;
            assert_eq!(response.status(), status, "{body}");
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
            assert_eq!(body["type"], format!("/_jit/problems/{name}"));
            assert_eq!(body["status"], status, "{body}");
            assert_eq!(body[member], value, "{body}");
        }
    }

    #[tokio::test]
    async fn headers_say_when_to_come_back_and_how_to_sign_in() {
        let limit = |retry_at| Refused::LimitReached {
            limit: String::new(),
            retry_at,
            request: None,
        };
        let soon = at(0) + chrono::TimeDelta::milliseconds(1001);
        let age = Refused::StepUp {
            terms: MfaTerms {
                max_age: Some(Span::minutes(15)),
                ..MfaTerms::default()
            },
        };
        let stepped = "Bearer error=\"insufficient_user_authentication\", \
                       error_description=\"A stronger or more recent sign-in is needed\", max_age=\"900\"";
        for (problem, header, value) in [
            (limit(Some(soon)).into(), RETRY_AFTER, Some("2")),
            (limit(Some(at(-5))).into(), RETRY_AFTER, Some("1")),
            (limit(None).into(), RETRY_AFTER, None),
            (age.into(), WWW_AUTHENTICATE, Some(stepped)),
            (
                Problem::new(Kind::Unauthenticated, ""),
                WWW_AUTHENTICATE,
                Some("Bearer"),
            ),
            (Problem::from(Refused::NotEligible), WWW_AUTHENTICATE, None),
        ] {
            let (response, body) = sent(problem).await;
            let found = response
                .headers()
                .get(&header)
                .map(|found| found.to_str().unwrap());
            assert_eq!(found, value, "{header} of {body}");
        }
    }

    #[tokio::test]
    async fn what_failed_inside_stays_inside() {
        let store = |source: &str| Rejection::Store(StoreError::unavailable(source.to_owned()));
        let damaged = Rejection::Store(StoreError::Damaged {
            what: "s3cret at page 7".to_owned(),
        });
        let directory = Rejection::Directory(DirectoryError {
            source: "ldap://s3cret".into(),
        });
        for (rejection, name) in [
            (store("/var/lib/s3cret.db is locked"), "audit-unavailable"),
            (damaged, "audit-unavailable"),
            (directory, "directory-unavailable"),
        ] {
            let (response, body) = sent(rejection).await;
            assert_eq!(response.status(), 503);
            assert_eq!(response.headers()[RETRY_AFTER], "5");
            assert_eq!(body["type"], format!("/_jit/problems/{name}"));
            assert!(!body.to_string().contains("s3cret"), "{body}");
        }
    }

    #[test]
    fn echoed_text_is_cleaned_and_cut() {
        let problem = Problem::invalid("a\u{202e}b\u{1b}", "x".repeat(5000));
        assert_eq!(problem.field(), Some("ab"));
        assert_eq!(problem.detail().chars().count(), DETAIL_MAX);
    }
}
