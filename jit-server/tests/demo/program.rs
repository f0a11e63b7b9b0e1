//! The program itself: what it prints, and what it exits with.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

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
        let ended = tokio::time::timeout(PATIENCE, demo.wait()).await;
        assert_eq!(ended.expect("it stops").unwrap().code(), Some(0), "{signal}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{signal}");
    }
}
