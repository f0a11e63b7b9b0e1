//! `jit serve`: the whole gate as one program from one file, `jit.toml`.
//!
//! ```text
//!                    ┌ guarded listener: TLS ► gate ► upstreams        SIGHUP   reload policy, people, certificates
//! jit.toml ► parts ──┤ console: pages and control API                  SIGTERM  drain, write down, close
//!                    ├ authorization endpoints for other balancers
//!                    └ operator: /livez /readyz /metrics
//! ```
//!
//! `jit.example.toml` beside this crate's `Cargo.toml` shows every key.
//!
//! # Rules
//! 1. It starts only when everything that the file names is right. `--check` says whether it would, and opens neither listener nor database.
//! 2. It is told to stop by SIGTERM or SIGINT: `/readyz` says so at once; after `stop.delay` no connection is taken any more; what is in flight
//!    has `stop.grace` to end; then what was done is written down and the database closed. A second signal ends the grace.
//! 3. A part that ends by itself ends the program, with an error.
//!
//! # Deployment caveats
//! - The address of a client is that of its connection. Behind another balancer that is the balancer's; let that one ask at `[authz]` instead,
//!   or forward connections and not requests.
//! - Upstreams are spoken to in HTTP/1.1, and show no certificates of ours if they want one. Connections may go on as WebSockets over HTTP/1.1, and in no other protocol; those that
//!   a grant has admitted end with it. One counts as a connection; at a stop its client is told between two frames (close code 1001), has a few
//!   seconds to end it, and is cut when `stop.grace` is over.
//! - Programs prove who they are by the tokens of the people file, by those of an issuer, or by the certificate that they show in the TLS
//!   handshake, for the host that they asked for in it ([`jit_auth::mtls`]). What a connection has proven counts until
//!   the authorities are read again: then its WebSocket is cut and what it asks is refused, and only answers that had begun go on to their end. Both
//!   listeners name the same authorities. Certificates on a revocation list are not known here. Browsers sign in at the provider of
//!   `[console.sign_in]`, whose ID tokens are no credentials for the gate; without one nobody can.
//! - One process at a time has the database.
//! - How many connections one address may have is not limited, nor how slowly a client reads a response: `connections` bounds all of them together.

mod config;
mod doubts;
mod identity;
mod listener;
mod log;
mod measures;
mod notify;
mod operator;
mod papers;
mod reload;
mod run;
mod signals;
mod tls;
mod upstreams;
mod wiring;

use std::path::PathBuf;

use clap::Args;

pub use log::LogFormat;
pub use run::run;

/// What `jit serve` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ServeArgs {
    /// The file that says what is served. Paths in it are relative to its folder.
    #[arg(short, long, value_name = "FILE", default_value = "jit.toml")]
    pub config: PathBuf,
    /// Check the file and all that it names, say what is wrong, and exit.
    #[arg(long)]
    pub check: bool,
    /// Print a file that shows every key, with its type and meaning, and exit.
    #[arg(long, conflicts_with = "check")]
    pub example: bool,
    /// How the log on standard error is written. JIT_LOG says what is logged: a level, or targets with levels (warn,jit_core=debug).
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
}
