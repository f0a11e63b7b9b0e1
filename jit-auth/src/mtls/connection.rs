//! Connections, and what their handshakes proved.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ProtocolVersion, ServerConfig, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

/// Longest that a handshake may take.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What the handshake of one connection came to. Goes into the extensions of every request of that connection, and of no other. Clones
/// share it.
#[derive(Clone)]
pub struct TlsConnection(Arc<Handshake>);

struct Handshake {
    chain: Vec<CertificateDer<'static>>,
    server_name: Option<String>,
    version: Option<ProtocolVersion>,
    alpn: Option<Vec<u8>>,
}

impl TlsConnection {
    /// Of a connection whose handshake is complete: before that nothing is proven, and it shows no certificate.
    pub fn of(connection: &ServerConnection) -> Self {
        let complete = !connection.is_handshaking();
        let chain = connection.peer_certificates().filter(|_| complete);
        let chain = chain.unwrap_or_default().iter();
        Self(Arc::new(Handshake {
            chain: chain
                .map(|certificate| certificate.clone().into_owned())
                .collect(),
            server_name: connection.server_name().map(str::to_ascii_lowercase),
            version: connection.protocol_version(),
            alpn: connection.alpn_protocol().map(<[u8]>::to_vec),
        }))
    }

    /// The client's certificates in DER, verified, its own first. Empty when it has shown none.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.0.chain
    }

    /// The client's own certificate in DER.
    pub fn leaf(&self) -> Option<&[u8]> {
        self.0.chain.first().map(AsRef::as_ref)
    }

    /// The name that the client asked for (SNI, RFC 6066 §3), in lower case.
    pub fn server_name(&self) -> Option<&str> {
        self.0.server_name.as_deref()
    }

    /// The TLS version.
    pub fn version(&self) -> Option<ProtocolVersion> {
        self.0.version
    }

    /// The protocol agreed on (ALPN, RFC 7301).
    pub fn alpn(&self) -> Option<&[u8]> {
        self.0.alpn.as_deref()
    }

    /// Whether the client asked for this host, which is canonical. One that asked for none asked for no host.
    pub(super) fn is_for(&self, host: &str) -> bool {
        let name = self
            .server_name()
            .map(|name| name.strip_suffix('.').unwrap_or(name));
        name == Some(host)
    }
}

impl fmt::Debug for TlsConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsConnection")
            .field("certificates", &self.0.chain.len())
            .field("server_name", &self.0.server_name)
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}

/// A connection did not come to be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The client took longer than [`HANDSHAKE_MAX`].
    #[error("the TLS handshake took longer than 10 s")]
    Slow,
    /// The client broke off, broke a rule, or could not prove who it is.
    #[error("the TLS handshake failed: {source}")]
    Failed {
        /// What went wrong.
        #[from]
        source: io::Error,
    },
}

/// Takes TLS connections. Clones share the configuration.
#[derive(Clone)]
pub struct TlsAcceptor(tokio_rustls::TlsAcceptor);

impl TlsAcceptor {
    /// With a configuration from [`ServerTls`](super::ServerTls).
    pub fn new(config: Arc<ServerConfig>) -> Self {
        Self(config.into())
    }

    /// Shakes hands on a new connection.
    ///
    /// # Errors
    /// [`HandshakeError`] when that fails or takes too long.
    pub async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, TlsConnection), HandshakeError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let accepted = tokio::time::timeout(HANDSHAKE_MAX, self.0.accept(stream));
        let stream = accepted.await.map_err(|_| HandshakeError::Slow)??;
        let connection = TlsConnection::of(stream.get_ref().1);
        Ok((stream, connection))
    }
}

impl fmt::Debug for TlsAcceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsAcceptor")
    }
}
