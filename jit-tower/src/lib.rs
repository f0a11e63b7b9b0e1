//! Just-in-time access as a [tower](https://docs.rs/tower) layer: a request is admitted under a live grant, or answered.
//!
//! # Decision rules
//!
//! [`jit_core::gate`] decides; this crate carries it out. For every request, in this order:
//!
//! 1. What is malformed in its target or headers is answered, with 400 and the like, whoever sent it.
//! 2. A path of the control API goes to the inner service with its [`Subject`] if it has a valid credential. That service must
//!    route it to the control API, which makes decisions of its own.
//! 3. What a resource protects goes to the inner service only under a live grant of its proven holder, with the [`Permit`] and the
//!    [`Subject`] in the request's extensions. Without a grant it is answered.
//!    ([`std::sync::Arc`]`<Subject>`; on the way to the control API the bare [`Subject`] as well.)
//! 4. What a rule opens goes to the inner service, with the [`Subject`] if there is one and never with a [`Permit`].
//! 5. Everything else is answered.
//!
//! Before a request goes on, the headers with which a client could pose as a gateway are dropped
//! ([`jit_core::gate::hygiene::strip`]), and so is the gate's own credential, except on the way to the control API, where the
//! credential stays. Request trailers (RFC 9110 §6.5) are dropped as well: the inner service gets its body as a [`RequestBody`].
//!
//! Where the gate was built to ([`jit_core::gate::GateBuilder::with_asking`], [`jit_core::gate::GateBuilder::with_hold`]), a request without a
//! grant that says why it needs one (`Jit-Reason: …`, and maybe `Jit-Duration: 30m` and `Jit-Ticket: …`) asks for it in the same step, and a
//! request that prefers to wait (`Prefer: wait=30`) is parked until somebody has decided: at most a minute, and never from a browser's navigation or another
//! site. Then its sender is authenticated anew, and it is decided again and forwarded, or answered. The three fields are dropped before
//! a request goes on; `Prefer` stays.
//!
//! An answer is a response, never an error: `Error` is the inner service's. Its status is never a 2xx. The
//! [`Refusal`] is in its extensions, for layers outside this one to count and log. Programs get problem+json (RFC 9457), browsers
//! a plain page; [`JitLayer::with_refusal`] puts something else in its place.
//!
//! # Example
//!
//! ```
//! use axum::{Router, routing::get};
//! use jit_core::gate::Gate;
//! use jit_tower::{JitLayer, Permitted};
//!
//! fn app(gate: Gate) -> Router {
//!     Router::new()
//!         .route("/admin", get(|Permitted(permit): Permitted| async move {
//!             format!("hello {}, until {}", permit.holder(), permit.not_after())
//!         }))
//!         .layer(JitLayer::new(gate))
//! }
//! ```
//!
//! # Deployment caveats
//!
//! - Put the layer outside everything that rewrites paths, hosts or methods: what was decided must be what is served.
//!   With axum use `Router::layer`, after the last route and the fallback are in place; `route_layer` leaves the fallback out, and
//!   routes added after the layer are not behind it.
//! - Where the inner service does not route to the control API, build the gate
//!   [without it](jit_core::gate::GateBuilder::without_control_api): else its paths reach the application without a grant, and with the
//!   caller's credential.
//! - When its grant ends, a request in flight is cut: its bodies end with an error, and if the answer has not begun it is a refusal. What the
//!   inner service goes on doing with a task of its own is out of reach.
//! - Without the connection's handle ([`connection`]) a response that its peer does not read is cut only when the peer reads on, and requests
//!   that change the protocol of their connection are refused on protected routes. With it, WebSocket over HTTP/1.1 is admitted.
//! - A grant with a limit on bytes admits no upgrades. Both bodies count, and a frame that does not fit into what is left is not passed at all.
//! - An admitted request that has to be waited for needs a Tokio runtime with time enabled.
//! - The request's body is not read while a credential is verified or the request is parked; put a time limit outside this layer, longer
//!   than requests are parked.
//! - A parked request keeps what `poll_ready` took for it: a limit on concurrency counts it, inside this layer or outside. Make such a
//!   limit larger than the number of places ([`jit_core::gate::hold::HoldSettings::with_total`]).
//! - A client that goes away frees its place when the server drops the response's future. Over HTTP/1.1 a server may notice that late where
//!   a body is unread: the place is then free when the wait ends.
//! - The peer's address is the one that the server says ([`PeerAddr`], or axum's `ConnectInfo<SocketAddr>`); forwarding headers are
//!   dropped and never believed.
//! - A clone of a [`Permit`] that is kept keeps its place in the grant's limit of concurrent requests.
//!
//! # Features
//!
//! | feature | gives |
//! |---|---|
//! | `axum` | the extractors [`Permitted`] and [`Proven`], and the peer's address from `ConnectInfo` |
#![cfg_attr(docsrs, feature(doc_cfg))]

/// What a body fails with.
type BoxError = Box<dyn std::error::Error + Send + Sync>;

mod admitted;
mod body;
pub mod connection;
#[cfg(feature = "axum")]
mod extract;
mod future;
mod guard;
mod layer;
mod peer;
mod refuse;
mod service;
mod slot;

pub use body::{RequestBody, ResponseBody};
#[cfg(feature = "axum")]
pub use extract::{NotGuarded, Permitted, Proven};
pub use future::ResponseFuture;
pub use jit_core::gate::authenticate::Subject;
pub use jit_core::gate::permit::Permit;
pub use jit_core::gate::refusal::Refusal;
pub use layer::JitLayer;
pub use peer::PeerAddr;
pub use refuse::{DefaultRefusal, RefusalResponder, Refused};
pub use service::Jit;

/// Keeps the README's program compiling.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
