//! Rules 5 to 11: who agrees, to what, and how often.

use std::collections::BTreeSet;

use jit_core::approval::refused::Refused;
use jit_core::approval::review::{Decision, Narrowing};
use jit_core::approval::state::State;
use jit_core::policy::{Format, Policy};
use serde_json::json;

use crate::rig::{On, POLICY, Rig, on_both, people, policy, refused, span};

on_both! {
    rule_05_a_review_names_the_digest_it_saw
    rule_05_the_digest_covers_all_that_is_decided_on
    rule_06_quorum_counts_persons_over_all_stages
    rule_07_nobody_reviews_their_own
    rule_08_who_must_agree_is_explicit
    rule_09_reviews_only_narrow
    rule_10_a_removal_bites_at_once
    rule_10_an_addition_does_not_reach_back
    rule_10_one_eligible_deny_ends_it
    rule_10_an_unanswered_stage_escalates
    rule_11_repeats_are_harmless
    rule_11_what_is_over_stays_over
    rule_20_reviews_are_paced_and_denials_are_not
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn two_stages() -> String {
    POLICY.replace(
        r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#,
        r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } },
                      { name = "second", approvers = { roles = ["sre-lead", "security"] } } ]"#,
    )
}

fn quorum_of_two() -> String {
    POLICY.replace(
        r#"roles = ["sre-lead"] } }"#,
        r#"roles = ["sre-lead"] }, quorum = 2 }"#,
    )
}

async fn rule_05_a_review_names_the_digest_it_saw(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    let mut other = request.clone();
    other.digest = jit_core::id::Digest::plain(b"something else");
    assert_eq!(
        refused(rig.approve("bob", &other).await),
        Refused::StaleDigest {
            current: request.digest
        }
    );
    assert_eq!(rig.state(request.id).await, State::Pending);
    assert_eq!(
        rig.approve("bob", &request).await.unwrap().request.state,
        State::Active
    );
}

/// Any change of what the digest covers makes a new digest and voids the reviews.
async fn rule_05_the_digest_covers_all_that_is_decided_on(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    rig.approve("bob", &request).await.unwrap();
    assert_eq!(rig.seen(request.id).await.reviews.len(), 1);
    let wider = quorum_of_two().replace(r#"paths = ["/admin"]"#, r#"paths = ["/admin", "/root"]"#);
    rig.broker.set_policy(policy(&wider)).await.unwrap();
    let now = rig.seen(request.id).await;
    assert_ne!(
        now.digest, request.digest,
        "another resource under the same digest"
    );
    assert!(now.reviews.is_empty(), "a review of something else still counts");
    assert_eq!(
        refused(rig.approve("carol", &request).await),
        Refused::StaleDigest { current: now.digest }
    );

    // Each field alone.
    let asks = [
        json!({}),
        json!({ "reason": "another reason" }),
        json!({ "duration": "31m" }),
        json!({ "ticket": "INC-1" }),
        json!({ "methods": ["GET"] }),
        json!({ "paths": ["/admin/users"] }),
        json!({ "max_requests": 7 }),
        json!({ "start": "2026-03-01T13:00:00Z" }),
    ];
    let mut digests = BTreeSet::new();
    for (n, more) in asks.into_iter().enumerate() {
        let view = rig.ask("erin", more).await.unwrap();
        let ruling = view.request.ruling.clone();
        let fixed = jit_core::id::RequestId::from_u128(1);
        let digest =
            jit_core::approval::digest::digest(fixed, &view.request.requester, &ruling, view.request.extends);
        digests.insert(digest.unwrap());
        assert_eq!(digests.len(), n + 1, "a field is not covered");
        if n == 0 {
            let mut requester = view.request.requester.clone();
            requester.principal = "corp|erin".parse().unwrap();
            let other = jit_core::approval::digest::digest(fixed, &requester, &ruling, None).unwrap();
            assert!(!digests.contains(&other), "the requester is not covered");
            let parent = Some(jit_core::id::RequestId::from_u128(2));
            let other = jit_core::approval::digest::digest(fixed, &view.request.requester, &ruling, parent);
            assert!(
                !digests.contains(&other.unwrap()),
                "what it extends is not covered"
            );
        }
        rig.broker
            .withdraw(&rig.actor("erin").await, view.request.id, "")
            .await
            .unwrap();
    }
}

/// One person fills one seat in one stage, whatever principal they come by; `>=` counts.
async fn rule_06_quorum_counts_persons_over_all_stages(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    rig.approve("bob", &request).await.unwrap();
    let view = rig.approve("corp|bob", &request).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Pending,
        "one person under two principals filled two seats"
    );
    assert_eq!(
        rig.approve("carol", &request).await.unwrap().request.state,
        State::Active
    );

    let rig = Rig::new(on, &two_stages()).await;
    let request = rig.asked("alice").await;
    let view = rig.approve("bob", &request).await.unwrap();
    assert_eq!((view.request.state, view.request.stage), (State::Pending, 1));
    let view = rig.approve("bob", &request).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Pending,
        "one person filled a seat in two stages"
    );
    let view = rig.approve("corp|bob", &request).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Pending,
        "one person filled a seat in two stages by another principal"
    );
    assert_eq!(
        rig.approve("dave", &request).await.unwrap().request.state,
        State::Active
    );
}

/// The requester's person never reviews: not by another principal, not with the role.
async fn rule_07_nobody_reviews_their_own(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("frank").await;
    assert_eq!(refused(rig.approve("frank", &request).await), Refused::SelfReview);
    let request = rig.asked("alice").await;
    assert_eq!(
        refused(rig.approve("corp|alice", &request).await),
        Refused::SelfReview
    );
    assert_eq!(
        refused(rig.review("corp|alice", &request, Decision::Deny).await),
        Refused::SelfReview
    );
    // With every role there is.
    people(&rig, |text| {
        text.replacen(
            r#"roles = ["sre"]"#,
            r#"roles = ["sre", "sre-lead", "security", "auditor"]"#,
            1,
        )
    });
    assert_eq!(
        refused(rig.approve("corp|alice", &request).await),
        Refused::SelfReview
    );
    assert_eq!(rig.state(request.id).await, State::Pending);
}

/// Stages, or `approval = "automatic"`; neither is an error. A set that resolves to nobody approves nothing.
async fn rule_08_who_must_agree_is_explicit(on: On) {
    let stages = r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#;
    for bad in [
        "",
        "stages = []",
        r#"stages = [ { name = "lead", approvers = {} } ]"#,
    ] {
        let source = POLICY.replace(stages, bad);
        assert!(
            Policy::parse(&source, Format::Toml, "policy.toml").is_err(),
            "compiled with {bad:?}"
        );
    }
    let rig = Rig::new(on, &POLICY.replace(stages, r#"approval = "automatic""#)).await;
    assert_eq!(rig.asked("alice").await.state, State::Active);

    let rig = Rig::new(
        on,
        &POLICY.replace(
            r#"approvers = { roles = ["sre-lead"] }"#,
            r#"approvers = { roles = ["nobody-has-this"] }"#,
        ),
    )
    .await;
    let request = rig.asked("alice").await;
    for who in ["alice", "bob", "carol", "dave", "erin", "frank", "mallory"] {
        assert!(
            rig.approve(who, &request).await.is_err(),
            "{who} approved for a set of nobody"
        );
    }
    assert_eq!(rig.state(request.id).await, State::Pending);
}

/// granted ⊆ requested ⊆ policy, and the grant is the intersection of all counted reviews, whatever their order.
async fn rule_09_reviews_only_narrow(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let asked = json!({ "duration": "30m", "methods": ["GET", "POST"], "max_requests": 100 });
    let request = rig.ask("alice", asked.clone()).await.unwrap().request;
    let narrowing = |edit: fn(&mut Narrowing)| {
        let mut narrowing = Narrowing::default();
        edit(&mut narrowing);
        narrowing
    };
    for wider in [
        narrowing(|n| n.duration = Some("31m".parse().unwrap())),
        narrowing(|n| n.methods = set(&["GET", "DELETE"])),
        narrowing(|n| n.paths = set(&["/billing"])),
        narrowing(|n| n.paths = set(&["/administrator"])),
        narrowing(|n| n.max_requests = Some(101)),
        narrowing(|n| n.max_requests = Some(0)),
    ] {
        let outcome = rig
            .narrow("bob", &request, Decision::Approve, wider.clone())
            .await;
        assert!(
            matches!(refused(outcome), Refused::Invalid { .. }),
            "{wider:?} was taken"
        );
    }
    let bob = narrowing(|n| {
        n.duration = Some("20m".parse().unwrap());
        n.methods = set(&["GET"]);
        n.paths = set(&["/admin/users"]);
    });
    let carol = narrowing(|n| {
        n.duration = Some("25m".parse().unwrap());
        n.paths = set(&["/admin/users/1", "/admin/hosts"]);
        n.max_requests = Some(5);
    });
    let mut grants = Vec::new();
    for order in [
        [("bob", &bob), ("carol", &carol)],
        [("carol", &carol), ("bob", &bob)],
    ] {
        let rig = Rig::new(on, &quorum_of_two()).await;
        let request = rig.ask("alice", asked.clone()).await.unwrap().request;
        for (who, narrowing) in order {
            rig.narrow(who, &request, Decision::Approve, narrowing.clone())
                .await
                .unwrap();
        }
        let grant = rig.seen(request.id).await.grant.unwrap();
        assert_eq!(grant.scope.methods, set(&["GET"]));
        assert_eq!(grant.scope.paths, set(&["/admin/users/1"]));
        assert_eq!(grant.max_requests, Some(5));
        assert_eq!(
            (grant.not_after - grant.not_before).to_std().unwrap(),
            span("20m")
        );
        assert!(rig.admits("alice", "/admin/users/1/keys").await);
        assert!(!rig.admits("alice", "/admin/users/2").await);
        assert!(rig.knock("alice", "POST", "/admin/users/1").await.is_err());
        grants.push((grant.scope, grant.max_requests));
    }
    assert_eq!(grants[0], grants[1], "the order of reviews changed the grant");
    // Two that leave nothing together.
    let only = |method: &str| Narrowing {
        methods: set(&[method]),
        ..Narrowing::default()
    };
    rig.narrow("bob", &request, Decision::Approve, only("GET"))
        .await
        .unwrap();
    let outcome = rig
        .narrow("carol", &request, Decision::Approve, only("POST"))
        .await;
    assert!(matches!(
        refused(outcome),
        Refused::Invalid { field: "methods", .. }
    ));
}

/// Requester and reviewers are resolved again when quorum is reached and at activation.
async fn rule_10_a_removal_bites_at_once(on: On) {
    let demote_bob = |text: &str| {
        text.replacen(
            "roles = [\"sre-lead\"]\ntoken = \"demo-bob\"",
            "roles = []\ntoken = \"demo-bob\"",
            1,
        )
    };
    let demote_alice = |text: &str| text.replacen(r#"roles = ["sre"]"#, "roles = []", 1);

    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    rig.approve("bob", &request).await.unwrap();
    people(&rig, demote_bob);
    let view = rig.approve("carol", &request).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Pending,
        "a seat counts whose person lost the role"
    );
    assert_eq!(view.request.reviews.len(), 1);
    assert_eq!(
        rig.approve("dave", &request).await.unwrap().request.state,
        State::Active
    );

    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    people(&rig, demote_alice);
    let view = rig.approve("bob", &request).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Denied,
        "granted to someone who is no longer eligible"
    );

    // Between approval and activation.
    for demote in [demote_bob as fn(&str) -> String, demote_alice] {
        let rig = Rig::new(on, POLICY).await;
        let request = rig.granted(json!({ "start": "2026-03-01T13:00:00Z" })).await;
        people(&rig, demote);
        rig.advance("1h").await;
        rig.broker.sweep().await.unwrap();
        assert_eq!(
            rig.state(request.id).await,
            State::Revoked,
            "activated after a removal"
        );
        assert!(!rig.admits("alice", "/admin").await);
    }

    // While it is active: the next check of holders revokes it.
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({})).await;
    people(&rig, |text| {
        text.replacen("name = \"alice\"", "name = \"alice\"\ndisabled = true", 1)
    });
    rig.broker.recheck().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Revoked);
}

async fn rule_10_an_addition_does_not_reach_back(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    people(&rig, |text| {
        text.replacen(
            "roles = []\ntoken = \"demo-mallory\"",
            "roles = [\"sre-lead\"]\ntoken = \"demo-mallory\"",
            1,
        )
    });
    assert_eq!(refused(rig.approve("mallory", &request).await), Refused::NotFound);
    assert_eq!(rig.state(request.id).await, State::Pending);
    let later = rig.asked("erin").await;
    assert_eq!(
        rig.approve("mallory", &later).await.unwrap().request.state,
        State::Active
    );
}

async fn rule_10_one_eligible_deny_ends_it(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    rig.approve("bob", &request).await.unwrap();
    assert_eq!(
        refused(rig.review("mallory", &request, Decision::Deny).await),
        Refused::NotFound
    );
    let view = rig.review("carol", &request, Decision::Deny).await.unwrap();
    assert_eq!(view.request.state, State::Denied);
    assert_eq!(
        refused(rig.approve("dave", &request).await),
        Refused::AlreadyDecided { state: State::Denied }
    );
}

/// A stage that nobody answers opens to `escalate_to` after `escalate_after`, and not before.
async fn rule_10_an_unanswered_stage_escalates(on: On) {
    let source = POLICY.replace(
        r#"approvers = { roles = ["sre-lead"] }"#,
        r#"approvers = { roles = ["incident-commander"] }, escalate_after = "10m", escalate_to = { roles = ["security"] }"#,
    );
    let rig = Rig::new(on, &source).await;
    let request = rig.asked("alice").await;
    assert_eq!(
        refused(rig.approve("carol", &request).await),
        Refused::NotEligible
    );
    rig.advance("10m").await;
    assert_eq!(
        rig.approve("carol", &request).await.unwrap().request.state,
        State::Active
    );
}

async fn rule_11_repeats_are_harmless(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    let first = rig.approve("bob", &request).await.unwrap();
    let again = rig.approve("bob", &request).await.unwrap();
    assert_eq!(first, again, "a repeated review changed something");
    let view = rig.review("bob", &request, Decision::Deny).await.unwrap();
    assert_eq!(
        view.request.state,
        State::Denied,
        "a reviewer may turn approve into deny while it is pending"
    );

    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    let first = rig.approve("bob", &request).await.unwrap();
    let records = rig.log().await.len();
    assert_eq!(
        rig.approve("bob", &request).await.unwrap(),
        first,
        "the same review after the decision"
    );
    assert_eq!(rig.log().await.len(), records);

    // Two valid approvals at once are both told so, however they interleave; one grant.
    let rig = std::sync::Arc::new(Rig::new(on, POLICY).await);
    for _ in 0..20 {
        let request = rig.asked("alice").await;
        let (a, b) = tokio::join!(rig.approve("bob", &request), rig.approve("carol", &request));
        assert_eq!(a.unwrap().request.state, State::Active);
        assert_eq!(b.unwrap().request.state, State::Active);
        let approved = rig
            .log()
            .await
            .iter()
            .filter(|r| r.body.contains(r#""type":"approved""#))
            .count();
        rig.broker
            .revoke(&rig.actor("carol").await, request.id, "done")
            .await
            .unwrap();
        assert_eq!(
            approved,
            rig.log()
                .await
                .iter()
                .filter(|r| r.body.contains(r#""type":"activated""#))
                .count()
        );
    }

    // Creation takes a key.
    let alice = rig.actor("alice").await;
    let ask: jit_core::approval::ask::Ask =
        serde_json::from_value(json!({ "resource": "admin", "reason": "once" })).unwrap();
    let first = rig.broker.ask(&alice, ask.clone(), Some("key-1")).await.unwrap();
    let again = rig.broker.ask(&alice, ask.clone(), Some("key-1")).await.unwrap();
    assert!(first.created && !again.created);
    assert_eq!(first.view, again.view);
    let mut other = ask;
    other.reason = "twice".to_owned();
    assert!(matches!(
        refused(rig.broker.ask(&alice, other, Some("key-1")).await),
        Refused::Invalid { .. }
    ));
}

/// Withdraw is for pending, release and revoke for scheduled or active; in any other state 409, and nothing changes.
async fn rule_11_what_is_over_stays_over(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let (alice, bob, carol) = (
        rig.actor("alice").await,
        rig.actor("bob").await,
        rig.actor("carol").await,
    );
    let late = |outcome| matches!(refused(outcome), Refused::AlreadyDecided { .. });

    let request = rig.asked("alice").await;
    assert!(
        late(rig.broker.release(&alice, request.id, "").await),
        "released while pending"
    );
    assert!(
        late(rig.broker.revoke(&carol, request.id, "").await),
        "revoked while pending"
    );
    assert_eq!(
        refused(rig.broker.withdraw(&bob, request.id, "").await),
        Refused::NotEligible
    );
    assert_eq!(
        rig.broker
            .withdraw(&alice, request.id, "")
            .await
            .unwrap()
            .request
            .state,
        State::Withdrawn
    );
    assert!(late(rig.broker.withdraw(&alice, request.id, "").await));
    assert!(late(rig.approve("bob", &request).await));

    let request = rig.granted(json!({})).await;
    assert!(
        late(rig.broker.withdraw(&alice, request.id, "").await),
        "withdrawn while active"
    );
    assert_eq!(
        refused(rig.broker.release(&bob, request.id, "").await),
        Refused::NotEligible
    );
    assert_eq!(
        refused(rig.broker.revoke(&alice, request.id, "").await),
        Refused::NotEligible
    );
    assert!(
        late(rig.approve("dave", &request).await),
        "a third approval after the decision"
    );
    assert!(
        late(rig.review("bob", &request, Decision::Deny).await),
        "denied after the decision"
    );
    assert!(rig.admits("alice", "/admin").await);
    assert_eq!(
        rig.broker
            .release(&alice, request.id, "")
            .await
            .unwrap()
            .request
            .state,
        State::Released
    );
    assert!(!rig.admits("alice", "/admin").await);
    let records = rig.log().await.len();
    for outcome in [
        rig.broker.release(&alice, request.id, "").await,
        rig.broker.revoke(&carol, request.id, "").await,
        rig.broker.withdraw(&alice, request.id, "").await,
    ] {
        assert!(late(outcome));
    }
    assert_eq!(rig.log().await.len(), records, "something happened after the end");

    let request = rig.granted(json!({})).await;
    // An eligible reviewer revokes too.
    assert_eq!(
        rig.broker
            .revoke(&bob, request.id, "")
            .await
            .unwrap()
            .request
            .state,
        State::Revoked
    );
    assert!(!rig.admits("alice", "/admin").await);

    let past = rig.ask("alice", json!({ "start": "2026-03-01T11:59:59Z" })).await;
    assert!(matches!(refused(past), Refused::Invalid { field: "start", .. }));
}

async fn rule_20_reviews_are_paced_and_denials_are_not(on: On) {
    let rig = Rig::new(on, &quorum_of_two()).await;
    let request = rig.asked("alice").await;
    let toggle = async |n: u32| {
        let narrowing = Narrowing {
            duration: Some(jit_core::span::Span::minutes(1 + n % 2)),
            ..Narrowing::default()
        };
        rig.narrow("bob", &request, Decision::Approve, narrowing).await
    };
    for n in 0..60 {
        toggle(n).await.unwrap();
    }
    let end = rig.log().await.len();
    // What changes nothing is not written, and not counted.
    toggle(59).await.unwrap();
    let Refused::LimitReached { retry_at, .. } = refused(toggle(60).await) else {
        panic!("no limit");
    };
    assert_eq!(retry_at, Some(rig.now() + chrono::TimeDelta::minutes(1)));
    assert_eq!(rig.log().await.len(), end);
    // Another person's reviews are their own.
    rig.advance("59s").await;
    assert!(matches!(refused(toggle(60).await), Refused::LimitReached { .. }));
    rig.advance("1s").await;
    toggle(60).await.unwrap();
    for n in 61..120 {
        toggle(n).await.unwrap();
    }
    assert!(matches!(refused(toggle(120).await), Refused::LimitReached { .. }));
    rig.review("bob", &request, Decision::Deny).await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Denied);
}
