//! Applications, and how their servers are reached.

use std::collections::HashSet;

use http::uri::{Authority, PathAndQuery};
use jit_core::gate::target::{canonical_host_pattern, canonical_prefix};
use tokio_rustls::rustls::pki_types::ServerName;
use toml::Spanned;

use super::check::{Check, span};
use super::{Health, Upstream, UpstreamTls, written};

/// Most upstreams, and most servers, hosts and paths of each: they are labels of metrics, and are looked through for each request.
const EACH_MAX: usize = 256;
/// Longest name of an upstream, in bytes.
const NAME_MAX: usize = 64;

impl Check<'_> {
    pub(super) fn upstreams(&mut self, all: &Spanned<Vec<Spanned<written::Upstream>>>) -> Vec<Upstream> {
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
            servers: self.servers(upstream),
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

    fn servers(&mut self, upstream: &written::Upstream) -> Vec<Authority> {
        const MEND: &str =
            "write host and port, such as 127.0.0.1:3000, [::1]:3000 or https://app.internal:3000";
        let given = &upstream.servers;
        if !(1..=EACH_MAX).contains(&given.get_ref().len()) {
            self.wrong(given, "there must be at least one server, and at most 256", MEND);
        }
        let (mut servers, mut secured) = (Vec::new(), 0);
        for text in given.get_ref() {
            if let Some(rest) = text.get_ref().strip_prefix("http://") {
                let plain = rest.trim_end_matches('/');
                let fits = plain.parse().is_ok_and(|server| is_whole(&server));
                let mend = if fits {
                    format!("write {plain:?}")
                } else {
                    MEND.to_owned()
                };
                self.wrong(text, "it is a URL, and a server is host and port", &mend);
                continue;
            }
            let https = text.get_ref().strip_prefix("https://");
            secured += usize::from(https.is_some());
            let read = https.unwrap_or(text.get_ref()).parse::<Authority>();
            let Some(server) = self.take(text, read, MEND) else {
                continue;
            };
            if !is_whole(&server) {
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
        // Else a request that one of them could not take would go on in the clear.
        if secured != 0 && secured != given.get_ref().len() {
            self.wrong(
                given,
                "some of the servers are spoken to in TLS, and some are not",
                "begin each with https://, or none; or make two upstreams of them",
            );
        }
        self.server_tls(upstream, secured != 0);
        servers
    }

    fn server_tls(&mut self, upstream: &written::Upstream, secured: bool) {
        if let (Some(tls), false) = (&upstream.tls, secured) {
            self.wrong(
                tls,
                "there is `tls`, and the servers are spoken to without",
                "begin each of `servers` with https://, or leave `tls` out",
            );
        }
        if !secured {
            return;
        }
        let tls = upstream.tls.as_ref().map(Spanned::get_ref);
        let server_name = tls.and_then(|tls| tls.server_name.as_ref()).and_then(|name| {
            let read = ServerName::try_from(name.get_ref().clone());
            self.take(
                name,
                read,
                "write a name that is in the servers' certificate, such as app.internal",
            )
        });
        self.upstreams_tls.push(UpstreamTls {
            name: upstream.name.get_ref().clone(),
            ca_file: tls
                .and_then(|tls| tls.ca_file.as_ref())
                .map(|file| self.folder.join(file)),
            server_name,
        });
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
}

/// Whether it is a host with a port, and nothing else.
fn is_whole(server: &Authority) -> bool {
    let port = server.port_u16().is_some_and(|port| port != 0);
    port && !server.host().is_empty() && !server.as_str().contains('@')
}
