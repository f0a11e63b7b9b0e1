//! Every state against every command: what happens, listed.

use std::collections::{BTreeMap, BTreeSet};

use jit_core::approval::ask::{Actor, Ask, Assurance, Ruling};
use jit_core::approval::digest::digest;
use jit_core::approval::event::{EndCause, Event, Finding};
use jit_core::approval::refused::Refused;
use jit_core::approval::request::{BreakGlassDebt, Request};
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::approval::state::State;
use jit_core::approval::{Command, Panel, fold, open};
use jit_core::broker::directory::Person;
use jit_core::id::{PersonId, Principal, RequestId, Timestamp};

use crate::rig::{POLICY, policy, start};

/// `x`: refused as decided already; `=`: nothing to do; otherwise the events.
const TABLE: &str = "
              pending                   scheduled  active     denied withdrawn timed_out expired idle_expired unused exhausted released revoked
approve       reviewed+opened+approved+activated  x          x          x      x         x         x       x            x      x         x        x
deny          reviewed+denied           x          x          x      x         x         x       x            x      x         x        x
withdraw      withdrawn                 x          x          x      x         x         x       x            x      x         x        x
release       x                         released   released   x      x         x         x       x            x      x         x        x
revoke        x                         revoked    revoked    x      x         x         x       x            x      x         x        x
activate      x                         activated  =          x      x         x         x       x            x      x         x        x
lapse         =                         =          =          =      =         =         =       =            =      =         =        =
lapse-late    timed_out                 expired    expired    =      =         =         =       =            =      =         =        =
approve-late  x                         x          x          x      x         x         x       x            x      x         x        x
kill          denied                    revoked    revoked    x      x         x         x       x            x      x         x        x
restate       restated                  x          x          x      x         x         x       x            x      x         x        x
restate-same  =                         x          x          x      x         x         x       x            x      x         x        x
narrow        x                         narrowed   narrowed   x      x         x         x       x            x      x         x        x
extend        x                         extended   extended   x      x         x         x       x            x      x         x        x
issue         x                         issued     issued     x      x         x         x       x            x      x         x        x
exhaust       x                         x          exhausted  x      x         x         x       x            x      x         x        x
after         x                         x          x          x      x         x         x       x            x      x         x        x
after-glass   after                     after      after      after  after     after     after   after        after  after     after    after
";

fn person(name: &str, roles: &[&str]) -> Person {
    Person {
        id: PersonId::new(name).unwrap(),
        name: name.to_owned(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        disabled: false,
        as_of: start(),
    }
}

fn actor(name: &str, roles: &[&str]) -> Actor {
    Actor {
        principal: Principal::new("demo", name).unwrap(),
        person: person(name, roles),
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
    }
}

fn folded(request: Request, events: &[Event], at: Timestamp) -> Request {
    events
        .iter()
        .fold(request, |request, event| fold(Some(request), event, at).unwrap())
}

/// Scheduled for one minute after `start()`.
fn ruling(alice: &Actor) -> Ruling {
    let opens = start() + chrono::TimeDelta::minutes(1);
    let ask: Ask = serde_json::from_value(
        serde_json::json!({ "resource": "admin", "reason": "r", "start": opens, "selector": "credential" }),
    )
    .unwrap();
    policy(POLICY).rule(&ask, alice, start()).unwrap()
}

/// A request in `state`, reached by events that the machine itself makes where it can.
fn request_in(state: State, glass: bool) -> Request {
    let (alice, bob) = (actor("alice", &["sre"]), actor("bob", &["sre-lead"]));
    let listed = BTreeSet::from(["bob", "carol", "dave"].map(|name| PersonId::new(name).unwrap()));
    let id = RequestId::from_u128(7);
    let mut request = Request::new(id, &alice, ruling(&alice), None, vec![Some(listed)], start()).unwrap();
    if glass {
        request.break_glass = Some(BreakGlassDebt {
            review_by: start(),
            review: None,
        });
    }
    let events = open(request.clone(), None, start()).unwrap();
    assert_eq!(events.len(), 1);
    if state == State::Pending {
        return request;
    }
    let ended = |state| Event::Ended {
        state,
        cause: EndCause::Limit,
        reason: String::new(),
        at: start(),
    };
    if matches!(state, State::Denied | State::Withdrawn | State::TimedOut) {
        return folded(request, &[ended(state)], start());
    }
    let panel = panel();
    let opinion = Opinion {
        decision: Decision::Approve,
        digest: request.digest,
        comment: String::new(),
        narrowing: Narrowing::default(),
    };
    let command = Command::Review {
        by: &bob,
        opinion: &opinion,
        evidence: None,
        panel: &panel,
    };
    // The machine asks whether glass was broken under these terms; these have none.
    request.break_glass = None;
    let approved = request.decide(&command, None, start()).unwrap();
    request = folded(request, &approved, start());
    if glass {
        request.break_glass = Some(BreakGlassDebt {
            review_by: start(),
            review: None,
        });
    }
    match state {
        State::Scheduled => request,
        State::Active => folded(request, &[Event::Activated], start()),
        _ => folded(request, &[Event::Activated, ended(state)], start()),
    }
}

fn panel() -> Panel {
    let reviewers =
        ["bob", "carol", "dave"].map(|name| (PersonId::new(name).unwrap(), person(name, &["sre-lead"])));
    Panel {
        requester: Some(person("alice", &["sre"])),
        reviewers: reviewers.into(),
    }
}

fn outcome(request: &Request, command: &str) -> String {
    let (alice, carol, dave) = (
        actor("alice", &["sre"]),
        actor("carol", &["sre-lead"]),
        actor("dave", &["sre-lead"]),
    );
    let panel = panel();
    let opinion = |decision| Opinion {
        decision,
        digest: request.digest,
        comment: String::new(),
        narrowing: Narrowing::default(),
    };
    let (yes, no) = (opinion(Decision::Approve), opinion(Decision::Deny));
    // Four seconds before the window opens: a scheduled grant may be activated.
    let now = start() + chrono::TimeDelta::seconds(56);
    let late = start() + chrono::TimeDelta::hours(5);
    let mut other = request.ruling.clone();
    other.reason.push('!');
    let same = request.ruling.clone();
    let fresh = digest(request.id, &request.requester, &other, None).unwrap();
    let narrower = jit_core::policy::terms::Scope {
        methods: BTreeSet::from(["GET".to_owned()]),
        ..Default::default()
    };
    let not_after = start() + chrono::TimeDelta::minutes(5);
    let (command, now) = match command {
        "approve" => (
            Command::Review {
                by: &dave,
                opinion: &yes,
                evidence: None,
                panel: &panel,
            },
            now,
        ),
        "deny" => (
            Command::Review {
                by: &dave,
                opinion: &no,
                evidence: None,
                panel: &panel,
            },
            now,
        ),
        "approve-late" => (
            Command::Review {
                by: &dave,
                opinion: &yes,
                evidence: None,
                panel: &panel,
            },
            late,
        ),
        "withdraw" => (
            Command::Withdraw {
                by: &alice,
                reason: "",
            },
            now,
        ),
        "release" => (
            Command::Release {
                by: &alice,
                reason: "",
            },
            now,
        ),
        "revoke" => (
            Command::Revoke {
                by: &carol,
                reason: "",
            },
            now,
        ),
        "activate" => (Command::Activate { panel: &panel }, now),
        "lapse" => (Command::Lapse, now),
        "lapse-late" => (Command::Lapse, late),
        "kill" => (
            Command::Kill {
                cause: EndCause::Policy,
                reason: "",
            },
            now,
        ),
        "restate" => (
            Command::Restate {
                ruling: &other,
                digest: fresh,
                approvers: &[],
            },
            now,
        ),
        "restate-same" => (
            Command::Restate {
                ruling: &same,
                digest: request.digest,
                approvers: &[],
            },
            now,
        ),
        "narrow" => (
            Command::Narrow {
                not_after,
                scope: &narrower,
                reason: "",
            },
            now,
        ),
        "extend" => (
            Command::Extend {
                by: RequestId::from_u128(8),
            },
            now,
        ),
        "issue" => (
            Command::Issue {
                by: &alice,
                credential: request.digest,
            },
            now,
        ),
        "exhaust" => (Command::Exhaust, now),
        "after" | "after-glass" => (
            Command::AfterReview {
                by: &carol,
                finding: Finding::Justified,
                comment: "",
            },
            now,
        ),
        other => panic!("no command {other}"),
    };
    match request.decide(&command, None, now) {
        Err(Refused::AlreadyDecided { .. }) => "x".to_owned(),
        Err(other) => format!("{other:?}"),
        Ok(events) if events.is_empty() => "=".to_owned(),
        Ok(events) => {
            let after = folded(request.clone(), &events, now);
            assert!(
                !request.state.is_terminal() || after.state == request.state,
                "{} left {}",
                after.state,
                request.state
            );
            events.iter().map(word).collect::<Vec<_>>().join("+")
        }
    }
}

fn word(event: &Event) -> &'static str {
    match event {
        Event::Reviewed { .. } => "reviewed",
        Event::StageOpened { .. } => "opened",
        Event::Approved { .. } => "approved",
        Event::Activated => "activated",
        Event::Restated { .. } => "restated",
        Event::Narrowed { .. } => "narrowed",
        Event::Extended { .. } => "extended",
        Event::CredentialIssued { .. } => "issued",
        Event::AfterReviewed { .. } => "after",
        Event::Ended { state, .. } => state.as_str(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_state_against_every_command() {
    let mut lines = TABLE.trim_matches('\n').lines();
    let states: Vec<State> = lines
        .next()
        .unwrap()
        .split_whitespace()
        .map(|word| word.parse().unwrap())
        .collect();
    assert_eq!(states, State::ALL, "a state is missing from the table");
    let (mut cells, mut wrong) = (0, Vec::new());
    for line in lines {
        let mut words = line.split_whitespace();
        let command = words.next().unwrap();
        for (state, want) in states.iter().zip(words.by_ref()) {
            let got = outcome(&request_in(*state, command == "after-glass"), command);
            if got != want {
                wrong.push(format!("{command} on {state}: {got}, not {want}"));
            }
            cells += 1;
        }
        assert!(words.next().is_none());
    }
    println!("table: {cells} cells of state and command");
    assert_eq!(cells, 18 * 12);
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What no decision can have made does not fold.
#[test]
fn events_out_of_place_do_not_fold() {
    let ended = Event::Ended {
        state: State::Denied,
        cause: EndCause::Limit,
        reason: String::new(),
        at: start(),
    };
    assert!(fold(None, &Event::Activated, start()).is_err());
    for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
        for event in [&ended, &Event::Activated, &Event::StageOpened { stage: 0 }] {
            assert!(
                fold(Some(request_in(state, false)), event, start()).is_err(),
                "{event:?} on {state}"
            );
        }
    }
}
