//! TLS on the way to applications: nothing is sent to a server that can't prove who it is.

use std::net::SocketAddr;

use rcgen::{CertificateParams, date_time_ymd};

use crate::application::Application;
use crate::world::World;

pub(crate) const NAMES: [&str; 2] = ["127.0.0.1", "app.internal"];

pub(crate) fn names(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// What a server at this address is told to be believed by.
pub(crate) fn before(world: &World, at: SocketAddr, rest: &str) {
    world.write(
        "jit.toml",
        &format!(
            "policy = \"policy.toml\"\npeople = \"people.toml\"\ndatabase = \"jit.db\"\n\
             listen = {{ addr = \"127.0.0.1:0\" }}\noperator = {{ addr = \"127.0.0.1:0\" }}\n\
             [[upstreams]]\nname = \"app\"\nservers = [\"https://{at}\"]\n{rest}\n"
        ),
    );
}

#[tokio::test]
async fn a_server_is_believed_for_its_certificate_alone() {
    let world = World::new("");
    let (ours, _others) = (world.authority("ours"), world.authority("others"));
    let mut old = names(&NAMES);
    old.not_before = date_time_ymd(2000, 1, 1);
    old.not_after = date_time_ymd(2001, 1, 1);
    for (certificate, tls, system, status, mend) in [
        (names(&NAMES), "ca_file = \"ours.pem\"", "others", 200, ""),
        // Only what is named counts; without it, the system's.
        (
            names(&NAMES),
            "ca_file = \"others.pem\"",
            "ours",
            502,
            "tls.ca_file",
        ),
        (names(&NAMES), "", "ours", 200, ""),
        (names(&NAMES), "", "others", 502, "tls.ca_file"),
        (
            names(&NAMES[1..]),
            "ca_file = \"ours.pem\"",
            "ours",
            502,
            "tls.server_name",
        ),
        (
            names(&NAMES[1..]),
            "ca_file = \"ours.pem\", server_name = \"app.internal\"",
            "others",
            200,
            "",
        ),
        (
            names(&NAMES),
            "ca_file = \"ours.pem\", server_name = \"other.internal\"",
            "ours",
            502,
            "tls.server_name",
        ),
        (old.clone(), "ca_file = \"ours.pem\"", "ours", 502, "renew it"),
    ] {
        world.certify_by(&ours, "app", &certificate);
        let app = Application::start_secured("app", &world, "app").await;
        before(&world, app.at, &format!("tls = {{ {tls} }}"));
        let mut command = world.command();
        command.env("SSL_CERT_FILE", world.path(&format!("{system}.pem")));
        let served = world.serve_by(command).await;
        let answer = served.gate().get("/").await;
        assert_eq!(answer.status, status, "{tls} {system} {answer:?}");
        if status == 200 {
            assert_eq!(answer.first_line(), "app");
            // What the client asked for, whatever the server is called.
            assert!(answer.text.contains("\nhost: app.example.com\n"), "{answer:?}");
        } else {
            let why = served.event("a request was not answered").await;
            let why = why["why"].as_str().unwrap();
            assert!(
                why.contains(mend) && why.contains("certificate"),
                "{mend:?} {why}"
            );
            assert!(!answer.text.contains("certificate"), "{answer:?}");
            assert_eq!(app.seen(), 0);
        }
        served.stop().await;
    }
}

#[tokio::test]
async fn what_does_not_speak_tls_is_sent_nothing() {
    let world = World::new("");
    world.authority("ours");
    let app = Application::start("app").await;
    before(&world, app.at, "tls = { ca_file = \"ours.pem\" }");
    let served = world.serve().await;
    for (method, body) in [("GET", ""), ("POST", "secret")] {
        assert_eq!(served.gate().send(method, "/", body).await.status, 502);
    }
    let why = served.event("a request was not answered").await;
    let why = why["why"].as_str().unwrap();
    assert!(why.contains("does not speak TLS"), "{why}");
    assert_eq!(app.seen(), 0);
    served.stop().await;
}

#[tokio::test]
async fn a_handshake_has_as_long_as_a_connection() {
    let world = World::new("");
    world.authority("ours");
    // It takes connections and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    before(
        &world,
        at,
        "tls = { ca_file = \"ours.pem\" }\nconnect_timeout = \"100ms\"",
    );
    let served = world.serve().await;
    assert_eq!(served.gate().get("/").await.status, 502);
    served.stop().await;
}

#[tokio::test]
async fn who_is_not_trusted_any_more_is_not_reached_on_an_old_connection() {
    let world = World::new("");
    let (ours, others) = (world.authority("ours"), world.authority("others"));
    world.certify_by(&ours, "app", &names(&NAMES));
    let app = Application::start_secured("app", &world, "app").await;
    world.write("trusted.pem", &ours.pem());
    before(&world, app.at, "tls = { ca_file = \"trusted.pem\" }");
    let served = world.serve().await;
    assert_eq!(served.gate().get("/").await.status, 200);
    world.write("trusted.pem", &others.pem());
    served.signal("HUP").await;
    served.event("reloaded").await;
    assert_eq!(served.gate().get("/").await.status, 502);
    assert_eq!(app.seen(), 1);
    served.stop().await;
}

#[tokio::test]
async fn health_checks_believe_no_others_and_a_reload_brings_new_authorities() {
    let world = World::new("");
    let (ours, others) = (world.authority("ours"), world.authority("others"));
    world.certify_by(&ours, "app", &names(&NAMES));
    let app = Application::start_secured("app", &world, "app").await;
    world.write("trusted.pem", &others.pem());
    before(
        &world,
        app.at,
        "tls = { ca_file = \"trusted.pem\" }\nfailures = 1\nhealth = { path = \"/healthz\", interval = \"20ms\", passes = 1 }",
    );
    let served = world.serve().await;
    let left_out = served.event("a server is left out").await;
    let why = left_out["why"].as_str().unwrap();
    assert!(why.contains("tls.ca_file"), "{why}");
    assert_eq!(served.gate().get("/").await.status, 503);

    world.write("trusted.pem", &format!("{}{}", others.pem(), ours.pem()));
    served.signal("HUP").await;
    served.event("a server is well again").await;
    assert_eq!(served.gate().get("/").await.status, 200);

    // A file that can't be used changes nothing.
    world.write("trusted.pem", "-----BEGIN CERTIFICATE-----\nnonsense\n");
    served.signal("HUP").await;
    let wrong = served.event("a file can't be used").await;
    assert!(
        wrong["problem"].as_str().unwrap().contains("trusted.pem: "),
        "{wrong}"
    );
    assert_eq!(served.gate().get("/").await.status, 200);
    served.stop().await;
}
