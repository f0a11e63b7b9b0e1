//! TLS of a listener, with a certificate that can be replaced while it runs.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN (RFC 7301). Connections that are open keep the certificate that they began with.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::config::{Problems, Tls, guard, text};
use crate::BoxError;

/// What ALPN calls HTTP/2.
pub(super) const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// The certificate that a listener shows.
#[derive(Debug)]
pub(super) struct Certificate(ArcSwap<CertifiedKey>);

impl Certificate {
    pub(super) fn new(key: CertifiedKey) -> Arc<Self> {
        Arc::new(Self(ArcSwap::from_pointee(key)))
    }

    /// Shows this one from the next handshake on.
    pub(super) fn replace(&self, key: CertifiedKey) {
        self.0.store(Arc::new(key));
    }

    /// Takes connections with it.
    pub(super) fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, BoxError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Self>::clone(self));
        config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
        // Early data can be replayed by anybody who has seen it (RFC 8446 §8).
        config.max_early_data_size = 0;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

/// Reads certificates of authorities. Nobody but owner and group may change them.
pub(super) fn authorities(path: &Path, mend: &str) -> Result<RootCertStore, Problems> {
    let pem = text(path, 0, mend)?;
    let wrong = |problem: &str| Problems::one(&path.display().to_string(), None, problem, mend);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        let certificate = certificate.map_err(|_| wrong("it is not PEM"))?;
        let added = roots.add(certificate);
        added.map_err(|error| wrong(&format!("an authority in it can't be used: {error}")))?;
    }
    if roots.is_empty() {
        return Err(wrong("there is no certificate in it"));
    }
    Ok(roots)
}

/// Reads a chain and its key. The key must be readable by nobody but owner and group.
pub(super) fn read(files: &Tls) -> Result<CertifiedKey, Problems> {
    const CERT: &str =
        "name a PEM file with the server's certificate first, then those that lead to its authority";
    const KEY: &str = "name the PEM file with the key of that certificate, without a passphrase";
    let wrong = |path: &Path, problem: String, mend: &str| {
        Problems::one(&path.display().to_string(), None, &problem, mend)
    };
    guard(&files.key, 0o027)?;
    let octets =
        |path: &Path, mend: &str| fs::read(path).map_err(|error| wrong(path, error.to_string(), mend));
    // What a PEM reader says can quote what it has read; of a key that must not be.
    let told = |error: &pem::Error| match error {
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it is not PEM",
    };
    let read = CertificateDer::pem_slice_iter(&octets(&files.cert, CERT)?).collect::<Result<Vec<_>, _>>();
    let chain = read.map_err(|error| wrong(&files.cert, told(&error).to_owned(), CERT))?;
    if chain.is_empty() {
        return Err(wrong(
            &files.cert,
            "there is no certificate in it".to_owned(),
            CERT,
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&octets(&files.key, KEY)?)
        .map_err(|error| wrong(&files.key, format!("no private key: {}", told(&error)), KEY))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).map_err(|error| {
        let problem = format!(
            "the certificate of {} and this key can't be used together: {error}",
            files.cert.display()
        );
        wrong(&files.key, problem, KEY)
    })
}
