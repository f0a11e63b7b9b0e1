//! What it costs NGINX to ask: jit-authz beside a responder that says 204 to everything, both asked by `auth_request` with the
//! configuration of `examples/balancers/nginx`, before the same application.
//!
//! Run with `cargo run --profile bench -p benches --bin asking`. The responder, the application, jit-authz and the two NGINX are processes of
//! their own; this one sends the requests. The rounds take turns.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use balancers::{Ports, Product, Running};
use benches::house::BoxError;
use benches::timing::{Stopwatch, median, micros, percentile};
use gate_target::door::{Door, Target};
use gate_target::house::{ALICE, Grants};
use gate_target::upstream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const ROUNDS: usize = 7;
/// Requests of one round, over all connections.
const REQUESTS: usize = 8_000;
const CONNECTIONS: usize = 16;
/// Header fields of a request besides Host and Authorization.
const FIELDS: usize = 18;
/// The kernel counts processor time in these (USER_HZ on Linux).
const TICKS_PER_SECOND: f64 = 100.0;

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        None => runtime.block_on(measure()),
        Some("authz") => runtime.block_on(authz()),
        Some("bare") => runtime.block_on(bare()),
        Some("application") => runtime.block_on(application()),
        Some(other) => Err(format!("{other:?} is none of authz, bare, application").into()),
    }
}

/// One of this program's other processes. It is killed when this is dropped.
struct Part {
    child: Child,
    port: u16,
}

impl Part {
    fn start(role: &str) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse();
        let mut part = Self { child, port: 0 };
        part.port = port.map_err(|_| format!("{role} did not start"))?;
        Ok(part)
    }

    /// Seconds of processor time so far, of all its threads (proc(5), `utime` and `stime`).
    fn processor_time(&self) -> Result<f64, BoxError> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks = |at| {
            after_name
                .split_whitespace()
                .nth(at)
                .and_then(|n| n.parse::<f64>().ok())
        };
        let (user, system) = ticks(11).zip(ticks(12)).ok_or("/proc/…/stat has another form")?;
        Ok((user + system) / TICKS_PER_SECOND)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn authz() -> Result<(), BoxError> {
    let mut target = Target::start(Door::Authz, Grants::Admin, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", target.address().port());
    target.ended().await;
    Ok(())
}

async fn application() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    upstream::serve(listener).await;
    Ok(())
}

/// Says 204, but to what the harness asks until the chain is up.
async fn bare() -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|request: Request<Incoming>| async move {
                let known = request
                    .headers()
                    .get("x-original-host")
                    .is_some_and(|host| host == HOST);
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::NO_CONTENT;
                if !known {
                    *response.status_mut() = StatusCode::FORBIDDEN;
                    response
                        .headers_mut()
                        .insert("x-jit-status", http::HeaderValue::from_static("421"));
                }
                Ok::<_, Infallible>(response)
            });
            let server = hyper::server::conn::http1::Builder::new();
            // A connection that fails concerns nobody but its client.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

const HOST: &str = "app.example.com";

/// One way to be asked.
struct Case {
    name: &'static str,
    part: Part,
    nginx: Running,
    per_second: Vec<f64>,
    latencies: Vec<f64>,
    cpu: Vec<f64>,
}

impl Case {
    async fn start(name: &'static str, role: &str, application: u16) -> Result<Self, BoxError> {
        let part = Part::start(role)?;
        let ports = Ports {
            authz: part.port,
            application,
        };
        let nginx = Running::start(Product::Nginx, ports).await?;
        Ok(Self {
            name,
            part,
            nginx,
            per_second: Vec::new(),
            latencies: Vec::new(),
            cpu: Vec::new(),
        })
    }

    async fn round(&mut self, counts: bool) -> Result<(), BoxError> {
        let before = self.part.processor_time()?;
        let (took, mut latencies) = load(self.nginx.address()).await?;
        if counts {
            self.per_second.push(REQUESTS as f64 / took);
            self.latencies.append(&mut latencies);
            self.cpu
                .push((self.part.processor_time()? - before) * 1e6 / REQUESTS as f64);
        }
        Ok(())
    }
}

async fn measure() -> Result<(), BoxError> {
    let application = Part::start("application")?;
    let mut cases = [
        Case::start("204 to everything", "bare", application.port).await?,
        Case::start("jit-authz", "authz", application.port).await?,
    ];
    for round in 0..=ROUNDS {
        for case in &mut cases {
            // The first round warms up.
            case.round(round > 0).await?;
        }
    }
    println!(
        "NGINX, auth_request to: {CONNECTIONS} connections, {ROUNDS} rounds of {REQUESTS} requests each\n"
    );
    println!(
        "{:<20} {:>12} {:>10} {:>10} {:>20}",
        "", "requests/s", "p50 µs", "p99 µs", "responder µs CPU/check"
    );
    for case in &mut cases {
        println!(
            "{:<20} {:>12.0} {:>10.0} {:>10.0} {:>20.1}",
            case.name,
            median(&mut case.per_second),
            percentile(&mut case.latencies, 50),
            percentile(&mut case.latencies, 99),
            median(&mut case.cpu),
        );
    }
    Ok(())
}

/// Seconds for one round, and each request's microseconds. Anything but the protected handler's answer is an error.
async fn load(address: SocketAddr) -> Result<(f64, Vec<f64>), BoxError> {
    let watch = Stopwatch::start();
    let mut connections = JoinSet::new();
    for _ in 0..CONNECTIONS {
        connections.spawn(async move { one_connection(address).await.map_err(|error| error.to_string()) });
    }
    let mut latencies = Vec::with_capacity(REQUESTS);
    while let Some(done) = connections.join_next().await {
        latencies.append(&mut done??);
    }
    Ok((watch.elapsed().as_secs_f64(), latencies))
}

async fn one_connection(address: SocketAddr) -> Result<Vec<f64>, BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut headers = HeaderMap::new();
    headers.insert("host", HOST.parse()?);
    headers.insert("authorization", format!("Bearer {ALICE}").parse()?);
    for n in 0..FIELDS {
        let name: http::HeaderName = format!("x-field-{n}").parse()?;
        headers.insert(name, "a value of some length, as they come".parse()?);
    }
    let mut latencies = Vec::new();
    for _ in 0..REQUESTS / CONNECTIONS {
        let mut request = Request::get("/admin/users").body(Empty::new())?;
        *request.headers_mut() = headers.clone();
        let watch = Stopwatch::start();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let admitted = response
            .headers()
            .get("x-handler")
            .is_some_and(|by| by == "admin");
        if response.status() != StatusCode::OK || !admitted {
            return Err(format!("answered {}", response.status()).into());
        }
        response.into_body().collect().await?;
        latencies.push(micros(watch.elapsed()));
    }
    Ok(latencies)
}
