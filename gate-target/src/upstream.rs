//! The worst upstream there could be.
//!
//! It ignores Host, reads the body and its trailers, and lets fields of any spelling choose another path or method. Its answer says in
//! `X-Handler` what it took the request for: `admin` if *any* reading of it leads below `/admin` or `/billing`, or to another method
//! than the request line's; `public` otherwise. `X-Posed-As` names the identity fields that it would have believed, and `X-Saw` is
//! the request target as it arrived.
//!
//! No known server is as bad as this. Each single reading has been some server's.

mod readings;

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::service_fn;

pub use readings::is_protected;

/// Longest body that it reads, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// How long it waits for the rest of a body.
const BODY_WAIT: Duration = Duration::from_millis(150);

/// Fields that name another path, where some server or framework takes them for the request's own.
const PATHS: [&str; 16] = [
    "base-url",
    "request-uri",
    "x-envoy-original-path",
    "x-forwarded-path",
    "x-forwarded-uri",
    "x-forwarded-url",
    "x-http-destinationurl",
    "x-original-path",
    "x-original-uri",
    "x-original-url",
    "x-override-url",
    "x-rewrite-path",
    "x-rewrite-uri",
    "x-rewrite-url",
    "x-http-path-override",
    "x-path-override",
];

/// Fields that are put before the path.
const PREFIXES: [&str; 3] = ["script-name", "x-forwarded-prefix", "x-script-name"];

/// Fields that name another method.
const METHODS: [&str; 5] = [
    "x-forwarded-method",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
];

/// What the names of identity fields start with.
const IDENTITY: [&str; 20] = [
    "cf-access-",
    "client-cert",
    "oidc-",
    "remote-",
    "ssl-client-",
    "tailscale-user-",
    "x-amzn-oidc-",
    "x-auth-request-",
    "x-auth-user",
    "x-authenticated-",
    "x-authentik-",
    "x-client-cert",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-jit-",
    "x-ms-client-principal",
    "x-pomerium-",
    "x-remote-",
    "x-webauth-",
];

/// Answers a request that got through.
pub async fn answer<B>(request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body<Data = Bytes> + Send,
{
    let (head, body) = request.into_parts();
    let mut fields = head.headers;
    let has_body = fields.contains_key(TRANSFER_ENCODING)
        || fields.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
        || head.version >= http::Version::HTTP_2;
    if has_body && let Some(trailers) = read_trailers(body).await {
        fields.extend(trailers);
    }
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let protected = leads_below(head.uri.path(), &fields) || method_changes(&head.method, &fields);
    let posed: Vec<_> = fields
        .keys()
        .map(|name| spelled(name.as_str()))
        .filter(|name| IDENTITY.iter().any(|start| name.starts_with(start)))
        .collect();

    let handler = if protected { "admin" } else { "public" };
    let mut response = Response::new(Full::from(format!("{handler}\n")));
    let headers = response.headers_mut();
    headers.insert("x-handler", HeaderValue::from_static(handler));
    headers.insert(
        "x-saw",
        HeaderValue::from_bytes(target.as_bytes()).unwrap_or(HeaderValue::from_static("")),
    );
    if !posed.is_empty() {
        let names = HeaderValue::try_from(posed.join(",")).unwrap_or(HeaderValue::from_static("?"));
        headers.insert("x-posed-as", names);
    }
    response
}

/// Serves [`answer`] by itself, without a gate: for a balancer to proxy to. HTTP/1.1 and HTTP/2 without TLS.
pub async fn serve(listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _): (_, SocketAddr) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("no connection was taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        connections.spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new());
            let service =
                service_fn(|request| async { Ok::<_, std::convert::Infallible>(answer(request).await) });
            // A connection that fails concerns nobody but its client.
            let _ = server
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// What comes after the body, if the body ends in time. One that does not is as good as none: the answer must come either way.
async fn read_trailers<B: Body<Data = Bytes>>(body: B) -> Option<HeaderMap> {
    let mut body = std::pin::pin!(body);
    let mut read = 0;
    let reading = async {
        while let Some(Ok(frame)) = body.frame().await {
            match frame.into_trailers() {
                Ok(trailers) => return Some(trailers),
                Err(frame) => read += frame.data_ref().map_or(0, Bytes::len),
            }
            if read > BODY_MAX {
                return None;
            }
        }
        None
    };
    tokio::time::timeout(BODY_WAIT, reading).await.ok().flatten()
}

fn leads_below(path: &str, fields: &HeaderMap) -> bool {
    let mut paths = vec![path.to_owned()];
    for (name, value) in fields {
        let name = spelled(name.as_str());
        let value = String::from_utf8_lossy(value.as_bytes());
        if PATHS.contains(&name.as_str()) {
            paths.push(value.into_owned());
        } else if PREFIXES.contains(&name.as_str()) {
            paths.push(format!("{value}{path}"));
            paths.push(format!("{value}/{path}"));
        }
    }
    paths.iter().any(|path| is_protected(path))
}

fn method_changes(method: &Method, fields: &HeaderMap) -> bool {
    fields.iter().any(|(name, value)| {
        METHODS.contains(&spelled(name.as_str()).as_str())
            && !value.as_bytes().eq_ignore_ascii_case(method.as_str().as_bytes())
    })
}

/// The name as CGI, WSGI and PHP make it one with its aliases.
fn spelled(name: &str) -> String {
    let read = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    name.chars().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn handler(request: http::request::Builder) -> String {
        let response = answer(request.body(Full::<Bytes>::default()).unwrap()).await;
        let header = |name| {
            response
                .headers()
                .get(name)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        [header("x-handler"), header("x-posed-as")]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" ")
    }

    #[tokio::test]
    async fn fields_of_any_spelling_move_the_request() {
        for (method, path, name, value, expected) in [
            ("GET", "/public", "accept", "/admin", "public"),
            ("GET", "/public", "x-original-url", "/admin", "admin"),
            ("GET", "/public", "x_rewrite.url", "http://h/ADMIN?x", "admin"),
            ("GET", "/public", "x-original-url", "/public", "public"),
            (
                "GET",
                "/users",
                "x-forwarded-prefix",
                "/admin",
                "admin x-forwarded-prefix",
            ),
            ("GET", "/admin", "x-original-url", "/public", "admin"),
            ("POST", "/public", "x-http-method-override", "DELETE", "admin"),
            ("POST", "/public", "x-http-method-override", "post", "public"),
            (
                "GET",
                "/public",
                "x_auth_request.user",
                "bob",
                "public x-auth-request-user",
            ),
        ] {
            let request = Request::builder().method(method).uri(path).header(name, value);
            assert_eq!(
                handler(request).await,
                expected,
                "{method} {path} {name}: {value}"
            );
        }
    }
}
