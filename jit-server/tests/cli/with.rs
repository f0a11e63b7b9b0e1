//! A command that runs while access is open.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::timeout;

use crate::world::{PATIENCE, World, start};

struct With {
    child: Child,
    err: Lines<BufReader<ChildStderr>>,
    id: String,
}

impl With {
    /// Runs `jit with`, as far as the request that it makes.
    async fn start(world: &World, resource: &str, command: &[&str]) -> Self {
        let args = [
            "with",
            "-r",
            resource,
            "--reason",
            "job 7",
            "--duration",
            "5m",
            "--",
        ];
        let mut child = world
            .program("alice", &[&args[..], command].concat())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = timeout(PATIENCE, err.next_line())
            .await
            .expect("a line")
            .unwrap()
            .unwrap();
        let id = line.split(':').next().unwrap().to_owned();
        assert!(id.starts_with("req_"), "{line}");
        Self { child, err, id }
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        let told = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .await
            .unwrap();
        assert!(told.success());
    }

    /// Its exit code, what its command printed, and what it said itself.
    async fn ended(mut self) -> (Option<i32>, String, String) {
        let mut said = String::new();
        while let Some(line) = timeout(PATIENCE, self.err.next_line())
            .await
            .expect("it ends")
            .unwrap()
        {
            said += &line;
            said.push('\n');
        }
        let ended = timeout(PATIENCE, self.child.wait_with_output())
            .await
            .expect("it ends")
            .unwrap();
        (
            ended.status.code(),
            String::from_utf8(ended.stdout).unwrap(),
            said,
        )
    }
}

#[tokio::test]
async fn the_command_has_access_and_its_code_is_passed_on() {
    let world = start().await;
    // The request's own state, as the command sees it while it runs.
    let jit = env!("CARGO_BIN_EXE_jit");
    let script = format!("{jit} show $JIT_REQUEST_ID -o json && echo until $JIT_NOT_AFTER >&2 && exit 9");
    let with = With::start(&world, "admin", &["sh", "-c", &script]).await;
    let id = with.id.clone();
    world.approve(&id).await;
    let (code, out, err) = with.ended().await;
    assert_eq!(code, Some(9), "{out}{err}");
    let seen: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&seen["id"], &seen["state"]),
        (&id.as_str().into(), &"active".into())
    );
    assert!(
        err.contains(&format!("until {}", seen["not_after"].as_str().unwrap())),
        "{err}"
    );
    assert!(err.contains(&format!("{id}: released")), "{err}");
    assert_eq!(world.state(&id).await, "released");
    world.end().await;
}

#[tokio::test]
async fn access_is_given_back_however_the_command_ends() {
    for (command, code) in [
        (&["true"][..], 0),
        (&["sh", "-c", "kill -KILL $$"], 137),
        (&["/nonexistent/command"], 127),
        (&["/"], 126),
    ] {
        // One person asks only so often.
        let world = start().await;
        let with = With::start(&world, "staging", command).await;
        let id = with.id.clone();
        let (ended, _, err) = with.ended().await;
        assert_eq!(ended, Some(code), "{command:?}: {err}");
        assert_eq!(world.state(&id).await, "released", "{command:?}: {err}");
        world.end().await;
    }
}

#[tokio::test]
async fn signals_go_to_the_command() {
    let world = start().await;
    for signal in ["TERM", "INT", "HUP"] {
        let script = format!("trap 'echo trapped; exit 5' {signal}; echo ready; read line");
        let mut with = With::start(&world, "staging", &["sh", "-c", &script]).await;
        let mut out = BufReader::new(with.child.stdout.take().unwrap()).lines();
        let mut line = async || {
            timeout(PATIENCE, out.next_line())
                .await
                .expect("a line")
                .unwrap()
                .unwrap()
        };
        assert_eq!(line().await, "ready");
        with.signal(signal).await;
        assert_eq!(line().await, "trapped");
        let id = with.id.clone();
        let (code, _, err) = with.ended().await;
        assert_eq!(code, Some(5), "{signal}: {err}");
        assert_eq!(world.state(&id).await, "released", "{signal}: {err}");
    }
    world.end().await;
}

#[tokio::test]
async fn a_command_without_access_never_runs() {
    let world = start().await;
    let folder = tempfile::tempdir().unwrap();
    let mark = folder.path().join("ran");
    let touch = ["touch", mark.to_str().unwrap()];

    let with = With::start(&world, "admin", &touch).await;
    let id = with.id.clone();
    world
        .jit("bob", &["deny", &id, "--yes", "--comment", "no"])
        .await
        .done(&["denied"]);
    let (code, _, err) = with.ended().await;
    assert_eq!(code, Some(4), "{err}");
    assert!(err.contains("Bob denied it: “no”"), "{err}");

    // Told to stop while it waits: nobody can approve it any more.
    let with = With::start(&world, "staging", &["true"]).await;
    assert_eq!(with.ended().await.0, Some(0));
    let asked = world
        .jit("alice", &["requests", "--state", "pending", "-o", "json"])
        .await
        .json();
    assert_eq!(asked["items"], serde_json::json!([]));

    world
        .jit("alice", &["with", "-r", "nowhere", "--reason", "x", "--", "true"])
        .await
        .ended(3, &["not eligible"]);
    assert!(!mark.exists());
    world.end().await;
}

#[tokio::test]
async fn whoever_stops_waiting_withdraws() {
    let world = start().await;
    let with = With::start(&world, "admin", &["true"]).await;
    let id = with.id.clone();
    with.signal("TERM").await;
    let (code, _, err) = with.ended().await;
    assert_eq!(code, Some(143), "{err}");
    assert!(err.contains("stopped by SIGTERM before access was open"), "{err}");
    assert_eq!(world.state(&id).await, "withdrawn");
    let args = [
        "with", "-r", "admin", "--reason", "x", "--wait", "10ms", "--", "true",
    ];
    world.jit("alice", &args).await.ended(
        5,
        &[
            ": withdrawn",
            "access was not open after 10ms, and the command did not run",
        ],
    );
    world.end().await;
}
