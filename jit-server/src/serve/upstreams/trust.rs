//! Whom a server of an application is believed to be: TLS on the way to it.
//!
//! TLS 1.2 and 1.3. A certificate is always verified: against the authorities in the file that is named, and no others, or else against the
//! system's. There is no way to do without.

use std::sync::Arc;

use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use crate::proxy::Trust;
use crate::serve::config::{Problems, UpstreamTls};
use crate::serve::tls;

/// Reads whom to believe.
pub(in crate::serve) fn read(upstream: &UpstreamTls) -> Result<Trust, Problems> {
    let authorities = match &upstream.ca_file {
        Some(file) => Some(tls::authorities(
            file,
            "name a PEM file with the authorities that vouch for the upstream's servers",
        )?),
        None => None,
    };
    let config = config(authorities).map_err(|error| {
        let problem = format!("its servers can't be verified: {error}");
        let mend = "install the system's certificates of authorities, or name those that count as `ca_file`";
        Problems::one(&format!("upstream {:?}", upstream.name), None, &problem, mend)
    })?;
    Ok(Trust {
        config: Arc::new(config),
        name: upstream.server_name.clone(),
    })
}

fn config(authorities: Option<Vec<CertificateDer<'static>>>) -> Result<ClientConfig, Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?;
    let config = match authorities {
        Some(authorities) => {
            let mut roots = RootCertStore::empty();
            for authority in authorities {
                roots.add(authority)?;
            }
            config.with_root_certificates(roots)
        }
        None => config.with_platform_verifier()?,
    };
    Ok(config.with_no_client_auth())
}
