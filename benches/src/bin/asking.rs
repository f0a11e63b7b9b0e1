//! What it costs NGINX to ask: jit-authz beside a responder that says 204 to everything, both asked by `auth_request` with the
//! configuration of `examples/balancers/nginx`, before the same application.
//!
//! Run with `cargo run --profile bench -p benches --bin asking`. The responder, the application, jit-authz and the two NGINX are processes of
//! their own; this one sends the requests. The rounds take turns.

use std::convert::Infallible;
use std::net::SocketAddr;

use balancers::{Ports, Product, Running};
use benches::house::BoxError;
use benches::load::{CONNECTIONS, HOST, Part, load};
use benches::timing::{median, percentile};
use gate_target::door::{Door, Target};
use gate_target::house::{ALICE, Grants};
use gate_target::upstream;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const ROUNDS: usize = 7;
/// Requests of one round, over all connections.
const REQUESTS: usize = 8_000;
/// Header fields of a request besides Host and Authorization.
const FIELDS: usize = 18;

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
            authz: part.port(),
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
        let done = load(self.nginx.address(), &[ALICE.to_owned()], REQUESTS, FIELDS).await?;
        if counts {
            self.per_second.push(done.per_second);
            self.latencies.extend(done.latencies);
            self.cpu
                .push((self.part.processor_time()? - before) * 1e6 / REQUESTS as f64);
        }
        Ok(())
    }
}

async fn measure() -> Result<(), BoxError> {
    let application = Part::start("application")?;
    let mut cases = [
        Case::start("204 to everything", "bare", application.port()).await?,
        Case::start("jit-authz", "authz", application.port()).await?,
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
