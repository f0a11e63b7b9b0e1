//! Rule 22: credentials that are bound to a grant.

use jit_core::approval::ask::{Actor, Ask};
use jit_core::approval::credential::{CREDENTIALS_MAX, CredentialToken};
use jit_core::approval::lockdown::Target;
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::state::State;
use jit_core::broker::Broker;
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::id::GrantId;
use serde_json::{Value, json};

use crate::rig::{On, POLICY, Rig, gate, knock_with, on_both, people, policy, refused};

on_both! {
    rule_22_a_credential_opens_its_one_grant
    rule_22_the_last_credential_is_the_only_one
    rule_22_a_credential_ends_with_its_grant
    rule_22_a_credential_survives_a_restart_and_reaches_every_gate
    rule_22_only_the_holder_takes_a_credential
    rule_22_a_credential_is_as_strong_as_the_sign_in_that_took_it
    rule_22_the_log_tells_of_it_and_never_holds_it
}

/// A grant of alice's that is bound to a credential, with one.
async fn bound(rig: &Rig, more: Value) -> (Request, CredentialToken) {
    let mut body = json!({ "selector": "credential" });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let request = rig.granted(body).await;
    let token = issue(rig, &request).await;
    (request, token)
}

async fn issue(rig: &Rig, request: &Request) -> CredentialToken {
    let alice = rig.actor("alice").await;
    let issued = rig.broker.issue_credential(&alice, request.id).await.unwrap();
    assert_eq!(
        issued.view.request.credential.as_ref().map(|kept| kept.digest),
        Some(issued.token.digest())
    );
    issued.token
}

async fn bear(rig: &Rig, token: &CredentialToken, path: &str) -> Result<Permit, Refusal> {
    knock_with(&rig.gate, "GET", path, &[("jit-credential", token.reveal())]).await
}

fn kind(outcome: Result<Permit, Refusal>) -> &'static str {
    outcome.map_or_else(|refusal| refusal.kind(), |_| "admitted")
}

/// Not the holder's identity, not another grant, not another path.
async fn rule_22_a_credential_opens_its_one_grant(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let (a, token) = bound(&rig, json!({ "paths": ["/admin/a"] })).await;
    let b = rig.granted(json!({ "paths": ["/admin/b"] })).await;
    let alone = token.reveal();
    let cookie = format!("a=1; __Host-jit-grant={alone}");
    for fields in [
        &[("jit-credential", alone)][..],
        &[("cookie", &cookie)],
        &[
            ("jit-credential", alone),
            ("authorization", "Bearer demo-mallory"),
        ],
        &[("jit-credential", alone), ("authorization", "Bearer nobody")],
    ] {
        let permit = knock_with(&rig.gate, "GET", "/admin/a/x", fields).await.unwrap();
        assert_eq!(permit.grant_id(), GrantId::from(a.id), "{fields:?}");
        assert_eq!(permit.holder(), &a.requester.principal);
        assert_eq!(permit.person(), &a.requester.person);
    }
    // Bob's identity beside it changes nothing, and alice's takes nothing from what she holds by herself.
    for (fields, path, expected) in [
        (&[("jit-credential", alone)][..], "/admin/b", "approval-required"),
        (
            &[("jit-credential", alone), ("authorization", "Bearer demo-alice")],
            "/admin/b",
            "approval-required",
        ),
        (&[("authorization", "Bearer demo-alice")], "/admin/b", "admitted"),
        (
            &[("authorization", "Bearer demo-alice")],
            "/admin/a",
            "credential-required",
        ),
        (
            &[("authorization", &format!("Bearer {alone}"))],
            "/admin/a",
            "unauthenticated",
        ),
        (
            &[("cookie", &format!("__Host-jit={alone}"))],
            "/admin/a",
            "unauthenticated",
        ),
        (&[("jit-credential", "jitg_")], "/admin/a", "unauthenticated"),
        (
            &[
                ("jit-credential", "jitg_"),
                ("authorization", "Bearer demo-alice"),
            ],
            "/admin/b",
            "unauthenticated",
        ),
        (
            &[("jit-credential", alone), ("jit-credential", alone)],
            "/admin/a",
            "bad-request-headers",
        ),
        (
            &[("jit-credential", alone), ("cookie", &cookie)],
            "/admin/a",
            "bad-request-headers",
        ),
    ] {
        let got = kind(knock_with(&rig.gate, "GET", path, fields).await);
        assert_eq!(got, expected, "{path} {}", fields.len());
    }
    // What waits for another answer of the holder's is not told to whoever bears this one.
    rig.broker
        .revoke(&rig.actor("carol").await, b.id, "")
        .await
        .unwrap();
    rig.asked("alice").await;
    assert_eq!(kind(bear(&rig, &token, "/admin/b").await), "approval-required");
    assert_eq!(
        kind(rig.knock("alice", "GET", "/admin/b").await),
        "approval-pending"
    );
}

async fn rule_22_the_last_credential_is_the_only_one(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let (request, first) = bound(&rig, json!({})).await;
    assert_eq!(kind(bear(&rig, &first, "/admin").await), "admitted");
    let second = issue(&rig, &request).await;
    assert_eq!(kind(bear(&rig, &first, "/admin").await), "unauthenticated");
    assert_eq!(kind(bear(&rig, &second, "/admin").await), "admitted");
    for _ in 2..CREDENTIALS_MAX {
        issue(&rig, &request).await;
    }
    let alice = rig.actor("alice").await;
    let more = rig.broker.issue_credential(&alice, request.id).await;
    assert!(matches!(refused(more), Refused::LimitReached { .. }));
}

async fn rule_22_a_credential_ends_with_its_grant(on: On) {
    let source = POLICY.replace(
        "pending_timeout = \"1h\"",
        "pending_timeout = \"1h\"\nuse_within = \"5m\"\nidle_timeout = \"10m\"",
    );
    for (end, duration, state) in [
        ("revoke", "9m", State::Revoked),
        ("release", "9m", State::Released),
        ("lock", "9m", State::Revoked),
        ("unused", "9m", State::Unused),
        ("idle", "30m", State::IdleExpired),
        ("window", "9m", State::Expired),
    ] {
        let rig = Rig::new(on, &source).await;
        let (request, token) = bound(&rig, json!({ "duration": duration })).await;
        if end != "unused" {
            assert_eq!(kind(bear(&rig, &token, "/admin").await), "admitted", "{end}");
            rig.broker.flush_uses().await.unwrap();
        }
        let (alice, carol) = (rig.actor("alice").await, rig.actor("carol").await);
        match end {
            "revoke" => {
                rig.broker.revoke(&carol, request.id, "").await.unwrap();
            }
            "release" => {
                rig.broker.release(&alice, request.id, "").await.unwrap();
            }
            "lock" => {
                let target = Target::Person(request.requester.person.clone());
                rig.broker.lock_down(&carol, target, "INC-1").await.unwrap();
            }
            "unused" => rig.advance("5m").await,
            "idle" => rig.advance("10m").await,
            _ => rig.advance("9m").await,
        }
        let dead = "unauthenticated";
        assert_eq!(kind(bear(&rig, &token, "/admin").await), dead, "{end}");
        rig.broker.sweep().await.unwrap();
        assert_eq!(rig.state(request.id).await, state, "{end}");
        let alice = rig.actor("alice").await;
        let late = refused(rig.broker.issue_credential(&alice, request.id).await);
        assert!(
            matches!(late, Refused::AlreadyDecided { .. } | Refused::LockedDown { .. }),
            "{end}: {late:?}"
        );
        assert_eq!(kind(bear(&rig, &token, "/admin").await), dead, "{end}, swept");
    }
    // Disabled, the holder is nobody, within the time that a session is believed.
    let rig = Rig::new(on, POLICY).await;
    let (_, token) = bound(&rig, json!({})).await;
    assert_eq!(kind(bear(&rig, &token, "/admin").await), "admitted");
    people(&rig, |text| {
        text.replace(
            "token = \"demo-alice\"",
            "token = \"demo-alice\"\ndisabled = true",
        )
    });
    rig.advance("60s").await;
    assert_eq!(kind(bear(&rig, &token, "/admin").await), "not-eligible");
}

async fn rule_22_a_credential_survives_a_restart_and_reaches_every_gate(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let build = async || {
        let broker = Broker::builder(rig.store.clone(), rig.people.clone(), policy(POLICY))
            .clock(rig.clock.clone())
            .build()
            .await
            .unwrap();
        let gate = gate(&broker, &rig.people, &rig.clock, POLICY);
        (broker, gate)
    };
    let (other, other_gate) = build().await;
    let there = async |gate, token: &CredentialToken| {
        kind(knock_with(gate, "GET", "/admin", &[("jit-credential", token.reveal())]).await)
    };
    let (request, first) = bound(&rig, json!({})).await;
    assert_eq!(there(&other_gate, &first).await, "unauthenticated");
    other.follow().await.unwrap();
    assert_eq!(there(&other_gate, &first).await, "admitted");
    let second = issue(&rig, &request).await;
    other.follow().await.unwrap();
    assert_eq!(there(&other_gate, &first).await, "unauthenticated");
    assert_eq!(there(&other_gate, &second).await, "admitted");

    let (_restarted, gate) = build().await;
    assert_eq!(there(&gate, &first).await, "unauthenticated");
    assert_eq!(there(&gate, &second).await, "admitted");
    // A gate that has not heard of anything for too long does not know that a credential is bad.
    rig.clock.advance(std::time::Duration::from_secs(20));
    assert_eq!(there(&gate, &first).await, "stale-view");
}

async fn rule_22_only_the_holder_takes_a_credential(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let pending = rig
        .ask("alice", json!({ "selector": "credential" }))
        .await
        .unwrap()
        .request;
    let take = async |who: &str, request: &Request| {
        refused(
            rig.broker
                .issue_credential(&rig.actor(who).await, request.id)
                .await,
        )
    };
    assert!(matches!(
        take("alice", &pending).await,
        Refused::AlreadyDecided { .. }
    ));
    let granted = rig.approve("bob", &pending).await.unwrap().request;
    // The reviewers and the auditor may see it; alice under another name is not the principal that holds it.
    for who in ["bob", "carol", "corp|alice"] {
        assert_eq!(take(who, &granted).await, Refused::NotEligible, "{who}");
    }
    assert_eq!(take("mallory", &granted).await, Refused::NotFound);
    rig.broker
        .release(&rig.actor("alice").await, granted.id, "")
        .await
        .unwrap();
    let plain = rig.granted(json!({})).await;
    assert!(matches!(
        take("alice", &plain).await,
        Refused::Invalid {
            field: "selector",
            ..
        }
    ));
    let locked =
        rig.granted(json!({ "selector": "credential", "start": rig.now() + chrono::TimeDelta::hours(1) }));
    let locked = locked.await;
    issue(&rig, &locked).await;
    let target = Target::Role("sre".parse().unwrap());
    rig.broker
        .lock_down(&rig.actor("carol").await, target, "INC-1")
        .await
        .unwrap();
    assert!(matches!(take("alice", &locked).await, Refused::LockedDown { .. }));
}

async fn rule_22_a_credential_is_as_strong_as_the_sign_in_that_took_it(on: On) {
    let source = POLICY.replace(
        "pending_timeout = \"1h\"",
        "pending_timeout = \"1h\"\nmfa = { required = true, max_age = \"15m\" }",
    );
    let rig = Rig::new(on, &source).await;
    let signed_in = async || {
        let mut alice: Actor = rig.actor("alice").await;
        alice.assurance.methods = vec!["mfa".to_owned()];
        alice.assurance.authenticated_at = Some(rig.now());
        alice
    };
    let ask: Ask =
        serde_json::from_value(json!({ "resource": "admin", "reason": "INC-42", "selector": "credential" }))
            .unwrap();
    let fresh = signed_in().await;
    let asked = rig.broker.ask(&fresh, ask, None).await.unwrap().view.request;
    let request = rig.approve("bob", &asked).await.unwrap().request;
    let weak = rig.actor("alice").await;
    let outcome = rig.broker.issue_credential(&weak, request.id).await;
    assert!(matches!(refused(outcome), Refused::StepUp { .. }));
    let old = rig
        .broker
        .issue_credential(&fresh, request.id)
        .await
        .unwrap()
        .token;
    rig.advance("16m").await;
    // Its first use comes too late for the sign-in that took it; a fresh one mends that.
    assert_eq!(kind(bear(&rig, &old, "/admin").await), "step-up-required");
    let outcome = rig.broker.issue_credential(&fresh, request.id).await;
    assert!(matches!(refused(outcome), Refused::StepUp { .. }));
    let fresh = signed_in().await;
    let new = rig
        .broker
        .issue_credential(&fresh, request.id)
        .await
        .unwrap()
        .token;
    assert_eq!(kind(bear(&rig, &new, "/admin").await), "admitted");
}

async fn rule_22_the_log_tells_of_it_and_never_holds_it(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let (request, token) = bound(&rig, json!({})).await;
    let again = issue(&rig, &request).await;
    let log = rig.log().await;
    let told: Vec<_> = log
        .iter()
        .filter(|record| record.body.contains("credential_issued"))
        .collect();
    assert_eq!(told.len(), 2);
    for (record, token) in told.iter().zip([&token, &again]) {
        assert!(record.body.contains(&token.digest().to_string()), "{record:?}");
    }
    for record in &log {
        assert!(!record.body.contains("jitg_"), "{record:?}");
    }
    assert!(!format!("{:?}", rig.seen(request.id).await).contains("jitg_"));
    // What can't be written is not issued, and what was issued before stays good.
    rig.store.set_broken(true);
    let alice = rig.actor("alice").await;
    assert!(rig.broker.issue_credential(&alice, request.id).await.is_err());
    assert_eq!(kind(bear(&rig, &again, "/admin").await), "admitted");
}
