//! Which header fields a request may carry, and which never reach the upstream.
//!
//! 1. [`check`] refuses what two readers could read differently: a doubled credential, a `Connection` option that names a field which
//!    the gate or the upstream relies on, framing that is not plain. The answer never depends on who asks.
//! 2. [`strip`] drops every field with which a client could pose as a gateway's word: [`is_reserved`] has the list. Dropped always, set
//!    maybe: whoever sets such a field does it after this. The offer of an upgrade to h2c goes as well.
//! 3. [`strip_credential`] drops the gate's own credential, wherever it stands, and nothing of the application's. A credential that is
//!    bound to a grant never reaches the upstream, whatever came of it, and neither does the console's cookie: [`strip`] drops them.
//! 4. Forwarding fields count only when the peer is a listed proxy, see [`TrustedProxies`].
//!
//! # Caveats
//! Authenticators that read fields of a gateway in front (`X-Amzn-Oidc-Data` and the like) run before the stripping. Request trailers
//! are not headers: the door must not pass them on. A method override in a query or a form body is for the application to turn off.

mod cookies;
mod filter;
mod plea;
mod proxies;
pub mod reserved;
mod strip;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version, request};

pub use cookies::gate_cookie;
use cookies::{is_never_passed_on, may_be_the_gates, pairs, value_of};
pub(in crate::gate) use plea::Plea;
pub use plea::{DURATION_HEADER, REASON_HEADER, TICKET_HEADER};
pub use proxies::{BadProxy, TrustedProxies};
use reserved::is_reserved;
pub(in crate::gate) use strip::Dirt;
pub use strip::{strip, strip_behind_proxy, strip_credential};

/// The gate's own cookie. The prefix binds it to one origin (RFC 6265bis §4.1.3.2).
pub const GATE_COOKIE: &str = "__Host-jit";
/// The cookie that may hold a credential which is bound to a grant, where a client can't set [`GRANT_HEADER`].
/// Its name starts as [`GATE_COOKIE`]'s does.
pub const GRANT_COOKIE: &str = "__Host-jit-grant";
/// The cookie of the web console. A browser sends it to whatever else is served under the same host name, on any port: no gate passes it on.
pub const CONSOLE_COOKIE: &str = "__Host-jit-console";
/// How the name of each cookie begins by which the console knows a browser again that it sent away to sign in. As [`CONSOLE_COOKIE`], none
/// is ever passed on.
pub const SIGN_IN_COOKIE: &str = "__Host-jit-sign-in";
/// The field that holds a credential which is bound to a grant, bare: no scheme before it.
pub const GRANT_HEADER: HeaderName = HeaderName::from_static("jit-credential");
/// Cookies that no upstream gets, whatever came of the request; nor one whose name begins as that of the last.
const NEVER_PASSED_ON: [&str; 3] = [GRANT_COOKIE, CONSOLE_COOKIE, SIGN_IN_COOKIE];
/// Most header fields of a request, every repeated one counted.
pub const FIELDS_MAX: usize = 100;
/// Most bytes of all header names and values together.
pub const BYTES_MAX: usize = 64 * 1024;

/// Why the header of a request is refused. The text never repeats what the client sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum BadHeaders {
    /// More than [`FIELDS_MAX`] fields.
    #[error("the request has more than 100 header fields")]
    TooMany,
    /// More than [`BYTES_MAX`] bytes.
    #[error("the header fields of the request are larger than 64 KiB")]
    TooLarge,
    /// More than one Authorization field.
    #[error("there must be at most one Authorization field")]
    ManyAuthorizations,
    /// The gate's cookie more than once.
    #[error("the session cookie must not be sent twice")]
    ManyCookies,
    /// More than one credential that is bound to a grant, in the header, the cookie or both.
    #[error("there must be at most one credential of a grant, in one Jit-Credential field or one cookie")]
    ManyCredentials,
    /// A [`REASON_HEADER`] that is doubled, empty, too long or no text.
    #[error("Jit-Reason must be sent once, as 1 to 500 characters of UTF-8")]
    Reason,
    /// A [`DURATION_HEADER`] that is doubled or no length of time.
    #[error("Jit-Duration must be sent once, and read like 30m, 1h 30m or 90s")]
    Duration,
    /// A [`TICKET_HEADER`] that is doubled, empty, too long or no text.
    #[error("Jit-Ticket must be sent once, as 1 to 200 characters of UTF-8")]
    Ticket,
    /// A `Connection` option that names a field which must reach its reader.
    #[error("the Connection field names a field that is not for one hop alone")]
    Connection,
    /// A Transfer-Encoding other than one `chunked` on HTTP/1.1, or together with Content-Length.
    #[error("Transfer-Encoding must be 'chunked', once, on HTTP/1.1 and without Content-Length")]
    TransferEncoding,
    /// A Content-Length that is not one number.
    #[error("Content-Length must be one decimal number")]
    ContentLength,
}

impl BadHeaders {
    /// A stable name for logs and counters.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::TooMany => "too-many-fields",
            Self::TooLarge => "fields-too-large",
            Self::ManyAuthorizations => "many-authorizations",
            Self::ManyCookies => "many-cookies",
            Self::ManyCredentials => "many-credentials",
            Self::Reason => "reason",
            Self::Duration => "duration",
            Self::Ticket => "ticket",
            Self::Connection => "connection",
            Self::TransferEncoding => "transfer-encoding",
            Self::ContentLength => "content-length",
        }
    }

    /// 431 for size, 400 for the rest.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TooMany | Self::TooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Checks the header of a request, in one pass and without an allocation.
///
/// # Errors
/// The first rule of [`BadHeaders`] that it breaks; size comes first.
pub fn check(parts: &request::Parts) -> Result<(), BadHeaders> {
    inspect(parts).map(|_| ())
}

/// What a request's header says to the gate.
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::gate) struct Inspected<'r> {
    /// The credential of a grant that it presents, whatever it may be.
    pub(in crate::gate) presented: Option<&'r [u8]>,
    /// Whether it asks to go on in another protocol on the same connection (RFC 9110 §7.8). An offer of h2c alone is ignored.
    pub(in crate::gate) changes_protocol: bool,
    /// What it asks for in the same step.
    pub(in crate::gate) plea: Option<Plea<'r>>,
    /// What must not be forwarded.
    pub(in crate::gate) dirt: Dirt,
}

/// As [`check`], with what else one look at every field tells.
pub(in crate::gate) fn inspect(parts: &request::Parts) -> Result<Inspected<'_>, BadHeaders> {
    let headers = &parts.headers;
    if headers.len() > FIELDS_MAX {
        return Err(BadHeaders::TooMany);
    }
    let mut seen = Seen::default();
    for (name, value) in headers {
        seen.field(name.as_str(), value);
    }
    let mut inspected = seen.judge(parts.version)?;
    if seen.pleads {
        inspected.plea = Plea::read(headers)?;
    }
    Ok(inspected)
}

/// What was seen in a header so far.
#[derive(Debug, Default)]
struct Seen<'r> {
    size: usize,
    authorizations: usize,
    sessions: usize,
    credential: Option<&'r [u8]>,
    credentials: usize,
    /// A `Connection` option that names a field which must reach its reader.
    end_to_end: bool,
    /// A `Connection` option that says there is an `Upgrade` field.
    names_upgrade: bool,
    offers: usize,
    /// Protocols offered in an `Upgrade` field that are not h2c.
    serious_offers: usize,
    /// There is a field that asks in the same step.
    pleads: bool,
    /// There is a field that is dropped, or a cookie.
    reserved: bool,
    lengths: usize,
    bad_length: bool,
    encodings: usize,
    bad_encoding: bool,
}

impl<'r> Seen<'r> {
    /// Most names of a request don't matter, and most of those are told in a few steps.
    #[inline]
    fn field(&mut self, name: &str, value: &'r HeaderValue) {
        self.size += name.len() + value.len();
        if filter::may_matter(name) {
            self.look(name, value);
        }
    }

    #[inline(never)]
    fn look(&mut self, name: &str, value: &'r HeaderValue) {
        if self.size > BYTES_MAX {
            return;
        }
        match name {
            "cookie" => self.cookie(value),
            "upgrade" => self.upgrade(value),
            "connection" => self.connection(value),
            "authorization" => self.authorizations += 1,
            "content-length" => {
                let digits = value.as_bytes();
                let one_number =
                    !digits.is_empty() && digits.len() <= 19 && digits.iter().all(u8::is_ascii_digit);
                self.lengths += 1;
                self.bad_length |= !one_number;
            }
            "transfer-encoding" => {
                self.encodings += 1;
                self.bad_encoding |= !value.as_bytes().eq_ignore_ascii_case(b"chunked");
            }
            // As long as it says nothing else.
            "te" if value == "trailers" => {}
            _ if is_reserved(name) => self.reserved(name, value),
            _ => {}
        }
    }

    fn reserved(&mut self, name: &str, value: &'r HeaderValue) {
        self.reserved = true;
        match name {
            "jit-reason" | "jit-ticket" | "jit-duration" => self.pleads = true,
            "jit-credential" => self.credential(value.as_bytes()),
            _ => {}
        }
    }

    fn credential(&mut self, credential: &'r [u8]) {
        self.credentials += 1;
        self.credential = Some(credential);
    }

    fn cookie(&mut self, value: &'r HeaderValue) {
        if !may_be_the_gates(value) {
            return;
        }
        for pair in pairs(value) {
            if value_of(pair, GATE_COOKIE).is_some() {
                self.sessions += 1;
            } else if let Some(credential) = value_of(pair, GRANT_COOKIE) {
                self.credential(credential);
                self.reserved = true;
            } else {
                self.reserved |= is_never_passed_on(pair);
            }
        }
    }

    fn connection(&mut self, value: &HeaderValue) {
        for option in value.as_bytes().split(|b| *b == b',') {
            let option = option.trim_ascii();
            self.names_upgrade |= option.eq_ignore_ascii_case(b"upgrade");
            self.end_to_end |= is_end_to_end(option);
        }
    }

    fn upgrade(&mut self, value: &HeaderValue) {
        for protocol in protocols(value) {
            self.offers += 1;
            self.serious_offers += usize::from(!is_h2c(protocol));
        }
    }

    /// The first rule that it breaks, in the order of [`BadHeaders`] but for the framing: a length comes before an encoding.
    fn judge(&self, version: Version) -> Result<Inspected<'r>, BadHeaders> {
        if self.size > BYTES_MAX {
            return Err(BadHeaders::TooLarge);
        }
        if self.authorizations > 1 {
            return Err(BadHeaders::ManyAuthorizations);
        }
        if self.sessions > 1 {
            return Err(BadHeaders::ManyCookies);
        }
        if self.credentials > 1 {
            return Err(BadHeaders::ManyCredentials);
        }
        if self.end_to_end {
            return Err(BadHeaders::Connection);
        }
        if self.lengths > 1 || self.bad_length {
            return Err(BadHeaders::ContentLength);
        }
        let plain =
            self.encodings == 1 && !self.bad_encoding && self.lengths == 0 && version == Version::HTTP_11;
        if self.encodings > 0 && !plain {
            return Err(BadHeaders::TransferEncoding);
        }
        Ok(Inspected {
            presented: self.credential,
            plea: None,
            dirt: Dirt {
                reserved: self.reserved || self.offers > self.serious_offers,
                session: self.sessions > 0,
            },
            changes_protocol: if self.offers > 0 {
                self.serious_offers > 0
            } else {
                self.names_upgrade
            },
        })
    }
}

fn is_end_to_end(option: &[u8]) -> bool {
    const NEEDED: [&str; 6] = [
        "authorization",
        "content-length",
        "content-type",
        "cookie",
        "host",
        "transfer-encoding",
    ];
    // These are dropped, but they are for one hop and may be named so.
    let one_hop = ["http2-settings", "te", "trailer"]
        .iter()
        .any(|name| option.eq_ignore_ascii_case(name.as_bytes()));
    !one_hop
        && (NEEDED.iter().any(|name| reserved::reads_as(option, name)) || reserved::is_reserved_bytes(option))
}

/// The protocols that an `Upgrade` field offers to go on in, one by one.
pub fn upgrades(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = headers.get_all(header::UPGRADE).into_iter();
    values.flat_map(protocols)
}

fn protocols(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    let protocols = value.as_bytes().split(|b| *b == b',').map(<[u8]>::trim_ascii);
    protocols.filter(|protocol| !protocol.is_empty())
}

/// Whether a protocol is HTTP/2 without TLS. That upgrade is obsolete (RFC 9113 §3.1) and is never taken up; [`strip`] drops its offer, because
/// requests after an upgrade that an upstream did take up would reach it undecided.
pub fn is_h2c(protocol: &[u8]) -> bool {
    let name = protocol.split(|b| *b == b'/').next().unwrap_or_default();
    name.trim_ascii().eq_ignore_ascii_case(b"h2c")
}

/// Whether the only protocol that is offered is WebSocket over HTTP/1.1 (RFC 6455 §4.1). In every other one that is known the client could go
/// on with requests that nobody decides on.
pub fn asks_for_websocket(head: &request::Parts) -> bool {
    let mut offered = upgrades(&head.headers).peekable();
    head.method == Method::GET
        && head.version == Version::HTTP_11
        && offered.peek().is_some()
        && offered.all(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
}

#[cfg(test)]
mod tests {
    use super::cookies::{cookies, gate_cookies};
    use super::*;
    use crate::gate::authenticate::CredentialSource;
    use http::Request;
    use proptest::prelude::*;

    fn parts(version: Version, fields: &[(&str, &str)]) -> request::Parts {
        let mut request = Request::builder().version(version).uri("/");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).expect("valid fields").into_parts().0
    }

    fn headers(fields: &[(&str, &str)]) -> HeaderMap {
        parts(Version::HTTP_11, fields).headers
    }

    fn list(headers: &HeaderMap) -> Vec<(&str, &str)> {
        let fields = headers.iter();
        let mut list: Vec<_> = fields
            .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
            .collect();
        list.sort_by_key(|(name, _)| *name);
        list
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        use BadHeaders::{
            Connection, ContentLength, ManyAuthorizations, ManyCookies, ManyCredentials, TransferEncoding,
        };
        for (fields, want) in [
            (&[][..], Ok(())),
            (&[("authorization", "Bearer a")], Ok(())),
            (
                &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
                Err(ManyAuthorizations),
            ),
            (&[("cookie", "a=1; __Host-jit=x; b=2")], Ok(())),
            (
                &[("cookie", "a=1"), ("cookie", "__Host-jit=x"), ("cookie", "a=2")],
                Ok(()),
            ),
            (&[("cookie", "__Host-jit=x; __Host-jit=x")], Err(ManyCookies)),
            (&[("cookie", "__Host-jit=x;__Host-jit = y")], Err(ManyCookies)),
            (&[("cookie", "__Host-jit=x; __Host-jit")], Err(ManyCookies)),
            (
                &[("cookie", "__Host-jit=x"), ("cookie", "a=1; __Host-jit=y")],
                Err(ManyCookies),
            ),
            (
                &[("cookie", "__Host-jit2=x; x__Host-jit=y; a=__Host-jit; =;;=")],
                Ok(()),
            ),
            (&[("jit-credential", "x")], Ok(())),
            (&[("cookie", "__Host-jit=x; __Host-jit-grant=y")], Ok(())),
            (
                &[("jit-credential", "x"), ("jit-credential", "x")],
                Err(ManyCredentials),
            ),
            (
                &[("jit-credential", "x"), ("cookie", "a=1; __Host-jit-grant=x")],
                Err(ManyCredentials),
            ),
            (
                &[("cookie", "__Host-jit-grant = x; __Host-jit-grant")],
                Err(ManyCredentials),
            ),
            (
                &[("cookie", "__Host-jit-grant=x"), ("cookie", "__Host-jit-grant=x")],
                Err(ManyCredentials),
            ),
            (&[("connection", "Jit_Credential")], Err(Connection)),
            (&[("connection", "Jit-Reason")], Err(Connection)),
            (&[("jit-reason", "look into it"), ("jit-duration", "30m")], Ok(())),
            (&[("jit-reason", "")], Err(BadHeaders::Reason)),
            (&[("jit-duration", "soon")], Err(BadHeaders::Duration)),
            (
                &[("jit-ticket", "a"), ("jit-ticket", "a")],
                Err(BadHeaders::Ticket),
            ),
            (
                &[(
                    "connection",
                    "keep-alive, Upgrade, HTTP2-Settings, close, TE, trailer",
                )],
                Ok(()),
            ),
            (&[("connection", "close, Authorization")], Err(Connection)),
            (&[("connection", "close,COOKIE")], Err(Connection)),
            (
                &[("connection", "close"), ("connection", "host")],
                Err(Connection),
            ),
            (&[("connection", "\t x-jit-grant\t")], Err(Connection)),
            (&[("connection", "X_Jit.Grant")], Err(Connection)),
            (&[("connection", "X-Real-Ip")], Err(Connection)),
            (&[("connection", "x-forwarded-for")], Err(Connection)),
            (&[("connection", "remote_user")], Err(Connection)),
            (&[("connection", "content-length")], Err(Connection)),
            (&[("connection", "transfer-encoding")], Err(Connection)),
            (&[("content-length", "3")], Ok(())),
            (
                &[("content-length", "3"), ("content-length", "3")],
                Err(ContentLength),
            ),
            (&[("content-length", "3, 4")], Err(ContentLength)),
            (&[("content-length", "+3")], Err(ContentLength)),
            (&[("content-length", "0x3")], Err(ContentLength)),
            (&[("content-length", "")], Err(ContentLength)),
            (
                &[("content-length", "99999999999999999999999")],
                Err(ContentLength),
            ),
            (&[("transfer-encoding", "chunked")], Ok(())),
            (&[("transfer-encoding", "Chunked")], Ok(())),
            (&[("transfer-encoding", "gzip, chunked")], Err(TransferEncoding)),
            (
                &[("transfer-encoding", "chunked, chunked")],
                Err(TransferEncoding),
            ),
            (&[("transfer-encoding", "identity")], Err(TransferEncoding)),
            (
                &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
                Err(TransferEncoding),
            ),
            (
                &[("transfer-encoding", "chunked"), ("content-length", "3")],
                Err(TransferEncoding),
            ),
        ] {
            assert_eq!(check(&parts(Version::HTTP_11, fields)), want, "{fields:?}");
        }
        for version in [Version::HTTP_10, Version::HTTP_2] {
            let chunked = parts(version, &[("transfer-encoding", "chunked")]);
            assert_eq!(check(&chunked), Err(TransferEncoding), "{version:?}");
        }
    }

    #[test]
    fn a_large_header_is_431() {
        let many = |n: usize| vec![("a", "b"); n];
        assert_eq!(check(&parts(Version::HTTP_11, &many(FIELDS_MAX))), Ok(()));
        let too_many = check(&parts(Version::HTTP_11, &many(FIELDS_MAX + 1)));
        assert_eq!(too_many, Err(BadHeaders::TooMany));
        let text = "x".repeat(BYTES_MAX);
        let fits = text.get(..BYTES_MAX - 1).expect("ASCII");
        assert_eq!(check(&parts(Version::HTTP_11, &[("a", fits)])), Ok(()));
        let too_large = check(&parts(Version::HTTP_11, &[("a", &text)]));
        assert_eq!(too_large, Err(BadHeaders::TooLarge));
        assert_eq!(BadHeaders::TooMany.status().as_u16(), 431);
        assert_eq!(BadHeaders::TooLarge.status().as_u16(), 431);
        assert_eq!(BadHeaders::Connection.status().as_u16(), 400);
    }

    #[test]
    fn a_client_can_not_pose_as_a_gateway() {
        let mut map = headers(&[
            ("host", "a.com"),
            ("x-forwarded-user", "bob"),
            ("x_auth_request_email", "bob@example.com"),
            ("x.jit.grant", "admin"),
            ("remote_user", "bob"),
            ("remote-groups", "admins"),
            ("remote-groups", "more"),
            ("x-forwarded-for", "127.0.0.1"),
            ("forwarded", "for=127.0.0.1"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
            ("x-http-method-override", "DELETE"),
            ("x_method_override", "DELETE"),
            ("x-http-method", "DELETE"),
            ("trailer", "x-jit-grant"),
            ("te", "chunked"),
            ("upgrade", "websocket, H2C"),
            ("http2-settings", "AAMAAABkAARAAAAAAAIAAAAA"),
            ("proxy", "http://evil.example"),
            ("accept", "*/*"),
            ("x-request-id", "1"),
        ]);
        strip(&mut map);
        assert_eq!(
            list(&map),
            [("accept", "*/*"), ("host", "a.com"), ("x-request-id", "1")]
        );
    }

    #[test]
    fn no_upstream_gets_the_consoles_cookie() {
        let mut map = headers(&[
            ("cookie", "a=1; __Host-jit-console=x; b=2"),
            ("cookie", "__Host-jit-console=y"),
            ("cookie", "__Host-jit-sign-in-abc=z; c=3; __Host-jit-sign-in=z"),
        ]);
        strip(&mut map);
        assert_eq!(list(&map), [("cookie", "a=1; b=2"), ("cookie", "c=3")]);
    }

    #[test]
    fn grpc_keeps_its_te() {
        let mut map = headers(&[("te", "trailers")]);
        strip(&mut map);
        assert_eq!(list(&map), [("te", "trailers")]);
        let mut map = headers(&[("te", "trailers"), ("te", "gzip")]);
        strip(&mut map);
        assert!(map.is_empty());
    }

    #[test]
    fn a_listed_proxy_may_forward_but_not_identify() {
        let mut map = headers(&[
            ("x-forwarded-for", "192.0.2.1"),
            ("x_forwarded_for", "127.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-user", "bob"),
            ("x-forwarded-uri", "/public"),
            ("x-forwarded-prefix", "/public"),
            ("x-forwarded-client-cert", "CN=bob"),
            ("x-real-ip", "192.0.2.1"),
            ("remote-user", "bob"),
        ]);
        strip_behind_proxy(&mut map);
        assert_eq!(
            list(&map),
            [
                ("x-forwarded-for", "192.0.2.1"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "192.0.2.1"),
            ]
        );
    }

    #[test]
    fn only_the_gates_own_credential_goes() {
        for (source, fields, want) in [
            (
                CredentialSource::Authorization,
                &[("authorization", "Bearer x"), ("cookie", "__Host-jit=y; a=1")][..],
                &[("cookie", "a=1")][..],
            ),
            (
                CredentialSource::Connection,
                &[("authorization", "Bearer x"), ("cookie", "__Host-jit=y")],
                &[("authorization", "Bearer x")],
            ),
            (
                CredentialSource::Cookie,
                &[("authorization", "Basic x"), ("cookie", "__Host-jit=y")],
                &[("authorization", "Basic x")],
            ),
            (
                CredentialSource::Cookie,
                &[("cookie", "a=1; __Host-jit=y; b=\"2\"")],
                &[("cookie", "a=1; b=\"2\"")],
            ),
            (
                CredentialSource::Cookie,
                &[("cookie", "a=1;__Host-jit = y")],
                &[("cookie", "a=1")],
            ),
            (
                CredentialSource::Cookie,
                &[("cookie", "a=1"), ("cookie", "__Host-jit=y"), ("cookie", "b=2")],
                &[("cookie", "a=1"), ("cookie", "b=2")],
            ),
            (
                CredentialSource::Cookie,
                &[("cookie", "a=1;b=2 ;; c")],
                &[("cookie", "a=1;b=2 ;; c")],
            ),
            (CredentialSource::Cookie, &[], &[]),
            (CredentialSource::Authorization, &[], &[]),
        ] {
            let mut map = headers(fields);
            strip_credential(&mut map, source);
            assert_eq!(list(&map), want, "{source:?} {fields:?}");
        }
    }

    #[test]
    fn a_credential_of_a_grant_never_goes_through() {
        let fields = [
            ("jit-credential", "jitg_x"),
            ("jit_credential", "jitg_x"),
            ("cookie", "a=1; __Host-jit-grant=jitg_x; __Host-jit=s"),
            ("cookie", "__Host-jit-grant = jitg_x"),
            ("authorization", "Bearer theirs"),
        ];
        let rest = [
            ("authorization", "Bearer theirs"),
            ("cookie", "a=1; __Host-jit=s"),
        ];
        for dropped in [strip, strip_behind_proxy] {
            let mut map = headers(&fields);
            dropped(&mut map);
            assert_eq!(list(&map), rest);
        }
    }

    #[test]
    fn a_stripped_cookie_stays_secret_in_logs() {
        let mut value = HeaderValue::from_static("a=1; __Host-jit=y");
        value.set_sensitive(true);
        let mut map = HeaderMap::new();
        map.insert(header::COOKIE, value);
        strip_credential(&mut map, CredentialSource::Cookie);
        assert!(map.get(header::COOKIE).expect("a=1 is left").is_sensitive());
    }

    #[test]
    fn the_gates_cookie_is_read_as_it_is_stripped() {
        for (value, want) in [
            ("__Host-jit=abc", Some("abc")),
            ("a=1; __Host-jit=abc=; b=2", Some("abc=")),
            ("__Host-jit", Some("")),
            ("__host-jit=abc", None),
            ("a=__Host-jit=abc", None),
            ("=;;=", None),
        ] {
            assert_eq!(gate_cookie(&headers(&[("cookie", value)])), want, "{value}");
        }
    }

    /// Whether stripping changes a header, and what was seen of that while it was checked.
    fn stripped(mut parts: request::Parts) -> Option<(bool, bool)> {
        let dirt = inspect(&parts).ok()?.dirt;
        let before = parts.headers.clone();
        strip(&mut parts.headers);
        strip_credential(&mut parts.headers, CredentialSource::Cookie);
        let mut told = before.clone();
        dirt.strip(&mut told, Some(CredentialSource::Cookie));
        assert_eq!(told, parts.headers);
        Some((told != before, dirt != Dirt::default()))
    }

    #[test]
    fn what_is_clean_has_nothing_to_strip() {
        for (fields, is_dirty) in [
            (&[][..], false),
            (
                &[("accept", "*/*"), ("x-app", "1"), ("cookie", "a=__Host-jit")],
                false,
            ),
            (&[("te", "trailers")], false),
            (&[("te", "trailers"), ("te", "gzip")], true),
            (&[("upgrade", "websocket")], false),
            (&[("upgrade", "websocket, h2c")], true),
            (&[("cookie", "__Host-jit=x")], true),
            (&[("cookie", "__Host-jit-grant=x")], true),
            (&[("cookie", "a=1; __Host-jit-console=x")], true),
            (&[("cookie", "a=1"), ("cookie", "__Host-jit-sign-in-1=x")], true),
            (&[("jit-reason", "why")], true),
            (&[("jit-credential", "x")], true),
            (&[("x.jit.grant", "x")], true),
            (&[("remote`user", "x")], true),
        ] {
            let both = stripped(parts(Version::HTTP_11, fields));
            assert_eq!(both, Some((is_dirty, is_dirty)), "{fields:?}");
        }
        let mut map = headers(&[("authorization", "Bearer x"), ("accept", "*/*")]);
        Dirt::default().strip(&mut map, Some(CredentialSource::Authorization));
        assert_eq!(list(&map), [("accept", "*/*")]);
        let theirs = [("authorization", "Basic x"), ("cookie", "__Host-jit=x")];
        let mut map = headers(&theirs);
        let dirt = inspect(&parts(Version::HTTP_11, &theirs))
            .expect("good fields")
            .dirt;
        dirt.strip(&mut map, None);
        assert_eq!(list(&map), theirs);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn nothing_of_the_gate_is_left(
            fields in proptest::collection::vec((
                proptest::sample::select(&["cookie", "connection", "x-jit-a", "x_jit_a", "jit-credential", "remote.user", "accept", "te", "upgrade"][..]),
                proptest::collection::vec(prop_oneof![
                    Just(b"__Host-jit".to_vec()), Just(b"-grant".to_vec()), Just(b"=".to_vec()), Just(b"; ".to_vec()), Just(b"a".to_vec()),
                    proptest::collection::vec(any::<u8>(), 1..3),
                ], 0..8),
            ), 0..8),
        ) {
            let mut map = HeaderMap::new();
            for (name, value) in fields {
                if let Ok(value) = HeaderValue::from_bytes(&value.concat()) {
                    map.append(name, value);
                }
            }
            let mut parts = parts(Version::HTTP_11, &[]);
            parts.headers = map;
            if let Some((changed, seen)) = stripped(parts.clone()) {
                prop_assert_eq!(changed, seen);
            }
            let mut map = parts.headers;
            let others = |map: &HeaderMap| -> Vec<Vec<u8>> {
                let values = map.get_all(header::COOKIE).into_iter().flat_map(pairs);
                values.filter(|p| !p.is_empty() && value_of(p, GATE_COOKIE).is_none() && value_of(p, GRANT_COOKIE).is_none()).map(<[u8]>::to_vec).collect()
            };
            let before = others(&map);
            strip(&mut map);
            strip_credential(&mut map, CredentialSource::Cookie);
            prop_assert_eq!(gate_cookies(&map).count(), 0);
            prop_assert_eq!(cookies(&map, GRANT_COOKIE).count(), 0);
            prop_assert_eq!(others(&map), before);
            prop_assert!(map.keys().all(|name| !is_reserved(name.as_str()) || name == header::TE));
        }
    }
}
