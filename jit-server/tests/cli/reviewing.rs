//! Deciding: only on what was seen.

use crate::world::{id, start};

#[tokio::test]
async fn a_script_approves_only_what_somebody_has_seen() {
    let world = start().await;
    let asked = world.ask().await;
    let (one, digest) = (id(&asked), asked["digest"].as_str().unwrap());
    for args in [&["approve", one][..], &["approve", one, "--yes"]] {
        world
            .jit("bob", args)
            .await
            .ended(2, &["without a terminal", "--digest"]);
    }
    world.jit("bob", &["deny", one]).await.ended(2, &["--yes"]);
    let other = "0".repeat(64);
    let stale = world.jit("bob", &["approve", one, "--digest", &other]).await;
    // What counts now is shown with the refusal.
    stale.ended(
        7,
        &[
            "look into INC-42",
            "error: ",
            "has changed",
            digest,
            "Nothing was decided",
        ],
    );
    assert_eq!(world.state(one).await, "pending");
    world
        .jit("alice", &["approve", one, "--digest", digest])
        .await
        .ended(3, &["error: Nobody reviews"]);
    assert_eq!(world.state(one).await, "pending");

    let args = [
        "approve",
        one,
        "--digest",
        digest,
        "--duration",
        "2m",
        "--comment",
        "go",
        "-o",
        "json",
    ];
    let approved = world
        .jit("bob", &args)
        .await
        .ended(0, &["look into INC-42"])
        .json();
    assert_eq!(approved["state"], "active");
    assert_eq!(approved["reviews"][0]["comment"], "go");
    assert_eq!(approved["reviews"][0]["narrowing"]["duration"], "2m");
    world.jit("carol", &["deny", one, "--yes"]).await.ended(
        7,
        &[
            "error: The request's state does not allow that",
            &format!("jit show {one}"),
        ],
    );
    world.end().await;
}

#[tokio::test]
async fn a_lockdown_ends_what_it_matches_until_it_is_lifted() {
    let world = start().await;
    let asked = world.ask().await;
    world.approve(id(&asked)).await;
    for args in [
        &["lockdown", "set", "--reason", "x"][..],
        &["lockdown", "set", "--all", "--role", "sre", "--reason", "x"],
    ] {
        world.jit("carol", args).await.ended(2, &["--all"]);
    }
    // A slip of the pen is told, and shuts what it says.
    for (kind, name, told) in [
        ("--resource", "admn", "the policy names no resource `admn`"),
        ("--person", "alicia", "nobody has the id `alicia`"),
        ("--role", "ser", "nobody has the role `ser`"),
    ] {
        let slip = ["lockdown", "set", kind, name, "--reason", "breach"];
        let slip = world.jit("carol", &slip).await.done(&[name]);
        assert!(slip.err.contains(told), "{slip:?}");
        let listed = world.jit("carol", &["lockdown", "list"]).await;
        assert!(
            listed.err.contains(told) && !listed.err.contains("lift"),
            "{listed:?}"
        );
        // As it is told.
        let lift = slip.err.split("to lift it: jit ").nth(1).unwrap().trim();
        let lift: Vec<&str> = lift.splitn(5, ' ').map(|word| word.trim_matches('"')).collect();
        world.jit("carol", &lift).await.done(&["is lifted"]);
    }
    // Who has not come yet is not nobody.
    for (kind, name) in [("--person", "mallory"), ("--principal", "demo|alicia")] {
        let meant = ["lockdown", "set", kind, name, "--reason", "breach"];
        let meant = world.jit("carol", &meant).await.done(&[name]);
        assert_eq!(meant.err, "", "{meant:?}");
    }
    assert_eq!(world.state(id(&asked)).await, "active");
    let set = [
        "lockdown", "set", "--role", "sre", "--reason", "breach", "-o", "json",
    ];
    let set = world.jit("carol", &set).await.done(&[]).json();
    world
        .jit("carol", &["lockdown", "list"])
        .await
        .done(&[id(&set), "role sre", "breach", "carol"]);
    assert_eq!(world.state(id(&asked)).await, "revoked");
    world
        .jit("alice", &["request", "-r", "staging", "--reason", "x"])
        .await
        .ended(3, &["error: A lockdown is in force", "breach"]);
    world
        .jit("carol", &["lockdown", "lift", id(&set), "--reason", "over"])
        .await
        .done(&["is lifted"]);
    world
        .jit("alice", &["request", "-r", "staging", "--reason", "x"])
        .await
        .done(&["active"]);
    let events = world
        .jit("carol", &["events"])
        .await
        .done(&["POSITION", "lockdowns"]);
    let all = events.out.lines().count() - 1;
    let two = world
        .jit("carol", &["events", "--after", "1", "--limit", "2", "-o", "json"])
        .await
        .done(&[]);
    let positions: Vec<_> = two
        .out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["position"].clone())
        .collect();
    assert_eq!(positions, [2, 3]);
    assert!(all > 5, "{events:?}");
    world.end().await;
}
