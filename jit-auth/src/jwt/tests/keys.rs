use super::*;

#[tokio::test]
async fn keys_rotate() {
    let world = World::new();
    let old = world.signer.sign(&with("exp", json!(NOW + 90_000)));
    let new = Signer::new("two");
    let next = new.sign(&with("exp", json!(NOW + 90_000)));
    assert_eq!(world.outcome(&old, at(0)).await, "proven");
    assert_eq!(world.network.asked(), 1);
    // Published beforehand, believed when first used.
    world.network.publish(KEYS, &[&world.signer, &new]);
    assert_eq!(world.outcome(&next, at(10)).await, "proven");
    assert_eq!(world.outcome(&old, at(10)).await, "proven");
    assert_eq!(world.network.asked(), 2);
    // Taken back, and out with the next reading.
    world.network.publish(KEYS, &[&new]);
    assert_eq!(world.outcome(&old, at(609)).await, "proven");
    assert_eq!(world.network.asked(), 2);
    assert_eq!(world.outcome(&old, at(610)).await, "invalid");
    assert_eq!(world.outcome(&next, at(610)).await, "proven");
    assert_eq!(world.network.asked(), 3);
}

#[tokio::test]
async fn unknown_keys_are_asked_for_at_a_bounded_pace() {
    let world = World::new();
    assert_eq!(
        world.outcome(&world.signer.sign(&claims()), at(0)).await,
        "proven"
    );
    for second in 0..100 {
        let strange = Signer::new(&format!("{second}"));
        assert_eq!(
            world.outcome(&strange.sign(&claims()), at(second)).await,
            "invalid"
        );
    }
    assert_eq!(world.network.asked(), 10, "one in ten seconds");
    // Whoever names another issuer makes us ask for nothing.
    let foreign = world.signer.sign(&with("iss", json!("https://evil.example")));
    assert_eq!(world.outcome(&foreign, at(1000)).await, "invalid");
    assert_eq!(world.network.asked(), 10);
    // A clock that was set back does not stop the reading.
    assert_eq!(
        world.outcome(&world.signer.sign(&claims()), at(-20)).await,
        "proven"
    );
    assert_eq!(world.network.asked(), 11);
}

#[tokio::test]
async fn an_outage_keeps_known_keys_and_believes_no_new_one() {
    let world = World::new();
    let token = |exp: i64| world.signer.sign(&with("exp", json!(NOW + exp)));
    let day = 24 * 3600;
    assert_eq!(world.outcome(&token(900), at(0)).await, "proven");
    world.network.fall_silent();
    let rotated = Signer::new("two");
    for second in (0..=600).step_by(5) {
        assert_eq!(world.outcome(&token(900), at(second)).await, "proven", "{second}");
        // The first ones come in the pause after the good reading.
        let unknown = world.outcome(&rotated.sign(&claims()), at(second)).await;
        let expected = if second < 10 { "invalid" } else { "unavailable" };
        assert_eq!(unknown, if second < 300 { expected } else { unknown }, "{second}");
        assert_ne!(unknown, "proven", "{second}");
    }
    assert!(world.network.asked() <= 62, "{}", world.network.asked());
    assert_eq!(
        world.outcome(&token(900), at(900)).await,
        "invalid",
        "the token has ended"
    );
    assert_eq!(world.outcome(&token(2 * day), at(day - 1)).await, "proven");
    assert_eq!(world.outcome(&token(2 * day), at(day)).await, "unavailable");
    // Back again.
    world.network.publish(KEYS, &[&rotated]);
    let fresh = rotated.sign(&with("exp", json!(NOW + 2 * day)));
    assert_eq!(world.outcome(&fresh, at(day + 10)).await, "proven");
    assert_eq!(world.outcome(&token(2 * day), at(day + 10)).await, "invalid");
}

#[tokio::test]
async fn what_is_no_set_of_keys_changes_nothing() {
    let world = World::new();
    let token = world.signer.sign(&with("exp", json!(NOW + 9000)));
    assert_eq!(world.outcome(&token, at(0)).await, "proven");
    let mut now = 0;
    for body in [
        b"<html>sign in</html>".to_vec(),
        b"{\"keys\":[]}".to_vec(),
        b"{}".to_vec(),
        vec![b' '; crate::fetch::BODY_MAX + 1],
    ] {
        now += 601;
        world.network.answer(KEYS, body);
        assert_eq!(world.outcome(&token, at(now)).await, "proven");
        let strange = Signer::new("two").sign(&with("exp", json!(NOW + 9000)));
        assert_eq!(world.outcome(&strange, at(now)).await, "unavailable");
    }
}

/// Lets other tasks run until they all wait.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_crowd_makes_one_reading() {
    let world = Arc::new(World::new());
    world.network.hold();
    let token = world.signer.sign(&claims());
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (world, token) = (Arc::clone(&world), token.clone());
            tokio::spawn(async move { world.outcome(&token, at(0)).await })
        })
        .collect();
    settle().await;
    assert_eq!(world.network.asked(), 1);
    world.network.let_go();
    for one in crowd {
        assert_eq!(one.await.unwrap(), "proven");
    }
    assert_eq!(world.network.asked(), 1);
    // A refresh in progress holds nobody up who has a usable key.
    world.network.hold();
    let later = world.signer.sign(&with("exp", json!(NOW + 9000)));
    let refreshing = {
        let (world, later) = (Arc::clone(&world), later.clone());
        tokio::spawn(async move { world.outcome(&later, at(600)).await })
    };
    settle().await;
    assert_eq!(world.network.asked(), 2);
    assert_eq!(world.outcome(&later, at(600)).await, "proven");
    world.network.let_go();
    assert_eq!(refreshing.await.unwrap(), "proven");
}

#[tokio::test]
async fn whoever_hangs_up_spoils_no_reading() {
    let world = Arc::new(World::new());
    world.network.hold();
    let token = world.signer.sign(&claims());
    let gone = {
        let (world, token) = (Arc::clone(&world), token.clone());
        tokio::spawn(async move { world.outcome(&token, at(0)).await })
    };
    settle().await;
    assert_eq!(world.network.asked(), 1);
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    world.network.let_go();
    assert_eq!(world.outcome(&token, at(1)).await, "proven");
    assert_eq!(world.network.asked(), 1, "the reading went on");
}

#[tokio::test]
async fn discovery_must_name_the_issuer_exactly() {
    const CONFIGURATION: &str = "https://idp.example/.well-known/openid-configuration";
    for (issuer, document, expected) in [
        (ISSUER, json!({"issuer": ISSUER, "jwks_uri": KEYS}), "proven"),
        (
            "https://idp.example/",
            json!({"issuer": "https://idp.example/", "jwks_uri": KEYS}),
            "proven",
        ),
        (
            ISSUER,
            json!({"issuer": "https://idp.example/", "jwks_uri": KEYS}),
            "unavailable",
        ),
        (
            ISSUER,
            json!({"issuer": "https://evil.example", "jwks_uri": KEYS}),
            "unavailable",
        ),
        (ISSUER, json!({"jwks_uri": KEYS}), "unavailable"),
        (ISSUER, json!({"issuer": ISSUER}), "unavailable"),
        (
            ISSUER,
            json!({"issuer": ISSUER, "jwks_uri": ["x"]}),
            "unavailable",
        ),
        (ISSUER, json!([]), "unavailable"),
    ] {
        let world = World::new();
        world.network.answer(CONFIGURATION, document.to_string());
        let jwt = JwtAuthenticator::new(
            issuer,
            ["jit"],
            [Algorithm::Es256],
            KeyLocation::Discover,
            world.network.clone(),
        );
        let world = World {
            jwt: jwt.unwrap(),
            ..world
        };
        let token = world.signer.sign(&with("iss", json!(issuer)));
        assert_eq!(world.outcome(&token, at(0)).await, expected, "{document}");
        let warm = world.jwt.warm_up(at(1)).await;
        assert_eq!(warm.is_ok(), expected == "proven", "{document}");
    }
}
