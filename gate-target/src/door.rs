//! The doors: servers that put a gate before the worst-case upstream.

#[cfg(feature = "pingora")]
mod pingora;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use balancers::{Ports, Product, Running};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_authz::{Authz, AuthzSettings};
use jit_core::gate::Gate;
use jit_core::gate::hygiene::TrustedProxies;
use jit_tower::connection::{Accepted, Severable, SeverableListener};
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
    /// `Jit` around a pingora proxy.
    #[cfg(feature = "pingora")]
    Pingora,
    /// Another balancer, which asks those endpoints.
    Product(Product),
}

impl Door {
    /// All of them.
    pub const ALL: &'static [Self] = &[
        Self::Axum,
        Self::Hyper,
        Self::Authz,
        #[cfg(feature = "pingora")]
        Self::Pingora,
        Self::Product(Product::Nginx),
        Self::Product(Product::Haproxy),
        Self::Product(Product::Haproxy28),
        Self::Product(Product::Envoy),
        Self::Product(Product::EnvoyGrpc),
        Self::Product(Product::Caddy),
        Self::Product(Product::Traefik),
    ];

    /// As the command line writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Axum => "axum",
            Self::Hyper => "hyper",
            Self::Authz => "authz",
            #[cfg(feature = "pingora")]
            Self::Pingora => "pingora",
            Self::Product(product) => product.as_str(),
        }
    }

    /// The path at which it is asked about a request, where it does not see the client's request itself.
    pub const fn endpoint(self) -> Option<&'static str> {
        match self {
            Self::Axum | Self::Hyper | Self::Product(_) => None,
            #[cfg(feature = "pingora")]
            Self::Pingora => None,
            Self::Authz => Some("/authz/forward-auth"),
        }
    }

    /// Why a row can't get its verdict through a product or a server, although nobody gets in: what the row is about is over before any
    /// configuration has a say.
    pub fn excuse(self, row: &str) -> Option<&'static str> {
        use Product::{Caddy, Envoy, EnvoyGrpc, Traefik};
        match (self, row) {
            #[cfg(feature = "pingora")]
            (Self::Pingora, row) => pingora::excuse(row),
            (Self::Product(Envoy | EnvoyGrpc | Caddy | Traefik), "target-007") => Some(
                "the product puts the target's authority in the place of Host (RFC 9112 section 3.2.2), for gate and upstream alike",
            ),
            (Self::Product(Envoy | EnvoyGrpc | Traefik), "header-061" | "header-063") => Some(
                "the product drops what Connection names, and the field, before it asks, for gate and upstream alike",
            ),
            (Self::Product(Caddy | Traefik), "target-023") => {
                Some("the product answers OPTIONS * by itself, with nothing")
            }
            _ => None,
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
        let found = Self::ALL.iter().copied().find(|door| door.as_str() == text);
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
    _balancer: Option<Running>,
}

impl Target {
    /// Builds the house and listens. A product listens at a free port, whatever `listen` says.
    ///
    /// # Errors
    /// A [`TargetError`]: the address can't be had, the house can't be built, the product does not run.
    pub async fn start(door: Door, grants: Grants, listen: SocketAddr) -> Result<Self, TargetError> {
        let house = House::build(grants).await?;
        let (broker, gate) = (house.broker().clone(), house.gate().clone());
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { broker.run().await });
        let listener = bind(listen).await?;
        let mut address = local(&listener)?;
        let mut balancer = None;
        match door {
            Door::Axum => drop(tasks.spawn(over_axum(listener, gate))),
            Door::Hyper => drop(tasks.spawn(over_hyper(listener, gate))),
            Door::Authz => drop(tasks.spawn(authz(listener, gate)?)),
            #[cfg(feature = "pingora")]
            Door::Pingora => {
                let application = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
                tasks.spawn(pingora::serve(listener, gate, local(&application)?));
                tasks.spawn(upstream::serve(application));
            }
            Door::Product(product) => {
                let application = bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
                let ports = Ports {
                    authz: address.port(),
                    application: local(&application)?.port(),
                };
                tasks.spawn(authz(listener, gate)?);
                tasks.spawn(upstream::serve(application));
                let running = Running::start(product, ports).await?;
                address = running.address();
                balancer = Some(running);
            }
        }
        Ok(Self {
            address,
            tasks,
            _balancer: balancer,
        })
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

async fn bind(listen: SocketAddr) -> Result<TcpListener, TargetError> {
    let listener = TcpListener::bind(listen).await;
    listener.map_err(|source| TargetError::Listen {
        address: listen,
        source,
    })
}

fn local(listener: &TcpListener) -> Result<SocketAddr, TargetError> {
    listener.local_addr().map_err(|source| TargetError::Listen {
        address: SocketAddr::from(([127, 0, 0, 1], 0)),
        source,
    })
}

/// The authorization endpoints, for askers on this machine.
fn authz(listener: TcpListener, gate: Gate) -> Result<impl Future<Output = ()>, TargetError> {
    let house = |source: Box<dyn std::error::Error + Send + Sync>| TargetError::House { source };
    let proxies = TrustedProxies::parse(["127.0.0.1"]).map_err(|bad| house(bad.into()))?;
    let settings = AuthzSettings::new(proxies).map_err(|bad| house(bad.into()))?;
    Ok(async move {
        if let Err(error) = Authz::new(gate, settings).serve(listener).await {
            eprintln!("the door is shut: {error}");
        }
    })
}

async fn over_axum(listener: TcpListener, gate: Gate) {
    let app = Router::new()
        .fallback(|request: Request| upstream::answer(request))
        .layer(JitLayer::new(gate));
    let app = app.into_make_service_with_connect_info::<Accepted>();
    if let Err(error) = axum::serve(SeverableListener::new(listener), app).await {
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
        let stream = Severable::new(stream);
        let connection = stream.connection();
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            request.extensions_mut().insert(connection.clone());
            guarded.clone().oneshot(request)
        });
        connections.spawn(async move {
            let mut server = auto::Builder::new(TokioExecutor::new());
            server.http1().timer(TokioTimer::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}
