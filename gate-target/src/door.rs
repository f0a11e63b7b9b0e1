//! The doors: servers that put a gate before the worst-case upstream.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::gate::Gate;
use jit_tower::{JitLayer, PeerAddr};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::TargetError;
use crate::house::{ALICE, Grants, House};
use crate::upstream;

/// Through which server the gate is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever adds a door decides about it everywhere"
)]
pub enum Door {
    /// `JitLayer` around an axum router.
    Axum,
    /// `JitLayer` around a plain service on hyper.
    Hyper,
    /// The authorization endpoints that other balancers call.
    Authz,
}

impl Door {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Axum, Self::Hyper, Self::Authz];

    /// As the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Hyper => "hyper",
            Self::Authz => "authz",
        }
    }

    /// The path at which it is asked about a request, where it does not see the client's request itself.
    pub const fn endpoint(self) -> Option<&'static str> {
        match self {
            Self::Axum | Self::Hyper => None,
            Self::Authz => Some("/authz/forward-auth"),
        }
    }

    /// Whether it sees the client's request itself.
    pub const fn is_inline(self) -> bool {
        self.endpoint().is_none()
    }
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Door {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|door| door.as_str() == text);
        found.ok_or_else(|| {
            let all: Vec<_> = Self::ALL.iter().map(|door| door.as_str()).collect();
            format!("{text:?} is none of {}", all.join(", "))
        })
    }
}

/// A door that listens, with a house of its own. It ends when this is dropped.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

impl Target {
    /// Builds the house and listens.
    ///
    /// # Errors
    /// A [`TargetError`]: the door is not there, the address can't be had, the house can't be built.
    pub async fn start(door: Door, grants: Grants, listen: SocketAddr) -> Result<Self, TargetError> {
        let serve = match door {
            Door::Axum => Serve::Axum,
            Door::Hyper => Serve::Hyper,
            Door::Authz => return Err(TargetError::NoDoor(door)),
        };
        let house = House::build(grants).await?;
        let failed = |source| TargetError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let (broker, gate) = (house.broker().clone(), house.gate().clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { broker.run().await });
        tasks.spawn(async move {
            match serve {
                Serve::Axum => over_axum(listener, gate).await,
                Serve::Hyper => over_hyper(listener, gate).await,
            }
        });
        Ok(Self { address, tasks })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Alice's bearer token.
    pub const fn token(&self) -> &'static str {
        ALICE
    }

    /// Waits until it ends, which a healthy one never does.
    pub async fn ended(&mut self) {
        self.tasks.join_next().await;
    }
}

enum Serve {
    Axum,
    Hyper,
}

async fn over_axum(listener: TcpListener, gate: Gate) {
    let app = Router::new()
        .fallback(|request: Request| upstream::answer(request))
        .layer(JitLayer::new(gate));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    if let Err(error) = axum::serve(listener, app).await {
        eprintln!("the door is shut: {error}");
    }
}

async fn over_hyper(listener: TcpListener, gate: Gate) {
    let worst =
        service_fn(|request| async { Ok::<_, std::convert::Infallible>(upstream::answer(request).await) });
    let guarded = JitLayer::new(gate).layer(worst);
    let mut connections = JoinSet::new();
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                eprintln!("no connection was taken: {error}");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let guarded = guarded.clone();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            guarded.clone().oneshot(request)
        });
        connections.spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}
