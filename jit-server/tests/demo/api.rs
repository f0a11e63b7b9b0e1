//! Programs with tokens, through the gate and the proxy.

use http_body_util::BodyExt;
use jit_core::clock::{Clock, SystemClock};
use serde_json::json;

use crate::client::{PATIENCE, get, open, send, start};

#[tokio::test]
async fn refused_asked_approved_admitted_revoked() {
    let demo = start().await;
    let admin = format!("{}/admin/users?page=2", demo.guarded);

    let open = get("", &format!("{}/", demo.guarded)).await;
    assert_eq!(
        (open.status, open.text.contains("Nobody is signed in.")),
        (200, true)
    );
    let refused = get("", &admin).await;
    assert_eq!(
        (refused.status, refused.header("content-type")),
        (401, "application/problem+json")
    );
    assert_eq!(refused.json()["type"], "/_jit/problems/unauthenticated");
    assert_eq!(get("forged", &admin).await.status, 401);
    for who in ["alice", "bob", "carol", "mallory"] {
        let refused = get(who, &admin).await;
        assert_eq!(
            (refused.status, refused.header("content-type")),
            (403, "application/problem+json"),
            "{who}"
        );
    }

    let asked = demo.ask().await;
    assert_eq!(get("alice", &admin).await.json()["request_id"], asked["id"]);
    demo.approve(&asked).await;
    let page = get("alice", &admin).await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(
        page.text.contains("Users, page 2 of 3") && page.text.contains("farid"),
        "{page:?}"
    );
    assert!(
        page.text.contains("You are demo|alice, and may be here until 2"),
        "{page:?}"
    );
    assert_eq!(get("bob", &admin).await.status, 403);

    let revoked = demo.act(&asked, "revoke", json!({"reason": "enough"})).await;
    assert_eq!(
        (revoked.status, &revoked.json()["state"]),
        (200, &json!("revoked"))
    );
    assert_eq!(get("alice", &admin).await.status, 403);
    demo.end().await;
}

#[tokio::test]
async fn the_application_sees_nobodys_credential_and_no_word_that_is_not_the_gates() {
    let demo = start().await;
    let asked = demo.ask().await;
    demo.approve(&asked).await;
    let session = "s".repeat(43);
    let cookies = format!("theme=dark; __Host-jit={session}; __Host-jit-console={session}; lang=en");
    let sent = [
        ("authorization", "Bearer demo-alice"),
        ("cookie", cookies.as_str()),
        ("remote-user", "demo|root"),
        ("remote_user", "demo|root"),
        ("x-jit-grant", "grt_forged"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-request-id", "kept"),
        ("connection", "x-one-hop, keep-alive"),
        ("x-one-hop", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("te", "gzip"),
    ];
    let url = format!("{}/admin/request?a=%20b", demo.guarded);
    let seen = send("PUT", &url, &sent, "body").await;
    assert_eq!(seen.status, 200, "{seen:?}");
    let (request, fields) = seen.text.split_once('\n').unwrap();
    assert_eq!(request, "PUT /admin/request?a=%20b");
    let mut fields: Vec<_> = fields
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .collect();
    fields.retain(|(name, _)| *name != "x-jit-expires");
    fields.sort_unstable();
    let grant = asked["id"].as_str().unwrap().replace("req_", "grt_");
    let host = demo.guarded.trim_start_matches("http://");
    assert_eq!(
        fields,
        [
            ("content-length", "4"),
            ("cookie", "theme=dark; lang=en"),
            ("host", host),
            ("remote-user", "demo|alice"),
            ("x-jit-grant", &grant),
            ("x-request-id", "kept"),
        ]
    );
    demo.end().await;
}

#[tokio::test]
async fn a_stream_is_cut_when_its_grant_is_revoked() {
    let demo = start().await;
    let asked = demo.ask().await;
    demo.approve(&asked).await;
    let clock = format!("{}/admin/clock", demo.guarded);
    let alice = [("authorization", "Bearer demo-alice")];
    let response = open("GET", &clock, &alice, "").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    let mut body = response.into_body();
    let first = tokio::time::timeout(PATIENCE, body.frame()).await.unwrap();
    let first = first.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"event: tick\ndata: "), "{first:?}");

    let revoked = demo.act(&asked, "revoke", json!({"reason": "enough"})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let rest = tokio::time::timeout(PATIENCE, async {
        let mut rest = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            rest.extend_from_slice(&frame.into_data().unwrap());
        }
        rest
    });
    let rest = String::from_utf8(rest.await.expect("the stream is cut")).unwrap();
    assert!(rest.contains("event: jit-grant-ended\n"), "{rest}");
    assert_eq!(send("GET", &clock, &alice, "").await.status, 403);
    demo.end().await;
}

#[tokio::test]
async fn an_automatic_policy_asks_nobody() {
    let demo = start().await;
    let staging = format!("{}/staging", demo.guarded);
    assert_eq!(get("bob", &staging).await.status, 403);
    let with_reason = [
        ("authorization", "Bearer demo-bob"),
        ("jit-reason", "try the next version"),
        ("prefer", "wait=10"),
    ];
    let page = send("GET", &staging, &with_reason, "").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert_eq!(get("bob", &staging).await.status, 200);
    assert_eq!(
        get("alice", &staging).await.status,
        403,
        "everyone asks for themselves"
    );
    demo.end().await;
}

#[tokio::test]
async fn the_console_serves_the_control_api_and_guards_nothing() {
    let demo = start().await;
    let me = format!("{}/_jit/v1/me", demo.console);
    let bob = get("bob", &me).await;
    assert_eq!(bob.status, 200, "{bob:?}");
    assert_eq!(get("", &me).await.status, 401);
    assert_eq!(get("forged", &me).await.status, 401);
    // The entrance is the guarded application's alone.
    let entrance = get("", &format!("{}/_jit/enter?code=x", demo.console)).await;
    assert_eq!(entrance.status, 404, "{entrance:?}");
    // The pages know sessions, not tokens.
    let page = get("bob", &format!("{}/requests", demo.console)).await;
    assert!(page.location().starts_with("/login?to="), "{page:?}");
    assert_eq!(get("", &format!("{}/login", demo.console)).await.status, 200);
    demo.end().await;
}

#[tokio::test]
async fn the_console_has_one_origin_and_its_address_leads_there() {
    let demo = start().await;
    let address = demo.console.replace("//localhost:", "//127.0.0.1:");
    assert_ne!(address, demo.console);
    let page = get("", &format!("{address}/requests?state=open")).await;
    assert_eq!(page.status, 307, "{page:?}");
    assert_eq!(
        page.header("location"),
        format!("{}/requests?state=open", demo.console)
    );
    assert_eq!(
        send("POST", &format!("{address}/login"), &[], "person=0")
            .await
            .status,
        421
    );
    let rebound = [("host", "evil.example:8081")];
    let page = send("GET", &format!("{address}/requests"), &rebound, "").await;
    assert_eq!((page.status, page.header("location")), (421, ""), "{page:?}");
    // Programs may take either.
    assert_eq!(get("bob", &format!("{address}/_jit/v1/me")).await.status, 200);
    demo.end().await;
}

#[tokio::test]
async fn payroll_wants_a_second_factor_of_whoever_approves() {
    let demo = start().await;
    let token = |who: &str| format!("Bearer demo-{who}");
    let post = async |who: &str, path: &str, body: serde_json::Value| {
        let fields = [
            ("authorization", token(who)),
            ("content-type", "application/json".to_owned()),
        ];
        let fields = [0, 1].map(|n| (fields[n].0, fields[n].1.as_str()));
        send(
            "POST",
            &format!("{}/_jit/v1/{path}", demo.guarded),
            &fields,
            body.to_string(),
        )
        .await
    };
    let asked = post(
        "alice",
        "requests",
        json!({"resource": "payroll", "reason": "look"}),
    )
    .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let asked = asked.json();
    let review = format!("requests/{}/review", asked["id"].as_str().unwrap());
    let approval = json!({"decision": "approve", "digest": asked["digest"]});
    let weak = post("bob", &review, approval.clone()).await;
    assert_eq!(
        (weak.status, weak.json()["type"].as_str()),
        (401, Some("/_jit/problems/step-up-required"))
    );
    let wrong = post("bob", "me/step-up", json!({"code": "000000"})).await;
    assert_eq!(wrong.status, 403, "{wrong:?}");
    let said = include_str!("../../src/demo/what-to-try.txt");
    let secret = "PFUGKYLNNR2XI2DPOJUXUZJAMJXWEIDE";
    assert!(said.contains(secret), "it is told");
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(SystemClock::new().now().timestamp()).unwrap();
    let code = app.generate(now).to_string();
    let right = post("bob", "me/step-up", json!({"code": code})).await;
    assert_eq!(right.status, 200, "{right:?}");
    assert_eq!(post("bob", &review, approval).await.json()["state"], "active");
    assert_eq!(
        get("alice", &format!("{}/payroll", demo.guarded)).await.status,
        200
    );
    demo.end().await;
}

#[tokio::test]
async fn it_stops_when_told_and_leaves_nothing_open() {
    let demo = start().await;
    assert_eq!(get("", &format!("{}/", demo.guarded)).await.status, 200);
    let origins = [demo.guarded.clone(), demo.console.clone()];
    demo.end().await;
    for origin in origins {
        let at = origin.trim_start_matches("http://");
        assert!(tokio::net::TcpStream::connect(at).await.is_err(), "{at}");
    }
}
