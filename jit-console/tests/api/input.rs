//! What is sent must be what the API takes; what is not is named.

use axum::body::Body;
use serde_json::json;

use crate::world::{ADMIN, Answer, World};

const BODY_MAX: usize = 64 * 1024;

async fn sent(world: &World, headers: &[(&str, &str)], body: impl Into<Body>) -> Answer {
    let mut request = world.call("alice", "POST", "/v1/requests");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn a_body_is_at_most_64_kib_long() {
    let world = World::new().await;
    let before = world.end().await;
    let padded = |length: usize| {
        let body = ADMIN.body().to_string();
        let padding = " ".repeat(length - body.len());
        body + &padding
    };
    let json = [("content-type", "application/json")];
    sent(&world, &json, padded(BODY_MAX + 1))
        .await
        .problem(413, "body-too-large");
    // In pieces, without a Content-Length.
    let pieces = std::iter::repeat_n(Ok::<_, std::convert::Infallible>(" ".repeat(1024)), 65);
    let stream = Body::from_stream(futures_util::stream::iter(pieces));
    sent(&world, &json, stream).await.problem(413, "body-too-large");
    assert_eq!(world.end().await, before);
    sent(&world, &json, padded(BODY_MAX)).await.is(201);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let world = World::new().await;
    let json = [("content-type", "application/json")];
    let never = futures_util::stream::pending::<Result<String, std::io::Error>>();
    sent(&world, &json, Body::from_stream(never))
        .await
        .problem(408, "body-too-slow");
    let broken = futures_util::stream::iter([Ok("{".to_owned()), Err(std::io::Error::other("reset"))]);
    sent(&world, &json, Body::from_stream(broken))
        .await
        .invalid("body");
}

#[tokio::test]
async fn a_body_is_plain_json() {
    let world = World::new().await;
    let before = world.end().await;
    let right = ADMIN.body().to_string();
    for headers in [
        &[][..],
        &[("content-type", "text/plain")][..],
        &[("content-type", "application/x-www-form-urlencoded")][..],
        &[("content-type", "application/json; charset=latin1")][..],
        &[
            ("content-type", "application/json"),
            ("content-type", "text/plain"),
        ][..],
        &[("content-type", "application/json"), ("content-encoding", "gzip")][..],
        &[
            ("content-type", "application/json"),
            ("content-encoding", "identity"),
        ][..],
    ] {
        let answer = sent(&world, headers, right.clone()).await;
        answer.problem(415, "unsupported-media-type");
    }
    assert_eq!(world.end().await, before);
    let spelled = [("content-type", "Application/JSON; charset=UTF-8")];
    sent(&world, &spelled, right).await.is(201);
}

#[tokio::test]
async fn what_cannot_be_read_names_the_field() {
    let world = World::new().await;
    let before = world.end().await;
    let deep = format!("{{\"resource\":{}{}}}", "[".repeat(20_000), "]".repeat(20_000));
    for (body, field) in [
        (b"{\"resource\":\"admin\xff\"}".to_vec(), "body"),
        (deep.into_bytes(), "resource"),
        (br#"{"resource":"admin","resource":"admin"}"#.to_vec(), "resource"),
        (
            br#"{"resource":"admin","reason":"abcde","durations":"1h"}"#.to_vec(),
            "durations",
        ),
        (br#"{"resource":"admin","__proto__":{}}"#.to_vec(), "__proto__"),
        (b"{'resource':'admin'}".to_vec(), "body"),
        (br#"{"resource":"admin""#.to_vec(), "body"),
        (b"null".to_vec(), "body"),
        (b"".to_vec(), "body"),
        (b"[]".to_vec(), "body"),
        (b"{}".to_vec(), "resource"),
        (br#"{"resource":null}"#.to_vec(), "resource"),
        (br#"{"resource":"admin"} {}"#.to_vec(), "body"),
        (br#"{"resource":"admin","duration":30}"#.to_vec(), "duration"),
        (
            br#"{"resource":"admin","max_requests":0}"#.to_vec(),
            "max_requests",
        ),
        (
            br#"{"resource":"admin","max_requests":1e9}"#.to_vec(),
            "max_requests",
        ),
        (br#"{"resource":"admin","paths":"/admin"}"#.to_vec(), "paths"),
        (
            br#"{"resource":"admin","selector":"address"}"#.to_vec(),
            "selector",
        ),
    ] {
        let shown = String::from_utf8_lossy(&body)
            .chars()
            .take(80)
            .collect::<String>();
        let answer = world.post_text("alice", "/v1/requests", body).await;
        assert_eq!(answer.json["field"], field, "{shown}: {}", answer.text);
        answer.invalid(field);
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn what_is_out_of_bounds_names_the_field() {
    let world = World::new().await;
    for (more, field) in [
        (json!({"duration": "0s"}), "duration"),
        (json!({"duration": "-5m"}), "duration"),
        (json!({"duration": "367days"}), "duration"),
        (json!({"duration": "99999999999h"}), "duration"),
        (json!({"duration": "5h"}), "duration"),
        (json!({"start": "2026-03-01T08:59:59Z"}), "start"),
        (json!({"start": "2027-03-01T09:00:00Z"}), "start"),
        (json!({"start": "soon"}), "start"),
        (json!({"reason": "x".repeat(501)}), "reason"),
        (json!({"reason": "why"}), "reason"),
        (json!({"reason": "\u{200b}\u{202e}      "}), "reason"),
        (json!({"reason": null}), "reason"),
        (json!({"methods": ["get"]}), "methods"),
        (json!({"methods": vec!["GET"; 33]}), "methods"),
        (json!({"paths": ["/other"]}), "paths"),
        (json!({"paths": ["/admin/../wiki"]}), "paths"),
        (json!({"paths": ["/admin/*"]}), "paths"),
        (json!({"paths": ["/admin/%2e"]}), "paths"),
        (json!({"resource": "no such name"}), "resource"),
        (json!({"extends": "req_1"}), "extends"),
        (
            json!({"break_glass": true, "start": "2026-03-01T09:30:00Z"}),
            "start",
        ),
    ] {
        let asker = if more.get("break_glass").is_some() {
            "erin"
        } else {
            "alice"
        };
        let answer = world
            .refused(asker, "/v1/requests", &ADMIN.with(more), (400, "invalid"))
            .await;
        answer.invalid(field);
    }
    // The longest reason that fits is kept as it is, but for what does not show.
    let reason = format!("  {}\u{202e}\u{0} ", "é".repeat(500));
    let asked = world
        .post("alice", "/v1/requests", &ADMIN.with(json!({"reason": reason})))
        .await;
    asked.is(201);
    assert_eq!(asked.json["reason"], "é".repeat(500));
}
