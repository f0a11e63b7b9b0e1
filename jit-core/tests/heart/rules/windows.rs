//! Rules 1 to 4: time.

use jit_core::approval::refused::Refused;
use jit_core::approval::state::State;
use serde_json::json;

use crate::rig::{On, POLICY, Rig, on_both, refused, span, start};

on_both! {
    rule_01_access_ends_by_the_clock_with_the_sweeper_off
    rule_02_the_deadline_is_part_of_the_compare_and_set
    rule_03_the_window_starts_at_activation
    rule_03_a_scheduled_window_never_moves
    rule_04_the_end_is_absolute
}

/// Access is decided from `not_after` and the clock, never from a sweeper; reads return the state effective now.
async fn rule_01_access_ends_by_the_clock_with_the_sweeper_off(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({ "duration": "10m" })).await;
    assert!(rig.admits("alice", "/admin/users").await);
    rig.advance("9m 59s 999ms").await;
    assert!(rig.admits("alice", "/admin/users").await);
    let before = rig.log().await.len();
    rig.advance("1ms").await;
    assert!(
        !rig.admits("alice", "/admin/users").await,
        "admitted at not_after"
    );
    assert_eq!(rig.state(request.id).await, State::Expired);
    assert_eq!(rig.log().await.len(), before, "a read wrote something");
    rig.advance("5s").await;
    rig.broker.sweep().await.unwrap();
    let end = rig.seen(request.id).await.end.unwrap();
    assert_eq!(
        end.at,
        request.grant.unwrap().not_after,
        "history says when it ended, not when it was swept"
    );
}

/// The deadline is checked inside the same compare-and-set write that changes the state.
async fn rule_02_the_deadline_is_part_of_the_compare_and_set(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    rig.advance("1h").await;
    assert_eq!(
        refused(rig.approve("bob", &request).await),
        Refused::AlreadyDecided {
            state: State::TimedOut
        },
        "approved at the deadline, with nothing swept"
    );
    assert!(!rig.admits("alice", "/admin").await);
    let other = rig.asked("alice").await;
    rig.advance("59m 59s").await;
    assert_eq!(
        rig.approve("bob", &other).await.unwrap().request.state,
        State::Active
    );

    // Two approvals at once, and the deadline comes between the writes: whoever lost the race and tries again is too late.
    let source = POLICY.replace(
        r#"roles = ["sre-lead"] } }"#,
        r#"roles = ["sre-lead"] }, quorum = 2 }"#,
    );
    let rig = Rig::new(on, &source).await;
    let request = rig.asked("alice").await;
    rig.advance("59m 59s").await;
    rig.store.jump_after_append(rig.clock.clone(), span("1s"));
    let (a, b) = tokio::join!(rig.approve("bob", &request), rig.approve("carol", &request));
    let (first, second) = if a.is_ok() { (a, b) } else { (b, a) };
    assert_eq!(first.unwrap().request.state, State::Pending);
    assert_eq!(
        refused(second),
        Refused::AlreadyDecided {
            state: State::TimedOut
        }
    );
    assert_eq!(rig.state(request.id).await, State::TimedOut);
}

/// The window of an unscheduled grant starts at activation: waiting for approval never eats it.
async fn rule_03_the_window_starts_at_activation(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig
        .ask("alice", json!({ "duration": "10m" }))
        .await
        .unwrap()
        .request;
    rig.advance("40m").await;
    let grant = rig.approve("bob", &request).await.unwrap().request.grant.unwrap();
    assert_eq!(grant.not_before, rig.now());
    assert_eq!((grant.not_after - grant.not_before).num_minutes(), 10);
}

/// A scheduled window never moves; activation is recorded up to 5 s ahead and honoured from `not_before`; no record, no access.
async fn rule_03_a_scheduled_window_never_moves(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let opens = start() + chrono::TimeDelta::minutes(30);
    let request = rig.granted(json!({ "duration": "10m", "start": opens })).await;
    assert_eq!(request.state, State::Scheduled);
    let window = |r: &jit_core::approval::request::Request| {
        let grant = r.grant.clone().unwrap();
        (grant.not_before, grant.not_after)
    };
    assert_eq!(window(&request), (opens, opens + chrono::TimeDelta::minutes(10)));

    rig.advance("29m 54s").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(
        rig.state(request.id).await,
        State::Scheduled,
        "activated more than 5 s ahead"
    );
    rig.advance("6s").await;
    assert!(
        !rig.admits("alice", "/admin").await,
        "admitted without a record of activation"
    );
    rig.advance("1m").await;
    rig.broker.sweep().await.unwrap();
    assert!(rig.admits("alice", "/admin").await);
    assert_eq!(
        window(&rig.seen(request.id).await),
        window(&request),
        "the window moved"
    );
    rig.advance("9m").await;
    assert!(
        !rig.admits("alice", "/admin").await,
        "a late activation moved the end"
    );

    // Approved when part of it has passed: what is left is all there is.
    let rig = Rig::new(on, POLICY).await;
    let asked = rig
        .ask("alice", json!({ "duration": "10m", "start": opens }))
        .await
        .unwrap()
        .request;
    rig.advance("34m").await;
    let late = rig.approve("bob", &asked).await.unwrap().request;
    assert_eq!(late.state, State::Active);
    assert_eq!(
        window(&late),
        window(&request),
        "a late approval moved the window"
    );

    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({ "duration": "10m", "start": opens })).await;
    rig.advance("29m 56s").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Active);
    assert!(!rig.admits("alice", "/admin").await, "admitted before not_before");
    rig.advance("4s").await;
    assert!(
        rig.admits("alice", "/admin").await,
        "not admitted by the clock at not_before"
    );
}

/// `not_after` is absolute and stored; what is admitted at the last moment ends with the grant.
async fn rule_04_the_end_is_absolute(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({ "duration": "10m" })).await;
    let first = rig.knock("alice", "GET", "/admin").await.unwrap();
    rig.advance("9m 59s").await;
    let last = rig.knock("alice", "GET", "/admin").await.unwrap();
    assert_eq!(first.not_after(), request.grant.unwrap().not_after);
    assert_eq!(
        last.not_after(),
        first.not_after(),
        "a late request got a fresh duration"
    );
    rig.advance("1s").await;
    assert!(!rig.admits("alice", "/admin").await, "a late use prolonged it");
}
