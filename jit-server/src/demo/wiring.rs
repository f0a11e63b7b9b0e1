//! How the parts of the demo hang together.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use jit_console::ApiSettings;
use jit_console::web::{Console, ConsoleSettings};
use jit_core::broker::Broker;
use jit_core::broker::passkeys::StoredPasskeys;
use jit_core::broker::store::Store;
use jit_core::clock::Clock;
use jit_core::gate::Gate;
use jit_core::gate::authenticate::Authenticator;
use jit_core::gate::authenticators::Authenticators;
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::interactions::Interactions;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::step_up::{StepUpSettings, StepUps};
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::totp::Totp;
use jit_tower::JitLayer;

use super::cast::Cast;
use crate::BoxError;
use crate::proxy::Proxy;
use crate::refusal::ToConsole;

/// The parts of the demo.
pub(super) struct House {
    /// The application behind its gate, with the control API and the console's entrance.
    pub(super) guarded: Router,
    /// The console, with the control API.
    pub(super) console: Router,
    pub(super) broker: Broker,
}

/// Puts the parts together around an `upstream`; browsers reach the console at `origin`, and are sent there from the address `console`.
pub(super) async fn wire(
    cast: Cast,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    upstream: SocketAddr,
    guarded: SocketAddr,
    console: SocketAddr,
    origin: &str,
) -> Result<House, BoxError> {
    let Cast {
        policy,
        people,
        visitors,
        ..
    } = cast;
    let people = Arc::new(people);
    let tokens = people.tokens().into_iter();
    let tokens = Arc::new(ApiTokens::new(
        tokens.map(|token| (token.sha256, token.principal)),
    )?);
    let rules = RuleSet::compile(policy.resources(), policy.open())?;
    let interactions = Arc::new(Interactions::new());
    let factor = Arc::new(Totp::new(people.clone()));
    let step_ups = Arc::new(StepUps::new(factor, StepUpSettings::default()));
    let passkeys = Arc::new(StoredPasskeys::new(store.clone()));
    let broker = Broker::builder(store, people.clone(), policy)
        .clock(clock.clone())
        .interactions(interactions.clone())
        .build()
        .await?;
    let settings = ConsoleSettings::new(origin)?
        .with_guarded(format!("http://{guarded}"))?
        .with_guarded(format!("http://localhost:{}", guarded.port()))?
        .with_alias(format!("http://{console}"))?
        .with_step_ups(step_ups.clone())
        .dangerous_with_demo_people(visitors);
    // Not at an address of the network: browsers take passkeys on this machine alone, or over HTTPS.
    let settings = settings
        .clone()
        .with_passkeys(passkeys.clone())
        .unwrap_or(settings);
    let console = Console::new(broker.clone(), settings);
    let api = ApiSettings::default()
        .with_step_ups(step_ups.clone())
        .with_passkeys(passkeys.clone())
        .with_console(origin);
    let control = || jit_console::mounted(broker.clone(), api.clone());

    let who: [Arc<dyn Authenticator>; 2] = [tokens.clone(), Arc::new(console.guarded_sessions())];
    let who = Authenticators::new(who)?;
    let gate = Gate::builder(
        rules,
        broker.enforcer().clone(),
        who,
        people.clone(),
        clock.clone(),
    )
    .with_reserve(Arc::new(broker.clone()))
    .with_asking(Arc::new(broker.clone()))
    .with_hold(HoldSettings::default())
    .with_interactions(interactions)
    .with_step_ups(step_ups.clone())
    .build();
    let guarded = Proxy::new(upstream)?
        .router()
        .merge(control())
        .merge(console.entrance())
        .layer(JitLayer::new(gate).with_refusal(ToConsole::new(console.clone())));

    // Nothing is guarded at the console: its gate tells the control API who asks, and the pages have sessions of their own.
    let nothing = RuleSet::compile(&[], &[])?;
    let gate = Gate::builder(nothing, broker.enforcer().clone(), tokens, people, clock)
        .with_control_on_any_host()
        .with_step_ups(step_ups)
        .build();
    let console = console.router().merge(control().layer(JitLayer::new(gate)));
    Ok(House {
        guarded,
        console,
        broker,
    })
}
