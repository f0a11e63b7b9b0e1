//! Clearing the passkeys of somebody who has lost theirs.

use jit_core::broker::passkeys::{Passkey, PasskeyStore, StoredPasskeys};
use jit_core::id::PersonId;
use serde_json::json;

use crate::step_up::{step_up, world};
use crate::world::World;

const CLEAR: &str = "/v1/passkeys/clear";

/// Gives `who` a passkey.
async fn enrolled(world: &World, who: &str) {
    let passkey = Passkey {
        id: who.to_owned(),
        name: "laptop".to_owned(),
        added_at: world.broker.now(),
        used_at: None,
        data: "{}".to_owned(),
    };
    let owner = PersonId::new(who).unwrap();
    let passkeys = StoredPasskeys::new(world.store.clone());
    passkeys.put(&owner, 0, &[passkey], None).await.unwrap();
}

#[tokio::test]
async fn the_power_comes_first_then_a_second_factor_and_then_the_input() {
    let world = World::new().await;
    for who in ["alice", "carol"] {
        enrolled(&world, who).await;
    }
    let (before, body) = (world.end().await, json!({"person": "alice", "reason": "lost"}));
    for who in ["alice", "bob-mfa", "mallory"] {
        for text in ["garbage", "{}", r#"{"person":"alice","reason":"lost"}"#] {
            world
                .post_text(who, CLEAR, text)
                .await
                .problem(403, "not-eligible");
        }
    }
    world
        .post("carol", CLEAR, &body)
        .await
        .problem(401, "step-up-required");
    for (body, field) in [
        (json!({"reason": "lost"}), "person"),
        (json!({"person": "", "reason": "lost"}), "person"),
        (json!({"person": "alice"}), "reason"),
        (json!({"person": "alice", "reason": " "}), "reason"),
        (json!({"person": "carol", "reason": "mine"}), "person"),
        (json!({"person": "bob", "reason": "has none"}), "person"),
        (json!({"person": "alice", "reason": "lost", "all": true}), "all"),
    ] {
        let answer = world.post("carol-mfa", CLEAR, &body).await;
        answer.invalid(field);
    }
    assert_eq!(world.end().await, before);
    let cleared = world.post("carol-mfa", CLEAR, &body).await;
    cleared.is(200);
    assert_eq!(cleared.json, json!({"count": 1}));
    let log = world.get("carol", "/v1/events?limit=1000").await.json;
    let last = log["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (&last["type"], &last["stream"]),
        (&json!("passkeys_cleared"), &json!("person/alice"))
    );
    assert_eq!(
        last["event"]["passkeys"],
        json!([{"id": "alice", "name": "laptop"}])
    );
    assert_eq!(
        (&last["event"]["person"], &last["event"]["reason"]),
        (&json!("carol"), &json!("lost"))
    );
}

#[tokio::test]
async fn what_was_proven_ends_with_the_passkeys() {
    let world = world().await;
    enrolled(&world, "alice").await;
    for who in ["alice", "bob"] {
        step_up(&world, who).await.is(200);
    }
    let methods = async |who: &str| world.get(who, "/v1/me").await.json["methods"].clone();
    assert_eq!(methods("alice").await, json!(["otp"]));
    let body = json!({"person": "alice", "reason": "lost"});
    world
        .post("carol", CLEAR, &body)
        .await
        .problem(401, "step-up-required");
    assert_eq!(methods("alice").await, json!(["otp"]));
    world.post("carol-mfa", CLEAR, &body).await.is(200);
    assert_eq!(methods("alice").await, json!([]));
    assert_eq!(methods("bob").await, json!(["otp"]), "another's stays");
}
