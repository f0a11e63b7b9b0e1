//! How late streams of every kind are cut over real connections, at a grant's end and at a revocation, by axum and by hyper.
//!
//! Run with `cargo run --profile bench -p benches --bin streams`. Clients and server share one process and one clock: lateness is what a client
//! sees, from the grant's `not_after` (or the call that revokes) until the stream has ended at its end of the connection.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use benches::house::{BoxError, HOST, House, requester, token};
use benches::timing::{Stopwatch, percentile};
use chrono::TimeDelta;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::approval::request;
use jit_core::gate::Gate;
use jit_core::gate::cut::Cut;
use jit_core::id::{RequestId, Timestamp};
use jit_core::memory::MemoryStore;
use jit_tower::connection::{Accepted, Severable, SeverableListener};
use jit_tower::{JitLayer, PeerAddr};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tower_layer::Layer as _;

/// Streams of each kind, and how many of them are open at once.
const EACH: usize = 1_000;
const AT_ONCE: usize = 50;
/// Downloads and uploads run at full speed: more of them at once would measure how long they wait for a processor.
const AT_ONCE_BUSY: usize = 4;
/// How long a grant lasts: the stream is admitted just before its end.
const LASTS: TimeDelta = TimeDelta::milliseconds(150);
/// For the one revocation: connections, and streams on each.
const CONNECTIONS: usize = 100;
const STREAMS: usize = 100;
const GIGABYTE: usize = 1 << 30;
const CHUNK: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Events,
    Download,
    Upload,
    Http2,
    WebSocket,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Events,
        Self::Download,
        Self::Upload,
        Self::Http2,
        Self::WebSocket,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Events => "server-sent events",
            Self::Download => "1 GB download",
            Self::Upload => "upload",
            Self::Http2 => "HTTP/2 stream",
            Self::WebSocket => "WebSocket",
        }
    }

    const fn path(self) -> &'static str {
        match self {
            Self::Events | Self::Http2 => "/admin/events",
            Self::Download => "/admin/download",
            Self::Upload => "/admin/upload",
            Self::WebSocket => "/admin/ws",
        }
    }

    const fn at_once(self) -> usize {
        match self {
            Self::Download | Self::Upload => AT_ONCE_BUSY,
            Self::Events | Self::Http2 | Self::WebSocket => AT_ONCE,
        }
    }
}

/// A body that somebody fills.
struct Filled(mpsc::Receiver<Bytes>);

impl Body for Filled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|data| data.map(|data| Ok(Frame::data(data))))
    }
}

fn filled<F: Future<Output = ()> + Send + 'static>(fill: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Filled {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(fill(sender));
    Filled(receiver)
}

/// Zeros until nobody takes them any more.
async fn zeros(to: mpsc::Sender<Bytes>, octets: usize) {
    let chunk = Bytes::from_static(&[0; CHUNK]);
    for _ in 0..octets / CHUNK {
        if to.send(chunk.clone()).await.is_err() {
            return;
        }
    }
}

/// The application.
async fn answer<B>(request: Request<B>) -> Response<Filled>
where
    B: Body<Data = Bytes> + Send + 'static,
{
    let path = request.uri().path().to_owned();
    let mut response = Response::new(match path.as_str() {
        "/admin/download" => filled(async |to| zeros(to, GIGABYTE).await),
        "/admin/upload" => {
            let mut body = std::pin::pin!(request.into_body());
            while let Some(Ok(_)) = body.frame().await {}
            filled(async |_| {})
        }
        "/admin/ws" => {
            tokio::spawn(async move {
                if let Ok(upgraded) = hyper::upgrade::on(request).await {
                    let mut upgraded = TokioIo::new(upgraded);
                    let mut buffer = [0; 64];
                    while let Ok(n @ 1..) = upgraded.read(&mut buffer).await {
                        if upgraded
                            .write_all(buffer.get(..n).unwrap_or_default())
                            .await
                            .is_err()
                        {
                            return;
                        }
                    }
                }
            });
            filled(async |_| {})
        }
        "/admin/quiet" => filled(async |to| {
            let _ = to.send(Bytes::from_static(b"one")).await;
            to.closed().await;
        }),
        _ => filled(async |to| {
            while to.send(Bytes::from_static(b"data: tick\n\n")).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }),
    });
    let headers = response.headers_mut();
    if path == "/admin/events" {
        headers.insert(
            "content-type",
            http::HeaderValue::from_static("text/event-stream"),
        );
    } else if path == "/admin/ws" {
        headers.insert("connection", http::HeaderValue::from_static("upgrade"));
        headers.insert("upgrade", http::HeaderValue::from_static("websocket"));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    }
    response
}

async fn over_axum(listener: TcpListener, gate: Gate) {
    let answer = |request: axum::extract::Request| async { answer(request).await.map(axum::body::Body::new) };
    let app = Router::new().fallback(answer).layer(JitLayer::new(gate));
    let app = app.into_make_service_with_connect_info::<Accepted>();
    if let Err(error) = axum::serve(SeverableListener::new(listener), app).await {
        eprintln!("axum: {error}");
    }
}

async fn over_hyper(listener: TcpListener, gate: Gate) {
    let app = tower::service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
    let guarded = JitLayer::new(gate).layer(app);
    while let Ok((stream, peer)) = listener.accept().await {
        let (guarded, stream) = (guarded.clone(), Severable::new(stream));
        let connection = stream.connection();
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            request.extensions_mut().insert(connection.clone());
            tower::ServiceExt::oneshot(guarded.clone(), request)
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Bench {
    house: House,
    gate: Gate,
    real: request::Request,
    address: SocketAddr,
}

impl Bench {
    fn now(&self) -> Timestamp {
        self.gate.now()
    }

    /// Gives this user a grant until then.
    fn grant(&self, user: usize, id: u128, until: Timestamp) -> Result<(), BoxError> {
        let mut copy = self.real.clone();
        copy.id = RequestId::from_u128(id);
        copy.requester.principal = requester(user)?;
        copy.requester.person = format!("u{user}").parse()?;
        if let Some(grant) = &mut copy.grant {
            grant.id = copy.id.into();
            grant.holder = copy.requester.principal.clone();
            grant.person = copy.requester.person.clone();
            grant.not_after = until;
        }
        self.house.broker.enforcer().publish(1, &copy);
        Ok(())
    }

    /// Opens a stream, and says when it had ended.
    async fn stream(&self, kind: Kind, user: usize) -> Result<Timestamp, BoxError> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        if kind == Kind::WebSocket {
            return self.websocket(stream, user).await;
        }
        if kind == Kind::Http2 {
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            let request = Request::get(format!("http://{HOST}{}", kind.path()))
                .header("authorization", format!("Bearer {}", token(user)))
                .body(Empty::<Bytes>::new())?;
            return self.read(sender.send_request(request).await?).await;
        }
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let upload = kind == Kind::Upload;
        let body = filled(async move |to| {
            if upload {
                zeros(to, GIGABYTE).await;
            }
        });
        let mut request = Request::get(kind.path())
            .header("host", HOST)
            .header("authorization", format!("Bearer {}", token(user)))
            .body(body)?;
        if upload {
            *request.method_mut() = Method::POST;
            // Answered with a refusal, or broken off: either way it is over.
            return match sender.send_request(request).await {
                Ok(response) if response.status().is_success() => Err("an upload went through".into()),
                _ => Ok(self.now()),
            };
        }
        self.read(sender.send_request(request).await?).await
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Timestamp, BoxError> {
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()).into());
        }
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        Ok(self.now())
    }

    async fn websocket(&self, mut stream: TcpStream, user: usize) -> Result<Timestamp, BoxError> {
        let head = format!(
            "GET /admin/ws HTTP/1.1\r\nhost: {HOST}\r\nauthorization: Bearer {}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token(user)
        );
        stream.write_all(head.as_bytes()).await?;
        let (mut read, mut write) = stream.into_split();
        let pings = tokio::spawn(async move {
            while write.write_all(&[0x82, 0]).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut buffer = [0; 1024];
        let mut upgraded = false;
        while let Ok(n @ 1..) = read.read(&mut buffer).await {
            upgraded |= buffer
                .get(..n)
                .is_some_and(|data| data.starts_with(b"HTTP/1.1 101"));
        }
        let ended = self.now();
        pings.abort();
        upgraded
            .then_some(ended)
            .ok_or_else(|| "it was not upgraded".into())
    }

    async fn at_expiry(self: &Arc<Self>, kind: Kind, ids: &mut u128) -> Result<Vec<f64>, BoxError> {
        let mut late = Vec::with_capacity(EACH);
        for _ in 0..EACH / kind.at_once() {
            let mut streams = JoinSet::new();
            for user in 1..=kind.at_once() {
                *ids += 1;
                let (bench, id) = (Arc::clone(self), *ids);
                streams.spawn(async move {
                    // Not all at the same moment: the first ones would be measured with the rest waiting.
                    let user_part = i64::try_from(user)?;
                    let until = bench.now() + LASTS + TimeDelta::milliseconds(user_part * 2);
                    bench.grant(user, id, until)?;
                    let ended = bench.stream(kind, user).await?;
                    let late = (ended - until).as_seconds_f64() * 1e3;
                    if late < 0.0 {
                        return Err(format!("{} ended {late} ms early", kind.name()).into());
                    }
                    Ok::<_, BoxError>(late)
                });
            }
            while let Some(done) = streams.join_next().await {
                late.push(done??);
            }
        }
        Ok(late)
    }

    async fn at_revocation(self: &Arc<Self>, id: u128) -> Result<f64, BoxError> {
        let until = self.now() + TimeDelta::minutes(10);
        self.grant(1, id, until)?;
        let (opened, mut open) = mpsc::channel::<()>(CONNECTIONS * STREAMS);
        let mut streams = JoinSet::new();
        for _ in 0..CONNECTIONS {
            let stream = TcpStream::connect(self.address).await?;
            let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            for _ in 0..STREAMS {
                let (mut sender, bench, opened) = (sender.clone(), Arc::clone(self), opened.clone());
                streams.spawn(async move {
                    let request = Request::get(format!("http://{HOST}/admin/quiet"))
                        .header("authorization", format!("Bearer {}", token(1)))
                        .body(Empty::<Bytes>::new())?;
                    let response = sender.send_request(request).await?;
                    opened.send(()).await?;
                    bench.read(response).await
                });
            }
        }
        for _ in 0..CONNECTIONS * STREAMS {
            open.recv().await.ok_or("a stream did not open")?;
        }
        let watch = Stopwatch::start();
        self.house
            .broker
            .enforcer()
            .shut(RequestId::from_u128(id).into(), Cut::Revoked);
        while let Some(done) = streams.join_next().await {
            done??;
        }
        Ok(watch.elapsed().as_secs_f64() * 1e3)
    }
}

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), BoxError> {
    println!("ms late, as the client sees it; {EACH} of each kind at their grant's end\n");
    println!("{:<10} {:<20} {:>8} {:>8} {:>8}", "", "", "p50", "p99", "most");
    let mut ids = 1_000_000;
    for door in ["axum", "hyper"] {
        let house = House::on(Arc::new(MemoryStore::new())).await?;
        let real = house.approve(&house.ask(0).await?).await?.request;
        let gate = house.gate(AT_ONCE + 1)?;
        house.synced();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        match door {
            "axum" => tokio::spawn(over_axum(listener, gate.clone())),
            _ => tokio::spawn(over_hyper(listener, gate.clone())),
        };
        let bench = Arc::new(Bench {
            house,
            gate,
            real,
            address,
        });
        for kind in Kind::ALL {
            bench.house.synced();
            let mut late = bench.at_expiry(kind, &mut ids).await?;
            println!(
                "{door:<10} {:<20} {:>8.2} {:>8.2} {:>8.2}",
                kind.name(),
                percentile(&mut late, 50),
                percentile(&mut late, 99),
                percentile(&mut late, 100)
            );
        }
        bench.house.synced();
        ids += 1;
        let last = bench.at_revocation(ids).await?;
        println!(
            "{door:<10} {} HTTP/2 streams of one grant, revoked: the last client has seen it after {last:.0} ms",
            CONNECTIONS * STREAMS
        );
    }
    Ok(())
}
