//! What is right, and still not what anybody would want: told by `--check`, and when it is served.

use std::collections::BTreeSet;
use std::path::Path;

use jit_core::clock::Clock;
use jit_core::gate::target::host_matches;

use super::config::Config;
use super::papers::Papers;

const NO_SIGN_IN: &str = "nobody can sign in at the console's pages, only programs can use its API; name a provider under [console.sign_in]";

/// One line for each, which names the file. `checking`: somebody asks what may be wrong, and nothing is served.
pub(super) fn doubts(
    file: &Path,
    config: &Config,
    papers: &Papers,
    clock: &dyn Clock,
    checking: bool,
) -> Vec<String> {
    let mut own = Vec::new();
    if config.has_no_sign_in() {
        own.push(NO_SIGN_IN.to_owned());
    }
    let guarded = Some(("guarded", "[listen]", config.listen.addr, &config.files.gate_tls));
    // An origin with TLS says that it is in front.
    let console =
        (config.console.as_ref()).filter(|console| console.settings.origin().starts_with("http://"));
    let console = console.map(|console| ("console's", "[console]", console.addr, &config.files.console_tls));
    for (what, table, addr, tls) in guarded.into_iter().chain(console) {
        if tls.is_none() && !addr.ip().is_loopback() {
            own.push(format!(
                "there is no TLS at the {what} listener, {addr}: whoever is on the way can read tokens; give {table} `tls`, or put TLS in front"
            ));
        }
    }
    own.extend(refused(config, papers));
    if checking {
        own.extend(unserved(config, papers));
    }
    let file = file.display();
    let own = own.into_iter().map(|doubt| format!("{file}: warning: {doubt}"));
    papers.warnings(clock).into_iter().chain(own).collect()
}

/// Hosts that upstreams serve and the policy does not name.
fn refused(config: &Config, papers: &Papers) -> Vec<String> {
    let named = named(papers);
    let served = config
        .upstreams
        .iter()
        .flat_map(|upstream| upstream.hosts.iter().map(move |host| (upstream, host)));
    let refused = served.filter(|(_, host)| !named.iter().any(|named| meet(named, host)));
    refused
        .map(|(upstream, host)| {
            format!(
                "upstream {:?} serves {host:?}, which no resource and no [[open]] of the policy names: all of it is refused",
                upstream.name
            )
        })
        .collect()
}

/// Hosts that the policy names and no upstream serves. For `--check` alone: one policy may be that of several gates.
fn unserved(config: &Config, papers: &Papers) -> Vec<String> {
    let takes_any = config.upstreams.iter().any(|upstream| upstream.hosts.is_empty());
    // Other balancers serve them.
    if takes_any || config.authz.is_some() {
        return Vec::new();
    }
    let served = || config.upstreams.iter().flat_map(|upstream| &upstream.hosts);
    let unserved = named(papers)
        .into_iter()
        .filter(|named| !served().any(|host| meet(named, host)));
    unserved
        .map(|host| format!("the policy names the host {host:?}, which no upstream serves"))
        .collect()
}

fn named(papers: &Papers) -> BTreeSet<&str> {
    let resources = papers.policy.resources().iter().map(|resource| &resource.hosts);
    let open = papers.policy.open().iter().map(|entry| &entry.hosts);
    resources.chain(open).flatten().map(String::as_str).collect()
}

fn meet(one: &str, other: &str) -> bool {
    host_matches(one, other) || host_matches(other, one)
}
