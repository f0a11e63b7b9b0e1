//! Credentials that are bound to a grant: who gets one, how often it is shown, and what it opens.

use axum::body::Body;
use http::Request;
use serde_json::json;

use crate::world::{ADMIN, Answer, World};

/// Alice's request for a grant that is bound to a credential, approved.
async fn bound(world: &World) -> Answer {
    let body = ADMIN.with(json!({"selector": "credential"}));
    let asked = world.post("alice", "/v1/requests", &body).await;
    asked.is(201);
    assert_eq!(asked.json["selector"], "credential");
    let review = format!("{}/review", asked.path());
    world.post("bob", &review, &asked.approval()).await.is(200);
    asked
}

/// The guarded app, for whoever bears `credential`.
async fn bear(world: &World, credential: &str) -> Answer {
    let request = Request::builder()
        .uri("/admin")
        .header("host", "app.example.com")
        .header("jit-credential", credential);
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn it_is_shown_once_and_opens_the_grant() {
    let world = World::new().await;
    let asked = bound(&world).await;
    let path = format!("{}/credential", asked.path());
    let mut last = String::new();
    for number in 1..=2 {
        let issued = world.post("alice", &path, &json!({})).await;
        issued.is(201);
        assert_eq!(issued.header("cache-control"), Some("no-store"));
        assert_eq!(issued.json["header"], "jit-credential");
        assert_eq!(issued.json["cookie"], "__Host-jit-grant");
        assert_eq!(issued.json["request"]["id"], asked.id());
        assert_eq!(
            issued.json["request"]["credential_issued_at"],
            "2026-03-01T09:00:00Z"
        );
        let credential = issued.json["credential"].as_str().unwrap();
        assert!(credential.starts_with("jitg_") && credential.len() == 48);
        bear(&world, credential).await.is(200);
        if number == 2 {
            bear(&world, &last).await.problem(401, "unauthenticated");
        }
        last = credential.to_owned();
    }
    for read in [&asked.path(), "/v1/requests", "/v1/grants", "/v1/events"] {
        let answer = world.get("carol", read).await;
        answer.is(200);
        assert!(!answer.text.contains("jitg_"), "{read}: {}", answer.text);
    }
    // It opens nothing of the API, and the identity of its holder does not open the grant.
    let request = world.call("", "GET", "/v1/me").header("jit-credential", &last);
    let answer = world.send(request.body(Body::empty()).unwrap()).await;
    answer.problem(401, "unauthenticated");
    world
        .app("alice", "/admin")
        .await
        .problem(403, "credential-required");
    let release = format!("{}/release", asked.path());
    world.post("alice", &release, &json!({})).await.is(200);
    bear(&world, &last).await.problem(401, "unauthenticated");
}

#[tokio::test]
async fn nobody_else_gets_one_and_nothing_changes() {
    let world = World::new().await;
    let asked = bound(&world).await;
    let path = format!("{}/credential", asked.path());
    for (who, body, refusal) in [
        ("bob", json!({}), (403, "not-eligible")),
        ("carol", json!({}), (403, "not-eligible")),
        ("mallory", json!({}), (404, "not-found")),
        ("alice", json!({"for": "bob"}), (400, "invalid")),
    ] {
        world.refused(who, &path, &body, refusal).await;
    }
    let plain = world.granted("frank", ADMIN).await;
    let path = format!("{}/credential", plain.path());
    world
        .refused("frank", &path, &json!({}), (400, "invalid"))
        .await
        .invalid("selector");
    let waits = ADMIN.with(json!({"selector": "credential"}));
    let waits = world.post("erin", "/v1/requests", &waits).await;
    let path = format!("{}/credential", waits.path());
    world
        .refused("erin", &path, &json!({}), (409, "already-decided"))
        .await;
}
