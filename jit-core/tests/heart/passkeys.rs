//! Passkeys, and what they sign, on both stores.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jit_core::approval::ask::Actor;
use jit_core::approval::event::{Event, PersonEvent};
use jit_core::approval::evidence::{EVIDENCE_MAX, Evidence, Statement};
use jit_core::approval::lockdown::Target;
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing, Opinion, Review};
use jit_core::approval::state::State;
use jit_core::broker::Broker;
use jit_core::broker::passkeys::{EACH_MAX, News, Passkey, PasskeyStore, Passkeys, Proofs, StoredPasskeys};
use jit_core::broker::store::{Store, StoreError, StreamId};
use jit_core::id::{Digest, PersonId, Timestamp};
use jit_core::memory::MemoryStore;
use jit_store_sqlite::SqliteStore;

use crate::rig::{On, POLICY, Rig, on_both, refused};

fn passkey(id: &str) -> Passkey {
    Passkey {
        id: id.to_owned(),
        name: "laptop".to_owned(),
        added_at: Timestamp::from_timestamp(1_800_000_000, 0).unwrap(),
        used_at: None,
        data: "{}".to_owned(),
    }
}

async fn passkeys_are_kept_and_belong_to_one_person(on: On) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = match on {
        On::Memory => Arc::new(MemoryStore::new()),
        On::Sqlite => Arc::new(SqliteStore::open(folder.path().join("jit.db")).await.unwrap()),
    };
    let passkeys = StoredPasskeys::new(store);
    let [ana, bo] = ["ana", "bo"].map(|name| PersonId::new(name).unwrap());
    assert_eq!(passkeys.of(&ana).await.unwrap(), Passkeys::default());
    passkeys.put(&ana, 0, &[passkey("one")], None).await.unwrap();
    let kept = passkeys.of(&ana).await.unwrap();
    assert_eq!(kept.items, [passkey("one")]);
    // What was loaded before is not written over what is newer.
    let stale = passkeys.put(&ana, 0, &[passkey("two")], None).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    // An id stays its person's, also when it is no longer kept.
    passkeys.put(&ana, kept.version, &[], None).await.unwrap();
    let taken = passkeys.put(&bo, 0, &[passkey("one")], None).await;
    assert!(matches!(taken, Err(StoreError::Invalid { .. })), "{taken:?}");
    assert_eq!(passkeys.of(&bo).await.unwrap(), Passkeys::default());
    let many: Vec<_> = (0..=EACH_MAX).map(|n| passkey(&n.to_string())).collect();
    let many = passkeys.put(&bo, 0, &many, None).await;
    assert!(matches!(many, Err(StoreError::Invalid { .. })), "{many:?}");
}

fn enrolled(rig: &Rig, owner: &Actor, id: &str) -> News {
    News {
        at: rig.now(),
        event: PersonEvent::PasskeyEnrolled {
            owner: owner.person.id.clone(),
            passkey: passkey(id).named(),
            principal: owner.principal.clone(),
            person: owner.person.id.clone(),
        },
    }
}

/// What the log tells of passkeys, and in which streams.
async fn told(rig: &Rig) -> Vec<(StreamId, PersonEvent)> {
    let log = rig.log().await.into_iter();
    log.filter_map(|record| Some((record.stream, serde_json::from_str(&record.body).ok()?)))
        .collect()
}

async fn a_change_of_passkeys_and_its_record_are_one(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let passkeys = StoredPasskeys::new(rig.store.clone());
    let alice = rig.actor("alice").await;
    let owner = &alice.person.id;
    let (one, two) = (enrolled(&rig, &alice, "one"), enrolled(&rig, &alice, "two"));
    rig.store.set_broken(true);
    let failed = passkeys.put(owner, 0, &[passkey("one")], Some(&one)).await;
    assert!(
        matches!(failed, Err(StoreError::Unavailable { .. })),
        "{failed:?}"
    );
    rig.store.set_broken(false);
    assert_eq!(
        (passkeys.of(owner).await.unwrap(), told(&rig).await),
        Default::default()
    );
    let written = (StreamId::Person(owner.clone()), one.event.clone());
    passkeys
        .put(owner, 0, &[passkey("one")], Some(&one))
        .await
        .unwrap();
    assert_eq!(told(&rig).await, std::slice::from_ref(&written));
    // What comes too late is not told either, and a use is not.
    let late = passkeys.put(owner, 0, &[passkey("two")], Some(&two)).await;
    assert!(matches!(late, Err(StoreError::Conflict { .. })), "{late:?}");
    passkeys.put(owner, 1, &[passkey("one")], None).await.unwrap();
    assert_eq!(told(&rig).await, [written]);
    // The stream that it is told in is the one that limits count by, which goes on as it was.
    let asked = rig.asked("alice").await;
    passkeys
        .put(owner, 2, &[passkey("one"), passkey("two")], Some(&two))
        .await
        .unwrap();
    let again = refused(rig.ask("alice", serde_json::json!({})).await);
    assert!(
        matches!(&again, Refused::LimitReached { request: Some(id), .. } if *id == asked.id),
        "{again:?}"
    );
    let body = serde_json::to_string(&two.event).unwrap();
    assert_eq!(
        body,
        r#"{"type":"passkey_enrolled","owner":"alice","passkey":{"id":"two","name":"laptop"},"principal":{"issuer":"demo","subject":"alice"},"person":"alice"}"#,
        "what readers of the log rely on"
    );
    assert!(rig.log().await.iter().any(|record| record.body == body));
}

/// Whose proofs were ended.
#[derive(Debug, Default)]
struct Ended(Mutex<Vec<PersonId>>);

impl Proofs for Ended {
    fn end_of(&self, person: &PersonId) {
        self.0.lock().unwrap().push(person.clone());
    }
}

async fn somebody_else_clears_a_lost_passkey(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let passkeys = StoredPasskeys::new(rig.store.clone());
    let strong = async |name: &str, minutes: i64| {
        let mut actor = rig.actor(name).await;
        actor.assurance.methods = vec!["otp".to_owned()];
        actor.assurance.authenticated_at = Some(rig.now() - TimeDelta::minutes(minutes));
        actor
    };
    let (alice, carol) = (rig.actor("alice").await, strong("carol", 0).await);
    for owner in [&alice, &carol] {
        let id = owner.person.id.as_str();
        let news = enrolled(&rig, owner, id);
        passkeys
            .put(&owner.person.id, 0, &[passkey(id)], Some(&news))
            .await
            .unwrap();
    }
    let ended = Arc::new(Ended::default());
    let (proofs, gone): (Arc<dyn Proofs>, Arc<dyn Proofs>) = (ended.clone(), Arc::new(Ended::default()));
    for proofs in [&proofs, &proofs, &gone] {
        rig.broker.end_with_passkeys(proofs);
    }
    drop(gone);
    let before = rig.log().await;
    let clear = async |by: &Actor, owner: &str, reason: &str| {
        let owner = PersonId::new(owner).unwrap();
        rig.broker.clear_passkeys(by, &passkeys, &owner, reason).await
    };
    let mut weak = carol.clone();
    weak.assurance.methods = vec!["pwd".to_owned()];
    let invalid = |field: &'static str| move |refused: &Refused| matches!(refused, Refused::Invalid { field: said, .. } if *said == field);
    type Fits<'a> = &'a dyn Fn(&Refused) -> bool;
    let eligible: Fits<'_> = &|refused| *refused == Refused::NotEligible;
    let step_up: Fits<'_> = &|refused| matches!(refused, Refused::StepUp { .. });
    for (what, by, owner, reason, fits) in [
        ("a reviewer", strong("bob", 0).await, "alice", "lost", eligible),
        ("oneself", carol.clone(), "carol", "lost", &invalid("person")),
        ("by a password", weak, "alice", "lost", step_up),
        ("not just now", strong("carol", 6).await, "alice", "lost", step_up),
        (
            "without a reason",
            carol.clone(),
            "alice",
            " ",
            &invalid("reason"),
        ),
        ("who has none", carol.clone(), "bob", "lost", &invalid("person")),
    ] {
        let outcome = refused(clear(&by, owner, reason).await);
        assert!(fits(&outcome), "{what}: {outcome:?}");
        assert_eq!(rig.log().await, before, "{what}");
        assert!(ended.0.lock().unwrap().is_empty(), "{what}");
    }
    assert_eq!(clear(&carol, "alice", "in the sea").await.unwrap(), 1);
    let owner = &alice.person.id;
    assert_eq!(
        *ended.0.lock().unwrap(),
        [owner, owner].map(Clone::clone),
        "before and after the write"
    );
    assert_eq!(passkeys.of(&alice.person.id).await.unwrap().items, []);
    assert_eq!(passkeys.of(&carol.person.id).await.unwrap().items.len(), 1);
    let cleared = PersonEvent::PasskeysCleared {
        owner: alice.person.id.clone(),
        passkeys: vec![passkey("alice").named()],
        principal: carol.principal.clone(),
        person: carol.person.id.clone(),
        reason: "in the sea".to_owned(),
    };
    assert_eq!(told(&rig).await.last().unwrap().1, cleared);
    // Whoever is locked down clears nobody's.
    let target = Target::Person(carol.person.id.clone());
    rig.broker.lock_down(&carol, target, "INC-666").await.unwrap();
    let locked = refused(clear(&carol, "alice", "again").await);
    assert!(matches!(locked, Refused::LockedDown { .. }), "{locked:?}");
}

fn opinion(request: &Request) -> Opinion {
    Opinion {
        decision: Decision::Approve,
        digest: request.digest,
        comment: "fine by me".to_owned(),
        narrowing: Narrowing {
            paths: ["/admin/users/".to_owned()].into(),
            ..Narrowing::default()
        },
    }
}

fn statement(person: &str, opinion: &Opinion) -> Statement {
    let opinion = Broker::canonical(opinion.clone()).unwrap();
    Statement {
        digest: opinion.digest,
        decision: opinion.decision,
        narrowing: opinion.narrowing,
        comment: opinion.comment,
        person: PersonId::new(person).unwrap(),
        session: Digest::ZERO,
        nonce: Digest::ZERO,
    }
}

/// As an authenticator signs it; nobody here looks at the signature.
fn evidence(statement: &Statement) -> Evidence {
    let statement = statement.text().unwrap();
    let challenge = URL_SAFE_NO_PAD.encode(Statement::challenge(&statement).as_bytes());
    let client = format!(
        r#"{{"type":"webauthn.get","challenge":"{challenge}","origin":"https://access.example.com","crossOrigin":false}}"#
    );
    Evidence {
        statement,
        credential: "Y3JlZA".to_owned(),
        public_key: BTreeMap::from([("kty".to_owned(), "EC".to_owned())]),
        authenticator_data: "YXV0aA".to_owned(),
        client_data: URL_SAFE_NO_PAD.encode(client),
        signature: "c2ln".to_owned(),
    }
}

async fn a_signature_over_anything_else_is_not_recorded(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let (request, bob) = (rig.asked("alice").await, rig.actor("bob").await);
    let opinion = opinion(&request);
    let signed = async |evidence: &Evidence| {
        rig.broker
            .review_signed(&bob, request.id, opinion.clone(), evidence)
            .await
    };
    let right = statement("bob", &opinion);
    let of = |change: fn(&mut Statement)| {
        let mut stated = right.clone();
        change(&mut stated);
        evidence(&stated)
    };
    let with = |change: fn(&mut Evidence)| {
        let mut evidence = evidence(&right);
        change(&mut evidence);
        evidence
    };
    let before = rig.seen(request.id).await;
    for (what, evidence) in [
        ("another digest", of(|stated| stated.digest = Digest::ZERO)),
        ("a denial", of(|stated| stated.decision = Decision::Deny)),
        (
            "more than was approved",
            of(|stated| stated.narrowing.paths.clear()),
        ),
        ("another comment", of(|stated| stated.comment.push('!'))),
        (
            "another person",
            of(|stated| stated.person = PersonId::new("carol").unwrap()),
        ),
        (
            "a statement changed after",
            with(|evidence| evidence.statement.push(' ')),
        ),
        ("no statement", with(|evidence| evidence.statement.clear())),
        (
            "no client data",
            with(|evidence| evidence.client_data = "e30".to_owned()),
        ),
        (
            "too much",
            with(|evidence| evidence.signature = "A".repeat(EVIDENCE_MAX)),
        ),
        (
            "a registration",
            with(|evidence| {
                let json = URL_SAFE_NO_PAD.decode(&evidence.client_data).unwrap();
                let json = String::from_utf8(json)
                    .unwrap()
                    .replace("webauthn.get", "webauthn.create");
                evidence.client_data = URL_SAFE_NO_PAD.encode(json);
            }),
        ),
    ] {
        let outcome = refused(signed(&evidence).await);
        assert!(
            matches!(&outcome, Refused::Invalid { field, .. } if *field == "evidence"),
            "{what}: {outcome:?}"
        );
        assert_eq!(rig.seen(request.id).await, before, "{what}");
    }
    let right = evidence(&right);
    signed(&right).await.unwrap();
    let seen = rig.seen(request.id).await;
    assert_eq!(seen.state, State::Active);
    assert_eq!(seen.reviews[0].evidence.as_deref(), Some(&right));
    let carol = rig.actor("carol").await;
    let log = rig.broker.events(&carol, 0, 100).await.unwrap();
    let reviews = log
        .iter()
        .filter_map(|record| serde_json::from_str(&record.body).ok());
    let kept: Vec<Review> = reviews
        .filter_map(|event| match event {
            Event::Reviewed { review } => Some(review),
            _ => None,
        })
        .collect();
    assert_eq!(kept[0].evidence.as_deref(), Some(&right), "it is in the log");
}

async fn a_review_without_evidence_is_recorded_as_ever(on: On) {
    let rig = Rig::new(on, POLICY).await;
    let request = rig.granted(serde_json::json!({})).await;
    let carol = rig.actor("carol").await;
    let log = rig.broker.events(&carol, 0, 100).await.unwrap();
    let body = &log
        .iter()
        .find(|record| record.body.contains("\"reviewed\""))
        .unwrap()
        .body;
    assert!(!body.contains("evidence"), "{body}");
    // A record as they were before there was any.
    let old = serde_json::from_str::<Event>(body).unwrap();
    assert!(matches!(&old, Event::Reviewed { review } if review.evidence.is_none()));
    assert_eq!(&serde_json::to_string(&old).unwrap(), body);
    assert!(rig.seen(request.id).await.reviews[0].evidence.is_none());
}

on_both! {
    a_change_of_passkeys_and_its_record_are_one
    somebody_else_clears_a_lost_passkey
    passkeys_are_kept_and_belong_to_one_person
    a_signature_over_anything_else_is_not_recorded
    a_review_without_evidence_is_recorded_as_ever
}
