//! Passkeys, and what they sign, on both stores.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::approval::event::Event;
use jit_core::approval::evidence::{EVIDENCE_MAX, Evidence, Statement};
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing, Opinion, Review};
use jit_core::approval::state::State;
use jit_core::broker::Broker;
use jit_core::broker::passkeys::{CellPasskeys, EACH_MAX, Passkey, PasskeyStore, Passkeys};
use jit_core::broker::store::{Store, StoreError};
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
    let passkeys = CellPasskeys::new(store);
    let [ana, bo] = ["ana", "bo"].map(|name| PersonId::new(name).unwrap());
    assert_eq!(passkeys.of(&ana).await.unwrap(), Passkeys::default());
    passkeys.put(&ana, 0, &[passkey("one")]).await.unwrap();
    let kept = passkeys.of(&ana).await.unwrap();
    assert_eq!(kept.items, [passkey("one")]);
    // What was loaded before is not written over what is newer.
    let stale = passkeys.put(&ana, 0, &[passkey("two")]).await;
    assert!(matches!(stale, Err(StoreError::Conflict { .. })), "{stale:?}");
    // An id stays its person's, also when it is no longer kept.
    passkeys.put(&ana, kept.version, &[]).await.unwrap();
    let taken = passkeys.put(&bo, 0, &[passkey("one")]).await;
    assert!(matches!(taken, Err(StoreError::Invalid { .. })), "{taken:?}");
    assert_eq!(passkeys.of(&bo).await.unwrap(), Passkeys::default());
    let many: Vec<_> = (0..=EACH_MAX).map(|n| passkey(&n.to_string())).collect();
    let many = passkeys.put(&bo, 0, &many).await;
    assert!(matches!(many, Err(StoreError::Invalid { .. })), "{many:?}");
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
    passkeys_are_kept_and_belong_to_one_person
    a_signature_over_anything_else_is_not_recorded
    a_review_without_evidence_is_recorded_as_ever
}
