//! From start to end.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jit_core::broker::store::Store;
use jit_core::broker::verify_log;
use jit_core::clock::{Clock, SystemClock};
use jit_store_sqlite::SqliteStore;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::config::{Config, Stop};
use super::doubts::doubts;
use super::listener::{Bounds, Door, Stage};
use super::operator::Operator;
use super::papers::Papers;
use super::signals::{Signals, Told};
use super::wiring::{self, House};
use super::{ServeArgs, log, measures, notify, reload};
use crate::BoxError;

/// What balancers and operators may take of a listener. They keep idle connections for a minute; and to what a client sends, for which the
/// gate has limits of its own, balancers add.
const INSIDERS: Bounds = Bounds {
    connections: 4096,
    head_timeout: Duration::from_secs(75),
    idle_timeout: Duration::from_secs(75),
    head: 128 * 1024,
    fields: 128,
    websocket_idle: None,
};

/// Serves until the process is told to stop.
///
/// # Errors
/// What kept it from starting, with the mend, or what ended it.
pub async fn run(args: ServeArgs) -> Result<(), BoxError> {
    if args.example {
        print!("{}", include_str!("../../jit.example.toml"));
        return Ok(());
    }
    let mut config = Config::read(&args.config)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let papers = Papers::read(&config.files, &clock)?;
    let doubts = doubts(&args.config, &config, &papers, &*clock, args.check);
    if args.check {
        say_good(&args.config, &config, &doubts);
        return Ok(());
    }
    log::begin(args.log_format)?;
    for doubt in doubts {
        tracing::warn!("{doubt}");
    }
    // Before anything is open: who stops it meanwhile stops it in order.
    let mut signals = Signals::listen()?;
    let counts = measures::begin()?;
    let store = Arc::new(SqliteStore::open(&config.database).await?);
    if config.verify_log {
        verify(&*store).await?;
    }
    let house = wiring::wire(&mut config, papers, store.clone(), clock).await?;
    let (stopping, stopped) = watch::channel(Stage::Serving);
    let operator = Operator::new(
        house.broker.clone(),
        house.current.gate.clone(),
        store.clone(),
        house.interactions.clone(),
        counts,
        stopped.clone(),
    );

    let mut doors = JoinSet::new();
    for door in open(&config, &house).await? {
        doors.spawn(door.serve(stopped.clone()));
    }
    // It answers until the very end: that the process stops is what it has to tell.
    let mut parts = JoinSet::new();
    if let Some(addr) = config.operator {
        let door = Door {
            router: operator.router(),
            ..bare("operator", addr).await?
        };
        let (staying, stays) = watch::channel(Stage::Serving);
        parts.spawn(async move {
            door.serve(stays).await;
            drop(staying);
        });
    }
    let broker = house.broker.clone();
    parts.spawn(async move { broker.run().await });
    let upstreams = house.upstreams.clone();
    parts.spawn(async move { upstreams.watch().await });

    tracing::info!("ready");
    notify::tell(notify::Phase::Ready);
    let ended = loop {
        tokio::select! {
            told = signals.next() => match told {
                Told::Reload => reload::reload(&config.files, &house.current).await,
                Told::Stop => break Ok(()),
            },
            Some(ended) = parts.join_next() => break Err(died(ended)),
            Some(ended) = doors.join_next() => break Err(died(ended)),
        }
    };
    tracing::info!("stopping");
    notify::tell(notify::Phase::Stopping);
    // Where one part has died the others still end in order.
    drain(config.stop, &stopping, &mut doors, async {
        while signals.next().await != Told::Stop {}
    })
    .await;
    parts.shutdown().await;
    let written = house.broker.flush_interactions().await;
    store.close().await;
    written?;
    tracing::info!("stopped");
    ended
}

/// Stops taking connections, and lets what is in flight end: for as long as it may, or until it is hurried.
async fn drain(
    stop: Stop,
    stopping: &watch::Sender<Stage>,
    doors: &mut JoinSet<()>,
    hurried: impl Future<Output = ()>,
) {
    let ending = async {
        stopping.send_replace(Stage::Leaving);
        tokio::time::sleep(stop.delay).await;
        stopping.send_replace(Stage::Closing);
        let all = async { while doors.join_next().await.is_some() {} };
        if tokio::time::timeout(stop.grace, all).await.is_err() {
            tracing::warn!("what was in flight did not end in time, and is cut");
        }
    };
    tokio::select! {
        () = ending => {}
        () = hurried => tracing::warn!("told to stop again: what is in flight is cut"),
    }
    doors.shutdown().await;
}

fn died(ended: Result<(), tokio::task::JoinError>) -> BoxError {
    match ended {
        Ok(()) => "a part of the program ended by itself".into(),
        Err(error) => format!("a part of the program failed: {error}").into(),
    }
}

async fn verify(store: &dyn Store) -> Result<(), BoxError> {
    let tail = verify_log(store).await.map_err(|error| {
        format!(
            "{error}; nothing is served from a log that was changed: keep the file, and begin from a backup"
        )
    })?;
    tracing::info!(position = tail.position, hash = %tail.hash, "the audit log is whole");
    Ok(())
}

/// Every listener but the operator's.
async fn open(config: &Config, house: &House) -> Result<Vec<Door>, BoxError> {
    let listen = &config.listen;
    let anybody = Bounds {
        connections: listen.connections,
        head_timeout: listen.head_timeout,
        idle_timeout: listen.idle_timeout,
        head: 64 * 1024,
        fields: 100,
        websocket_idle: None,
    };
    let mut doors = vec![Door {
        tls: house.current.gate_tls.clone(),
        bounds: Bounds {
            websocket_idle: Some(listen.websocket_idle_timeout),
            ..anybody
        },
        router: house.guarded.clone(),
        ..bare("gate", listen.addr).await?
    }];
    if let (Some(console), Some(router)) = (&config.console, &house.console) {
        doors.push(Door {
            tls: house.current.console_tls.clone(),
            bounds: anybody,
            router: router.clone(),
            ..bare("console", console.addr).await?
        });
    }
    if let (Some(authz), Some(router)) = (&config.authz, &house.authz) {
        doors.push(Door {
            peers: Some(authz.proxies.clone()),
            router: router.clone(),
            ..bare("authz", authz.addr).await?
        });
    }
    Ok(doors)
}

/// A listener that nothing is served at yet.
async fn bare(name: &'static str, addr: SocketAddr) -> Result<Door, BoxError> {
    let bound = TcpListener::bind(addr).await;
    let listener = bound
        .map_err(|error| format!("{addr}: {error}; choose another address for the listener {name:?}"))?;
    tracing::info!(listener = name, addr = %listener.local_addr()?, "listening");
    Ok(Door {
        name,
        listener,
        tls: None,
        bounds: INSIDERS,
        peers: None,
        router: axum::Router::new(),
    })
}

fn say_good(path: &Path, config: &Config, warnings: &[String]) {
    for warning in warnings {
        eprintln!("{}", log::inert(warning));
    }
    let upstreams = match config.upstreams.len() {
        1 => "1 upstream".to_owned(),
        several => format!("{several} upstreams"),
    };
    println!("{} is right: {upstreams}", path.display());
}
