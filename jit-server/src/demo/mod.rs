//! `jit demo`: an application behind its gate, the control API and the console, on one machine and without any configuration.
//!
//! Three listeners: the application's own on a free port, the gate in front of it, and the console. What happens is kept in a database
//! in a folder of its own, which goes when the demo ends.

mod app;
mod cast;
mod wiring;

use std::future::{Future, IntoFuture};
use std::io::{self, IsTerminal};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use jit_core::clock::{Clock, SystemClock};
use jit_core::policy::text::clean;
use jit_store_sqlite::SqliteStore;
use jit_tower::connection::{Accepted, SeverableListener};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::BoxError;
use cast::Cast;
use wiring::House;

/// How long what is in flight may take to end once the demo is told to.
const GRACE: Duration = Duration::from_secs(2);

/// What `jit demo` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct DemoArgs {
    /// Where the guarded application is reached; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080", value_parser = address)]
    pub listen: SocketAddr,
    /// Where the console is reached; port 0 takes a free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8081", value_parser = address)]
    pub console: SocketAddr,
    /// Your policy in place of the demo's: what it protects on localhost, and who may ask and approve.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Your people in place of the demo's. Whoever reaches the demo can be anyone of them.
    #[arg(long, value_name = "FILE")]
    pub people: Option<PathBuf>,
    /// Don't open the console in a browser.
    #[arg(long)]
    pub no_open: bool,
}

impl DemoArgs {
    /// Whether it shows something else than its own people and policy.
    const fn is_own(&self) -> bool {
        self.policy.is_some() || self.people.is_some()
    }
}

/// A demo that has its addresses, and is ready to be served.
pub struct Demo {
    house: House,
    app: TcpListener,
    guarded: TcpListener,
    console: TcpListener,
    guarded_at: SocketAddr,
    console_at: SocketAddr,
    origin: String,
    clock: Arc<dyn Clock>,
    store: Arc<SqliteStore>,
    folder: TempDir,
    /// Where the guarded application is, for people.
    shown: String,
    /// What will not work, for people.
    warnings: Vec<String>,
}

/// Runs the demo until the process is told to stop.
///
/// # Errors
/// What kept it from starting, with the mend, or what ended it.
pub async fn run(args: DemoArgs) -> Result<(), BoxError> {
    let demo = Demo::open(&args).await?;
    // Listened for before anything is said: whoever reads what is printed may stop it at once.
    let stop = stop()?;
    let guarded = &demo.shown;
    let url = demo.console_origin();
    let told = if args.is_own() {
        let own = "the demo's own";
        include_str!("what-is-served.txt")
            .replace("{policy}", &cast::file(args.policy.as_deref(), own))
            .replace("{people}", &cast::file(args.people.as_deref(), own))
            .replace(
                "{who}",
                if args.people.is_some() {
                    "somebody who has a token there"
                } else {
                    "Alice"
                },
            )
            .replace(
                "{token}",
                if args.people.is_some() {
                    "…"
                } else {
                    "demo-alice"
                },
            )
    } else {
        include_str!("what-to-try.txt").to_owned()
    };
    print!(
        "{}",
        told.replace("{guarded}", guarded)
            .replace("{console}", url.trim_start_matches("http://"))
    );
    for warning in &demo.warnings {
        eprintln!("{}", clean(warning));
    }
    if !(demo.guarded().ip().is_loopback() && demo.console().ip().is_loopback()) {
        eprintln!(
            "Whoever reaches these addresses can be anyone here: the tokens are public, and nobody proves who they are."
        );
    }
    if io::stdout().is_terminal()
        && !args.no_open
        && let Err(error) = open::that_detached(url)
    {
        eprintln!("No browser could be opened ({error}). Open {url} in one.");
    }
    demo.serve(stop).await
}

impl Demo {
    /// Takes the addresses, makes the database and puts the parts together. Requests that come now wait until it is served.
    ///
    /// # Errors
    /// What is in the way, with the mend.
    pub async fn open(args: &DemoArgs) -> Result<Self, BoxError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let cast = Cast::of(args, clock.now())?;
        let guarded = bind(args.listen, "--listen").await?;
        let console = bind(args.console, "--console").await?;
        let app = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (guarded_at, console_at) = (guarded.local_addr()?, console.local_addr()?);
        let folder = tempfile::Builder::new().prefix("jit-demo-").tempdir()?;
        let store = Arc::new(SqliteStore::open(folder.path().join("demo.db")).await?);
        let mut warnings = cast.warnings.clone();
        let (shown, warning) = cast.address(reached(guarded_at));
        warnings.extend(warning);
        let origin = origin(reached(console_at));
        let house = wiring::wire(
            cast,
            store.clone(),
            clock.clone(),
            app.local_addr()?,
            reached(guarded_at),
            reached(console_at),
            &origin,
        )
        .await?;
        Ok(Self {
            house,
            app,
            guarded,
            console,
            guarded_at,
            console_at,
            origin,
            clock,
            store,
            folder,
            shown,
            warnings,
        })
    }

    /// Where the guarded application listens.
    pub const fn guarded(&self) -> SocketAddr {
        self.guarded_at
    }

    /// Where the console listens.
    pub const fn console(&self) -> SocketAddr {
        self.console_at
    }

    /// Where browsers reach the console.
    pub fn console_origin(&self) -> &str {
        &self.origin
    }

    /// Serves until `stop` is ready, lets what is in flight end, and writes down what was done.
    ///
    /// # Errors
    /// A part that ended by itself, or a store that did not take the last records.
    pub async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), BoxError> {
        let broker = self.house.broker;
        let mut parts = JoinSet::new();
        parts.spawn({
            let broker = broker.clone();
            async move { broker.run().await }
        });
        let app = axum::serve(self.app, app::app(self.clock));
        parts.spawn(async move {
            // It answers for as long as it is asked; what ends it is that it is dropped.
            let _ = app.await;
        });

        let (stopping, stopped) = watch::channel(());
        let told = |mut stopped: watch::Receiver<()>| async move {
            // Both a word and the end of whoever could say it mean stop.
            let _ = stopped.changed().await;
        };
        // The gate can end a connection whose peer does not read.
        let guarded = self
            .house
            .guarded
            .into_make_service_with_connect_info::<Accepted>();
        let guarded = axum::serve(SeverableListener::new(self.guarded), guarded)
            .with_graceful_shutdown(told(stopped.clone()));
        let console = self
            .house
            .console
            .into_make_service_with_connect_info::<SocketAddr>();
        let console = axum::serve(self.console, console).with_graceful_shutdown(told(stopped));
        let mut doors = Box::pin(async { tokio::try_join!(guarded.into_future(), console.into_future()) });

        tokio::select! {
            served = &mut doors => {
                served?;
                return Err("a listener ended by itself".into());
            }
            ended = parts.join_next() => {
                ended.transpose()?;
                return Err("a part of the demo ended by itself".into());
            }
            () = stop => {}
        }
        drop(stopping);
        // What has not ended by then, a stream of events for one, ends with the process.
        if let Ok(served) = tokio::time::timeout(GRACE, doors).await {
            served?;
        }
        parts.shutdown().await;
        broker.flush_interactions().await?;
        self.store.close().await;
        self.folder.close()?;
        Ok(())
    }
}

impl std::fmt::Debug for Demo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Demo")
            .field("guarded", &self.guarded_at)
            .field("console", &self.console_at)
            .finish_non_exhaustive()
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    let wrong =
        "write an IP address and a port, such as 127.0.0.1:8080; names such as localhost are not looked up";
    text.parse().map_err(|_| wrong.to_owned())
}

async fn bind(at: SocketAddr, option: &str) -> Result<TcpListener, String> {
    let bound = TcpListener::bind(at).await;
    bound.map_err(|error| format!("{at}: {error}; choose another address with {option}"))
}

/// The address by which this machine reaches a listener: one on every address is reached by the loopback's.
fn reached(mut at: SocketAddr) -> SocketAddr {
    if at.ip().is_unspecified() {
        match at {
            SocketAddr::V4(_) => at.set_ip(Ipv4Addr::LOCALHOST.into()),
            SocketAddr::V6(_) => at.set_ip(Ipv6Addr::LOCALHOST.into()),
        }
    }
    at
}

/// The origin of a console at this address: on this machine by its name, since browsers take no passkeys at an address.
fn origin(at: SocketAddr) -> String {
    if at.ip().is_loopback() {
        format!("http://localhost:{}", at.port())
    } else {
        format!("http://{at}")
    }
}

/// Ready when the process is told to stop, by Ctrl-C or by a service manager.
#[cfg(unix)]
fn stop() -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};

    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ready when the process is told to stop, by Ctrl-C.
#[cfg(not(unix))]
fn stop() -> io::Result<impl Future<Output = ()>> {
    Ok(async {
        // Without the signal there is nobody who could stop it in order.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    })
}
