//! How each balancer asks over HTTP.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderValue, Uri};
use jit_core::gate::hygiene::TrustedProxies;

use crate::metadata::{
    BadMetadata, FORWARDED_HOST, FORWARDED_METHOD, FORWARDED_PROTO, FORWARDED_URI, Fields,
    ORIGINAL_CONNECTION, ORIGINAL_HOST, ORIGINAL_METHOD, ORIGINAL_PROTO, ORIGINAL_URI, ORIGINAL_URL, Proto,
    Question, Unread, head, method, strip, target, url,
};

/// An endpoint, and what its callers understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// NGINX: every answer but 2xx, 401 and 403 is an error of its own, and no body gets through.
    AuthRequest,
    /// Traefik, Caddy, HAProxy: an answer that is no 2xx goes to the client as it is.
    ForwardAuth,
    /// Envoy: as above, and it asks with the original method, path and host.
    ExtAuthz,
}

pub(crate) const AUTH_REQUEST: &str = "/authz/auth-request";
pub(crate) const FORWARD_AUTH: &str = "/authz/forward-auth";
pub(crate) const EXT_AUTHZ: &str = "/authz/ext-authz";

impl Dialect {
    /// The dialect of the endpoint at a path.
    pub(crate) fn at(path: &str) -> Option<Self> {
        match path {
            AUTH_REQUEST => Some(Self::AuthRequest),
            FORWARD_AUTH => Some(Self::ForwardAuth),
            _ => {
                let rest = path.strip_prefix(EXT_AUTHZ)?;
                rest.starts_with('/').then_some(Self::ExtAuthz)
            }
        }
    }

    /// Reads what the balancer asks about.
    pub(crate) fn read(self, mut asked: Parts, proxies: &TrustedProxies) -> Result<Question, Unread> {
        let fields = Fields::read(&asked.headers)?;
        let client = fields.client(proxies)?;
        fields.maybe(ORIGINAL_CONNECTION)?;
        let (method, uri, host, proto) = match self {
            Self::AuthRequest => {
                let asked_method = method(fields.one(ORIGINAL_METHOD)?.as_bytes(), ORIGINAL_METHOD)?;
                let (proto, host, uri) = if fields.has(ORIGINAL_URL) {
                    for other in [ORIGINAL_HOST, ORIGINAL_PROTO, ORIGINAL_URI] {
                        if fields.has(other) {
                            return Err(BadMetadata::Doubled(other).into());
                        }
                    }
                    url(fields.one(ORIGINAL_URL)?)?
                } else {
                    let proto = Proto::read(fields.one(ORIGINAL_PROTO)?.as_bytes(), ORIGINAL_PROTO)?;
                    let host = fields.one(ORIGINAL_HOST)?.clone();
                    (proto, host, target(fields.one(ORIGINAL_URI)?.as_bytes())?)
                };
                (asked_method, uri, host, Some(proto))
            }
            Self::ForwardAuth => {
                let asked_method = method(fields.one(FORWARDED_METHOD)?.as_bytes(), FORWARDED_METHOD)?;
                let proto = Proto::read(fields.one(FORWARDED_PROTO)?.as_bytes(), FORWARDED_PROTO)?;
                let host = fields.one(FORWARDED_HOST)?.clone();
                let uri = target(fields.one(FORWARDED_URI)?.as_bytes())?;
                (asked_method, uri, host, Some(proto))
            }
            Self::ExtAuthz => {
                let proto = match fields.maybe(FORWARDED_PROTO)? {
                    Some(value) => Some(Proto::read(value.as_bytes(), FORWARDED_PROTO)?),
                    None => None,
                };
                let uri = below_prefix(&asked.uri)?;
                (asked.method.clone(), uri, authority(&asked)?, proto)
            }
        };
        if self != Self::ExtAuthz {
            strip(&mut asked.headers);
        }
        let upgrades = proto.is_some_and(|proto| proto.upgrades);
        Ok(Question {
            head: head(asked.headers, method, uri, host, upgrades),
            scheme: proto.map(|proto| proto.scheme),
            client,
        })
    }
}

/// What follows the prefix, byte for byte.
fn below_prefix(uri: &Uri) -> Result<Uri, Unread> {
    let text = uri.path_and_query().map_or("", |both| both.as_str());
    let rest = text.strip_prefix(EXT_AUTHZ).ok_or(BadMetadata::NoEndpoint)?;
    target(rest.as_bytes())
}

/// The one authority: Host in HTTP/1, `:authority` in HTTP/2, and the same where both are there.
fn authority(asked: &Parts) -> Result<HeaderValue, Unread> {
    let mut hosts = asked.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(BadMetadata::Doubled("host").into());
    }
    let named = asked.uri.authority().map(|authority| authority.as_str());
    match (host, named) {
        (Some(host), Some(named)) if host.as_bytes() != named.as_bytes() => {
            Err(BadMetadata::Contradicted("host").into())
        }
        (Some(host), _) => Ok(host.clone()),
        (None, Some(named)) => Ok(HeaderValue::from_str(named).map_err(|_| BadMetadata::Malformed("host"))?),
        (None, None) => Err(BadMetadata::Missing("host").into()),
    }
}
