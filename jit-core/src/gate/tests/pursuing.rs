//! Asking in the same step, and waiting for the answer.

use std::time::Duration;

use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::*;
use crate::approval::ask::{Ask, Assurance, Selector};
use crate::approval::credential::{CredentialToken, GrantCredential};
use crate::approval::refused::Refused;
use crate::approval::state::State;
use crate::gate::fixtures::in_state;
use crate::gate::hold::HoldSettings;
use crate::id::RequestId;
use crate::policy::terms::MfaTerms;
use crate::span::Span;

const WHY: (&str, &str) = ("jit-reason", "look into it");
const WAIT: (&str, &str) = ("prefer", "wait=30");

/// Answers every asking with request 1, after publishing what it became.
#[derive(Debug, Default)]
struct Desk {
    asked: Mutex<Vec<(Principal, Ask)>>,
    enforcer: Mutex<Option<Arc<Enforcer>>>,
    becomes: Mutex<Option<State>>,
    refuses: Mutex<Option<NotAsked>>,
}

#[async_trait]
impl Asking for Desk {
    async fn ask(&self, subject: &Subject, ask: Ask) -> Result<RequestId, NotAsked> {
        self.asked.lock().unwrap().push((subject.principal.clone(), ask));
        if let (Some(enforcer), Some(state)) =
            (&*self.enforcer.lock().unwrap(), *self.becomes.lock().unwrap())
        {
            enforcer.publish(1, &in_state(1, state));
        }
        match self.refuses.lock().unwrap().take() {
            Some(not_asked) => Err(not_asked),
            None => Ok(RequestId::from_u128(1)),
        }
    }
}

impl Desk {
    fn count(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

/// A gate that asks and holds, where an asking becomes a request in `becomes`.
fn desk_with(becomes: Option<State>, settings: HoldSettings) -> (World, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let world = world_with(|builder| builder.with_asking(desk.clone()).with_hold(settings));
    *desk.enforcer.lock().unwrap() = Some(Arc::clone(world.gate.enforcer()));
    *desk.becomes.lock().unwrap() = becomes;
    (world, desk)
}

fn desk(becomes: Option<State>) -> (World, Arc<Desk>) {
    desk_with(becomes, HoldSettings::default())
}

type Parked = JoinHandle<String>;

impl World {
    /// Sends a request and lets it come as far as it does.
    async fn send(&self, fields: &[(&str, &str)]) -> Parked {
        let (gate, head) = (self.gate.clone(), head("app.example", "/admin", fields));
        let task = tokio::spawn(async move {
            let verdict = match gate.decide(&head, None) {
                Verdict::Lookup(lookup) => gate.resolve(&head, None, lookup).await,
                verdict => verdict,
            };
            told(&verdict)
        });
        settle().await;
        task
    }

    fn publish_next(&self, version: u64, request: &Request) {
        self.gate.enforcer().publish(version, request);
    }
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// What a request came to, without any time passing.
async fn now(task: Parked) -> String {
    settle().await;
    assert!(task.is_finished(), "still parked");
    task.await.unwrap()
}

#[tokio::test]
async fn whoever_says_why_asks_once_and_learns_what_waits() {
    let (world, desk) = desk(Some(State::Pending));
    let fields = [ANA_TOKEN, WHY, ("jit-duration", "30m"), ("jit-ticket", "INC-42")];
    let verdict = world.decide(&head("app.example", "/admin/x", &fields)).await;
    let Verdict::Refuse(Refusal::ApprovalPending {
        resource, request, ..
    }) = verdict
    else {
        panic!("{verdict:?}");
    };
    assert_eq!((resource.as_str(), request), ("admin", RequestId::from_u128(1)));
    let (principal, ask) = desk.asked.lock().unwrap()[0].clone();
    assert_eq!(principal.to_string(), ANA);
    assert_eq!(ask.resource.as_str(), "admin");
    assert_eq!(ask.reason, "look into it");
    assert_eq!(ask.duration, Some(Span::minutes(30)));
    assert_eq!(ask.ticket.as_deref(), Some("INC-42"));
    assert!(!ask.break_glass && ask.selector == Selector::Principal);
    // It waits: nothing more is asked for.
    assert_eq!(
        world.ask("app.example", "/admin", &fields).await,
        "approval-pending"
    );
    assert_eq!(desk.count(), 1);
}

#[tokio::test]
async fn nobody_else_asks() {
    let (world, desk) = desk(Some(State::Pending));
    let site = |value| ("sec-fetch-site", value);
    let mode = |value| ("sec-fetch-mode", value);
    for (path, fields, expected) in [
        ("/admin", &[ANA_TOKEN][..], "approval-required"),
        ("/admin", &[ANA_TOKEN, WAIT], "approval-required"),
        (
            "/admin",
            &[ANA_TOKEN, ("jit-duration", "30m")],
            "approval-required",
        ),
        ("/admin", &[WHY], "unauthenticated"),
        ("/admin", &[BAD_TOKEN, WHY], "unauthenticated"),
        (
            "/admin",
            &[("authorization", "Bearer stranger"), WHY],
            "not-eligible",
        ),
        ("/Admin", &[ANA_TOKEN, WHY], "not-open"),
        ("/elsewhere", &[ANA_TOKEN, WHY], "not-open"),
        ("/public", &[ANA_TOKEN, WHY], "open local|ana strip"),
        (
            "/admin",
            &[ANA_TOKEN, WHY, ("upgrade", "websocket")],
            "upgrade-refused",
        ),
        // Navigations and other sites.
        (
            "/admin",
            &[ANA_TOKEN, WHY, ("accept", "text/html,*/*")],
            "approval-required",
        ),
        (
            "/admin",
            &[ANA_TOKEN, WHY, site("same-origin"), mode("navigate")],
            "approval-required",
        ),
        (
            "/admin",
            &[ANA_TOKEN, WHY, site("cross-site"), mode("cors")],
            "approval-required",
        ),
        (
            "/admin",
            &[ANA_TOKEN, WHY, site("same-site"), mode("cors")],
            "approval-required",
        ),
        (
            "/admin",
            &[ANA_TOKEN, WHY, ("origin", "https://evil.example")],
            "approval-required",
        ),
        // Malformed, whoever sends it.
        ("/admin", &[ANA_TOKEN, WHY, WHY], "bad-request-headers"),
        ("/public", &[("jit-reason", "")], "bad-request-headers"),
    ] {
        assert_eq!(
            world.ask("app.example", path, fields).await,
            expected,
            "{path} {fields:?}"
        );
    }
    let same = [ANA_TOKEN, WHY, site("same-origin"), mode("cors")];
    let at_once = world.gate.clone().at_once();
    let head = head("app.example", "/admin", &same);
    assert_eq!(told(&at_once.decide(&head, None)), "approval-required");
    assert_eq!(desk.count(), 0);
    assert_eq!(
        world.ask("app.example", "/admin", &same).await,
        "approval-pending"
    );
    assert_eq!(desk.count(), 1);
}

#[tokio::test]
async fn a_gate_that_was_not_built_to_neither_asks_nor_waits() {
    let world = world();
    let all = [ANA_TOKEN, WHY, WAIT];
    assert_eq!(
        world.ask("app.example", "/admin", &all).await,
        "approval-required"
    );
    let world = world.publish(&in_state(1, State::Pending));
    assert_eq!(world.ask("app.example", "/admin", &all).await, "approval-pending");
    assert_eq!(world.gate.parked_count(), 0);
}

#[tokio::test]
async fn what_is_approved_at_once_passes_in_the_same_step() {
    let (world, desk) = desk(Some(State::Active));
    assert_eq!(
        world.ask("app.example", "/admin", &[ANA_TOKEN, WHY]).await,
        "admit local|ana"
    );
    assert_eq!(
        world.ask("app.example", "/admin", &[ANA_TOKEN, WHY]).await,
        "admit local|ana"
    );
    assert_eq!(desk.count(), 1, "asked with a grant in hand");
}

#[tokio::test]
async fn every_no_to_an_asking_is_a_refusal() {
    let limit = |request| Refused::LimitReached {
        limit: "you are asking too fast".to_owned(),
        retry_at: Some(at(7)),
        request,
    };
    let terms = MfaTerms::default();
    let locked = Refused::LockedDown {
        reason: String::new(),
    };
    let unavailable = NotAsked::Unavailable {
        source: "gone".into(),
    };
    for (no, becomes, status, kind) in [
        (Refused::NotEligible.into(), None, 403, "not-eligible"),
        (limit(None).into(), None, 429, "limit-reached"),
        (
            limit(Some(RequestId::from_u128(9))).into(),
            None,
            429,
            "limit-reached",
        ),
        // Another request asked in the same moment.
        (
            limit(Some(RequestId::from_u128(1))).into(),
            Some(State::Pending),
            403,
            "approval-pending",
        ),
        (locked.into(), None, 403, "locked-down"),
        (Refused::StepUp { terms }.into(), None, 401, "step-up-required"),
        (
            Refused::invalid("reason", "has 3 characters").into(),
            None,
            400,
            "invalid",
        ),
        (unavailable, None, 503, "audit-unavailable"),
    ] {
        let (world, desk) = desk(becomes);
        *desk.refuses.lock().unwrap() = Some(no);
        let verdict = world
            .decide(&head("app.example", "/admin", &[ANA_TOKEN, WHY]))
            .await;
        let Verdict::Refuse(refusal) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!((refusal.status().as_u16(), refusal.kind()), (status, kind));
        match kind {
            "limit-reached" => assert_eq!(refusal.retry_after(at(1)), Some(7)),
            "invalid" => assert_eq!(
                refusal.detail(),
                "Nothing was asked for: `reason` has 3 characters."
            ),
            _ => {}
        }
    }
    // Asked, and not heard of here.
    let (world, _desk) = desk(None);
    let fields = [ANA_TOKEN, WHY, WAIT];
    assert_eq!(
        world.ask("app.example", "/admin", &fields).await,
        "approval-pending"
    );
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_passes_when_it_is_approved() {
    let (world, desk) = desk(Some(State::Pending));
    let task = world.send(&[ANA_TOKEN, WHY, WAIT]).await;
    assert!(!task.is_finished());
    assert_eq!((desk.count(), world.gate.parked_count()), (1, 1));
    world.publish_next(2, &active(1));
    assert_eq!(now(task).await, "admit local|ana");
    assert_eq!((desk.count(), world.gate.parked_count()), (1, 0));
    assert_eq!(world.gate.enforcer().watched_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_draws_one_request_of_a_budget() {
    let chest = Arc::new(Chest {
        left: Mutex::new(2),
        chunk: 2,
    });
    let world = world_with(|builder| builder.with_hold(HoldSettings::default()).with_reserve(chest))
        .publish(&in_state(1, State::Pending));
    let task = world.send(&[ANA_TOKEN, WAIT]).await;
    world.publish_next(2, &active_with(1, |grant| grant.max_requests = Some(2)));
    assert_eq!(now(task).await, "admit local|ana");
    assert_eq!(world.as_ana().await, "admit local|ana");
    assert_eq!(world.as_ana().await, "budget-spent");
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_is_answered_when_nothing_waits_any_more() {
    let everything = Lockdown {
        id: LockdownId::from_u128(1),
        target: lockdown::Target::All,
        reason: String::new(),
        principal: "local|boss".parse().unwrap(),
        person: "boss".parse().unwrap(),
        at: at(1),
    };
    for (state, expected) in [
        (State::Denied, "approval-required"),
        (State::Withdrawn, "approval-required"),
        (State::TimedOut, "approval-required"),
        (State::Pending, "locked-down"),
    ] {
        let (world, desk) = desk(Some(State::Pending));
        let task = world.send(&[ANA_TOKEN, WHY, WAIT]).await;
        assert_eq!(world.gate.parked_count(), 1);
        match state {
            State::Pending => world.gate.enforcer().lock(&everything),
            state => {
                let mut ended = in_state(1, state);
                ended.grant = None;
                world.publish_next(2, &ended);
            }
        }
        assert_eq!(now(task).await, expected, "{state}");
        assert_eq!(desk.count(), 1, "{state}: asked again");
        assert_eq!(
            (world.gate.parked_count(), world.gate.enforcer().watched_count()),
            (0, 0)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_concern_it_does_not_end_a_wait() {
    let (world, _desk) = desk(Some(State::Pending));
    let mut task = world.send(&[ANA_TOKEN, WHY, WAIT]).await;
    // The next stage is open, and a request for something else has come and gone.
    world.publish_next(2, &in_state(1, State::Pending));
    let mut other = in_state(2, State::Pending);
    other.ruling.resource.name = "other".parse().unwrap();
    world.publish_next(1, &other);
    other.state = State::Denied;
    world.publish_next(2, &other);
    world.gate.enforcer().set_lockdowns(1, &[]);
    settle().await;
    assert!(!task.is_finished());
    // Time was not given anew.
    assert!(timeout(Duration::from_millis(29_900), &mut task).await.is_err());
    let answered = timeout(Duration::from_millis(200), &mut task).await;
    assert_eq!(answered.expect("still parked").unwrap(), "approval-pending");
    assert_eq!(
        (world.gate.parked_count(), world.gate.enforcer().watched_count()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_longer_than_a_minute() {
    let (world, _desk) = desk(Some(State::Pending));
    let mut task = world.send(&[ANA_TOKEN, WHY, ("prefer", "wait=86400")]).await;
    assert!(timeout(Duration::from_millis(59_900), &mut task).await.is_err());
    let answered = timeout(Duration::from_millis(200), task).await;
    assert_eq!(answered.expect("still parked").unwrap(), "approval-pending");
}

#[tokio::test(start_paused = true)]
async fn one_person_has_four_places_and_all_together_have_so_many() {
    let (world, _desk) = desk_with(Some(State::Pending), HoldSettings::default().with_total(5));
    let ben = "local|ben".parse::<Principal>().unwrap();
    let everyone = known().into_iter().chain([(Digest::plain(b"ben"), ben.clone())]);
    world.tokens.replace(everyone).unwrap();
    world
        .people
        .persons
        .lock()
        .unwrap()
        .push((ben.clone(), person("ben")));
    let mut his = in_state(2, State::Pending);
    his.requester.principal = ben;
    his.requester.person = "ben".parse().unwrap();
    world.publish_next(1, &his);
    let ben_token = ("authorization", "Bearer ben");

    let mut parked = vec![world.send(&[ANA_TOKEN, WHY, WAIT]).await];
    for _ in 1..4 {
        parked.push(world.send(&[ANA_TOKEN, WAIT]).await);
    }
    assert_eq!(world.gate.parked_count(), 4);
    let fifth = world.send(&[ANA_TOKEN, WAIT]).await;
    assert_eq!(now(fifth).await, "approval-pending");
    parked.push(world.send(&[ben_token, WAIT]).await);
    assert_eq!(world.gate.parked_count(), 5);
    let sixth = world.send(&[ben_token, WAIT]).await;
    assert_eq!(
        now(sixth).await,
        "approval-pending",
        "one more than there are places"
    );

    // One that goes away makes room at once.
    let gone = parked.swap_remove(0);
    gone.abort();
    settle().await;
    assert_eq!(world.gate.parked_count(), 4);
    parked.push(world.send(&[ANA_TOKEN, WAIT]).await);
    assert_eq!(world.gate.parked_count(), 5);
    for task in parked {
        task.abort();
    }
    settle().await;
    assert_eq!(
        (world.gate.parked_count(), world.gate.enforcer().watched_count()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_waited_is_proven_anew() {
    // Revoked, unknown to the Directory, and unverifiable: what was cached helps none of them.
    for (change, expected) in [
        (
            (|world| world.tokens.replace([]).unwrap()) as fn(&World),
            "unauthenticated",
        ),
        (
            |world| world.people.persons.lock().unwrap().clear(),
            "not-eligible",
        ),
        (
            |world| world.people.down.store(true, Ordering::SeqCst),
            "authentication-unavailable",
        ),
    ] {
        let (world, _desk) = desk(Some(State::Pending));
        let task = world.send(&[ANA_TOKEN, WHY, WAIT]).await;
        assert_eq!(world.gate.parked_count(), 1);
        change(&world);
        world.publish_next(2, &active(1));
        assert_eq!(now(task).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_window_that_opens_by_the_clock_is_not_missed() {
    let world = world_with(|builder| builder.with_hold(HoldSettings::default()));
    let world = world.publish(&active_with(1, |grant| grant.not_before = at(6)));
    let mut task = world.send(&[ANA_TOKEN, WAIT]).await;
    assert!(timeout(Duration::from_millis(4900), &mut task).await.is_err());
    world.clock.set(at(6));
    let answered = timeout(Duration::from_millis(200), task).await;
    assert_eq!(answered.expect("still parked").unwrap(), "admit local|ana");
}

#[tokio::test]
async fn a_credential_of_a_grant_speaks_for_nobody() {
    let (world, desk) = desk(Some(State::Pending));
    let token = CredentialToken::random().unwrap();
    let mut request = active_with(1, |grant| {
        grant.selector = Selector::Credential;
        grant.scope.paths = ["/admin/a".to_owned()].into();
    });
    request.credential = Some(GrantCredential {
        digest: token.digest(),
        assurance: Assurance::default(),
        issued_at: at(0),
        number: 1,
    });
    world.publish_next(1, &request);
    let fields = [("jit-credential", token.reveal()), WHY, WAIT];
    assert_eq!(
        world.ask("app.example", "/admin/b", &fields).await,
        "approval-required"
    );
    assert_eq!(desk.count(), 0);
}
