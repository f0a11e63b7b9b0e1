//! How the parts hang together.

use std::sync::Arc;

use axum::Router;
use axum::middleware::{from_fn, from_fn_with_state};
use jit_auth::oidc::CodeFlow;
use jit_authz::Authz;
use jit_console::ApiSettings;
use jit_console::web::Console;
use jit_core::broker::passkeys::StoredPasskeys;
use jit_core::broker::store::Store;
use jit_core::broker::{Broker, Rejection};
use jit_core::clock::Clock;
use jit_core::gate::Gate;
use jit_core::gate::authenticators::Authenticators;
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::interactions::Interactions;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::step_up::{StepUpSettings, StepUps};
use jit_core::gate::totp::Totp;
use jit_tower::JitLayer;

use super::config::{Config, SignIn};
use super::identity::Identity;
use super::measures;
use super::papers::Papers;
use super::tls::Handshakes;
use super::upstreams::Upstreams;
use crate::BoxError;
use crate::refusal::ToConsole;

/// The parts.
pub(super) struct House {
    pub(super) broker: Broker,
    pub(super) interactions: Arc<Interactions>,
    pub(super) upstreams: Arc<Upstreams>,
    /// The applications behind their gate, with the control API and the console's entrance.
    pub(super) guarded: Router,
    /// The console, with the control API.
    pub(super) console: Option<Router>,
    pub(super) authz: Option<Router>,
    pub(super) current: Current,
}

/// What a reload changes.
pub(super) struct Current {
    pub(super) broker: Broker,
    pub(super) identity: Identity,
    /// The gate in front of the applications.
    pub(super) gate: Gate,
    /// The gate that says who calls the control API at the console.
    pub(super) desk: Option<Gate>,
    pub(super) gate_tls: Option<Arc<Handshakes>>,
    pub(super) console_tls: Option<Arc<Handshakes>>,
    pub(super) upstreams: Arc<Upstreams>,
    pub(super) clock: Arc<dyn Clock>,
}

/// Puts the parts together.
pub(super) async fn wire(
    config: &mut Config,
    papers: Papers,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
) -> Result<House, BoxError> {
    let Papers {
        policy,
        rules,
        people,
        gate_tls,
        console_tls,
        mut trusts,
        ..
    } = papers;
    let sign_in = config.console.as_mut().and_then(|console| console.sign_in.take());
    let mappings = policy.mappings().clone();
    let identity = Identity::new(
        people,
        &config.issuers,
        config.mtls.clone(),
        mappings,
        sign_in.is_some(),
        store.clone(),
    )?;
    let directory = identity.directory();
    let interactions = Arc::new(Interactions::new());
    let passkeys = Arc::new(StoredPasskeys::new(store.clone()));
    let built = Broker::builder(store, directory.clone(), policy)
        .clock(clock.clone())
        .interactions(interactions.clone())
        .build();
    let broker = built.await.map_err(|error: Rejection| {
        let told = format!("what the database holds can't be taken up: {error}");
        BoxError::from(told)
    })?;
    // Codes of authenticator apps, for those who have a secret in the people file.
    let factor = Arc::new(Totp::new(identity.people().clone()));
    let step_ups = Arc::new(StepUps::new(factor, StepUpSettings::default()));
    let console_url = (config.console.as_ref()).map(|console| console.settings.origin().to_owned());
    let console = config.console.as_ref().map(|console| {
        let settings = console.settings.clone().with_step_ups(step_ups.clone());
        // Browsers take passkeys at host names alone: a console that is reached by its address does without.
        let settings = settings
            .clone()
            .with_passkeys(passkeys.clone())
            .unwrap_or(settings);
        let settings = match sign_in {
            Some(SignIn {
                name,
                registration,
                proof,
                fetch,
            }) => settings.with_provider(name, CodeFlow::new(registration, identity.sign_in(proof), fetch)),
            None => settings,
        };
        Console::new(broker.clone(), settings)
    });

    let mut who = identity.authenticators();
    if let Some(console) = &console {
        who.push(Arc::new(console.guarded_sessions()));
    }
    who.extend(identity.clients());
    let gate = Gate::builder(
        rules,
        broker.enforcer().clone(),
        Authenticators::new(who)?,
        directory.clone(),
        clock.clone(),
    )
    .with_reserve(Arc::new(broker.clone()))
    .with_asking(Arc::new(broker.clone()))
    .with_hold(HoldSettings::default())
    .with_interactions(interactions.clone())
    .with_step_ups(step_ups.clone())
    .build();

    let upstreams = Arc::new(Upstreams::new(
        std::mem::take(&mut config.upstreams),
        &mut trusts,
        clock.clone(),
    ));
    let control = |door: &'static str| {
        let settings = ApiSettings::default()
            .with_step_ups(step_ups.clone())
            .with_passkeys(passkeys.clone());
        let settings = match &console_url {
            Some(url) => settings.with_console(url.clone()),
            None => settings,
        };
        jit_console::mounted(broker.clone(), settings).layer(from_fn_with_state(door, measures::control))
    };
    let applications = upstreams
        .router()
        .layer(from_fn(measures::passages))
        .merge(control("gate"));
    let guarded = match &console {
        Some(console) => {
            let entrance = console.entrance();
            let entrance = entrance.layer(from_fn_with_state("gate", measures::control));
            let layer = JitLayer::new(gate.clone()).with_refusal(ToConsole::new(console.clone()));
            applications.merge(entrance).layer(layer)
        }
        None => applications.layer(JitLayer::new(gate.clone())),
    };
    let guarded = guarded.layer(from_fn_with_state("gate", measures::refusals));

    // Nothing is guarded at the console: its gate tells the control API who asks, and the pages have sessions of their own.
    let who = identity.authenticators().into_iter().chain(identity.clients());
    let who = Authenticators::new(who)?;
    let desk = console.as_ref().map(|_| {
        let (nothing, enforcer) = (RuleSet::default(), broker.enforcer().clone());
        Gate::builder(nothing, enforcer, who, directory, clock.clone())
            .with_control_on_any_host()
            .with_step_ups(step_ups.clone())
            .build()
    });
    let console = console.zip(desk.clone()).map(|(console, desk)| {
        let control = control("console").layer(JitLayer::new(desk));
        let control = control.layer(from_fn_with_state("console", measures::refusals));
        console.router().merge(control)
    });
    let authz = config.authz.as_ref().map(|authz| {
        let router = Authz::new(gate.clone(), authz.settings.clone()).router();
        router
            .layer(from_fn(measures::questions))
            .layer(from_fn_with_state("authz", measures::refusals))
    });
    Ok(House {
        interactions,
        upstreams: upstreams.clone(),
        guarded,
        console,
        authz,
        current: Current {
            broker: broker.clone(),
            identity,
            gate,
            desk,
            gate_tls: gate_tls.map(Handshakes::new),
            console_tls: console_tls.map(Handshakes::new),
            upstreams,
            clock,
        },
        broker,
    })
}
