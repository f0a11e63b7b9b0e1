//! The two planes together: restarts, other processes, stale views, and the notifier.

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jit_core::approval::lockdown::Target;
use jit_core::approval::state::State;
use jit_core::broker::Broker;
use jit_core::broker::notify::{Message, Notifier, NotifyError};
use jit_core::broker::store::Position;
use jit_core::gate::refusal::Refusal;
use serde_json::json;

use crate::rig::{On, POLICY, Rig, gate, on_both, policy};

on_both! {
    a_restart_restores_what_is_live
    another_process_follows_the_log
    a_stale_view_admits_nothing
    access_goes_on_while_the_store_is_away_until_the_view_is_stale
    a_policy_is_recorded_once
    messages_are_delivered_at_least_once_and_in_order
}

/// The same house with another broker and another gate, as after a restart or in another process.
async fn again(rig: &Rig) -> (Broker, jit_core::gate::Gate) {
    let broker = Broker::builder(rig.store.clone(), rig.people.clone(), policy(POLICY))
        .clock(rig.clock.clone())
        .build()
        .await
        .unwrap();
    let gate = gate(&broker, &rig.people, &rig.clock, POLICY);
    (broker, gate)
}

async fn a_restart_restores_what_is_live(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let live = rig.granted(json!({ "duration": "30m" })).await;
    let scheduled = {
        let start = rig.now() + chrono::TimeDelta::minutes(10);
        let request = rig
            .ask("erin", json!({ "start": start, "duration": "10m" }))
            .await
            .unwrap()
            .request;
        rig.approve("bob", &request).await.unwrap().request
    };
    let revoked = {
        let request = rig.asked("frank").await;
        rig.approve("bob", &request).await.unwrap();
        rig.broker
            .revoke(&rig.actor("carol").await, request.id, "")
            .await
            .unwrap()
            .request
    };
    let (broker, gate) = again(&rig).await;
    let rig = Rig { broker, gate, ..rig };
    assert!(rig.admits("alice", "/admin").await, "a live grant was lost");
    assert!(!rig.admits("frank", "/admin").await, "a revoked grant came back");
    rig.advance("10m").await;
    rig.broker.sweep().await.unwrap();
    assert!(
        rig.admits("erin", "/admin").await,
        "a scheduled grant was forgotten"
    );
    assert_eq!(rig.state(scheduled.id).await, State::Active);
    rig.advance("20m").await;
    rig.broker.sweep().await.unwrap();
    assert_eq!(rig.state(live.id).await, State::Expired);
    assert_eq!(rig.state(revoked.id).await, State::Revoked);

    let carol = rig.actor("carol").await;
    rig.broker
        .lock_down(&carol, Target::Role("sre".parse().unwrap()), "incident")
        .await
        .unwrap();
    let (broker, gate) = again(&rig).await;
    let rig = Rig { broker, gate, ..rig };
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap_err(),
        Refusal::LockedDown,
        "forgotten"
    );
}

async fn another_process_follows_the_log(on: On) {
    let here = Rig::new(on, POLICY).await;
    let (broker, gate) = again(&here).await;
    let there = Rig {
        broker,
        gate,
        clock: here.clock.clone(),
        people: here.people.clone(),
        store: here.store.clone(),
        _folder: tempfile::tempdir().unwrap(),
    };
    let request = here.granted(json!({})).await;
    assert!(
        !there.admits("alice", "/admin").await,
        "admitted before it was heard of"
    );
    there.broker.follow().await.unwrap();
    assert!(there.admits("alice", "/admin").await);
    here.broker
        .revoke(&here.actor("carol").await, request.id, "")
        .await
        .unwrap();
    there.broker.follow().await.unwrap();
    assert!(!there.admits("alice", "/admin").await);
    let carol = here.actor("carol").await;
    here.granted(json!({})).await;
    there.broker.follow().await.unwrap();
    assert!(there.admits("alice", "/admin").await);
    here.broker
        .lock_down(&carol, Target::All, "incident")
        .await
        .unwrap();
    there.broker.follow().await.unwrap();
    assert_eq!(
        there.knock("alice", "GET", "/admin").await.unwrap_err(),
        Refusal::LockedDown
    );
}

async fn a_stale_view_admits_nothing(on: On) {
    let rig = Rig::new(on, POLICY).await;
    rig.granted(json!({})).await;
    rig.clock.advance(std::time::Duration::from_secs(10));
    assert!(rig.admits("alice", "/admin").await);
    rig.clock.advance(std::time::Duration::from_millis(1));
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap_err(),
        Refusal::StaleView
    );
    rig.broker.follow().await.unwrap();
    assert!(rig.admits("alice", "/admin").await);
}

async fn access_goes_on_while_the_store_is_away_until_the_view_is_stale(on: On) {
    let rig = Rig::new(on, POLICY).await;
    rig.granted(json!({})).await;
    rig.store.set_broken(true);
    rig.clock.advance(std::time::Duration::from_secs(9));
    assert!(rig.broker.follow().await.is_err());
    assert!(rig.admits("alice", "/admin").await);
    rig.clock.advance(std::time::Duration::from_secs(2));
    assert!(rig.broker.follow().await.is_err());
    assert_eq!(
        rig.knock("alice", "GET", "/admin").await.unwrap_err(),
        Refusal::StaleView
    );
}

async fn a_policy_is_recorded_once(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let loads = async || {
        rig.log()
            .await
            .iter()
            .filter(|r| r.body.contains("policy_loaded"))
            .count()
    };
    assert_eq!(loads().await, 1);
    drop(again(&rig).await);
    assert_eq!(loads().await, 1, "the same policy was recorded again");
    rig.broker
        .set_policy(policy(&POLICY.replace("4h", "3h")))
        .await
        .unwrap();
    assert_eq!(loads().await, 2);
}

/// Keeps what it is handed; refuses while told to.
#[derive(Debug, Default)]
struct Mailbox {
    got: Mutex<Vec<Position>>,
    full: AtomicBool,
}

#[async_trait]
impl Notifier for Mailbox {
    async fn notify(&self, message: &Message) -> Result<(), NotifyError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(NotifyError {
                source: "the mailbox is full".into(),
            });
        }
        assert_eq!(
            message.request.is_some(),
            message.record.stream.to_string().starts_with("request/")
        );
        self.got.lock().unwrap().push(message.record.position);
        Ok(())
    }
}

async fn messages_are_delivered_at_least_once_and_in_order(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let mailbox = Arc::new(Mailbox::default());
    let broker = Broker::builder(rig.store.clone(), rig.people.clone(), policy(POLICY))
        .clock(rig.clock.clone())
        .notifier(mailbox.clone())
        .build()
        .await
        .unwrap();
    let gate = gate(&broker, &rig.people, &rig.clock, POLICY);
    let rig = Rig { broker, gate, ..rig };
    mailbox.full.store(true, Ordering::SeqCst);
    rig.granted(json!({})).await;
    assert!(rig.broker.deliver().await.is_err());
    assert!(
        rig.admits("alice", "/admin").await,
        "a notifier that fails blocked a decision"
    );
    mailbox.full.store(false, Ordering::SeqCst);
    let all: Vec<Position> = rig.log().await.iter().map(|record| record.position).collect();
    assert_eq!(rig.broker.deliver().await.unwrap(), all.len());
    assert_eq!(*mailbox.got.lock().unwrap(), all);
    assert_eq!(rig.broker.deliver().await.unwrap(), 0, "the cursor did not move");
}
