//! Authorization endpoints that other balancers call: may this request pass?
//!
//! NGINX, Traefik, Caddy, HAProxy and Envoy can ask a service before they forward a request. This is that service, over the same
//! [`Gate`](jit_core::gate::Gate) and with the same decision as every other door.
//!
//! | endpoint | for | reads |
//! |---|---|---|
//! | `/authz/auth-request` | NGINX `auth_request` | `X-Original-Method`, and `X-Original-URL` or `X-Original-Proto`, `-Host` and `-URI` |
//! | `/authz/forward-auth` | Traefik, Caddy, HAProxy (Lua) | `X-Forwarded-Method`, `-Proto`, `-Host` and `-Uri` |
//! | `/authz/ext-authz/…` | Envoy `ext_authz` over HTTP | its own method and Host, and the path after the prefix |
//! | `envoy.service.auth.v3.Authorization/Check` | Envoy `ext_authz` over gRPC | the attributes; feature `grpc` |
//!
//! ```no_run
//! use jit_authz::{Authz, AuthzSettings};
//! use jit_core::gate::Gate;
//! use jit_core::gate::hygiene::TrustedProxies;
//!
//! async fn answer(gate: Gate) -> Result<(), Box<dyn std::error::Error>> {
//!     let proxies = TrustedProxies::parse(["10.0.0.7"])?;
//!     let settings = AuthzSettings::new(proxies)?.with_page("https://access.example.com/ask")?;
//!     let listener = tokio::net::TcpListener::bind("10.0.0.2:9000").await?;
//!     Ok(Authz::new(gate, settings).serve(listener).await?)
//! }
//! ```
//!
//! # Rules
//!
//! 1. Listed proxies are answered, nobody else. An empty list is an error at the start, and so is a list of everyone.
//! 2. What a balancer says of the request is read once and byte for byte. A field that is missing, doubled, spelled in another way or
//!    malformed refuses the request: nothing is guessed, and no dialect stands in for another.
//! 3. The head of the original request is put together again, with its path as it came, and the gate decides on it by the rules
//!    of [`jit_core::gate::target`]. The client's address is the last in `X-Forwarded-For` that is no listed proxy's. The
//!    balancer's own is never taken for it.
//!    `X-Original-Connection` is the client's Connection field, for balancers that keep that to themselves; it may be missing.
//! 4. "Allow" is 200 with an empty body and `Remote-User`, `Remote-Groups`, `X-Jit-Grant` and `X-Jit-Expires` as far as they are known,
//!    and with `Authorization` and `Cookie` as the upstream may see them: without the gate's own credential. A balancer must
//!    put these in place of what the client sent, and drop the client's where one is missing.
//! 5. Everything else is no 2xx, whatever went wrong. Programs get problem+json, browsers a page, or a redirect (303) to the page where
//!    they can sign in or ask, if there is [one](AuthzSettings::with_page).
//! 6. NGINX makes an error of every answer but 2xx, 401 and 403, and drops bodies: `/authz/auth-request` answers 401 or 403 alone,
//!    and says the rest in `X-Jit-Status`, `X-Jit-Refusal`, `X-Jit-Problem` (JSON) and `Location`.
//! 7. An offer of h2c is refused wherever it is made: what a balancer lets through such a tunnel is asked about by nobody.
//! 8. The control API's own paths are refused, unless [let through](AuthzSettings::with_control_passage).
//! 9. Questions that wait for a look-up, connections, heads and waits are bounded. One question too many is refused, never queued; those
//!    that memory answers go on.
//!
//! A refusal's response has the [`Refusal`](jit_core::gate::refusal::Refusal) or the [`BadMetadata`] in its extensions.
//!
//! `Remote-User` is the principal, `issuer|subject`; `Remote-Groups` the roles that the Directory knows, separated by commas. Bytes that
//! are not visible ASCII, `%` and `,` are percent-encoded in both.
//!
//! # Deployment caveats
//!
//! - What the balancer asks about must be what it forwards. Turn off everything that rewrites paths, merges slashes or decodes between the
//!   two; the configurations in `examples/balancers` do that and say why.
//! - A balancer asks once, when a request begins. Nothing is cut here when a grant ends: bound the duration of responses in the balancer.
//!   Requests that change the protocol of their connection are refused on protected routes; Traefik and NGINX do not
//!   always say that a request does so, and have to refuse it themselves.
//! - For the same reason a grant with a limit on concurrent requests or on bytes admits nothing here.
//! - Nobody asks for access in the same step here, and no request is held until it is approved (`Jit-Reason`, `Prefer: wait=N`): a
//!   balancer's patience ends within seconds, and not every balancer hands on what tells a program from a browser's navigation. Such a
//!   request is refused like any other, and the refusal says where to ask.
//! - What is admitted here is recorded under its grant without status, octets and end: those are the balancer's to see.
//! - A balancer must not cache answers.
//! - A balancer that can't reach this service must refuse. Envoy does so unless `failure_mode_allow` is set.
//! - Envoy over HTTP must refuse targets with a `#`, as it does by default: `http::Uri` would drop what follows.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `grpc` | Envoy's gRPC, and HTTP/2 without TLS on the listener |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod answer;
mod check;
mod dialect;
#[cfg(feature = "grpc")]
mod grpc;
mod metadata;
mod router;
mod serve;
mod settings;

pub use check::Authz;
pub use metadata::BadMetadata;
pub use settings::{AuthzSettings, SettingsError};
