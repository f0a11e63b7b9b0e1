//! What the gate costs a server over HTTP, beside what asking costs NGINX: axum bare and behind `JitLayer` with 100,000 live grants;
//! NGINX bare and with `auth_request` to jit-authz, both before the same axum.
//!
//! Run with `cargo run --profile bench -p benches --bin serving`. Servers are processes of their own; this one sends the requests, on
//! loopback, and they take turns. *cpu* is what all servers of a case used for a request, without the one that sends.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::any;
use balancers::{Ports, Product, Running};
use benches::draws::Turns;
use benches::figures::{figure, quick};
use benches::house::{BoxError, House, token};
use benches::load::{CONNECTIONS, Part, load, processor_time};
use benches::path::{self, Road};
use benches::timing::{median, percentile, time};
use gate_target::door::{Door, Target};
use gate_target::house::{ALICE, Grants};
use jit_core::memory::MemoryStore;
use jit_tower::JitLayer;
use tempfile::TempDir;
use tokio::net::{TcpListener, TcpStream};

const ROUNDS: usize = 9;
const ROUNDS_QUICK: usize = 4;
/// Requests of one round, over all connections.
const REQUESTS: usize = 16_000;
/// Header fields of a request besides Host and Authorization.
const FIELDS: usize = 48;
/// Live grants at the gate.
const GRANTS: usize = 100_000;

fn main() -> Result<(), BoxError> {
    let runtime = tokio::runtime::Runtime::new()?;
    match std::env::args().nth(1).as_deref() {
        None | Some("--quick") => runtime.block_on(measure()),
        Some("authz") => runtime.block_on(authz()),
        Some("bare") => runtime.block_on(bare()),
        Some("gated") => runtime.block_on(gated()),
        Some(other) => Err(format!("{other:?} is none of authz, bare, gated").into()),
    }
}

fn app() -> Router {
    Router::new().route(
        "/admin/{*below}",
        any(async || ([("x-handler", "admin")], "hello\n")),
    )
}

async fn bare() -> Result<(), BoxError> {
    serve(app()).await
}

async fn gated() -> Result<(), BoxError> {
    let house = House::on(Arc::new(MemoryStore::new())).await?;
    let request = house.ask(0).await?;
    let real = house.approve(&request).await?.request;
    house.crowd(&real, GRANTS)?;
    house.synced();
    let gate = house.gate(GRANTS)?;
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            house.synced();
        }
    });
    serve(app().layer(JitLayer::new(gate))).await
}

async fn serve(app: Router) -> Result<(), BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    Ok(axum::serve(listener, app).await?)
}

async fn authz() -> Result<(), BoxError> {
    let mut target = Target::start(Door::Authz, Grants::Admin, SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("{}", target.address().port());
    target.ended().await;
    Ok(())
}

/// NGINX that asks nobody: the same proxying, with the same fields dropped.
struct Bare {
    child: Child,
    address: SocketAddr,
    _folder: TempDir,
}

impl Bare {
    async fn start(application: u16) -> Result<Self, BoxError> {
        let folder = tempfile::tempdir()?;
        let port = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let fields =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/balancers/nginx/drop-fields.conf");
        std::fs::copy(fields, folder.path().join("drop-fields.conf"))?;
        let config = format!(
            "pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    server_tokens off;
    client_body_temp_path client_body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    large_client_header_buffers 8 16k;
    proxy_headers_hash_max_size 4096;
    proxy_headers_hash_bucket_size 128;
    upstream application {{ server 127.0.0.1:{application}; keepalive 32; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://application;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Proto $scheme;
            include drop-fields.conf;
        }}
    }}
}}
"
        );
        std::fs::write(folder.path().join("nginx.conf"), config)?;
        let child = Command::new("nginx")
            .current_dir(folder.path())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(folder.path().join("nginx.conf"))
            .args(["-e", "stderr", "-g", "daemon off; master_process off;"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()?;
        let started = Self {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            _folder: folder,
        };
        for _ in 0..200 {
            if TcpStream::connect(started.address).await.is_ok() {
                return Ok(started);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("NGINX did not start".into())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One way to serve.
struct Case {
    name: &'static str,
    address: SocketAddr,
    tokens: Vec<String>,
    /// The processes that serve it.
    servers: Vec<u32>,
    per_second: Vec<f64>,
    latencies: Vec<f64>,
    cpu: Vec<f64>,
}

impl Case {
    fn new(name: &'static str, address: SocketAddr, tokens: Vec<String>, servers: Vec<u32>) -> Self {
        Self {
            name,
            address,
            tokens,
            servers,
            per_second: Vec::new(),
            latencies: Vec::new(),
            cpu: Vec::new(),
        }
    }

    fn used(&self) -> Result<f64, BoxError> {
        self.servers.iter().map(|server| processor_time(*server)).sum()
    }

    async fn round(&mut self, counts: bool) -> Result<(), BoxError> {
        let before = self.used()?;
        let done = load(self.address, &self.tokens, REQUESTS, FIELDS).await?;
        if counts {
            self.per_second.push(done.per_second);
            self.latencies.extend(done.latencies);
            self.cpu.push((self.used()? - before) * 1e6 / REQUESTS as f64);
        }
        Ok(())
    }
}

async fn measure() -> Result<(), BoxError> {
    let (bare, gated, authz) = (Part::start("bare")?, Part::start("gated")?, Part::start("authz")?);
    let proxy = Bare::start(bare.port()).await?;
    let ports = Ports {
        authz: authz.port(),
        application: bare.port(),
    };
    let asking = Running::start(Product::Nginx, ports).await?;
    let here = |part: &Part| SocketAddr::from(([127, 0, 0, 1], part.port()));
    let alice = vec![ALICE.to_owned()];
    let users: Vec<String> = (0..CONNECTIONS)
        .map(|n| token(n * (GRANTS / CONNECTIONS)))
        .collect();
    let mut cases = [
        Case::new("axum", here(&bare), users.clone(), vec![bare.id()]),
        Case::new("axum + JitLayer", here(&gated), users, vec![gated.id()]),
        Case::new(
            "NGINX",
            proxy.address,
            alice.clone(),
            vec![proxy.child.id(), bare.id()],
        ),
        Case::new(
            "NGINX + auth_request",
            asking.address(),
            alice,
            vec![asking.process(), authz.id(), bare.id()],
        ),
    ];
    let rounds = if quick() { ROUNDS_QUICK } else { ROUNDS };
    for round in 0..=rounds {
        for case in &mut cases {
            // The first round warms up.
            case.round(round > 0).await?;
        }
    }
    // Within each round, and before anything is sorted.
    let (over, under) = (&cases[1].per_second, &cases[0].per_second);
    let mut ratios: Vec<f64> = over.iter().zip(under).map(|(one, other)| one / other).collect();
    let ratio = median(&mut ratios);
    println!("{CONNECTIONS} connections, {rounds} rounds of {REQUESTS} requests each; medians\n");
    println!(
        "{:<22} {:>12} {:>10} {:>10} {:>16}",
        "", "requests/s", "p50 µs", "p99 µs", "cpu µs/request"
    );
    let medians = cases.each_mut().map(|case| {
        let (per_second, cpu) = (median(&mut case.per_second), median(&mut case.cpu));
        println!(
            "{:<22} {per_second:>12.0} {:>10.0} {:>10.0} {cpu:>16.1}",
            case.name,
            percentile(&mut case.latencies, 50),
            percentile(&mut case.latencies, 99),
        );
        (per_second, cpu)
    });
    drop((asking, proxy, authz, gated, bare));
    let path = path_ns().await?;
    let asked = medians[3].1 - medians[2].1;
    println!("\ncheck and record of one request, in the same run: {path:.0} ns");
    figure("http_throughput_ratio", ratio);
    figure("path_vs_auth_request_cpu", asked * 1e3 / path);
    figure("layer_http_cpu_us", medians[1].1 - medians[0].1);
    figure("auth_request_http_cpu_us", asked);
    Ok(())
}

/// Nanoseconds for check and record of a request, as `--bench gate` has it.
async fn path_ns() -> Result<f64, BoxError> {
    let mut road = Road::build(1_000, Turns::One).await?;
    let mut taken = Vec::new();
    for _ in 0..11 {
        let [read, decide] =
            [path::Case::Read, path::Case::Decide].map(|case| time(|| road.run(case, 20_000)).as_secs_f64());
        taken.push((decide - read) * 1e9 / 20_000.0);
        road.drain().await?;
    }
    Ok(median(&mut taken))
}
