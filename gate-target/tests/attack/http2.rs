//! HTTP/2 in frames made by hand (RFC 9113), because no client library sends what is not allowed.
//!
//! Whatever the server or the gate makes of a malformed request, the one thing that must not happen is that a handler answers it.

use std::time::Duration;

use gate_target::door::{Door, Target};
use gate_target::house::{ALICE, Grants};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

type Fields<'a> = Vec<(&'a str, &'a str)>;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Literal fields that are not indexed, names and values as they are (RFC 7541 §6.2.2).
fn block(fields: &Fields<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            bytes.push(
                u8::try_from(text.len())
                    .ok()
                    .filter(|length| *length < 127)
                    .expect("short"),
            );
            bytes.extend(text.chars().map(|c| u8::try_from(u32::from(c)).unwrap()));
        }
    }
    bytes
}

/// The status in a response's header block, which starts with it: an entry of the static table, or a literal under its name whose
/// digits are plain or Huffman-coded (RFC 7541 appendices A and B).
fn status(block: &[u8]) -> u16 {
    // The first one says that the dynamic table has no entries (RFC 7541 §6.3).
    match *block.strip_prefix(&[0x20]).unwrap_or(block) {
        [indexed @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(indexed - 0x88)],
        [0x08 | 0x18 | 0x48, 0x03, a, b, c, ..] => str::from_utf8(&[a, b, c]).unwrap().parse().unwrap(),
        [0x08 | 0x18 | 0x48, length @ 0x81..=0x83, ref rest @ ..] => {
            let bits = rest[..usize::from(length & 0x7f)]
                .iter()
                .fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte))
                << (8 * (4 - u32::from(length & 0x7f)));
            let (mut bits, mut status) = (bits, 0);
            for _ in 0..3 {
                let (digit, width) = match bits >> 27 {
                    short @ 0..=2 => (short, 5),
                    _ => ((bits >> 26) - 0b01_1001 + 3, 6),
                };
                status = status * 10 + digit;
                bits <<= width;
            }
            u16::try_from(status).unwrap()
        }
        _ => panic!("{block:?}"),
    }
}

/// Sends one request, with a body and trailers if there are any, and tells what came: `200 admin`, `403`, or `reset`.
async fn send(
    target: &Target,
    fields: &Fields<'_>,
    body: Option<&str>,
    trailers: Option<&Fields<'_>>,
) -> String {
    let mut stream = TcpStream::connect(target.address()).await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // No dynamic table: each header block stands for itself.
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 1, 0, 0, 0, 0]));
    let last = |more: bool| if more { 0 } else { END_STREAM };
    let more = body.is_some() || trailers.is_some();
    bytes.extend(frame(HEADERS, END_HEADERS | last(more), 1, &block(fields)));
    if let Some(body) = body {
        bytes.extend(frame(DATA, last(trailers.is_some()), 1, body.as_bytes()));
    }
    if let Some(trailers) = trailers {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &block(trailers)));
    }
    stream.write_all(&bytes).await.unwrap();
    let answer = tokio::time::timeout(Duration::from_secs(10), answer(&mut stream)).await;
    answer.unwrap_or_else(|_| "nothing".to_owned())
}

async fn answer(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    loop {
        let mut head = [0; 9];
        if stream.read_exact(&mut head).await.is_err() {
            return if text.is_empty() { "reset".to_owned() } else { text };
        }
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        match head[3] {
            HEADERS => text = status(&payload).to_string(),
            DATA if text == "200" => text = format!("200 {}", str::from_utf8(&payload).unwrap().trim_end()),
            RST_STREAM | GOAWAY if text.is_empty() => return "reset".to_owned(),
            _ => {}
        }
        if matches!(head[3], HEADERS | DATA) && head[4] & END_STREAM != 0 {
            return text;
        }
    }
}

fn bearer() -> &'static str {
    assert_eq!(ALICE, "demo-alice");
    "Bearer demo-alice"
}

/// A good GET of `/admin/`, with these fields changed, or left out where the value is `None`, and those added.
fn get<'a>(changes: &[(&'a str, Option<&'a str>)], more: &[(&'a str, &'a str)]) -> Fields<'a> {
    let good = [
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "app.example.com"),
        (":path", "/admin/"),
        ("authorization", bearer()),
    ];
    let changed = good.into_iter().filter_map(|(name, value)| {
        let change = changes.iter().find(|(other, _)| *other == name);
        change
            .map_or(Some(value), |(_, value)| *value)
            .map(|value| (name, value))
    });
    changed.chain(more.iter().copied()).collect()
}

const DOORS: &[Door] = &[
    Door::Axum,
    Door::Hyper,
    #[cfg(feature = "pingora")]
    Door::Pingora,
];

async fn target(door: Door, grants: Grants) -> Target {
    Target::start(door, grants, ([127, 0, 0, 1], 0).into())
        .await
        .unwrap()
}

async fn check(grants: Grants, rows: &[(Fields<'_>, &str)]) {
    for &door in DOORS {
        let target = target(door, grants).await;
        for (fields, expected) in rows {
            // Pingora wants `Host` to be `:authority` to the byte, and refuses the rest by itself.
            let strict = door.as_str() == "pingora" && fields.contains(&("host", "App.Example.com:80"));
            let expected = if strict { "400" } else { expected };
            let got = send(&target, fields, None, None).await;
            assert_eq!(got, expected, "{door} {fields:?}");
        }
    }
}

#[tokio::test]
async fn pseudo_header_fields_are_read_as_a_target() {
    let authority = |value| get(&[(":authority", value)], &[]);
    let path = |value| get(&[(":path", value)], &[]);
    let scheme = |value| get(&[(":scheme", value)], &[]);
    let host = |authority, hosts: &[&'static str]| {
        let hosts: Vec<_> = hosts.iter().map(|host| ("host", *host)).collect();
        get(&[(":authority", authority)], &hosts)
    };
    let rows = [
        (get(&[], &[]), "200 admin"),
        (authority(Some("APP.example.com.:8080")), "200 admin"),
        (authority(Some("evil.example")), "421"),
        (authority(Some("u@app.example.com")), "400"),
        (authority(Some("app..example.com")), "400"),
        (authority(Some("app.example.com:0")), "400"),
        (authority(None), "400"),
        (host(None, &["app.example.com"]), "200 admin"),
        (host(None, &["evil.example"]), "421"),
        (host(None, &["app.example.com", "app.example.com"]), "400"),
        (host(Some("app.example.com"), &["app.example.com"]), "200 admin"),
        (
            host(Some("app.example.com"), &["App.Example.com:80"]),
            "200 admin",
        ),
        (host(Some("app.example.com"), &["evil.example"]), "400"),
        (host(Some("evil.example"), &["app.example.com"]), "400"),
        (host(Some("app.example.com"), &["app.example.com:443"]), "400"),
        (
            host(Some("app.example.com"), &["app.example.com", "evil.example"]),
            "400",
        ),
        (host(Some("app.example.com"), &[""]), "400"),
        (scheme(Some("https")), "200 admin"),
        (scheme(Some("ftp")), "400"),
        (path(Some("/public/a?x=/../admin")), "200 public"),
        (path(Some("/%61dmin/")), "200 admin"),
        (path(Some("/ADMIN/")), "403"),
        (path(Some("/admin;x")), "403"),
        (path(Some("//admin/")), "400"),
        (path(Some("//app.example.com/admin/")), "400"),
        (path(Some("/public/../admin/")), "400"),
        (path(Some("/public/%2e%2e/admin/")), "400"),
        (path(Some("/public/..;/admin/")), "400"),
        (path(Some("/admin%2fx")), "400"),
        (path(Some("/admin/%00")), "400"),
        (path(Some("*")), "400"),
    ];
    check(Grants::Admin, &rows).await;
    let rows = [
        (get(&[], &[]), "403"),
        (get(&[("authorization", None)], &[]), "401"),
        (path(Some("/public/a")), "200 public"),
        (path(Some("/public/a#/../admin/")), "200 public"),
        (path(Some("/admin#/../public")), "403"),
        (host(None, &["app.example.com"]), "403"),
    ];
    check(Grants::None, &rows).await;
}

#[tokio::test]
async fn a_path_that_is_none_reaches_no_handler() {
    for &door in DOORS {
        let target = target(door, Grants::Admin).await;
        for path in [
            "admin/",
            "",
            "?",
            "?/admin/",
            ".",
            "../admin/",
            "admin",
            "http://app.example.com/admin/",
            "/admin /",
            "/admin\u{0}",
            "/adm\u{ff}n",
            "\\admin",
            "/admin\\",
            "app.example.com:80",
            "/admin\r\nx: y",
            "/\u{1}",
        ] {
            let got = send(&target, &get(&[(":path", Some(path))], &[]), None, None).await;
            assert!(["400", "reset"].contains(&got.as_str()), "{door} {path:?}: {got}");
        }
    }
}

#[tokio::test]
async fn malformed_requests_reach_no_handler() {
    let again = |name, value| get(&[], &[(name, value)]);
    let first = |name, value| {
        let mut fields = get(&[], &[]);
        fields.insert(0, (name, value));
        fields
    };
    let rows = [
        get(&[(":method", None)], &[]),
        get(&[(":path", None)], &[]),
        get(&[(":scheme", None)], &[]),
        get(&[(":scheme", Some(""))], &[]),
        get(&[(":scheme", Some("ht tp"))], &[]),
        get(&[(":method", Some(""))], &[]),
        get(&[(":method", Some("G ET"))], &[]),
        get(&[(":authority", Some("app.example.com, evil.example"))], &[]),
        get(&[(":authority", Some("app.example.com/x"))], &[]),
        get(&[(":authority", Some("[::1"))], &[]),
        first(":path", "/public/a"),
        first(":method", "GET"),
        first(":authority", "app.example.com"),
        first(":status", "200"),
        first(":foo", "bar"),
        first("x-first", "y"),
        again(":path", "/public/a"),
        again("Authorization", "Bearer demo-bob"),
        again("X-Upper", "y"),
        again("connection", "close"),
        again("connection", "authorization"),
        again("keep-alive", "1"),
        again("proxy-connection", "close"),
        again("transfer-encoding", "chunked"),
        again("upgrade", "websocket"),
        again("te", "gzip"),
        again("x y", "z"),
        again("x:y", "z"),
        again("", "z"),
        again("x", "a\r\nb: c"),
        again("x", "a\u{0}"),
        again("x", "a\nb"),
        again("content-length", "1"),
        again("content-length", "+0"),
        again("authorization", "Bearer demo-alice"),
        get(&[], &[("cookie", "__Host-jit=a"), ("cookie", "__Host-jit=b")]),
    ];
    for &door in DOORS {
        let target = target(door, Grants::Admin).await;
        for fields in &rows {
            let got = send(&target, fields, None, None).await;
            assert!(
                ["400", "reset"].contains(&got.as_str()),
                "{door} {fields:?}: {got}"
            );
        }
    }
}

#[tokio::test]
async fn connect_and_trace_reach_no_handler() {
    let method = |method, path| get(&[(":method", Some(method)), (":path", Some(path))], &[]);
    for &door in DOORS {
        let target = target(door, Grants::Admin).await;
        for path in ["/admin/ws", "/public/ws"] {
            let mut extended = method("CONNECT", path);
            extended.insert(1, (":protocol", "websocket"));
            let mut other = method("GET", path);
            other.insert(1, (":protocol", "websocket"));
            let mut plain = method("CONNECT", path);
            plain.retain(|(name, _)| !matches!(*name, ":path" | ":scheme"));
            for fields in [
                extended,
                other,
                plain,
                method("CONNECT", path),
                method("TRACE", path),
                method("trace", path),
            ] {
                let got = send(&target, &fields, None, None).await;
                assert!(
                    ["400", "403", "405", "reset"].contains(&got.as_str()),
                    "{door} {fields:?}: {got}"
                );
            }
        }
        let fields = method("OPTIONS", "*");
        assert_eq!(send(&target, &fields, None, None).await, "403", "{door}");
    }
}

#[tokio::test]
async fn trailers_reach_no_handler() {
    let post = |path| get(&[(":method", Some("POST")), (":path", Some(path))], &[]);
    for &door in DOORS {
        let target = target(door, Grants::OtherUser).await;
        for trailer in [
            ("x-original-url", "/admin/"),
            ("x_rewrite.url", "/admin/"),
            ("x-http-method-override", "DELETE"),
            ("x-forwarded-prefix", "/admin"),
        ] {
            let got = send(&target, &post("/public/a"), Some("a"), Some(&vec![trailer])).await;
            assert_eq!(got, "200 public", "{door} {trailer:?}");
            let got = send(&target, &post("/admin/"), Some("a"), Some(&vec![trailer])).await;
            assert_eq!(got, "403", "{door} {trailer:?}");
        }
        // The decision on the header is made already; the malformed trailers must not change what it was.
        let got = send(
            &target,
            &post("/public/a"),
            Some("a"),
            Some(&vec![(":path", "/admin/")]),
        )
        .await;
        assert!(["200 public", "reset"].contains(&got.as_str()), "{door}: {got}");
    }
}
