//! What a request asks for: one host and one path, or a reason why that can't be said.
//!
//! 1. HTTP/1.0, 1.1, 2 and 3. The target is origin-form, or absolute-form with `http` or `https`, without userinfo and with the
//!    authority that the Host field names (RFC 9112 §3.2, RFC 9113 §8.3.1). `OPTIONS *` and CONNECT are denied, extended CONNECT
//!    (RFC 8441) included, and so is TRACE, which would send the request back to its client, credentials and all (RFC 9110 §9.3.8).
//!    Every other form is a bad request.
//! 2. Exactly one Host. HTTP/1.0 without one is denied, because no rule can be chosen. HTTP/2 and 3 may carry `:authority`, which
//!    `http::Uri` holds, or Host, or both when they agree.
//! 3. The path is ASCII with well-formed triplets, decoded once, UTF-8, and free of encoded control characters and `/ \ % ; ? #`.
//! 4. No `.`, `..` or inner empty segment, in the decoded form or in any folded one.
//! 5. There is no query here. Nothing that matches a rule can see one.
//!
//! A refusal depends on the request line and the Host field alone, never on who asks or what is granted. What was decided is what
//! must be forwarded: [`Target::raw_path`] is the path as it came, and nothing may rewrite it after the decision.
//!
//! # Caveats
//! `http::Uri` drops a `#fragment` before anything here can see it. That is safe as long as the same `Uri` is forwarded.

mod host;
mod path;

use http::uri::Scheme;
use http::{Method, StatusCode, Version, header, request};

pub(in crate::gate) use path::fold_keys;

pub use host::{Host, canonical_host, canonical_host_pattern, host_matches};
pub use path::{CanonicalPath, PATH_MAX, canonical_prefix};

/// The host and path that a request asks for. Borrows from the request when both are canonical already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    host: Host<'a>,
    path: CanonicalPath<'a>,
    raw_path: &'a str,
}

impl<'a> Target<'a> {
    /// Reads method, version, target and Host of a request.
    ///
    /// # Errors
    /// A [`BadTarget`]: which rule the request breaks.
    pub fn read(parts: &'a request::Parts) -> Result<Self, BadTarget> {
        let multiplexed = match parts.version {
            Version::HTTP_10 | Version::HTTP_11 => false,
            Version::HTTP_2 | Version::HTTP_3 => true,
            _ => return Err(BadTarget::Version),
        };
        let uri = &parts.uri;
        let raw_path = uri.path();
        if parts.method == Method::CONNECT {
            let authority_form = uri.scheme().is_none() && uri.authority().is_some() && raw_path.is_empty();
            return Err(if multiplexed || authority_form {
                BadTarget::Connect
            } else {
                BadTarget::Form
            });
        }
        if ["TRACE", "TRACK"]
            .iter()
            .any(|trace| parts.method.as_str().eq_ignore_ascii_case(trace))
        {
            return Err(BadTarget::Trace);
        }
        if raw_path == "*" {
            return Err(if parts.method == Method::OPTIONS {
                BadTarget::Asterisk
            } else {
                BadTarget::Form
            });
        }
        // `Uri::path` says "/" where there is none. In absolute-form that is so (RFC 9110 §4.2.3); `:path` must have it (RFC 9113 §8.3.1).
        if multiplexed
            && uri
                .path_and_query()
                .is_some_and(|path| !path.as_str().starts_with('/'))
        {
            return Err(BadTarget::Form);
        }
        let field = host_field(parts)?;
        let host = match (uri.scheme(), uri.authority()) {
            (None, None) => field.ok_or(missing_host(parts.version))?,
            (Some(scheme), Some(authority)) => {
                let named = absolute(scheme, authority.as_str())?;
                match field {
                    Some(field) if same_authority(scheme, &named, &field) => field,
                    Some(_) => return Err(BadTarget::HostMismatch),
                    None if multiplexed => named,
                    None => return Err(missing_host(parts.version)),
                }
            }
            (None, Some(_)) | (Some(_), None) => return Err(BadTarget::Form),
        };
        Ok(Self {
            host,
            path: CanonicalPath::read(raw_path)?,
            raw_path,
        })
    }

    /// The host in its one spelling.
    pub fn host(&self) -> &Host<'a> {
        &self.host
    }

    /// The path in its one spelling.
    pub fn path(&self) -> &CanonicalPath<'a> {
        &self.path
    }

    /// The path as it came: what is forwarded, unchanged.
    pub fn raw_path(&self) -> &'a str {
        self.raw_path
    }
}

fn host_field(parts: &request::Parts) -> Result<Option<Host<'_>>, BadTarget> {
    let mut fields = parts.headers.get_all(header::HOST).iter();
    let Some(field) = fields.next() else {
        return Ok(None);
    };
    if fields.next().is_some() {
        return Err(BadTarget::ManyHosts);
    }
    let text = std::str::from_utf8(field.as_bytes()).map_err(|_| BadTarget::Host)?;
    Host::read(text).map(Some)
}

fn missing_host(version: Version) -> BadTarget {
    if version == Version::HTTP_10 {
        BadTarget::NoHost
    } else {
        BadTarget::MissingHost
    }
}

fn absolute<'a>(scheme: &Scheme, authority: &'a str) -> Result<Host<'a>, BadTarget> {
    if *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS {
        return Err(BadTarget::Scheme);
    }
    if authority.contains('@') {
        return Err(BadTarget::Userinfo);
    }
    Host::read(authority)
}

/// The same name and the same port, where none means the scheme's own (RFC 9110 §4.2.3).
fn same_authority(scheme: &Scheme, one: &Host<'_>, other: &Host<'_>) -> bool {
    let default = if *scheme == Scheme::HTTPS { 443 } else { 80 };
    let port = |host: &Host<'_>| host.port().unwrap_or(default);
    one.as_str() == other.as_str() && port(one) == port(other)
}

/// Why a request's target can't be decided on. The text never repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BadTarget {
    /// Not HTTP/1.0, 1.1, 2 or 3.
    #[error("this version of HTTP is not supported; use HTTP/1.1, HTTP/2 or HTTP/3")]
    Version,
    /// Neither origin-form nor absolute-form.
    #[error("the request target must be a path that starts with '/', or an absolute http or https URI")]
    Form,
    /// Absolute-form with a scheme of another protocol.
    #[error("the scheme of the request target must be http or https")]
    Scheme,
    /// `user@` before the host of an absolute-form target.
    #[error("the request target must not hold userinfo before the host")]
    Userinfo,
    /// HTTP/1.0 without Host.
    #[error("without a Host field no rule can be chosen; send one")]
    NoHost,
    /// HTTP/1.1 without Host, or HTTP/2 and 3 without both `:authority` and Host.
    #[error("the Host field is missing")]
    MissingHost,
    /// More than one Host field.
    #[error("there must be exactly one Host field")]
    ManyHosts,
    /// A host that is not a name, an IPv4 address or an IPv6 address in brackets, with or without a port.
    #[error("the host is not a valid name or address")]
    Host,
    /// A port in a host of a policy or a setting.
    #[error("the host must be given without a port, because ports take no part in matching")]
    HostPort,
    /// The authority of the target is another than the Host field's.
    #[error("the Host field and the authority of the request target must be the same")]
    HostMismatch,
    /// `OPTIONS *`, which asks about no resource in particular.
    #[error("OPTIONS * is not served here; ask about a path")]
    Asterisk,
    /// CONNECT, plain or extended.
    #[error("CONNECT is not served here")]
    Connect,
    /// TRACE, or TRACK, which some servers take for it, in any case.
    #[error("TRACE is not served here")]
    Trace,
    /// A path longer than [`PATH_MAX`].
    #[error("the path is longer than 8 KiB")]
    PathTooLong,
    /// A byte that must not stand in a path unencoded.
    #[error("the path holds a character that must be percent-encoded")]
    RawByte,
    /// `%` without two hexadecimal digits.
    #[error("the path holds a '%' without two hexadecimal digits")]
    Triplet,
    /// A control character or a delimiter in decoded text.
    #[error(r"the path holds a control character or one of / \ % ; ? # where only text may stand")]
    Encoded,
    /// `*` in a path of a policy or a setting.
    #[error(
        "the path holds '*', and stands for itself and what is below it without any pattern; write the path above alone"
    )]
    Pattern,
    /// Decoded bytes that are not UTF-8.
    #[error("the decoded path is not UTF-8")]
    NotUtf8,
    /// A `.` or `..` segment in some form.
    #[error("the path holds a '.' or '..' segment; send the path that it stands for")]
    DotSegment,
    /// An empty segment that is not the last, in some form.
    #[error("the path holds an empty segment; send single slashes")]
    EmptySegment,
    /// A prefix of a policy that reads differently when folded.
    #[error(
        "a segment of dots and spaces alone, or with look-alike slashes, can't be matched; name another path"
    )]
    Folding,
}

impl BadTarget {
    /// A stable name for logs and counters.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Form => "target-form",
            Self::Scheme => "scheme",
            Self::Userinfo => "userinfo",
            Self::NoHost => "no-host",
            Self::MissingHost => "missing-host",
            Self::ManyHosts => "many-hosts",
            Self::Host => "host",
            Self::HostPort => "host-port",
            Self::HostMismatch => "host-mismatch",
            Self::Asterisk => "asterisk",
            Self::Connect => "connect",
            Self::Trace => "trace",
            Self::PathTooLong => "path-too-long",
            Self::RawByte => "raw-byte",
            Self::Triplet => "triplet",
            Self::Encoded => "encoded",
            Self::NotUtf8 => "not-utf8",
            Self::DotSegment => "dot-segment",
            Self::EmptySegment => "empty-segment",
            Self::Folding => "folding",
            Self::Pattern => "pattern",
        }
    }

    /// 421 and 403 where the request is well formed but denied, 505 and 414 where HTTP has a status of its own, else 400.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NoHost => StatusCode::MISDIRECTED_REQUEST,
            Self::Asterisk | Self::Connect | Self::Trace => StatusCode::FORBIDDEN,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::PathTooLong => StatusCode::URI_TOO_LONG,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;
    use proptest::prelude::*;

    fn parts(version: Version, method: &str, uri: &str, hosts: &[&str]) -> request::Parts {
        let mut request = Request::builder().version(version).method(method).uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        request.body(()).expect(uri).into_parts().0
    }

    fn check(
        version: Version,
        method: &str,
        uri: &str,
        hosts: &[&str],
        want: Result<(&str, &str), BadTarget>,
    ) {
        let parts = parts(version, method, uri, hosts);
        let got = Target::read(&parts);
        let got = got
            .as_ref()
            .map(|t| (t.host().as_str(), t.path().as_str()))
            .map_err(|e| *e);
        assert_eq!(got, want, "{version:?} {method} {uri} {hosts:?}");
    }

    #[test]
    fn target_and_host_must_agree() {
        use BadTarget::{
            Asterisk, Connect, DotSegment, EmptySegment, Form, HostMismatch, ManyHosts, MissingHost, NoHost,
            Scheme, Trace, Userinfo,
        };
        const V10: Version = Version::HTTP_10;
        const V11: Version = Version::HTTP_11;
        const V2: Version = Version::HTTP_2;
        let host = &["a.com"][..];
        for (version, method, uri, hosts, want) in [
            (V11, "GET", "/x", host, Ok(("a.com", "/x"))),
            (V11, "GET", "/x?q=/../admin", host, Ok(("a.com", "/x"))),
            (V11, "GET", "/x#/../admin", host, Ok(("a.com", "/x"))),
            (V11, "GET", "http://a.com", host, Ok(("a.com", "/"))),
            (V11, "GET", "http://a.com?q", host, Ok(("a.com", "/"))),
            (V11, "GET", "http://a.com/x", host, Ok(("a.com", "/x"))),
            (V11, "GET", "HTTP://A.COM./x", host, Ok(("a.com", "/x"))),
            (V11, "GET", "http://a.com:80/x", host, Ok(("a.com", "/x"))),
            (V11, "GET", "https://a.com/x", &["A.com:443"], Ok(("a.com", "/x"))),
            (
                V11,
                "GET",
                "http://a.com:81/x",
                &["a.com:81"],
                Ok(("a.com", "/x")),
            ),
            (V11, "GET", "http://a.com:81/x", host, Err(HostMismatch)),
            (V11, "GET", "http://a.com/x", &["a.com:443"], Err(HostMismatch)),
            (V11, "GET", "https://a.com/x", &["a.com:80"], Err(HostMismatch)),
            (V11, "GET", "http://b.com/x", host, Err(HostMismatch)),
            (V11, "GET", "http://a.com/x", &["b.com"], Err(HostMismatch)),
            (V11, "GET", "http://a.com@b.com/x", host, Err(Userinfo)),
            (V11, "GET", "http://u:p@a.com/x", host, Err(Userinfo)),
            (V11, "GET", "ftp://a.com/x", host, Err(Scheme)),
            (V11, "GET", "http://a.com//x", host, Err(EmptySegment)),
            (V11, "GET", "//a.com/x", host, Err(EmptySegment)),
            (V11, "GET", "/x/../y", host, Err(DotSegment)),
            (V11, "GET", "http://a..com/x", host, Err(BadTarget::Host)),
            (V11, "GET", "a.com", host, Err(Form)),
            (V11, "GET", "a.com:80", host, Err(Form)),
            (V11, "GET", "*", host, Err(Form)),
            (V11, "OPTIONS", "*", host, Err(Asterisk)),
            (V11, "OPTIONS", "/x", host, Ok(("a.com", "/x"))),
            (V11, "CONNECT", "a.com:443", host, Err(Connect)),
            (V11, "CONNECT", "/x", host, Err(Form)),
            (V11, "TRACE", "/x", host, Err(Trace)),
            (V11, "trace", "/x", host, Err(Trace)),
            (V11, "TRACK", "*", host, Err(Trace)),
            (V2, "TRACE", "https://a.com/x", &[], Err(Trace)),
            (V11, "TRACER", "/x", host, Ok(("a.com", "/x"))),
            (V11, "CONNECT", "http://a.com/x", host, Err(Form)),
            (V11, "CONNECT", "*", host, Err(Form)),
            (V11, "GET", "/x", &[], Err(MissingHost)),
            (V11, "GET", "http://a.com/x", &[], Err(MissingHost)),
            (V11, "GET", "/x", &["a.com", "a.com"], Err(ManyHosts)),
            (V11, "GET", "/x", &["a.com", "b.com"], Err(ManyHosts)),
            (V11, "GET", "/x", &["a.com, b.com"], Err(BadTarget::Host)),
            (V11, "GET", "/x", &[""], Err(BadTarget::Host)),
            (V11, "GET", "/x", &["\u{ff41}.com"], Err(BadTarget::Host)),
            (V10, "GET", "/x", host, Ok(("a.com", "/x"))),
            (V10, "GET", "/x", &[], Err(NoHost)),
            (V10, "GET", "http://a.com/x", &[], Err(NoHost)),
            (V2, "GET", "https://a.com/x", &[], Ok(("a.com", "/x"))),
            (V2, "GET", "https://a.com:8443/x", &[], Ok(("a.com", "/x"))),
            (V2, "GET", "https://a.com/x", host, Ok(("a.com", "/x"))),
            (V2, "GET", "https://a.com/x", &["b.com"], Err(HostMismatch)),
            (V2, "GET", "https://a.com/x", &["a.com", "a.com"], Err(ManyHosts)),
            (V2, "GET", "/x", host, Ok(("a.com", "/x"))),
            (V2, "GET", "/x", &[], Err(MissingHost)),
            (V2, "GET", "ftp://a.com/x", &[], Err(Scheme)),
            (V2, "GET", "a.com", &[], Err(Form)),
            (V2, "GET", "https://a.com?x", &[], Err(Form)),
            (V2, "OPTIONS", "*", host, Err(Asterisk)),
            (V2, "CONNECT", "a.com:443", &[], Err(Connect)),
            (V2, "CONNECT", "https://a.com/chat", &[], Err(Connect)),
            (
                Version::HTTP_3,
                "GET",
                "https://a.com/x",
                &[],
                Ok(("a.com", "/x")),
            ),
            (Version::HTTP_09, "GET", "/x", host, Err(BadTarget::Version)),
        ] {
            check(version, method, uri, hosts, want);
        }
    }

    #[test]
    fn the_path_is_forwarded_as_it_came() {
        let parts = parts(Version::HTTP_11, "GET", "/%61dmin/?q=1", &["a.com"]);
        let target = Target::read(&parts).expect("good");
        assert_eq!(
            (target.raw_path(), target.path().as_str()),
            ("/%61dmin/", "/admin/")
        );
    }

    #[test]
    fn a_host_in_other_bytes_is_refused() {
        let mut parts = parts(Version::HTTP_11, "GET", "/x", &[]);
        let value = http::HeaderValue::from_bytes(b"a\xff.com").expect("obs-text");
        parts.headers.insert(header::HOST, value);
        assert_eq!(Target::read(&parts), Err(BadTarget::Host));
    }

    #[test]
    fn denials_are_no_bad_requests() {
        for (bad, status) in [
            (BadTarget::NoHost, 421),
            (BadTarget::Asterisk, 403),
            (BadTarget::Connect, 403),
            (BadTarget::Trace, 403),
            (BadTarget::Version, 505),
            (BadTarget::PathTooLong, 414),
            (BadTarget::HostMismatch, 400),
            (BadTarget::DotSegment, 400),
        ] {
            assert_eq!(bad.status().as_u16(), status, "{}", bad.kind());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn no_uri_panics(
            uri in proptest::collection::vec(prop_oneof![
                3 => proptest::sample::select(&b"/.%;a2fFeE5c:@h*?#[]"[..]),
                1 => any::<u8>(),
            ], 0..32),
            prefix in proptest::sample::select(&["", "/", "http://a.com/", "https://", "a.com"][..]),
            host in proptest::collection::vec(any::<u8>(), 0..12),
            method in proptest::sample::select(&["GET", "OPTIONS", "CONNECT", "get"][..]),
        ) {
            let mut bytes = prefix.as_bytes().to_vec();
            bytes.extend(uri);
            let host = http::HeaderValue::from_bytes(&host).unwrap_or(http::HeaderValue::from_static("a.com"));
            if let Ok(uri) = http::Uri::try_from(bytes) {
                for version in [Version::HTTP_10, Version::HTTP_11, Version::HTTP_2] {
                    let request = Request::builder().version(version).method(method).uri(uri.clone());
                    let parts = request.header(header::HOST, host.clone()).body(()).expect("valid parts").into_parts().0;
                    if let Ok(target) = Target::read(&parts) {
                        prop_assert_eq!(target.raw_path(), parts.uri.path());
                        prop_assert!(target.path().as_str().starts_with('/'));
                    }
                }
            }
        }
    }
}
