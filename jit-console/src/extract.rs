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
use jit_core::broker::store::{Position, Version};
use jit_core::gate::authenticate::Subject;
use jit_core::gate::step_up::CredentialId;
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
    /// What proved them, if the layer in front says.
    pub(crate) credential: Option<CredentialId>,
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
        let credential = parts.extensions.get::<CredentialId>().copied();
        Ok(Self {
            actor,
            subject,
            credential,
        })
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

impl<T: FromStr, S: Send + Sync> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        // By name: the router may be nested below parameters of the app's own.
        RawPathParams::from_request_parts(parts, state)
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
    let read = value.parse();
    read.map_err(|error: T::Err| Problem::invalid(name, format!("can't be taken: {}", error.to_string())))
}

/// A position in the log or in a list.
pub(crate) fn position(name: &str, value: &str) -> Result<Position, Problem> {
    counted(value).ok_or_else(|| Problem::invalid(name, "must be a position that the API gave you"))
}

/// How often something was written to.
pub(crate) fn version(name: &str, value: &str) -> Result<Version, Problem> {
    counted(value).ok_or_else(|| Problem::invalid(name, "must be a version that the API gave you"))
}

/// Stores count in signed 64 bits, so a larger number can't be meant.
fn counted(value: &str) -> Option<u64> {
    let number = value.parse::<i64>().ok()?;
    u64::try_from(number).ok().filter(|_| !value.starts_with('+'))
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
        let error = error.into_inner();
        // `?` is a name that could not be read.
        let path = Some(path.as_str()).filter(|path| *path != "." && !path.contains('?'));
        if error.is_syntax() || error.is_eof() {
            return Problem::invalid(
                path.unwrap_or("body"),
                format!("is not JSON that can be read: {error}"),
            );
        }
        told(path, &error.to_string(), "body")
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
    // Errors in a query lead with the path already.
    let message = message.strip_prefix(&format!("{field}: ")).unwrap_or(message);
    Problem::invalid(field, format!("can't be taken: {message}"))
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

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde::Deserialize;

    use super::*;
    use crate::dto::{AskBody, LockdownBody, ReviewBody};

    fn check<T: DeserializeOwned>(body: impl AsRef<[u8]>, field: Option<&str>) {
        let body = body.as_ref();
        let shown = String::from_utf8_lossy(body);
        match parse::<T>(body) {
            Ok(_) => assert_eq!(None, field, "{shown} was taken"),
            Err(problem) => {
                assert_eq!(problem.kind(), Kind::Invalid, "{shown}");
                assert_eq!(problem.field(), field, "{shown}: {}", problem.detail());
            }
        }
    }

    #[test]
    fn a_body_is_one_object_of_known_fields() {
        for (body, field) in [
            (r#"{"resource":"admin"}"#, None),
            (r#" {"resource":"admin","duration":null,"paths":null} "#, None),
            (r#"{"resource":"admin","max_requests":9007199254740991}"#, None),
            ("", Some("body")),
            ("null", Some("body")),
            ("[]", Some("body")),
            (r#"["admin","why"]"#, Some("body")),
            (r#"{"resource":"admin"} {}"#, Some("body")),
            ("{'resource':'admin'}", Some("body")),
            (r#"{resource:"admin"}"#, Some("body")),
            (r#"{"resource":"admin","#, Some("body")),
            (r#"{"resource":"admin"}x"#, Some("body")),
            ("\u{feff}{}", Some("body")),
            ("{}", Some("resource")),
            (r#"{"resource":null}"#, Some("resource")),
            (r#"{"resource":7}"#, Some("resource")),
            (r#"{"resource":"admin","resource":"db"}"#, Some("resource")),
            (r#"{"resource":"admin","requester":"bob"}"#, Some("requester")),
            (r#"{"resource":"admin","duration":1800}"#, Some("duration")),
            (r#"{"resource":"admin","methods":"GET"}"#, Some("methods")),
            (r#"{"resource":"admin","methods":["GET",1]}"#, Some("methods[1]")),
            (r#"{"resource":"admin","max_requests":0}"#, Some("max_requests")),
            (r#"{"resource":"admin","max_requests":-1}"#, Some("max_requests")),
            (r#"{"resource":"admin","max_requests":1.5}"#, Some("max_requests")),
            (
                r#"{"resource":"admin","max_requests":1e400}"#,
                Some("max_requests"),
            ),
            (
                r#"{"resource":"admin","max_requests":9007199254740992}"#,
                Some("max_requests"),
            ),
            (
                r#"{"resource":"admin","max_bytes":99999999999999999999}"#,
                Some("max_bytes"),
            ),
            (r#"{"resource":"admin","selector":"address"}"#, Some("selector")),
            (r#"{"resource":"admin","break_glass":"yes"}"#, Some("break_glass")),
            (r#"{"resource":"\ud800"}"#, Some("resource")),
        ] {
            check::<AskBody>(body, field);
        }
        check::<AskBody>(b"{\"resource\":\"\xff\"}", Some("body"));
        check::<AskBody>("[".repeat(60_000), Some("body"));
        check::<AskBody>(
            format!(r#"{{"resource":{}"#, "[".repeat(60_000)),
            Some("resource"),
        );
        check::<ReviewBody>(r#"{"decision":"approve"}"#, Some("digest"));
        check::<ReviewBody>(r#"{"decision":"maybe","digest":""}"#, Some("decision"));
        check::<LockdownBody>(
            r#"{"principal":{"issuer":"i"},"reason":""}"#,
            Some("principal.subject"),
        );
        check::<LockdownBody>(
            r#"{"principal":{"issuer":"i","subject":"s","x":1},"reason":""}"#,
            Some("principal.x"),
        );
    }

    #[test]
    fn only_plain_json_is_read() {
        for (value, good) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"", true),
            ("application/json; charset=utf-16", false),
            ("application/json; a=b", false),
            ("application/problem+json", false),
            ("text/plain", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(check_type(&headers).is_ok(), good, "{value}");
        }
        let json = HeaderValue::from_static("application/json");
        let mut headers = HeaderMap::new();
        assert!(check_type(&headers).is_err(), "no type");
        headers.append(CONTENT_TYPE, json.clone());
        headers.append(CONTENT_TYPE, json);
        assert!(check_type(&headers).is_err(), "two types");
        headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        assert!(check_type(&headers).is_err(), "encoded");
    }

    async fn kind_of(body: Body) -> Option<Kind> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
        let read = Sent { headers, body }.json::<AskBody>().await;
        read.err().map(|problem| problem.kind())
    }

    #[tokio::test]
    async fn a_body_ends_at_64_kib() {
        let padded = |length: usize| {
            let body = r#"{"resource":"admin"}"#;
            Body::from(format!("{body}{}", " ".repeat(length - body.len())))
        };
        assert_eq!(kind_of(padded(BODY_MAX)).await, None);
        assert_eq!(kind_of(padded(BODY_MAX + 1)).await, Some(Kind::BodyTooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_arrive_is_given_up() {
        let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
        assert_eq!(kind_of(Body::from_stream(never)).await, Some(Kind::BodyTooSlow));
    }

    #[test]
    fn unknown_and_doubled_parameters_are_refused() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        #[expect(dead_code, reason = "only the names matter")]
        struct Known {
            after: Option<String>,
        }
        for (query, field) in [
            ("", None),
            ("after=5", None),
            ("after=5&after=6", Some("after")),
            ("afer=5", Some("afer")),
        ] {
            let read = Params(format!("/v1/events?{query}").parse().unwrap()).read::<Known>();
            let found = read.as_ref().err().and_then(Problem::field);
            assert_eq!(found, field, "{query}: {read:?}");
        }
        let unknown = Params("/?afer=5".parse().unwrap()).read::<Known>().unwrap_err();
        assert_eq!(
            unknown.detail(),
            "`afer` can't be taken: unknown field `afer`, expected `after`"
        );
    }

    #[test]
    fn positions_are_what_a_store_can_count() {
        for (text, good) in [
            ("0", true),
            ("9223372036854775807", true),
            ("9223372036854775808", false),
            ("18446744073709551615", false),
            ("-1", false),
            ("+1", false),
            ("", false),
            (" 1", false),
            ("1.0", false),
        ] {
            assert_eq!(position("after", text).is_ok(), good, "{text:?}");
        }
    }

    #[test]
    fn an_idempotency_key_is_short_and_visible() {
        let long = "k".repeat(KEY_MAX);
        for (keys, good) in [
            (vec!["a-1_~!"], true),
            (vec![long.as_str()], true),
            (vec![&*format!("{long}k")], false),
            (vec![""], false),
            (vec!["a b"], false),
            (vec!["caf\u{e9}"], false),
            (vec!["a", "a"], false),
        ] {
            let named = keys.iter().map(|key| {
                let name = http::HeaderName::from_static("idempotency-key");
                (name, HeaderValue::from_bytes(key.as_bytes()).unwrap())
            });
            let mut headers = HeaderMap::new();
            for (name, value) in named {
                headers.append(name, value);
            }
            match idempotency_key(&headers) {
                Ok(key) => assert_eq!(key, good.then(|| keys[0]), "{keys:?}"),
                Err(problem) => assert!(!good, "{keys:?}: {}", problem.detail()),
            }
        }
        assert_eq!(idempotency_key(&HeaderMap::new()).unwrap(), None);
    }
}
