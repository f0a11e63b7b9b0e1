//! Envoy's gRPC: `envoy.service.auth.v3.Authorization/Check`.
//!
//! The attributes tell method, path and host apart from the header fields, and once more among them (`:method`, `:path`,
//! `:authority`, `host`): where both are there they must be the same.

use std::net::IpAddr;

use axum::Router;
use envoy_types::ext_authz::v3::pb::{
    Address, Authorization, AuthorizationServer, CheckRequest, CheckResponse, DeniedHttpResponse,
    HeaderAppendAction, HeaderValue as EnvoyValue, HeaderValueOption, HttpResponse, HttpStatus,
    OkHttpResponse,
};
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::HttpRequest;
use envoy_types::pb::google::rpc;
use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, LOCATION};
use http::{Method, StatusCode, Uri};
use jit_core::gate::target::BadTarget;

use crate::answer::{Audience, Denied, REFUSAL};
use crate::check::{Authz, Ruling, to_remove};
use crate::metadata::{BadMetadata, Proto, Question, Unread, field, head, method, target};

/// Largest question, in bytes: a request head of the largest size, and its attributes.
const QUESTION_MAX: usize = 256 * 1024;

/// The codes of google.rpc that an answer may have.
const OK: i32 = 0;
const PERMISSION_DENIED: i32 = 7;
const UNAUTHENTICATED: i32 = 16;

struct Checks(Authz);

impl Authz {
    pub(crate) fn grpc(&self, router: Router<Self>) -> Router<Self> {
        let server = AuthorizationServer::new(Checks(self.clone())).max_decoding_message_size(QUESTION_MAX);
        router.route_service("/envoy.service.auth.v3.Authorization/Check", server)
    }
}

#[tonic::async_trait]
impl Authorization for Checks {
    async fn check(
        &self,
        request: tonic::Request<CheckRequest>,
    ) -> Result<tonic::Response<CheckResponse>, tonic::Status> {
        let question = read(request.into_inner());
        let audience = match &question {
            Ok(Question { head, .. }) => Audience::of(&head.headers).asks_with(&head.method),
            Err(_) => Audience::of(&HeaderMap::new()),
        };
        let ruling = self.0.rule(question).await;
        Ok(tonic::Response::new(self.respond(ruling, audience)))
    }
}

impl Checks {
    fn respond(&self, ruling: Ruling, audience: Audience) -> CheckResponse {
        let (reason, wanted) = match ruling {
            Ruling::Allow { told, came } => return allow(&told, &came),
            Ruling::Deny { reason, wanted } => (reason, wanted),
        };
        let Denied { problem, location } = self.0.denied(&reason, wanted.as_deref(), audience);
        let response = problem.response(audience.html);
        let status = if location.is_some() {
            StatusCode::SEE_OTHER
        } else {
            response.status()
        };
        let (parts, body) = response.into_parts();
        let mut headers = parts.headers;
        if let Ok(kind) = HeaderValue::from_str(problem.kind) {
            headers.insert(REFUSAL, kind);
        }
        if let Some(location) = location {
            headers.insert(LOCATION, location);
        }
        CheckResponse {
            status: Some(rpc::Status {
                code: if status == StatusCode::UNAUTHORIZED {
                    UNAUTHENTICATED
                } else {
                    PERMISSION_DENIED
                },
                message: problem.kind.to_owned(),
                details: Vec::new(),
            }),
            dynamic_metadata: None,
            http_response: Some(HttpResponse::DeniedResponse(DeniedHttpResponse {
                status: Some(HttpStatus {
                    code: i32::from(status.as_u16()),
                }),
                headers: headers
                    .iter()
                    .filter_map(|(name, value)| set(name, value))
                    .collect(),
                body,
            })),
        }
    }
}

fn allow(told: &HeaderMap, came: &HeaderMap) -> CheckResponse {
    let changed = |name: &HeaderName, value: &HeaderValue| {
        let mut values = came.get_all(name).iter();
        values.next() != Some(value) || values.next().is_some()
    };
    let mut headers = Vec::new();
    let mut headers_to_remove = to_remove(told, came);
    for (name, value) in told.iter().filter(|(name, value)| changed(name, value)) {
        match set(name, value) {
            Some(field) => headers.push(field),
            // Left alone, it would stay as the client sent it.
            None => headers_to_remove.push(name.to_string()),
        }
    }
    CheckResponse {
        status: Some(rpc::Status {
            code: OK,
            message: String::new(),
            details: Vec::new(),
        }),
        dynamic_metadata: None,
        http_response: Some(HttpResponse::OkResponse(OkHttpResponse {
            headers,
            headers_to_remove,
            ..OkHttpResponse::default()
        })),
    }
}

/// Puts a field in the place of all that are there. `None` for a value that is no text, which an answer can't hold.
fn set(name: &HeaderName, value: &HeaderValue) -> Option<HeaderValueOption> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?;
    Some(HeaderValueOption {
        header: Some(EnvoyValue {
            key: name.to_string(),
            value: value.to_owned(),
            ..EnvoyValue::default()
        }),
        append_action: HeaderAppendAction::OverwriteIfExistsOrAdd.into(),
        ..HeaderValueOption::default()
    })
}

fn read(request: CheckRequest) -> Result<Question, Unread> {
    let attributes = request.attributes.ok_or(BadMetadata::Missing("attributes"))?;
    let client = client(&attributes)?;
    let http = attributes.request.and_then(|request| request.http);
    let http = http.ok_or(BadMetadata::Missing("attributes.request.http"))?;
    for (text, name) in [
        (&http.method, "method"),
        (&http.path, "path"),
        (&http.host, "host"),
    ] {
        if text.is_empty() {
            return Err(BadMetadata::Missing(name).into());
        }
    }
    // Envoy says both in `path`.
    if !http.query.is_empty() || !http.fragment.is_empty() {
        return Err(BadMetadata::Doubled("path").into());
    }
    let asked_method = method(http.method.as_bytes(), "method")?;
    let uri = target(http.path.as_bytes())?;
    let host = HeaderValue::from_str(&http.host).map_err(|_| BadTarget::Host)?;
    let scheme = match http.scheme.as_str() {
        "" => None,
        scheme => Some(Proto::read(scheme.as_bytes(), "scheme")?.scheme),
    };
    let (headers, upgrades) = fields(http)?;
    Ok(question(
        headers,
        asked_method,
        uri,
        host,
        upgrades,
        scheme,
        client,
    ))
}

fn question(
    headers: HeaderMap,
    method: Method,
    uri: Uri,
    host: HeaderValue,
    upgrades: bool,
    scheme: Option<&'static str>,
    client: Option<IpAddr>,
) -> Question {
    Question {
        head: head(headers, method, uri, host, upgrades),
        scheme,
        client,
    }
}

/// The header fields, and whether a pseudo-field asks for another protocol.
fn fields(http: HttpRequest) -> Result<(HeaderMap, bool), Unread> {
    let list: Vec<(String, Vec<u8>)> = match http.header_map {
        Some(_) if !http.headers.is_empty() => return Err(BadMetadata::Doubled("headers").into()),
        Some(map) => {
            let raw = map
                .headers
                .into_iter()
                .map(|field| match (field.value, field.raw_value) {
                    (value, raw) if raw.is_empty() => Ok((field.key, value.into_bytes())),
                    (value, raw) if value.is_empty() => Ok((field.key, raw)),
                    _ => Err(BadMetadata::Doubled("headers")),
                });
            raw.collect::<Result<_, _>>()?
        }
        None => http
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.into_bytes()))
            .collect(),
    };
    let mut headers = HeaderMap::new();
    let mut upgrades = false;
    let mut seen = Vec::new();
    for (name, value) in list {
        let told = match name.as_str() {
            ":method" => Some(http.method.as_str()),
            ":path" => Some(http.path.as_str()),
            ":authority" | "host" | "Host" => Some(http.host.as_str()),
            ":scheme" => Some(http.scheme.as_str()),
            ":protocol" => {
                upgrades = true;
                continue;
            }
            _ => None,
        };
        if let Some(told) = told {
            if told.as_bytes() != value {
                return Err(BadMetadata::Contradicted("headers").into());
            }
            if seen.contains(&name) {
                return Err(BadMetadata::Doubled("headers").into());
            }
            seen.push(name);
            continue;
        }
        let (name, value) = field(&name, &value)?;
        if name == HOST {
            return Err(BadMetadata::Malformed("headers").into());
        }
        let many = headers.try_append(name, value);
        many.map_err(|_| BadMetadata::Malformed("headers"))?;
    }
    Ok((headers, upgrades))
}

fn client(attributes: &AttributeContext) -> Result<Option<IpAddr>, BadMetadata> {
    let address = attributes
        .source
        .as_ref()
        .and_then(|source| source.address.as_ref());
    match address.and_then(|address| address.address.as_ref()) {
        Some(Address::SocketAddress(socket)) => {
            let address: IpAddr = socket
                .address
                .parse()
                .map_err(|_| BadMetadata::Malformed("source.address"))?;
            Ok(Some(address.to_canonical()))
        }
        // A socket in the file system or inside Envoy has no address.
        _ => Ok(None),
    }
}
