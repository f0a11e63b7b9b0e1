//! Many at once, on real threads: one outcome, at most one grant.
//!
//! A debug build runs fewer rounds than a release build; the full test command runs this in release.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use jit_core::approval::lockdown::Target;
use jit_core::approval::review::Decision;
use jit_core::approval::state::State;
use jit_core::broker::store::{Position, Store};
use serde_json::json;

use crate::rig::{On, POLICY, Rig};

const THREADS: usize = 64;

fn rounds(full: usize) -> usize {
    if cfg!(debug_assertions) { full / 50 } else { full }
}

/// Rounds of 64 threads that approve, withdraw, deny and expire one request.
fn race(on: On, rounds: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let rig = Arc::new(runtime.block_on(Rig::new(on, POLICY)));
    let mut outcomes = std::collections::BTreeMap::<State, usize>::new();
    let gate = Arc::new(Barrier::new(THREADS + 1));
    let job: Arc<std::sync::Mutex<Option<jit_core::approval::request::Request>>> = Arc::default();
    let threads: Vec<_> = (0..THREADS)
        .map(|n| {
            let (rig, gate, job, handle) = (rig.clone(), gate.clone(), job.clone(), runtime.handle().clone());
            std::thread::spawn(move || {
                loop {
                    gate.wait();
                    let Some(request) = job.lock().unwrap().clone() else {
                        return;
                    };
                    handle.block_on(async {
                        let reviewer = ["bob", "carol", "dave", "frank"][n / 4 % 4];
                        // Most lose: that is the point. What they are told is checked by other tests.
                        match n % 4 {
                            0 => drop(rig.approve(reviewer, &request).await),
                            1 => drop(rig.review(reviewer, &request, Decision::Deny).await),
                            2 => drop(
                                rig.broker
                                    .withdraw(&rig.actor("alice").await, request.id, "")
                                    .await,
                            ),
                            _ => {
                                rig.clock.set(request.pending_until);
                                drop(rig.broker.sweep().await);
                            }
                        }
                    });
                    gate.wait();
                }
            })
        })
        .collect();
    let mut after: Position = 0;
    for round in 0..rounds {
        let request = runtime.block_on(rig.asked("alice"));
        *job.lock().unwrap() = Some(request.clone());
        gate.wait();
        gate.wait();
        runtime.block_on(async {
            rig.broker.sweep().await.unwrap();
            let mut bodies = Vec::new();
            loop {
                let page = rig.store.feed(after, 1000).await.unwrap();
                let Some(last) = page.last() else { break };
                after = last.position;
                bodies.extend(
                    page.into_iter()
                        .filter(|r| r.stream.to_string().ends_with(&request.id.to_string())),
                );
            }
            let count = |needle: &str| {
                bodies
                    .iter()
                    .filter(|record| record.body.contains(needle))
                    .count()
            };
            let approved = count(r#""type":"approved""#);
            let ended = count(r#""type":"ended""#);
            let end = rig.seen(request.id).await;
            assert_eq!(
                approved
                    + count(r#""state":"denied""#)
                    + count(r#""state":"withdrawn""#)
                    + count(r#""state":"timed_out""#),
                1,
                "round {round}: {bodies:#?}"
            );
            assert!(approved <= 1 && ended <= 1, "round {round}: {bodies:#?}");
            let want = if approved == 1 {
                end.grant.is_some()
            } else {
                end.grant.is_none()
            };
            assert!(want, "round {round}: {end:?}");
            *outcomes.entry(end.state).or_default() += 1;
            if end.state == State::Active {
                rig.broker
                    .release(&rig.actor("alice").await, request.id, "")
                    .await
                    .unwrap();
            }
            rig.clock.advance(Duration::from_secs(7200));
            rig.broker.follow().await.unwrap();
        });
    }
    *job.lock().unwrap() = None;
    gate.wait();
    for thread in threads {
        thread.join().unwrap();
    }
    println!("race on {on:?}: {rounds} rounds of {THREADS} threads, outcomes {outcomes:?}");
    if rounds >= 200 {
        assert!(outcomes.len() >= 3, "the race always ends alike: {outcomes:?}");
    }
}

#[test]
fn sixty_four_threads_on_one_request_in_memory() {
    race(On::Memory, rounds(10_000));
}

#[test]
fn sixty_four_threads_on_one_request_on_sqlite() {
    race(On::Sqlite, rounds(1_000));
}

/// Break-glasses, revocations and lockdowns from many threads: debts and locks hold whoever is first.
#[test]
fn break_glass_and_lockdowns_from_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    for on in [On::Memory, On::Sqlite] {
        runtime.block_on(async {
            for _ in 0..rounds(200) {
                let source = format!(
                    "{POLICY}break_glass = {{ requesters = {{ roles = [\"incident-commander\"] }}, max = \"15m\", \
                     review_within = \"1h\", mfa = {{ required = false }} }}\n"
                );
                let rig = Arc::new(Rig::new(on, &source).await);
                let asking: Vec<_> = (0..16)
                    .map(|_| {
                        let rig = rig.clone();
                        tokio::spawn(async move { rig.ask("erin", json!({ "break_glass": true })).await.is_ok() })
                    })
                    .collect();
                let mut won = 0;
                for task in asking {
                    won += usize::from(task.await.unwrap());
                }
                assert_eq!(won, 1, "{won} break-glasses at once");
                let locker = rig.clone();
                let lock = tokio::spawn(async move {
                    let carol = locker.actor("carol").await;
                    locker.broker.lock_down(&carol, Target::All, "stop").await.unwrap();
                });
                let asker = rig.clone();
                let ask = tokio::spawn(async move {
                    let request = asker.ask("alice", json!({})).await.ok()?.request;
                    drop(asker.approve("bob", &request).await);
                    Some(request.id)
                });
                lock.await.unwrap();
                if let Some(id) = ask.await.unwrap() {
                    let state = rig.state(id).await;
                    assert!(matches!(state, State::Pending | State::Revoked), "{state} under a lockdown of all");
                }
                assert!(!rig.admits("erin", "/admin").await && !rig.admits("alice", "/admin").await);
            }
        });
    }
}
