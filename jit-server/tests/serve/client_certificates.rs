//! Clients that are known by their certificates, in real handshakes.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::Request;
use http_body_util::Empty;
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::protocol::Message;

use crate::application::Application;
use crate::client::Client;
use crate::websocket::Echo;
use crate::world::{ALICE, Authority, BOB, HOST, Served, World, in_time, people};

const ISSUER: &str = "https://ca.example.com";

/// A world whose gate asks clients for certificates of `clients.pem`, and the gate's own.
fn world(server: SocketAddr, certificates: &str) -> (World, String) {
    let world = World::new(&format!(
        "operator = {{ addr = \"127.0.0.1:0\" }}\n[listen]\naddr = \"127.0.0.1:0\"\nidle_timeout = \"1h\"\nhead_timeout = \"1h\"\n\
         tls = {{ cert = \"gate.pem\", key = \"gate.key\", client_ca_file = \"clients.pem\"{certificates} }}\n\
         [identity.mtls]\nissuer = \"{ISSUER}\"\nnames = [\"dns\"]\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{server}\"]\n",
    ));
    let job = "[[people]]\nname = \"Job\"\nroles = [\"sre\"]\nprincipals = [\"https://ca.example.com|dns:job.example.com\"]\n";
    world.write("people.toml", &format!("{}{job}", people("\"sre\"")));
    let pem = world.certify("gate", &[HOST]);
    (world, pem)
}

const OPTIONAL: &str = ", client_certificates = \"optional\"";

/// What a client of this name shows.
fn client(world: &World, by: &Authority, name: &str) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    world.certify_by(by, "client", &params);
    let read = |kind: &str| std::fs::read_to_string(world.path(&format!("client.{kind}"))).unwrap();
    (read("pem"), read("key"))
}

/// Whether a handshake with this comes to an answer.
async fn gets_in(client: &Client) -> bool {
    client.open("GET", "/", "").await.is_ok()
}

async fn approve(served: &Served, by: &Client, asked: &serde_json::Value) {
    let approval = json!({"decision": "approve", "digest": asked["digest"]});
    let url = format!("{}/review", asked["url"].as_str().unwrap());
    let approved = by.post(&url, &approval).await;
    assert_eq!(
        approved.json()["state"],
        "active",
        "{approved:?} {:#?}",
        served.log()
    );
}

#[tokio::test]
async fn a_certificate_is_somebody_and_none_is_as_before() {
    let app = Application::start("app").await;
    let (world, pem) = world(app.at, OPTIONAL);
    let (clients, others) = (world.authority("clients"), world.authority("others"));
    let policy = std::fs::read_to_string(world.path("policy.toml")).unwrap();
    world.write(
        "policy.toml",
        &format!(
            "{policy}\n[[mappings]]\nissuer = \"{ISSUER}\"\nclaims = {{ name = \"dns:mapped.example.com\" }}\nroles = [\"sre\"]\n"
        ),
    );
    let served = world.serve().await;
    let bob = served.gate().over_tls(&pem, "h2").by(BOB);
    for (alpn, name) in [("http/1.1", "job.example.com"), ("h2", "mapped.example.com")] {
        let shown = client(&world, &clients, name);
        let job = served.gate().over_tls_as(&pem, alpn, Some(&shown));
        let known = job.get("/admin").await;
        assert_eq!(known.status, 403, "{name} {known:?}");
        let ask = json!({"resource": "admin", "reason": "deploy", "duration": "5m"});
        let asked = job.post("/_jit/v1/requests", &ask).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        approve(&served, &bob, &asked.json()).await;
        let admitted = job.get("/admin").await;
        assert_eq!(admitted.status, 200, "{name} {admitted:?}");
        let told = format!("\nremote-user: {ISSUER}|dns:{name}\n");
        assert!(admitted.text.contains(&told), "{told} {admitted:?}");

        // A browser shows it for whatever a page asks, and a page must not decide for its visitor.
        assert_eq!(job.get("/_jit/v1/me").await.status, 200);
        for (field, value) in [
            ("origin", format!("https://{HOST}")),
            ("sec-fetch-site", "same-origin".to_owned()),
        ] {
            let page = job.clone().with(field, &value);
            assert_eq!(page.get("/_jit/v1/me").await.status, 401, "{field}");
            assert_eq!(page.post("/_jit/v1/requests", &ask).await.status, 401, "{field}");
            assert_eq!(page.get("/admin").await.status, 200, "{field}");
            assert_eq!(page.by(ALICE).get("/_jit/v1/me").await.status, 200, "{field}");
        }
        // What a request shows itself comes before its connection.
        let alice = job.clone().by(ALICE).get("/_jit/v1/me").await;
        assert!(alice.text.contains("alice"), "{alice:?}");
        // Nobody is somebody without having shown it on this connection.
        let none = served.gate().over_tls(&pem, alpn);
        assert_eq!(none.get("/admin").await.status, 401);
        assert_eq!(none.clone().by(ALICE).get("/admin").await.status, 403);
        assert_eq!(none.get("/").await.status, 200);
        // A name that nobody knows; and a bad certificate, which is worse than none.
        let unknown = client(&world, &clients, "unknown.example.com");
        let unknown = served.gate().over_tls_as(&pem, alpn, Some(&unknown));
        assert_eq!(unknown.get("/admin").await.status, 403);
        assert_eq!(unknown.post("/_jit/v1/requests", &ask).await.status, 403);
        let stranger = client(&world, &others, name);
        assert!(!gets_in(&served.gate().over_tls_as(&pem, alpn, Some(&stranger))).await);
    }
    served.stop().await;
}

#[tokio::test]
async fn where_a_certificate_is_required_nobody_gets_in_without() {
    let app = Application::start("app").await;
    for certificates in ["", ", client_certificates = \"required\""] {
        let (world, pem) = world(app.at, certificates);
        let clients = world.authority("clients");
        let shown = client(&world, &clients, "job.example.com");
        let served = world.serve().await;
        assert!(gets_in(&served.gate().over_tls_as(&pem, "h2", Some(&shown))).await);
        assert!(!gets_in(&served.gate().over_tls(&pem, "h2").by(BOB)).await);
        assert!(!gets_in(&served.gate().over_tls(&pem, "http/1.1")).await);
        served.stop().await;
    }
}

#[tokio::test]
async fn a_reload_brings_new_authorities_and_ends_what_the_old_ones_proved() {
    let app = Application::start("app").await;
    let (world, pem) = world(app.at, OPTIONAL);
    let (clients, others) = (world.authority("clients"), world.authority("others"));
    let old = client(&world, &clients, "job.example.com");
    let new = client(&world, &others, "job.example.com");
    let served = world.serve().await;
    let by_old = served.gate().over_tls_as(&pem, "http/1.1", Some(&old));
    let by_new = served.gate().over_tls_as(&pem, "http/1.1", Some(&new));
    let nobody = served.gate().over_tls(&pem, "http/1.1");
    assert!(gets_in(&by_old).await && !gets_in(&by_new).await);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut kept = Vec::new();
    for client in [&by_old, &nobody] {
        let mut stream = client.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        in_time("an answer", stream.read_exact(&mut status))
            .await
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 204");
        kept.push(stream);
    }

    world.write("clients.pem", "no certificate");
    served.signal("HUP").await;
    let wrong = served.event("a file can't be used").await;
    assert!(
        wrong["problem"]
            .as_str()
            .unwrap()
            .contains("clients.pem: there is no certificate"),
        "{wrong}"
    );
    assert!(gets_in(&by_old).await && !gets_in(&by_new).await);

    world.write("clients.pem", &others.pem());
    served.signal("HUP").await;
    served.event("reloaded").await;
    assert!(!gets_in(&by_old).await && gets_in(&by_new).await);
    let mut rest = Vec::new();
    let mut proven = kept.remove(0);
    // However it ends.
    let _ = in_time("the end of what was proven", proven.read_to_end(&mut rest)).await;
    let mut unproven = kept.remove(0);
    unproven.write_all(request.as_bytes()).await.unwrap();
    in_time("an answer", async {
        let mut text = String::new();
        while text.matches("HTTP/1.1 204").count() == 0 {
            let mut part = [0; 1024];
            let read = unproven.read(&mut part).await.unwrap();
            assert!(read > 0, "who has proven nothing goes on: {text}");
            text.push_str(std::str::from_utf8(&part[..read]).unwrap());
        }
    })
    .await;
    served.stop().await;
}

/// Over HTTP/2, by a client that hears neither that the connection ends nor what it would have to acknowledge of that.
async fn deaf(client: &Client) -> SendRequest<Empty<Bytes>> {
    const PING: u8 = 6;
    const GOAWAY: u8 = 7;
    let (mut from, mut to) = tokio::io::split(client.connect().await);
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut said, mut heard) = tokio::io::split(far);
    tokio::spawn(async move { tokio::io::copy(&mut said, &mut to).await });
    tokio::spawn(async move {
        let mut head = [0; 9];
        while from.read_exact(&mut head).await.is_ok() {
            let [high, middle, low, kind, ..] = head;
            let length = u32::from_be_bytes([0, high, middle, low]);
            let mut frame = head.to_vec();
            let payload = (&mut from).take(length.into()).read_to_end(&mut frame).await;
            if payload.is_err() || (kind != PING && kind != GOAWAY && heard.write_all(&frame).await.is_err())
            {
                break;
            }
        }
        let _ = heard.shutdown().await;
    });
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(near))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

#[tokio::test]
async fn who_does_not_hear_of_the_end_is_nobody_all_the_same() {
    let app = Application::start("app").await;
    let (world, pem) = world(app.at, OPTIONAL);
    let (clients, others) = (world.authority("clients"), world.authority("others"));
    let shown = client(&world, &clients, "job.example.com");
    let served = world.serve().await;
    let mut sender = deaf(&served.gate().over_tls_as(&pem, "h2", Some(&shown))).await;
    let mut ask = async |path: &str| {
        let request = Request::get(format!("https://{HOST}{path}")).body(Empty::new());
        let answer = in_time("an answer", sender.send_request(request.unwrap())).await?;
        Ok::<_, hyper::Error>(answer.status().as_u16())
    };
    assert_eq!(ask("/_jit/v1/me").await.unwrap(), 200);
    world.write("clients.pem", &others.pem());
    served.signal("HUP").await;
    served.event("reloaded").await;
    for path in ["/_jit/v1/me", "/admin", "/"] {
        assert_eq!(ask(path).await.unwrap(), 421, "{path}");
    }
    // However much it still asks, the connection ends.
    in_time("the end", async {
        while let Ok(status) = ask("/").await {
            assert_eq!(status, 421);
        }
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn a_reload_cuts_the_websockets_of_whom_former_authorities_vouched_for() {
    let mut server = Echo::start().await;
    let (world, pem) = world(server.at, OPTIONAL);
    let (clients, others) = (world.authority("clients"), world.authority("others"));
    let shown = client(&world, &clients, "job.example.com");
    let served = world.serve().await;
    let proven = served.gate().over_tls_as(&pem, "http/1.1", Some(&shown));
    let (mut proven, _) = proven.websocket("/").await.unwrap();
    let unproven = served.gate().over_tls(&pem, "http/1.1");
    let (mut unproven, _) = unproven.websocket("/").await.unwrap();
    server.told().await;
    server.told().await;
    world.write("clients.pem", &others.pem());
    served.signal("HUP").await;
    let ended = in_time("the end", proven.next()).await;
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    assert_eq!(server.told().await, "ended");
    unproven.send(Message::text("hello")).await.unwrap();
    let back = in_time("an echo", unproven.next()).await.unwrap().unwrap();
    assert_eq!(back, Message::text("hello"));
    drop(unproven);
    served.stop().await;
}
