//! Rules 17 to 21: resources, policies, limits, uses.

use jit_core::approval::event::EndCause;
use jit_core::approval::lockdown::Target;
use jit_core::approval::person::Limits;
use jit_core::approval::refused::Refused;
use jit_core::approval::review::Decision;
use jit_core::approval::state::State;
use jit_core::broker::store::Store;
use jit_core::gate::refusal::Refusal;
use jit_core::id::GrantId;
use jit_core::memory::MemoryStore;
use jit_store_sqlite::SqliteStore;
use serde_json::json;

use super::ending::with_glass;
use crate::rig::{On, POLICY, Rig, on_both, policy, refused};

on_both! {
    rule_17_the_longest_prefix_governs
    rule_17_a_policy_change_reaches_what_is_live
    rule_17_what_nobody_agreed_to_falls_with_its_rule
    rule_18_the_first_policy_that_fits
    rule_19_two_break_glasses_at_once
    rule_20_limits_of_one_person
    rule_21_idle_and_unused_grants_end
    rule_21_budgets_are_never_overdrawn
}

fn nested() -> String {
    POLICY.replace(
        "[[policies]]",
        r#"[[resources]]
name = "keys"
hosts = ["app.example.com"]
paths = ["/admin/keys"]

[[policies]]
name = "keys-for-commanders"
resources = ["keys"]
requesters = { roles = ["incident-commander"] }
stages = [ { name = "security", approvers = { roles = ["security"] } } ]

[[policies]]"#,
    )
}

/// Longest path prefix names the one governing resource; a parent's grant never opens a stricter child.
async fn rule_17_the_longest_prefix_governs(on: On) {
    let rig = Rig::new(on, &nested()).await;
    rig.granted(json!({})).await;
    assert!(rig.admits("alice", "/admin/users").await);
    for path in ["/admin/keys", "/admin/keys/1"] {
        let refusal = rig.knock("alice", "GET", path).await.unwrap_err();
        assert!(
            matches!(&refusal, Refusal::ApprovalRequired { resource } if resource.as_str() == "keys"),
            "{refusal:?}"
        );
    }
    assert!(rig.admits("alice", "/admin/keysmith").await);
    let keys = rig
        .ask("erin", json!({ "resource": "keys" }))
        .await
        .unwrap()
        .request;
    rig.approve("carol", &keys).await.unwrap();
    assert!(rig.admits("erin", "/admin/keys/1").await);
    assert!(
        !rig.admits("erin", "/admin").await,
        "a child's grant opened its parent"
    );
}

/// A policy change re-snapshots pending requests, and revokes or shortens live grants that it no longer permits.
async fn rule_17_a_policy_change_reaches_what_is_live(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let live = rig.granted(json!({ "duration": "1h" })).await;
    rig.advance("10m").await;
    let shorter = POLICY.replace(r#"max = "4h""#, r#"max = "30m""#);
    rig.broker.set_policy(policy(&shorter)).await.unwrap();
    let grant = rig.seen(live.id).await.grant.unwrap();
    assert_eq!(
        (grant.not_after - grant.not_before).num_minutes(),
        30,
        "not shortened"
    );
    rig.advance("20m").await;
    assert!(
        !rig.admits("alice", "/admin").await,
        "the gate did not hear of it"
    );

    let rig = Rig::new(on, POLICY).await;
    let live = rig.granted(json!({})).await;
    let waiting = rig.asked("erin").await;
    let others = POLICY.replace(
        r#"requesters = { roles = ["sre"] }"#,
        r#"requesters = { roles = ["dba"] }"#,
    );
    rig.broker.set_policy(policy(&others)).await.unwrap();
    assert_eq!(rig.state(live.id).await, State::Revoked);
    assert!(!rig.admits("alice", "/admin").await);
    assert_eq!(rig.state(waiting.id).await, State::Denied);

    let rig = Rig::new(on, POLICY).await;
    let live = rig.granted(json!({})).await;
    let waiting = rig.asked("erin").await;
    let stricter = POLICY.replace(
        r#"roles = ["sre-lead"] } }"#,
        r#"roles = ["sre-lead"] }, quorum = 2 }"#,
    );
    rig.broker.set_policy(policy(&stricter)).await.unwrap();
    assert_eq!(
        rig.state(live.id).await,
        State::Active,
        "more approvals are for new requests"
    );
    let now = rig.seen(waiting.id).await;
    assert_ne!(now.digest, waiting.digest);
    rig.approve("bob", &now).await.unwrap();
    assert_eq!(
        rig.state(waiting.id).await,
        State::Pending,
        "approved under the old terms"
    );
    // The same policy again changes nothing.
    let records = rig.log().await.len();
    rig.broker.set_policy(policy(&stricter)).await.unwrap();
    assert_eq!(rig.log().await.len(), records);
}

/// A grant that nobody agreed to rests on the section that said so: it is revoked when that is gone, live or scheduled, also when the
/// change has not reached it by the time it would be activated.
async fn rule_17_what_nobody_agreed_to_falls_with_its_rule(on: On) {
    let stages = r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#;
    let rules = format!(r#"{POLICY}automatic = [ {{ when = "subject.person != 'x'", max = "20m" }} ]"#,);
    let other_rule = rules.replace("!= 'x'", "!= 'y'");
    let always = POLICY.replace(stages, r#"approval = "automatic""#);
    let glass = format!(
        r#"{POLICY}break_glass = {{ requesters = {{ roles = ["incident-commander"] }}, max = "15m", review_within = "24h", mfa = {{ required = false }} }}"#
    );
    let soon = json!({ "duration": "10m", "start": "2026-03-01T13:00:00Z" });
    let now = json!({ "duration": "10m" });
    let broken = json!({ "break_glass": true });
    for (before, after, more, state) in [
        (&rules, POLICY, &now, State::Revoked),
        (&rules, POLICY, &soon, State::Revoked),
        (&rules, &other_rule, &now, State::Revoked),
        (&rules, &other_rule, &soon, State::Revoked),
        (&always, POLICY, &now, State::Revoked),
        (&always, POLICY, &soon, State::Revoked),
        (&glass, POLICY, &broken, State::Revoked),
        (&rules, &format!("{rules}\n"), &now, State::Active),
        (&rules, &always, &soon, State::Scheduled),
        (&glass, &format!("{glass}\n"), &broken, State::Active),
    ] {
        let rig = Rig::new(on, before).await;
        let granted = rig.ask("erin", more.clone()).await.unwrap().request;
        assert!(granted.grant.is_some(), "{more}: not granted");
        rig.broker.set_policy(policy(after)).await.unwrap();
        assert_eq!(
            rig.state(granted.id).await,
            state,
            "{more} under {before} then {after}"
        );
        assert_eq!(
            rig.admits("erin", "/admin").await,
            state == State::Active,
            "{more}"
        );
        if state == State::Revoked {
            let end = rig.seen(granted.id).await.end.unwrap();
            assert_eq!(end.cause, EndCause::Policy, "{more}");
        }
    }

    // A rule that answers for less time now shortens what it granted.
    let rig = Rig::new(on, &rules).await;
    let live = rig.ask("erin", now.clone()).await.unwrap().request;
    rig.broker
        .set_policy(policy(&rules.replace(r#"max = "20m""#, r#"max = "5m""#)))
        .await
        .unwrap();
    let grant = rig.seen(live.id).await.grant.unwrap();
    assert_eq!(
        (grant.not_after - grant.not_before).num_minutes(),
        5,
        "not shortened"
    );

    let rig = Rig::new(on, &rules).await;
    let scheduled = rig.ask("erin", soon).await.unwrap().request;
    rig.store.set_broken(true);
    assert!(rig.broker.set_policy(policy(POLICY)).await.is_err());
    rig.store.set_broken(false);
    rig.advance("1h").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(
        rig.state(scheduled.id).await,
        State::Revoked,
        "activated under a rule that is gone"
    );
    assert!(!rig.admits("erin", "/admin").await);
}

/// Several policies for one resource: the one named, else the first in file order that the requester is eligible for.
async fn rule_18_the_first_policy_that_fits(on: On) {
    let source = POLICY.replace(
        "[[policies]]",
        r#"[[policies]]
name = "admin-for-commanders"
resources = ["admin"]
requesters = { roles = ["incident-commander"] }
stages = [ { name = "security", approvers = { roles = ["security"] } } ]

[[policies]]"#,
    );
    let rig = Rig::new(on, &source).await;
    let by = |request: &jit_core::approval::request::Request| request.ruling.terms.policy.to_string();
    assert_eq!(by(&rig.asked("alice").await), "admin-for-sre");
    assert_eq!(by(&rig.asked("erin").await), "admin-for-commanders");
    let named = rig
        .ask("erin", json!({ "policy": "admin-for-sre" }))
        .await
        .unwrap()
        .request;
    assert_eq!(by(&named), "admin-for-sre");
    assert_eq!(
        refused(
            rig.ask("alice", json!({ "policy": "admin-for-commanders" }))
                .await
        ),
        Refused::NotEligible
    );
    // What does not exist answers the same as what one may not have.
    for more in [
        json!({ "policy": "none-such" }),
        json!({ "resource": "none-such" }),
    ] {
        assert_eq!(refused(rig.ask("alice", more).await), Refused::NotEligible);
    }
    assert_eq!(
        refused(rig.ask("mallory", json!({ "duration": "999h" })).await),
        Refused::NotEligible,
        "validated first"
    );
}

/// Cross-request rules live in streams of their own: two simultaneous break-glasses can't both see no debt.
async fn rule_19_two_break_glasses_at_once(on: On) {
    for round in 0..20 {
        let rig = Rig::new(on, &with_glass()).await;
        rig.store.shuffle(round);
        let glass = json!({ "break_glass": true });
        let (a, b) = tokio::join!(rig.ask("erin", glass.clone()), rig.ask("erin", glass.clone()));
        assert_eq!(u8::from(a.is_ok()) + u8::from(b.is_ok()), 1, "{a:?} {b:?}");
    }
    // A lockdown declared while an approval is under way: whichever is first, nothing is live afterwards.
    for round in 0..20 {
        let rig = Rig::new(on, POLICY).await;
        rig.store.shuffle(round);
        let request = rig.asked("alice").await;
        let carol = rig.actor("carol").await;
        let (_, lockdown) = tokio::join!(
            rig.approve("bob", &request),
            rig.broker
                .lock_down(&carol, Target::Resource("admin".parse().unwrap()), "incident")
        );
        lockdown.unwrap();
        let state = rig.state(request.id).await;
        assert!(
            matches!(state, State::Pending | State::Revoked),
            "{state} under a lockdown"
        );
        assert!(!rig.admits("alice", "/admin").await);
    }
    // And while the glass is being broken, which needs no approval.
    for round in 0..20 {
        let rig = Rig::new(on, &with_glass()).await;
        rig.store.shuffle(round);
        let carol = rig.actor("carol").await;
        let (_, lockdown) = tokio::join!(
            rig.ask("erin", json!({ "break_glass": true })),
            rig.broker
                .lock_down(&carol, Target::Resource("admin".parse().unwrap()), "incident")
        );
        lockdown.unwrap();
        let log = rig.log().await;
        let place = |kind: &str| {
            log.iter()
                .position(|record| record.body.contains(&format!(r#""type":"{kind}""#)))
        };
        assert!(
            place("approved") < place("locked_down"),
            "granted after the lockdown was written"
        );
        assert!(!rig.admits("erin", "/admin").await);
    }
}

/// One pending per (person, resource, policy), 20 pending and 10 new a minute (burst 3) per person, cooldown after a denial,
/// reason at most 500 characters.
async fn rule_20_limits_of_one_person(on: On) {
    let folder = tempfile::tempdir().unwrap();
    let store: std::sync::Arc<dyn Store> = match on {
        On::Memory => std::sync::Arc::new(MemoryStore::new()),
        On::Sqlite => std::sync::Arc::new(SqliteStore::open(folder.path().join("jit.db")).await.unwrap()),
    };
    let many: String = (0..30)
        .map(|n| {
            format!(
                "[[resources]]\nname = \"r{n}\"\nhosts = [\"app.example.com\"]\npaths = [\"/r{n}\"]\n\n\
                 [[policies]]\nname = \"p{n}\"\nresources = [\"r{n}\"]\nrequesters = {{ roles = [\"sre\"] }}\n\
                 stages = [ {{ approvers = {{ roles = [\"sre-lead\"] }} }} ]\n\n"
            )
        })
        .collect();
    let rig = Rig::with(store, folder, &format!("{POLICY}\n{many}"), Limits::default()).await;
    let limit = |outcome| match refused(outcome) {
        Refused::LimitReached {
            limit,
            retry_at,
            request,
        } => (limit, retry_at, request),
        other => panic!("{other:?}"),
    };

    let first = rig.asked("alice").await;
    let (_, _, blocking) = limit(rig.ask("alice", json!({})).await);
    assert_eq!(blocking, Some(first.id), "the second does not name the first");
    let (_, _, blocking) = limit(rig.ask("corp|alice", json!({})).await);
    assert_eq!(
        blocking,
        Some(first.id),
        "another principal of the same person may"
    );

    // Three at once, then one every six seconds.
    for n in 0..2 {
        rig.ask("alice", json!({ "resource": format!("r{n}") }))
            .await
            .unwrap();
    }
    let (_, retry_at, _) = limit(rig.ask("alice", json!({ "resource": "r2" })).await);
    assert_eq!(retry_at, Some(rig.now() + chrono::TimeDelta::seconds(6)));
    for n in 2..19 {
        rig.advance("6s").await;
        rig.ask("alice", json!({ "resource": format!("r{n}") }))
            .await
            .unwrap();
    }
    rig.advance("6s").await;
    let (words, _, _) = limit(rig.ask("alice", json!({ "resource": "r19" })).await);
    assert!(words.contains("pending"), "{words}");
    // Others have limits of their own.
    rig.asked("erin").await;

    // A denial cools down; withdrawing does not.
    rig.advance("2h").await;
    let request = rig.asked("alice").await;
    rig.review("bob", &request, Decision::Deny).await.unwrap();
    rig.advance("30s").await;
    let (_, retry_at, _) = limit(rig.ask("alice", json!({})).await);
    assert_eq!(retry_at, Some(rig.now() + chrono::TimeDelta::seconds(30)));
    rig.advance("30s").await;
    let request = rig.asked("alice").await;
    rig.broker
        .withdraw(&rig.actor("alice").await, request.id, "")
        .await
        .unwrap();
    rig.advance("6s").await;
    rig.asked("alice").await;

    let long = rig
        .ask("erin", json!({ "resource": "r0", "reason": "x".repeat(501) }))
        .await;
    assert!(matches!(refused(long), Refused::Invalid { field: "reason", .. }));
    rig.ask("erin", json!({ "resource": "r0", "reason": "x".repeat(500) }))
        .await
        .unwrap();

    // Live grants of one person under one policy.
    let source = format!("{POLICY}limits = {{ active_per_person = 1 }}\n");
    let rig = Rig::new(on, &source).await;
    rig.granted(json!({})).await;
    assert!(matches!(
        refused(rig.ask("alice", json!({})).await),
        Refused::LimitReached { .. }
    ));
}

fn with(lines: &str) -> String {
    format!("{POLICY}{lines}\n")
}

/// Only the shared maximum of uses idles a grant; a grant that is never used dies as unused.
async fn rule_21_idle_and_unused_grants_end(on: On) {
    let rig = Rig::new(on, &with("use_within = \"5m\"\nidle_timeout = \"10m\"")).await;
    let unused = rig.granted(json!({ "duration": "1h" })).await;
    rig.advance("5m").await;
    assert!(!rig.admits("alice", "/admin").await, "first use after use_within");
    assert_eq!(rig.state(unused.id).await, State::Unused);
    rig.broker.sweep().await.unwrap();
    assert_eq!(
        rig.seen(unused.id).await.end.unwrap().at,
        unused.grant.unwrap().not_before + chrono::TimeDelta::minutes(5)
    );

    let used = rig.granted(json!({ "duration": "1h" })).await;
    for _ in 0..4 {
        rig.advance("4m").await;
        assert!(rig.admits("alice", "/admin").await);
        rig.broker.sweep().await.unwrap();
    }
    assert_eq!(rig.state(used.id).await, State::Active);
    rig.advance("9m 59s").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(used.id).await, State::Active);
    // Another gate has seen a use: it counts here too.
    let cell = format!("use/{}", GrantId::from(used.id));
    let old = rig.store.cell(&cell, None).await.unwrap();
    let value = rig.now().timestamp_millis().to_string();
    let put = jit_core::broker::store::Put {
        expected: old.version,
        value,
    };
    rig.store.cell(&cell, Some(put)).await.unwrap();
    rig.advance("5m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(
        rig.state(used.id).await,
        State::Active,
        "idled although another gate saw a use"
    );
    rig.advance("5m").await;
    assert_eq!(rig.state(used.id).await, State::IdleExpired);
    assert!(!rig.admits("alice", "/admin").await);
}

/// Budgets are reserved durably before use: a crash loses budget, never gives any.
async fn rule_21_budgets_are_never_overdrawn(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({ "max_requests": 40 })).await;
    let mut admitted = 0;
    for _ in 0..10 {
        admitted += u32::from(rig.admits("alice", "/admin").await);
    }
    assert_eq!(admitted, 10);
    // A restart: a new broker and a new gate over the same store.
    let people = rig.people.clone();
    let clock = rig.clock.clone();
    let again = jit_core::broker::Broker::builder(rig.store.clone(), people.clone(), policy(POLICY))
        .clock(clock.clone())
        .build()
        .await
        .unwrap();
    let rig = Rig {
        gate: crate::rig::gate(&again, &people, &clock, POLICY),
        broker: again,
        ..rig
    };
    for _ in 0..60 {
        admitted += u32::from(rig.admits("alice", "/admin").await);
    }
    assert!(
        (30..=40).contains(&admitted),
        "{admitted} admitted on a budget of 40"
    );
    assert_eq!(rig.state(request.id).await, State::Exhausted);
    // One shot.
    let once = rig.granted(json!({ "max_requests": 1 })).await;
    assert!(rig.admits("alice", "/admin").await);
    assert!(!rig.admits("alice", "/admin").await);
    assert_eq!(rig.state(once.id).await, State::Exhausted);
}
