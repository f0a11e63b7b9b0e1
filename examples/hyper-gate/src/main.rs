//! The layer on plain hyper, without axum: HTTP/1.1 and HTTP/2 on one port, and a service that asks for access itself.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p hyper-gate
//! curl -i -H 'Authorization: Bearer demo-ana' http://127.0.0.1:3000/admin                   # 403, and where to ask
//! curl -i -H 'Authorization: Bearer demo-ana' http://127.0.0.1:3000/ask -d 'rotate the keys'  # granted by the policy, for a minute
//! curl -i -H 'Authorization: Bearer demo-ana' http://127.0.0.1:3000/admin                   # 200
//! ```

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::approval::ask::Ask;
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::clock::SystemClock;
use jit_core::gate::Gate;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_tower::connection::Severable;
use jit_tower::{JitLayer, PeerAddr, Permit, RequestBody, Subject};
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};

type BoxError = Box<dyn Error + Send + Sync>;

/// The application: says under whose grant it was reached, and asks for one.
async fn app(
    broker: Broker,
    request: Request<RequestBody<Incoming>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let answer = match (
        parts.extensions.get::<Permit>(),
        parts.extensions.get::<Arc<Subject>>(),
    ) {
        (Some(permit), _) => Ok(format!("{} until {}\n", permit.holder(), permit.not_after())),
        (None, Some(subject)) if parts.uri.path() == "/ask" => ask(&broker, subject, body).await,
        _ => Ok("open to everyone\n".to_owned()),
    };
    let (status, text) = match answer {
        Ok(text) => (StatusCode::OK, text),
        Err(problem) => (StatusCode::FORBIDDEN, format!("{problem}\n")),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    Ok(response)
}

/// Asks for `admin` in the name of whoever the gate has proven. The reason is the body.
async fn ask(broker: &Broker, subject: &Subject, body: RequestBody<Incoming>) -> Result<String, BoxError> {
    let reason = Limited::new(body, 2000).collect().await?.to_bytes();
    let ask: Ask = serde_json::from_value(serde_json::json!({
        "resource": "admin", "reason": str::from_utf8(&reason)?,
    }))?;
    let asked = broker.ask(&broker.identify(subject).await?, ask, None).await?;
    Ok(format!(
        "{} is {}\n",
        asked.view.request.id, asked.view.request.state
    ))
}

/// A broker that keeps everything in memory, and the gate in front of what it grants.
async fn house() -> Result<(Broker, Gate), BoxError> {
    let policy = Policy::parse(include_str!("policy.toml"), Format::Toml, "policy.toml")?;
    let people = Arc::new(PeopleFile::parse(
        include_str!("people.toml"),
        Format::Toml,
        "people.toml",
    )?);
    let rules = RuleSet::compile(policy.resources(), policy.open())?;
    let tokens = ApiTokens::new(
        people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal)),
    )?;
    let broker = Broker::builder(Arc::new(MemoryStore::new()), people.clone(), policy)
        .build()
        .await?;
    let clock = Arc::new(SystemClock::new());
    let gate = Gate::builder(rules, broker.enforcer().clone(), Arc::new(tokens), people, clock)
        // The application asks by itself: no path is the control API's.
        .without_control_api()
        .build();
    Ok((broker, gate))
}

/// Serves the application behind the gate, one task for each connection.
async fn serve(listener: TcpListener, broker: Broker, gate: Gate) -> std::io::Result<()> {
    let guarded = JitLayer::new(gate).layer(service_fn(move |request| app(broker.clone(), request)));
    loop {
        let (stream, peer) = listener.accept().await?;
        let guarded = guarded.clone();
        let stream = Severable::new(stream);
        let connection = stream.connection();
        let service = service_fn(move |mut request: Request<Incoming>| {
            // The layer takes the peer's address from here, and what it needs to end a WebSocket or a response that nobody reads.
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            request.extensions_mut().insert(connection.clone());
            tower::ServiceExt::oneshot(guarded.clone(), request)
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let stream = TokioIo::new(stream);
            let _ = server.serve_connection_with_upgrades(stream, service).await;
        });
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let (broker, gate) = house().await?;
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    let running = broker.clone();
    tokio::spawn(async move { running.run().await });
    serve(listener, broker, gate).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
