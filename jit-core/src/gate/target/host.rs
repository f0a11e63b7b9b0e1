//! The one spelling of a host.
//!
//! ASCII letters, digits, `-`, `_` and `.`; lower-cased; one dot at the end removed; no empty label. An address in brackets is parsed
//! as IPv6 and written as RFC 5952 says. `xn--` labels stay as they are: nothing here decodes them, so no two names become one
//! (RUSTSEC-2024-0421). A port is 1 to 65535 or empty, and never takes part in matching.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use super::BadTarget;
use crate::gate::classes::Classes;

/// Longest host name, in bytes (RFC 1035 §2.3.4, without the root's dot).
const NAME_MAX: usize = 253;

/// A host in its one spelling, and the port that came with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host<'a> {
    name: Cow<'a, str>,
    port: Option<u16>,
}

impl<'a> Host<'a> {
    /// Reads `host [":" port]` as it stands in a Host field (RFC 9110 §7.2). Borrows when the name is canonical already.
    ///
    /// # Errors
    /// [`BadTarget::Host`] for everything else, a list and userinfo among it.
    pub fn read(text: &'a str) -> Result<Self, BadTarget> {
        if let Some(rest) = text.strip_prefix('[') {
            let (address, after) = rest.split_once(']').ok_or(BadTarget::Host)?;
            let address: Ipv6Addr = address.parse().map_err(|_| BadTarget::Host)?;
            let port = match after.strip_prefix(':') {
                Some(digits) => read_port(digits)?,
                None if after.is_empty() => None,
                None => return Err(BadTarget::Host),
            };
            return Ok(Self {
                name: Cow::Owned(format!("[{address}]")),
                port,
            });
        }
        let (name, after) = read_name(text)?;
        let port = match after.strip_prefix(':') {
            Some(digits) => read_port(digits)?,
            None => None,
        };
        Ok(Self { name, port })
    }

    /// The canonical name: lower case, no port, no dot at the end; an IPv6 address in brackets.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The port, when one was given.
    pub fn port(&self) -> Option<u16> {
        self.port
    }
}

fn read_port(digits: &str) -> Result<Option<u16>, BadTarget> {
    if digits.is_empty() {
        return Ok(None);
    }
    if digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadTarget::Host);
    }
    match digits.parse() {
        Ok(0) | Err(_) => Err(BadTarget::Host),
        Ok(port) => Ok(Some(port)),
    }
}

/// What may stand in a name, and what comes after it.
static NAME: Classes = Classes::new()
    .with(LOWER, b"abcdefghijklmnopqrstuvwxyz0123456789-_")
    .with(UPPER, b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    .with(DOT, b".")
    .with(COLON, b":");
// One bit each.
const LOWER: u8 = 1;
const UPPER: u8 = 2;
const DOT: u8 = 4;
const COLON: u8 = 8;

/// A name up to the first colon, and what comes after it.
fn read_name(text: &str) -> Result<(Cow<'_, str>, &str), BadTarget> {
    let (mut before, mut seen) = (DOT, 0);
    let mut bytes = text.bytes();
    let after = loop {
        let left = bytes.len();
        let class = match bytes.next() {
            None => break 0,
            Some(byte) => NAME.of(byte),
        };
        if class == COLON {
            break left;
        }
        if class == 0 || class & before == DOT {
            return Err(BadTarget::Host);
        }
        seen |= class;
        before = class;
    };
    let length = text.len().saturating_sub(after);
    let (name, after) = text.split_at_checked(length).ok_or(BadTarget::Host)?;
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() || name.len() > NAME_MAX {
        return Err(BadTarget::Host);
    }
    let name = if seen & UPPER != 0 {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    Ok((name, after))
}

/// The canonical spelling of a host in a policy or a setting. Such a host has no port, because ports take no part in matching.
///
/// # Errors
/// [`BadTarget::Host`], or [`BadTarget::HostPort`] when there is a port.
pub fn canonical_host(text: &str) -> Result<String, BadTarget> {
    let host = Host::read(text)?;
    if host.port.is_some() || text.ends_with(':') {
        return Err(BadTarget::HostPort);
    }
    Ok(host.name.into_owned())
}

/// As [`canonical_host`], and also `*.` with a host name: every name below it, at any depth, but not itself.
///
/// # Errors
/// As [`canonical_host`]; a `*` in any other place is [`BadTarget::Host`].
pub fn canonical_host_pattern(text: &str) -> Result<String, BadTarget> {
    match text.strip_prefix("*.") {
        Some(parent) if parent.starts_with('[') => Err(BadTarget::Host),
        Some(parent) => Ok(format!("*.{}", canonical_host(parent)?)),
        None => canonical_host(text),
    }
}

/// Whether the canonical `pattern` (a host, or `*.` and a host) covers the canonical `host`.
pub fn host_matches(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(parent) => host
            .strip_suffix(parent)
            .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_spelling() {
        for (text, name, port) in [
            ("app.example.com", "app.example.com", None),
            ("APP.Example.COM", "app.example.com", None),
            ("app.example.com.", "app.example.com", None),
            ("app.example.com.:80", "app.example.com", Some(80)),
            ("app.example.com:", "app.example.com", None),
            ("app.example.com:65535", "app.example.com", Some(65535)),
            ("app_x.example.com", "app_x.example.com", None),
            ("xn--bcher-kva.example", "xn--bcher-kva.example", None),
            ("localhost", "localhost", None),
            ("0", "0", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]", Some(443)),
            ("[2001:DB8::A]:", "[2001:db8::a]", None),
        ] {
            let host = Host::read(text).expect(text);
            assert_eq!((host.as_str(), host.port()), (name, port), "{text}");
            assert_eq!(
                Host::read(host.as_str()).map(|h| h.as_str().to_owned()),
                Ok(name.to_owned())
            );
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "a".repeat(254);
        for text in [
            "",
            ".",
            "..",
            ".example.com",
            "a..b",
            "a.b..",
            ":80",
            "a:0",
            "a:65536",
            "a:99999",
            "a:000080",
            "a:+80",
            "a:-1",
            "a:abc",
            "a:80:80",
            "a b",
            "a,b",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%2eb",
            "a%00",
            "user@a",
            "<a>",
            "a\t",
            " a",
            "\u{ff41}pp.example.com",
            "app\u{3002}example.com",
            "[::1",
            "[::1]x",
            "[::1]]",
            "[gg::1]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[127.0.0.1]",
            "::1",
            "*",
            "*.example.com",
            long.as_str(),
        ] {
            assert_eq!(Host::read(text), Err(BadTarget::Host), "{text:?}");
        }
    }

    #[test]
    fn a_plain_name_is_borrowed() {
        assert!(matches!(
            Host::read("app.example.com:80").map(|h| h.name),
            Ok(Cow::Borrowed(_))
        ));
    }

    #[test]
    fn a_host_of_a_policy_has_no_port() {
        assert_eq!(canonical_host("App.example.com."), Ok("app.example.com".into()));
        assert_eq!(canonical_host("app:80"), Err(BadTarget::HostPort));
        assert_eq!(canonical_host("app:"), Err(BadTarget::HostPort));
        assert_eq!(
            canonical_host_pattern("*.Example.com"),
            Ok("*.example.com".into())
        );
        for text in ["*", "*.", "a.*.b", "**.a", "*.*.a", "*.[::1]"] {
            assert_eq!(canonical_host_pattern(text), Err(BadTarget::Host), "{text}");
        }
    }

    #[test]
    fn a_pattern_covers_what_is_below_it() {
        for (pattern, host, want) in [
            ("a.com", "a.com", true),
            ("a.com", "b.a.com", false),
            ("*.a.com", "b.a.com", true),
            ("*.a.com", "c.b.a.com", true),
            ("*.a.com", "a.com", false),
            ("*.a.com", "ba.com", false),
            ("*.a.com", ".a.com", false),
        ] {
            assert_eq!(host_matches(pattern, host), want, "{pattern} {host}");
        }
    }
}
