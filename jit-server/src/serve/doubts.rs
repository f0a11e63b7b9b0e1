//! What is right, and still not what anybody would want: told by `--check`, and when it is served.

use std::path::Path;

use jit_core::clock::Clock;
use jit_core::gate::target::host_matches;

use super::config::Config;
use super::papers::Papers;

const NO_SIGN_IN: &str = "nobody can sign in at the console's pages, only programs can use its API; name a provider under [console.sign_in]";

/// One line for each, which names the file.
pub(super) fn doubts(file: &Path, config: &Config, papers: &Papers, clock: &dyn Clock) -> Vec<String> {
    let mut own = Vec::new();
    if config.has_no_sign_in() {
        own.push(NO_SIGN_IN.to_owned());
    }
    let guarded = Some(("guarded", "[listen]", config.listen.addr, &config.files.gate_tls));
    let console = config.console.as_ref();
    let console = console.map(|console| ("console's", "[console]", console.addr, &config.files.console_tls));
    for (what, table, addr, tls) in guarded.into_iter().chain(console) {
        if tls.is_none() && !addr.ip().is_loopback() {
            own.push(format!(
                "there is no TLS at the {what} listener, {addr}: whoever is on the way can read tokens; give {table} `tls`, or put TLS in front"
            ));
        }
    }
    own.extend(hosts(config, papers));
    let file = file.display();
    let own = own.into_iter().map(|doubt| format!("{file}: warning: {doubt}"));
    papers.warnings(clock).into_iter().chain(own).collect()
}

/// Hosts that one of policy and upstreams names, and the other does not.
fn hosts(config: &Config, papers: &Papers) -> Vec<String> {
    let resources = papers.policy.resources().iter().map(|resource| &resource.hosts);
    let open = papers.policy.open().iter().map(|entry| &entry.hosts);
    let ruled: Vec<&str> = resources.chain(open).flatten().map(String::as_str).collect();
    let meet = |one: &str, other: &str| host_matches(one, other) || host_matches(other, one);
    let mut doubts = Vec::new();
    for upstream in &config.upstreams {
        for host in &upstream.hosts {
            if !ruled.iter().any(|ruled| meet(ruled, host)) {
                doubts.push(format!(
                    "upstream {:?} serves {host:?}, which no resource and no [[open]] of the policy names: all of it is refused",
                    upstream.name
                ));
            }
        }
    }
    let takes_any = config.upstreams.iter().any(|upstream| upstream.hosts.is_empty());
    let served = || config.upstreams.iter().flat_map(|upstream| &upstream.hosts);
    let mut unserved: Vec<&str> = ruled
        .iter()
        .filter(|ruled| !takes_any && !served().any(|host| meet(ruled, host)))
        .copied()
        .collect();
    unserved.sort_unstable();
    unserved.dedup();
    doubts.extend(
        unserved
            .iter()
            .map(|host| format!("the policy names the host {host:?}, which no upstream serves")),
    );
    doubts
}
