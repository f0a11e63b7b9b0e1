//! The layer on plain hyper, without axum: HTTP/1.1 and HTTP/2 on one port.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p hyper-gate
//! curl -i http://127.0.0.1:3000/                                  # open
//! curl -i http://127.0.0.1:3000/admin                             # 401
//! curl -i -H 'Authorization: Bearer demo' http://127.0.0.1:3000/admin    # 403, and where to ask
//! ```
//!
//! Nobody grants anything here: grants come from a broker, which publishes them to `gate.enforcer()`. The quickstart has one.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::broker::directory::{Directory, DirectoryError, Members, Person};
use jit_core::clock::{Clock, SystemClock};
use jit_core::gate::Gate;
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::id::{Digest, Principal, Role, Timestamp};
use jit_core::policy::terms::{OpenDef, ResourceDef};
use jit_tower::{JitLayer, PeerAddr, Permit};
use tokio::net::TcpListener;
use tower::{Layer as _, service_fn};

/// The application: says under whose grant it was reached.
async fn app(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let text = match request.extensions().get::<Permit>() {
        Some(permit) => format!("{} until {}\n", permit.holder(), permit.not_after()),
        None => "open to everyone\n".to_owned(),
    };
    Ok(Response::new(Full::from(text)))
}

/// Serves the application behind the gate, one task for each connection.
async fn serve(listener: TcpListener, gate: Gate) -> std::io::Result<()> {
    let guarded = JitLayer::new(gate).layer(service_fn(app));
    loop {
        let (stream, peer) = listener.accept().await?;
        let guarded = guarded.clone();
        let service = service_fn(move |mut request: Request<Incoming>| {
            // The layer takes the peer's address from here.
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            tower::ServiceExt::oneshot(guarded.clone(), request)
        });
        tokio::spawn(async move {
            let connection = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let _ = connection.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// `/` is open; `/admin` needs a grant; the token `demo` is Ana's.
fn gate(clock: Arc<dyn Clock>) -> Result<Gate, Box<dyn Error>> {
    let hosts = BTreeSet::from(["127.0.0.1".to_owned(), "localhost".to_owned()]);
    let admin = ResourceDef {
        name: "admin".parse()?,
        hosts: hosts.clone(),
        paths: BTreeSet::from(["/admin".to_owned()]),
        methods: BTreeSet::new(),
        tags: BTreeSet::new(),
    };
    let open = OpenDef {
        hosts,
        paths: BTreeSet::from(["/".to_owned()]),
        methods: BTreeSet::new(),
    };
    let rules = RuleSet::compile(&[admin], &[open])?;
    let enforcer = Arc::new(Enforcer::new(EnforcerSettings::default()));
    enforcer.synced(clock.now());
    let tokens = ApiTokens::new([(Digest::plain(b"demo"), "local|ana".parse()?)])?;
    Ok(Gate::builder(rules, enforcer, Arc::new(tokens), Arc::new(OnlyAna), clock).build())
}

/// A directory of one.
#[derive(Debug)]
struct OnlyAna;

#[async_trait]
impl Directory for OnlyAna {
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        if principal.subject() != "ana" {
            return Ok(None);
        }
        let id = "ana".parse().map_err(|error| DirectoryError {
            source: Box::new(error),
        })?;
        Ok(Some(Person {
            id,
            name: "Ana".to_owned(),
            roles: BTreeSet::new(),
            disabled: false,
            as_of: now,
        }))
    }

    async fn members(&self, _: &Role, _: Timestamp) -> Result<Members, DirectoryError> {
        Ok(Members::Unknown)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let gate = gate(Arc::new(SystemClock::new()))?;
    let view = gate.clone();
    tokio::spawn(async move {
        // A broker says so after each look at its store. Here the empty view is always complete.
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            view.enforcer().synced(view.now());
        }
    });
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    serve(listener, gate).await?;
    Ok(())
}

#[cfg(test)]
mod tests;
