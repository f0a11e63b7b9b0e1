//! Asking, waiting, and what the exit codes say.

use std::process::Stdio;

use tokio::net::TcpListener;

use crate::world::{PATIENCE, id, jit, program, ran, start};

#[tokio::test]
async fn one_access_from_asking_to_giving_back() {
    let world = start().await;
    let args = [
        "request",
        "--resource",
        "admin",
        "--reason",
        "look into INC-42",
        "--duration",
        "3m",
    ];
    let asked = world.jit("alice", &args).await.done(&[
        "pending: lead has 0 of 1",
        "Alice (alice; demo|alice)",
        "“look into INC-42”",
        "3m",
    ]);
    let id = asked.out.split_whitespace().nth(1).unwrap().to_owned();
    world
        .jit("bob", &["requests", "--reviewable"])
        .await
        .done(&[&id, "pending", "Alice"]);
    world
        .jit("alice", &["requests", "--reviewable", "-o", "json"])
        .await
        .done(&["\"items\": []"]);
    world.jit("alice", &["grants"]).await.done(&[]);

    world.approve(&id).await;
    world
        .jit("alice", &["grants"])
        .await
        .done(&[&id, "active", "alice", "admin"]);
    world
        .jit("alice", &["show", &id])
        .await
        .done(&["Bob approve", "window"]);
    let page = world
        .jit(
            "alice",
            &["requests", "--mine", "--state", "pending,active", "-o", "json"],
        )
        .await
        .json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1, "{page}");

    world
        .jit("alice", &["release", &id, "--reason", "done"])
        .await
        .done(&["released", "“done”"]);
    let gone = world.jit("alice", &["grants", "-o", "json"]).await.json();
    assert_eq!(gone["items"].as_array().unwrap().len(), 0, "{gone}");
    world
        .jit("alice", &["release", &id])
        .await
        .ended(7, &["error: The request's state does not allow that", "released"]);
    world.end().await;
}

#[tokio::test]
async fn waiting_ends_with_what_was_decided() {
    let world = start().await;
    let waiting = |limit: &str| {
        let wait = format!("--wait{limit}");
        let args = [
            "request",
            "-r",
            "admin",
            "--reason",
            "x",
            "--idempotency-key",
            "one",
            &wait,
        ];
        let mut command = world.program("alice", &args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    ran(waiting("=10ms")).await.ended(
        5,
        &[
            ": asked for admin, waiting until it is decided",
            "is still not decided after 10ms",
            "take it back: jit withdraw req_",
        ],
    );

    let page = world.jit("alice", &["requests", "-o", "json"]).await.json();
    let first = id(&page["items"][0]).to_owned();
    let on = format!("wait on: jit show {first} --wait");
    let offers = world.jit("alice", &["policies"]).await;
    offers.done(&["admin ", "1 of role sre-lead", "staging ", "nobody"]);
    world
        .jit("alice", &["show", &first, "--wait=10ms"])
        .await
        .ended(5, &[&on]);
    let waiter = tokio::spawn(ran(waiting("")));
    world
        .jit("bob", &["deny", &first, "--yes", "--comment", "not today"])
        .await
        .done(&["denied"]);
    waiter.await.unwrap().ended(
        4,
        &["is denied: there is no access", "Bob denied it: “not today”"],
    );

    world
        .jit("alice", &["show", &first, "--wait"])
        .await
        .ended(4, &["is denied: there is no access"]);

    // What needs nobody's agreement is there at once.
    let args = ["request", "-r", "staging", "--reason", "x", "--wait=30s"];
    let open = world.jit("alice", &args).await.done(&["active"]);
    assert_eq!(open.err, "", "nothing is waited for");

    let args = ["request", "-r", "admin", "--reason", "x", "-o", "json"];
    let second = world.jit("carol", &args).await;
    second.ended(3, &["You are not eligible for this", "problems/not-eligible"]);
    world.end().await;
}

#[tokio::test]
async fn a_grant_ends_the_wait_for_it() {
    let world = start().await;
    let asked = world.ask().await;
    // The same reason again would be a second asking: whoever waits has the first one's key.
    world
        .jit("alice", &["withdraw", id(&asked)])
        .await
        .done(&["withdrawn"]);
    let args = [
        "request",
        "-r",
        "admin",
        "--reason",
        "x",
        "--idempotency-key",
        "k",
        "-o",
        "json",
    ];
    let asked = world.jit("alice", &args).await.json();
    let waiter = tokio::spawn(ran(world.program("alice", &[&args[..], &["--wait"]].concat())));
    world.approve(id(&asked)).await;
    let waited = waiter.await.unwrap().done(&[]).json();
    assert_eq!(
        (&waited["id"], &waited["state"]),
        (&asked["id"], &"active".into())
    );
    world
        .jit("bob", &["revoke", id(&asked), "--reason", "enough"])
        .await
        .done(&["revoked", "“enough”"]);
    world.end().await;
}

#[tokio::test]
async fn each_way_to_fail_has_its_code() {
    let world = start().await;
    let asked = world.ask().await;
    let one = id(&asked);
    let none = "req_00000000000000000000000000000001";
    for (who, args, code, parts) in [
        (
            "nobody",
            &["grants"][..],
            3,
            &["error: Nobody is signed in", "JIT_TOKEN"][..],
        ),
        ("mallory", &["show", one], 3, &["error: There is no such thing"]),
        ("alice", &["show", none], 3, &["error: There is no such thing"]),
        ("alice", &["show", "../../me"], 2, &["req_"]),
        (
            "alice",
            &["request", "-r", "admin", "--reason", "x", "-d", "5h"],
            3,
            &["`duration`", "at most 5m"],
        ),
        (
            "alice",
            &["request", "-r", "admin", "--reason", "again"],
            3,
            &["error: A limit is reached", "jit show req_"],
        ),
        ("alice", &["request", "-r", "admin"], 2, &["--reason"]),
        (
            "alice",
            &["request", "-r", "admin", "--reason", "x", "-d", "soon"],
            2,
            &["soon"],
        ),
        (
            "mallory",
            &["request", "-r", "nowhere", "--reason", "x"],
            3,
            &["error: You are not eligible"],
        ),
        (
            "alice",
            &["lockdown", "list"],
            3,
            &["error: You are not eligible"],
        ),
        (
            "alice",
            &["events"],
            3,
            &["error: You are not eligible", "roles under auditors"],
        ),
        (
            "alice",
            &["grants", "--url", "http://example.com"],
            2,
            &["in clear", "--dangerous-plain-http"],
        ),
        (
            "alice",
            &["grants", "--token-file", "/nonexistent/token"],
            2,
            &["--token-file /nonexistent/token"],
        ),
    ] {
        let ran = world.jit(who, args).await.ended(code, parts);
        assert_eq!(ran.out, "", "{args:?}");
    }
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let url = format!("http://{free}");
    world
        .jit("alice", &["grants", "--url", &url])
        .await
        .ended(6, &[&url, "can't be reached", "--url or JIT_URL"]);
    // The application's own pages are no control API.
    let mut elsewhere = program(&["grants", "--url", &format!("{}/nowhere", world.guarded)]);
    elsewhere.env("JIT_TOKEN", "demo-alice");
    let elsewhere = ran(elsewhere).await;
    assert!([3, 6].contains(&elsewhere.code), "{elsewhere:?}");
    jit(&["grants"]).await.ended(2, &["JIT_URL", "--url"]);
    jit(&["grants", "--url", &world.console])
        .await
        .ended(2, &["JIT_TOKEN", "--token-file"]);
    world.end().await;
}

#[tokio::test]
async fn a_program_is_told_in_json_why_not() {
    let world = start().await;
    let id = world.ask().await;
    let id = crate::world::id(&id).to_owned();
    let json = |ran: &crate::world::Ran| -> serde_json::Value {
        let last = ran.err.lines().last().unwrap_or_default();
        serde_json::from_str(last).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    };
    let digest = world.jit("alice", &["show", &id, "-o", "json"]).await.json()["digest"].clone();
    let own = ["approve", &id, "--digest", digest.as_str().unwrap(), "-o", "json"];
    let own = world.jit("alice", &own).await.ended(3, &[]);
    let told = json(&own);
    assert_eq!(
        (&told["exit_code"], &told["problem"]["status"]),
        (&3.into(), &403.into())
    );
    assert_eq!(told["problem"]["type"], "/_jit/problems/self-review");
    assert_eq!(own.out, "");
    let stranger = world
        .jit("mallory", &["lockdown", "list", "-o", "json"])
        .await
        .ended(3, &[]);
    let told = json(&stranger);
    assert_eq!(told["problem"]["type"], "/_jit/problems/not-eligible");
    assert!(
        told["message"]
            .as_str()
            .unwrap()
            .contains("roles under auditors, revokers and lockdown"),
        "{told}"
    );
    // What no control API has said has no problem.
    let nowhere = ran(program(&["grants", "-o", "json"])).await.ended(2, &[]);
    let told = json(&nowhere);
    assert_eq!((&told["exit_code"], told.get("problem")), (&2.into(), None));
    assert!(told["message"].as_str().unwrap().contains("JIT_URL"), "{told}");
    // In words, nothing of it is JSON.
    let words = world
        .jit("mallory", &["lockdown", "list"])
        .await
        .ended(3, &["error: "]);
    assert!(!words.err.contains('{'), "{words:?}");
    world.end().await;
}

#[tokio::test]
async fn a_usage_line_asks_for_nothing_that_the_environment_says() {
    let mut revoke = program(&["revoke"]);
    revoke
        .env("JIT_URL", "http://127.0.0.1:9")
        .env("JIT_CA_FILE", "/nowhere");
    let revoke = ran(revoke)
        .await
        .ended(2, &["Usage: jit revoke --reason <TEXT> <ID>\n"]);
    assert!(!revoke.err.contains("--url"), "{revoke:?}");
}

#[tokio::test]
async fn a_token_comes_from_a_file_and_is_known_by_its_hash() {
    let world = start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "demo-alice\n").unwrap();
    let args = [
        "grants",
        "--url",
        &world.console,
        "--token-file",
        file.to_str().unwrap(),
    ];
    jit(&args).await.done(&[]);

    let (first, second) = (jit(&["token"]).await.done(&[]), jit(&["token"]).await.done(&[]));
    assert_ne!(first.out, second.out);
    let (token, line) = first.out.trim_end().split_once('\n').unwrap();
    assert!(
        token.strip_prefix("jit_").is_some_and(|bits| bits.len() == 43),
        "{token}"
    );
    let source = format!("[[people]]\nname = \"A\"\n{line}\n");
    let people =
        jit_core::broker::people::PeopleFile::parse(&source, jit_core::policy::Format::Toml, "people.toml")
            .unwrap();
    assert!(
        people
            .token(&jit_core::id::Digest::plain(token.as_bytes()))
            .is_some(),
        "{line}"
    );
    world.end().await;
}

#[tokio::test]
async fn every_command_explains_itself() {
    let whole = jit(&["--help"])
        .await
        .done(&["Exit codes:\n", "  7  the request has changed"]);
    let commands = whole
        .out
        .split("Commands:\n")
        .nth(1)
        .unwrap()
        .split("\n\n")
        .next()
        .unwrap();
    let mut seen = 0;
    for line in commands.lines() {
        let name = line.split_whitespace().next().unwrap();
        if name != "help" {
            jit(&[name, "--help"]).await.done(&["Usage: jit "]);
            seen += 1;
        }
    }
    assert!(seen > 10, "{commands}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        jit(&["completions", shell]).await.done(&["lockdown", "approve"]);
    }
    tokio::time::timeout(PATIENCE, async {
        // Whoever has read enough ends it without a word.
        let mut child = program(&["completions", "bash"]);
        let mut child = child
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let ended = child.wait_with_output().await.unwrap();
        assert_eq!(
            (ended.status.code(), ended.stderr.as_slice()),
            (Some(0), &b""[..])
        );
    })
    .await
    .unwrap();
}
