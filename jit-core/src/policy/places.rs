//! Hosts, paths and methods as a policy may write them and a request may ask for them: canonical already, so that they compare
//! byte for byte with what the gate's canonicaliser makes of a request.
//!
//! What is not canonical is refused and not mended in silence: a path that its author reads differently from the gate is a hole.

use std::net::{Ipv4Addr, Ipv6Addr};

use unicode_normalization::UnicodeNormalization;

use crate::policy::text::is_unprintable;

/// Longest path, in bytes.
const PATH_MAX: usize = 1024;

/// What is wrong, and what would be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) what: &'static str,
    pub(super) mend: &'static str,
}

const fn problem(what: &'static str, mend: &'static str) -> Problem {
    Problem { what, mend }
}

/// Checks that `path` is a canonical decoded path prefix.
pub(super) fn check_path(path: &str) -> Result<(), Problem> {
    let Some(below) = path.strip_prefix('/') else {
        return Err(problem(
            "does not start with `/`",
            "write an absolute path such as \"/admin\"",
        ));
    };
    if path.len() > PATH_MAX {
        return Err(problem("is longer than 1024 bytes", "protect a shorter prefix"));
    }
    if path.chars().any(is_unprintable) {
        return Err(problem(
            "holds a control, format or bidirectional character",
            "leave the character out",
        ));
    }
    if path.contains('%') {
        return Err(problem(
            "holds `%`",
            "write the path decoded; no request with an encoded `%` passes",
        ));
    }
    if path.contains(['?', '#', ';', '\\']) {
        return Err(problem(
            "holds `?`, `#`, `;` or `\\`",
            "write the path alone; no request with these in its decoded path passes",
        ));
    }
    if below.is_empty() {
        return Ok(());
    }
    if path.ends_with('/') {
        return Err(problem(
            "ends with `/`",
            "leave the last `/` out; a path covers what is below it",
        ));
    }
    // A server behind the gate may fold compatibility forms: what only then becomes a separator or a dot segment is refused as well.
    let folded: String = path.nfkc().collect();
    if folded.contains('*') {
        return Err(problem(
            "holds `*`, and paths have no patterns",
            "write the path above it alone; a path covers itself and everything below it",
        ));
    }
    if folded.contains(['%', '?', '#', ';', '\\']) || folded.matches('/').count() != path.matches('/').count()
    {
        return Err(problem(
            "holds a character that some servers read as a separator",
            "write the plain character",
        ));
    }
    for segment in folded.split('/').skip(1) {
        match segment {
            "" => {
                return Err(problem(
                    "has an empty segment",
                    "write one `/` where there are several",
                ));
            }
            "." | ".." => return Err(problem("has a dot segment", "write the path that it leads to")),
            _ => {}
        }
    }
    Ok(())
}

/// Checks that `host` is a canonical host name or address, or `*.` and a canonical parent name.
pub(super) fn check_host(host: &str) -> Result<(), Problem> {
    const PORT: Problem = problem(
        "has a port",
        "leave the port out; a resource is protected on every port",
    );
    if let Some(inner) = host.strip_prefix('[') {
        let Some((address, rest)) = inner.split_once(']') else {
            return Err(problem("is not an IPv6 address", "write it like \"[::1]\""));
        };
        if rest.starts_with(':') {
            return Err(PORT);
        }
        return match address.parse::<Ipv6Addr>() {
            Ok(parsed) if rest.is_empty() && parsed.to_string() == address => Ok(()),
            Ok(_) => Err(problem(
                "is not written in canonical form",
                "write the IPv6 address as RFC 5952 does: lower case, zeros compressed, in brackets",
            )),
            Err(_) => Err(problem("is not an IPv6 address", "write it like \"[::1]\"")),
        };
    }
    if host == "*" {
        return Err(problem(
            "stands for every host",
            "name the hosts, or a parent such as \"*.example.com\"",
        ));
    }
    let name = host.strip_prefix("*.").unwrap_or(host);
    check_name(name)?;
    let numeric = |label: &str| label.bytes().all(|b| b.is_ascii_digit()) || label.starts_with("0x");
    if name.rsplit('.').next().is_some_and(numeric) {
        // Clients read a name whose last label is a number as an IPv4 address, in forms that differ between them.
        if name.len() != host.len() || name.parse::<Ipv4Addr>().is_err() {
            return Err(problem(
                "is not an IPv4 address",
                "write four decimal numbers such as \"192.0.2.1\"",
            ));
        }
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), Problem> {
    if name.contains('/') || name.contains("://") {
        return Err(problem(
            "is not a host alone",
            "write the host; paths go to `paths`",
        ));
    }
    if name.matches(':').count() > 1 {
        return Err(problem(
            "is not a host name",
            "write an IPv6 address in brackets, like \"[::1]\"",
        ));
    }
    if name.contains(':') {
        return Err(problem(
            "has a port",
            "leave the port out; a resource is protected on every port",
        ));
    }
    if !name.is_ascii() {
        return Err(problem("is not ASCII", "write the name's `xn--` form"));
    }
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(problem("has upper-case letters", "write the host in lower case"));
    }
    if name.ends_with('.') {
        return Err(problem("ends with a dot", "leave the last dot out"));
    }
    if name.contains('*') {
        return Err(problem(
            "has a `*` inside",
            "write `*.` at the start, and a parent name",
        ));
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err(problem(
            "is not a host name",
            "write it like \"app.example.com\" (RFC 1123)",
        ))
    }
}

/// Checks that `method` is an HTTP method (RFC 9110 §9.1) in upper case, at most 32 bytes long.
pub(super) fn check_method(method: &str) -> Result<(), Problem> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if method.is_empty() || method.len() > 32 || !method.bytes().all(token) {
        Err(problem("is not an HTTP method", "write it like \"GET\""))
    } else if method.bytes().any(|b| b.is_ascii_lowercase()) {
        Err(problem(
            "is in lower case",
            "write the method in upper case; methods are case-sensitive",
        ))
    } else {
        Ok(())
    }
}

/// Every host pattern that `host` itself is matched by, narrowest first: `a.b.c`, `*.b.c`, `*.c`. For `*.b.c` likewise `*.b.c`, `*.c`.
pub(super) fn host_patterns(host: &str) -> impl Iterator<Item = String> {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let parents = std::iter::successors(Some(name), |name| name.split_once('.').map(|(_, parent)| parent));
    let parents: Vec<String> = parents.skip(1).map(|parent| format!("*.{parent}")).collect();
    let literal = host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok();
    std::iter::once(host.to_owned()).chain(parents.into_iter().filter(move |_| !literal))
}

/// Every path prefix that covers the canonical `path`, longest first: `/a/b`, `/a`, `/`.
pub(super) fn path_prefixes(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(path), |path| match path.rsplit_once('/') {
        Some(("", "")) | None => None,
        Some(("", _)) => Some("/"),
        Some((parent, _)) => Some(parent),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_paths_are_paths() {
        for path in [
            "/",
            "/admin",
            "/admin/users",
            "/a b",
            "/.well-known",
            "/été",
            "/a/...",
            "/@me",
            "/a:b",
        ] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        for (path, what) in [
            ("/admin/*", "holds `*`, and paths have no patterns"),
            ("/**", "holds `*`, and paths have no patterns"),
            ("/\u{ff0a}", "holds `*`, and paths have no patterns"),
            ("", "does not start with `/`"),
            ("admin", "does not start with `/`"),
            ("/admin/", "ends with `/`"),
            ("//", "ends with `/`"),
            ("//admin", "has an empty segment"),
            ("/a//b", "has an empty segment"),
            ("/a/./b", "has a dot segment"),
            ("/a/..", "has a dot segment"),
            ("/a/\u{2024}\u{2024}/b", "has a dot segment"),
            (
                "/a\u{ff0f}b",
                "holds a character that some servers read as a separator",
            ),
            (
                "/a\u{ff1b}b",
                "holds a character that some servers read as a separator",
            ),
            ("/%61dmin", "holds `%`"),
            ("/a?b", "holds `?`, `#`, `;` or `\\`"),
            ("/a;v=1", "holds `?`, `#`, `;` or `\\`"),
            ("/a\\b", "holds `?`, `#`, `;` or `\\`"),
            ("/a\u{0}", "holds a control, format or bidirectional character"),
            ("/a\u{202e}", "holds a control, format or bidirectional character"),
        ] {
            assert_eq!(check_path(path).map_err(|p| p.what), Err(what), "{path:?}");
        }
        assert!(check_path(&format!("/{}", "a".repeat(PATH_MAX))).is_err());
    }

    #[test]
    fn only_canonical_hosts_are_hosts() {
        for host in [
            "localhost",
            "app.example.com",
            "*.example.com",
            "127.0.0.1",
            "[::1]",
            "xn--bcher-kva.example",
            "a_b.c",
        ] {
            assert_eq!(check_host(host), Ok(()), "{host}");
        }
        for host in [
            "",
            "*",
            "*.",
            "App.example.com",
            "app.example.com.",
            "app.example.com:443",
            "a..b",
            "-a.b",
            "a-.b",
            "a.*.b",
            "*.*.b",
            "bücher.example",
            "1.2.3",
            "1.2.3.04",
            "256.1.1.1",
            "0x7f.1",
            "a.0x1",
            "*.1.2.3.4",
            "::1",
            "[::1",
            "[::1]:80",
            "[::0001]",
            "[::A]",
            "[1.2.3.4]",
            "https://a.b",
            "a/b",
            "a b",
            "a@b",
        ] {
            assert!(check_host(host).is_err(), "{host:?} was taken");
        }
    }

    #[test]
    fn methods_are_upper_case_tokens() {
        for (method, fine) in [
            ("GET", true),
            ("M-SEARCH", true),
            ("get", false),
            ("", false),
            ("GE T", false),
            ("GÉT", false),
        ] {
            assert_eq!(check_method(method).is_ok(), fine, "{method:?}");
        }
    }

    #[test]
    fn what_covers_a_place_is_listed_narrowest_first() {
        let hosts = |host| host_patterns(host).collect::<Vec<_>>();
        assert_eq!(hosts("a.b.c"), ["a.b.c", "*.b.c", "*.c"]);
        assert_eq!(hosts("*.b.c"), ["*.b.c", "*.c"]);
        assert_eq!(hosts("192.0.2.1"), ["192.0.2.1"]);
        assert_eq!(hosts("[::1]"), ["[::1]"]);
        assert_eq!(path_prefixes("/a/b").collect::<Vec<_>>(), ["/a/b", "/a", "/"]);
        assert_eq!(path_prefixes("/").collect::<Vec<_>>(), ["/"]);
    }
}
