//! The program itself: what it prints, and what it exits with.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;

use crate::client::{PATIENCE, get};

async fn jit(args: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_jit"))
        .args(args)
        .output()
        .await
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[tokio::test]
async fn it_exits_as_its_help_says() {
    let (code, out, _) = jit(&["--version"]).await;
    assert_eq!(
        (code, out.trim()),
        (Some(0), concat!("jit ", env!("CARGO_PKG_VERSION")))
    );
    let (code, out, _) = jit(&["--help"]).await;
    assert!(
        code == Some(0) && out.contains("  demo ") && out.contains("Exit codes:"),
        "{out}"
    );
    for wrong in [
        &[][..],
        &["demon"],
        &["demo", "--listen", "nowhere"],
        &["demo", "--db", "x"],
    ] {
        let (code, out, err) = jit(wrong).await;
        assert_eq!(
            (code, out.as_str(), err.is_empty()),
            (Some(2), "", false),
            "{wrong:?}"
        );
    }
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = taken.local_addr().unwrap().to_string();
    for (args, option) in [
        (["--listen", &at, "--console", "127.0.0.1:0"], "--listen"),
        (["--listen", "127.0.0.1:0", "--console", &at], "--console"),
    ] {
        let (code, out, err) = jit(&[&["demo"], &args[..]].concat()).await;
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args:?}");
        let mend = format!("; choose another address with {option}\n");
        assert!(
            err.starts_with(&format!("{at}: ")) && err.ends_with(&mend),
            "{err}"
        );
    }
}

#[cfg(unix)]
#[tokio::test]
async fn it_says_where_to_go_and_leaves_nothing_behind_when_it_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["TERM", "INT"] {
        let mut demo = Command::new(env!("CARGO_BIN_EXE_jit"))
            .args(["demo", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"])
            .env("TMPDIR", folder.path())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
        let mut at = async |what: &str| {
            while let Some(line) = lines.next_line().await.unwrap() {
                if let Some(at) = line.trim_start().strip_prefix(what) {
                    return at.trim().to_owned();
                }
            }
            panic!("{what:?} is not named");
        };
        let guarded = at("guarded application ").await;
        let console = at("console ").await;
        assert_eq!(get("", &format!("{guarded}/")).await.status, 200);
        assert_eq!(get("alice", &format!("{guarded}/admin")).await.status, 403);
        assert_eq!(get("", &format!("{console}/login")).await.status, 200);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        let pid = demo.id().unwrap().to_string();
        let told = Command::new("kill")
            .args([&format!("-{signal}"), &pid])
            .status()
            .await
            .unwrap();
        assert!(told.success());
        let ended = timeout(PATIENCE, demo.wait()).await;
        assert_eq!(ended.expect("it stops").unwrap().code(), Some(0), "{signal}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
    }
}

const POLICY: &str = r#"
[[open]]
hosts = ["localhost", "127.0.0.1"]
paths = ["/"]
[[resources]]
name = "reports"
hosts = ["localhost", "127.0.0.1"]
paths = ["/reports"]
[[policies]]
name = "reports-for-analysts"
resources = ["reports"]
requesters = { roles = ["analyst"] }
duration = { default = "5m", max = "1h" }
stages = [ { name = "owner", approvers = { roles = ["owner"] }, quorum = 1 } ]
"#;
const PEOPLE: &str = r#"
[[people]]
name = "Dana <i>"
roles = ["analyst"]
token = "demo-dana"
[[people]]
name = "Otto"
roles = ["owner"]
[[people]]
name = "Gone"
roles = ["owner"]
disabled = true
"#;

#[tokio::test]
async fn it_shows_a_policy_of_ones_own() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (policy, people) = (write("policy.toml", POLICY), write("people.toml", PEOPLE));
    let anywhere = ["demo", "--listen", "127.0.0.1:0", "--console", "127.0.0.1:0"];
    let start = |args: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_jit"))
            .args([&anywhere, args].concat())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    };
    let mut demo = start(&["--policy", &policy, "--people", &people]);
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines();
    let mut at = async |what: &str| loop {
        let line = timeout(PATIENCE, lines.next_line()).await.expect("it says so");
        let line = line.unwrap().expect("it is named");
        if let Some(at) = line.trim_start().strip_prefix(what) {
            return at.trim().to_owned();
        }
    };
    let (guarded, console) = (at("guarded application ").await, at("console ").await);
    assert_eq!(
        (at("policy ").await, at("people ").await),
        (policy.clone(), people.clone())
    );
    let login = get("", &format!("{console}/login")).await;
    for (part, there) in [
        ("Dana &#60;i&#62;", true),
        ("Role: analyst", true),
        ("Otto", true),
        ("Gone", false),
        ("Alice", false),
    ] {
        assert_eq!(login.text.contains(part), there, "{part}: {login:?}");
    }
    for (path, status) in [("/admin", 200), ("/reports", 403)] {
        assert_eq!(
            get("dana", &format!("{guarded}{path}")).await.status,
            status,
            "{path}"
        );
    }

    // What can't work is said before anybody waits for it, and what is wrong keeps it from starting.
    let elsewhere = write(
        "elsewhere.toml",
        &POLICY.replace("\"localhost\", \"127.0.0.1\"", "\"app.example.com\""),
    );
    let mut told = start(&["--policy", &elsewhere]);
    let mut warnings = BufReader::new(told.stderr.take().unwrap()).lines();
    let mut all = String::new();
    while !all.contains("does not name the host localhost") {
        let line = timeout(PATIENCE, warnings.next_line()).await.expect("it warns");
        all += &line.unwrap().expect("it is told");
    }
    assert!(all.contains("nobody can ask"), "{all}");
    let wrong = write("wrong.toml", &POLICY.replace("quorum", "qourum"));
    for (option, file, part) in [
        (
            "--policy",
            &*wrong,
            "wrong.toml:14: error: unknown field `qourum`",
        ),
        (
            "--people",
            "/nowhere/people.toml",
            "/nowhere/people.toml: No such file",
        ),
    ] {
        let (code, out, err) = jit(&[&anywhere[..], &[option, file]].concat()).await;
        assert!(code == Some(1) && out.is_empty() && err.contains(part), "{err}");
    }
}
