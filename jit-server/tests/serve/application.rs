//! An application behind the gate: it says who it is and what it was sent, and is as ill as it is told to be.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::world::{World, in_time};

pub(crate) struct Application {
    pub(crate) at: SocketAddr,
    shared: Arc<Shared>,
    served: JoinHandle<()>,
}

struct Shared {
    name: &'static str,
    healthy: AtomicBool,
    /// How many requests came, health checks apart.
    seen: AtomicUsize,
    /// A permit for each request to `/slow` that has arrived.
    arrived: Semaphore,
    /// A permit for each request to `/slow` that may be answered.
    released: Semaphore,
}

impl Application {
    pub(crate) async fn start(name: &'static str) -> Self {
        Self::start_at(name, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(name: &'static str, at: SocketAddr) -> Self {
        let listener = TcpListener::bind(at).await.unwrap();
        Self::serve(name, listener.local_addr().unwrap(), listener)
    }

    /// Over TLS, with the certificate `certificate` of this world.
    pub(crate) async fn start_secured(name: &'static str, world: &World, certificate: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        Self::serve(name, at, Secured::new(listener, world, certificate))
    }

    fn serve<L>(name: &'static str, at: SocketAddr, listener: L) -> Self
    where
        L: axum::serve::Listener<Addr = SocketAddr>,
    {
        let shared = Arc::new(Shared {
            name,
            healthy: AtomicBool::new(true),
            seen: AtomicUsize::new(0),
            arrived: Semaphore::new(0),
            released: Semaphore::new(0),
        });
        let app = Router::new().fallback(answer).with_state(Arc::clone(&shared));
        let served = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { at, shared, served }
    }

    /// Connections are refused from now on.
    pub(crate) async fn end(self) -> SocketAddr {
        self.served.abort();
        let _ = self.served.await;
        self.at
    }

    pub(crate) fn seen(&self) -> usize {
        self.shared.seen.load(Ordering::SeqCst)
    }

    pub(crate) fn set_healthy(&self, healthy: bool) {
        self.shared.healthy.store(healthy, Ordering::SeqCst);
    }

    /// Waits until a request to `/slow` is here.
    pub(crate) async fn arrival(&self) {
        in_time("an arrival", self.shared.arrived.acquire())
            .await
            .unwrap()
            .forget();
    }

    /// Lets a request to `/slow` be answered.
    pub(crate) fn release(&self) {
        self.shared.released.add_permits(1);
    }
}

/// A listener whose connections speak TLS.
pub(crate) struct Secured(TcpListener, TlsAcceptor);

impl Secured {
    /// With a certificate of this world.
    pub(crate) fn new(listener: TcpListener, world: &World, name: &str) -> Self {
        let pem = |kind: &str| std::fs::read(world.path(&format!("{name}.{kind}"))).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(&pem("pem")).unwrap()];
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, PrivateKeyDer::from_pem_slice(&pem("key")).unwrap())
            .unwrap();
        Self(listener, TlsAcceptor::from(Arc::new(config)))
    }
}

impl axum::serve::Listener for Secured {
    type Io = tokio_rustls::server::TlsStream<tokio::net::TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, peer) = self.0.accept().await.unwrap();
            if let Ok(stream) = self.1.accept(stream).await {
                return (stream, peer);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    if path == "/healthz" {
        let healthy = shared.healthy.load(Ordering::SeqCst);
        return match healthy {
            true => StatusCode::NO_CONTENT.into_response(),
            false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        };
    }
    shared.seen.fetch_add(1, Ordering::SeqCst);
    if path.ends_with("/slow") {
        shared.arrived.add_permits(1);
        shared.released.acquire().await.unwrap().forget();
    }
    if path.ends_with("/stream") {
        let first = stream::iter([Ok::<_, std::io::Error>("first\n")]);
        let rest = stream::pending();
        return Body::from_stream(futures_util::StreamExt::chain(first, rest)).into_response();
    }
    let mut text = format!("{}\n{} {}\n", shared.name, request.method(), request.uri());
    for (name, value) in request.headers() {
        text.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
    }
    text.into_response()
}
