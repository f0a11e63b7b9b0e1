//! What was done under a grant: recorded by the gate, written down by the broker, read by those who may see the request.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use http::request::Parts;
use http::{Request as HttpRequest, StatusCode};
use jit_core::approval::refused::Refused;
use jit_core::broker::notify::{Message, Notifier, NotifyError};
use jit_core::broker::store::{Store as _, StreamId};
use jit_core::broker::{Broker, Ended, Interaction, InteractionPage, verify_log};
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::{Direction, Flight};
use jit_core::gate::interactions::Interactions;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::{Admission, Door, Verdict};
use jit_core::id::{GrantId, RequestId};
use serde_json::json;

use crate::rig::{On, POLICY, Rig, gate_builder, on_both, policy, refused};

on_both! {
    what_was_done_is_read_under_its_grant
    pages_go_through_everything_once_and_in_order
    what_cannot_be_written_is_kept_and_written_once
    what_is_lost_is_counted_in_the_log
    a_request_without_room_is_refused_where_the_policy_says_so
    a_request_that_goes_on_under_another_grant_stands_under_both
    a_cut_is_recorded
    two_processes_write_under_one_grant
    followers_and_notifiers_pass_over_what_was_done
}

const REFUSING: &str = "[interactions]\non_full = \"refuse\"\n";

struct Recording {
    rig: Rig,
    log: Arc<Interactions>,
}

impl Recording {
    async fn new(on: On, places: usize) -> Self {
        Self::ruled(Rig::new(on, POLICY).await, POLICY, places).await
    }

    async fn ruled(rig: Rig, source: &str, places: usize) -> Self {
        let log = Arc::new(Interactions::with_places(places));
        let broker = Broker::builder(rig.store.clone(), rig.people.clone(), policy(source))
            .clock(rig.clock.clone())
            .interactions(log.clone())
            .build()
            .await
            .unwrap();
        let gate = gate_builder(&broker, &rig.people, &rig.clock, source)
            .with_interactions(log.clone())
            .build();
        let rig = Rig { broker, gate, ..rig };
        Self { rig, log }
    }

    async fn admit(&self, method: &str, path: &str) -> Result<(Admission, Parts), Refusal> {
        let request = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header("host", "app.example.com")
            .header("authorization", "Bearer demo-alice");
        let (head, ()) = request.body(()).unwrap().into_parts();
        let gate = &self.rig.gate;
        let verdict = match gate.decide_for(Door::new().counting_bytes(), &head, None) {
            Verdict::Lookup(lookup) => gate.resolve(&head, None, lookup).await,
            verdict => verdict,
        };
        match verdict {
            Verdict::Admit(admission) => Ok((admission, head)),
            Verdict::Refuse(refusal) => Err(refusal),
            other => panic!("{other:?}"),
        }
    }

    async fn fly(&self, method: &str, path: &str) -> Arc<Flight> {
        let (admission, head) = self.admit(method, path).await.unwrap();
        Flight::begin(&self.rig.gate, &admission, &head)
    }

    /// A request that is answered at once.
    async fn request(&self, path: &str) {
        let flight = self.fly("GET", path).await;
        flight.answered(StatusCode::OK);
    }

    async fn flush(&self) -> u64 {
        self.rig.broker.flush_interactions().await.unwrap()
    }

    async fn read(&self, id: RequestId) -> InteractionPage {
        let carol = self.rig.actor("carol").await;
        self.rig.broker.interactions(&carol, id, 0, 1000).await.unwrap()
    }

    async fn paths(&self, id: RequestId) -> Vec<String> {
        let page = self.read(id).await;
        assert_eq!(page.next, None);
        page.items.into_iter().map(|item| item.path).collect()
    }
}

async fn what_was_done_is_read_under_its_grant(on: On) {
    let house = Recording::new(on, 64).await;
    let rig = &house.rig;
    let request = rig.granted(json!({})).await;
    let began = rig.now();

    let upload = house.fly("POST", "/admin/%41?secret=1").await;
    upload.pass(Direction::Received, 500).unwrap();
    rig.clock.advance(Duration::from_millis(40));
    let quick = house.fly("GET", "/admin").await;
    quick.answered(StatusCode::NOT_FOUND);
    quick.pass(Direction::Sent, 9).unwrap();
    drop(quick);
    rig.clock.advance(Duration::from_millis(2));
    upload.answered(StatusCode::CREATED);
    drop(upload);
    let (admission, head) = house.admit("GET", "/admin/%E2%80%AEx").await.unwrap();
    rig.gate.record_admitted(&admission, &head);
    drop(admission);

    assert_eq!(house.read(request.id).await, InteractionPage::default());
    assert_eq!(
        (house.log.waiting(), house.flush().await, house.flush().await),
        (3, 3, 0)
    );
    let item = |at: i64, took: u64, method: &str, path: &str, status, received, sent| Interaction {
        began: began + chrono::TimeDelta::milliseconds(at),
        took_ms: Some(took),
        method: method.to_owned(),
        path: path.to_owned(),
        status: Some(status),
        received: Some(received),
        sent: Some(sent),
        end: Ended::Completed,
        moved_from: None,
        moved_to: None,
    };
    let unseen = Interaction {
        took_ms: None,
        status: None,
        received: None,
        sent: None,
        end: Ended::Unseen,
        ..item(42, 0, "GET", "/admin/%E2%80%AEx", 0, 0, 0)
    };
    let page = house.read(request.id).await;
    let expected = [
        item(40, 0, "GET", "/admin", 404, 0, 9),
        item(0, 42, "POST", "/admin/A", 201, 500, 0),
        unseen,
    ];
    assert_eq!(page.items, expected);
    assert_eq!((page.next, page.lost), (None, 0));

    // The holder, those who may review it, auditors; nobody else learns that it exists.
    for (who, sees) in [
        ("alice", true),
        ("bob", true),
        ("carol", true),
        ("erin", false),
        ("mallory", false),
    ] {
        let actor = rig.actor(who).await;
        let read = rig.broker.interactions(&actor, request.id, 0, 10).await;
        if sees {
            assert_eq!(read.unwrap(), page, "{who}");
        } else {
            assert_eq!(refused(read), Refused::NotFound, "{who}");
        }
    }
    let nobody = RequestId::from_u128(7);
    let carol = rig.actor("carol").await;
    assert_eq!(
        refused(rig.broker.interactions(&carol, nobody, 0, 10).await),
        Refused::NotFound
    );

    // It is part of the chain, once, with what an auditor needs to read it alone.
    let log = rig.log().await;
    let stream = StreamId::Interactions(GrantId::from(request.id));
    let records: Vec<_> = log.iter().filter(|record| record.stream == stream).collect();
    let [record] = records[..] else {
        panic!("{records:?}")
    };
    let body: serde_json::Value = serde_json::from_str(&record.body).unwrap();
    assert_eq!(body["type"], "interactions");
    assert_eq!(body["grant"], json!(GrantId::from(request.id)));
    assert_eq!(body["holder"], json!(request.requester.principal));
    assert_eq!(body["resource"], "admin");
    assert!(!record.body.contains("secret"), "a query was recorded");
    verify_log(&*rig.store).await.unwrap();
}

async fn pages_go_through_everything_once_and_in_order(on: On) {
    let house = Recording::new(on, 1024).await;
    let request = house.rig.granted(json!({})).await;
    let other = house.rig.asked("erin").await;
    house.rig.approve("bob", &other).await.unwrap();
    let mut all = Vec::new();
    // More writes than one part of the index has; one of them with more records than an event has.
    for write in 0..130 {
        let count = if write == 65 { 450 } else { write % 3 };
        for n in 0..count {
            let path = format!("/admin/{write}/{n}");
            house.request(&path).await;
            all.push(path);
        }
        if write % 7 == 0 {
            house.rig.broker.flush_uses().await.unwrap();
        }
        assert_eq!(house.flush().await, count);
    }
    assert_eq!(house.paths(request.id).await, all);
    let carol = house.rig.actor("carol").await;
    for limit in [1, 7, 100, 199] {
        let (mut read, mut after) = (Vec::new(), 0);
        loop {
            let page = house.rig.broker.interactions(&carol, request.id, after, limit);
            let page = page.await.unwrap();
            assert!(page.items.len() <= limit);
            read.extend(page.items.into_iter().map(|item| item.path));
            match page.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(read, all, "{limit}");
    }
    let beyond = house
        .rig
        .broker
        .interactions(&carol, request.id, u64::MAX, 10)
        .await;
    assert_eq!(beyond.unwrap().items, []);
    assert_eq!(house.read(other.id).await.items, []);
    let longest = house.rig.log().await.iter().map(|record| record.body.len()).max();
    assert!(longest.unwrap() <= 32 * 1024, "{longest:?}");
}

async fn what_cannot_be_written_is_kept_and_written_once(on: On) {
    let house = Recording::new(on, 8).await;
    let (rig, store) = (&house.rig, &house.rig.store);
    let request = rig.granted(json!({})).await;
    house.request("/admin/1").await;
    store.set_broken(true);
    for _ in 0..3 {
        assert!(rig.broker.flush_interactions().await.is_err());
    }
    house.request("/admin/2").await;
    store.set_broken(false);
    assert_eq!(house.flush().await, 2);
    assert_eq!(house.paths(request.id).await, ["/admin/1", "/admin/2"]);

    // Written, and the answer was lost: it must not be written again.
    house.request("/admin/3").await;
    store.set_lying(true);
    assert!(rig.broker.flush_interactions().await.is_err());
    store.set_lying(false);
    house.request("/admin/4").await;
    assert_eq!(house.flush().await, 2);
    assert_eq!(
        house.paths(request.id).await,
        ["/admin/1", "/admin/2", "/admin/3", "/admin/4"]
    );
    assert_eq!(house.log.lost(), 0);
    rig.log().await;
}

async fn what_is_lost_is_counted_in_the_log(on: On) {
    let house = Recording::new(on, 4).await;
    let rig = &house.rig;
    let request = rig.granted(json!({})).await;
    rig.store.set_broken(true);
    for n in 0..10 {
        house.request(&format!("/admin/{n}")).await;
        if n == 3 {
            // What was taken out of memory is the broker's to keep, and makes room for as many again.
            assert!(rig.broker.flush_interactions().await.is_err());
        }
    }
    rig.store.set_broken(false);
    let written = house.flush().await;
    assert_eq!((written, house.log.lost()), (8, 2));
    let page = house.read(request.id).await;
    assert_eq!((page.items.len(), page.lost), (8, 2));
    let told: Vec<_> = (rig.log().await.into_iter())
        .filter(|record| record.body.contains("interactions_lost"))
        .map(|record| (record.stream, record.body))
        .collect();
    let grant = GrantId::from(request.id);
    let body = format!("{{\"type\":\"interactions_lost\",\"grant\":\"{grant}\",\"count\":2}}");
    assert_eq!(told, [(StreamId::Interactions(grant), body)]);
    house.request("/admin/again").await;
    assert_eq!(house.flush().await, 1);
    assert_eq!(house.read(request.id).await.lost, 2);
}

async fn a_request_without_room_is_refused_where_the_policy_says_so(on: On) {
    let source = format!("{REFUSING}{POLICY}");
    let house = Recording::ruled(Rig::new(on, &source).await, &source, 2).await;
    let request = house.rig.granted(json!({ "max_requests": 5 })).await;
    let one = house.fly("GET", "/admin/1").await;
    let two = house.fly("GET", "/admin/2").await;
    let refusal = house.admit("GET", "/admin/3").await.unwrap_err();
    assert_eq!(refusal, Refusal::LogFull);
    assert_eq!((refusal.status().as_u16(), refusal.kind()), (503, "log-full"));
    drop((one, two));
    assert_eq!(
        house.admit("GET", "/admin/3").await.unwrap_err(),
        Refusal::LogFull
    );
    house.rig.store.set_broken(true);
    assert!(house.rig.broker.flush_interactions().await.is_err());
    house.rig.store.set_broken(false);
    assert_eq!(house.flush().await, 2);
    // What was refused has not used up the budget, and what is not begun gives its place back.
    house.request("/admin/3").await;
    drop(house.admit("GET", "/admin/4").await.unwrap());
    house.request("/admin/5").await;
    assert_eq!(house.flush().await, 2);
    assert_eq!(
        house.admit("GET", "/admin/6").await.unwrap_err(),
        Refusal::ApprovalRequired {
            resource: "admin".parse().unwrap()
        }
    );
    assert_eq!(
        house.paths(request.id).await,
        ["/admin/1", "/admin/2", "/admin/3", "/admin/5"]
    );
    assert_eq!(house.log.lost(), 0);

    // Another policy, another answer.
    let second = house.rig.asked("erin").await;
    house.rig.approve("bob", &second).await.unwrap();
    house.rig.broker.set_policy(policy(POLICY)).await.unwrap();
    house.rig.granted(json!({})).await;
    for _ in 0..3 {
        house.request("/admin/7").await;
    }
    assert_eq!(house.log.lost(), 1);
}

async fn a_request_that_goes_on_under_another_grant_stands_under_both(on: On) {
    let house = Recording::new(on, 8).await;
    let rig = &house.rig;
    let long = rig.granted(json!({ "duration": "20m" })).await;
    let flight_under_long = house.fly("GET", "/admin/long").await;
    rig.advance("10m").await;
    let longer = rig.granted(json!({ "duration": "30m" })).await;
    rig.advance("10m").await;
    assert!(flight_under_long.goes_on().is_ok());
    assert_eq!(flight_under_long.permit().request_id(), longer.id);
    flight_under_long.answered(StatusCode::OK);
    drop(flight_under_long);
    assert_eq!(house.flush().await, 2);
    let [before] = &house.read(long.id).await.items[..] else {
        panic!()
    };
    let [after] = &house.read(longer.id).await.items[..] else {
        panic!()
    };
    assert_eq!(
        (before.moved_from, before.moved_to),
        (None, Some(longer.id.into()))
    );
    assert_eq!((after.moved_from, after.moved_to), (Some(long.id.into()), None));
    let joined = Interaction {
        moved_from: None,
        moved_to: before.moved_to,
        ..after.clone()
    };
    assert_eq!(*before, joined);
    assert_eq!(
        (after.took_ms, after.end),
        (Some(20 * 60 * 1000), Ended::Completed)
    );
}

async fn a_cut_is_recorded(on: On) {
    let house = Recording::new(on, 8).await;
    let rig = &house.rig;
    let request = rig.granted(json!({})).await;
    let flight = house.fly("GET", "/admin/stream").await;
    flight.answered(StatusCode::OK);
    flight.pass(Direction::Sent, 100).unwrap();
    let carol = rig.actor("carol").await;
    rig.broker.revoke(&carol, request.id, "enough").await.unwrap();
    assert!(flight.pass(Direction::Sent, 100).is_err());
    drop(flight);
    house.flush().await;
    let [item] = &house.read(request.id).await.items[..] else {
        panic!()
    };
    assert_eq!(
        (item.end, item.status, item.sent),
        (Ended::Cut(Cut::Revoked), Some(200), Some(100))
    );
}

async fn two_processes_write_under_one_grant(on: On) {
    let here = Recording::new(on, 64).await;
    let request = here.rig.granted(json!({})).await;
    let rig = Rig {
        broker: here.rig.broker.clone(),
        gate: here.rig.gate.clone(),
        clock: here.rig.clock.clone(),
        people: here.rig.people.clone(),
        store: here.rig.store.clone(),
        _folder: tempfile::tempdir().unwrap(),
    };
    let there = Recording::ruled(rig, POLICY, 64).await;
    for n in 0..20 {
        here.request(&format!("/admin/here/{n}")).await;
        there.request(&format!("/admin/there/{n}")).await;
        let (one, two) = tokio::join!(here.flush(), there.flush());
        assert_eq!((one, two), (1, 1));
    }
    let paths = here.paths(request.id).await;
    for house in ["here", "there"] {
        let of: Vec<_> = paths
            .iter()
            .filter(|path| path.contains(&format!("/{house}/")))
            .collect();
        let due: Vec<_> = (0..20).map(|n| format!("/admin/{house}/{n}")).collect();
        assert_eq!(of, due.iter().collect::<Vec<_>>());
    }
    assert_eq!(paths.len(), 40);
    here.rig.log().await;
}

/// Notes what it is told of.
#[derive(Debug, Default)]
struct Ears(Mutex<Vec<StreamId>>);

#[async_trait]
impl Notifier for Ears {
    async fn notify(&self, message: &Message) -> Result<(), NotifyError> {
        self.0.lock().unwrap().push(message.record.stream.clone());
        Ok(())
    }
}

async fn followers_and_notifiers_pass_over_what_was_done(on: On) {
    let house = Recording::new(on, 64).await;
    let rig = &house.rig;
    let ears = Arc::new(Ears::default());
    let other = Broker::builder(rig.store.clone(), rig.people.clone(), policy(POLICY))
        .clock(rig.clock.clone())
        .notifier(ears.clone())
        .build()
        .await
        .unwrap();
    let request = rig.granted(json!({})).await;
    house.request("/admin").await;
    assert_eq!(house.flush().await, 1);
    let known = other.follow().await.unwrap();
    // What is done under grants is written, and no decision.
    let decided = *other.decisions().borrow();
    assert_eq!(decided, *rig.broker.decisions().borrow());
    for broker in [&other, &rig.broker] {
        assert!(decided < *broker.changes().borrow());
    }
    let carol = rig.actor("carol").await;
    house.request("/admin").await;
    house.flush().await;
    rig.broker.revoke(&carol, request.id, "").await.unwrap();
    house.flush().await;
    rig.clock.advance(Duration::from_secs(9));
    // Records of all kinds are read, and what comes after them is heard.
    assert!(known >= 5 && other.follow().await.unwrap() >= 2);
    assert_eq!(other.follow().await.unwrap(), 0);
    assert!(*other.decisions().borrow() > decided, "a revocation is one");
    assert!(!other.enforcer().is_stale(other.now()));
    other.deliver().await.unwrap();
    let heard = ears.0.lock().unwrap().clone();
    assert!(heard.contains(&StreamId::Request(request.id)), "{heard:?}");
    assert!(!heard.iter().any(StreamId::is_interactions), "{heard:?}");
    // A restart reads what is live, and nothing of this is.
    let live = rig.store.live(0, 1000).await.unwrap();
    assert!(live.iter().all(|snapshot| !snapshot.stream.is_interactions()));
}
