//! A client that sends what it is told, over HTTP/1.1, TLS or HTTP/2, on a connection for each request.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response, Version};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::world::in_time;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn first_line(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }
}

/// Whatever a WebSocket is spoken on.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Who asks where, and how.
#[derive(Clone)]
pub(crate) struct Client {
    at: SocketAddr,
    host: String,
    fields: Vec<(String, String)>,
    tls: Option<(TlsConnector, &'static str)>,
}

/// Over HTTP/1.1 without TLS, with `host` as Host.
pub(crate) fn client(at: SocketAddr, host: &str) -> Client {
    Client {
        at,
        host: host.to_owned(),
        fields: Vec::new(),
        tls: None,
    }
}

impl Client {
    /// Over TLS, trusting the certificate in `pem` alone, in `alpn`.
    pub(crate) fn over_tls(self, pem: &str, alpn: &'static str) -> Self {
        self.over_tls_as(pem, alpn, None)
    }

    /// The same, with a certificate and its key, in PEM.
    pub(crate) fn over_tls_as(
        mut self,
        pem: &str,
        alpn: &'static str,
        own: Option<&(String, String)>,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap())
            .unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match own {
            None => config.with_no_client_auth(),
            Some((certificate, key)) => {
                let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
                config.with_client_auth_cert(chain, key).unwrap()
            }
        };
        config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
        self.tls = Some((TlsConnector::from(Arc::new(config)), alpn));
        self
    }

    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn by(self, token: &str) -> Self {
        self.with("authorization", &format!("Bearer {token}"))
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        let client = self.clone().with("content-type", "application/json");
        client.send("POST", path, &body.to_string()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let response = self.open(method, path, body).await.unwrap();
        let (head, body) = response.into_parts();
        let body = in_time("a whole answer", body.collect())
            .await
            .unwrap()
            .to_bytes();
        Answer {
            status: head.status.as_u16(),
            version: head.version,
            headers: head.headers,
            text: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    /// A connection on which nothing was said yet.
    pub(crate) async fn connect(&self) -> Box<dyn Stream> {
        let stream = TcpStream::connect(self.at).await.unwrap();
        match &self.tls {
            None => Box::new(stream),
            Some((tls, _)) => {
                let name = ServerName::try_from(self.host.clone()).unwrap();
                Box::new(tls.connect(name, stream).await.unwrap())
            }
        }
    }

    /// A WebSocket with the answer that began it, or the status of the answer that did not.
    pub(crate) async fn websocket(
        &self,
        path: &str,
    ) -> Result<(WebSocketStream<Box<dyn Stream>>, Response<Option<Vec<u8>>>), u16> {
        let mut request = Request::get(format!("ws://{}{path}", self.host))
            .header("host", &self.host)
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", generate_key());
        if !self.fields.iter().any(|(name, _)| name == "connection") {
            request = request.header("connection", "upgrade");
        }
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let stream = self.connect().await;
        match in_time("an answer", client_async(request.body(()).unwrap(), stream)).await {
            Ok(begun) => Ok(begun),
            Err(WebSocketError::Http(answer)) => Err(answer.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// The answer as far as its head.
    pub(crate) async fn open(
        &self,
        method: &str,
        path: &str,
        body: &str,
    ) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
        let body = Full::new(Bytes::from(body.to_owned()));
        in_time("an answer", async {
            let stream = TcpStream::connect(self.at).await?;
            let request = |uri: String| {
                let mut request = Request::builder().method(method).uri(uri);
                for (name, value) in &self.fields {
                    request = request.header(name, value);
                }
                request
            };
            let Some((tls, alpn)) = &self.tls else {
                let request = request(path.to_owned()).header("host", &self.host).body(body)?;
                return one(TokioIo::new(stream), request).await;
            };
            let name = ServerName::try_from(self.host.clone())?;
            let stream = TokioIo::new(tls.connect(name, stream).await?);
            if *alpn != "h2" {
                let request = request(path.to_owned()).header("host", &self.host).body(body)?;
                return one(stream, request).await;
            }
            let request = request(format!("https://{}{path}", self.host)).body(body)?;
            let (mut sender, connection) =
                hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
            tokio::spawn(connection);
            Ok(sender.send_request(request).await?)
        })
        .await
    }
}

async fn one<T>(
    stream: TokioIo<T>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>>
where
    T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?)
}
