//! How strongly and how recently people signed in: at the asking, at the review, and at the gate.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use chrono::TimeDelta;
use http::request::Parts;
use jit_core::approval::ask::{Actor, Ask, Assurance};
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::approval::state::State;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::refusal::Refusal;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Gate, Verdict};
use jit_core::id::{Digest, Timestamp};
use jit_core::policy::terms::MfaTerms;
use serde_json::json;

use crate::rig::{On, POLICY, Rig, on_both, policy, refused};

on_both! {
    an_asking_needs_the_sign_in_that_its_policy_names
    a_review_needs_the_sign_in_that_its_stage_names
    a_review_kept_from_an_earlier_stage_needs_that_stages_sign_in
    a_grant_needs_a_fresh_sign_in_once_and_a_strong_one_always
}

/// One `mfa` for those who ask and one for each of two stages.
fn house(ask: &str, lead: &str, second: &str) -> String {
    POLICY.replace(
        r#"stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]"#,
        &format!(
            r#"{ask}
stages = [ {{ name = "lead", approvers = {{ roles = ["sre-lead"] }}{lead} }},
           {{ name = "second", approvers = {{ roles = ["security"] }}{second} }} ]"#
        ),
    )
}

/// Signed in `ago` seconds before now, by `amr`, in the class `acr`.
fn signed_in(now: Timestamp, amr: &str, acr: Option<&str>, ago: Option<i64>) -> Assurance {
    Assurance {
        methods: amr.split_whitespace().map(str::to_owned).collect(),
        context: acr.map(str::to_owned),
        authenticated_at: ago.map(|ago| now - TimeDelta::seconds(ago)),
    }
}

/// What is missing, if anything is.
#[track_caller]
fn missing<T: std::fmt::Debug>(outcome: Result<T, jit_core::broker::Rejection>) -> Option<MfaTerms> {
    match outcome {
        Ok(_) => None,
        outcome => match refused(outcome) {
            Refused::StepUp { terms } => Some(terms),
            other => panic!("{other:?}"),
        },
    }
}

fn strong(rig: &Rig, mut actor: Actor) -> Actor {
    actor.assurance = signed_in(rig.now(), "pwd otp", Some("gold"), Some(0));
    actor
}

async fn ask(rig: &Rig, actor: &Actor) -> Result<Request, jit_core::broker::Rejection> {
    let ask: Ask =
        serde_json::from_value(json!({"resource": "admin", "reason": "look into INC-42"})).unwrap();
    Ok(rig.broker.ask(actor, ask, None).await?.view.request)
}

async fn an_asking_needs_the_sign_in_that_its_policy_names(on: On) {
    const GOLD: &str = r#"mfa = { acr = ["gold", "silver"], amr = ["otp", "hwk"], max_age = "15m" }"#;
    let rig = Rig::new(on, &house(GOLD, "", "")).await;
    let mut alice = rig.actor("alice").await;
    let now = rig.now();
    for (assurance, expected) in [
        (Assurance::default(), false),
        (signed_in(now, "otp", None, Some(0)), false),
        (signed_in(now, "otp", Some("bronze"), Some(0)), false),
        (signed_in(now, "pwd", Some("gold"), Some(0)), false),
        (signed_in(now, "mfa", Some("gold"), Some(0)), false),
        (signed_in(now, "otp", Some("gold"), None), false),
        (signed_in(now, "otp", Some("gold"), Some(901)), false),
        (signed_in(now, "otp", Some("gold"), Some(-31)), false),
        (signed_in(now, "otp", Some("gold"), Some(900)), true),
        (signed_in(now, "pwd hwk", Some("silver"), Some(-30)), true),
    ] {
        alice.assurance = assurance;
        let outcome = ask(&rig, &alice).await;
        let request = outcome.as_ref().ok().cloned();
        match (missing(outcome), request) {
            (None, Some(request)) => {
                assert!(expected, "{:?}", alice.assurance);
                rig.broker.withdraw(&alice, request.id, "").await.unwrap();
            }
            (Some(terms), _) => {
                assert!(!expected, "{:?}", alice.assurance);
                assert_eq!(terms.acr, ["gold", "silver"]);
            }
            (None, None) => unreachable!(),
        }
    }
    // Who may not ask learns nothing about how.
    let mallory = rig.actor("mallory").await;
    assert_eq!(refused(ask(&rig, &mallory).await), Refused::NotEligible);
}

async fn a_review_needs_the_sign_in_that_its_stage_names(on: On) {
    let lead = r#", mfa = { amr = ["hwk"] }"#;
    let second = r#", mfa = { acr = ["gold"], max_age = "5m" }"#;
    let rig = Rig::new(on, &house("", lead, second)).await;
    let request = rig.asked("alice").await;
    let opinion = |decision| Opinion {
        decision,
        digest: request.digest,
        comment: String::new(),
        narrowing: Narrowing::default(),
    };
    let (mut bob, mut carol) = (rig.actor("bob").await, rig.actor("carol").await);
    for (amr, good) in [("pwd otp", false), ("hwk", true)] {
        for decision in [Decision::Deny, Decision::Approve] {
            if good && decision == Decision::Deny {
                continue;
            }
            bob.assurance = signed_in(rig.now(), amr, None, None);
            let outcome = rig.broker.review(&bob, request.id, opinion(decision)).await;
            assert_eq!(missing(outcome).is_none(), good, "{amr} {decision:?}");
        }
    }
    assert_eq!(rig.seen(request.id).await.stage, 1);
    for (acr, ago, good) in [
        (None, Some(0), false),
        (Some("gold"), None, false),
        (Some("gold"), Some(301), false),
        (Some("gold"), Some(300), true),
    ] {
        carol.assurance = signed_in(rig.now(), "hwk", acr, ago);
        let outcome = rig
            .broker
            .review(&carol, request.id, opinion(Decision::Approve))
            .await;
        assert_eq!(missing(outcome).is_none(), good, "{acr:?} {ago:?}");
    }
    assert_eq!(rig.state(request.id).await, State::Active);
}

async fn a_review_kept_from_an_earlier_stage_needs_that_stages_sign_in(on: On) {
    let rig = Rig::new(on, &house("", ", mfa = {}", "")).await;
    let request = rig.asked("alice").await;
    let bob = strong(&rig, rig.actor("bob").await);
    let narrower = |minutes| Opinion {
        decision: Decision::Approve,
        digest: request.digest,
        comment: String::new(),
        narrowing: Narrowing {
            duration: Some(jit_core::span::Span::minutes(minutes)),
            ..Narrowing::default()
        },
    };
    rig.broker.review(&bob, request.id, narrower(20)).await.unwrap();
    assert_eq!(rig.seen(request.id).await.stage, 1);
    // The stage that is open now asks for nothing.
    let weak = rig.actor("bob").await;
    assert!(missing(rig.broker.review(&weak, request.id, narrower(5)).await).is_some());
    assert!(missing(rig.review("bob", &request, Decision::Deny).await).is_some());
    rig.broker.review(&bob, request.id, narrower(10)).await.unwrap();
}

/// Tokens of people who signed in as the test says.
#[derive(Debug)]
struct Signed(ApiTokens, Mutex<Assurance>);

#[async_trait]
impl Authenticator for Signed {
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r> {
        self.0.present(head, peer)
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        let subject = self.0.verify(credential, source, now).await?;
        Ok(Subject {
            assurance: self.1.lock().unwrap().clone(),
            ..subject
        })
    }

    fn revoked(&self, credential: &Digest) -> bool {
        self.0.revoked(credential)
    }
}

async fn a_grant_needs_a_fresh_sign_in_once_and_a_strong_one_always(on: On) {
    let source = POLICY.replace(
        "pending_timeout",
        "mfa = { amr = [\"otp\"], max_age = \"5m\" }\npending_timeout",
    );
    let rig = Rig::new(on, &source).await;
    let alice = strong(&rig, rig.actor("alice").await);
    let request = ask(&rig, &alice).await.unwrap();
    rig.approve("bob", &request).await.unwrap();

    let compiled = policy(&source);
    let tokens = rig.people.tokens().into_iter();
    let tokens = ApiTokens::new(tokens.map(|token| (token.sha256, token.principal))).unwrap();
    let signed = Arc::new(Signed(tokens, Mutex::default()));
    let gate = Gate::builder(
        RuleSet::compile(compiled.resources(), compiled.open()).unwrap(),
        rig.broker.enforcer().clone(),
        signed.clone(),
        rig.people.clone(),
        rig.clock.clone(),
    )
    .with_sessions(0)
    .build();
    let knock = async |amr: &str, ago: Option<i64>| {
        *signed.1.lock().unwrap() = signed_in(rig.now(), amr, None, ago);
        let head = http::Request::builder()
            .uri("/admin")
            .header("host", "app.example.com")
            .header("authorization", "Bearer demo-alice")
            .body(())
            .unwrap()
            .into_parts()
            .0;
        let Verdict::Lookup(lookup) = gate.decide(&head, None) else {
            panic!("a session was kept");
        };
        match gate.resolve(&head, None, lookup).await {
            Verdict::Admit(_) => true,
            Verdict::Refuse(Refusal::StepUp { .. }) => false,
            other => panic!("{other:?}"),
        }
    };
    for (amr, ago, good) in [
        // The first use.
        ("", None, false),
        ("pwd", Some(0), false),
        ("otp", None, false),
        ("otp", Some(301), false),
        ("otp", Some(-31), false),
        ("otp", Some(300), true),
        // Those after it.
        ("otp", Some(3600), true),
        ("pwd mfa", Some(0), false),
        ("", None, false),
        ("pwd otp", None, true),
    ] {
        assert_eq!(knock(amr, ago).await, good, "{amr} {ago:?}");
    }
}
