//! What was admitted, while it is in flight.

use std::time::Duration;

use tokio::time::timeout;

use super::*;
use crate::gate::fixtures::scope;
use crate::gate::flight::Flight;
use crate::gate::interactions::Interactions;
use crate::gate::step_up::StepUpSettings;
use crate::policy::terms::MfaTerms;

impl World {
    async fn admission(&self, door: Door, head: &Parts) -> Admission {
        let verdict = match self.gate.decide_for(door, head, None) {
            Verdict::Lookup(lookup) => self.gate.resolve(head, None, lookup).await,
            verdict => verdict,
        };
        match verdict {
            Verdict::Admit(admission) => admission,
            verdict => panic!("{verdict:?}"),
        }
    }

    async fn fly(&self, door: Door, fields: &[(&str, &str)]) -> Arc<Flight> {
        let head = head("app.example", "/admin", fields);
        Flight::begin(&self.gate, &self.admission(door, &head).await, &head)
    }
}

fn lockdown(target: lockdown::Target) -> Lockdown {
    Lockdown {
        id: LockdownId::from_u128(1),
        target,
        reason: "incident".to_owned(),
        principal: ANA.parse().unwrap(),
        person: "ana".parse().unwrap(),
        at: at(0),
    }
}

#[tokio::test(start_paused = true)]
async fn a_locked_role_ends_what_is_in_flight_before_anything_is_written() {
    for (role, cut) in [("sre", true), ("dba", false)] {
        let world = world().publish(&active(1));
        let flight = world.fly(Door::new(), &[ANA_TOKEN]).await;
        let waiting = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { timeout(Duration::from_secs(1), flight.cut()).await.ok() }
        });
        tokio::task::yield_now().await;
        let target = lockdown::Target::Role(role.parse().unwrap());
        world.gate.enforcer().lock(&lockdown(target));
        assert_eq!(flight.goes_on().is_err(), cut, "{role}");
        let expected = cut.then_some(Cut::LockedDown);
        assert_eq!(waiting.await.unwrap(), expected, "{role}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_narrowed_grant_does_not_cover_is_cut() {
    for (methods, path, cut) in [
        (["GET"], "/admin", None),
        (["GET"], "/admin/users", Some(Cut::Revoked)),
        (["POST"], "/admin", Some(Cut::Revoked)),
    ] {
        let world = world().publish(&active(1));
        let flight = world.fly(Door::new(), &[ANA_TOKEN]).await;
        let waiting = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { timeout(Duration::from_secs(1), flight.cut()).await.ok() }
        });
        tokio::task::yield_now().await;
        let narrowed = active_with(1, |grant| grant.scope = scope(methods, [path]));
        world.gate.enforcer().publish(2, &narrowed);
        assert_eq!(flight.goes_on().err(), cut, "{methods:?} {path}");
        assert_eq!(waiting.await.unwrap(), cut, "{methods:?} {path}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_another_resource_governs_by_now_is_cut() {
    for (resources, open_path, cut) in [
        (
            &[("admin", "/admin"), ("users", "/admin/users")][..],
            "/public",
            None,
        ),
        (
            &[("root", "/"), ("admin", "/admin/users")],
            "/public",
            Some(Cut::Revoked),
        ),
        (&[("users", "/admin/users")], "/public", Some(Cut::Revoked)),
        (&[("users", "/admin/users")], "/admin", None),
    ] {
        let world = world().publish(&active(1));
        let flight = world.fly(Door::new(), &[ANA_TOKEN]).await;
        let waiting = tokio::spawn({
            let flight = Arc::clone(&flight);
            async move { timeout(Duration::from_secs(1), flight.cut()).await.ok() }
        });
        tokio::task::yield_now().await;
        let resources: Vec<_> = resources
            .iter()
            .map(|(name, path)| resource(name, path))
            .collect();
        let rules = RuleSet::compile(&resources, &[open(open_path)]).unwrap();
        world.gate.set_rules(rules);
        assert_eq!(flight.goes_on().err(), cut, "{resources:?}");
        assert_eq!(waiting.await.unwrap(), cut, "{resources:?}");
    }
}

#[tokio::test]
async fn a_record_keeps_nothing_of_what_a_connection_has_read() {
    let log = Arc::new(Interactions::with_places(8));
    let world = world_with(|builder| builder.with_interactions(log.clone())).publish(&active(1));
    let long = format!("/admin/{}", "a".repeat(100));
    let head = head("app.example", &format!("{long}?b=c"), &[ANA_TOKEN]);
    let admission = world.admission(Door::new(), &head).await;
    world.gate.record_admitted(&admission, &head);
    drop(Flight::begin(&world.gate, &admission, &head));
    let notes = log.drain(8);
    assert_eq!(notes.len(), 2);
    for note in notes {
        assert_eq!(note.path.as_str(), long);
        assert_ne!(
            note.path.as_str().as_ptr(),
            head.uri.path().as_ptr(),
            "the request's own memory"
        );
    }
}

#[tokio::test]
async fn a_flight_moves_by_nothing_that_another_request_could_not_rely_on() {
    let wants_otp = MfaTerms {
        acr: Vec::new(),
        amr: ["otp".to_owned()].into(),
        max_age: None,
    };
    for (name, moves) in [
        ("as it was", true),
        ("no factor any more", false),
        ("forgotten", false),
    ] {
        let step_ups = Arc::new(StepUps::new(
            Arc::new(Yes),
            StepUpSettings::default().with_life(seconds(if moves { 200 } else { 40 })),
        ));
        let other = active_with(2, |grant| {
            grant.not_after = at(150);
            grant.mfa = (name != "forgotten").then(|| wants_otp.clone());
        });
        let world = world_with(|builder| builder.with_step_ups(Arc::clone(&step_ups))).publish(&active(1));
        let session = world
            .admission(Door::new(), &head("app.example", "/admin", &[ANA_TOKEN]))
            .await;
        let credential = CredentialId::of(&session.session.proof);
        let (ana, person) = (&session.subject, "ana".parse().unwrap());
        step_ups
            .prove(credential, ana, &person, "yes", at(1))
            .await
            .unwrap();
        let flight = world.fly(Door::new(), &[ANA_TOKEN]).await;
        world.gate.enforcer().publish(1, &other);
        if name == "forgotten" {
            world.gate.forget_sessions();
        }
        world.clock.set(at(100));
        assert_eq!(flight.goes_on().is_ok(), moves, "{name}");
    }
}
