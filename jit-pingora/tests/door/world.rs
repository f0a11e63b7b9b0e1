//! A broker, a pingora server with the gate in it, and an upstream that does what its path says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jit_core::approval::ask::{Actor, Ask, Assurance};
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::clock::SystemClock;
use jit_core::gate::Gate;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::id::{Principal, RequestId, Timestamp};
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_pingora::{Jit, JitGate, Severing, Ticket};
use pingora::apps::HttpServerOptions;
use pingora::listeners::TcpSocketOptions;
use pingora::proxy::{ProxyHttp, Session, http_proxy, http_proxy_service};
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, Server, ShutdownSignal, ShutdownSignalWatch};
use pingora::services::listening::Service;
use pingora::upstreams::peer::HttpPeer;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

const POLICY: &str = r#"
[control]
revokers = ["lead"]

[[open]]
hosts = ["app.example"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example"]
paths = ["/admin"]

[[resources]]
name = "tight"
hosts = ["app.example"]
paths = ["/tight"]

[[resources]]
name = "lone"
hosts = ["app.example"]
paths = ["/lone"]

[[resources]]
name = "brief"
hosts = ["app.example"]
paths = ["/brief"]

[[policies]]
name = "brief"
resources = ["brief"]
requesters = { roles = ["engineer"] }
duration = { default = "1s", max = "1s" }
approval = "automatic"

[[policies]]
name = "admin"
resources = ["admin"]
requesters = { roles = ["engineer"] }
duration = { default = "1h", max = "1h" }
approval = "automatic"

[[policies]]
name = "tight"
resources = ["tight"]
requesters = { roles = ["engineer"] }
duration = { default = "1h", max = "1h" }
limits = { bytes = 2000 }
approval = "automatic"

[[policies]]
name = "lone"
resources = ["lone"]
requesters = { roles = ["engineer"] }
duration = { default = "1h", max = "1h" }
limits = { concurrent = 1 }
approval = "automatic"
"#;

const PEOPLE: &str = r#"
[[people]]
name = "ana"
principals = ["local|ana"]
roles = ["engineer"]
token = "demo-ana"

[[people]]
name = "carol"
principals = ["local|carol"]
roles = ["lead"]
"#;

/// How the gate is put in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Served {
    /// As the crate does it.
    Whole,
    /// With callers introduced.
    Introducing,
    /// By pingora's own service, which severs nothing.
    Plain,
    /// On runtimes of one thread each.
    NoSteal,
}

pub(crate) struct World {
    pub(crate) broker: Broker,
    pub(crate) at: SocketAddr,
    /// How many requests pingora has logged.
    logged: watch::Sender<usize>,
}

/// A proxy with one upstream.
struct To(SocketAddr, watch::Sender<usize>);

#[async_trait]
impl ProxyHttp for To {
    type CTX = Ticket;

    fn new_ctx(&self) -> Ticket {
        Ticket::default()
    }

    async fn upstream_peer(&self, _: &mut Session, _: &mut Ticket) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }

    async fn logging(&self, _: &mut Session, _: Option<&pingora::Error>, _: &mut Ticket) {
        self.1.send_modify(|logged| *logged += 1);
    }
}

/// Leaves the end of the server to the end of the process.
struct Never;

#[async_trait]
impl ShutdownSignalWatch for Never {
    async fn recv(&self) -> ShutdownSignal {
        std::future::pending().await
    }
}

impl World {
    pub(crate) async fn new(served: Served) -> Self {
        let policy = Policy::parse(POLICY, Format::Toml, "policy.toml").unwrap();
        let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
        let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
        let tokens = people.tokens().into_iter();
        let tokens = ApiTokens::new(tokens.map(|token| (token.sha256, token.principal))).unwrap();
        let broker = Broker::builder(Arc::new(MemoryStore::new()), people.clone(), policy)
            .build()
            .await
            .unwrap();
        let clock = Arc::new(SystemClock::new());
        let gate = Gate::builder(rules, broker.enforcer().clone(), Arc::new(tokens), people, clock);
        let gate = gate.with_reserve(Arc::new(broker.clone())).build();
        let running = broker.clone();
        tokio::spawn(async move { running.run().await });

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let upstream = listener.local_addr().unwrap();
        tokio::spawn(serve(listener));
        let logged = watch::Sender::new(0);
        let at = start(served, gate, To(upstream, logged.clone()));
        let world = Self { broker, at, logged };
        while TcpStream::connect(at).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        world
    }

    pub(crate) async fn granted(served: Served, resource: &str) -> (Self, RequestId) {
        let world = Self::new(served).await;
        let id = world.grant(resource).await;
        (world, id)
    }

    pub(crate) async fn grant(&self, resource: &str) -> RequestId {
        let ask: Ask = serde_json::from_value(serde_json::json!({ "resource": resource })).unwrap();
        let asked = self
            .broker
            .ask(&self.actor("ana").await, ask, None)
            .await
            .unwrap();
        asked.view.request.id
    }

    /// When the window of a grant closes.
    pub(crate) async fn not_after(&self, id: RequestId) -> Timestamp {
        let view = self.broker.view(&self.actor("ana").await, id).await.unwrap();
        view.request.grant.unwrap().not_after
    }

    pub(crate) async fn revoke(&self, id: RequestId) {
        let carol = self.actor("carol").await;
        self.broker.revoke(&carol, id, "enough").await.unwrap();
    }

    async fn actor(&self, name: &str) -> Actor {
        let subject = Subject {
            principal: Principal::new("local", name).unwrap(),
            assurance: Assurance::default(),
            claims: BTreeMap::new(),
            expires_at: None,
        };
        self.broker.identify(&subject).await.unwrap()
    }

    /// Until pingora has logged so many requests.
    pub(crate) async fn logged(&self, count: usize) {
        let mut logged = self.logged.subscribe();
        logged.wait_for(|logged| *logged == count).await.unwrap();
    }

    /// Sends ana's request and hands back the connection.
    pub(crate) async fn send(&self, request_line: &str, more: &str) -> Client {
        let mut stream = TcpStream::connect(self.at).await.unwrap();
        let text = format!(
            "{request_line} HTTP/1.1\r\nHost: app.example\r\nAuthorization: Bearer demo-ana\r\n{more}\r\n"
        );
        stream.write_all(text.as_bytes()).await.unwrap();
        Client(stream)
    }

    /// Sends it with `Connection: close` and hands back all that came.
    pub(crate) async fn call(&self, request_line: &str, more: &str) -> String {
        let more = format!("Connection: close\r\n{more}");
        self.send(request_line, &more).await.rest().await
    }
}

pub(crate) struct Client(pub(crate) TcpStream);

impl Client {
    /// Reads until `text` has come.
    pub(crate) async fn until(&mut self, text: &str) -> String {
        let mut came = Vec::new();
        let mut piece = [0; 4096];
        loop {
            let read = self.0.read(&mut piece).await.unwrap();
            came.extend_from_slice(&piece[..read]);
            let so_far = String::from_utf8_lossy(&came).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            assert!(read > 0, "{so_far}");
        }
    }

    /// Reads until the connection ends, in whatever way.
    pub(crate) async fn rest(mut self) -> String {
        let mut came = Vec::new();
        let _ = self.0.read_to_end(&mut came).await;
        String::from_utf8_lossy(&came).into_owned()
    }
}

fn start(served: Served, gate: Gate, to: To) -> SocketAddr {
    // Pingora takes an address, not a listener: a bound socket that never listens keeps the port from everybody else until then.
    let held = TcpSocket::new_v4().unwrap();
    held.set_reuseport(true).unwrap();
    held.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let at = held.local_addr().unwrap();
    let mut listen = TcpSocketOptions::default();
    listen.so_reuseport = Some(true);
    let conf = ServerConf {
        threads: 2,
        work_stealing: served != Served::NoSteal,
        ..ServerConf::default()
    };
    let mut gate = JitGate::new(gate);
    if served == Served::Introducing {
        gate = gate.introducing();
    }
    std::thread::spawn(move || {
        let _held = held;
        let mut server = Server::new_with_opt_and_conf(None, conf);
        let conf = server.configuration.clone();
        if served == Served::Plain {
            let mut service = http_proxy_service(&conf, Jit::new(gate, to));
            service.add_tcp_with_settings(&at.to_string(), listen);
            server.add_service(service);
        } else {
            let mut options = HttpServerOptions::default();
            options.h2c = true;
            let mut proxy = http_proxy(&conf, Jit::new(gate, to));
            proxy.server_options = Some(options);
            let mut service = Service::new("jit".to_owned(), Severing::new(proxy));
            service.add_tcp_with_settings(&at.to_string(), listen);
            server.add_service(service);
        }
        server.bootstrap();
        server.run(RunArgs {
            shutdown_signal: Box::new(Never),
        });
    });
    at
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(answer(stream));
    }
}

/// Answers one request: the end of its path says how. The rest get their own head as the body.
async fn answer(mut stream: TcpStream) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    if path.ends_with("/events") {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .await?;
        std::future::pending::<()>().await;
    } else if let Some(data) = path.split_once("/feed/").and_then(|(_, name)| match name {
        "whole" => Some("9\r\ndata: 1\n\n\r\n"),
        "half" => Some("8\r\ndata: 1\n\r\n"),
        _ => None,
    }) {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(data.as_bytes()).await?;
        std::future::pending::<()>().await;
    } else if path.ends_with("/flood") {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            .await?;
        loop {
            stream.write_all(b"400\r\n").await?;
            stream.write_all(&[b'x'; 1024]).await?;
            stream.write_all(b"\r\n").await?;
        }
    } else if path.ends_with("/mute") {
        std::future::pending::<()>().await;
    } else if path.ends_with("/socket") {
        // Time for pingora to see that the request has no body: cloudflare/pingora#946.
        tokio::time::sleep(Duration::from_millis(50)).await;
        stream
            .write_all(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            )
            .await?;
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await?;
    } else if path.ends_with("/swallow") {
        stream.read_exact(&mut [0; 4000]).await?;
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .await?;
    } else if path.ends_with("/body") {
        // The body with its framing, trailers included, for as long as it comes.
        let mut body = Vec::new();
        let reading = stream.read_to_end(&mut body);
        let _ = tokio::time::timeout(Duration::from_millis(200), reading).await;
        let body = [head.into_bytes(), body].concat();
        let length = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(length.as_bytes()).await?;
        stream.write_all(&body).await?;
    } else {
        let text = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len());
        stream.write_all(text.as_bytes()).await?;
    }
    Ok(())
}
