//! Asking in the same step and waiting for the answer, through the broker.

use jit_core::approval::lockdown::Target;
use jit_core::approval::review::Decision;
use jit_core::approval::state::State;
use jit_core::broker::{Broker, Filter};
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::id::RequestId;
use tokio::task::yield_now;

use crate::rig::{On, POLICY, Rig, knock_with, on_both, policy};

on_both! {
    what_is_asked_in_the_same_step_is_asked_like_anything_else
    what_the_policy_approves_passes_at_once
    limits_and_terms_hold_for_what_is_asked_in_the_same_step
    two_at_once_ask_once_and_both_pass
    a_wait_ends_with_the_decision
    a_decision_elsewhere_ends_a_wait_here
    what_can_not_be_written_down_was_not_asked
}

/// What the gate says to a request with `who`'s token that says why, and how long it would wait.
async fn plead(rig: &Rig, who: &str, more: &[(&str, &str)]) -> Result<Permit, Refusal> {
    let token = format!("Bearer demo-{who}");
    let mut fields = vec![
        ("authorization", token.as_str()),
        ("jit-reason", "look into INC-42"),
    ];
    fields.extend(more);
    knock_with(&rig.gate, "GET", "/admin/x", &fields).await
}

const WAIT: (&str, &str) = ("prefer", "wait=60");

async fn parked(rig: &Rig, count: usize) {
    while rig.gate.parked_count() != count {
        yield_now().await;
    }
}

fn pending(outcome: Result<Permit, Refusal>) -> RequestId {
    match outcome {
        Err(Refusal::ApprovalPending { request, .. }) => request,
        other => panic!("not pending: {other:?}"),
    }
}

async fn hers(rig: &Rig) -> Vec<RequestId> {
    let mine = Filter {
        mine: true,
        ..Filter::default()
    };
    let alice = rig.actor("alice").await;
    let listing = rig.broker.list(&alice, &mine).await.unwrap();
    listing.items.iter().map(|view| view.request.id).collect()
}

async fn what_is_asked_in_the_same_step_is_asked_like_anything_else(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let id = pending(
        plead(
            &rig,
            "alice",
            &[("jit-duration", "10m"), ("jit-ticket", "INC-42")],
        )
        .await,
    );
    let asked = rig.seen(id).await;
    assert_eq!(asked.state, State::Pending);
    assert_eq!(asked.requester.principal.to_string(), "demo|alice");
    assert_eq!(asked.ruling.reason, "look into INC-42");
    assert_eq!(asked.ruling.ticket.as_deref(), Some("INC-42"));
    assert_eq!(asked.ruling.duration, "10m".parse().unwrap());
    let written = rig.log().await;
    assert!(written.iter().any(|record| record.body.contains("requested")));
    // Again, and it is the same one.
    assert_eq!(pending(plead(&rig, "alice", &[]).await), id);
    assert_eq!(hers(&rig).await, [id]);
    rig.approve("bob", &asked).await.unwrap();
    let permit = plead(&rig, "alice", &[]).await.unwrap();
    assert_eq!(permit.request_id(), id);
    assert_eq!(hers(&rig).await, [id], "asked with a grant in hand");
}

async fn what_the_policy_approves_passes_at_once(on: On) {
    let stages = r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#;
    let automatic = POLICY.replace(stages, r#"approval = "automatic""#);
    assert_ne!(automatic, POLICY);
    let rig = Rig::new(on, &automatic).await;
    assert!(!rig.admits("alice", "/admin").await);
    let permit = plead(&rig, "alice", &[]).await.unwrap();
    assert_eq!(hers(&rig).await, [permit.request_id()]);
    assert!(rig.admits("alice", "/admin").await);
}

async fn limits_and_terms_hold_for_what_is_asked_in_the_same_step(on: On) {
    let careful = POLICY.replace(
        "pending_timeout",
        "reason = { required = true, min_length = 20 }\npending_timeout",
    );
    let kind = |outcome: Result<Permit, Refusal>| outcome.unwrap_err().kind();
    let rig = Rig::new(on, &careful).await;
    assert_eq!(kind(plead(&rig, "alice", &[]).await), "invalid");
    assert_eq!(hers(&rig).await, []);

    let rig = Rig::new(on, POLICY).await;
    assert_eq!(kind(plead(&rig, "mallory", &[]).await), "not-eligible");
    assert_eq!(
        kind(plead(&rig, "alice", &[("jit-duration", "9h")]).await),
        "invalid"
    );
    let id = pending(plead(&rig, "alice", &[]).await);
    let asked = rig.seen(id).await;
    rig.review("bob", &asked, Decision::Deny).await.unwrap();
    let refusal = plead(&rig, "alice", &[]).await.unwrap_err();
    assert_eq!(
        (refusal.kind(), refusal.retry_after(rig.now())),
        ("limit-reached", Some(61))
    );
    assert_eq!(hers(&rig).await, [id]);
    rig.advance("1m").await;
    assert_ne!(pending(plead(&rig, "alice", &[]).await), id);

    let carol = rig.actor("carol").await;
    let sre = Target::Role("sre".parse().unwrap());
    rig.broker.lock_down(&carol, sre, "incident").await.unwrap();
    assert_eq!(kind(plead(&rig, "erin", &[]).await), "locked-down");
}

async fn two_at_once_ask_once_and_both_pass(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let decide = async {
        parked(&rig, 2).await;
        let ids = hers(&rig).await;
        assert_eq!(ids.len(), 1);
        rig.approve("bob", &rig.seen(ids[0]).await).await.unwrap();
    };
    let wait = [WAIT];
    let (one, other, ()) = tokio::join!(plead(&rig, "alice", &wait), plead(&rig, "alice", &wait), decide);
    assert_eq!(one.unwrap().grant_id(), other.unwrap().grant_id());
    assert_eq!(rig.gate.parked_count(), 0);
}

async fn a_wait_ends_with_the_decision(on: On) {
    let rig = Rig::new(on, POLICY).await;
    for (decision, expected) in [
        ("deny", "approval-required"),
        ("withdraw", "approval-required"),
        ("lock", "locked-down"),
    ] {
        let decide = async {
            parked(&rig, 1).await;
            let asked = rig.seen(hers(&rig).await[0]).await;
            let carol = rig.actor("carol").await;
            match decision {
                "deny" => rig.review("bob", &asked, Decision::Deny).await.map(drop),
                "withdraw" => {
                    let alice = rig.actor("alice").await;
                    rig.broker.withdraw(&alice, asked.id, "").await.map(drop)
                }
                _ => rig
                    .broker
                    .lock_down(&carol, Target::All, "incident")
                    .await
                    .map(drop),
            }
            .unwrap();
        };
        let (outcome, ()) = tokio::join!(plead(&rig, "alice", &[WAIT]), decide);
        assert_eq!(outcome.unwrap_err().kind(), expected, "{decision}");
        assert_eq!(rig.gate.parked_count(), 0);
        rig.advance("5m").await;
    }
}

async fn a_decision_elsewhere_ends_a_wait_here(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let elsewhere = Broker::builder(rig.store.clone(), rig.people.clone(), policy(POLICY))
        .clock(rig.clock.clone())
        .build()
        .await
        .unwrap();
    let decide = async {
        parked(&rig, 1).await;
        let asked = rig.seen(hers(&rig).await[0]).await;
        let opinion = jit_core::approval::review::Opinion {
            decision: Decision::Approve,
            digest: asked.digest,
            comment: String::new(),
            narrowing: jit_core::approval::review::Narrowing::default(),
        };
        let bob = rig.actor("bob").await;
        elsewhere.review(&bob, asked.id, opinion).await.unwrap();
        assert_eq!(rig.gate.parked_count(), 1, "nobody has told this gate yet");
        rig.broker.follow().await.unwrap();
    };
    let (outcome, ()) = tokio::join!(plead(&rig, "alice", &[WAIT]), decide);
    outcome.unwrap();
}

async fn what_can_not_be_written_down_was_not_asked(on: On) {
    let rig = Rig::new(on, POLICY).await;
    rig.store.set_broken(true);
    assert_eq!(
        plead(&rig, "alice", &[WAIT]).await.unwrap_err(),
        Refusal::AskingUnavailable
    );
    rig.store.set_broken(false);
    assert_eq!(hers(&rig).await, []);
}
