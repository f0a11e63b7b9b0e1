//! From what is written to what is meant.

use std::collections::{BTreeSet, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, PathAndQuery};
use jit_auth::fetch::{Fetch, HttpsFetch};
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation, TokenType};
use jit_authz::AuthzSettings;
use jit_console::web::ConsoleSettings;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::target::{canonical_host_pattern, canonical_prefix};
use jit_core::policy::Format;
use jit_core::span::Span;
use toml::Spanned;

use super::problem::{Problems, guard, line};
use super::{Authz, Config, Console, Files, Health, Listen, Stop, Tls, Upstream, written};

/// Connections at once, unless said otherwise.
const CONNECTIONS: usize = 4096;
/// Where the operator's listener is, unless said otherwise.
const OPERATOR: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
/// Most upstreams, and most servers, hosts and paths of each: they are labels of metrics, and are looked through for each request.
const EACH_MAX: usize = 256;
/// Longest name of an upstream, in bytes.
const NAME_MAX: usize = 64;

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
        problems: Problems::default(),
    };
    let policy = check.document(&file.policy);
    let people = check.document(&file.people);
    let database = check.folder.join(file.database.get_ref());
    if let Err(exposed) = guard(&database, 0o077) {
        check.problems.add(&exposed);
    }
    let gate_tls = file.listen.tls.as_ref().map(|tls| check.tls(tls));
    let console_tls = file
        .console
        .as_ref()
        .and_then(|console| console.tls.as_ref())
        .map(|tls| check.tls(tls));
    let listen = check.listen(&file.listen);
    let upstreams = check.upstreams(&file.upstreams);
    let issuers = check.issuers(&file.identity.jwt);
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
    match (policy, people, check.problems.is_empty()) {
        (Some(policy), Some(people), true) => Ok(Config {
            files: Files {
                policy,
                people,
                gate_tls,
                console_tls,
            },
            database,
            verify_log: file.verify_log.unwrap_or(true),
            listen,
            upstreams,
            issuers,
            console,
            authz,
            operator,
            stop,
        }),
        _ => Err(check.problems),
    }
}

fn span(given: Option<Span>, seconds: u64) -> Duration {
    given.map_or(Duration::from_secs(seconds), Span::as_std)
}

pub(super) struct Check<'s> {
    file: String,
    source: &'s str,
    pub(super) folder: PathBuf,
    /// Which host and path belong to an upstream already.
    places: BTreeSet<(String, String)>,
    listeners: Vec<SocketAddr>,
    pub(super) problems: Problems,
}

impl Check<'_> {
    fn wrong<T>(&mut self, at: &Spanned<T>, problem: &str, mend: &str) {
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

    fn tls(&self, tls: &written::Tls) -> Tls {
        Tls {
            cert: self.folder.join(&tls.cert),
            key: self.folder.join(&tls.key),
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
    fn count<T: Copy + PartialEq + Default>(&mut self, given: Option<&Spanned<T>>, otherwise: T) -> T {
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
        }
    }

    fn upstreams(&mut self, all: &Spanned<Vec<Spanned<written::Upstream>>>) -> Vec<Upstream> {
        if !(1..=EACH_MAX).contains(&all.get_ref().len()) {
            self.wrong(
                all,
                "there must be at least one upstream, and at most 256",
                "add [[upstreams]] with name and servers",
            );
        }
        let mut names = HashSet::new();
        all.get_ref()
            .iter()
            .map(|upstream| self.upstream(upstream.get_ref(), &mut names))
            .collect()
    }

    fn upstream(&mut self, upstream: &written::Upstream, names: &mut HashSet<String>) -> Upstream {
        let name = upstream.name.get_ref();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if name.is_empty() || name.len() > NAME_MAX || !name.bytes().all(plain) {
            self.wrong(
                &upstream.name,
                "the name is empty, too long or not plain",
                "write up to 64 ASCII letters, digits, `-`, `_` and `.`",
            );
        }
        if !names.insert(name.clone()) {
            self.wrong(
                &upstream.name,
                &format!("two upstreams are called {name:?}"),
                "give each a name of its own",
            );
        }
        let hosts = self.canonical(
            upstream.hosts.as_ref(),
            canonical_host_pattern,
            "write a host without scheme and port, such as app.example.com or *.example.com; leave `hosts` out for every host",
        );
        let paths = self.canonical(
            upstream.paths.as_ref(),
            canonical_prefix,
            "write a path in its one spelling, such as /api; leave `paths` out for every path",
        );
        let paths = paths.unwrap_or_else(|| vec!["/".to_owned()]);
        let every = ["".to_owned()];
        for host in hosts.as_deref().unwrap_or(&every) {
            for path in &paths {
                if !self.places.insert((host.clone(), path.clone())) {
                    let host = if host.is_empty() { "every host" } else { host };
                    self.wrong(
                        &upstream.name,
                        &format!("{path} on {host} belongs to an upstream above"),
                        "let one upstream serve it, on all of its `servers`",
                    );
                }
            }
        }
        let health = upstream.health.as_ref().map(|health| self.health(health));
        Upstream {
            name: name.clone(),
            hosts: hosts.unwrap_or_default(),
            paths,
            servers: self.servers(&upstream.servers),
            connect_timeout: span(upstream.connect_timeout, 5),
            head_timeout: span(upstream.head_timeout, 60),
            failures: self.count(upstream.failures.as_ref(), 3),
            rest: span(upstream.rest, 10),
            health,
        }
    }

    fn canonical<E: std::fmt::Display>(
        &mut self,
        given: Option<&Spanned<Vec<Spanned<String>>>>,
        read: fn(&str) -> Result<String, E>,
        mend: &str,
    ) -> Option<Vec<String>> {
        let given = given?;
        if !(1..=EACH_MAX).contains(&given.get_ref().len()) {
            self.wrong(given, "the list is empty, or has more than 256 entries", mend);
        }
        let each = given.get_ref().iter();
        Some(
            each.filter_map(|text| self.take(text, read(text.get_ref()), mend))
                .collect(),
        )
    }

    fn servers(&mut self, given: &Spanned<Vec<Spanned<String>>>) -> Vec<Authority> {
        const MEND: &str = "write host and port, such as 127.0.0.1:3000, [::1]:3000 or app.internal:3000";
        if !(1..=EACH_MAX).contains(&given.get_ref().len()) {
            self.wrong(given, "there must be at least one server, and at most 256", MEND);
        }
        let mut servers = Vec::new();
        for text in given.get_ref() {
            let read = text.get_ref().parse::<Authority>();
            let Some(server) = self.take(text, read, MEND) else {
                continue;
            };
            if server.port_u16().is_none_or(|port| port == 0)
                || server.host().is_empty()
                || server.as_str().contains('@')
            {
                self.wrong(text, "it is no host with a port", MEND);
            } else if servers.contains(&server) {
                self.wrong(
                    text,
                    &format!("the server {server} stands here twice"),
                    "name it once",
                );
            } else {
                servers.push(server);
            }
        }
        servers
    }

    fn health(&mut self, health: &written::Health) -> Health {
        let path = health.path.get_ref();
        if !path.starts_with('/') || path.parse::<PathAndQuery>().is_err() {
            self.wrong(&health.path, "it is no path", "write one such as /healthz");
        }
        let host = health.host.as_ref().filter(|host| {
            let read = host.get_ref().parse::<Authority>();
            self.take(host, read, "write a host name, such as app.example.com")
                .is_some()
        });
        Health {
            path: path.clone(),
            host: host.map(|host| host.get_ref().clone()),
            interval: span(health.interval, 10),
            timeout: span(health.timeout, 2),
            passes: self.count(health.passes.as_ref(), 2),
        }
    }

    fn issuers(&mut self, given: &[Spanned<written::Jwt>]) -> Vec<Arc<JwtAuthenticator>> {
        let Some(first) = given.first() else {
            return Vec::new();
        };
        let mend = "see that the system has certificates of authorities";
        let Some(fetch) = self.take(first, HttpsFetch::new(), mend) else {
            return Vec::new();
        };
        let fetch: Arc<dyn Fetch> = Arc::new(fetch);
        let mut names = HashSet::new();
        let issuers = given.iter().filter_map(|issuer| {
            if !names.insert(&issuer.get_ref().issuer) {
                self.wrong(
                    issuer,
                    "this issuer stands above already",
                    "name each issuer once",
                );
            }
            self.issuer(issuer, Arc::clone(&fetch))
        });
        issuers.map(Arc::new).collect()
    }

    fn issuer(&mut self, given: &Spanned<written::Jwt>, fetch: Arc<dyn Fetch>) -> Option<JwtAuthenticator> {
        let jwt = given.get_ref();
        let mut algorithms = Vec::new();
        for name in &jwt.algorithms {
            let read = name.get_ref().parse::<Algorithm>();
            algorithms.push(self.take(name, read, "name what the issuer signs with")?);
        }
        let keys = match &jwt.keys {
            Some(url) => KeyLocation::Url(url.clone()),
            None => KeyLocation::Discover,
        };
        let audiences = jwt.audiences.iter().cloned();
        let read = JwtAuthenticator::new(&jwt.issuer, audiences, algorithms, keys, fetch);
        let kind = match jwt.kind {
            written::Kind::Any => TokenType::Any,
            written::Kind::AccessToken => TokenType::AccessToken,
            written::Kind::Jwt => TokenType::Jwt,
        };
        let read = read.map(|issuer| issuer.with_token_type(kind));
        self.take(given, read, "mend this [[identity.jwt]]")
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
