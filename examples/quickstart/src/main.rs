//! The whole path in one small app: an admin page that is refused, asked for, approved, open for a minute, and refused again.
//!
//! Run with `cargo run --release -p quickstart`; it prints the curl lines to try.
//!
//! - `/` is open, `/admin` and below need a live grant for the resource `admin`
//! - `/_jit` is the control API: ask, approve, look at the audit log
//! - everything is kept in one SQLite file; `kill -9` loses nothing that was answered

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use clap::Parser;
use jit_console::ApiSettings;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::store::Store;
use jit_core::broker::{Broker, verify_log};
use jit_core::clock::{Clock, SystemClock};
use jit_core::gate::Gate;
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::interactions::Interactions;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::policy::{Format, Policy};
use jit_store_sqlite::{OpenError, SqliteStore};
use jit_tower::connection::{Accepted, SeverableListener};
use jit_tower::{JitLayer, Permitted};
use tokio::net::TcpListener;

type BoxError = Box<dyn Error + Send + Sync>;

/// A small app whose /admin opens just in time.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The database file; it is made if absent.
    #[arg(long, default_value = "quickstart.db")]
    db: PathBuf,
    /// A policy file (.toml, .json; .yaml with the feature of that name) in place of the built-in one.
    #[arg(long)]
    policy: Option<PathBuf>,
    /// A people file (.toml, .json; .yaml with the feature of that name) in place of the built-in one.
    #[arg(long)]
    people: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(args: Args) -> Result<(), BoxError> {
    let policy = match &args.policy {
        Some(path) => Policy::parse(&read(path)?, format_of(path)?, &path.display().to_string())?,
        None => Policy::parse(include_str!("policy.toml"), Format::Toml, "policy.toml")?,
    };
    for warning in policy.warnings() {
        eprintln!("{warning}");
    }
    let people = match &args.people {
        Some(path) => PeopleFile::parse(&read(path)?, format_of(path)?, &path.display().to_string())?,
        None => PeopleFile::parse(include_str!("people.toml"), Format::Toml, "people.toml")?,
    };
    let is_public = people.tokens().iter().any(|token| token.is_demo);
    let listener = TcpListener::bind(args.listen)
        .await
        .map_err(|error| format!("{}: {error}; choose another address with --listen", args.listen))?;
    let store = Arc::new(SqliteStore::open(&args.db).await.map_err(|error| match error {
        OpenError::InUse { .. } => BoxError::from(format!("{error}, or name another file with --db")),
        error => error.into(),
    })?);
    verify_log(&*store).await.map_err(|error| {
        format!(
            "{}: {error}; keep the file, and go on from a copy that is whole",
            args.db.display()
        )
    })?;
    let (app, broker) = app(store, policy, people, Arc::new(SystemClock::new())).await?;
    // The gate can end a connection whose peer does not read.
    let app = app.into_make_service_with_connect_info::<Accepted>();
    let mut at = listener.local_addr()?;
    if !at.ip().is_loopback() && is_public {
        eprintln!("whoever reaches {at} can be anyone here: the tokens are public");
    }
    if at.ip().is_unspecified() {
        at.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    if args.policy.is_some() || args.people.is_some() {
        println!("listening on http://{at}");
    } else {
        print!(
            "{}",
            include_str!("what-to-try.txt").replace("{at}", &at.to_string())
        );
    }

    // What was answered is on the disk. What was done with the grants in the last second may not be.
    tokio::select! {
        served = axum::serve(SeverableListener::new(listener), app) => served?,
        () = broker.run() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    broker.flush_interactions().await?;
    Ok(())
}

/// The app behind its gate, and the broker that decides.
async fn app(
    store: Arc<dyn Store>,
    policy: Policy,
    people: PeopleFile,
    clock: Arc<dyn Clock>,
) -> Result<(Router, Broker), BoxError> {
    let people = Arc::new(people);
    let rules = RuleSet::compile(policy.resources(), policy.open())?;
    let tokens = ApiTokens::new(
        people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal)),
    )?;
    let interactions = Arc::new(Interactions::new());
    let broker = Broker::builder(store, people.clone(), policy)
        .clock(clock.clone())
        .interactions(interactions.clone())
        .build()
        .await?;
    let gate = Gate::builder(rules, broker.enforcer().clone(), Arc::new(tokens), people, clock)
        .with_reserve(Arc::new(broker.clone()))
        .with_asking(Arc::new(broker.clone()))
        .with_hold(HoldSettings::default())
        .with_interactions(interactions)
        .build();
    let app = Router::new()
        .route("/", any(async || "Open to everyone. /admin is not.\n"))
        .route("/admin", any(admin))
        .route("/admin/", any(admin))
        .route("/admin/{*below}", any(admin))
        .merge(jit_console::mounted(broker.clone(), ApiSettings::default()))
        .layer(JitLayer::new(gate));
    Ok((app, broker))
}

/// Can't be reached without a permit: the extractor needs one.
async fn admin(Permitted(permit): Permitted) -> String {
    format!(
        "Welcome, {}. Grant {} ends at {}.\n",
        permit.holder().subject(),
        permit.grant_id(),
        permit.not_after()
    )
}

fn read(path: &Path) -> Result<String, BoxError> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()).into())
}

fn format_of(path: &Path) -> Result<Format, BoxError> {
    Format::of_path(path).ok_or_else(|| format!("{}: name it .toml, .yaml or .json", path.display()).into())
}

#[cfg(test)]
mod tests;
