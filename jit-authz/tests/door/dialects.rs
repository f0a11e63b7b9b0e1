use std::net::IpAddr;

use jit_authz::AuthzSettings;
use jit_core::gate::hygiene::TrustedProxies;
use serde_json::Value;

use crate::world::{Answer, Door, HOST, World, settings};

type Fields<'a> = Vec<(&'a str, &'a str)>;

const AUTH_REQUEST: &str = "/authz/auth-request";
const FORWARD_AUTH: &str = "/authz/forward-auth";
const ALICE: (&str, &str) = ("authorization", "Bearer token-alice");
const BROWSER: (&str, &str) = ("accept", "text/html,application/xhtml+xml,*/*;q=0.8");

fn forwarded<'a>(method: &'a str, path: &'a str) -> Fields<'a> {
    vec![
        ALICE,
        ("x-forwarded-method", method),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", HOST),
        ("x-forwarded-uri", path),
    ]
}

fn original<'a>(method: &'a str, path: &'a str) -> Fields<'a> {
    vec![
        ALICE,
        ("x-original-method", method),
        ("x-original-proto", "https"),
        ("x-original-host", HOST),
        ("x-original-uri", path),
    ]
}

fn original_url<'a>(method: &'a str, url: &'a str) -> Fields<'a> {
    vec![ALICE, ("x-original-method", method), ("x-original-url", url)]
}

fn without<'a>(mut fields: Fields<'a>, name: &str) -> Fields<'a> {
    fields.retain(|field| field.0 != name);
    fields
}

fn with<'a>(mut fields: Fields<'a>, name: &'a str, value: &'a str) -> Fields<'a> {
    fields.push((name, value));
    fields
}

fn instead<'a>(fields: Fields<'a>, name: &'a str, value: &'a str) -> Fields<'a> {
    with(without(fields, name), name, value)
}

fn refusal(answer: &Answer) -> &str {
    answer.header("x-jit-refusal").unwrap_or("none")
}

async fn check(door: &Door, path: &str, fields: Fields<'_>, expected: (u16, &str)) {
    let answer = door.ask(path, &fields).await;
    assert_eq!(
        (answer.status, refusal(&answer)),
        expected,
        "{path} {fields:?} {answer:?}"
    );
}

#[tokio::test]
async fn what_is_granted_or_open_passes_in_every_dialect() {
    let world = World::granted();
    let door = world.serve().await;
    for (path, fields) in [
        (FORWARD_AUTH, forwarded("GET", "/admin/x?y=/..")),
        (FORWARD_AUTH, forwarded("DELETE", "/%61dmin")),
        (
            "/authz/forward-auth?client=query&x=%2e",
            forwarded("GET", "/admin"),
        ),
        (AUTH_REQUEST, original("GET", "/admin")),
        (
            AUTH_REQUEST,
            original_url("PATCH", "https://app.example.com:8443/admin/"),
        ),
        ("/authz/ext-authz/admin/x?y=1", vec![ALICE, ("host", HOST)]),
    ] {
        let answer = door.ask(path, &fields).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, ""),
            "{path} {fields:?}"
        );
        assert_eq!(answer.header("remote-user"), Some("local|alice"));
        assert_eq!(answer.header("remote-groups"), Some("on-call,sre"));
        assert!(answer.header("x-jit-grant").unwrap().starts_with("grt_"));
        assert!(answer.header("x-jit-expires").unwrap().ends_with('Z'));
        assert_eq!(
            answer.header("authorization"),
            None,
            "the gate's token stays here"
        );
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    for fields in [
        forwarded("GET", "/"),
        without(forwarded("GET", "/public"), "authorization"),
    ] {
        let answer = door.ask(FORWARD_AUTH, &fields).await;
        assert_eq!((answer.status, answer.header("x-jit-grant")), (200, None));
        let named = fields.contains(&ALICE).then_some("local|alice");
        assert_eq!(answer.header("remote-user"), named);
    }
}

#[tokio::test]
async fn what_a_balancer_does_not_say_or_says_twice_is_refused() {
    let world = World::granted();
    let door = world.serve().await;
    let fields = || forwarded("GET", "/admin");
    for name in [
        "x-forwarded-method",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-forwarded-uri",
    ] {
        let value = fields().into_iter().find(|field| field.0 == name).unwrap().1;
        let under = name.replace('-', "_");
        let dotted = name.replace('-', ".");
        let mixed = name.replacen('-', "!", 1);
        check(
            &door,
            FORWARD_AUTH,
            without(fields(), name),
            (400, "metadata-missing"),
        )
        .await;
        check(
            &door,
            FORWARD_AUTH,
            instead(fields(), name, ""),
            (400, "metadata-missing"),
        )
        .await;
        check(
            &door,
            FORWARD_AUTH,
            with(fields(), name, value),
            (400, "metadata-doubled"),
        )
        .await;
        for alias in [&under, &dotted, &mixed] {
            check(
                &door,
                FORWARD_AUTH,
                with(fields(), alias, value),
                (400, "metadata-alias"),
            )
            .await;
            check(
                &door,
                FORWARD_AUTH,
                with(without(fields(), name), alias, value),
                (400, "metadata-alias"),
            )
            .await;
        }
    }
    for (name, value, kind) in [
        ("x-forwarded-method", "GET, POST", "metadata-malformed"),
        ("x-forwarded-method", "G T", "metadata-malformed"),
        ("x-forwarded-proto", "https, http", "metadata-malformed"),
        ("x-forwarded-proto", "HTTPS", "metadata-malformed"),
        ("x-forwarded-proto", "ftp", "metadata-malformed"),
        (
            "x-forwarded-host",
            "app.example.com, b.example.com",
            "bad-request-target",
        ),
        ("x-forwarded-host", "app.example.com/", "bad-request-target"),
        ("x-forwarded-host", "u@app.example.com", "bad-request-target"),
        ("x-forwarded-host", "app.example.com?", "bad-request-target"),
        ("x-forwarded-uri", "admin", "bad-request-target"),
        (
            "x-forwarded-uri",
            "http://app.example.com/admin",
            "bad-request-target",
        ),
        ("x-forwarded-uri", "//app.example.com/admin", "bad-request-target"),
        ("x-forwarded-uri", "/admin#", "bad-request-target"),
        ("x-forwarded-uri", "/public#/../admin", "bad-request-target"),
        ("x-forwarded-uri", "/public/a, /admin", "bad-request-target"),
        ("x-forwarded-uri", "/admin/../admin", "bad-request-target"),
        ("x-forwarded-uri", "/admin%2f", "bad-request-target"),
        ("x-forwarded-uri", "*", "bad-request-target"),
        ("x-forwarded-for", "unknown", "metadata-malformed"),
        ("x-forwarded-for", "", "metadata-malformed"),
    ] {
        check(&door, FORWARD_AUTH, instead(fields(), name, value), (400, kind)).await;
    }
    for (method, status) in [("CONNECT", 400), ("OPTIONS", 200)] {
        let answer = door.ask(FORWARD_AUTH, &forwarded(method, "/admin")).await;
        assert_eq!(answer.status, status, "{method}");
    }
    let twice = with(
        with(fields(), "x-forwarded-for", "192.0.2.1"),
        "x-forwarded-for",
        "192.0.2.1",
    );
    check(&door, FORWARD_AUTH, twice, (400, "metadata-doubled")).await;
    check(
        &door,
        FORWARD_AUTH,
        instead(fields(), "x-forwarded-host", "b.example.com"),
        (421, "unknown-host"),
    )
    .await;
}

#[tokio::test]
async fn no_dialect_stands_in_for_another() {
    let world = World::granted();
    let door = world.serve().await;
    let url = "https://app.example.com/admin";
    for (path, fields, expected) in [
        (FORWARD_AUTH, original("GET", "/admin"), (400, "metadata-missing")),
        (FORWARD_AUTH, original_url("GET", url), (400, "metadata-missing")),
        (
            AUTH_REQUEST,
            forwarded("GET", "/admin"),
            (403, "metadata-missing"),
        ),
        (
            "/authz/ext-authz/admin",
            forwarded("GET", "/public"),
            (421, "unknown-host"),
        ),
        (
            "/authz/ext-authz/admin",
            vec![ALICE, ("host", HOST), ("x_forwarded_uri", "/")],
            (400, "metadata-alias"),
        ),
        (
            "/authz/ext-authz/admin",
            vec![ALICE, ("host", HOST), ("x-forwarded-proto", "gopher")],
            (400, "metadata-malformed"),
        ),
        (
            "/authz/ext-authz",
            vec![ALICE, ("host", HOST)],
            (404, "no-endpoint"),
        ),
        (
            "/authz/ext-authzadmin",
            vec![ALICE, ("host", HOST)],
            (404, "no-endpoint"),
        ),
        (
            "/authz/ext-authz//admin",
            vec![ALICE, ("host", HOST)],
            (400, "bad-request-target"),
        ),
        (
            "/authz/ext-authz/../auth-request",
            vec![ALICE, ("host", HOST)],
            (400, "bad-request-target"),
        ),
        (
            "/authz/ext-authz/public/..;/admin",
            vec![ALICE, ("host", HOST)],
            (400, "bad-request-target"),
        ),
        (
            "/authz/forward-auth/",
            forwarded("GET", "/admin"),
            (404, "no-endpoint"),
        ),
        (
            "/authz/Forward-Auth",
            forwarded("GET", "/admin"),
            (404, "no-endpoint"),
        ),
        ("/", forwarded("GET", "/admin"), (404, "no-endpoint")),
        (
            "/authz/%66orward-auth",
            forwarded("GET", "/admin"),
            (404, "no-endpoint"),
        ),
    ] {
        check(&door, path, fields, expected).await;
    }
    let twice = format!(
        "GET /authz/ext-authz/admin HTTP/1.1\r\nHost: {HOST}\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"
    );
    let answer = door.raw(twice.as_bytes()).await;
    assert!(!(200..300).contains(&answer.status), "{answer:?}");
}

#[tokio::test]
async fn nginx_hears_nothing_but_401_and_403() {
    let world = World::granted();
    let door = world.serve_with(settings().with_page("/_jit/ask").unwrap()).await;
    let both = with(
        original("GET", "/admin"),
        "x-original-url",
        "https://app.example.com/",
    );
    for (fields, status, told) in [
        (
            without(original("GET", "/admin"), "authorization"),
            401,
            ("401", "unauthenticated"),
        ),
        (original("GET", "/billing"), 403, ("403", "approval-required")),
        (original("GET", "/admin/../x"), 403, ("400", "bad-request-target")),
        (
            instead(original("GET", "/"), "x-original-host", "b.example.com"),
            403,
            ("421", "unknown-host"),
        ),
        (
            instead(original("GET", "/"), "x-original-host", "app.example.com?"),
            403,
            ("400", "bad-request-target"),
        ),
        (
            original_url("GET", "https://app.example.com?/admin"),
            403,
            ("400", "bad-request-target"),
        ),
        (
            original_url("GET", "https://user@app.example.com/admin"),
            403,
            ("400", "bad-request-target"),
        ),
        (original_url("GET", "/admin"), 403, ("400", "metadata-malformed")),
        (both, 403, ("400", "metadata-doubled")),
        (
            without(original("GET", "/admin"), "x-original-method"),
            403,
            ("400", "metadata-missing"),
        ),
        (
            without(original("GET", "/admin"), "x-original-host"),
            403,
            ("400", "metadata-missing"),
        ),
        (
            without(original("GET", "/admin"), "x-original-proto"),
            403,
            ("400", "metadata-missing"),
        ),
        (
            without(original("GET", "/admin"), "x-original-uri"),
            403,
            ("400", "metadata-missing"),
        ),
        (
            with(original("GET", "/admin"), "x-original-uri", "/"),
            403,
            ("400", "metadata-doubled"),
        ),
        (
            with(original("GET", "/admin"), "x_original_uri", "/"),
            403,
            ("400", "metadata-alias"),
        ),
        (
            with(
                original_url("GET", "https://app.example.com/"),
                "x.original.url",
                "x",
            ),
            403,
            ("400", "metadata-alias"),
        ),
        (
            with(
                original_url("GET", "https://app.example.com/"),
                "x-original-url",
                "x",
            ),
            403,
            ("400", "metadata-doubled"),
        ),
    ] {
        let answer = door.ask(AUTH_REQUEST, &fields).await;
        let says = (answer.header("x-jit-status").unwrap(), refusal(&answer));
        assert_eq!((answer.status, says), (status, told), "{fields:?}");
        let problem: Value = serde_json::from_str(answer.header("x-jit-problem").unwrap()).unwrap();
        assert_eq!(problem["status"].to_string(), told.0);
        assert_eq!(problem["type"], format!("/_jit/problems/{}", told.1));
        assert_eq!(answer.header("location"), None, "a program is sent nowhere");
    }
    world.clock.advance(std::time::Duration::from_secs(3600));
    let answer = door.ask(AUTH_REQUEST, &original("GET", "/admin")).await;
    assert_eq!(
        (answer.status, answer.header("x-jit-status")),
        (403, Some("503")),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_browser_is_sent_to_the_page_and_a_program_is_told() {
    let world = World::new();
    let page = settings()
        .with_page("https://access.example.com/ask?v=1")
        .unwrap();
    let door = world
        .serve_with(page.with_control("https://access.example.com/_jit/").unwrap())
        .await;
    let ask = || forwarded("GET", "/admin/a b?c=d&e".split(' ').next().unwrap());
    let back = "return=https%3A%2F%2Fapp.example.com%2Fadmin%2Fa";
    let start = "https://access.example.com/ask?v=1&reason=";
    let required = format!("{start}approval-required&resource=admin&{back}");
    let anonymous = format!("{start}unauthenticated&{back}");

    let answer = door.ask(FORWARD_AUTH, &with(ask(), BROWSER.0, BROWSER.1)).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(required.as_str()))
    );
    let stranger = with(without(ask(), "authorization"), BROWSER.0, BROWSER.1);
    let answer = door.ask(FORWARD_AUTH, &stranger).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (303, Some(anonymous.as_str()))
    );
    assert!(!answer.body.contains("admin"), "{answer:?}");
    let nginx = with(original("GET", "/admin/a"), BROWSER.0, BROWSER.1);
    let answer = door.ask(AUTH_REQUEST, &nginx).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (403, Some(required.as_str()))
    );

    let post = with(instead(ask(), "x-forwarded-method", "POST"), BROWSER.0, BROWSER.1);
    let script = with(with(ask(), BROWSER.0, BROWSER.1), "sec-fetch-mode", "cors");
    let frame = with(
        with(with(ask(), BROWSER.0, BROWSER.1), "sec-fetch-mode", "navigate"),
        "sec-fetch-dest",
        "iframe",
    );
    for (fields, kind) in [
        (ask(), "application/problem+json"),
        (script, "application/problem+json"),
        (post, "text/html; charset=utf-8"),
        (frame, "text/html; charset=utf-8"),
    ] {
        let answer = door.ask(FORWARD_AUTH, &fields).await;
        assert_eq!(
            (answer.status, answer.header("location")),
            (403, None),
            "{fields:?}"
        );
        assert_eq!(answer.header("content-type"), Some(kind), "{fields:?}");
        assert!(
            answer
                .body
                .contains("https://access.example.com/_jit/v1/requests"),
            "{answer:?}"
        );
    }
    let bad = with(
        instead(ask(), "x-forwarded-uri", "/admin//"),
        BROWSER.0,
        BROWSER.1,
    );
    let answer = door.ask(FORWARD_AUTH, &bad).await;
    assert_eq!(
        (answer.status, answer.header("location")),
        (400, None),
        "no page helps there"
    );
    let answer = door.ask(FORWARD_AUTH, &without(ask(), "authorization")).await;
    assert_eq!(
        (answer.status, answer.header("www-authenticate")),
        (401, Some("Bearer"))
    );
}

#[tokio::test]
async fn a_page_far_away_gets_no_endless_address() {
    let world = World::new();
    let door = world.serve_with(settings().with_page("/ask").unwrap()).await;
    let long = format!("/admin?q={}", "x".repeat(4000));
    let answer = door
        .ask(FORWARD_AUTH, &with(forwarded("GET", &long), BROWSER.0, BROWSER.1))
        .await;
    assert_eq!(
        answer.header("location"),
        Some("/ask?reason=approval-required&resource=admin")
    );
}

#[tokio::test]
async fn the_gates_credential_goes_and_the_applications_stays() {
    let world = World::granted();
    let door = world.serve().await;
    for (fields, authorization, cookie) in [
        (vec![ALICE, ("cookie", "a=1; b=2")], None, Some("a=1; b=2")),
        (
            vec![
                ("authorization", "Basic YTpi"),
                ("cookie", "a=1; __Host-jit=token-alice; b=2"),
            ],
            Some("Basic YTpi"),
            Some("a=1; b=2"),
        ),
        (vec![("cookie", "__Host-jit=token-alice")], None, None),
        (
            vec![
                ("cookie", "a=1"),
                ("cookie", "__Host-jit=token-alice"),
                ("cookie", "b=2"),
            ],
            None,
            Some("a=1; b=2"),
        ),
    ] {
        let mut asked = without(forwarded("GET", "/admin"), "authorization");
        asked.extend(fields);
        let answer = door.ask(FORWARD_AUTH, &asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("authorization"), authorization, "{asked:?}");
        assert_eq!(answer.header("cookie"), cookie, "{asked:?}");
    }
    let envoy = [
        ALICE,
        ("host", HOST),
        ("cookie", "a=1"),
        ("remote-user", "root"),
        ("x.jit.grant", "forged"),
        ("x-original-url", "/public"),
        ("x-forwarded-for", "192.0.2.1"),
    ];
    let answer = door.ask("/authz/ext-authz/admin", &envoy).await;
    assert_eq!(
        answer.header("x-envoy-auth-headers-to-remove"),
        Some("x.jit.grant,x-original-url,authorization")
    );
    let answer = door.ask("/authz/ext-authz/", &[("host", HOST)]).await;
    let all = "remote-user,remote-groups,x-jit-grant,x-jit-expires,authorization,cookie";
    assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), Some(all));
    let doubled = with(forwarded("GET", "/admin"), "authorization", "Bearer token-bob");
    check(&door, FORWARD_AUTH, doubled, (400, "bad-request-headers")).await;
}

#[tokio::test]
async fn a_credential_of_a_grant_never_reaches_the_upstream() {
    let world = World::granted();
    let door = world.serve().await;
    let credential = format!("jitg_{}", "a".repeat(43));
    let cookie = format!("__Host-jit-grant={credential}");
    for (cookies, want) in [
        (vec![cookie.clone()], None),
        (vec![format!("a=1; {cookie}; b=2")], Some("a=1; b=2")),
        (
            vec!["a=1".to_owned(), cookie.clone(), "b=2".to_owned()],
            Some("a=1; b=2"),
        ),
    ] {
        let mut asked = forwarded("GET", "/public");
        asked.extend(cookies.iter().map(|cookie| ("cookie", cookie.as_str())));
        let answer = door.ask(FORWARD_AUTH, &asked).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("cookie"), want, "{asked:?}");
    }
    let envoy = [
        ("host", HOST),
        ("cookie", cookie.as_str()),
        ("x-jit-reason", "forged"),
    ];
    let answer = door.ask("/authz/ext-authz/public", &envoy).await;
    let gone = "x-jit-reason,remote-user,remote-groups,x-jit-grant,x-jit-expires,authorization,cookie";
    assert_eq!(answer.header("x-envoy-auth-headers-to-remove"), Some(gone));
    let envoy = [("host", HOST), ("jit_credential", credential.as_str())];
    let answer = door.ask("/authz/ext-authz/public", &envoy).await;
    let gone = answer.header("x-envoy-auth-headers-to-remove").unwrap();
    assert!(gone.starts_with("jit_credential,"), "{gone}");
}

#[tokio::test]
async fn a_change_of_protocol_is_refused_on_what_is_protected() {
    let world = World::granted();
    let door = world.serve().await;
    for (path, fields, expected) in [
        (
            FORWARD_AUTH,
            with(forwarded("GET", "/admin"), "upgrade", "websocket"),
            (403, "upgrade-refused"),
        ),
        (
            FORWARD_AUTH,
            instead(forwarded("GET", "/admin"), "x-forwarded-proto", "wss"),
            (403, "upgrade-refused"),
        ),
        (
            AUTH_REQUEST,
            with(original("GET", "/admin"), "upgrade", "h2c"),
            (403, "upgrade-refused"),
        ),
        (
            FORWARD_AUTH,
            with(forwarded("GET", "/"), "upgrade", "websocket, H2C"),
            (403, "upgrade-refused"),
        ),
        (
            "/authz/ext-authz/",
            vec![("host", HOST), ("upgrade", "h2c")],
            (403, "upgrade-refused"),
        ),
        (
            AUTH_REQUEST,
            original_url("GET", "ws://app.example.com/admin"),
            (403, "upgrade-refused"),
        ),
        (
            FORWARD_AUTH,
            with(forwarded("GET", "/"), "upgrade", "websocket"),
            (200, "none"),
        ),
    ] {
        check(&door, path, fields, expected).await;
    }
}

#[tokio::test]
async fn a_connection_field_that_the_balancer_kept_is_judged() {
    let world = World::granted();
    let door = world.serve().await;
    let name = "x-original-connection";
    for (value, expected) in [
        ("close", (200, "none")),
        ("", (200, "none")),
        ("keep-alive, Remote-User", (400, "bad-request-headers")),
        ("Authorization", (400, "bad-request-headers")),
        ("Upgrade", (403, "upgrade-refused")),
    ] {
        check(
            &door,
            FORWARD_AUTH,
            with(forwarded("GET", "/admin"), name, value),
            expected,
        )
        .await;
        let envoy = vec![ALICE, ("host", HOST), (name, value)];
        check(&door, "/authz/ext-authz/admin", envoy, expected).await;
    }
    let twice = with(with(forwarded("GET", "/admin"), name, "close"), name, "close");
    check(&door, FORWARD_AUTH, twice, (400, "metadata-doubled")).await;
    let alias = with(forwarded("GET", "/admin"), "x_original_connection", "close");
    check(&door, FORWARD_AUTH, alias, (400, "metadata-alias")).await;
}

#[tokio::test]
async fn the_control_api_passes_only_when_told() {
    let world = World::new();
    let shut = world.serve().await;
    let open = world.serve_with(settings().with_control_passage()).await;
    for path in ["/_jit", "/_jit/v1/me"] {
        check(&shut, FORWARD_AUTH, forwarded("GET", path), (403, "not-open")).await;
        let answer = open.ask(FORWARD_AUTH, &forwarded("GET", path)).await;
        assert_eq!(
            (answer.status, answer.header("remote-user")),
            (200, Some("local|alice"))
        );
        assert_eq!(
            answer.header("authorization"),
            Some(ALICE.1),
            "the API reads it by itself"
        );
        let nobody = without(forwarded("GET", path), "authorization");
        let answer = open.ask(FORWARD_AUTH, &nobody).await;
        assert_eq!((answer.status, answer.header("remote-user")), (200, None));
    }
    check(
        &open,
        FORWARD_AUTH,
        forwarded("GET", "/_jit/../admin"),
        (400, "bad-request-target"),
    )
    .await;
}

#[tokio::test]
async fn the_gate_sees_the_client_and_never_the_balancer() {
    let world = World::granted();
    let proxies = TrustedProxies::parse(["127.0.0.1", "10.0.0.0/8"]).unwrap();
    let door = world.serve_with(AuthzSettings::new(proxies).unwrap()).await;
    for (list, seen) in [
        (None, None),
        (Some("192.0.2.1"), Some("192.0.2.1")),
        (Some("10.0.0.9, 192.0.2.1"), Some("192.0.2.1")),
        (Some("6.6.6.6, 192.0.2.1, 10.0.0.9"), Some("192.0.2.1")),
    ] {
        world.tokens.peers.lock().unwrap().clear();
        let mut fields = forwarded("GET", "/admin");
        fields.extend(list.map(|list| ("x-forwarded-for", list)));
        assert_eq!(door.ask(FORWARD_AUTH, &fields).await.status, 200);
        let seen: Option<IpAddr> = seen.map(|text| text.parse().unwrap());
        let peers = world.tokens.peers.lock().unwrap();
        assert!(
            !peers.is_empty() && peers.iter().all(|peer| *peer == seen),
            "{list:?} {peers:?}"
        );
    }
}
