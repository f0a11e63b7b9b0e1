//! Lockdowns: by those who may, of one thing, and never of the way back.

use serde_json::{Value, json};

use crate::world::{ADMIN, WIKI, World};

async fn locked(world: &World, more: Value) -> Value {
    let mut body = more;
    body["reason"] = json!("INC-666");
    let answer = world.post("carol", "/v1/lockdowns", &body).await;
    answer.is(201);
    answer.json
}

#[tokio::test]
async fn the_power_comes_before_the_input() {
    let world = World::new().await;
    let lockdown = locked(&world, json!({"role": "nobodys"})).await;
    let id = lockdown["id"].as_str().unwrap();
    let before = world.end().await;
    for who in ["alice", "bob", "mallory"] {
        for path in [
            "/v1/lockdowns".to_owned(),
            format!("/v1/lockdowns/{id}/lift"),
            "/v1/lockdowns/ldn_00000000000000000000000000000001/lift".to_owned(),
            "/v1/lockdowns/nonsense/lift".to_owned(),
        ] {
            for body in ["garbage", "{}", r#"{"all":true,"reason":"x"}"#] {
                let answer = world.post_text(who, &path, body).await;
                answer.problem(403, "not-eligible");
            }
        }
        let answer = world.get(who, "/v1/lockdowns?nonsense=1").await;
        answer.problem(403, "not-eligible");
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_lockdown_names_one_thing_and_why() {
    let world = World::new().await;
    for (body, field) in [
        (json!({"reason": "x"}), "target"),
        (json!({"reason": "x", "all": true, "role": "sre"}), "target"),
        (
            json!({"reason": "x", "person": "alice", "resource": "admin"}),
            "target",
        ),
        (json!({"reason": "x", "all": false}), "all"),
        (json!({"reason": "x", "all": 1}), "all"),
        (json!({"reason": "x", "person": ""}), "person"),
        (
            json!({"reason": "x", "principal": {"issuer": "demo"}}),
            "principal.subject",
        ),
        (json!({"reason": "x", "principal": "demo|alice"}), "principal"),
        (json!({"reason": "x", "who": "alice"}), "who"),
        (json!({"role": "sre"}), "reason"),
        (json!({"role": "sre", "reason": "\u{200b}"}), "reason"),
        (json!({"role": "sre", "reason": "x".repeat(501)}), "reason"),
    ] {
        let answer = world
            .refused("carol", "/v1/lockdowns", &body, (400, "invalid"))
            .await;
        answer.invalid(field);
    }
    for id in [
        "ldn_00000000000000000000000000000001",
        "nonsense",
        "req_00000000000000000000000000000001",
    ] {
        let path = format!("/v1/lockdowns/{id}/lift");
        world
            .refused("carol", &path, &json!({"reason": "over"}), (404, "not-found"))
            .await;
    }
    let id = locked(&world, json!({"role": "nobodys"})).await;
    let path = format!("/v1/lockdowns/{}/lift", id["id"].as_str().unwrap());
    world
        .refused("carol", &path, &json!({}), (400, "invalid"))
        .await
        .invalid("reason");
}

#[tokio::test]
async fn what_is_locked_is_shut_and_stays_ended() {
    for target in [
        json!({"all": true}),
        json!({"resource": "admin"}),
        json!({"role": "sre"}),
        json!({"person": "alice"}),
        json!({"principal": {"issuer": "demo", "subject": "alice"}}),
    ] {
        let world = World::new().await;
        let granted = world.granted("alice", ADMIN).await;
        world.broker.follow().await.unwrap();
        world.app("alice", "/admin").await.is(200);
        let lockdown = locked(&world, target.clone()).await;
        world.app("alice", "/admin").await.problem(403, "locked-down");
        let ended = world.request("alice", &granted.id()).await;
        assert_eq!(ended["state"], "revoked", "{target}");
        assert_eq!(
            ended["end"]["cause"],
            json!({"by": "lockdown", "id": lockdown["id"]})
        );
        let answer = world
            .refused("alice", "/v1/requests", &ADMIN.body(), (403, "locked-down"))
            .await;
        assert!(
            answer.json["detail"].as_str().unwrap().contains("INC-666"),
            "{target}"
        );

        assert_eq!(lockdown.get("warning"), None, "{target}");

        // The control API stays reachable, and so does the way back.
        world.get("alice", "/v1/me").await.is(200);
        let listed = world.get("carol", "/v1/lockdowns").await;
        assert_eq!(listed.json["items"], json!([lockdown]), "{target}");
        let path = format!("/v1/lockdowns/{}/lift", lockdown["id"].as_str().unwrap());
        let over = json!({"reason": "over"});
        let lifted = world.post("carol", &path, &over).await;
        lifted.is(204);
        assert_eq!(lifted.text, "");
        world.refused("carol", &path, &over, (404, "not-found")).await;
        assert_eq!(world.get("carol", "/v1/lockdowns").await.json["items"], json!([]));
        world
            .app("alice", "/admin")
            .await
            .problem(403, "approval-required");
        assert_eq!(world.request("alice", &granted.id()).await["state"], "revoked");
        world.granted("alice", ADMIN).await;
        world.app("alice", "/admin").await.is(200);
    }
}

#[tokio::test]
async fn nobody_who_is_locked_reviews() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let lockdown = locked(&world, json!({"person": "bob"})).await;
    let path = format!("{}/review", asked.path());
    world
        .refused("bob", &path, &asked.approval(), (403, "locked-down"))
        .await;
    world.asked("erin", WIKI).await;
    assert_eq!(lockdown["person"], "bob");
    assert_eq!(lockdown["declared_by"]["person"], "carol");
    world.post("frank", &path, &asked.approval()).await.is(200);
}
