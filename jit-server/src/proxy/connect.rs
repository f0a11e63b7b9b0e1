//! The way to a server: TCP, or TLS on it.

use std::error::Error;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use http::uri::Scheme;
use hyper_rustls::{
    DefaultServerNameResolver, FixedServerNameResolver, HttpsConnector, MaybeHttpsStream, ResolveServerName,
};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{AlertDescription, CertificateError, ClientConfig, Error as TlsError};
use tower::Service;

use crate::BoxError;

type Connecting =
    Pin<Box<dyn Future<Output = Result<MaybeHttpsStream<TokioIo<TcpStream>>, BoxError>> + Send>>;

/// TLS to servers: whom to believe, and what they have to be called.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pub(crate) config: Arc<ClientConfig>,
    /// What is asked for (SNI), and has to be in the certificate; the host of the server's address if it is not said.
    pub(crate) name: Option<ServerName<'static>>,
}

/// Connects to servers, all of them with TLS or all without.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    wire: Wire,
    /// For a connection and its handshake.
    patience: Option<Duration>,
}

#[derive(Debug, Clone)]
enum Wire {
    Plain(HttpConnector),
    Tls(HttpsConnector<HttpConnector>),
}

impl Connector {
    pub(super) fn new(patience: Option<Duration>, trust: Option<Trust>) -> Self {
        let mut tcp = HttpConnector::new();
        tcp.set_connect_timeout(patience);
        tcp.set_nodelay(true);
        let wire = match trust {
            None => Wire::Plain(tcp),
            Some(Trust { config, name }) => {
                tcp.enforce_http(false);
                let names: Arc<dyn ResolveServerName + Send + Sync> = match name {
                    Some(name) => Arc::new(FixedServerNameResolver::new(name)),
                    None => Arc::new(DefaultServerNameResolver::default()),
                };
                Wire::Tls(HttpsConnector::new(tcp, config, true, names))
            }
        };
        Self { wire, patience }
    }

    /// What its servers' addresses begin with. With TLS it connects to no others.
    pub(super) const fn scheme(&self) -> Scheme {
        match self.wire {
            Wire::Plain(_) => Scheme::HTTP,
            Wire::Tls(_) => Scheme::HTTPS,
        }
    }
}

impl Service<Uri> for Connector {
    type Response = MaybeHttpsStream<TokioIo<TcpStream>>;
    type Error = BoxError;
    type Future = Connecting;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match &mut self.wire {
            Wire::Plain(tcp) => tcp.poll_ready(cx).map_err(Into::into),
            Wire::Tls(tls) => tls.poll_ready(cx),
        }
    }

    fn call(&mut self, to: Uri) -> Connecting {
        let connecting: Connecting = match &mut self.wire {
            Wire::Plain(tcp) => {
                let connecting = tcp.call(to);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Wire::Tls(tls) => tls.call(to),
        };
        let Some(patience) = self.patience else {
            return connecting;
        };
        Box::pin(async move {
            let connected = tokio::time::timeout(patience, connecting).await;
            connected.unwrap_or_else(|_| Err("connecting took too long".into()))
        })
    }
}

/// What TLS has to say about a failure, if it was TLS that failed.
pub(super) fn tls_error<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        // What an I/O error holds is passed over by its source.
        let held = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match held {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    None
}

/// What would be right, in words of `jit.toml`.
pub(super) const fn mend(error: &TlsError) -> &'static str {
    use CertificateError::{
        Expired, ExpiredContext, NotValidForName, NotValidForNameContext, NotValidYet, NotValidYetContext,
        UnknownIssuer,
    };
    match error {
        TlsError::InvalidCertificate(UnknownIssuer) => {
            "no authority that is trusted vouches for its certificate: name the one that does as `tls.ca_file` of the upstream"
        }
        TlsError::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => {
            "its certificate is another's: write a name that is in it as `tls.server_name` of the upstream, if it is the right server"
        }
        TlsError::InvalidCertificate(Expired | ExpiredContext { .. }) => {
            "its certificate has run out: renew it there"
        }
        TlsError::InvalidCertificate(NotValidYet | NotValidYetContext { .. }) => {
            "its certificate is not valid yet: look at the clocks of both"
        }
        TlsError::InvalidCertificate(_) => {
            "its certificate can't be used: give it one for servers, from an authority that is trusted"
        }
        TlsError::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a certificate of its client, and is shown none: let it take connections without"
        }
        TlsError::InvalidMessage(_) => "it does not speak TLS there: see that port and `https://` are right",
        _ => "see that it speaks TLS 1.2 or 1.3 there",
    }
}
