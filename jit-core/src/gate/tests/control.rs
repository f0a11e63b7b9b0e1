use super::*;

#[tokio::test]
async fn a_lockdown_leaves_the_control_api_reachable() {
    let world = world().publish(&active(1));
    world.gate.enforcer().lock(&Lockdown {
        id: LockdownId::from_u128(1),
        target: lockdown::Target::All,
        reason: String::new(),
        principal: "local|boss".parse().unwrap(),
        person: "boss".parse().unwrap(),
        at: at(0),
    });
    assert_eq!(world.as_ana().await, "locked-down");
    assert_eq!(
        world.ask("app.example", "/_jit", &[ANA_TOKEN]).await,
        "control local|ana"
    );
}

#[tokio::test]
async fn the_control_api_may_have_another_place() {
    let world = world_with(|builder| {
        builder
            .with_control_prefix("/-/access")
            .unwrap()
            .with_control_on_any_host()
    });
    assert_eq!(world.ask("other.example", "/-/access/v1", &[]).await, "control ");
    assert_eq!(world.ask("other.example", "/_jit", &[]).await, "unknown-host");
    let world = self::world();
    for bad in ["/", "jit", "/a/../b", ""] {
        let gate = Gate::builder(
            RuleSet::default(),
            world.gate.enforcer().clone(),
            world.tokens.clone(),
            world.people.clone(),
            world.clock.clone(),
        );
        assert!(gate.with_control_prefix(bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn where_the_control_api_is_not_none_of_its_paths_passes() {
    let world = world_with(|builder| builder.with_control_on_any_host().without_control_api());
    for path in ["/_jit", "/_jit/v1/me"] {
        assert_eq!(world.ask("app.example", path, &[ANA_TOKEN]).await, "not-open");
        assert_eq!(world.ask("other.example", path, &[]).await, "unknown-host");
    }
    let whole = [resource("all", "/")];
    world.gate.set_rules(RuleSet::compile(&whole, &[]).unwrap());
    assert_eq!(world.ask("app.example", "/_jit", &[]).await, "unauthenticated");
}

/// Ana, wherever this is what shows her.
#[derive(Debug)]
struct Shows(CredentialSource);

#[async_trait]
impl Authenticator for Shows {
    fn present<'r>(&self, _: &'r Parts, _: Option<IpAddr>) -> Presented<'r> {
        Presented::Credential {
            bytes: b"ana".into(),
            source: self.0,
        }
    }

    async fn verify(&self, _: &[u8], _: CredentialSource, _: Timestamp) -> Result<Subject, AuthError> {
        Ok(subject(ANA))
    }

    fn revoked(&self, _: &Digest) -> bool {
        false
    }
}

/// A page of the guarded application is of the same origin as the control API beside it.
#[tokio::test]
async fn no_page_decides_by_what_its_browser_shows() {
    use CredentialSource::{Authorization, Connection, Proxy};
    let (by_ana, by_nobody) = ("control local|ana", "control ");
    for (source, by_program, by_page) in [
        (Authorization, by_ana, by_ana),
        (Connection, by_ana, by_nobody),
        (Proxy, by_ana, by_nobody),
        (Cookie, by_nobody, by_nobody),
    ] {
        let world = world_with(|mut builder| {
            builder.inner.authenticators = Arc::new(Shows(source)).into();
            builder
        })
        .publish(&active(1));
        for (fields, expected) in [
            (&[][..], by_program),
            (&[("origin", "https://app.example")], by_page),
            (&[("sec-fetch-site", "same-origin")], by_page),
            (&[("sec-fetch-site", "none")], by_page),
        ] {
            let told = world.ask("app.example", "/_jit/v1/me", fields).await;
            assert_eq!(told, expected, "{source:?} {fields:?}");
            assert_eq!(
                world.ask("app.example", "/admin", fields).await,
                format!("admit {ANA}")
            );
        }
    }
}
