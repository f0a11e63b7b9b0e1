//! Authenticators for [`jit_core`]: who is behind a request, by proofs that others issue.
//!
//! Each is a feature, none is on by default, and each refuses whatever it is not sure of. Several are combined with
//! [`Authenticators`](jit_core::gate::authenticators::Authenticators), and API tokens with them.
//!
//! | feature | gives | proves |
//! |---|---|---|
//! | `jwt` | [`jwt`] | bearer JWTs of an OpenID Connect provider, with its published keys; CI jobs |
//! | `alb` | [`alb`] | what an AWS Application Load Balancer signed after signing somebody in |
//! | `mtls` | [`mtls`] | client certificates: SPIFFE ids, DNS names, e-mail addresses, common names |
//! | `trusted-header` | [`trusted_header`] | what a listed proxy says in a header field |
//! | `oidc` | [`oidc`] | people who sign in at an OpenID Connect provider, for the console |
//! | `fetch` | [`fetch::HttpsFetch`] | the client that gets published keys for the first two, and calls the provider for `oidc` |
//!
//! # Rules for all of them
//! 1. A principal is (issuer, subject), compared byte for byte. An e-mail address is display text.
//! 2. Whatever must be decided by the operator (issuer, audience, algorithms, proxies, names) has no default: without it nothing is
//!    built. Switches that weaken a rule are named `dangerous_…`.
//! 3. `now` comes in; no clock is read.
//! 4. Why a credential was refused is a `debug` event without anything of the credential, and never told to who presented it.
//!
//! # Deployment caveats
//! - What they prove is who asks. What that person may ask for, and who they are when they review, is the
//!   [`Directory`](jit_core::broker::directory::Directory)'s word: a file of people, or claims turned into roles by
//!   [`ClaimsDirectory`](jit_core::broker::claims::ClaimsDirectory).
//! - A proof is believed for at most 60 s before it is checked again ([`SESSION_MAX`](jit_core::gate::SESSION_MAX)), and never past its end.
//!   To put somebody out at once, lock them down.
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
        reason = "a panic in the gate is an outage"
    )
)]

#[cfg(feature = "alb")]
pub mod alb;
#[cfg(any(feature = "jwt", feature = "fetch"))]
pub mod fetch;
#[cfg(any(feature = "alb", feature = "trusted-header"))]
mod fields;
#[cfg(feature = "jwt")]
mod jose;
#[cfg(feature = "jwt")]
pub mod jwt;
#[cfg(feature = "mtls")]
pub mod mtls;
#[cfg(feature = "oidc")]
pub mod oidc;
#[cfg(feature = "trusted-header")]
pub mod trusted_header;
