//! From what is written to what is meant.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_authz::AuthzSettings;
use jit_console::web::ConsoleSettings;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::policy::Format;
use jit_core::span::Span;
use toml::Spanned;

use super::problem::{Problems, guard, line};
use super::{Authz, Clients, Config, Console, Files, Listen, Stop, Tls, UpstreamTls, written};

/// Connections at once, unless said otherwise.
const CONNECTIONS: usize = 4096;
/// Where the operator's listener is, unless said otherwise.
const OPERATOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
pub(super) fn check(path: &Path, source: &str, file: &written::File) -> Result<Config, Problems> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let mut check = Check {
        file: path.display().to_string(),
        source,
        folder,
        places: BTreeSet::new(),
        listeners: Vec::new(),
        upstreams_tls: Vec::new(),
        problems: Problems::default(),
    };
    let policy = check.document(&file.policy);
    let people = check.document(&file.people);
    let database = check.folder.join(file.database.get_ref());
    check.database(&file.database, &database);
    let identified = file.identity.mtls.is_some();
    let gate_tls = file.listen.tls.as_ref().map(|tls| check.tls(tls, identified));
    let console_tls = file
        .console
        .as_ref()
        .and_then(|console| console.tls.as_ref())
        .map(|tls| check.tls(tls, identified));
    let asks = |tls: &Option<Tls>| tls.as_ref().is_some_and(|tls| tls.clients.is_some());
    let shown = asks(&gate_tls) || asks(&console_tls);
    let vouches = |tls: &Option<Tls>| Some(tls.as_ref()?.clients.as_ref()?.ca_file.clone());
    let at = file
        .console
        .as_ref()
        .and_then(|console| console.tls.as_ref()?.client_ca_file.as_ref());
    if let (Some(gate), Some(console), Some(at)) = (vouches(&gate_tls), vouches(&console_tls), at)
        && gate != console
    {
        check.wrong(
            at,
            "the guarded listener has other authorities for clients, and one [identity.mtls] would take the names of both as the same",
            "name the same `client_ca_file` at both listeners, or none at one of them",
        );
    }
    let listen = check.listen(&file.listen);
    let upstreams = check.upstreams(&file.upstreams);
    let issuers = check.issuers(&file.identity.jwt);
    let mtls = file.identity.mtls.as_ref();
    let mtls = mtls.and_then(|mtls| check.mtls(mtls, shown));
    let console = file.console.as_ref().and_then(|console| check.console(console));
    let authz = file.authz.as_ref().and_then(|authz| check.authz(authz));
    let operator = file
        .operator
        .as_ref()
        .map(|operator| match &operator.get_ref().addr {
            Some(addr) => check.listener(addr, *addr.get_ref()),
            None => check.listener(operator, OPERATOR),
        });
    let stop = Stop {
        delay: file.stop.delay.map_or(Duration::ZERO, Span::as_std),
        grace: span(file.stop.grace, 30),
    };
    check.own_servers(file);
    match (policy, people, check.problems.is_empty()) {
        (Some(policy), Some(people), true) => Ok(Config {
            files: Files {
                policy,
                people,
                gate_tls,
                console_tls,
                upstreams_tls: check.upstreams_tls,
                mtls_issuer: of_certificates(file),
            },
            database,
            verify_log: file.verify_log.unwrap_or(true),
            listen,
            upstreams,
            issuers,
            mtls,
            console,
            authz,
            operator,
            stop,
        }),
        _ => Err(check.problems),
    }
}

/// Whether a server's host and port lead to this listener.
fn is_listener(server: &str, listener: SocketAddr) -> bool {
    let Some((host, port)) = server.rsplit_once(':') else {
        return false;
    };
    let at = listener.ip().to_canonical();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = match bare.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(ip) if at.is_unspecified() => {
            // Of IPv4 there is none behind 0.0.0.0 but IPv4's; behind [::] there are both.
            (ip.is_loopback() || ip.is_unspecified()) && (at.is_ipv6() || ip.is_ipv4())
        }
        Ok(ip) => ip == at,
        Err(_) => {
            let name = host.trim_end_matches('.');
            name.eq_ignore_ascii_case("localhost") && (at.is_loopback() || at.is_unspecified())
        }
    };
    is_own && listener.port() != 0 && port.parse() == Ok(listener.port())
}

/// Who names those whom client certificates prove, unless tokens or a sign-in of the same name prove more.
fn of_certificates(file: &written::File) -> Option<String> {
    let issuer = &file.identity.mtls.as_ref()?.get_ref().issuer;
    let tokens = file.identity.jwt.iter().map(|jwt| &jwt.get_ref().issuer);
    let sign_in = file.console.as_ref().and_then(|console| console.sign_in.as_ref());
    let mut others = tokens.chain(sign_in.map(|sign_in| &sign_in.get_ref().issuer));
    (!others.any(|other| other == issuer)).then(|| issuer.clone())
}

pub(super) fn span(given: Option<Span>, seconds: u64) -> Duration {
    given.map_or(Duration::from_secs(seconds), Span::as_std)
}

pub(super) struct Check<'s> {
    file: String,
    source: &'s str,
    pub(super) folder: PathBuf,
    /// Which host and path belong to an upstream already.
    pub(super) places: BTreeSet<(String, String)>,
    listeners: Vec<SocketAddr>,
    pub(super) upstreams_tls: Vec<UpstreamTls>,
    pub(super) problems: Problems,
}

impl Check<'_> {
    pub(super) fn wrong<T>(&mut self, at: &Spanned<T>, problem: &str, mend: &str) {
        let line = line(self.source, at.span().start);
        self.problems.push(&self.file, Some(line), problem, mend);
    }

    /// The value, or the problem in its place.
    pub(super) fn take<T, V, E: std::fmt::Display>(
        &mut self,
        at: &Spanned<T>,
        read: Result<V, E>,
        mend: &str,
    ) -> Option<V> {
        read.map_err(|error| self.wrong(at, &error.to_string(), mend))
            .ok()
    }

    fn document(&mut self, at: &Spanned<PathBuf>) -> Option<(PathBuf, Format)> {
        let path = self.folder.join(at.get_ref());
        let Some(format) = Format::of_path(&path) else {
            self.wrong(
                at,
                "the file's name does not say how it is written",
                "let it end with .toml, .yaml or .json",
            );
            return None;
        };
        Some((path, format))
    }

    /// `identified` says whether the certificates of clients prove anything.
    fn tls(&mut self, tls: &written::Tls, identified: bool) -> Tls {
        if let (Some(asked), None) = (&tls.client_certificates, &tls.client_ca_file) {
            self.wrong(
                asked,
                "nobody vouches for clients",
                "name a PEM file with the authorities that do as `client_ca_file`, or leave this out",
            );
        }
        let required = tls.client_certificates.as_ref().map(|asked| *asked.get_ref())
            != Some(written::ClientCertificates::Optional);
        let clients = tls.client_ca_file.as_ref().map(|file| {
            if !identified {
                self.wrong(
                    file,
                    "clients show certificates, and nothing says what they prove",
                    "add [identity.mtls] with issuer and names",
                );
            }
            Clients {
                ca_file: self.folder.join(file.get_ref()),
                required,
            }
        });
        Tls {
            cert: self.folder.join(&tls.cert),
            key: self.folder.join(&tls.key),
            clients,
        }
    }

    /// What is there already is a file that nobody else may read; what is not can be made.
    fn database(&mut self, at: &Spanned<PathBuf>, path: &Path) {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        if path.exists() && !path.is_file() {
            self.wrong(
                at,
                "the database is no file",
                "name a file; it is made if it is not there",
            );
        } else if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            let problem = format!("the database's folder, {}, is not there", folder.display());
            self.wrong(at, &problem, "make the folder, or name another");
        } else if let Err(exposed) = guard(path, 0o077) {
            self.problems.add(&exposed);
        }
    }

    /// A server that is the guarded listener would be sent its own requests for as long as there are connections.
    fn own_servers(&mut self, file: &written::File) {
        let listener = *file.listen.addr.get_ref();
        let upstreams = file.upstreams.get_ref().iter().map(Spanned::get_ref);
        for text in upstreams.flat_map(|upstream| upstream.servers.get_ref()) {
            if is_listener(text.get_ref().trim_start_matches("https://"), listener) {
                self.wrong(
                    text,
                    "it is the address under [listen]",
                    "name the address of the application itself",
                );
            }
        }
    }

    /// An address that no other listener has. Port 0 is a free one each time.
    fn listener<T>(&mut self, at: &Spanned<T>, addr: SocketAddr) -> SocketAddr {
        if addr.port() != 0 && self.listeners.contains(&addr) {
            self.wrong(
                at,
                &format!("two listeners have the address {addr}"),
                "give each a port of its own",
            );
        }
        self.listeners.push(addr);
        addr
    }

    /// A count of at least one.
    pub(super) fn count<T: Copy + PartialEq + Default>(
        &mut self,
        given: Option<&Spanned<T>>,
        otherwise: T,
    ) -> T {
        let Some(at) = given else { return otherwise };
        if *at.get_ref() == T::default() {
            self.wrong(at, "0 is no limit but the end of it", "write at least 1");
        }
        *at.get_ref()
    }

    fn listen(&mut self, listen: &written::Listen) -> Listen {
        let connections = self.count(listen.connections.as_ref(), CONNECTIONS);
        Listen {
            addr: self.listener(&listen.addr, *listen.addr.get_ref()),
            connections: connections.min(tokio::sync::Semaphore::MAX_PERMITS),
            head_timeout: span(listen.head_timeout, 10),
            idle_timeout: span(listen.idle_timeout, 60),
            websocket_idle_timeout: span(listen.websocket_idle_timeout, 60 * 60),
        }
    }

    fn console(&mut self, console: &written::Console) -> Option<Console> {
        const MEND: &str =
            "write what browsers have in their address bars, such as https://access.example.com";
        let addr = self.listener(&console.addr, *console.addr.get_ref());
        let at = &console.origin;
        let origin = at.get_ref().clone();
        if console.tls.is_some() && origin.starts_with("http://") {
            self.wrong(at, "the console has TLS, and its origin is not https", MEND);
        }
        // Browsers keep `__Host-` cookies of an origin without TLS only where that is this machine.
        if let Some(host) = origin.strip_prefix("http://")
            && !["localhost", "127.0.0.1", "[::1]"].iter().any(|own| {
                host.strip_prefix(own)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
            })
        {
            self.wrong(
                at,
                "nobody can sign in at a console without TLS",
                "give it `tls`, or a proxy with TLS in front, and write the https origin",
            );
        }
        let mut settings = self.take(at, ConsoleSettings::new(origin.clone()), MEND)?;
        settings = settings.with_strict_transport(console.strict_transport);
        for guarded in &console.guarded {
            let with = settings.clone().with_guarded(guarded.get_ref().clone());
            settings = self.take(guarded, with, MEND)?;
        }
        let sign_in = match &console.sign_in {
            Some(sign_in) => Some(self.sign_in(sign_in, &origin)?),
            None => None,
        };
        Some(Console {
            addr,
            settings,
            sign_in,
        })
    }

    fn authz(&mut self, authz: &written::Authz) -> Option<Authz> {
        let addr = self.listener(&authz.addr, *authz.addr.get_ref());
        let proxies = TrustedProxies::parse(authz.proxies.get_ref());
        let proxies = self.take(&authz.proxies, proxies, "list the balancers that ask")?;
        let settings = AuthzSettings::new(proxies.clone());
        let mut settings = self.take(&authz.proxies, settings, "list the balancers that ask")?;
        const MEND: &str = "write the address as browsers and programs reach it";
        if let Some(page) = &authz.page {
            settings = self.take(page, settings.with_page(page.get_ref()), MEND)?;
        }
        if let Some(control) = &authz.control {
            settings = self.take(control, settings.with_control(control.get_ref()), MEND)?;
        }
        Some(Authz {
            addr,
            proxies,
            settings,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_the_listener_is_known() {
        for (server, listener, own) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("localhost:80", "127.0.0.1:80", true),
            ("LOCALHOST.:80", "[::1]:80", true),
            ("localhost:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "0.0.0.0:80", true),
            ("127.0.0.1:80", "[::]:80", true),
            ("[::1]:80", "[::]:80", true),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
            ("[::1]:80", "0.0.0.0:80", false),
            ("127.0.0.1:81", "127.0.0.1:80", false),
            ("127.0.0.2:80", "127.0.0.1:80", false),
            ("10.0.0.1:80", "0.0.0.0:80", false),
            ("app.example.com:80", "0.0.0.0:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("localhost", "127.0.0.1:80", false),
        ] {
            assert_eq!(
                is_listener(server, listener.parse().unwrap()),
                own,
                "{server} {listener}"
            );
        }
    }
}
