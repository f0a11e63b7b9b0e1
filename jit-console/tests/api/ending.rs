//! Taking back, giving back, taking away: each in its own states, by its own people, and nowhere else.

use serde_json::json;

use crate::world::{ADMIN, Answer, WIKI, World};

const ACTIONS: [&str; 3] = ["withdraw", "release", "revoke"];

/// A request of alice's in `state`.
async fn in_state(world: &World, state: &str) -> Answer {
    let asked = match state {
        "scheduled" => {
            let body = ADMIN.with(json!({"start": "2026-03-01T09:30:00Z"}));
            world.post("alice", "/v1/requests", &body).await
        }
        _ => world.asked("alice", ADMIN).await,
    };
    let act = async |who: &str, action: &str, body| {
        let answer = world
            .post(who, &format!("{}/{action}", asked.path()), &body)
            .await;
        answer.is(200);
    };
    let reason = json!({"reason": "INC-1"});
    let deny = json!({"decision": "deny", "digest": asked.digest()});
    match state {
        "pending" => {}
        "timed_out" => world.advance(3600),
        "withdrawn" => act("alice", "withdraw", json!({})).await,
        "denied" => act("bob", "review", deny).await,
        other => {
            act("bob", "review", asked.approval()).await;
            match other {
                "scheduled" | "active" => {}
                "expired" => world.advance(1800),
                "released" => act("alice", "release", json!({})).await,
                "revoked" => act("bob", "revoke", reason).await,
                other => panic!("{other}"),
            }
        }
    }
    let stands = world.get("alice", &asked.path()).await;
    assert_eq!(stands.state(), state);
    stands
}

#[tokio::test]
async fn each_end_has_its_states_and_in_others_nothing_changes() {
    for (state, allowed) in [
        ("pending", &["withdraw"][..]),
        ("scheduled", &["release", "revoke"][..]),
        ("active", &["release", "revoke"][..]),
        ("denied", &[][..]),
        ("withdrawn", &[][..]),
        ("timed_out", &[][..]),
        ("expired", &[][..]),
        ("released", &[][..]),
        ("revoked", &[][..]),
    ] {
        for action in ACTIONS {
            let world = World::new().await;
            let request = in_state(&world, state).await;
            let who = if action == "revoke" { "carol" } else { "alice" };
            let path = format!("{}/{action}", request.path());
            let body = json!({"reason": "INC-2"});
            if allowed.contains(&action) {
                let done = world.post(who, &path, &body).await;
                assert_eq!(
                    done.json["end"]["reason"], "INC-2",
                    "{state} {action}: {}",
                    done.text
                );
                assert_eq!(done.json["end"]["cause"]["person"], who);
            } else {
                let late = world.refused(who, &path, &body, (409, "already-decided")).await;
                assert_eq!(late.json["state"], state, "{action}");
                assert_eq!(
                    world.request("alice", &request.id()).await,
                    request.json,
                    "{state} {action}"
                );
            }
        }
    }
}

#[tokio::test]
async fn others_do_not_take_back_or_give_back_and_the_holder_does_not_revoke() {
    let world = World::new().await;
    let pending = in_state(&world, "pending").await;
    let body = json!({"reason": "INC-2"});
    let path = |action| format!("{}/{action}", pending.path());
    world
        .refused("bob", &path("withdraw"), &body, (403, "not-eligible"))
        .await;
    world
        .post("bob", &path("review"), &pending.approval())
        .await
        .is(200);
    world
        .refused("bob", &path("release"), &body, (403, "not-eligible"))
        .await;
    world
        .refused("alice", &path("revoke"), &body, (403, "not-eligible"))
        .await;
    for wrong in [json!({}), json!({"reason": null}), json!({"reason": " \u{200b}"})] {
        world
            .refused("bob", &path("revoke"), &wrong, (400, "invalid"))
            .await
            .invalid("reason");
    }
    let revoked = world.post("bob", &path("revoke"), &body).await;
    assert_eq!(revoked.state(), "revoked");
}

#[tokio::test]
async fn the_gate_opens_and_shuts_with_the_grant() {
    let world = World::new().await;
    world.broker.follow().await.unwrap();
    let refused = world.app("alice", "/admin").await;
    refused.problem(403, "approval-required");
    assert_eq!(refused.json["request_url"], "/_jit/v1/requests");
    let asked = world.asked("alice", ADMIN).await;
    let waits = world.app("alice", "/admin").await;
    waits.problem(403, "approval-pending");
    assert_eq!(waits.json["request_id"], asked.json["id"]);
    world
        .post("bob", &format!("{}/review", asked.path()), &asked.approval())
        .await
        .is(200);
    world.app("alice", "/admin/users").await.is(200);
    world.app("bob", "/admin").await.problem(403, "approval-required");
    let grants = world.get("alice", "/v1/grants").await.json;
    let grant = &grants["items"][0];
    assert_eq!(grant["request_id"], asked.json["id"]);
    assert_eq!(grant["remaining"]["expires_in"], 1800);
    world
        .post("alice", &format!("{}/release", asked.path()), &json!({}))
        .await
        .is(200);
    world
        .app("alice", "/admin")
        .await
        .problem(403, "approval-required");
    assert_eq!(world.get("alice", "/v1/grants").await.json["items"], json!([]));
}

#[tokio::test]
async fn grants_are_listed_in_pages() {
    let world = World::new().await;
    let first = world.asked("alice", WIKI).await;
    let second = world.granted("alice", ADMIN).await;
    let page = world.get("alice", "/v1/grants?limit=1").await.json;
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    assert_eq!(page["items"][0]["request_id"], second.id());
    let next = page["next"].as_str().unwrap();
    let page = world
        .get("alice", &format!("/v1/grants?limit=1&after={next}"))
        .await
        .json;
    assert_eq!(page["items"][0]["request_id"], first.id());
    let rest = match page["next"].as_str() {
        Some(next) => world.get("alice", &format!("/v1/grants?after={next}")).await.json,
        None => json!({"items": [], "next": null}),
    };
    assert_eq!(rest, json!({"items": [], "next": null}));
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("state=active", "state"),
    ] {
        world
            .get("alice", &format!("/v1/grants?{query}"))
            .await
            .invalid(field);
    }
}
