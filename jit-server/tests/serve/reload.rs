//! SIGHUP: what is right is in force at once, and what is wrong changes nothing.

use serde_json::Value;

use crate::application::Application;
use crate::world::{ALICE, BOB, HOST, World, people};

#[tokio::test]
async fn a_right_file_is_in_force_and_a_wrong_one_changes_nothing() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    let policy = std::fs::read_to_string(world.path("policy.toml")).unwrap();
    let served = world.serve().await;
    served.grant(&served.gate()).await;
    let alice = served.gate().by(ALICE);
    assert_eq!(alice.get("/admin").await.status, 200);

    // One wrong file, and the right one beside it does not count either.
    let hostile = "[[people]]\nname = \"Eve\\u001b[2J\\u202e\"\nroles = [\"sre\"]\ntoken = \"hunter2\"\n";
    for (n, (name, text, told)) in [
        ("policy.toml", "[[open]]\nhots = []\n", "policy.toml:2: "),
        ("people.toml", hostile, "people.toml:1: "),
        (
            "people.toml",
            "[[people]]\nname = \"Eve\"\ntoken = \"demo-eve\"\n",
            "demo",
        ),
        ("people.toml", "people = ", "people.toml:1: "),
    ]
    .into_iter()
    .enumerate()
    {
        let (other, kept) = match name {
            "policy.toml" => ("people.toml", people("")),
            _ => ("policy.toml", policy.replace("\"/admin\"", "\"/moved\"")),
        };
        world.write(name, text);
        world.write(other, &kept);
        served.signal("HUP").await;
        served
            .nth_event(n, "nothing was reloaded: what was in force stays in force")
            .await;
        let log = served.log();
        let problems = log.iter().rev().skip_while(|event| event["problem"].is_null());
        let problems = problems.map_while(|event| event["problem"].as_str());
        let wrong = problems.collect::<Vec<_>>().join(" | ");
        assert!(wrong.contains(told) && !wrong.contains("hunter2"), "{wrong}");
        assert!(
            !wrong.contains(jit_core::policy::text::is_unprintable),
            "{wrong:?}"
        );
        assert_eq!(alice.get("/admin").await.status, 200, "{name} {text:?}");
        world.write("policy.toml", &policy);
        world.write("people.toml", &people("\"sre\""));
    }
    assert_eq!(served.metric("jit_reloads_total{outcome=\"refused\"}").await, 4.0);

    // Alice loses her role, and with it what she holds.
    world.write("people.toml", &people(""));
    served.signal("HUP").await;
    served.event("reloaded").await;
    assert_eq!(alice.get("/admin").await.status, 403);
    // Another path is protected, and the former one is open.
    world.write("policy.toml", &policy.replace("\"/admin\"", "\"/moved\""));
    served.signal("HUP").await;
    served.nth_event(1, "reloaded").await;
    assert_eq!(alice.get("/moved").await.status, 403);
    assert_eq!(alice.get("/admin").await.status, 200);
    // Bob is gone, and his token with him.
    world.write("people.toml", "");
    assert_eq!(served.gate().by(BOB).get("/_jit/v1/me").await.status, 200);
    served.signal("HUP").await;
    served.nth_event(2, "reloaded").await;
    assert_eq!(served.gate().by(BOB).get("/_jit/v1/me").await.status, 401);
    assert_eq!(served.metric("jit_reloads_total{outcome=\"done\"}").await, 3.0);
    served.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_shown_from_then_on() {
    let app = Application::start("app").await;
    let world = World::new(&format!(
        "operator = {{ addr = \"127.0.0.1:0\" }}\n[listen]\naddr = \"127.0.0.1:0\"\n\
         tls = {{ cert = \"gate.pem\", key = \"gate.key\" }}\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n",
        app.at
    ));
    let first = world.certify("gate", &[HOST]);
    let served = world.serve().await;
    let by_first = served.gate().over_tls(&first, "h2");
    assert_eq!(by_first.get("/").await.status, 200);

    // A key of another certificate: the old pair stays.
    let second = world.certify("gate", &[HOST]);
    let key = std::fs::read_to_string(world.path("gate.key")).unwrap();
    world.certify("other", &[HOST]);
    std::fs::copy(world.path("other.key"), world.path("gate.key")).unwrap();
    served.signal("HUP").await;
    let wrong = served.event("a file can't be used").await;
    let problem = wrong["problem"].as_str().unwrap();
    assert!(problem.contains("gate.key: the certificate of "), "{problem}");
    assert_eq!(by_first.get("/").await.status, 200);

    world.write("gate.key", &key);
    served.signal("HUP").await;
    served.event("reloaded").await;
    let by_second = served.gate().over_tls(&second, "h2");
    assert_eq!(by_second.get("/").await.status, 200);
    // Not one that has shaken hands before, and only goes on.
    let by_first = served.gate().over_tls(&first, "h2");
    assert!(by_first.open("GET", "/", "").await.is_err());
    let log = served.stop().await;
    let text = Value::Array(log).to_string();
    assert!(!text.contains("PRIVATE KEY"), "{text}");
}
