use std::collections::BTreeMap;

use envoy_types::ext_authz::v3::pb::{Address, CheckRequest, HeaderAppendAction, HeaderValue, HttpResponse};
use envoy_types::pb::envoy::config::core::v3;
use envoy_types::pb::envoy::service::auth::v3::AttributeContext;
use envoy_types::pb::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request};
use envoy_types::pb::envoy::service::auth::v3::authorization_client::AuthorizationClient;

use crate::world::{Door, HOST, World, settings};

const BEARER: (&str, &str) = ("authorization", "Bearer token-alice");

fn asked(fields: &[(&str, &str)]) -> HttpRequest {
    HttpRequest {
        method: "GET".to_owned(),
        path: "/admin".to_owned(),
        host: HOST.to_owned(),
        scheme: "https".to_owned(),
        protocol: "HTTP/2".to_owned(),
        headers: fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..HttpRequest::default()
    }
}

fn raw(http: HttpRequest, fields: &[(&str, &[u8])]) -> HttpRequest {
    let headers = fields.iter().map(|(name, value)| HeaderValue {
        key: (*name).to_owned(),
        raw_value: value.to_vec(),
        ..HeaderValue::default()
    });
    HttpRequest {
        headers: Default::default(),
        header_map: Some(v3::HeaderMap {
            headers: headers.collect(),
        }),
        ..http
    }
}

fn from(address: Option<Address>, http: Option<HttpRequest>) -> CheckRequest {
    CheckRequest {
        attributes: Some(AttributeContext {
            source: Some(Peer {
                address: Some(v3::Address { address }),
                ..Peer::default()
            }),
            request: Some(Request { time: None, http }),
            ..AttributeContext::default()
        }),
    }
}

#[derive(Debug, Default)]
struct Answer {
    code: i32,
    /// 200 if it allows.
    status: i32,
    headers: BTreeMap<String, String>,
    removed: Vec<String>,
    body: String,
}

async fn check(door: &Door, request: CheckRequest) -> Answer {
    let mut client = AuthorizationClient::connect(format!("http://{}", door.address))
        .await
        .unwrap();
    let response = client.check(request).await.unwrap().into_inner();
    let code = response.status.unwrap().code;
    let (status, headers, removed, body) = match response.http_response.unwrap() {
        HttpResponse::OkResponse(ok) => (200, ok.headers, ok.headers_to_remove, String::new()),
        HttpResponse::DeniedResponse(no) => (no.status.unwrap().code, no.headers, Vec::new(), no.body),
        other @ HttpResponse::ErrorResponse(_) => panic!("{other:?}"),
    };
    assert_eq!(code == 0, status == 200);
    let headers = headers.into_iter().map(|field| {
        assert_eq!(field.append_action(), HeaderAppendAction::OverwriteIfExistsOrAdd);
        let field = field.header.unwrap();
        (field.key, field.value)
    });
    Answer {
        code,
        status,
        headers: headers.collect(),
        removed,
        body,
    }
}

#[tokio::test]
async fn what_is_granted_passes_and_nothing_forged_goes_with_it() {
    let world = World::granted();
    let door = world.serve().await;
    let http = asked(&[
        BEARER,
        (":method", "GET"),
        (":path", "/admin"),
        (":authority", HOST),
        (":scheme", "https"),
        ("remote-user", "root"),
        ("remote_user", "root"),
        ("x-jit-grant", "grt_forged"),
        ("x-original-url", "/public"),
        ("x-forwarded-for", "192.0.2.1"),
        ("cookie", "a=1"),
        ("te", "trailers"),
        ("accept", "*/*"),
    ]);
    let answer = check(&door, from(None, Some(http))).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["remote-user"], "local|alice");
    assert_eq!(answer.headers["remote-groups"], "on-call,sre");
    assert!(answer.headers["x-jit-grant"].starts_with("grt_0"));
    assert!(answer.headers.contains_key("x-jit-expires"));
    assert!(!answer.headers.contains_key("cookie"), "it stays as it is");
    let mut removed = answer.removed;
    removed.sort();
    assert_eq!(removed, ["authorization", "remote_user", "x-original-url"]);

    let http = HttpRequest {
        path: "/".to_owned(),
        ..asked(&[("remote-user", "root")])
    };
    let answer = check(&door, from(None, Some(http))).await;
    assert_eq!((answer.status, answer.headers.len()), (200, 0));
    assert!(
        ["remote-user", "remote-groups", "x-jit-grant", "x-jit-expires"]
            .iter()
            .all(|name| answer.removed.contains(&(*name).to_owned()))
    );
}

#[tokio::test]
async fn a_cookie_that_is_no_text_does_not_keep_the_gates_own() {
    let world = World::granted();
    let door = world.serve().await;
    let cookie = b"a=\xff; __Host-jit=token-alice".as_slice();
    let http = raw(asked(&[]), &[("cookie", cookie)]);
    let answer = check(&door, from(None, Some(http))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(!answer.headers.contains_key("cookie"), "{answer:?}");
    assert!(answer.removed.contains(&"cookie".to_owned()), "{answer:?}");
    // What the gate did not change stays.
    let http = raw(
        asked(&[]),
        &[("authorization", BEARER.1.as_bytes()), ("cookie", b"a=\xff")],
    );
    let answer = check(&door, from(None, Some(http))).await;
    assert!(!answer.removed.contains(&"cookie".to_owned()), "{answer:?}");
}

#[tokio::test]
async fn odd_attributes_are_refused() {
    let world = World::granted();
    let door = world.serve().await;
    let good = || asked(&[BEARER]);
    let mut rows: Vec<(CheckRequest, i32, &str)> = vec![
        (CheckRequest { attributes: None }, 400, "metadata-missing"),
        (
            CheckRequest {
                attributes: Some(AttributeContext::default()),
            },
            400,
            "metadata-missing",
        ),
        (from(None, None), 400, "metadata-missing"),
        (from(None, Some(HttpRequest::default())), 400, "metadata-missing"),
    ];
    for (http, status, kind) in [
        (
            HttpRequest {
                method: String::new(),
                ..good()
            },
            400,
            "metadata-missing",
        ),
        (
            HttpRequest {
                method: "G T".to_owned(),
                ..good()
            },
            400,
            "metadata-malformed",
        ),
        (
            HttpRequest {
                host: String::new(),
                ..good()
            },
            400,
            "metadata-missing",
        ),
        (
            HttpRequest {
                host: "a, b".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                host: "b.example.com".to_owned(),
                ..good()
            },
            421,
            "unknown-host",
        ),
        (
            HttpRequest {
                path: String::new(),
                ..good()
            },
            400,
            "metadata-missing",
        ),
        (
            HttpRequest {
                path: "admin".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                path: "/x#/../admin".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                path: "/x/../admin".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                path: "//app.example.com/x".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                path: "/x\u{e4}".to_owned(),
                ..good()
            },
            400,
            "bad-request-target",
        ),
        (
            HttpRequest {
                query: "x".to_owned(),
                ..good()
            },
            400,
            "metadata-doubled",
        ),
        (
            HttpRequest {
                fragment: "x".to_owned(),
                ..good()
            },
            400,
            "metadata-doubled",
        ),
        (
            HttpRequest {
                scheme: "gopher".to_owned(),
                ..good()
            },
            400,
            "metadata-malformed",
        ),
        (asked(&[BEARER, (":path", "/")]), 400, "metadata-contradicted"),
        (
            asked(&[BEARER, (":method", "POST")]),
            400,
            "metadata-contradicted",
        ),
        (
            asked(&[BEARER, (":authority", "b.example.com")]),
            400,
            "metadata-contradicted",
        ),
        (
            asked(&[BEARER, ("host", "b.example.com")]),
            400,
            "metadata-contradicted",
        ),
        (asked(&[BEARER, ("hOST", HOST)]), 400, "metadata-malformed"),
        (
            asked(&[BEARER, (":scheme", "http")]),
            400,
            "metadata-contradicted",
        ),
        (asked(&[BEARER, (":status", "200")]), 400, "metadata-malformed"),
        (asked(&[BEARER, ("a b", "c")]), 400, "metadata-malformed"),
        (asked(&[BEARER, ("a", "b\r\nc: d")]), 400, "metadata-malformed"),
        (asked(&[BEARER, ("upgrade", "websocket")]), 403, "upgrade-refused"),
        (
            asked(&[BEARER, ("x-original-connection", "remote-user")]),
            400,
            "bad-request-headers",
        ),
        (
            asked(&[BEARER, (":protocol", "websocket")]),
            403,
            "upgrade-refused",
        ),
        (
            asked(&[("authorization", "Bearer token-alice,Bearer token-alice")]),
            401,
            "unauthenticated",
        ),
        (asked(&[]), 401, "unauthenticated"),
        (
            raw(
                good(),
                &[
                    ("authorization", b"Bearer token-alice"),
                    ("authorization", b"Bearer token-bob"),
                ],
            ),
            400,
            "bad-request-headers",
        ),
        (
            raw(good(), &[(":path", b"/admin"), (":path", b"/admin")]),
            400,
            "metadata-doubled",
        ),
        (
            raw(
                good(),
                &[("host", b"app.example.com"), ("host", b"app.example.com")],
            ),
            400,
            "metadata-doubled",
        ),
        (raw(good(), &[("a", b"b\0")]), 400, "metadata-malformed"),
        (
            HttpRequest {
                headers: good().headers,
                ..raw(good(), &[("authorization", b"Bearer token-alice")])
            },
            400,
            "metadata-doubled",
        ),
    ] {
        rows.push((from(None, Some(http)), status, kind));
    }
    let nowhere = Address::SocketAddress(v3::SocketAddress {
        address: "somewhere".to_owned(),
        ..v3::SocketAddress::default()
    });
    rows.push((from(Some(nowhere), Some(good())), 400, "metadata-malformed"));
    for (request, status, kind) in rows {
        let text = format!("{request:?}");
        let answer = check(&door, request).await;
        assert_eq!(
            (answer.status, answer.headers["x-jit-refusal"].as_str()),
            (status, kind),
            "{text}"
        );
        assert_eq!(answer.code, if status == 401 { 16 } else { 7 });
        assert!(answer.body.contains(kind), "{answer:?}");
    }
    for http in [
        good(),
        raw(
            good(),
            &[
                ("authorization", b"Bearer token-alice"),
                ("x", b"\xff"),
                (":path", b"/admin"),
            ],
        ),
        HttpRequest {
            scheme: String::new(),
            ..good()
        },
    ] {
        assert_eq!(check(&door, from(None, Some(http))).await.status, 200);
    }
}

#[tokio::test]
async fn the_clients_address_and_a_browsers_way() {
    let world = World::new();
    let door = world.serve_with(settings().with_page("/ask").unwrap()).await;
    let client = Address::SocketAddress(v3::SocketAddress {
        address: "192.0.2.1".to_owned(),
        ..v3::SocketAddress::default()
    });
    let http = asked(&[BEARER, ("accept", "text/html"), ("x-forwarded-for", "6.6.6.6")]);
    let answer = check(&door, from(Some(client), Some(http))).await;
    assert_eq!(answer.status, 303);
    let location =
        "/ask?reason=approval-required&resource=admin&return=https%3A%2F%2Fapp.example.com%2Fadmin";
    assert_eq!(answer.headers["location"], location);
    let peers = world.tokens.peers.lock().unwrap();
    assert!(
        peers
            .iter()
            .all(|peer| *peer == Some("192.0.2.1".parse().unwrap())),
        "{peers:?}"
    );
}

#[tokio::test]
async fn a_question_that_is_too_large_is_an_error() {
    let world = World::granted();
    let door = world.serve().await;
    let mut client = AuthorizationClient::connect(format!("http://{}", door.address))
        .await
        .unwrap();
    let long = "x".repeat(300 * 1024);
    let request = from(None, Some(asked(&[BEARER, ("a", &long)])));
    assert!(client.check(request).await.is_err());
}
