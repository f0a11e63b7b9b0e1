//! What a balancer tells of the request that it asks about.
//!
//! 1. Every field that a dialect needs stands there once, under its one name. One that is missing, doubled, empty or spelled in
//!    another way (`X_Forwarded_Uri`, `X.Forwarded.Uri`) refuses the request: another reader might take the other one.
//! 2. Nothing is guessed: no field stands in for another, and no dialect for another.
//! 3. Text becomes a request head byte for byte. What `http::Uri` would drop or change is refused.

use std::net::IpAddr;

#[cfg(feature = "grpc")]
use http::header::HeaderName;
use http::header::{CONNECTION, Entry, HOST, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{Method, Request, Uri, Version};
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::target::{BadTarget, Host};

pub(crate) const FORWARDED_METHOD: &str = "x-forwarded-method";
pub(crate) const FORWARDED_PROTO: &str = "x-forwarded-proto";
pub(crate) const FORWARDED_HOST: &str = "x-forwarded-host";
pub(crate) const FORWARDED_URI: &str = "x-forwarded-uri";
pub(crate) const FORWARDED_FOR: &str = "x-forwarded-for";
pub(crate) const ORIGINAL_URL: &str = "x-original-url";
pub(crate) const ORIGINAL_METHOD: &str = "x-original-method";
pub(crate) const ORIGINAL_HOST: &str = "x-original-host";
pub(crate) const ORIGINAL_PROTO: &str = "x-original-proto";
pub(crate) const ORIGINAL_URI: &str = "x-original-uri";
/// The client's Connection field, where the balancer keeps that to itself.
pub(crate) const ORIGINAL_CONNECTION: &str = "x-original-connection";

/// Every field that some dialect reads.
const FIELDS: [&str; 11] = [
    FORWARDED_METHOD,
    FORWARDED_PROTO,
    FORWARDED_HOST,
    FORWARDED_URI,
    FORWARDED_FOR,
    ORIGINAL_URL,
    ORIGINAL_METHOD,
    ORIGINAL_HOST,
    ORIGINAL_PROTO,
    ORIGINAL_URI,
    ORIGINAL_CONNECTION,
];

/// Why a balancer's question can't be answered. A mistake in the balancer's configuration, or a client that found a gap in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BadMetadata {
    /// The peer of the connection is no listed proxy.
    #[error("the address that asks is not among the trusted proxies; add it to them")]
    UntrustedPeer,
    /// A field, or an attribute of Envoy's, is not there or empty.
    #[error("the balancer does not say {0}; have it send that field")]
    Missing(&'static str),
    /// A field stands there twice, or two say the same thing.
    #[error("the balancer says {0} more than once; have it replace what the client sends")]
    Doubled(&'static str),
    /// Another spelling of a field.
    #[error("a field reads like {0} but is spelled in another way; have the balancer drop it")]
    Alias(&'static str),
    /// A field whose value can't be what it says.
    #[error("what the balancer says as {0} is malformed")]
    Malformed(&'static str),
    /// Two fields that must be the same are not.
    #[error("what the balancer says as {0} differs from another field")]
    Contradicted(&'static str),
    /// There is no endpoint here.
    #[error("there is no authorization endpoint at this address; check the balancer's configuration")]
    NoEndpoint,
}

impl BadMetadata {
    /// A stable name for logs and counters.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::UntrustedPeer => "untrusted-peer",
            Self::Missing(_) => "metadata-missing",
            Self::Doubled(_) => "metadata-doubled",
            Self::Alias(_) => "metadata-alias",
            Self::Malformed(_) => "metadata-malformed",
            Self::Contradicted(_) => "metadata-contradicted",
            Self::NoEndpoint => "no-endpoint",
        }
    }
}

/// Why nothing was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unread {
    /// The balancer's fault, or that of a client behind it.
    Metadata(BadMetadata),
    /// The client's, in the words of the gate.
    Refused(Refusal),
}

impl From<BadMetadata> for Unread {
    fn from(bad: BadMetadata) -> Self {
        Self::Metadata(bad)
    }
}

impl From<BadTarget> for Unread {
    fn from(bad: BadTarget) -> Self {
        Self::Refused(Refusal::BadTarget(bad))
    }
}

/// The head of a request that a balancer asks about, as that balancer received it.
#[derive(Debug)]
pub(crate) struct Question {
    pub(crate) head: Parts,
    /// `http` or `https`, where the balancer says.
    pub(crate) scheme: Option<&'static str>,
    /// The client's address, where the balancer says.
    pub(crate) client: Option<IpAddr>,
}

/// How the client reached the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proto {
    pub(crate) scheme: &'static str,
    /// Traefik says `ws` and `wss` of a request that changes its protocol, and drops the Upgrade field.
    pub(crate) upgrades: bool,
}

impl Proto {
    pub(crate) fn read(value: &[u8], name: &'static str) -> Result<Self, BadMetadata> {
        let (scheme, upgrades) = match value {
            b"http" => ("http", false),
            b"https" => ("https", false),
            b"ws" => ("http", true),
            b"wss" => ("https", true),
            _ => return Err(BadMetadata::Malformed(name)),
        };
        Ok(Self { scheme, upgrades })
    }
}

/// The fields of a balancer's question.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(&'a HeaderMap);

impl<'a> Fields<'a> {
    /// Refuses every other spelling of a field that some dialect reads.
    pub(crate) fn read(headers: &'a HeaderMap) -> Result<Self, BadMetadata> {
        for name in headers.keys() {
            if let Some(field) = FIELDS.iter().find(|field| is_alias(name.as_str(), field)) {
                return Err(BadMetadata::Alias(field));
            }
        }
        Ok(Self(headers))
    }

    /// The value of a field that may be missing.
    pub(crate) fn maybe(&self, name: &'static str) -> Result<Option<&'a HeaderValue>, BadMetadata> {
        let mut values = self.0.get_all(name).iter();
        let first = values.next();
        if values.next().is_some() {
            return Err(BadMetadata::Doubled(name));
        }
        Ok(first)
    }

    /// The value of a field that must be there, and not empty.
    pub(crate) fn one(&self, name: &'static str) -> Result<&'a HeaderValue, BadMetadata> {
        let value = self.maybe(name)?.filter(|value| !value.is_empty());
        value.ok_or(BadMetadata::Missing(name))
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Where the request came from: see [`client_of`].
    pub(crate) fn client(&self, proxies: &TrustedProxies) -> Result<Option<IpAddr>, BadMetadata> {
        match self.maybe(FORWARDED_FOR)? {
            Some(value) => client_of(value.as_bytes(), proxies).map(Some),
            None => Ok(None),
        }
    }
}

fn is_alias(name: &str, field: &str) -> bool {
    let read = |b: u8| if b.is_ascii_alphanumeric() { b } else { b'-' };
    name != field && name.len() == field.len() && name.bytes().map(read).eq(field.bytes())
}

/// The last address of a list that is not a listed proxy's: each proxy appends the peer that it saw, so what stands left of the
/// first stranger is the stranger's own text. The first address when all are listed.
pub(crate) fn client_of(list: &[u8], proxies: &TrustedProxies) -> Result<IpAddr, BadMetadata> {
    let malformed = BadMetadata::Malformed(FORWARDED_FOR);
    let list = std::str::from_utf8(list).map_err(|_| malformed)?;
    let mut client = Err(malformed);
    for text in list.rsplit(',') {
        let address: IpAddr = text.trim_ascii().parse().map_err(|_| malformed)?;
        client = Ok(address.to_canonical());
        if !proxies.trusts(address) {
            break;
        }
    }
    client
}

/// The method, byte for byte.
pub(crate) fn method(value: &[u8], name: &'static str) -> Result<Method, BadMetadata> {
    Method::from_bytes(value).map_err(|_| BadMetadata::Malformed(name))
}

/// A path with its query, byte for byte. Whether the path can be decided on is for the gate to say.
pub(crate) fn target(bytes: &[u8]) -> Result<Uri, Unread> {
    if bytes.first() != Some(&b'/') && bytes != b"*" {
        return Err(BadTarget::Form.into());
    }
    // `http::Uri` drops what follows, and the balancer may not.
    if bytes.contains(&b'#') {
        return Err(BadTarget::RawByte.into());
    }
    let read = PathAndQuery::try_from(bytes).map_err(|_| BadTarget::RawByte)?;
    if read.as_str().as_bytes() != bytes {
        return Err(BadTarget::RawByte.into());
    }
    Ok(Uri::from(read))
}

/// `https://host/path?query`, taken apart by hand: the authority ends at the first slash and nowhere else, so that no Host field
/// with a `?` or `#` in it moves the path into a query.
pub(crate) fn url(value: &HeaderValue) -> Result<(Proto, HeaderValue, Uri), Unread> {
    let malformed = BadMetadata::Malformed(ORIGINAL_URL);
    let bytes = value.as_bytes();
    let at = bytes
        .windows(3)
        .position(|part| part == b"://")
        .ok_or(malformed)?;
    let (scheme, rest) = bytes.split_at(at);
    let rest = rest.strip_prefix(b"://").ok_or(malformed)?;
    let slash = rest.iter().position(|b| *b == b'/').ok_or(malformed)?;
    let (authority, path) = rest.split_at(slash);
    if authority.contains(&b'@') {
        return Err(BadTarget::Userinfo.into());
    }
    let text = std::str::from_utf8(authority).map_err(|_| BadTarget::Host)?;
    Host::read(text)?;
    let authority = HeaderValue::from_bytes(authority).map_err(|_| BadTarget::Host)?;
    Ok((Proto::read(scheme, ORIGINAL_URL)?, authority, target(path)?))
}

/// Takes the balancer's own fields away, but for the one that [`head`] still reads.
pub(crate) fn strip(headers: &mut HeaderMap) {
    for name in FIELDS.into_iter().filter(|name| *name != ORIGINAL_CONNECTION) {
        headers.remove(name);
    }
}

/// The head as the balancer received it: with the original request line and Host.
pub(crate) fn head(
    mut headers: HeaderMap,
    method: Method,
    uri: Uri,
    host: HeaderValue,
    upgrades: bool,
) -> Parts {
    if let Entry::Occupied(field) = headers.entry(ORIGINAL_CONNECTION) {
        let (_, values) = field.remove_entry_mult();
        let values: Vec<_> = values.filter(|value| !value.is_empty()).collect();
        headers.remove(CONNECTION);
        for value in values {
            headers.append(CONNECTION, value);
        }
    }
    headers.insert(HOST, host);
    if upgrades && !headers.contains_key(UPGRADE) {
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    }
    let (mut parts, ()) = Request::new(()).into_parts();
    parts.method = method;
    parts.uri = uri;
    parts.version = Version::HTTP_11;
    parts.headers = headers;
    parts
}

/// A header field from an attribute, byte for byte.
#[cfg(feature = "grpc")]
pub(crate) fn field(name: &str, value: &[u8]) -> Result<(HeaderName, HeaderValue), BadMetadata> {
    match (
        HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_bytes(value),
    ) {
        (Ok(name), Ok(value)) => Ok((name, value)),
        _ => Err(BadMetadata::Malformed("headers")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_stranger() {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "127.0.0.1"]).unwrap();
        for (list, want) in [
            ("192.0.2.1", Ok("192.0.2.1")),
            ("192.0.2.1, 10.0.0.1", Ok("192.0.2.1")),
            ("6.6.6.6, 192.0.2.1,10.0.0.1, 127.0.0.1", Ok("192.0.2.1")),
            ("garbage, 192.0.2.1", Ok("192.0.2.1")),
            ("10.0.0.2, 10.0.0.1", Ok("10.0.0.2")),
            ("::ffff:192.0.2.1", Ok("192.0.2.1")),
            ("2001:db8::1", Ok("2001:db8::1")),
            ("192.0.2.1:80", Err(())),
            ("unknown", Err(())),
            ("192.0.2.1, unknown", Err(())),
            ("192.0.2.1, unknown, 10.0.0.1", Err(())),
            ("192.0.2.1,", Err(())),
            ("", Err(())),
        ] {
            let got = client_of(list.as_bytes(), &proxies).map_err(drop);
            assert_eq!(got, want.map(|text: &str| text.parse().unwrap()), "{list}");
        }
    }

    #[test]
    fn a_target_is_taken_byte_for_byte() {
        for (text, want) in [
            ("/", Ok(())),
            ("/a/../b;c//%2e?x=/..#", Err(BadTarget::RawByte)),
            ("/a/../b;c//%2e?x=/..", Ok(())),
            ("/a?", Ok(())),
            ("/a??b", Ok(())),
            ("*", Ok(())),
            ("/a#b", Err(BadTarget::RawByte)),
            ("/a b", Err(BadTarget::RawByte)),
            ("/a, /b", Err(BadTarget::RawByte)),
            ("a", Err(BadTarget::Form)),
            ("?a", Err(BadTarget::Form)),
            ("*a", Err(BadTarget::Form)),
            ("", Err(BadTarget::Form)),
            ("http://a.com/x", Err(BadTarget::Form)),
        ] {
            let got = target(text.as_bytes());
            match want {
                Ok(()) => assert_eq!(got.unwrap().path_and_query().unwrap().as_str(), text),
                Err(bad) => assert_eq!(got.unwrap_err(), bad.into(), "{text}"),
            }
        }
    }

    #[test]
    fn no_host_moves_the_path_of_a_url() {
        for (text, want) in [
            ("https://a.com/x?y=1", Ok(("https", "a.com", "/x?y=1"))),
            ("http://a.com:8080/", Ok(("http", "a.com:8080", "/"))),
            ("https://[::1]:1//x", Ok(("https", "[::1]:1", "//x"))),
            (
                "https://a.com/http://b.com/",
                Ok(("https", "a.com", "/http://b.com/")),
            ),
            ("https://a.com", Err(BadMetadata::Malformed(ORIGINAL_URL).into())),
            ("https://a.com?/x", Err(BadTarget::Host.into())),
            ("https://a.com#/x", Err(BadTarget::Host.into())),
            ("https://a.com\\/x", Err(BadTarget::Host.into())),
            ("https://u@a.com/x", Err(BadTarget::Userinfo.into())),
            ("https:///x", Err(BadTarget::Host.into())),
            (
                "HTTPS://a.com/x",
                Err(BadMetadata::Malformed(ORIGINAL_URL).into()),
            ),
            ("ftp://a.com/x", Err(BadMetadata::Malformed(ORIGINAL_URL).into())),
            ("//a.com/x", Err(BadMetadata::Malformed(ORIGINAL_URL).into())),
            ("/x", Err(BadMetadata::Malformed(ORIGINAL_URL).into())),
            ("https://a.com/x#y", Err(BadTarget::RawByte.into())),
            ("https://a.com, b.com/x", Err(BadTarget::Host.into())),
        ] {
            let got = url(&HeaderValue::from_static(text));
            let got: Result<_, Unread> = got
                .map(|(proto, host, uri)| (proto.scheme, host.to_str().unwrap().to_owned(), uri.to_string()));
            let want = want.map(|(s, h, u): (&str, &str, &str)| (s, h.to_owned(), u.to_owned()));
            assert_eq!(got, want, "{text}");
        }
    }
}
