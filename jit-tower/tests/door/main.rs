//! The layer over a plain tower service and over an axum router.

mod cuts;
mod hold;
mod over_axum;
mod world;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::{Request, Response, StatusCode};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt as _, Full};
use jit_core::approval::state::State;
use jit_core::policy::terms::MfaTerms;
use jit_core::span::Span;
use jit_tower::{JitLayer, Permit, Refusal, Refused, RequestBody, Subject};
use tower::{Layer as _, Service, ServiceExt as _, service_fn};
use world::{Fields, World, described, http_request};

type Body = Full<Bytes>;

const ANA: (&str, &str) = ("authorization", "Bearer ana");

/// Tells what it was sent: the permit, the subject and the headers.
async fn tell(request: Request<RequestBody<Body>>) -> Result<Response<Body>, Infallible> {
    let (head, _) = request.into_parts();
    let permit = head.extensions.get::<Permit>().map(Permit::grant_id);
    let subject = head
        .extensions
        .get::<Arc<Subject>>()
        .map(|subject| subject.principal.to_string());
    let bare = head.extensions.get::<Subject>().is_some();
    let text = format!("{permit:?} {subject:?} {bare} {}", described(&head));
    Ok(Response::new(Body::from(text)))
}

struct Answer {
    head: http::response::Parts,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

async fn send(world: &World, method: &str, path: &str, fields: Fields<'_>) -> Answer {
    let service = JitLayer::new(world.gate.clone()).layer(service_fn(tell));
    let response = service.oneshot(http_request(method, path, fields)).await.unwrap();
    let (head, body) = response.into_parts();
    let text = body.collect().await.unwrap().to_bytes();
    Answer {
        head,
        text: String::from_utf8(text.to_vec()).unwrap(),
    }
}

#[tokio::test]
async fn what_is_admitted_carries_its_proof_and_none_of_the_gates_secrets() {
    let world = World::granted();
    let spoofed = [
        ANA,
        ("x-forwarded-user", "root"),
        ("x_jit_grant", "grt_0"),
        ("x-http-method-override", "DELETE"),
        ("accept", "text/plain"),
    ];
    // Once with a look-up, once from the cache.
    for _ in 0..2 {
        let answer = send(&world, "GET", "/admin", &spoofed).await;
        assert_eq!(answer.head.status, StatusCode::OK);
        let expected = r#"Some(grt_00000000000000000000000000000007) Some("local|ana") false {"accept": "text/plain", "host": "app.example"}"#;
        assert_eq!(answer.text, expected);
    }
}

/// A body of two pieces with trailers in the middle and at the end.
#[derive(Debug)]
struct Trailing(Vec<Frame<Bytes>>);

impl http_body::Body for Trailing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(Ok))
    }
}

#[tokio::test]
async fn trailers_stay_outside() {
    async fn frames(request: Request<RequestBody<Trailing>>) -> Result<Response<Body>, Infallible> {
        let mut body = request.into_body();
        let mut text = String::new();
        while let Some(Ok(frame)) = body.frame().await {
            text.push_str(&format!("{:?}", frame.into_data().map_err(|_| "trailers")));
        }
        Ok(Response::new(Body::from(text)))
    }
    let world = World::granted();
    for path in ["/admin", "/public", "/_jit/v1/me"] {
        let trailers = || Frame::trailers([(HOST, "b.example".parse().unwrap())].into_iter().collect());
        let data = |text| Frame::data(Bytes::from_static(text));
        let body = Trailing(vec![trailers(), data(b"b"), trailers(), data(b"a")]);
        let request = http_request::<Body>("POST", path, &[ANA]).map(|_| body);
        let service = JitLayer::new(world.gate.clone()).layer(service_fn(frames));
        let answer = service.oneshot(request).await.unwrap().into_body();
        let text = answer.collect().await.unwrap().to_bytes();
        assert_eq!(text, r#"Ok(b"a")Ok(b"b")"#, "{path}");
    }
}

#[tokio::test]
async fn what_is_open_carries_no_permit() {
    let world = World::granted();
    for (fields, expected) in [
        (
            &[("remote-user", "root")][..],
            r#"None None false {"host": "app.example"}"#,
        ),
        (&[ANA], r#"None Some("local|ana") false {"host": "app.example"}"#),
        (
            &[("authorization", "Bearer theirs")],
            r#"None None false {"authorization": "Bearer theirs", "host": "app.example"}"#,
        ),
        (&[("upgrade", "websocket"), ("connection", "upgrade")], ""),
    ] {
        let answer = send(&world, "GET", "/public", fields).await;
        assert_eq!(answer.head.status, StatusCode::OK);
        assert!(answer.text.starts_with(expected), "{fields:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn the_control_api_learns_who_asks() {
    let world = World::new();
    for (fields, expected) in [
        (&[ANA][..], r#"None Some("local|ana") true"#),
        (&[], "None None false"),
    ] {
        let answer = send(&world, "GET", "/_jit/v1/me", fields).await;
        assert!(answer.text.starts_with(expected), "{fields:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn each_refusal_is_a_response() {
    let mfa = |max_age| {
        World::with(|request| {
            request.grant.as_mut().unwrap().mfa = Some(MfaTerms {
                max_age,
                ..MfaTerms::default()
            });
        })
    };
    let pending = || {
        World::with(|request| {
            request.state = State::Pending;
            request.grant = None;
        })
    };
    let stale = World::granted();
    stale.clock.set(301);
    for (world, path, fields, status, kind, extra) in [
        (
            World::new(),
            "/admin",
            &[][..],
            401,
            "unauthenticated",
            Some(("www-authenticate", "Bearer")),
        ),
        (World::new(), "/admin", &[ANA], 403, "approval-required", None),
        (
            pending(),
            "/admin",
            &[ANA],
            403,
            "approval-pending",
            Some(("retry-after", "10")),
        ),
        (
            mfa(Some(Span::minutes(5))),
            "/admin",
            &[ANA],
            401,
            "step-up-required",
            Some((
                "www-authenticate",
                r#"Bearer error="insufficient_user_authentication", error_description="A stronger or more recent sign-in is needed", max_age="300""#,
            )),
        ),
        (
            stale,
            "/admin",
            &[ANA],
            503,
            "stale-view",
            Some(("retry-after", "5")),
        ),
        (
            World::granted(),
            "/admin",
            &[ANA, ("upgrade", "websocket")],
            403,
            "upgrade-refused",
            None,
        ),
        (World::granted(), "/nowhere", &[ANA], 403, "not-open", None),
        (
            World::granted(),
            "/admin/..",
            &[ANA],
            400,
            "bad-request-target",
            None,
        ),
        (
            World::granted(),
            "/public",
            &[ANA, ANA],
            400,
            "bad-request-headers",
            None,
        ),
        (
            World::granted(),
            "/public",
            &[("host", "b.example")],
            400,
            "bad-request-target",
            None,
        ),
    ] {
        let answer = send(&world, "GET", path, fields).await;
        assert_eq!(answer.head.status, status, "{kind}");
        assert!(answer.text.ends_with("}\n"), "{}", answer.text);
        let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
        assert_eq!(problem["type"], format!("/_jit/problems/{kind}"));
        assert_eq!(problem["status"], status);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        assert_eq!(
            answer.head.extensions.get::<Refusal>().map(Refusal::kind),
            Some(kind)
        );
        if let Some((name, value)) = extra {
            assert_eq!(answer.header(name), Some(value), "{kind}");
        }
        let may_name = !matches!(kind, "unauthenticated" | "not-open" | "stale-view") && status != 400;
        assert_eq!(problem.get("resource").is_some(), may_name, "{kind}");
    }
}

#[tokio::test]
async fn a_program_is_told_where_to_ask_and_what_waits() {
    let answer = send(&World::new(), "GET", "/admin", &[ANA]).await;
    let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(problem["resource"], "admin");
    assert_eq!(problem["request_url"], "/_jit/v1/requests");
    assert_eq!(problem.get("request_id"), None);
    let world = World::with(|request| request.state = State::Scheduled);
    let answer = send(&world, "GET", "/admin", &[ANA]).await;
    let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(problem["request_id"], "req_00000000000000000000000000000007");
}

#[tokio::test]
async fn a_browser_gets_a_page_and_head_gets_no_body() {
    let world = World::new();
    let html = ("accept", "text/html");
    let answer = send(&world, "GET", "/admin", &[ANA, html]).await;
    assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert!(
        answer
            .header("content-security-policy")
            .unwrap()
            .contains("default-src 'none'")
    );
    assert!(
        answer.text.contains("<h1>Approval required</h1>"),
        "{}",
        answer.text
    );
    for fields in [&[ANA][..], &[ANA, html]] {
        let answer = send(&world, "HEAD", "/admin", fields).await;
        assert_eq!(
            (answer.head.status, answer.text.as_str()),
            (StatusCode::FORBIDDEN, "")
        );
    }
}

#[tokio::test]
async fn access_ends_with_the_window() {
    let world = World::granted();
    for (now, expected) in [
        (1, StatusCode::OK),
        (99, StatusCode::OK),
        (100, StatusCode::FORBIDDEN),
    ] {
        world.clock.set(now);
        let answer = send(&world, "GET", "/admin", &[ANA]).await;
        assert_eq!(answer.head.status, expected, "at {now} s");
    }
}

#[tokio::test]
async fn a_place_is_taken_until_the_body_has_ended() {
    let world = World::with(|request| request.grant.as_mut().unwrap().max_concurrent = Some(1));
    let service = || JitLayer::new(world.gate.clone()).layer(service_fn(tell));
    let first = service()
        .oneshot(http_request("GET", "/admin", &[ANA]))
        .await
        .unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    let second = send(&world, "GET", "/admin", &[ANA]).await;
    assert_eq!(second.head.status, StatusCode::TOO_MANY_REQUESTS);
    let mut body = first.into_body();
    while body.frame().await.is_some() {}
    assert!(body.is_end_stream());
    assert_eq!(
        send(&world, "GET", "/admin", &[ANA]).await.head.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_refusal_can_be_said_in_another_way_but_never_as_success() {
    let teapot = |refused: Refused<'_>| {
        let mut response = Response::new(Bytes::from_static(b"no"));
        if refused.head.uri.path() == "/admin" {
            *response.status_mut() = StatusCode::IM_A_TEAPOT;
        }
        response
    };
    let world = World::new();
    for (path, status) in [
        ("/admin", StatusCode::IM_A_TEAPOT),
        ("/nowhere", StatusCode::FORBIDDEN),
    ] {
        let layer = JitLayer::new(world.gate.clone()).with_refusal(teapot);
        let request = http_request("GET", path, &[ANA]);
        let response = layer.layer(service_fn(tell)).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        assert!(response.extensions().get::<Refusal>().is_some());
    }
}

/// A service that panics unless the very instance that said it was ready is called. A clone is not ready.
#[derive(Debug, Default)]
struct Strict {
    ready: bool,
    polls: Rc<RefCell<u32>>,
}

impl Clone for Strict {
    fn clone(&self) -> Self {
        Self {
            ready: false,
            polls: Rc::clone(&self.polls),
        }
    }
}

/// An error type of the service's own.
#[derive(Debug, PartialEq)]
struct Broken;

impl Service<Request<RequestBody<Body>>> for Strict {
    type Response = Response<Body>;
    type Error = Broken;
    type Future = Ready<Result<Response<Body>, Broken>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        *self.polls.borrow_mut() += 1;
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<RequestBody<Body>>) -> Self::Future {
        assert!(self.ready, "called without being ready");
        self.ready = false;
        ready(Err(Broken))
    }
}

#[tokio::test]
async fn the_service_that_was_ready_is_the_one_called_and_errors_stay_its_own() {
    let world = World::granted();
    let inner = Strict::default();
    let polls = Rc::clone(&inner.polls);
    let mut service = JitLayer::new(world.gate.clone()).layer(inner);
    // The first waits for a look-up, the second does not.
    for n in 1..=2 {
        let ready = service.ready().await.unwrap();
        let error = ready
            .call(http_request("GET", "/admin", &[ANA]))
            .await
            .unwrap_err();
        assert_eq!(error, Broken);
        assert_eq!(*polls.borrow(), n);
    }
}
