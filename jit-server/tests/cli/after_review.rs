//! Looking into broken glass afterwards.

use tokio::time::timeout;

use crate::served::{serve, token};
use crate::world::{PATIENCE, id};

#[tokio::test]
async fn broken_glass_is_looked_into_once_and_by_another_person() {
    let served = serve().await;
    let nothing = ["after-review", "list", "-o", "json"];
    assert_eq!(
        served.jit("bob", &nothing).await.done(&[]).json()["items"],
        serde_json::json!([])
    );
    let breaking = [
        "request",
        "-r",
        "admin",
        "--reason",
        "all is down",
        "--break-glass",
        "-o",
        "json",
    ];
    let broken = served.jit("alice", &breaking).await.done(&[]).json();
    let one = id(&broken);
    assert_eq!(broken["state"], "active");
    let bearer = format!("Bearer {}", token("alice"));
    assert_eq!(
        served.open("/admin/users", &[("authorization", &bearer)]).await,
        200
    );

    for who in ["bob", "carol"] {
        let listed = served.jit(who, &["after-review", "list"]).await;
        let due = broken["break_glass"]["review_by"].as_str().unwrap();
        listed.done(&["REQUESTER", one, "alice", "admin", due, "all is down"]);
    }
    for who in ["alice", "erin"] {
        let listed = served.jit(who, &nothing).await.done(&[]).json();
        assert_eq!(listed["items"], serde_json::json!([]), "{who}");
    }

    // What was done is written down soon, but not at once.
    let show = ["after-review", "show", one];
    timeout(PATIENCE, async {
        while !served
            .jit("bob", &show)
            .await
            .done(&[])
            .out
            .contains("/admin/users")
        {}
    })
    .await
    .expect("it is written down");
    served
        .jit("bob", &show)
        .await
        .done(&["not reviewed yet", "GET", "200", "all is down"]);
    let both = served
        .jit("bob", &[&show[..], &["-o", "json"]].concat())
        .await
        .json();
    assert_eq!(both["request"]["id"], one);
    assert_eq!(both["interactions"]["items"][0]["path"], "/admin/users");

    let found =
        |finding: &'static str, more: &[&'static str]| [&["after-review", finding, one], more].concat();
    let comment = &["--yes", "--comment", "a call would have done"][..];
    served
        .jit("bob", &found("unjustified", &["--comment", "x"]))
        .await
        .ended(2, &["without a terminal", one, "--yes"]);
    served
        .jit("alice", &found("justified", &["--yes"]))
        .await
        .ended(3, &["Nobody reviews a request of their own"]);
    served
        .jit("erin", &found("justified", &["--yes"]))
        .await
        .ended(3, &["There is no such thing"]);
    assert_eq!(
        served.jit("bob", &nothing).await.json()["items"]
            .as_array()
            .unwrap()
            .len(),
        1
    );
    served
        .jit("bob", &found("unjustified", comment))
        .await
        .done(&[
            "reviewed, due",
            "bob found it unjustified “a call would have done” at",
        ])
        .ended(0, &["all is down"]);
    // The same again changes nothing; another finding comes too late.
    let again = served
        .jit("bob", &found("unjustified", &["--yes", "-o", "json"]))
        .await
        .done(&[])
        .json();
    assert_eq!(
        again["break_glass"]["review"]["comment"],
        "a call would have done"
    );
    served
        .jit("carol", &found("justified", &["--yes"]))
        .await
        .ended(7, &["The request's state does not allow that"]);
    assert_eq!(
        served.jit("carol", &nothing).await.json()["items"],
        serde_json::json!([])
    );
    served.stop().await;
}

#[tokio::test]
async fn what_others_approve_is_not_looked_into_afterwards() {
    let world = crate::world::start().await;
    let asked = world.ask().await;
    let id = crate::world::id(&asked);
    world
        .jit("bob", &["after-review", "justified", id, "--yes"])
        .await
        .ended(7, &["It is no break-glass"]);
    world.end().await;
}
