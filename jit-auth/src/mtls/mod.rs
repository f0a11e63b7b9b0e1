//! Client certificates: who is at the other end of the TLS connection.
//!
//! [`ServerTls`] makes the TLS configuration, [`TlsAcceptor`] the connections, and a [`TlsConnection`] goes into the extensions of each
//! request of a connection. [`MtlsAuthenticator`] reads it there.
//!
//! # Rules
//! 1. Without a certificate authority for clients nothing starts. A chain that does not lead to one, a certificate outside its time, one
//!    not for clients, and one on a revocation list end the handshake. A revocation list that has run out, or none for an authority when
//!    there are lists, ends it as well.
//! 2. The identity is this connection's handshake and nothing else: no session is resumed, no early data is taken, and no header field
//!    is read.
//! 3. The name that the client asked for in the handshake (SNI) must be the host of each request. A connection for another host, or for
//!    none, proves nobody.
//! 4. A name is taken from the leaf by kinds, in the order given ([`NameKind`]). The first kind that the certificate has must be there
//!    exactly once; two names of it prove nobody. SPIFFE ids must be in a trust domain that is listed.
//! 5. The principal is (the issuer given, the name): a SPIFFE id as it is, other names as `dns:…`, `email:…` and `cn:…`, so that no kind can
//!    pose as another. [`MtlsAuthenticator::only`] maps names to principals one by one instead.
//! 6. There is no assurance: a certificate does not say that somebody is at the keyboard.
//!
//! # Deployment caveats
//! - The gate must be where TLS ends. Behind a proxy that ends it, certificates are the proxy's word; use what it signs.
//! - Every authority of [`ServerTls`] can vouch for every name, in every trust domain that is listed: trust none with less than all of them.
//! - A browser may send requests for several hosts on one HTTP/2 connection if one certificate is good for all of them. They are refused
//!   by rule 3: give each host a certificate of its own.
//! - A connection outlives the revocation of its certificate: revocation lists count in the handshake.
//!   [`MtlsAuthenticator::set_revoked`] counts on the next request.

mod connection;
mod names;
mod server;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::net::IpAddr;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::request::Parts;
use jit_core::approval::ask::Assurance;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::target::Target;
use jit_core::id::{Digest, Principal, Timestamp};

pub use connection::{HANDSHAKE_MAX, HandshakeError, TlsAcceptor, TlsConnection};
pub use names::{BadTrustDomain, NameKind};
pub use server::{BadServerTls, ServerTls};

/// Why an authenticator for client certificates can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// Nobody could vouch.
    #[error(
        "the issuer {0:?} can't be one: give the certificate authority a name, such as https://ca.example.com"
    )]
    Issuer(String),
    /// No name would be read.
    #[error("no kind of name is given: say which names of a certificate count")]
    NoKind,
}

/// An [`Authenticator`] for client certificates.
pub struct MtlsAuthenticator {
    issuer: String,
    kinds: Vec<NameKind>,
    listed: Option<HashMap<String, Principal>>,
    revoked: ArcSwap<HashSet<Digest>>,
}

impl MtlsAuthenticator {
    /// Takes names of these kinds, the first that a certificate has. `issuer` is half of every principal: the name of the certificate
    /// authority.
    ///
    /// # Errors
    /// [`BadSettings`] when the issuer can't be one, or no kind is given.
    pub fn new(issuer: &str, kinds: impl IntoIterator<Item = NameKind>) -> Result<Self, BadSettings> {
        if Principal::new(issuer, "somebody").is_err() {
            return Err(BadSettings::Issuer(issuer.to_owned()));
        }
        let kinds: Vec<_> = kinds.into_iter().collect();
        if kinds.is_empty() {
            return Err(BadSettings::NoKind);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            kinds,
            listed: None,
            revoked: ArcSwap::default(),
        })
    }

    /// Takes these names only, and each for the principal that it is listed with. Names are written as in rule 5: `spiffe://…`, `dns:…`,
    /// `email:…`, `cn:…`.
    #[must_use]
    pub fn only(mut self, names: impl IntoIterator<Item = (String, Principal)>) -> Self {
        self.listed = Some(names.into_iter().collect());
        self
    }

    /// Refuses the certificates with these SHA-256 fingerprints from the next request on, and no others.
    pub fn set_revoked(&self, fingerprints: impl IntoIterator<Item = Digest>) {
        self.revoked
            .store(fingerprints.into_iter().collect::<HashSet<_>>().into());
    }

    fn prove(&self, leaf: &[u8], now: Timestamp) -> Option<Subject> {
        let found = names::read(leaf, &self.kinds, now)?;
        let principal = match &self.listed {
            Some(listed) => listed.get(&found.name)?.clone(),
            None => Principal::new(&self.issuer, &found.name).ok()?,
        };
        let claims = BTreeMap::from([
            ("name".to_owned(), found.name.into()),
            ("fingerprint".to_owned(), Digest::plain(leaf).to_string().into()),
        ]);
        Some(Subject {
            principal,
            assurance: Assurance::default(),
            claims,
            expires_at: Some(found.not_after),
        })
    }
}

impl fmt::Debug for MtlsAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MtlsAuthenticator")
            .field("issuer", &self.issuer)
            .field("kinds", &self.kinds)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for MtlsAuthenticator {
    fn present<'r>(&self, head: &'r Parts, _peer: Option<IpAddr>) -> Presented<'r> {
        let Some(connection) = head.extensions.get::<TlsConnection>() else {
            return Presented::Nothing;
        };
        let Some(leaf) = connection.leaf() else {
            return Presented::Nothing;
        };
        let asked_for = Target::read(head).is_ok_and(|target| connection.is_for(target.host().as_str()));
        if asked_for {
            Presented::Credential {
                bytes: leaf.into(),
                source: CredentialSource::Connection,
            }
        } else {
            Presented::Malformed
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if source != CredentialSource::Connection || self.revoked(&Digest::plain(credential)) {
            return Err(AuthError::Invalid);
        }
        self.prove(credential, now).ok_or(AuthError::Invalid)
    }

    fn revoked(&self, credential: &Digest) -> bool {
        self.revoked.load().contains(credential)
    }
}
