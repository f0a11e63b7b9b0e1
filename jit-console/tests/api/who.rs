//! Who calls is settled first.

use axum::body::Body;
use serde_json::json;

use crate::world::{ADMIN, World};

#[tokio::test]
async fn nobody_is_401_and_a_stranger_403() {
    let world = World::new().await;
    let id = world.asked("alice", ADMIN).await.id();
    let before = world.end().await;
    // `ghost` has a token that proves a principal whom the people file does not know; `zoe` is disabled.
    for (who, status, kind) in [
        ("", 401, "unauthenticated"),
        ("forged", 401, "unauthenticated"),
        ("ghost", 403, "not-eligible"),
        ("zoe", 403, "not-eligible"),
    ] {
        for path in [
            "/v1/me".to_owned(),
            "/v1/requests".to_owned(),
            format!("/v1/requests/{id}"),
            "/v1/requests/nonsense".to_owned(),
            "/v1/events?after=nonsense".to_owned(),
        ] {
            let answer = world.get(who, &path).await;
            answer.problem(status, kind);
            let challenge = (status == 401).then_some("Bearer");
            assert_eq!(answer.header("www-authenticate"), challenge, "{who} {path}");
        }
        for path in [
            "/v1/requests".to_owned(),
            "/v1/lockdowns".to_owned(),
            format!("/v1/requests/{id}/revoke"),
        ] {
            world.post_text(who, &path, "garbage").await.problem(status, kind);
        }
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_disabled_person_is_nobody_at_once() {
    let world = World::new().await;
    world.get("alice", "/v1/me").await.is(200);
    world.disable("alice");
    world.get("alice", "/v1/me").await.problem(403, "not-eligible");
    world
        .refused("alice", "/v1/requests", &ADMIN.body(), (403, "not-eligible"))
        .await;
}

#[tokio::test]
async fn headers_of_other_gateways_prove_nobody() {
    let world = World::new().await;
    let request = world
        .call("", "GET", "/v1/me")
        .header("remote-user", "carol")
        .header("x-forwarded-user", "carol")
        .header("x-jit-subject", "demo|carol")
        .header("cookie", "session=carol");
    let answer = world.send(request.body(Body::empty()).unwrap()).await;
    answer.problem(401, "unauthenticated");
}

#[tokio::test]
async fn me_and_policies_say_what_i_am_and_may_ask_for() {
    let world = World::new().await;
    let me = world.get("carol-mfa", "/v1/me").await;
    me.is(200);
    assert_eq!(
        me.json,
        json!({
            "person": "carol",
            "name": "carol",
            "principal": {"issuer": "demo", "subject": "carol"},
            "roles": ["auditor", "security", "sre-lead"],
            "methods": ["pwd", "mfa"],
            "authenticated_at": "2026-03-01T09:00:00Z",
            "powers": {"auditor": true, "revoker": true, "lockdown": true},
        })
    );
    let me = world.get("mallory", "/v1/me").await.json;
    assert_eq!(
        me["powers"],
        json!({"auditor": false, "revoker": false, "lockdown": false})
    );
    for (who, offered) in [
        ("alice", vec![("admin", false), ("wiki", false), ("vault", false)]),
        (
            "erin",
            vec![
                ("admin", false),
                ("admin", true),
                ("wiki", false),
                ("vault", false),
            ],
        ),
        ("bob", vec![("wiki", false)]),
        ("mallory", vec![]),
    ] {
        let answer = world.get(who, "/v1/policies").await;
        answer.is(200);
        let items = answer.json["items"].as_array().unwrap();
        let seen: Vec<_> = items
            .iter()
            .map(|offer| {
                (
                    offer["resource"].as_str().unwrap(),
                    !offer["break_glass"].is_null(),
                )
            })
            .collect();
        assert_eq!(seen, offered, "{who}");
    }
    let offers = world.get("alice", "/v1/policies").await.json;
    let admin = &offers["items"][0];
    assert_eq!(admin["policy"], "admin-for-sre");
    assert_eq!(
        admin["duration"],
        json!({"default": "30m", "max": "4h", "max_total": "8h"})
    );
    assert_eq!(
        admin["reason"],
        json!({"required": true, "min_length": 5, "max_length": 500})
    );
    assert_eq!(admin["automatic"], "never");
    assert_eq!(
        admin["stages"][0]["approvers"],
        json!({"roles": ["sre-lead"], "persons": []})
    );
    assert_eq!(offers["items"][1]["automatic"], "always");
    assert_eq!(
        offers["items"][2]["stages"][0]["mfa"],
        json!({"acr": [], "amr": [], "max_age": "15m"})
    );
}
