//! A pingora load balancer that shares its requests out between two upstreams, and lets none of them through to `/admin` without a grant.
//!
//! Run with
//!
//! ```not_rust
//! python3 -m http.server 8001 & python3 -m http.server 8002 &
//! cargo run -p pingora-gate -- 127.0.0.1:3000 127.0.0.1:8001 127.0.0.1:8002
//! curl -i http://127.0.0.1:3000/admin -H 'Authorization: Bearer demo-ana'      # 403, and where to ask
//! curl -s http://127.0.0.1:3000/_jit/v1/requests -H 'Authorization: Bearer demo-ana' \
//!      -H 'Content-Type: application/json' -d '{"resource": "admin", "reason": "rotate the keys"}'
//! curl -i http://127.0.0.1:3000/admin -H 'Authorization: Bearer demo-ana'      # let through, for a minute
//! curl -s http://127.0.0.1:3000/_jit/v1/requests/REQUEST/revoke -H 'Authorization: Bearer demo-lee' \
//!      -H 'Content-Type: application/json' -d '{"reason": "done"}'
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use jit_console::ApiSettings;
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::clock::SystemClock;
use jit_core::gate::Gate;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_pingora::{JitGate, Ticket, service};
use jit_tower::JitLayer;
use pingora::lb::LoadBalancer;
use pingora::lb::selection::RoundRobin;
use pingora::proxy::{ProxyHttp, Session};
use pingora::server::{RunArgs, Server};
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

type BoxError = Box<dyn Error + Send + Sync>;

/// The balancer: an ordinary pingora proxy. The gate stands before it and keeps its ticket in the `CTX`.
struct Balancer {
    upstreams: LoadBalancer<RoundRobin>,
    control: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Balancer {
    type CTX = Ticket;

    fn new_ctx(&self) -> Ticket {
        Ticket::default()
    }

    async fn upstream_peer(&self, _: &mut Session, ticket: &mut Ticket) -> pingora::Result<Box<HttpPeer>> {
        if ticket.is_control() {
            return Ok(Box::new(HttpPeer::new(self.control, false, String::new())));
        }
        let Some(upstream) = self.upstreams.select(b"", 16) else {
            return pingora::Error::e_explain(pingora::ErrorType::HTTPStatus(503), "no upstream");
        };
        Ok(Box::new(HttpPeer::new(upstream, false, String::new())))
    }
}

/// A broker that keeps everything in memory, and the gate in front of what it grants.
async fn house() -> Result<(Broker, Gate), BoxError> {
    let policy = Policy::parse(include_str!("policy.toml"), Format::Toml, "policy.toml")?;
    let people = PeopleFile::parse(include_str!("people.toml"), Format::Toml, "people.toml")?;
    let people = Arc::new(people);
    let rules = RuleSet::compile(policy.resources(), policy.open())?;
    let tokens = people.tokens().into_iter();
    let tokens = ApiTokens::new(tokens.map(|token| (token.sha256, token.principal)))?;
    let broker = Broker::builder(Arc::new(MemoryStore::new()), people.clone(), policy)
        .build()
        .await?;
    let clock = Arc::new(SystemClock::new());
    let gate = Gate::builder(rules, broker.enforcer().clone(), Arc::new(tokens), people, clock);
    let gate = gate.with_reserve(Arc::new(broker.clone())).build();
    Ok((broker, gate))
}

/// Decides on askings, and serves the control API for the balancer to proxy to.
async fn control(broker: Broker, gate: Gate, listener: TcpListener) -> std::io::Result<()> {
    let api = Router::new()
        .merge(jit_console::mounted(broker.clone(), ApiSettings::default()))
        .layer(JitLayer::new(gate));
    tokio::select! {
        served = axum::serve(listener, api) => served,
        () = broker.run() => Ok(()),
    }
}

/// Serves until the process is told to end.
fn run(listen: &str, upstreams: &[String]) -> Result<(), BoxError> {
    // Pingora has runtimes of its own; the control plane keeps out of their way.
    let runtime = Runtime::new()?;
    let (broker, gate) = runtime.block_on(house())?;
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
    let balancer = Balancer {
        upstreams: LoadBalancer::try_from_iter(upstreams)?,
        control: listener.local_addr()?,
    };
    runtime.spawn(control(broker, gate.clone(), listener));

    let mut server = Server::new(None)?;
    let mut balanced = service(&server.configuration, JitGate::new(gate), balancer);
    balanced.add_tcp(listen);
    server.add_service(balanced);
    server.bootstrap();
    server.run(RunArgs::default());
    Ok(())
}

fn main() -> Result<(), BoxError> {
    let mut arguments = std::env::args().skip(1);
    let listen = arguments.next().unwrap_or_else(|| "127.0.0.1:3000".to_owned());
    let mut upstreams: Vec<String> = arguments.collect();
    if upstreams.is_empty() {
        upstreams = ["127.0.0.1:8001", "127.0.0.1:8002"].map(str::to_owned).to_vec();
    }
    println!("listening on http://{listen}, before {}", upstreams.join(" and "));
    run(&listen, &upstreams)
}

#[cfg(test)]
mod tests;
