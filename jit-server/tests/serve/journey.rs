//! From refused to admitted to cut, over every protocol.

use http::Version;
use http_body_util::BodyExt;
use serde_json::json;

use crate::application::Application;
use crate::client::{Client, client};
use crate::world::{ALICE, BOB, CONSOLE, HOST, Served, World, in_time};

async fn world(app: &Application, tls: bool) -> (World, String) {
    let listen = if tls {
        "{ addr = \"127.0.0.1:0\", tls = { cert = \"gate.pem\", key = \"gate.key\" } }"
    } else {
        "{ addr = \"127.0.0.1:0\" }"
    };
    let world = World::new(&format!(
        "listen = {listen}\noperator = {{ addr = \"127.0.0.1:0\" }}\n\
         console = {{ addr = \"127.0.0.1:0\", origin = \"https://{CONSOLE}\", guarded = [\"https://{HOST}\"] }}\n\
         [[upstreams]]\nname = \"app\"\nhosts = [\"{HOST}\"]\nservers = [\"{}\"]\n",
        app.at
    ));
    let pem = world.certify("gate", &[HOST]);
    (world, pem)
}

#[tokio::test]
async fn refused_granted_admitted_cut_over_every_protocol() {
    let app = Application::start("app").await;
    for (protocol, version) in [
        ("", Version::HTTP_11),
        ("http/1.1", Version::HTTP_11),
        ("h2", Version::HTTP_2),
    ] {
        let (world, pem) = world(&app, !protocol.is_empty()).await;
        let mut command = world.command();
        // The loudest log there is must not hold a token.
        command.env("JIT_LOG", "trace");
        let served = world.serve_by(command).await;
        let gate = match protocol {
            "" => served.gate(),
            alpn => served.gate().over_tls(&pem, alpn),
        };
        journey(&served, &gate, version, !protocol.is_empty()).await;
        let log = served.stop().await;
        for event in &log {
            let text = event.to_string();
            for secret in [ALICE, BOB, "not-a-token"] {
                assert!(!text.contains(secret), "{text}");
            }
        }
    }
}

async fn journey(served: &Served, gate: &Client, version: Version, secured: bool) {
    let (alice, bob) = (gate.clone().by(ALICE), gate.clone().by(BOB));
    let open = gate.get("/a?b=c").await;
    assert_eq!(
        (open.status, open.version, open.first_line()),
        (200, version, "app"),
        "{open:?}"
    );
    assert_eq!(gate.clone().by("not-a-token").get("/admin").await.status, 401);
    let refused = alice.get("/admin").await;
    assert_eq!(
        (refused.status, refused.json()["type"].as_str()),
        (403, Some("/_jit/problems/approval-required")),
        "{refused:?}"
    );
    assert_eq!(alice.get("/admin/%2e%2e/x").await.status, 400);

    let asked = served.grant(gate).await;
    let admitted = alice
        .clone()
        .with("cookie", "a=1")
        .with("cookie", "b=2; __Host-jit=x")
        .with("cookie", "c=3")
        .with("x-forwarded-for", "10.9.8.7")
        .with("remote-user", "root")
        .get("/admin/x")
        .await;
    assert_eq!(admitted.status, 200, "{admitted:?}");
    let grant = asked["id"].as_str().unwrap().replace("req_", "grt_");
    let scheme = if secured { "https" } else { "http" };
    for line in [
        "GET /admin/x",
        &format!("host: {HOST}"),
        "cookie: a=1; b=2; c=3",
        "remote-user: people|alice",
        &format!("x-jit-grant: {grant}"),
        "x-forwarded-for: 127.0.0.1",
        &format!("x-forwarded-host: {HOST}"),
        &format!("x-forwarded-proto: {scheme}"),
    ] {
        assert!(
            admitted.text.lines().any(|sent| sent == line),
            "{line}: {admitted:?}"
        );
    }
    for secret in [ALICE, "10.9.8.7", "root"] {
        assert!(!admitted.text.contains(secret), "{admitted:?}");
    }
    assert_eq!(bob.get("/admin/x").await.status, 403, "the grant is Alice's");

    let response = alice.open("GET", "/admin/stream", "").await.unwrap();
    let mut body = response.into_body();
    let first = in_time("the first part", body.frame()).await.unwrap().unwrap();
    assert_eq!(first.into_data().unwrap(), "first\n");
    let revoke = format!("{}/revoke", asked["url"].as_str().unwrap());
    let revoked = bob.post(&revoke, &json!({"reason": "enough"})).await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    in_time("the cut", async { while let Some(Ok(_)) = body.frame().await {} }).await;
    assert_eq!(alice.get("/admin/x").await.status, 403);
}

#[tokio::test]
async fn the_console_serves_its_own_host_and_says_that_nobody_can_sign_in() {
    let app = Application::start("app").await;
    let (world, _) = world(&app, false).await;
    let served = world.serve().await;
    let console = client(served.at("console"), CONSOLE);
    let page = console.get("/login").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.text.contains("Nobody can sign in here yet"), "{page:?}");
    assert_eq!(console.clone().by(BOB).get("/_jit/v1/me").await.status, 200);
    assert_eq!(console.get("/_jit/v1/me").await.status, 401);
    // Nothing is forwarded here, whoever asks.
    assert_eq!(console.clone().by(BOB).get("/admin").await.status, 404);
    let elsewhere = client(served.at("console"), "rebound.example")
        .get("/login")
        .await;
    assert_eq!(elsewhere.status, 421, "{elsewhere:?}");
    served.stop().await;
}

#[tokio::test]
async fn what_was_done_outlives_a_restart() {
    let app = Application::start("app").await;
    let (world, _) = world(&app, false).await;
    let served = world.serve().await;
    let asked = served.grant(&served.gate()).await;
    assert_eq!(served.gate().by(ALICE).get("/admin/kept").await.status, 200);
    served.stop().await;

    let served = world.serve().await;
    let again = served.gate().by(ALICE).get("/admin/again").await;
    assert_eq!(again.status, 200, "the grant is still live: {again:?}");
    let url = format!("{}/interactions", asked["url"].as_str().unwrap());
    let done = served.gate().by(ALICE).get(&url).await;
    assert!(done.text.contains("/admin/kept"), "{done:?}");
    let log = served.stop().await;
    assert!(
        log.iter()
            .any(|event| event["message"] == "the audit log is whole")
    );
}
