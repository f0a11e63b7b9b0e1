//! Serves the corpus' policy behind a door of choice, before the worst-case upstream.
//!
//! Run with
//!
//! ```not_rust
//! cargo run --release -p gate-target -- --listen 127.0.0.1:8081 --door axum --grant admin
//! ```
//!
//! When it takes connections it prints one line, `token=` and alice's bearer token, and to stderr where it listens. `--door none` serves the
//! upstream alone, for another balancer to proxy to.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::str::FromStr;

use clap::Parser;
use gate_target::TargetError;
use gate_target::door::{Door, Target};
use gate_target::house::{ALICE, Grants};
use gate_target::upstream;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// The gate before the worst upstream there could be.
#[derive(Debug, Parser)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// axum, hyper, authz, pingora (built on demand: it needs cmake and some minutes), or a balancer (nginx, haproxy, haproxy-2.8, envoy, envoy-grpc, caddy, traefik), which listens at a port of its
    /// own; none serves the upstream alone, without a gate.
    #[arg(long, default_value = "axum")]
    door: Served,
    /// Which grant there is: none, admin, other_path, expired or other_user.
    #[arg(long, default_value = "none")]
    grant: Grants,
}

#[derive(Debug, Clone, Copy)]
enum Served {
    Door(Door),
    Upstream,
    /// A door that this build has no part of.
    #[cfg(not(feature = "pingora"))]
    Pingora,
}

impl FromStr for Served {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" => Ok(Self::Upstream),
            #[cfg(not(feature = "pingora"))]
            "pingora" => Ok(Self::Pingora),
            door => door.parse().map(Self::Door),
        }
    }
}

/// Runs the build of this program that has pingora, in place of this one.
#[cfg(not(feature = "pingora"))]
fn with_pingora() -> std::io::Error {
    use std::os::unix::process::CommandExt as _;

    let Some(cargo) = std::env::var_os("CARGO") else {
        let mend = "this build is without pingora; start it with: cargo run --release -p gate-target --features pingora -- --door pingora";
        return std::io::Error::other(mend);
    };
    let mut command = std::process::Command::new(cargo);
    command.args(["run", "--quiet", "-p", "gate-target", "--features", "pingora"]);
    if !cfg!(debug_assertions) {
        command.arg("--release");
    }
    command.arg("--").args(std::env::args_os().skip(1)).exec()
}

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    #[cfg(not(feature = "pingora"))]
    if let Served::Pingora = args.door {
        eprintln!("{}", with_pingora());
        return ExitCode::FAILURE;
    }
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn ready(address: SocketAddr, token: &str) {
    eprintln!("listening on {address}");
    println!("token={token}");
}

async fn run(args: Args) -> Result<(), TargetError> {
    match args.door {
        Served::Door(door) => {
            let mut target = Target::start(door, args.grant, args.listen).await?;
            ready(target.address(), target.token());
            // Ended from outside it still has to end the balancer that it may have started.
            let mut terminated = signal(SignalKind::terminate()).map_err(|source| TargetError::House {
                source: source.into(),
            })?;
            tokio::select! {
                () = target.ended() => {}
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Served::Upstream => {
            let failed = |source| TargetError::Listen {
                address: args.listen,
                source,
            };
            let listener = TcpListener::bind(args.listen).await.map_err(failed)?;
            let address = listener.local_addr().map_err(failed)?;
            ready(address, ALICE);
            upstream::serve(listener).await;
        }
        // `main` has handed over.
        #[cfg(not(feature = "pingora"))]
        Served::Pingora => {}
    }
    Ok(())
}
