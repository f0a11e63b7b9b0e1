//! The TLS configuration of a server that knows its clients by their certificates.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jit_core::clock::Clock;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::{NoServerSessionStorage, VerifierBuilderError, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{RootCertStore, ServerConfig};

/// Why no TLS configuration came to be. A server that can't tell its clients apart must not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadServerTls {
    /// Nobody could be told apart.
    #[error(
        "there is no certificate authority for clients, so nobody could prove who they are; give at least one"
    )]
    NoAuthority,
    /// One of them is no certificate.
    #[error("a certificate authority for clients can't be used: {source}")]
    Authority {
        /// What is wrong.
        source: rustls::Error,
    },
    /// A revocation list is none, or belongs to no authority.
    #[error("clients can't be verified: {source}")]
    Verifier {
        /// What is wrong.
        #[from]
        source: VerifierBuilderError,
    },
    /// The server's own certificate and key don't fit, or are none.
    #[error("the server's certificate and key can't be used: {source}")]
    Certificate {
        /// What is wrong.
        #[from]
        source: rustls::Error,
    },
}

/// Makes the TLS configuration. The certificates, the key and the lists are DER, as `rustls_pki_types` reads them from PEM files.
#[must_use = "a builder builds nothing until `build`"]
pub struct ServerTls {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    authorities: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    alpn: Vec<Vec<u8>>,
    optional: bool,
    clock: Arc<dyn Clock>,
}

impl ServerTls {
    /// With the server's own certificate chain and key, and the authorities that vouch for clients. Certificates are judged by `clock`.
    pub fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        authorities: Vec<CertificateDer<'static>>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            chain,
            key,
            authorities,
            revoked: Vec::new(),
            alpn: Vec::new(),
            optional: false,
            clock,
        }
    }

    /// Refuses what stands on these lists. From the first list on there must be one, not run out, for each authority in a chain.
    pub fn with_revocation_lists(mut self, lists: Vec<CertificateRevocationListDer<'static>>) -> Self {
        self.revoked = lists;
        self
    }

    /// Offers these protocols (ALPN), the preferred one first: `h2`, `http/1.1`.
    pub fn with_alpn(mut self, protocols: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.alpn = protocols.into_iter().map(Into::into).collect();
        self
    }

    /// Admits connections without a certificate: they prove nobody, and what they ask for may be proven by something else, or open. A
    /// certificate that is shown must be good all the same.
    pub fn with_optional_certificates(mut self) -> Self {
        self.optional = true;
        self
    }

    /// The configuration.
    ///
    /// # Errors
    /// [`BadServerTls`] when there is no authority, or something in it can't be used.
    pub fn build(self) -> Result<Arc<ServerConfig>, BadServerTls> {
        if self.authorities.is_empty() {
            return Err(BadServerTls::NoAuthority);
        }
        let mut roots = RootCertStore::empty();
        for authority in self.authorities {
            roots
                .add(authority)
                .map_err(|source| BadServerTls::Authority { source })?;
        }
        let provider = Arc::new(default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .with_crls(self.revoked)
            .enforce_revocation_expiration();
        let verifier = if self.optional {
            verifier.allow_unauthenticated()
        } else {
            verifier
        };
        let verifier = verifier.build()?;
        let mut config = ServerConfig::builder_with_details(provider, Arc::new(Time(self.clock)))
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain, self.key)?;
        // What was proven once is not believed again: every connection shows its certificate.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        // Early data can be replayed by anybody who has seen it (RFC 8446 §8).
        config.max_early_data_size = 0;
        config.alpn_protocols = self.alpn;
        Ok(Arc::new(config))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("authorities", &self.authorities.len())
            .field("revocation_lists", &self.revoked.len())
            .field("optional", &self.optional)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Time(Arc<dyn Clock>);

impl TimeProvider for Time {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().timestamp()).ok()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}
