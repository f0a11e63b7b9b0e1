//! Just-in-time access for load balancers: the heart.
//!
//! A route is shut until somebody has asked for it, the people whom the policy names have agreed, and a grant is live; and it is shut
//! again when the grant's window closes, or someone takes it away. The story of one access, and where it is told:
//!
//! 1. **A request comes to the door.** [`gate::Gate::decide`] reads its target in its one spelling ([`gate::target`]), finds who is behind
//!    it ([`gate::authenticate`]), which resource governs it ([`gate::rules`]), and whether a live grant admits it
//!    ([`gate::enforcer`]). The answer is a [`gate::permit::Permit`] or a [`gate::refusal::Refusal`]: a value, from memory, at once.
//! 2. **It is refused, so its sender asks.** [`broker::Broker::ask`] takes an [`approval::ask::Ask`]. The compiled [`policy::Policy`] answers
//!    with a ruling: what may be had, for how long, and who must agree.
//! 3. **They agree.** [`broker::Broker::review`] names the digest of what the reviewer saw. The approval machine ([`approval`]) is pure: state,
//!    command and `now` go in, events come out, and its 22 rules stand in its documentation.
//! 4. **It is written.** State and audit record are one transaction of the [`broker::store::Store`]. Only then is the grant published to the
//!    enforcer, and the same request is admitted.
//! 5. **It ends.** By the clock at `not_after`, whether or not anybody writes it down; or sooner: released, revoked, idle, unused, used up,
//!    locked down. Every step is a record in one hash chain ([`approval::audit`]).
//!
//! What users bring are ports: a [`broker::store::Store`] ([`memory::MemoryStore`], or the crate `jit-store-sqlite`), a
//! [`broker::directory::Directory`] ([`broker::people::PeopleFile`]), an [`gate::authenticate::Authenticator`]
//! ([`gate::tokens::ApiTokens`]), a [`broker::notify::Notifier`], a [`clock::Clock`]. Each states its contract, and the feature `testing` has
//! laws that prove an implementation. The crate `jit-tower` puts the gate around a tower service, `jit-console` serves the broker over
//! HTTP.
//!
//! # Features
//!
//! None is on by default, and none changes what is decided.
//!
//! | feature | gives |
//! |---|---|
//! | `cel` | conditions in automatic rules; without it a policy that has some is refused |
//! | `schema` | [`policy`]'s JSON Schema |
//! | `testing` | the laws, and a clock that moves when told |
//! | `totp` | codes of authenticator apps as a second factor; without it a people file that has secrets for them is refused |
//! | `yaml` | policy and people files in YAML; without it they are refused |
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "a panic in the gate is an outage, and an unwind in the broker loses a decision"
    )
)]

pub mod approval;
pub mod broker;
pub mod clock;
pub mod gate;
pub mod id;
pub mod memory;
pub mod policy;
pub mod span;
#[cfg(feature = "testing")]
pub mod testing;
