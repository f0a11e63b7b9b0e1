//! The console: pages for the people who ask, decide and look on, as a router for an origin of its own; and sign-in for browsers, there
//! and at the guarded origins.
//!
//! # Rules
//!
//! 1. The console has an origin of its own, apart from everything that is guarded: a script on a guarded page can't read its pages or
//!    post its forms. Its cookie has a name of its own, and a gate never passes it on to an upstream.
//!    It answers under its own host and port, and no other.
//! 2. Pages are made by the server and need no script: with scripts, those that wait are told when to load themselves again. GET and
//!    HEAD change nothing that is kept; what decides anything is a POST of a form, which `Sec-Fetch-Site` or `Origin` must show to come
//!    from the console itself, with a token that is bound to the session and to the digest of what the page showed.
//! 3. A session ends 30 minutes after its last use, 12 hours after sign-in, when its person signs out, or when their passkeys are cleared.
//!    A page that stands open and looks for changes by its scripts does not use it. What a browser holds is 256 random bits; only their
//!    SHA-256 is kept, in memory alone.
//! 4. Where a browser is sent back to comes from the server's memory, never from an address: an address names a slip of 128 random
//!    bits that the server keeps for 15 minutes. Whoever is away at the provider may bring it back in a cookie that only the server reads
//!    and writes.
//! 5. A sign-in reaches the guarded origins that [`ConsoleSettings::with_guarded`] lists, and no other, by a code that is good once, for
//!    30 seconds, and only in the browser that was sent away from there. What it carries over counts at that host and port alone.
//! 6. Who a visitor is comes from an OpenID Connect provider (feature `oidc`), by code and PKCE: `ConsoleSettings::with_provider`. What comes
//!    back counts once, within 10 minutes, in the browser that was sent there, which keeps all that it is checked against in an encrypted
//!    cookie: however many go to sign in, nobody is pushed out.
//! 7. Where a policy or a stage wants a second factor that the session lacks, its person is led to prove one, and back to where they were with
//!    what they had typed. The session then has it for as long as [`StepUps`] say, under a new cookie.
//! 8. All text that came from people is escaped by the templates, and was cleaned before it was kept.
//!
//! # Deployment caveats
//!
//! - Cookies carry `__Host-` and `Secure`: serve the console over HTTPS. Browsers make an exception for `localhost` and `127.0.0.1`.
//! - Where the origin is `https://`, answers say so for a year ([`ConsoleSettings::with_strict_transport`]): that is for the host name, on all
//!   ports.
//! - Cookies don't tell ports apart. Give the console a host name that nothing else is served under; on one shared with a guarded
//!   application, the application's gate keeps the console's cookie from it.
//! - Sessions are of this process: a restart signs everyone out. Passkeys that are cleared elsewhere end no session here; an
//!   [API](crate::api) over a clone of the same broker ends them.
//! - Without scripts a list that stands open loads itself again as a whole, which counts as use: its session lives for 12 hours.

mod cookies;
#[cfg(feature = "oidc")]
mod departures;
mod errands;
mod failure;
mod frame;
mod guarded;
mod handoff;
mod pages;
#[cfg(feature = "passkeys")]
mod passkeys;
mod session;
mod settings;
mod slips;
mod visitor;

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Redirect, Response};
use http::header::STRICT_TRANSPORT_SECURITY;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, StatusCode};
use jit_core::broker::Broker;
use jit_core::broker::passkeys::Proofs;
use jit_core::gate::step_up::{StepUpSettings, StepUps};
use tower_http::csrf::CsrfLayer;

pub use cookies::CONSOLE_COOKIE;
pub use guarded::GuardedSessions;
pub use handoff::Landing;
#[cfg(feature = "passkeys")]
pub use settings::PasskeysError;
pub use settings::{ConsoleSettings, DemoPerson, OriginError};

#[cfg(feature = "oidc")]
use departures::Departures;
use errands::{Errand, NoCodes};
use failure::Failure;
use handoff::{Code, Return, authority};
use session::Sessions;
use slips::Slips;

use crate::wait::Seats;

/// Pages that look for changes at once, in all and for one person.
const WATCHERS: (usize, usize) = (1024, 16);

/// The console of one installation. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Console(Arc<Inner>);

struct Inner {
    broker: Broker,
    settings: ConsoleSettings,
    sessions: Arc<Sessions>,
    returns: Slips<Return>,
    codes: Slips<Code>,
    errands: Slips<Errand>,
    step_ups: Arc<StepUps>,
    #[cfg(feature = "passkeys")]
    passkeys: Option<passkeys::Passkeys>,
    watchers: Seats,
    #[cfg(feature = "oidc")]
    departures: Departures,
}

impl Console {
    /// The console over what `broker` decides.
    pub fn new(broker: Broker, settings: ConsoleSettings) -> Self {
        let none = || Arc::new(StepUps::new(Arc::new(NoCodes), StepUpSettings::default()));
        let step_ups = settings.step_ups.clone().unwrap_or_else(none);
        let sessions = Arc::new(Sessions::default());
        let proofs: [Arc<dyn Proofs>; 2] = [step_ups.clone(), sessions.clone()];
        for proofs in &proofs {
            broker.end_with_passkeys(proofs);
        }
        Self(Arc::new(Inner {
            broker,
            step_ups,
            #[cfg(feature = "passkeys")]
            passkeys: (settings.passkeys.clone())
                .map(|(webauthn, store)| passkeys::Passkeys::new(webauthn, store)),
            settings,
            sessions,
            returns: Slips::new(handoff::RETURN_LIFE),
            codes: Slips::new(handoff::CODE_LIFE),
            errands: Slips::new(handoff::RETURN_LIFE),
            watchers: Seats::new(WATCHERS.0, WATCHERS.1),
            #[cfg(feature = "oidc")]
            departures: Departures::default(),
        }))
    }

    /// The pages, for the root of the console's own origin.
    pub fn router(&self) -> Router {
        pages::router()
            .layer(CsrfLayer::new())
            .layer(from_fn_with_state(self.clone(), own_host))
            .layer(from_fn(frame::finish))
            .layer(from_fn_with_state(self.clone(), strict_transport))
            .with_state(self.clone())
    }

    /// Who is signed in at the guarded origins: to be put among the gate's authenticators.
    pub fn guarded_sessions(&self) -> GuardedSessions {
        GuardedSessions::new(self.0.sessions.clone())
    }
}

/// Answers under the console's own host and port alone: a name that somebody else points here (DNS rebinding) would make their pages the
/// console's origin.
async fn own_host(State(console): State<Console>, request: Request, next: Next) -> Response {
    let settings = &console.0.settings;
    let asked = authority(request.uri(), request.headers());
    if asked.is_some_and(|asked| settings.is_own_host(asked)) {
        return next.run(request).await;
    }
    let origin = settings.origin();
    if asked.is_some_and(|asked| settings.is_alias(asked)) && request.method() == Method::GET {
        let page = request.uri().path_and_query().map_or("/", PathAndQuery::as_str);
        return Redirect::temporary(&format!("{origin}{page}")).into_response();
    }
    let detail = format!("The console is at {origin} alone. Go there.");
    Failure::new(
        StatusCode::MISDIRECTED_REQUEST,
        "This is not the console's address",
        detail,
    )
    .into_response()
}

/// Has browsers come by HTTPS alone from now on (RFC 6797), where they can. Guarded origins decide that for themselves.
async fn strict_transport(State(console): State<Console>, request: Request, next: Next) -> Response {
    let asked = authority(request.uri(), request.headers());
    let strict = asked.is_some_and(|asked| console.0.settings.is_strict_at(asked));
    let mut response = next.run(request).await;
    if strict {
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
