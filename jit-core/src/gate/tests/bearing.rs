//! Credentials that are bound to a grant, at the gate.

use super::*;
use crate::approval::ask::{Assurance, Selector};
use crate::approval::credential::{CredentialToken, GrantCredential};
use crate::approval::state::State;

/// Ana's request 1, bound to `token`, active from 0 s to 100 s.
fn bound(token: &CredentialToken) -> Request {
    let mut request = active_with(1, |grant| grant.selector = Selector::Credential);
    request.ruling.selector = Selector::Credential;
    request.credential = Some(GrantCredential {
        digest: token.digest(),
        assurance: Assurance::default(),
        issued_at: at(0),
        number: 1,
    });
    request
}

fn token() -> CredentialToken {
    CredentialToken::random().unwrap()
}

#[tokio::test]
async fn it_names_its_holder_where_its_grant_rules_and_nowhere_else() {
    let (token, other) = (token(), token());
    let good = ("jit-credential", token.reveal());
    let bad = ("jit-credential", other.reveal());
    let world = world().publish(&bound(&token));
    for (path, fields, expected) in [
        ("/admin", &[good][..], "admit local|ana"),
        ("/admin", &[good, BAD_TOKEN], "admit local|ana"),
        ("/admin", &[ANA_TOKEN], "credential-required"),
        ("/admin", &[bad, ANA_TOKEN], "unauthenticated"),
        ("/admin", &[("jit-credential", "")], "unauthenticated"),
        ("/Admin", &[good], "not-open"),
        ("/public", &[good], "open  leave"),
        ("/public", &[bad], "open  leave"),
        ("/public", &[bad, ANA_TOKEN], "open local|ana strip"),
        ("/_jit/v1/me", &[good], "control "),
        ("/_jit/v1/me", &[good, ANA_TOKEN], "control local|ana"),
        ("/elsewhere", &[good], "not-open"),
        ("/admin", &[good, bad], "bad-request-headers"),
        ("/public", &[good, good], "bad-request-headers"),
    ] {
        assert_eq!(world.ask("app.example", path, fields).await, expected, "{path}");
    }
}

#[tokio::test]
async fn whatever_the_gate_reads_beside_it_is_not_forwarded() {
    let token = token();
    let good = ("jit-credential", token.reveal());
    let world = world().publish(&bound(&token));
    for (fields, expected) in [
        (&[good][..], CredentialSource::Grant),
        (&[good, ANA_TOKEN], CredentialSource::Authorization),
        (&[good, BAD_TOKEN], CredentialSource::Authorization),
    ] {
        let verdict = world.decide(&head("app.example", "/admin", fields)).await;
        let Verdict::Admit(admission) = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(admission.credential, expected);
    }
}

#[tokio::test]
async fn a_stranger_makes_nothing_grow_and_nobody_is_asked() {
    let world = world().publish(&active(1));
    for _ in 0..100 {
        let token = token();
        let verdict = world
            .ask("app.example", "/admin", &[("jit-credential", token.reveal())])
            .await;
        assert_eq!(verdict, "unauthenticated");
    }
    assert_eq!(world.gate.session_count(), 0);
    assert_eq!(world.people.asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn its_holder_is_looked_up_once_a_minute_and_it_ends_at_once() {
    let token = token();
    let head = head("app.example", "/admin", &[("jit-credential", token.reveal())]);
    let world = world().publish(&bound(&token));
    let lookup = world.gate.decide(&head, None);
    assert_eq!(format!("{lookup:?}"), "Lookup(Lookup(<redacted>, Grant))");
    for (now, asked) in [(1, 1), (60, 1), (61, 2)] {
        world.clock.set(at(now));
        assert_eq!(told(&world.decide(&head).await), "admit local|ana");
        assert_eq!(world.people.asked.load(Ordering::SeqCst), asked);
    }
    // Another of the holder's persons, as the Directory says from now on, holds nothing.
    world.people.persons.lock().unwrap()[0].1 = person("another");
    world.clock.set(at(90));
    assert_eq!(told(&world.decide(&head).await), "admit local|ana");
    world.gate.forget_sessions();
    assert_eq!(told(&world.decide(&head).await), "approval-required");
    world.people.down.store(true, Ordering::SeqCst);
    world.gate.forget_sessions();
    assert_eq!(told(&world.decide(&head).await), "authentication-unavailable");
    world.people.down.store(false, Ordering::SeqCst);
    world.people.persons.lock().unwrap()[0].1 = person("ana");
    assert_eq!(told(&world.decide(&head).await), "admit local|ana");
    world.gate.enforcer().shut(grant_id(1), Cut::Revoked);
    assert_eq!(told(&world.decide(&head).await), "unauthenticated");
}

#[tokio::test]
async fn one_that_is_early_is_told_when_its_grant_opens() {
    let token = token();
    let mut request = bound(&token);
    request.state = State::Scheduled;
    if let Some(grant) = &mut request.grant {
        grant.not_before = at(10);
    }
    let world = world().publish(&request);
    let verdict = world
        .decide(&head(
            "app.example",
            "/admin",
            &[("jit-credential", token.reveal())],
        ))
        .await;
    let Verdict::Refuse(Refusal::ApprovalPending {
        request, opens_at, ..
    }) = verdict
    else {
        panic!("{verdict:?}");
    };
    assert_eq!((request.as_u128(), opens_at), (1, Some(at(10))));
}

#[tokio::test]
async fn what_is_forgotten_opens_nothing() {
    let token = token();
    let fields = [("jit-credential", token.reveal())];
    let world = world().publish(&bound(&token));
    let enforcer = world.gate.enforcer();
    assert!(enforcer.bearer(token.digest(), at(1)).is_some());
    assert!(enforcer.bearer(token.digest(), at(100)).is_none());
    enforcer.sweep(at(100_000));
    assert!(enforcer.bearer(token.digest(), at(1)).is_none());
    assert_eq!(
        world.ask("app.example", "/admin", &fields).await,
        "unauthenticated"
    );
}
