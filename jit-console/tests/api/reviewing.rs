//! Reviews: of the very thing that was seen, by someone else, once.

use serde_json::json;

use crate::world::{ADMIN, VAULT, World};

#[tokio::test]
async fn a_review_names_what_it_saw() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let path = format!("{}/review", asked.path());
    for (body, field) in [
        (json!({"decision": "approve"}), "digest"),
        (json!({"decision": "approve", "digest": "abc"}), "digest"),
        (json!({"digest": asked.digest()}), "decision"),
        (json!({"decision": "maybe", "digest": asked.digest()}), "decision"),
        (
            json!({"decision": "deny", "digest": asked.digest(), "duration": "5m"}),
            "decision",
        ),
        (
            json!({"decision": "approve", "digest": asked.digest(), "duration": "31m"}),
            "duration",
        ),
        (
            json!({"decision": "approve", "digest": asked.digest(), "paths": ["/wiki"]}),
            "paths",
        ),
        (
            json!({"decision": "approve", "digest": asked.digest(), "comment": "x".repeat(501)}),
            "comment",
        ),
    ] {
        world
            .refused("bob", &path, &body, (400, "invalid"))
            .await
            .invalid(field);
    }
    let stale = json!({"decision": "approve", "digest": "0".repeat(64)});
    let stale = world.refused("bob", &path, &stale, (409, "stale-digest")).await;
    assert_eq!(stale.json["current_digest"], asked.digest());
}

#[tokio::test]
async fn nobody_reviews_their_own_and_not_everyone_reviews() {
    let world = World::new().await;
    // frank leads, and asks.
    let asked = world.asked("frank", ADMIN).await;
    let path = format!("{}/review", asked.path());
    world
        .refused("frank", &path, &asked.approval(), (403, "self-review"))
        .await;
    // That it is their own comes before what they sent.
    let stale = json!({"decision": "deny", "digest": "0".repeat(64)});
    world.refused("frank", &path, &stale, (403, "self-review")).await;
    world
        .refused("alice", &path, &asked.approval(), (404, "not-found"))
        .await;
    let approved = world.post("bob", &path, &asked.approval()).await;
    assert_eq!(approved.state(), "active");
    assert_eq!(approved.json["reviews"][0]["person"], "bob");
    assert_eq!(approved.json["reviews"][0]["decision"], "approve");
    assert_eq!(approved.json["stages"][0]["filled"], 1);
}

#[tokio::test]
async fn a_repeat_changes_nothing_and_a_late_word_is_409() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let path = format!("{}/review", asked.path());
    let first = world.post("bob", &path, &asked.approval()).await;
    assert_eq!(first.state(), "active");
    let before = world.end().await;
    let again = world.post("bob", &path, &asked.approval()).await;
    assert_eq!(again.state(), "active");
    assert_eq!(again.json, first.json);
    assert_eq!(world.end().await, before);
    let deny = json!({"decision": "deny", "digest": asked.digest()});
    for (who, body) in [("bob", &deny), ("carol", &deny), ("carol", &asked.approval())] {
        let late = world.refused(who, &path, body, (409, "already-decided")).await;
        assert_eq!(late.json["state"], "active");
    }
}

#[tokio::test]
async fn a_mind_may_change_while_the_request_is_pending() {
    let world = World::new().await;
    let asked = world.asked("alice", VAULT).await;
    let path = format!("{}/review", asked.path());
    let one = world.post("bob-mfa", &path, &asked.approval()).await;
    assert_eq!(one.state(), "pending");
    assert_eq!(one.json["stages"][0]["filled"], 1);
    let again = world.post("bob-mfa", &path, &asked.approval()).await;
    assert_eq!(again.json, one.json);
    let deny = json!({"decision": "deny", "digest": asked.digest()});
    let denied = world.post("bob-mfa", &path, &deny).await;
    assert_eq!(denied.state(), "denied");
}

#[tokio::test]
async fn two_persons_fill_two_seats() {
    let world = World::new().await;
    let asked = world.asked("alice", VAULT).await;
    let path = format!("{}/review", asked.path());
    world.post("bob-mfa", &path, &asked.approval()).await.is(200);
    let both = world.post("frank-mfa", &path, &asked.approval()).await;
    assert_eq!(both.state(), "active");
}

#[tokio::test]
async fn a_sign_in_that_is_too_weak_or_too_old_is_told_what_is_needed() {
    let world = World::new().await;
    let asked = world.asked("alice", VAULT).await;
    let path = format!("{}/review", asked.path());
    let weak = world
        .refused("bob", &path, &asked.approval(), (401, "step-up-required"))
        .await;
    assert_eq!(weak.json["max_age"], 900);
    let challenge = weak.header("www-authenticate").unwrap();
    assert!(
        challenge.starts_with("Bearer error=\"insufficient_user_authentication\""),
        "{challenge}"
    );
    assert!(challenge.ends_with("max_age=\"900\""), "{challenge}");
    world.post("bob-mfa", &path, &asked.approval()).await.is(200);
}

#[tokio::test]
async fn a_request_that_nobody_decided_on_is_over() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    world.advance(3599);
    assert_eq!(world.request("bob", &asked.id()).await["state"], "pending");
    world.advance(1);
    let late = world
        .refused(
            "bob",
            &format!("{}/review", asked.path()),
            &asked.approval(),
            (409, "already-decided"),
        )
        .await;
    assert_eq!(late.json["state"], "timed_out");
    let shown = world.request("bob", &asked.id()).await;
    assert_eq!(shown["end"]["at"], "2026-03-01T10:00:00Z");
    assert_eq!(shown["end"]["cause"], json!({"by": "limit"}));
}
