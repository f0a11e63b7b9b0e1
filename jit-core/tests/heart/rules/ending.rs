//! Rules 12 to 16: ends, extensions, emergencies, lockdowns, and one transaction.

use jit_core::approval::event::{EndCause, Finding};
use jit_core::approval::lockdown::Target;
use jit_core::approval::refused::Refused;
use jit_core::approval::state::State;
use jit_core::broker::Rejection;
use jit_core::broker::store::{Store, StreamId};
use jit_core::gate::refusal::Refusal;
use jit_core::id::GrantId;
use serde_json::json;

use crate::rig::{On, POLICY, Rig, on_both, refused, span};

on_both! {
    rule_12_access_is_the_union_of_live_grants
    rule_13_an_extension_is_a_new_request
    rule_13_the_chain_stays_within_max_total
    rule_13_revoking_a_parent_kills_what_continues_it
    rule_14_break_glass_is_immediate_and_in_debt
    rule_15_a_lockdown_kills_what_it_matches
    rule_15_revocation_shuts_the_gate_before_it_is_written
    rule_16_what_can_not_be_written_did_not_happen
}

fn two_policies() -> String {
    format!(
        r#"{POLICY}
[[policies]]
name = "admin-short"
resources = ["admin"]
requesters = {{ roles = ["sre"] }}
duration = {{ default = "5m", max = "5m" }}
approval = "automatic"
"#
    )
}

/// The end of one grant never takes another's away; attribution prefers the latest end.
async fn rule_12_access_is_the_union_of_live_grants(on: On) {
    let rig = Rig::new(on, &two_policies()).await;
    let long = rig.granted(json!({ "duration": "30m" })).await;
    let short = rig
        .ask("alice", json!({ "policy": "admin-short" }))
        .await
        .unwrap()
        .request;
    assert_eq!(short.state, State::Active);
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap().grant_id(),
        GrantId::from(long.id)
    );
    rig.advance("5m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(short.id).await, State::Expired);
    assert!(
        rig.admits("alice", "/admin").await,
        "the end of one took the other's away"
    );
    let short = rig
        .ask("alice", json!({ "policy": "admin-short" }))
        .await
        .unwrap()
        .request;
    rig.broker
        .revoke(&rig.actor("carol").await, long.id, "")
        .await
        .unwrap();
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap().grant_id(),
        GrantId::from(short.id)
    );
}

/// Extension is a new request linked to the old grant, starting at its `not_after`.
async fn rule_13_an_extension_is_a_new_request(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let first = rig.granted(json!({ "duration": "10m" })).await;
    let second = rig
        .ask("alice", json!({ "duration": "10m", "extends": first.id }))
        .await
        .unwrap()
        .request;
    assert_eq!(
        second.state,
        State::Pending,
        "an extension needs its own approval"
    );
    assert_eq!(second.ruling.start, Some(first.grant.as_ref().unwrap().not_after));
    assert_eq!(
        refused(rig.ask("erin", json!({ "extends": first.id })).await),
        Refused::NotFound
    );
    assert!(
        rig.ask("alice", json!({ "extends": first.id })).await.is_err(),
        "extended twice at once"
    );
    let second = rig.approve("bob", &second).await.unwrap().request;
    assert_eq!(second.state, State::Scheduled);
    rig.advance("9m 56s").await;
    rig.broker.sweep().await.unwrap();
    for _ in 0..10 {
        assert!(rig.admits("alice", "/admin").await, "a gap at {}", rig.now());
        rig.advance("1s").await;
    }
    let over = rig.ask("alice", json!({ "extends": first.id })).await;
    assert!(matches!(
        refused(over),
        Refused::AlreadyDecided {
            state: State::Expired
        }
    ));
}

async fn rule_13_the_chain_stays_within_max_total(on: On) {
    let rig = Rig::new(on, &POLICY.replace(r#"max_total = "8h""#, r#"max_total = "5h""#)).await;
    let first = rig.granted(json!({ "duration": "4h" })).await;
    let long = rig
        .ask("alice", json!({ "duration": "1h 1s", "extends": first.id }))
        .await;
    assert!(matches!(
        refused(long),
        Refused::Invalid {
            field: "duration",
            ..
        }
    ));
    assert!(
        rig.ask("alice", json!({ "duration": "1h", "extends": first.id }))
            .await
            .is_ok()
    );
}

async fn rule_13_revoking_a_parent_kills_what_continues_it(on: On) {
    for approve in [false, true] {
        let rig = Rig::new(on, POLICY).await;
        let first = rig.granted(json!({ "duration": "10m" })).await;
        let mut child = rig
            .ask("alice", json!({ "duration": "10m", "extends": first.id }))
            .await
            .unwrap()
            .request;
        if approve {
            child = rig.approve("bob", &child).await.unwrap().request;
        }
        let grandchild = match approve {
            false => None,
            true => {
                let more = json!({ "duration": "10m", "extends": child.id });
                Some(rig.ask("alice", more).await.unwrap().request.id)
            }
        };
        rig.broker
            .revoke(&rig.actor("carol").await, first.id, "stop")
            .await
            .unwrap();
        let want = if approve { State::Revoked } else { State::Denied };
        let child = rig.seen(child.id).await;
        assert_eq!(child.state, want);
        assert_eq!(child.end.unwrap().cause, EndCause::Parent(first.id));
        if let Some(id) = grandchild {
            assert_eq!(rig.state(id).await, State::Denied, "a grandchild lives on");
        }
        rig.advance("10m").await;
        rig.broker.sweep().await.unwrap();
        assert!(!rig.admits("alice", "/admin").await);
    }
}

pub(super) fn with_glass() -> String {
    format!(
        r#"{POLICY}break_glass = {{ requesters = {{ roles = ["incident-commander"] }}, max = "15m", review_within = "24h", mfa = {{ required = false }} }}
"#
    )
}

/// Immediate, short, never extended, and in debt until another eligible person has reviewed it, in whatever state it is.
async fn rule_14_break_glass_is_immediate_and_in_debt(on: On) {
    let rig = Rig::new(on, &with_glass()).await;
    let glass = json!({ "break_glass": true });
    assert_eq!(
        refused(rig.ask("alice", glass.clone()).await),
        Refused::NotEligible
    );
    let request = rig.ask("erin", glass.clone()).await.unwrap().request;
    assert_eq!(request.state, State::Active);
    let grant = request.grant.clone().unwrap();
    assert!(grant.not_after - grant.not_before <= chrono::TimeDelta::from_std(span("15m")).unwrap());
    assert!(rig.admits("erin", "/admin").await);
    let long = rig
        .ask("erin", json!({ "break_glass": true, "duration": "16m" }))
        .await;
    assert!(matches!(
        refused(long),
        Refused::Invalid {
            field: "duration",
            ..
        }
    ));
    let extended = rig.ask("erin", json!({ "extends": request.id })).await;
    assert!(matches!(
        refused(extended),
        Refused::Invalid { field: "extends", .. }
    ));

    let debt = rig.ask("erin", glass.clone()).await;
    assert!(matches!(refused(debt), Refused::LimitReached { request: Some(id), .. } if id == request.id));
    let after = async |who: &str| {
        rig.broker
            .after_review(
                &rig.actor(who).await,
                request.id,
                Finding::Justified,
                "pager was on fire",
            )
            .await
    };
    assert_eq!(refused(after("erin").await), Refused::SelfReview);
    assert_eq!(refused(after("mallory").await), Refused::NotFound);
    rig.advance("20m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(request.id).await, State::Expired);
    assert!(
        rig.ask("erin", glass.clone()).await.is_err(),
        "the debt ended with the grant"
    );
    after("bob").await.unwrap();
    after("bob").await.unwrap();
    assert!(matches!(
        refused(after("carol").await),
        Refused::AlreadyDecided { .. }
    ));
    let request = rig.ask("erin", glass.clone()).await.unwrap().request;
    assert_eq!(request.state, State::Active);
    // While it is active, too.
    let bob = rig.actor("bob").await;
    let looked = rig
        .broker
        .after_review(&bob, request.id, Finding::Unjustified, "no page was sent")
        .await;
    assert_eq!(looked.unwrap().request.state, State::Active);
    assert!(rig.ask("erin", glass).await.is_ok());

    // It is strong authentication that breaks glass, unless the policy says otherwise.
    let rig = Rig::new(on, &with_glass().replace(", mfa = { required = false }", "")).await;
    let weak = rig.ask("erin", json!({ "break_glass": true })).await;
    assert!(matches!(refused(weak), Refused::StepUp { .. }));
}

/// A lockdown kills every grant it matches, even when lifted later; locked people can't review.
async fn rule_15_a_lockdown_kills_what_it_matches(on: On) {
    let targets = [
        Target::Principal("demo|alice".parse().unwrap()),
        Target::Person("alice".parse().unwrap()),
        Target::Role("sre".parse().unwrap()),
        Target::Resource("admin".parse().unwrap()),
        Target::All,
    ];
    for target in targets {
        let rig = Rig::new(on, POLICY).await;
        let request = rig.granted(json!({})).await;
        assert!(rig.admits("alice", "/admin").await);
        let carol = rig.actor("carol").await;
        let bob = rig.actor("bob").await;
        assert_eq!(
            refused(rig.broker.lock_down(&bob, target.clone(), "no").await),
            Refused::NotEligible
        );
        let lockdown = rig
            .broker
            .lock_down(&carol, target.clone(), "key was leaked")
            .await
            .unwrap();
        assert_eq!(
            rig.knock("alice", "GET", "/admin").await.unwrap_err(),
            Refusal::LockedDown,
            "{target:?}"
        );
        let ended = rig.seen(request.id).await;
        assert_eq!(ended.state, State::Revoked, "{target:?}");
        assert_eq!(ended.end.unwrap().cause, EndCause::Lockdown(lockdown.id));
        assert!(
            matches!(
                refused(rig.ask("alice", json!({})).await),
                Refused::LockedDown { .. }
            ),
            "{target:?}"
        );
        rig.broker.lift(&carol, lockdown.id, "rotated").await.unwrap();
        assert!(
            !rig.admits("alice", "/admin").await,
            "{target:?}: lifting revived it"
        );
        assert_eq!(rig.state(request.id).await, State::Revoked);
        assert!(rig.ask("alice", json!({})).await.is_ok(), "{target:?}");
    }
    // Others go on.
    let rig = Rig::new(on, POLICY).await;
    let hers = rig.granted(json!({})).await;
    let carol = rig.actor("carol").await;
    rig.broker
        .lock_down(&carol, Target::Person("erin".parse().unwrap()), "left")
        .await
        .unwrap();
    assert_eq!(rig.state(hers.id).await, State::Active);
    assert!(rig.admits("alice", "/admin").await);

    // Whoever is locked does not review, and what is locked is not granted.
    rig.broker
        .lock_down(&carol, Target::Person("bob".parse().unwrap()), "phished")
        .await
        .unwrap();
    let request = rig.asked("frank").await;
    assert!(matches!(
        refused(rig.approve("bob", &request).await),
        Refused::LockedDown { .. }
    ));
    rig.broker
        .lock_down(&carol, Target::Resource("admin".parse().unwrap()), "incident")
        .await
        .unwrap();
    assert!(matches!(
        refused(rig.approve("dave", &request).await),
        Refused::LockedDown { .. }
    ));
    assert_eq!(rig.state(request.id).await, State::Pending);
}

/// Revoke and lockdown shut this node's gate first, then write; if the write fails the caller is told, and the gate stays shut.
async fn rule_15_revocation_shuts_the_gate_before_it_is_written(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(json!({})).await;
    let carol = rig.actor("carol").await;
    rig.store.set_broken(true);
    let outcome = rig.broker.revoke(&carol, request.id, "now").await;
    assert!(matches!(outcome, Err(Rejection::Store(_))), "{outcome:?}");
    assert!(!rig.admits("alice", "/admin").await, "the gate stayed open");
    assert!(rig.broker.sweep().await.is_err());
    rig.store.set_broken(false);
    rig.broker.follow().await.unwrap();
    assert!(!rig.admits("alice", "/admin").await, "the gate opened again");
    rig.broker.sweep().await.unwrap();
    let ended = rig.seen(request.id).await;
    assert_eq!(ended.state, State::Revoked, "what is owed was not written");
    assert_eq!(ended.end.unwrap().cause, EndCause::actor(&carol));

    let rig = Rig::new(on, POLICY).await;
    rig.granted(json!({})).await;
    rig.store.set_broken(true);
    assert!(
        rig.broker
            .lock_down(&rig.actor("carol").await, Target::All, "now")
            .await
            .is_err()
    );
    assert!(!rig.admits("alice", "/admin").await);
    rig.store.set_broken(false);
    rig.broker.follow().await.unwrap();
    assert!(
        !rig.admits("alice", "/admin").await,
        "a follower lifted a lockdown"
    );
    // Nor does another lockdown that is written after it.
    let other = Target::Person("mallory".parse().unwrap());
    rig.broker
        .lock_down(&rig.actor("carol").await, other, "left")
        .await
        .unwrap();
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap_err(),
        Refusal::LockedDown,
        "another lockdown lifted it"
    );
}

/// State change and audit record are one transaction.
async fn rule_16_what_can_not_be_written_did_not_happen(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.asked("alice").await;
    let records = rig.log().await;
    rig.store.set_broken(true);
    assert!(matches!(
        rig.approve("bob", &request).await,
        Err(Rejection::Store(_))
    ));
    assert!(matches!(
        rig.ask("erin", json!({})).await,
        Err(Rejection::Store(_))
    ));
    assert!(
        !rig.admits("alice", "/admin").await,
        "an approval that was not written admits"
    );
    rig.store.set_broken(false);
    assert_eq!(rig.state(request.id).await, State::Pending);
    assert_eq!(rig.log().await, records);
    // The other way round: whatever has a state has the records that made it.
    rig.approve("bob", &request).await.unwrap();
    let stored = rig
        .store
        .load(&StreamId::Request(request.id))
        .await
        .unwrap()
        .unwrap();
    let events = rig
        .log()
        .await
        .into_iter()
        .filter(|record| record.stream == stored.stream);
    let folded = events.fold(None, |state, record| {
        let event = serde_json::from_str(&record.body).unwrap();
        Some(jit_core::approval::fold(state, &event, record.at).unwrap())
    });
    assert_eq!(serde_json::to_string(&folded.unwrap()).unwrap(), stored.state);
}
