//! What handlers read from a request, in this order: who calls, which thing, and only then what else was sent.
//!
//! [`Params`] and [`Sent`] hold query and body unread, so that a handler decides whether the caller may see the thing at all before
//! any word about the input is said.

use std::convert::Infallible;
use std::error::Error as _;
use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Query, RawPathParams, Request};
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderMap, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jit_core::approval::ask::Actor;
use jit_core::broker::store::Position;
use jit_core::gate::authenticate::Subject;
use serde::de::DeserializeOwned;

use crate::dto::ObjectOnly;
use crate::problem::{Kind, Problem};
use crate::settings::Shared;

/// Largest body, in bytes.
pub(crate) const BODY_MAX: usize = 64 * 1024;
/// A body must have arrived within this.
const BODY_TIME: Duration = Duration::from_secs(10);
/// Longest `Idempotency-Key`, in bytes.
const KEY_MAX: usize = 128;

/// Who calls: proven by the layer in front, known to the Directory.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) actor: Actor,
    /// As proven, to identify again later.
    pub(crate) subject: Subject,
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        let subject = parts
            .extensions
            .get::<Subject>()
            .cloned()
            .ok_or_else(unauthenticated)?;
        let actor = shared.broker.identify(&subject).await?;
        Ok(Self { actor, subject })
    }
}

fn unauthenticated() -> Problem {
    Problem::new(
        Kind::Unauthenticated,
        "Sign in, or send a valid token in the Authorization header.",
    )
}

/// The `{id}` in the path. One that can't be an id is answered like one that does not exist.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<T>(pub(crate) T);

impl<T: FromStr> FromRequestParts<Shared> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Problem> {
        // By name: the router may be nested below parameters of the app's own.
        RawPathParams::from_request_parts(parts, shared)
            .await
            .ok()
            .and_then(|params| {
                let (_, id) = params.iter().find(|(name, _)| *name == "id")?;
                id.parse().ok()
            })
            .map(Self)
            .ok_or_else(Problem::not_found)
    }
}

/// The query, unread.
#[derive(Debug, Clone)]
pub(crate) struct Params(Uri);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self(parts.uri.clone()))
    }
}

impl Params {
    /// Reads the query; `T` refuses parameters that it does not know and parameters given twice.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        match Query::try_from_uri(&self.0) {
            Ok(Query(read)) => Ok(read),
            Err(rejection) => {
                let problem = rejection
                    .source()
                    .map_or_else(|| rejection.to_string(), ToString::to_string);
                Err(told(None, &problem, "query"))
            }
        }
    }
}

/// One query parameter's value, parsed.
pub(crate) fn parameter<T: FromStr<Err: ToString>>(name: &str, value: &str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|error: T::Err| Problem::invalid(name, format!("is not right: {}", error.to_string())))
}

/// A position in the log or in a list. Stores count in signed 64 bits, so a larger one can't be meant.
pub(crate) fn position(name: &str, value: &str) -> Result<Position, Problem> {
    match value.parse::<i64>().map(Position::try_from) {
        Ok(Ok(position)) if !value.starts_with('+') => Ok(position),
        _ => Err(Problem::invalid(name, "must be a position that the API gave you")),
    }
}

/// The body, unread.
#[derive(Debug)]
pub(crate) struct Sent {
    headers: HeaderMap,
    body: Body,
}

impl<S: Sync> FromRequest<S> for Sent {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        let (parts, body) = request.into_parts();
        Ok(Self {
            headers: parts.headers,
            body,
        })
    }
}

impl Sent {
    /// Reads the body as one JSON object; `T` refuses fields that it does not know and fields given twice.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, Problem> {
        check_type(&self.headers)?;
        let collected = tokio::time::timeout(BODY_TIME, Limited::new(self.body, BODY_MAX).collect())
            .await
            .map_err(|_| Problem::new(Kind::BodyTooSlow, "The body must arrive within 10 seconds."))?;
        match collected {
            Ok(body) => parse(&body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Problem::new(
                Kind::BodyTooLarge,
                "A body may be at most 64 KiB long.",
            )),
            Err(_) => Err(Problem::invalid("body", "did not arrive whole")),
        }
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |detail| Err(Problem::new(Kind::UnsupportedMediaType, detail));
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let json = match (types.next().and_then(|value| value.to_str().ok()), types.next()) {
        (Some(value), None) => {
            let (essence, parameters) = value.split_once(';').unwrap_or((value, ""));
            let parameters = parameters.trim().to_ascii_lowercase();
            essence.trim().eq_ignore_ascii_case("application/json")
                && matches!(parameters.as_str(), "" | "charset=utf-8" | "charset=\"utf-8\"")
        }
        _ => false,
    };
    if !json {
        return unsupported("Send the body as `Content-Type: application/json`, in UTF-8.");
    }
    if headers.contains_key(CONTENT_ENCODING) {
        return unsupported("Send the body without a Content-Encoding.");
    }
    Ok(())
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = std::str::from_utf8(bytes).map_err(|_| Problem::invalid("body", "must be UTF-8"))?;
    let mut json = serde_json::Deserializer::from_str(text);
    let read: ObjectOnly<T> = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        told(
            Some(path.as_str()).filter(|path| *path != "."),
            &error.into_inner().to_string(),
            "body",
        )
    })?;
    json.end()
        .map_err(|_| Problem::invalid("body", "must hold one JSON object and nothing after it"))?;
    Ok(read.0)
}

/// Names the field that serde's message is about: by its path, or, where serde complains about the object, as the message quotes it.
fn told(path: Option<&str>, message: &str, whole: &str) -> Problem {
    let about = ["unknown field `", "missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.split_once(start))
        .and_then(|(_, rest)| rest.split_once('`'))
        .map(|(field, _)| field);
    let field = match (path, about) {
        (Some(path), Some(about)) if path != about && !path.ends_with(&format!(".{about}")) => {
            format!("{path}.{about}")
        }
        (Some(path), _) => path.to_owned(),
        (None, Some(about)) => about.to_owned(),
        (None, None) => whole.to_owned(),
    };
    Problem::invalid(field, format!("is not right: {message}"))
}

/// The `Idempotency-Key` header, if there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    const NAME: &str = "idempotency-key";
    let mut keys = headers.get_all(NAME).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    // `to_str` takes visible ASCII, spaces and tabs.
    match key.to_str() {
        Ok(text)
            if keys.next().is_none()
                && (1..=KEY_MAX).contains(&text.len())
                && text.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(text))
        }
        _ => Err(Problem::invalid(
            "Idempotency-Key",
            "must be given once, as 1 to 128 visible ASCII characters without spaces",
        )),
    }
}
