//! The proxies in front, whose forwarding fields count.

use std::net::IpAddr;

use ipnet::IpNet;

/// The networks whose peers may tell where a request came from. Empty by default: then no peer may.
///
/// A network of every address is refused, because it would let every client choose its own address (CVE-2026-40575).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

/// Why a text names no proxies.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadProxy {
    /// Neither an address nor a network.
    #[error("{0:?} is neither an address nor a network such as 10.0.0.0/8")]
    Syntax(String),
    /// Every address there is.
    #[error("{0} trusts every address, so that every client could forge its own; name the proxies' networks")]
    Everyone(IpNet),
    /// An address inside a network where the network itself belongs.
    #[error("{given} has bits set after its prefix; write {meant}, or the address alone")]
    HostBits {
        /// As given.
        given: IpNet,
        /// The network that it lies in.
        meant: IpNet,
    },
    /// IPv4 addresses in IPv6 clothes.
    #[error("{0} holds IPv4 addresses written as IPv6; write them as IPv4")]
    Mapped(IpNet),
}

impl TrustedProxies {
    /// Parses addresses (`10.0.0.7`) and networks in CIDR notation (`10.0.0.0/8`, `2001:db8::/32`).
    ///
    /// # Errors
    /// [`BadProxy`] names the first text that is none, and the mend.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, BadProxy> {
        texts
            .into_iter()
            .map(|text| parse_one(text.as_ref()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether the peer of the connection is one of them. An IPv4 address that a dual-stack socket shows as IPv6 is taken as IPv4.
    pub fn trusts(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(&peer))
    }

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn parse_one(text: &str) -> Result<IpNet, BadProxy> {
    let address = text.parse::<IpAddr>().map(IpNet::from);
    let network = address
        .or_else(|_| text.parse::<IpNet>())
        .map_err(|_| BadProxy::Syntax(text.to_owned()))?;
    if network.prefix_len() == 0 {
        return Err(BadProxy::Everyone(network));
    }
    if network.trunc() != network {
        return Err(BadProxy::HostBits {
            given: network,
            meant: network.trunc(),
        });
    }
    if network.addr().to_canonical() != network.addr() {
        return Err(BadProxy::Mapped(network));
    }
    Ok(network)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listed_peers_are_trusted() {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "192.0.2.7", "2001:db8::/32"]).expect("networks");
        for (peer, want) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.0.0.1", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("127.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(proxies.trusts(peer.parse().expect(peer)), want, "{peer}");
        }
        let none = TrustedProxies::default();
        assert!(none.is_empty() && !none.trusts(IpAddr::from([127, 0, 0, 1])));
    }

    #[test]
    fn a_bad_network_names_the_mend() {
        for (text, says) in [
            ("0.0.0.0/0", "trusts every address"),
            ("::/0", "trusts every address"),
            ("10.0.0.1/0", "trusts every address"),
            ("10.0.0.1/8", "write 10.0.0.0/8"),
            ("::ffff:10.0.0.0/104", "write them as IPv4"),
            ("::ffff:10.0.0.1", "write them as IPv4"),
            ("10.0.0.0/33", "neither"),
            ("10.0.0.0/", "neither"),
            ("10.0.0", "neither"),
            ("*", "neither"),
            ("", "neither"),
            ("proxy.example.com", "neither"),
        ] {
            let bad = TrustedProxies::parse([text]).expect_err(text).to_string();
            assert!(bad.contains(says), "{text}: {bad}");
        }
    }
}
