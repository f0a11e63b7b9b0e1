use super::*;

#[tokio::test]
async fn a_session_is_verified_once_a_minute() {
    let world = world().publish(&active(1));
    for now in [1, 2, 60] {
        world.clock.set(at(now));
        assert_eq!(world.as_ana().await, "admit local|ana");
    }
    assert_eq!(world.people.asked.load(Ordering::SeqCst), 1);
    world.clock.set(at(61));
    assert_eq!(
        told(
            &world
                .gate
                .decide(&head("app.example", "/admin", &[ANA_TOKEN]), None)
        ),
        "lookup"
    );
    assert_eq!(world.as_ana().await, "admit local|ana");
    assert_eq!(world.people.asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_revoked_token_is_refused_on_the_next_request() {
    let world = world().publish(&active(1));
    assert_eq!(world.as_ana().await, "admit local|ana");
    world.tokens.replace([]).unwrap();
    assert_eq!(world.as_ana().await, "unauthenticated");
    assert_eq!(world.gate.session_count(), 0);
}

#[tokio::test]
async fn a_disabled_person_is_out_once_sessions_are_forgotten() {
    let world = world().publish(&active(1));
    assert_eq!(world.as_ana().await, "admit local|ana");
    world.people.persons.lock().unwrap()[0].1.disabled = true;
    world.gate.forget_sessions();
    assert_eq!(world.as_ana().await, "not-eligible");
}

#[tokio::test]
async fn a_directory_that_is_down_refuses_and_is_asked_again() {
    let world = world().publish(&active(1));
    world.people.down.store(true, Ordering::SeqCst);
    assert_eq!(world.as_ana().await, "authentication-unavailable");
    assert_eq!(
        world.ask("app.example", "/_jit", &[ANA_TOKEN]).await,
        "authentication-unavailable"
    );
    // It may be the gate's token: it is not shown to the application.
    assert_eq!(
        world.ask("app.example", "/public", &[ANA_TOKEN]).await,
        "open  strip"
    );
    world.people.down.store(false, Ordering::SeqCst);
    assert_eq!(world.as_ana().await, "admit local|ana");
}

#[tokio::test]
async fn a_full_cache_still_admits() {
    let world = world_with(|builder| builder.with_sessions(0)).publish(&active(1));
    for _ in 0..2 {
        assert_eq!(world.as_ana().await, "admit local|ana");
    }
    assert_eq!(world.people.asked.load(Ordering::SeqCst), 2);
    assert_eq!(world.gate.session_count(), 0);
}

#[tokio::test]
async fn expiry_and_revocation_bite_on_a_cached_session() {
    let world = world().publish(&active(1));
    assert_eq!(world.as_ana().await, "admit local|ana");
    world.clock.set(at(100));
    assert_eq!(world.as_ana().await, "approval-required");
    world.clock.set(at(99));
    world.gate.enforcer().shut(grant_id(1), Cut::Revoked);
    assert_eq!(world.as_ana().await, "approval-required");
}

#[tokio::test]
async fn a_step_up_shows_at_once_and_goes_with_its_credential() {
    let step_ups = Arc::new(StepUps::new(
        Arc::new(Yes),
        step_up::StepUpSettings::default().with_life(seconds(40)),
    ));
    let terms = crate::policy::terms::MfaTerms {
        max_age: Some(seconds(60)),
        ..Default::default()
    };
    let world = world_with(|builder| builder.with_step_ups(Arc::clone(&step_ups)))
        .publish(&active_with(1, |grant| grant.mfa = Some(terms)));
    let prove = async || {
        let head = head("app.example", "/_jit/v1/me", &[("authorization", "Bearer ana")]);
        let Verdict::Control {
            subject: Some(subject),
            credential: Some(credential),
        } = world.decide(&head).await
        else {
            panic!("ana is not known");
        };
        assert!(!format!("{credential:?}").contains(&Digest::plain(b"ana").to_string()));
        let now = world.gate.now();
        step_ups
            .prove(credential, &subject, &person("ana").id, "123456", now)
            .await
            .unwrap();
    };
    // A session is kept by now, and does not stand in the way.
    assert_eq!(world.as_ana().await, "step-up-required");
    prove().await;
    assert_eq!(world.as_ana().await, format!("admit {ANA}"));
    // Nor does it outlive what was proven.
    world.clock.set(at(40));
    assert_eq!(world.as_ana().await, format!("admit {ANA}"));
    world.clock.set(at(41));
    assert_eq!(world.as_ana().await, "step-up-required");

    prove().await;
    assert_eq!(world.as_ana().await, format!("admit {ANA}"));
    // Revoked, and then known again: what was proven for it is gone.
    world.tokens.replace([]).unwrap();
    assert_eq!(world.as_ana().await, "unauthenticated");
    world.tokens.replace(known()).unwrap();
    assert_eq!(world.as_ana().await, "step-up-required");
    prove().await;
    assert_eq!(world.as_ana().await, format!("admit {ANA}"));
    world.gate.forget_sessions();
    assert_eq!(world.as_ana().await, "step-up-required");
}
