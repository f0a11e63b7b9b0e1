use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use http::Request;
use jit_authz::{Authz, AuthzSettings, BadMetadata};
use jit_core::gate::hygiene::TrustedProxies;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tower::ServiceExt as _;

use crate::world::{Answer, Door, HOST, World, settings};

async fn ask(door: &Door, path: &str) -> Answer {
    ask_with(door, path, &[]).await
}

async fn ask_with(door: &Door, path: &str, more: &[(&str, &str)]) -> Answer {
    let fields = [
        ("authorization", "Bearer token-alice"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-uri", path),
    ];
    door.ask("/authz/forward-auth", &[&fields, more].concat()).await
}

#[tokio::test]
async fn what_is_admitted_is_recorded_and_what_is_refused_is_not() {
    let world = World::granted();
    let door = world.serve().await;
    for (path, status, recorded) in [
        ("/admin", 200, 1),
        ("/billing", 403, 1),
        ("/", 200, 1),
        ("/admin/x", 200, 2),
    ] {
        assert_eq!(ask(&door, path).await.status, status, "{path}");
        assert_eq!(world.interactions.waiting(), recorded, "{path}");
    }
}

#[tokio::test]
async fn a_stranger_is_not_even_answered() {
    let world = World::granted();
    let elsewhere = AuthzSettings::new(TrustedProxies::parse(["10.0.0.7"]).unwrap()).unwrap();
    let door = world.serve_with(elsewhere).await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    let mut text = Vec::new();
    let _ = stream
        .write_all(b"GET /authz/forward-auth HTTP/1.1\r\nHost: a\r\n\r\n")
        .await;
    let _ = stream.read_to_end(&mut text).await;
    assert_eq!(text, b"");
}

#[tokio::test]
async fn the_router_trusts_listed_peers_alone() {
    let router = Authz::new(World::granted().gate, settings()).router();
    for (peer, status) in [
        (Some("127.0.0.1:5"), 200),
        (Some("[::ffff:127.0.0.1]:5"), 200),
        (Some("127.0.0.2:5"), 403),
        (Some("[::1]:5"), 403),
        (None, 403),
    ] {
        for path in [
            "/authz/ext-authz/admin",
            "/envoy.service.auth.v3.Authorization/Check",
        ] {
            let mut request = Request::builder().uri(path).header("host", HOST);
            request = request.header("authorization", "Bearer token-alice");
            let mut request = request.body(Body::empty()).unwrap();
            if let Some(peer) = peer {
                let peer: std::net::SocketAddr = peer.parse().unwrap();
                request.extensions_mut().insert(ConnectInfo(peer));
            }
            let response = router.clone().oneshot(request).await.unwrap();
            if status == 403 {
                assert_eq!(response.status(), 403, "{peer:?} {path}");
                let why = response.extensions().get::<BadMetadata>();
                assert_eq!(why, Some(&BadMetadata::UntrustedPeer));
            } else if path.starts_with("/authz") {
                assert_eq!(response.status(), 200, "{peer:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_budget_is_spent_one_request_at_a_time() {
    let world = World::new();
    world.budget.0.store(2, Ordering::SeqCst);
    world.grant("alice", "admin", 100, |request| {
        request.grant.as_mut().unwrap().max_requests = Some(2);
    });
    let door = world.serve().await;
    for expected in [200, 200, 403, 403] {
        assert_eq!(ask(&door, "/admin").await.status, expected);
    }
    assert_eq!(
        ask(&door, "/admin").await.header("x-jit-refusal"),
        Some("budget-spent")
    );
}

#[tokio::test]
async fn what_can_not_be_counted_here_is_not_admitted() {
    let world = World::new();
    world.grant("alice", "admin", 100, |request| {
        request.grant.as_mut().unwrap().max_concurrent = Some(8);
    });
    let door = world.serve().await;
    let answer = ask(&door, "/admin").await;
    assert_eq!(
        (answer.status, answer.header("x-jit-refusal")),
        (403, Some("limit-not-enforceable"))
    );
}

#[tokio::test]
async fn a_grant_that_ends_ends_here() {
    let world = World::granted();
    let door = world.serve().await;
    assert_eq!(ask(&door, "/admin").await.status, 200);
    world.clock.advance(Duration::from_secs(100));
    world
        .gate
        .enforcer()
        .synced(jit_core::clock::Clock::now(&*world.clock));
    assert_eq!(ask(&door, "/admin").await.status, 403);
}

#[tokio::test]
async fn nobody_asks_for_access_here_and_nobody_waits_for_it() {
    let world = World::new();
    let door = world.serve().await;
    let more = [("jit-reason", "look into it"), ("prefer", "wait=30")];
    let answer = ask_with(&door, "/admin", &more).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("/problems/approval-required"),
        "{}",
        answer.body
    );
    world.grant("alice", "admin", 100, |request| {
        request.state = jit_core::approval::state::State::Pending;
        request.grant = None;
    });
    let answer = ask_with(&door, "/admin", &more).await;
    assert_eq!(answer.status, 403);
    assert!(
        answer.body.contains("/problems/approval-pending"),
        "{}",
        answer.body
    );
    assert_eq!(world.gate.parked_count(), 0);
}

#[tokio::test]
async fn one_question_too_many_is_refused_and_a_slow_one_given_up() {
    let world = World::granted();
    world.tokens.slow.store(true, Ordering::SeqCst);
    let limited = settings().with_checks(1).unwrap();
    let door = world
        .serve_with(limited.with_patience(Duration::from_secs(3600)))
        .await;
    let slow = async { ask(&door, "/admin").await };
    let fast = async {
        while world.tokens.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        let busy = ask(&door, "/admin").await;
        assert_eq!((busy.status, busy.header("x-jit-refusal")), (503, Some("busy")));
        assert_eq!(busy.header("retry-after"), Some("1"));
        world.tokens.slow.store(false, Ordering::SeqCst);
        world.tokens.go.notify_waiters();
    };
    assert_eq!(tokio::join!(slow, fast).0.status, 200);

    let world = World::granted();
    world.tokens.slow.store(true, Ordering::SeqCst);
    let door = world
        .serve_with(settings().with_patience(Duration::from_millis(1)))
        .await;
    let answer = ask(&door, "/admin").await;
    assert_eq!(
        (answer.status, answer.header("x-jit-refusal")),
        (503, Some("authentication-unavailable"))
    );
}

#[tokio::test]
async fn who_makes_the_gate_wait_keeps_nobody_else_out() {
    let world = World::granted();
    let limited = settings().with_checks(1).unwrap();
    let door = world
        .serve_with(limited.with_patience(Duration::from_secs(3600)))
        .await;
    assert_eq!(ask(&door, "/admin").await.status, 200);
    world.tokens.slow.store(true, Ordering::SeqCst);
    let forged = [("host", HOST), ("authorization", "Bearer forged")];
    let stranger = async { door.ask("/authz/ext-authz/", &forged).await };
    let others = async {
        while world.tokens.waiting.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&door, "/admin").await.status, 200, "known already");
        let open = door.ask("/authz/ext-authz/", &[("host", HOST)]).await;
        assert_eq!(open.status, 200, "{open:?}");
        world.tokens.slow.store(false, Ordering::SeqCst);
        world.tokens.go.notify_waiters();
    };
    tokio::join!(stranger, others);
}

#[tokio::test]
async fn one_connection_too_many_is_closed() {
    let world = World::granted();
    let door = world.serve_with(settings().with_connections(1).unwrap()).await;
    let mut first = TcpStream::connect(door.address).await.unwrap();
    let question = format!("GET /authz/ext-authz/ HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    first.write_all(question.as_bytes()).await.unwrap();
    let mut bytes = [0; 1024];
    assert!(first.read(&mut bytes).await.unwrap() > 0);
    let mut second = TcpStream::connect(door.address).await.unwrap();
    assert!(!matches!(second.read(&mut bytes).await, Ok(1..)));
    first.write_all(question.as_bytes()).await.unwrap();
    assert!(first.read(&mut bytes).await.unwrap() > 0, "the first goes on");
}

#[tokio::test]
async fn a_decision_does_not_outlive_its_question_on_one_connection() {
    let world = World::granted();
    let door = world.serve().await;
    let mut stream = TcpStream::connect(door.address).await.unwrap();
    for (token, path, status) in [
        ("token-alice", "/admin", "200"),
        ("token-bob", "/admin", "403"),
        ("none", "/admin", "401"),
        ("token-alice", "/admin", "200"),
        ("token-alice", "/billing", "403"),
    ] {
        let question = format!(
            "GET /authz/ext-authz{path} HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(question.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 4096];
        let mut text = String::new();
        while !text.contains("\r\n\r\n") {
            let n = stream.read(&mut bytes).await.unwrap();
            assert!(n > 0);
            text.push_str(&String::from_utf8_lossy(&bytes[..n]));
        }
        assert!(
            text.starts_with(&format!("HTTP/1.1 {status} ")),
            "{token} {path}: {text}"
        );
        assert_eq!(text.contains("local|alice"), status == "200", "{text}");
        let (_, rest) = text.split_once("\r\n\r\n").unwrap();
        let length = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        if rest.len() < length {
            stream
                .read_exact(&mut vec![0; length - rest.len()])
                .await
                .unwrap();
        }
    }
}
