//! The Authenticator: who is behind this request?

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use async_trait::async_trait;
use http::request::Parts;

use crate::approval::ask::Assurance;
use crate::id::{Digest, Principal, Timestamp};

/// A principal as proven on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The identity.
    pub principal: Principal,
    /// How it was proven.
    pub assurance: Assurance,
    /// What the issuer says besides, for conditions and role mappings.
    pub claims: BTreeMap<String, serde_json::Value>,
    /// When the credential ends; a session made from it never outlives this.
    pub expires_at: Option<Timestamp>,
}

/// Where in the request a credential stood: it is stripped from there before the request is forwarded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CredentialSource {
    /// The `Authorization` header.
    Authorization,
    /// The gate's own cookie.
    Cookie,
    /// Header fields that a listed proxy sets. They have reserved names ([`is_reserved`](crate::gate::hygiene::reserved::is_reserved)) and so
    /// are dropped in any case.
    Proxy,
    /// The connection's own handshake: nothing of it is in the request.
    Connection,
    /// Where a credential that is bound to a grant stands: the `Jit-Credential` header or its cookie. The gate reads it; no
    /// authenticator does.
    Grant,
}

/// What a request presents, before anything about it is proven.
pub enum Presented<'r> {
    /// Nothing that this authenticator reads.
    Nothing,
    /// A credential.
    Credential {
        /// Everything that verification will depend on, exactly: the session cache is keyed by a hash over it. What stands in several
        /// fields is put together so that no two sets of fields give the same bytes; only that may allocate.
        bytes: Cow<'r, [u8]>,
        /// Where it stood.
        source: CredentialSource,
    },
    /// Something of this authenticator's kind that can't be a credential: empty, doubled, malformed, too long.
    Malformed,
}

impl fmt::Debug for Presented<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("Nothing"),
            Self::Credential { source, .. } => write!(f, "Credential(<redacted>, {source:?})"),
            Self::Malformed => f.write_str("Malformed"),
        }
    }
}

/// Why nobody was proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthError {
    /// The credential is not valid: unknown, expired, forged, for someone else.
    #[error("the credential is not valid")]
    Invalid,
    /// Whatever verifies it did not answer.
    #[error("the credential could not be verified: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Proves who is behind a request. Several are combined by [`Authenticators`](crate::gate::authenticators::Authenticators).
///
/// # Contract
/// - `present` only finds the credential: no I/O, no clock, no allocation for a credential that stands in one place; it is called
///   for every request. What must hold for each request, such as that a field came from a listed proxy, is checked here.
/// - `verify` is called when the credential is not in the session cache. Every doubt is an error; an error is a refusal.
/// - Nothing of the credential is ever printed or kept; what is kept is its hash.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync + 'static {
    /// Finds the credential in a request head.
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r>;

    /// Proves a credential that `present` found. `source` is where that was.
    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError>;

    /// Whether a credential that was proven before has been revoked since; asked with the SHA-256 of its bytes, from memory, for
    /// every request of a cached session.
    fn revoked(&self, credential: &Digest) -> bool;

    /// A number that is another one after anything that was proven has been revoked: changed after [`Authenticator::revoked`] says so.
    /// Where it is what it was before a credential was verified, that is not asked. `None`: ask for every request.
    fn revocations(&self) -> Option<u64> {
        None
    }
}
