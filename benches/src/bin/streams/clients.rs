//! The clients: each opens a stream and says when it has ended.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use benches::house::{BoxError, HOST, House, requester, token};
use chrono::TimeDelta;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jit_core::approval::request;
use jit_core::gate::Gate;
use jit_core::gate::cut::Cut;
use jit_core::id::{RequestId, Timestamp};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::application::{GIGABYTE, filled, zeros};

/// Streams of each kind, and how many of them are open at once.
pub(crate) const EACH: usize = 1_000;
pub(crate) const AT_ONCE: usize = 50;
/// Downloads and uploads run at full speed: more of them at once would measure how long they wait for a processor.
const AT_ONCE_BUSY: usize = 4;
/// How long a grant lasts: the stream is admitted just before its end.
const LASTS: TimeDelta = TimeDelta::milliseconds(150);
/// For the one revocation: connections, and streams on each.
pub(crate) const CONNECTIONS: usize = 100;
pub(crate) const STREAMS: usize = 100;
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Events,
    Download,
    Upload,
    Http2,
    WebSocket,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] = [
        Self::Events,
        Self::Download,
        Self::Upload,
        Self::Http2,
        Self::WebSocket,
    ];

    pub(crate) const fn name(self) -> &'static str {
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

pub(crate) struct Bench {
    pub(crate) house: House,
    pub(crate) gate: Gate,
    pub(crate) real: request::Request,
    pub(crate) address: SocketAddr,
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

    /// Opens a stream, and says when it had ended; nothing where it came after its grant's end.
    async fn stream(&self, kind: Kind, user: usize) -> Result<Option<Timestamp>, BoxError> {
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
                _ => Ok(Some(self.now())),
            };
        }
        self.read(sender.send_request(request).await?).await
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Option<Timestamp>, BoxError> {
        if response.status() == StatusCode::FORBIDDEN {
            return Ok(None);
        }
        if response.status() != StatusCode::OK {
            return Err(format!("answered {}", response.status()).into());
        }
        let mut body = response.into_body();
        while let Some(Ok(_)) = body.frame().await {}
        Ok(Some(self.now()))
    }

    async fn websocket(&self, mut stream: TcpStream, user: usize) -> Result<Option<Timestamp>, BoxError> {
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
        Ok(upgraded.then_some(ended))
    }

    /// How late the streams of a kind are cut, and how many more there were that came after their grants' ends.
    pub(crate) async fn at_expiry(
        self: &Arc<Self>,
        kind: Kind,
        ids: &mut u128,
    ) -> Result<(Vec<f64>, usize), BoxError> {
        let (mut late, mut missed) = (Vec::with_capacity(EACH), 0);
        while late.len() < EACH && missed < EACH {
            let mut streams = JoinSet::new();
            for user in 1..=kind.at_once() {
                *ids += 1;
                let (bench, id) = (Arc::clone(self), *ids);
                streams.spawn(async move {
                    // Not all at the same moment: the first ones would be measured with the rest waiting.
                    let user_part = i64::try_from(user)?;
                    let until = bench.now() + LASTS + TimeDelta::milliseconds(user_part * 2);
                    bench.grant(user, id, until)?;
                    let Some(ended) = bench.stream(kind, user).await? else {
                        return Ok(None);
                    };
                    let late = (ended - until).as_seconds_f64() * 1e3;
                    if late < 0.0 {
                        return Err(format!("{} ended {late} ms early", kind.name()).into());
                    }
                    Ok::<_, BoxError>(Some(late))
                });
            }
            while let Some(done) = streams.join_next().await {
                match done?? {
                    Some(one) => late.push(one),
                    None => missed += 1,
                }
            }
        }
        Ok((late, missed))
    }

    pub(crate) async fn at_revocation(self: &Arc<Self>, id: u128) -> Result<Vec<f64>, BoxError> {
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
        let revoked = self.now();
        self.house
            .broker
            .enforcer()
            .shut(RequestId::from_u128(id).into(), Cut::Revoked);
        let mut late = Vec::with_capacity(CONNECTIONS * STREAMS);
        while let Some(done) = streams.join_next().await {
            let ended = done??.ok_or("a stream was refused")?;
            late.push((ended - revoked).as_seconds_f64() * 1e3);
        }
        Ok(late)
    }
}
