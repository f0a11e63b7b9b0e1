//! Asking: once for each key, no more than the limits, and without a word about what is not the caller's.

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{ADMIN, Answer, VAULT, WIKI, World};

async fn with_keys(world: &World, who: &str, keys: &[&str], body: &Value) -> Answer {
    let mut request = world
        .call(who, "POST", "/v1/requests")
        .header("content-type", "application/json");
    for key in keys {
        request = request.header("idempotency-key", *key);
    }
    world
        .send(request.body(Body::from(body.to_string())).unwrap())
        .await
}

#[tokio::test]
async fn an_asking_is_created_and_says_where() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let url = format!("/_jit/v1/requests/{}", asked.id());
    assert_eq!(asked.header("location"), Some(url.as_str()));
    assert_eq!(asked.json["url"], url);
    for (member, value) in [
        ("state", json!("pending")),
        ("version", json!(1)),
        ("stage", json!(0)),
        ("resource", json!("admin")),
        ("policy", json!("admin-for-sre")),
        ("duration", json!("30m")),
        ("asked_at", json!("2026-03-01T09:00:00Z")),
        ("pending_until", json!("2026-03-01T10:00:00Z")),
        ("not_after", Value::Null),
        ("grant", Value::Null),
    ] {
        assert_eq!(asked.json[member], value, "{member}");
    }
    assert_eq!(world.request("alice", &asked.id()).await, asked.json);
    // What nobody has to agree to is active at once.
    let wiki = world.asked("alice", WIKI).await;
    assert_eq!(wiki.json["state"], "active");
    assert_eq!(wiki.json["not_after"], "2026-03-01T09:10:00Z");
}

#[tokio::test]
async fn the_same_key_finds_the_same_request() {
    let world = World::new().await;
    let first = with_keys(&world, "alice", &["k-1"], &ADMIN.body()).await;
    first.is(201);
    let before = world.end().await;
    let again = with_keys(&world, "alice", &["k-1"], &ADMIN.body()).await;
    again.is(200);
    assert_eq!(again.json, first.json);
    assert_eq!(again.header("location"), None);
    // The same asking, spelled otherwise.
    let same = ADMIN.with(json!({"methods": [], "break_glass": false, "ticket": null}));
    with_keys(&world, "alice", &["k-1"], &same).await.is(200);
    with_keys(&world, "alice", &["k-1"], &WIKI.body())
        .await
        .invalid("Idempotency-Key");
    let long = "k".repeat(128);
    for keys in [
        vec![""],
        vec!["a b"],
        vec!["caf\u{e9}"],
        vec!["k-1", "k-1"],
        vec![&*format!("{long}k")],
    ] {
        with_keys(&world, "alice", &keys, &ADMIN.body())
            .await
            .invalid("Idempotency-Key");
    }
    assert_eq!(world.end().await, before);
    // Another person's key is another key, and the longest is long enough.
    let other = with_keys(&world, "frank", &["k-1"], &ADMIN.body()).await;
    other.is(201);
    assert_ne!(other.id(), first.id());
    with_keys(&world, "erin", &[&long], &ADMIN.body()).await.is(201);
}

#[tokio::test]
async fn a_key_finds_its_request_whatever_became_of_it() {
    let world = World::new().await;
    let first = with_keys(&world, "alice", &["k"], &ADMIN.body()).await;
    world
        .post("alice", &format!("{}/withdraw", first.path()), &json!({}))
        .await
        .is(200);
    let again = with_keys(&world, "alice", &["k"], &ADMIN.body()).await;
    assert_eq!(again.state(), "withdrawn");
    assert_eq!(again.id(), first.id());
}

#[tokio::test]
async fn what_does_not_exist_is_answered_like_what_is_not_yours() {
    let world = World::new().await;
    let mut answers = Vec::new();
    for (who, body) in [
        (
            "alice",
            json!({"resource": "crypt", "reason": "look into INC-42"}),
        ),
        (
            "alice",
            json!({"resource": "nowhere", "reason": "look into INC-42"}),
        ),
        ("alice", ADMIN.with(json!({"policy": "crypt-for-nobody"}))),
        ("alice", ADMIN.with(json!({"policy": "nonsense"}))),
        ("alice", ADMIN.with(json!({"break_glass": true}))),
        ("mallory", ADMIN.body()),
        // Who may ask comes before what is asked.
        (
            "mallory",
            ADMIN.with(json!({"duration": "99h", "start": "2020-01-01T00:00:00Z"})),
        ),
        ("mallory", json!({"resource": "nowhere", "paths": ["nonsense"]})),
    ] {
        answers.push(
            world
                .refused(who, "/v1/requests", &body, (403, "not-eligible"))
                .await,
        );
    }
    for answer in &answers {
        assert_eq!(answer.text, answers[0].text);
        assert_eq!(answer.headers, answers[0].headers);
    }
}

#[tokio::test]
async fn one_pending_request_for_each_resource() {
    let world = World::new().await;
    let first = world.asked("alice", ADMIN).await;
    let body = ADMIN.with(json!({"duration": "5m"}));
    let second = world
        .refused("alice", "/v1/requests", &body, (429, "limit-reached"))
        .await;
    assert_eq!(second.json["request_id"], first.json["id"]);
    assert_eq!(second.json["request_url"], first.json["url"]);
    assert_eq!(second.header("retry-after"), Some("3600"));
    assert_eq!(second.json["retry_at"], "2026-03-01T10:00:00Z");
    world.asked("frank", ADMIN).await;
    world
        .post("alice", &format!("{}/withdraw", first.path()), &json!({}))
        .await
        .is(200);
    world.asked("alice", ADMIN).await;
}

#[tokio::test]
async fn three_askings_at_once_and_then_ten_a_minute() {
    let world = World::new().await;
    for asking in [ADMIN, VAULT, WIKI] {
        world.asked("alice", asking).await;
    }
    let fast = world
        .refused("alice", "/v1/requests", &WIKI.body(), (429, "limit-reached"))
        .await;
    assert_eq!(fast.header("retry-after"), Some("6"));
    assert!(fast.json.get("request_id").is_none());
    world.advance(5);
    let fast = world
        .refused("alice", "/v1/requests", &WIKI.body(), (429, "limit-reached"))
        .await;
    assert_eq!(fast.header("retry-after"), Some("1"));
    world.asked("frank", WIKI).await;
    world.advance(1);
    world.asked("alice", WIKI).await;
}

#[tokio::test]
async fn a_denial_must_cool_down() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let no = json!({"decision": "deny", "digest": asked.digest(), "comment": "not today"});
    let denied = world.post("bob", &format!("{}/review", asked.path()), &no).await;
    assert_eq!(denied.state(), "denied");
    assert_eq!(denied.json["end"]["reason"], "not today");
    world.advance(100);
    let again = world
        .refused("alice", "/v1/requests", &ADMIN.body(), (429, "limit-reached"))
        .await;
    assert_eq!(again.header("retry-after"), Some("200"));
    world.asked("alice", VAULT).await;
    world.advance(200);
    world.asked("alice", ADMIN).await;
}
