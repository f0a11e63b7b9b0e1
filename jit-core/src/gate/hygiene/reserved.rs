//! The names that a client may not speak under.
//!
//! A name is compared with every character that is no letter or digit read as `-`: CGI, WSGI and PHP turn `X_Auth_User`,
//! `X.Auth.User` and `X-Auth-User` into one variable, and so the aliases have come through other gateways' stripping (CVE-2025-64484,
//! CVE-2026-39858, CVE-2026-88011).
//!
//! # The list
//!
//! Identity, as gateways and identity-aware proxies tell it.
//!
//! - `remote-*`: Authelia, Caddy, CGI's REMOTE_USER and REMOTE_ADDR
//! - `x-remote-*`: Kubernetes front proxy, mod_auth_mellon set-ups
//! - `x-jit-*`: this gate
//! - `jit-credential`: this gate, where a credential that is bound to a grant stands
//! - `jit-reason`, `jit-duration`, `jit-ticket`: this gate, where a request asks for access in the same step
//! - `x-auth-request-*`: oauth2-proxy
//! - `x-auth-user`: common in NGINX auth_request and Traefik forwardAuth set-ups
//! - `x-auth-username`
//! - `x-auth-email`
//! - `x-auth-groups`
//! - `x-auth-roles`
//! - `x-auth-name`
//! - `x-auth-subject`
//! - `x-authenticated-*`: Kong, Traefik
//! - `x-authentik-*`: authentik
//! - `x-pomerium-*`: Pomerium
//! - `x-vouch-*`: vouch-proxy
//! - `x-goog-authenticated-user-*`: Google Identity-Aware Proxy
//! - `x-goog-iap-*`: Google Identity-Aware Proxy
//! - `x-amzn-oidc-*`: AWS Application Load Balancer
//! - `x-amzn-mtls-*`: AWS Application Load Balancer
//! - `x-ms-client-principal`: Azure App Service
//! - `x-ms-client-principal-*`
//! - `x-ms-token-aad-*`: Azure App Service
//! - `cf-access-authenticated-user-email`: Cloudflare Access
//! - `cf-access-jwt-assertion`: Cloudflare Access
//! - `x-consumer-*`: Kong
//! - `x-credential-*`: Kong
//! - `x-anonymous-consumer`: Kong
//! - `x-userinfo`: APISIX, Kong OIDC
//! - `x-webauth-*`: Grafana
//! - `oidc-*`: mod_auth_openidc
//! - `mellon-*`: mod_auth_mellon
//! - `shib-*`: Shibboleth
//! - `tailscale-user-*`: Tailscale Serve
//! - `teleport-jwt-assertion`: Teleport
//!
//! Client certificates, as a TLS terminator tells them.
//!
//! - `client-cert`: RFC 9440
//! - `client-cert-chain`: RFC 9440
//! - `ssl-client-*`: ingress-nginx
//! - `x-ssl-*`: HAProxy and NGINX set-ups
//! - `x-client-cert`: NGINX, GCP set-ups
//! - `x-client-cert-*`
//! - `x-client-dn`
//! - `x-client-verify`
//! - `x-arr-clientcert`: Azure App Service
//! - `x-tls-client-*`: Traefik and HAProxy set-ups
//!
//! Where the request came from. Six of these are kept behind a listed proxy, see [`is_forwarding`].
//!
//! - `forwarded`: RFC 7239
//! - `x-forwarded`
//! - `x-forwarded-*`: every proxy; also oauth2-proxy's and Envoy's identity fields
//! - `x-real-ip`: NGINX
//! - `true-client-ip`: Akamai, Cloudflare
//! - `cf-connecting-*`: Cloudflare
//! - `fastly-client-ip`: Fastly
//! - `fly-client-ip`: Fly.io
//! - `do-connecting-ip`: DigitalOcean
//! - `x-client-ip`
//! - `x-cluster-client-ip`: Rackspace, Riverbed
//! - `x-originating-ip`
//! - `x-azure-clientip`: Azure Front Door
//! - `x-azure-socketip`: Azure Front Door
//! - `x-appengine-*`: Google App Engine
//! - `x-vercel-forwarded-for`: Vercel
//! - `x-nf-client-connection-ip`: Netlify
//! - `x-proxyuser-ip`
//! - `client-ip`
//! - `proxy-client-ip`: WebLogic
//! - `wl-proxy-*`: WebLogic
//! - `cloudfront-viewer-address`: CloudFront
//!
//! Another host, path or method than the one that was decided.
//!
//! - `x-original-*`: IIS URL Rewrite, Symfony, ingress-nginx
//! - `x-rewrite-*`: IIS URL Rewrite, Symfony
//! - `x-envoy-*`: Envoy: original path, external address, internal
//! - `x-host`
//! - `x-http-host-override`
//! - `x-override-url`
//! - `x-script-name`: WSGI
//! - `script-name`
//! - `x-http-destinationurl`
//! - `request-uri`
//! - `base-url`
//! - `x-http-method`: OData
//! - `x-http-method-override`: Rails, Symfony, Express
//! - `x-method-override`
//! - `x-middleware-subrequest`: Next.js, CVE-2025-29927
//! - `x-sendfile-type`: Rack::Sendfile
//! - `x-accel-mapping`: Rack::Sendfile
//! - `proxy`: httpoxy, CVE-2016-5385
//!
//! What announces trailers, which are not passed on, and what comes with an upgrade to h2c, which is not taken up.
//!
//! - `te`
//! - `trailer`
//! - `http2-settings`
//!
//! Names that applications give to their own clients (`X-Auth-Token`, `X-User-Id`, `X-Api-Key`, `Impersonate-User`) are not in it: an upstream
//! that takes one of those for a gateway's word must not stand behind this gate unchanged.

/// Names that end with `-` stand for everything that starts so. Sorted, so that a lookup is a binary search for the start.
pub(super) const RESERVED: [&str; 91] = [
    "base-url",
    "cf-access-authenticated-user-email",
    "cf-access-jwt-assertion",
    "cf-connecting-",
    "client-cert",
    "client-cert-chain",
    "client-ip",
    "cloudfront-viewer-address",
    "do-connecting-ip",
    "fastly-client-ip",
    "fly-client-ip",
    "forwarded",
    "http2-settings",
    "jit-credential",
    "jit-duration",
    "jit-reason",
    "jit-ticket",
    "mellon-",
    "oidc-",
    "proxy",
    "proxy-client-ip",
    "remote-",
    "request-uri",
    "script-name",
    "shib-",
    "ssl-client-",
    "tailscale-user-",
    "te",
    "teleport-jwt-assertion",
    "trailer",
    "true-client-ip",
    "wl-proxy-",
    "x-accel-mapping",
    "x-amzn-mtls-",
    "x-amzn-oidc-",
    "x-anonymous-consumer",
    "x-appengine-",
    "x-arr-clientcert",
    "x-auth-email",
    "x-auth-groups",
    "x-auth-name",
    "x-auth-request-",
    "x-auth-roles",
    "x-auth-subject",
    "x-auth-user",
    "x-auth-username",
    "x-authenticated-",
    "x-authentik-",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-cert",
    "x-client-cert-",
    "x-client-dn",
    "x-client-ip",
    "x-client-verify",
    "x-cluster-client-ip",
    "x-consumer-",
    "x-credential-",
    "x-envoy-",
    "x-forwarded",
    "x-forwarded-",
    "x-goog-authenticated-user-",
    "x-goog-iap-",
    "x-host",
    "x-http-destinationurl",
    "x-http-host-override",
    "x-http-method",
    "x-http-method-override",
    "x-jit-",
    "x-method-override",
    "x-middleware-subrequest",
    "x-ms-client-principal",
    "x-ms-client-principal-",
    "x-ms-token-aad-",
    "x-nf-client-connection-ip",
    "x-original-",
    "x-originating-ip",
    "x-override-url",
    "x-pomerium-",
    "x-proxyuser-ip",
    "x-real-ip",
    "x-remote-",
    "x-rewrite-",
    "x-script-name",
    "x-sendfile-type",
    "x-ssl-",
    "x-tls-client-",
    "x-userinfo",
    "x-vercel-forwarded-for",
    "x-vouch-",
    "x-webauth-",
];

/// The forwarding fields that a listed proxy may speak: a fixed list, because every other `X-Forwarded-*` is as free to forge as
/// before (CVE-2026-35051). Compared as they are, without aliases.
const FORWARDING: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a field of this name, or of one that reads as it does, never reaches the upstream from a client. The name is lower case,
/// as `http::HeaderName` has it.
pub fn is_reserved(name: &str) -> bool {
    is_reserved_bytes(name.as_bytes())
}

/// Whether a listed proxy may send this field.
pub fn is_forwarding(name: &str) -> bool {
    FORWARDING.contains(&name)
}

pub(super) fn is_reserved_bytes(name: &[u8]) -> bool {
    let start = start_of(name);
    let group = STARTS.partition_point(|other| *other < start);
    let starts = STARTS.get(group..).unwrap_or_default();
    let names = RESERVED.get(group..).unwrap_or_default();
    starts
        .iter()
        .zip(names)
        .take_while(|(other, _)| **other == start)
        .any(|(_, reserved)| {
            if reserved.ends_with('-') {
                name.get(..reserved.len())
                    .is_some_and(|start| reads_as(start, reserved))
            } else {
                reads_as(name, reserved)
            }
        })
}

/// As many bytes as the shortest name that ends with `-` has, read as they are compared and filled up with `-`, as a number that
/// sorts as they do: five, and six behind `x-`, where most names are.
#[inline]
const fn start_of(name: &[u8]) -> u64 {
    let [a, b, c, d, e, f] = match name.first_chunk() {
        Some(start) => *start,
        None => match *name {
            [a, b, c, d, e] => [a, b, c, d, e, 0],
            [a, b, c, d] => [a, b, c, d, 0, 0],
            [a, b, c] => [a, b, c, 0, 0, 0],
            [a, b] => [a, b, 0, 0, 0, 0],
            [a] => [a, 0, 0, 0, 0, 0],
            _ => [0; 6],
        },
    };
    let [a, b] = [read(a), read(b)];
    let f = if a == b'x' && b == b'-' { read(f) } else { b'-' };
    u64::from_be_bytes([0, 0, a, b, read(c), read(d), read(e), f])
}

/// [`start_of`] each reserved name.
const STARTS: [u64; RESERVED.len()] = {
    let mut starts = [0; RESERVED.len()];
    let mut left: &mut [u64] = &mut starts;
    let mut names: &[&str] = &RESERVED;
    while let (Some((to, others)), Some((name, rest))) = (left.split_first_mut(), names.split_first()) {
        *to = start_of(name.as_bytes());
        left = others;
        names = rest;
    }
    starts
};

/// Whether `name` is `wanted` in some spelling of it.
pub(super) fn reads_as(name: &[u8], wanted: &str) -> bool {
    name.len() == wanted.len() && name.iter().map(|b| read(*b)).eq(wanted.bytes())
}

#[inline]
#[expect(clippy::indexing_slicing, reason = "the table has a place for every byte")]
const fn read(byte: u8) -> u8 {
    static READ: [u8; 256] = {
        let mut table = [0; 256];
        let (mut left, mut byte): (&mut [u8], u8) = (&mut table, 0);
        while let Some((slot, rest)) = left.split_first_mut() {
            *slot = if byte.is_ascii_alphanumeric() {
                byte.to_ascii_lowercase()
            } else {
                b'-'
            };
            byte = byte.wrapping_add(1);
            left = rest;
        }
        table
    };
    READ[byte as usize]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_can_be_searched() {
        assert!(RESERVED.is_sorted() && STARTS.is_sorted());
        for (one, other) in RESERVED.iter().zip(RESERVED.iter().skip(1)) {
            assert!(
                one != other && !(one.ends_with('-') && other.starts_with(one)),
                "{one} {other}"
            );
        }
        assert!(RESERVED.iter().all(|name| name.bytes().all(|b| read(b) == b)));
        assert!(FORWARDING.iter().all(|name| is_reserved(name)));
    }

    #[test]
    fn every_name_in_every_spelling() {
        for name in RESERVED {
            let name = if name.ends_with('-') {
                format!("{name}user")
            } else {
                name.to_owned()
            };
            for other in [
                "-", "_", ".", "!", "#", "$", "%", "&", "'", "*", "+", "^", "`", "|", "~",
            ] {
                let spelling = name.replace('-', other);
                assert!(is_reserved(&spelling), "{spelling}");
                assert!(
                    is_reserved_bytes(spelling.to_ascii_uppercase().as_bytes()),
                    "{spelling}"
                );
            }
            assert!(!is_reserved(&format!("z{name}")), "{name}");
        }
    }

    #[test]
    fn names_of_others_stay() {
        for name in [
            "",
            "accept",
            "accept-encoding",
            "authorization",
            "cache-control",
            "connection",
            "content-length",
            "cookie",
            "forwardedx",
            "host",
            "jit-reasons",
            "origin",
            "proxy-authorization",
            "range",
            "referer",
            "remote",
            "sec-fetch-site",
            "tex",
            "trailers",
            "upgrade",
            "user-agent",
            "via",
            "x",
            "x-",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-hostname",
            "x-request-id",
            "x-requested-with",
            "x-user-id",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    #[test]
    fn a_long_name_is_judged_by_its_start() {
        let tail = "a".repeat(4000);
        assert!(is_reserved(&format!("x_forwarded_{tail}")));
        assert!(!is_reserved(&format!("trailer{tail}")));
        assert!(!is_reserved(&tail));
    }
}
