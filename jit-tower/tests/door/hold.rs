//! Requests that ask in the same step, and wait for the answer with their body unread.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use jit_core::approval::ask::Ask;
use jit_core::approval::request::Request as Asked;
use jit_core::gate::enforcer::Enforcer;
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::{Asking, NotAsked};
use jit_core::id::RequestId;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use super::*;
use crate::world::request;

const WHY: (&str, &str) = ("jit-reason", "look into it");
const WAIT: (&str, &str) = ("prefer", "wait=30, respond-async");

/// Ana's request 7 in another state.
fn in_state(state: State) -> Asked {
    let mut asked = request();
    asked.state = state;
    if !matches!(state, State::Active) {
        asked.grant = None;
    }
    asked
}

/// Makes every asking the pending request 7.
#[derive(Debug, Default)]
struct Desk {
    enforcer: Mutex<Option<Arc<Enforcer>>>,
    asked: AtomicUsize,
}

#[async_trait]
impl Asking for Desk {
    async fn ask(&self, _: &Subject, _: Ask) -> Result<RequestId, NotAsked> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let asked = in_state(State::Pending);
        if let Some(enforcer) = &*self.enforcer.lock().unwrap() {
            enforcer.publish(1, &asked);
        }
        Ok(asked.id)
    }
}

fn house() -> (World, Arc<Desk>) {
    let desk = Arc::new(Desk::default());
    let world = World::built(|gate| {
        gate.with_asking(desk.clone())
            .with_hold(HoldSettings::default().with_total(4))
    });
    *desk.enforcer.lock().unwrap() = Some(Arc::clone(world.gate.enforcer()));
    (world, desk)
}

/// A body that tells how often it was asked for a frame.
#[derive(Debug, Default)]
struct Frames {
    left: VecDeque<&'static str>,
    polls: Arc<AtomicUsize>,
}

impl http_body::Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // Every second time it has nothing yet, as a client has that sends slowly.
        if self.polls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let next = self.left.pop_front();
        Poll::Ready(next.map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))))
    }
}

/// What came through to the inner service: the header and the body, of each request.
type Through = Arc<Mutex<Vec<(String, String)>>>;

/// Sends a request of three frames through the layer, as far as it comes. `polls` counts how often its body is asked for one.
async fn send(
    world: &World,
    fields: Fields<'_>,
    through: &Through,
    polls: &Arc<AtomicUsize>,
) -> JoinHandle<Answer> {
    let through = Arc::clone(through);
    let inner = service_fn(move |request: Request<RequestBody<Frames>>| {
        let through = Arc::clone(&through);
        async move {
            let (head, body) = request.into_parts();
            assert!(head.extensions.get::<Permit>().is_some());
            let body = body.collect().await.unwrap().to_bytes();
            let text = String::from_utf8(body.to_vec()).unwrap();
            through.lock().unwrap().push((described(&head), text));
            Ok::<_, Infallible>(Response::new(Body::from("done")))
        }
    });
    let body = Frames {
        left: ["one ", "two ", "three"].into(),
        polls: Arc::clone(polls),
    };
    let request = http_request::<Frames>("POST", "/admin", fields).map(|_| body);
    let service = JitLayer::new(world.gate.clone()).layer(inner);
    let task = tokio::spawn(async move {
        let (head, body) = service.oneshot(request).await.unwrap().into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(text.to_vec()).unwrap();
        Answer { head, text }
    });
    settle().await;
    task
}

async fn settle() {
    for _ in 0..50 {
        yield_now().await;
    }
}

/// The answer to a request that waits no longer, without any time passing.
async fn answer(task: JoinHandle<Answer>) -> Answer {
    settle().await;
    assert!(task.is_finished(), "still parked");
    task.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_is_forwarded_once_and_whole() {
    let (world, desk) = house();
    let (through, polls) = (Through::default(), Arc::default());
    let fields = [ANA, WHY, ("jit-duration", "1m"), ("jit-ticket", "INC-1"), WAIT];
    let task = send(&world, &fields, &through, &polls).await;
    assert!(!task.is_finished());
    assert_eq!(
        (world.gate.parked_count(), desk.asked.load(Ordering::SeqCst)),
        (1, 1)
    );
    assert_eq!(
        polls.load(Ordering::SeqCst),
        0,
        "its body was read while it waited"
    );
    world.gate.enforcer().publish(2, &in_state(State::Active));
    let answer = answer(task).await;
    assert_eq!(
        (answer.head.status, answer.text.as_str()),
        (StatusCode::OK, "done")
    );
    let header = r#"{"host": "app.example", "prefer": "wait=30, respond-async"}"#;
    assert_eq!(
        *through.lock().unwrap(),
        [(header.to_owned(), "one two three".to_owned())]
    );
    assert_eq!(
        (world.gate.parked_count(), desk.asked.load(Ordering::SeqCst)),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn a_parked_request_is_answered_when_it_can_not_pass_any_more() {
    for (change, status, kind) in [
        (
            (|world| world.gate.enforcer().publish(2, &in_state(State::Denied))) as fn(&World),
            403,
            "approval-required",
        ),
        (
            |world| {
                world.tokens.replace([]).unwrap();
                world.gate.enforcer().publish(2, &in_state(State::Active));
            },
            401,
            "unauthenticated",
        ),
    ] {
        let (world, desk) = house();
        let (through, polls) = (Through::default(), Arc::default());
        let task = send(&world, &[ANA, WHY, WAIT], &through, &polls).await;
        assert_eq!(world.gate.parked_count(), 1);
        change(&world);
        let answer = answer(task).await;
        assert_eq!(answer.head.status, status);
        assert_eq!(
            answer.head.extensions.get::<Refusal>().map(Refusal::kind),
            Some(kind)
        );
        assert_eq!(
            through.lock().unwrap().len() + polls.load(Ordering::SeqCst),
            0,
            "{kind}"
        );
        assert_eq!(
            (world.gate.parked_count(), desk.asked.load(Ordering::SeqCst)),
            (0, 1)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_over_is_told_what_waits_and_when_to_come_back() {
    let (world, _desk) = house();
    let (through, polls) = (Through::default(), Arc::default());
    let mut task = send(&world, &[ANA, WHY, WAIT], &through, &polls).await;
    assert!(timeout(Duration::from_millis(29_900), &mut task).await.is_err());
    let answered = timeout(Duration::from_millis(200), task).await;
    let answer = answered.expect("still parked").unwrap();
    assert_eq!(answer.head.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.header("retry-after"), Some("10"));
    let problem: serde_json::Value = serde_json::from_str(&answer.text).unwrap();
    assert_eq!(problem["type"], "/_jit/problems/approval-pending");
    assert_eq!(problem["request_id"], "req_00000000000000000000000000000007");
    assert_eq!(problem["request_url"], "/_jit/v1/requests");
    assert_eq!(polls.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_frees_its_place_at_once() {
    let (world, _desk) = house();
    let (through, polls) = (Through::default(), Arc::default());
    let mut parked = Vec::new();
    for _ in 0..4 {
        parked.push(send(&world, &[ANA, WHY, WAIT], &through, &polls).await);
    }
    assert_eq!(world.gate.parked_count(), 4);
    let fifth = send(&world, &[ANA, WHY, WAIT], &through, &polls).await;
    let fifth = answer(fifth).await;
    assert_eq!(fifth.head.status, StatusCode::FORBIDDEN);
    assert_eq!(fifth.header("retry-after"), Some("10"));
    parked.swap_remove(0).abort();
    settle().await;
    assert_eq!(world.gate.parked_count(), 3);
    parked.push(send(&world, &[ANA, WHY, WAIT], &through, &polls).await);
    assert_eq!(world.gate.parked_count(), 4);
    world.gate.enforcer().publish(2, &in_state(State::Active));
    for task in parked {
        assert_eq!(answer(task).await.head.status, StatusCode::OK);
    }
    assert_eq!(
        through.lock().unwrap().len(),
        4,
        "what went away was not forwarded"
    );
}

#[tokio::test]
async fn no_navigation_and_no_other_site_asks_or_waits() {
    let (world, desk) = house();
    let (through, polls) = (Through::default(), Arc::default());
    let (site, mode) = ("sec-fetch-site", "sec-fetch-mode");
    for more in [
        &[(site, "none"), (mode, "navigate"), ("sec-fetch-user", "?1")][..],
        &[(site, "same-origin"), (mode, "navigate")],
        &[(site, "cross-site"), (mode, "cors")],
        &[(site, "same-site"), (mode, "no-cors")],
        &[("accept", "text/html,application/xhtml+xml,*/*;q=0.8")],
        &[("origin", "https://evil.example")],
    ] {
        let fields = [&[ANA, WHY, WAIT], more].concat();
        let answer = answer(send(&world, &fields, &through, &polls).await).await;
        let kind = answer.head.extensions.get::<Refusal>().map(Refusal::kind);
        assert_eq!(kind, Some("approval-required"), "{more:?}");
        // Nor does one wait for what was asked otherwise.
        let (other, _) = house();
        other.gate.enforcer().publish(1, &in_state(State::Pending));
        let answer = super::hold::answer(send(&other, &fields, &through, &polls).await).await;
        let kind = answer.head.extensions.get::<Refusal>().map(Refusal::kind);
        assert_eq!(kind, Some("approval-pending"), "{more:?}");
    }
    assert_eq!(desk.asked.load(Ordering::SeqCst), 0);
    assert!(through.lock().unwrap().is_empty());
}
