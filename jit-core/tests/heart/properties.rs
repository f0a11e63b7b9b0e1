//! Random histories with racing actors: what must hold whatever happens in whatever order.
//!
//! The reference is deliberately small: it only says what may be tried. What is checked after every step are invariants over everything
//! that the store holds.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::approval::ask::Route;
use jit_core::approval::event::{ApprovedBy, Event, Finding};
use jit_core::approval::fold;
use jit_core::approval::lockdown::{Lockdowns, Target};
use jit_core::approval::person::{Limits, PersonState};
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing};
use jit_core::approval::state::State;
use jit_core::broker::store::{Store, StreamId};
use jit_core::id::{GrantId, PersonId, RequestId};
use jit_core::policy::terms::covers;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};
use serde_json::json;

use crate::rig::{On, POLICY, Rig, people, policy};

const WHO: [&str; 9] = [
    "alice",
    "bob",
    "carol",
    "dave",
    "erin",
    "frank",
    "mallory",
    "corp|alice",
    "corp|bob",
];

/// One thing that someone does. `nth` counts requests from the newest.
#[derive(Debug, Clone)]
enum Step {
    Ask {
        who: &'static str,
        variant: u8,
        extends: Option<usize>,
    },
    Review {
        who: &'static str,
        nth: usize,
        deny: bool,
        narrow: u8,
        stale: bool,
    },
    Withdraw {
        who: &'static str,
        nth: usize,
    },
    Release {
        who: &'static str,
        nth: usize,
    },
    Revoke {
        who: &'static str,
        nth: usize,
    },
    AfterReview {
        who: &'static str,
        nth: usize,
    },
    Lock {
        who: &'static str,
        target: u8,
    },
    Lift {
        who: &'static str,
    },
    Knock {
        who: &'static str,
        path: &'static str,
    },
    Sweep,
    Recheck,
    Wait {
        seconds: u32,
    },
    People {
        variant: u8,
    },
    Policy {
        variant: u8,
    },
}

/// One step, or several at once.
#[derive(Debug, Clone)]
struct AtOnce(Vec<Step>);

fn step() -> impl Strategy<Value = Step> {
    let who = || prop::sample::select(&WHO[..]);
    let nth = || 0..3_usize;
    let path = prop::sample::select(&["/admin", "/admin/users", "/admin/keys/1", "/admin/usersx"][..]);
    prop_oneof![
        6 => (who(), 0..6_u8, prop::option::weighted(0.2, nth()))
            .prop_map(|(who, variant, extends)| Step::Ask { who, variant, extends }),
        10 => (who(), nth(), prop::bool::weighted(0.15), 0..5_u8, prop::bool::weighted(0.05))
            .prop_map(|(who, nth, deny, narrow, stale)| Step::Review { who, nth, deny, narrow, stale }),
        1 => (who(), nth()).prop_map(|(who, nth)| Step::Withdraw { who, nth }),
        1 => (who(), nth()).prop_map(|(who, nth)| Step::Release { who, nth }),
        1 => (who(), nth()).prop_map(|(who, nth)| Step::Revoke { who, nth }),
        1 => (who(), nth()).prop_map(|(who, nth)| Step::AfterReview { who, nth }),
        1 => (who(), 0..5_u8).prop_map(|(who, target)| Step::Lock { who, target }),
        1 => who().prop_map(|who| Step::Lift { who }),
        5 => (who(), path).prop_map(|(who, path)| Step::Knock { who, path }),
        3 => Just(Step::Sweep),
        1 => Just(Step::Recheck),
        3 => (0..4000_u32).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..3_u8).prop_map(|variant| Step::People { variant }),
        1 => (0..3_u8).prop_map(|variant| Step::Policy { variant }),
    ]
}

fn source(variant: u8) -> String {
    let base = format!(
        "{}break_glass = {{ requesters = {{ roles = [\"incident-commander\"] }}, max = \"15m\", review_within = \"1h\", \
         mfa = {{ required = false }} }}\nuse_within = \"20m\"\nidle_timeout = \"15m\"\n",
        POLICY.replace(
            r#"roles = ["sre-lead"] } }"#,
            r#"roles = ["sre-lead"] }, quorum = 2 }"#
        )
    );
    match variant {
        0 => base,
        1 => base
            .replace("quorum = 2", "quorum = 1")
            .replace(r#"max = "4h""#, r#"max = "40m""#),
        _ => base.replace(
            "stages = [",
            "stages = [ { name = \"first\", approvers = { roles = [\"sre-lead\", \"security\"] } },",
        ),
    }
}

struct Reference;

impl ReferenceStateMachine for Reference {
    type State = ();
    type Transition = AtOnce;

    fn init_state() -> BoxedStrategy<()> {
        Just(()).boxed()
    }

    fn transitions((): &()) -> BoxedStrategy<AtOnce> {
        prop_oneof![
            3 => step().prop_map(|step| AtOnce(vec![step])),
            1 => prop::collection::vec(step(), 2..4).prop_map(AtOnce),
        ]
        .boxed()
    }

    fn apply((): (), _: &AtOnce) {}
}

struct House {
    rig: Rig,
    runtime: tokio::runtime::Runtime,
    ended: BTreeMap<RequestId, State>,
}

async fn nth(rig: &Rig, nth: usize) -> Option<Request> {
    let carol = rig.actor("carol").await;
    let filter = jit_core::broker::Filter {
        limit: 10,
        ..Default::default()
    };
    let items = rig.broker.list(&carol, &filter).await.ok()?.items;
    let view = items.get(nth)?;
    Some(view.request.clone())
}

/// Refusals are expected here; failures are not, and panics are not.
async fn perform(rig: &Rig, step: &Step, alone: bool) {
    let failed = |outcome: Result<(), jit_core::broker::Rejection>| match outcome {
        Ok(()) | Err(jit_core::broker::Rejection::Refused(_)) => {}
        Err(failure) => panic!("{step:?}: {failure}"),
    };
    let Some(actor) = async {
        match step {
            Step::Ask { who, .. }
            | Step::Review { who, .. }
            | Step::Withdraw { who, .. }
            | Step::Release { who, .. }
            | Step::Revoke { who, .. }
            | Step::AfterReview { who, .. }
            | Step::Lock { who, .. }
            | Step::Lift { who } => rig.try_actor(who).await,
            _ => rig.try_actor("carol").await,
        }
    }
    .await
    else {
        return;
    };
    let which = match step {
        Step::Review { nth, .. }
        | Step::Withdraw { nth, .. }
        | Step::Release { nth, .. }
        | Step::Revoke { nth, .. }
        | Step::AfterReview { nth, .. } => *nth,
        Step::Ask { extends, .. } => extends.unwrap_or(usize::MAX),
        _ => usize::MAX,
    };
    let target = nth(rig, which).await;
    match (step, target) {
        (
            Step::Ask {
                who,
                variant,
                extends,
            },
            target,
        ) => {
            let mut more = match variant {
                0 => json!({}),
                1 => json!({ "duration": "10m", "methods": ["GET", "POST"] }),
                2 => json!({ "paths": ["/admin/users"], "max_requests": 3 }),
                3 => json!({ "break_glass": true }),
                4 => json!({ "start": rig.now() + chrono::TimeDelta::minutes(7), "duration": "20m" }),
                _ => json!({ "duration": "4h" }),
            };
            if let (Some(_), Some(parent), Some(map)) = (extends, target, more.as_object_mut()) {
                map.insert("extends".to_owned(), json!(parent.id));
            }
            failed(rig.ask(who, more).await.map(drop));
        }
        (
            Step::Review {
                who,
                deny,
                narrow,
                stale,
                ..
            },
            Some(mut request),
        ) => {
            if *stale {
                request.digest = jit_core::id::Digest::ZERO;
            }
            let decision = if *deny { Decision::Deny } else { Decision::Approve };
            let set = |item: &str| BTreeSet::from([item.to_owned()]);
            let narrowing = match narrow {
                0 => Narrowing {
                    duration: Some("5m".parse().unwrap()),
                    ..Narrowing::default()
                },
                1 => Narrowing {
                    methods: set("GET"),
                    ..Narrowing::default()
                },
                2 => Narrowing {
                    paths: set("/admin/users"),
                    max_requests: Some(2),
                    ..Narrowing::default()
                },
                _ => Narrowing::default(),
            };
            failed(rig.narrow(who, &request, decision, narrowing).await.map(drop));
        }
        (Step::Withdraw { .. }, Some(r)) => failed(rig.broker.withdraw(&actor, r.id, "").await.map(drop)),
        (Step::Release { .. }, Some(r)) => failed(rig.broker.release(&actor, r.id, "").await.map(drop)),
        (Step::Revoke { .. }, Some(r)) => failed(rig.broker.revoke(&actor, r.id, "").await.map(drop)),
        (Step::AfterReview { .. }, Some(r)) => {
            failed(
                rig.broker
                    .after_review(&actor, r.id, Finding::Justified, "")
                    .await
                    .map(drop),
            );
        }
        (Step::Lock { target, .. }, _) => {
            let target = match target {
                0 => Target::All,
                1 => Target::Resource("admin".parse().unwrap()),
                2 => Target::Person("alice".parse().unwrap()),
                3 => Target::Role("sre".parse().unwrap()),
                _ => Target::Principal("demo|erin".parse().unwrap()),
            };
            failed(rig.broker.lock_down(&actor, target, "property").await.map(drop));
        }
        (Step::Lift { .. }, _) => {
            if let Ok(lockdowns) = rig.broker.lockdowns(&actor).await {
                for lockdown in lockdowns {
                    failed(rig.broker.lift(&actor, lockdown.id, "").await);
                }
            }
        }
        (Step::Knock { who, path }, _) => {
            let token = who.rsplit('|').next().unwrap();
            // Beside others it may have ended between the decision and the look at it.
            if let Ok(permit) = rig.knock(token, "GET", path).await
                && alone
            {
                let request = rig.seen(permit.request_id()).await;
                assert_eq!(
                    request.state,
                    State::Active,
                    "admitted under a grant that is not active"
                );
                let grant = request.grant.unwrap();
                assert!(grant.not_before <= rig.now() && rig.now() < grant.not_after);
                assert_eq!(&grant.holder, permit.holder());
                assert!(grant.scope.paths.is_empty() || grant.scope.paths.iter().any(|p| covers(p, path)));
            }
        }
        (Step::Sweep, _) => failed(rig.broker.sweep().await.map(drop)),
        (Step::Recheck, _) => failed(rig.broker.recheck().await),
        (Step::Wait { seconds }, _) => {
            rig.clock
                .advance(std::time::Duration::from_secs(u64::from(*seconds)));
            failed(rig.broker.follow().await.map(drop));
        }
        (Step::People { variant }, _) => people(rig, |text| match variant {
            0 => text.to_owned(),
            1 => text.replacen(
                "[\"sre-lead\"]\ntoken = \"demo-bob\"",
                "[]\ntoken = \"demo-bob\"",
                1,
            ),
            _ => text.replacen("name = \"alice\"", "name = \"alice\"\ndisabled = true", 1),
        }),
        (Step::Policy { variant }, _) => failed(rig.broker.set_policy(policy(&source(*variant))).await),
        (_, None) => {}
    }
}

struct Histories;

impl StateMachineTest for Histories {
    type SystemUnderTest = House;
    type Reference = Reference;

    fn init_test((): &()) -> House {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let rig = runtime.block_on(Rig::new(On::Memory, &source(0)));
        House {
            rig,
            runtime,
            ended: BTreeMap::new(),
        }
    }

    fn apply(mut house: House, (): &(), AtOnce(steps): AtOnce) -> House {
        let rig = &house.rig;
        house.runtime.block_on(async {
            match steps.as_slice() {
                [one] => perform(rig, one, true).await,
                [a, b] => drop(tokio::join!(perform(rig, a, false), perform(rig, b, false))),
                [a, b, c] => drop(tokio::join!(
                    perform(rig, a, false),
                    perform(rig, b, false),
                    perform(rig, c, false)
                )),
                _ => unreachable!(),
            }
        });
        let ended = house
            .runtime
            .block_on(check(rig, std::mem::take(&mut house.ended)));
        house.ended = ended;
        house
    }
}

/// Everything that must hold now.
async fn check(rig: &Rig, mut ended: BTreeMap<RequestId, State>) -> BTreeMap<RequestId, State> {
    let log = rig.log().await;
    let mut requests: BTreeMap<RequestId, Request> = BTreeMap::new();
    let mut persons: BTreeMap<PersonId, PersonState> = BTreeMap::new();
    let mut lockdowns = Lockdowns::default();
    let mut limits = Limits::default();
    limits.burst = 1_000_000;
    for record in &log {
        match &record.stream {
            StreamId::Request(id) => {
                let event: Event = serde_json::from_str(&record.body).unwrap();
                let before = requests.remove(id);
                if let Some(before) = &before {
                    assert!(
                        !before.state.is_terminal() || matches!(event, Event::AfterReviewed { .. }),
                        "{id} was {} and then came {event:?}",
                        before.state
                    );
                    agreed(before, &event);
                }
                let after = fold(before, &event, record.at).unwrap();
                if PersonState::concerns(&event) {
                    let person = persons.remove(&after.requester.person).unwrap_or_default();
                    let person = person.fold(&after, &event, record.at, &limits);
                    persons.insert(after.requester.person.clone(), person);
                }
                requests.insert(*id, after);
            }
            StreamId::Lockdowns => lockdowns = lockdowns.fold(&serde_json::from_str(&record.body).unwrap()),
            _ => {}
        }
    }
    for (id, request) in &requests {
        let stored = rig.store.load(&StreamId::Request(*id)).await.unwrap().unwrap();
        assert_eq!(
            stored.state,
            serde_json::to_string(request).unwrap(),
            "folding the events is not the stored state"
        );
        assert_eq!(stored.facets.state, Some(request.state));
        if let Some(grant) = &request.grant {
            let ruling = &request.ruling;
            assert_eq!(grant.id, GrantId::from(*id));
            assert!(
                (grant.not_after - grant.not_before) <= ruling.duration.as_delta(),
                "granted more time than asked"
            );
            assert!(
                ruling.duration <= ruling.terms.duration.max,
                "asked for more time than the policy has"
            );
            let inside = |path: &String| {
                ruling.scope.paths.is_empty() || ruling.scope.paths.iter().any(|p| covers(p, path))
            };
            assert!(grant.scope.paths.iter().all(inside));
            assert!(ruling.scope.paths.is_empty() || !grant.scope.paths.is_empty());
            assert!(
                ruling.scope.methods.is_empty()
                    || (!grant.scope.methods.is_empty()
                        && grant.scope.methods.is_subset(&ruling.scope.methods))
            );
            assert!(
                ruling
                    .max_requests
                    .is_none_or(|most| grant.max_requests.is_some_and(|n| n <= most))
            );
        }
        if request.state.is_terminal() {
            let first = ended.entry(*id).or_insert(request.state);
            assert_eq!(*first, request.state, "{id} ended twice");
        } else {
            assert!(!ended.contains_key(id), "{id} revived");
        }
    }
    for (person, state) in &persons {
        let stored = rig
            .store
            .load(&StreamId::Person(person.clone()))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            stored.state,
            serde_json::to_string(state).unwrap(),
            "the person's state is not the fold of their events"
        );
    }
    let unreviewed: Vec<_> = requests
        .values()
        .filter(|r| r.break_glass.as_ref().is_some_and(|debt| debt.review.is_none()))
        .collect();
    let debtors: BTreeSet<_> = unreviewed.iter().map(|r| &r.requester.person).collect();
    assert_eq!(debtors.len(), unreviewed.len(), "one person owes two reviews");
    ended
}

/// Whoever agreed was someone else, and there were enough of them, each once.
fn agreed(before: &Request, event: &Event) {
    if let Event::Reviewed { review } = event {
        assert_ne!(
            review.person, before.requester.person,
            "reviewed their own request"
        );
        assert_eq!(
            review.digest, before.digest,
            "a review of something else was counted"
        );
    }
    let Event::Approved { by, .. } = event else { return };
    match by {
        ApprovedBy::Quorum(persons) => {
            let distinct: BTreeSet<_> = persons.iter().collect();
            assert_eq!(distinct.len(), persons.len(), "one person was counted twice");
            for (index, stage) in (0..).zip(&before.ruling.terms.stages) {
                let seats: BTreeSet<_> = before
                    .reviews
                    .iter()
                    .filter(|review| review.stage == index && review.decision == Decision::Approve)
                    .map(|review| &review.person)
                    .collect();
                assert!(
                    seats.len() >= usize::from(stage.quorum),
                    "stage {index} was short"
                );
            }
        }
        ApprovedBy::BreakGlass => assert_eq!(before.ruling.route, Route::BreakGlass),
        ApprovedBy::Automatic(_) => assert!(matches!(before.ruling.route, Route::Automatic { .. })),
        other => panic!("{other:?}"),
    }
}

prop_state_machine! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(debug_assertions) { 48 } else { 1000 },
        max_shrink_iters: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn random_histories_keep_every_invariant(sequential 20..60 => Histories);
}
