//! `jit.toml`: what `jit serve` is told, read and checked.
//!
//! # Rules
//! 1. Unknown keys are errors. Every error names file and line, and says what would be right; all that can be found at once are told at once.
//! 2. Paths are relative to the folder that the file is in.
//! 3. Nothing in the file is a secret. Whoever may write it decides what is guarded: a file that everybody may write is refused, and so are
//!    policy and people files, and a key that others may read.
//! 4. Whom a certificate is believed for is never left open: clients' certificates count where `[identity.mtls]` says what they prove, and a
//!    server's is verified wherever TLS is spoken to it.
//! 5. What is read again on SIGHUP is what the file names, never the file itself.

mod check;
mod identity;
mod problem;
mod sign_in;
mod upstreams;
mod written;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use jit_auth::jwt::JwtAuthenticator;
use jit_auth::mtls::MtlsAuthenticator;
use jit_authz::AuthzSettings;
use jit_console::web::ConsoleSettings;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::policy::Format;
use jit_core::policy::shape::{Shape, line_of, shape};
use jit_core::policy::text::clean;
use tokio_rustls::rustls::pki_types::ServerName;

pub(super) use problem::{Problems, guard, text};
pub(super) use sign_in::SignIn;

/// What is served, and where.
#[derive(Debug)]
pub(super) struct Config {
    pub(super) files: Files,
    pub(super) database: PathBuf,
    pub(super) verify_log: bool,
    pub(super) listen: Listen,
    pub(super) upstreams: Vec<Upstream>,
    /// Whose tokens prove who somebody is.
    pub(super) issuers: Vec<Arc<JwtAuthenticator>>,
    /// What the certificates of clients prove.
    pub(super) mtls: Option<Arc<MtlsAuthenticator>>,
    pub(super) console: Option<Console>,
    pub(super) authz: Option<Authz>,
    pub(super) operator: Option<SocketAddr>,
    pub(super) stop: Stop,
}

/// The files that are read again when the process is told to.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) policy: (PathBuf, Format),
    pub(super) people: (PathBuf, Format),
    pub(super) gate_tls: Option<Tls>,
    pub(super) console_tls: Option<Tls>,
    /// Those of [`Config::upstreams`] whose servers are spoken to in TLS, by their names.
    pub(super) upstreams_tls: Vec<UpstreamTls>,
    /// Who names those whom client certificates prove. Read once, as all of the configuration.
    pub(super) mtls_issuer: Option<String>,
}

/// TLS to the servers of an upstream.
#[derive(Debug, Clone)]
pub(super) struct UpstreamTls {
    /// The upstream's.
    pub(super) name: String,
    /// Who vouches for its servers, in PEM; the system's authorities if it is not said.
    pub(super) ca_file: Option<PathBuf>,
    /// What its servers have to be called; the hosts of their addresses if it is not said.
    pub(super) server_name: Option<ServerName<'static>>,
}

/// A certificate chain and its key, in PEM, and what clients have to show.
#[derive(Debug, Clone)]
pub(super) struct Tls {
    pub(super) cert: PathBuf,
    pub(super) key: PathBuf,
    pub(super) clients: Option<Clients>,
}

/// Certificates of clients.
#[derive(Debug, Clone)]
pub(super) struct Clients {
    /// Who vouches for them, in PEM.
    pub(super) ca_file: PathBuf,
    /// Whether there is no connection without one.
    pub(super) required: bool,
}

/// The guarded listener, and what one client may take of it.
#[derive(Debug, Clone)]
pub(super) struct Listen {
    pub(super) addr: SocketAddr,
    pub(super) connections: usize,
    pub(super) head_timeout: Duration,
    pub(super) idle_timeout: Duration,
    /// How long nothing may pass on a WebSocket.
    pub(super) websocket_idle_timeout: Duration,
}

impl Config {
    /// Whether there is a console that people can't sign in at.
    pub(super) fn has_no_sign_in(&self) -> bool {
        self.console
            .as_ref()
            .is_some_and(|console| console.sign_in.is_none())
    }
}

/// The console's listener.
#[derive(Debug)]
pub(super) struct Console {
    pub(super) addr: SocketAddr,
    pub(super) settings: ConsoleSettings,
    pub(super) sign_in: Option<SignIn>,
}

/// The listener of the authorization endpoints.
#[derive(Debug)]
pub(super) struct Authz {
    pub(super) addr: SocketAddr,
    pub(super) proxies: TrustedProxies,
    pub(super) settings: AuthzSettings,
}

/// An application, and the servers that it runs on.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) name: String,
    /// Canonical host patterns; empty: every host.
    pub(super) hosts: Vec<String>,
    /// Canonical path prefixes.
    pub(super) paths: Vec<String>,
    pub(super) servers: Vec<Authority>,
    pub(super) connect_timeout: Duration,
    pub(super) head_timeout: Duration,
    pub(super) failures: u32,
    pub(super) rest: Duration,
    pub(super) health: Option<Health>,
}

/// How servers are asked whether they are well.
#[derive(Debug, Clone)]
pub(super) struct Health {
    pub(super) path: String,
    pub(super) host: Option<String>,
    pub(super) interval: Duration,
    pub(super) timeout: Duration,
    pub(super) passes: u32,
}

/// How the process ends.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stop {
    /// How long it goes on taking connections after it was told.
    pub(super) delay: Duration,
    /// How long what is in flight may take after that.
    pub(super) grace: Duration,
}

impl Config {
    /// Reads and checks the file. What the files that it names hold is another matter.
    pub(super) fn read(path: &Path) -> Result<Self, Problems> {
        let name = path.display().to_string();
        let source = problem::text(path, 0, "name the file with --config")?;
        let written: written::File = toml::from_str(&source).map_err(|error| {
            let line = error.span().map(|span| problem::line(&source, span.start));
            let text = line.map_or("", |line| line_of(&source, line));
            let Shape { problem, mend } = shape(error.message().trim_end(), text);
            let mend = mend.map(|mend| clean(&mend));
            Problems::one(
                &name,
                line,
                &problem,
                mend.as_deref().unwrap_or(problem::SEE_EXAMPLE),
            )
        })?;
        check::check(path, &source, &written)
    }
}
