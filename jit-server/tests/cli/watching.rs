//! A watch shows what comes and goes.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::world::{PATIENCE, id, start};

#[tokio::test]
async fn a_watch_tells_when_a_grant_comes_and_goes() {
    let world = start().await;
    let mut watch = world
        .program("bob", &["grants", "--watch"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut line = async || {
        timeout(PATIENCE, lines.next_line())
            .await
            .expect("a line")
            .unwrap()
            .unwrap()
    };
    assert!(line().await.starts_with("REQUEST"));
    let asked = world.ask().await;
    world.approve(id(&asked)).await;
    assert_eq!(line().await, "");
    assert!(line().await.starts_with("REQUEST"));
    let row = line().await;
    assert!(row.starts_with(id(&asked)) && row.contains("active"), "{row}");
    world.jit("alice", &["release", id(&asked)]).await.done(&[]);
    assert_eq!(line().await, "");
    assert!(line().await.starts_with("REQUEST"));
    #[cfg(unix)]
    {
        let pid = watch.id().unwrap().to_string();
        let told = tokio::process::Command::new("kill")
            .args(["-TERM", &pid])
            .status()
            .await
            .unwrap();
        assert!(told.success());
        let ended = timeout(PATIENCE, watch.wait()).await.expect("it stops").unwrap();
        assert_eq!(ended.code(), Some(0), "stopped as asked");
    }
    #[cfg(not(unix))]
    watch.kill().await.unwrap();
    world.end().await;
}
