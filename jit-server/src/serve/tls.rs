//! TLS of a listener, with a certificate and authorities for clients that can be replaced while it runs.
//!
//! TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN (RFC 7301). Connections that are open keep the certificate that they began with. Those of clients
//! that have shown one are ended in order when it is replaced: whoever vouched for them may not count any more.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use jit_auth::mtls::{BadServerTls, ServerTls};
use jit_core::clock::Clock;
use tokio::sync::watch;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

use super::config::{Problems, Tls, guard, text};

/// What ALPN calls HTTP/2.
pub(super) const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// How a listener shakes hands.
#[derive(Debug)]
pub(super) struct Handshakes(watch::Sender<Arc<ServerConfig>>);

impl Handshakes {
    pub(super) fn new(config: Arc<ServerConfig>) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(config)))
    }

    /// Shakes hands so from now on.
    pub(super) fn replace(&self, config: Arc<ServerConfig>) {
        self.0.send_replace(config);
    }

    /// How it is done now, and that it is done otherwise.
    pub(super) fn follow(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.0.subscribe()
    }
}

/// Reads certificates of authorities. Nobody but owner and group may change them.
pub(super) fn authorities(path: &Path, mend: &str) -> Result<Vec<CertificateDer<'static>>, Problems> {
    let pem = text(path, 0, mend)?;
    let wrong = |problem: &str| Problems::one(&path.display().to_string(), None, problem, mend);
    let read = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>();
    let read = read.map_err(|_| wrong("it is not PEM"))?;
    if read.is_empty() {
        return Err(wrong("there is no certificate in it"));
    }
    let mut roots = RootCertStore::empty();
    for certificate in &read {
        let added = roots.add(certificate.clone());
        added.map_err(|error| wrong(&format!("an authority in it can't be used: {error}")))?;
    }
    Ok(read)
}

/// Reads a chain, its key and the authorities for clients, whose certificates are judged by `clock`. The key must be readable by nobody but
/// owner and group.
pub(super) fn read(files: &Tls, clock: &Arc<dyn Clock>) -> Result<Arc<ServerConfig>, Problems> {
    const CERT: &str =
        "name a PEM file with the server's certificate first, then those that lead to its authority";
    const KEY: &str = "name the PEM file with the key of that certificate, without a passphrase";
    const CLIENTS: &str = "name a PEM file with the authorities that vouch for clients";
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
    let unfit = |error: &dyn std::fmt::Display| {
        let problem = format!(
            "the certificate of {} and this key can't be used together: {error}",
            files.cert.display()
        );
        wrong(&files.key, problem, KEY)
    };
    CertifiedKey::from_der(chain.clone(), key.clone_key(), &aws_lc_rs::default_provider())
        .map_err(|error| unfit(&error))?;
    let Some(clients) = &files.clients else {
        return without_clients(chain, key).map_err(|error| unfit(&error));
    };
    let authorities = authorities(&clients.ca_file, CLIENTS)?;
    let tls = ServerTls::new(chain, key, authorities, Arc::clone(clock)).with_alpn([H2, HTTP11]);
    let tls = match clients.required {
        true => tls,
        false => tls.with_optional_certificates(),
    };
    tls.build().map_err(|error| match error {
        BadServerTls::Certificate { source } => unfit(&source),
        other => wrong(&clients.ca_file, other.to_string(), CLIENTS),
    })
}

fn without_clients(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![H2.to_vec(), HTTP11.to_vec()];
    // Early data can be replayed by anybody who has seen it (RFC 8446 §8).
    config.max_early_data_size = 0;
    Ok(Arc::new(config))
}
