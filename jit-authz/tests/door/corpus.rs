//! The rows of the request corpus that are sent straight at `/authz/forward-auth`.

use serde_json::Value;

use crate::world::World;

#[tokio::test]
async fn every_row_gets_its_verdict() {
    let mut rows = 0;
    for line in include_str!("fwdauth.jsonl").lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let text = |name: &str| row[name].as_str().unwrap();
        let world = World::new();
        match text("grant") {
            "none" => {}
            "admin" => world.grant("alice", "admin", 100, |_| {}),
            "other_path" => world.grant("alice", "billing", 100, |_| {}),
            "other_user" => world.grant("bob", "admin", 100, |_| {}),
            "expired" => {
                world.grant("alice", "admin", 1, |_| {});
                world.clock.advance(std::time::Duration::from_secs(2));
            }
            other => panic!("{other}"),
        }
        let raw = text("raw")
            .replace("{{FWD}}", "/authz/forward-auth")
            .replace("{{TOKEN}}", "token-alice");
        let bytes: Vec<u8> = raw.chars().map(|c| u8::try_from(c).unwrap()).collect();
        let answer = world.serve().await.raw(&bytes).await;
        let granted = answer.header("x-jit-grant").is_some();
        let verdict = match answer.status {
            200 if granted => "allow",
            200 => "allow_public",
            201..300 => "a 2xx that allows nothing",
            _ => "deny",
        };
        let expected = match text("expect") {
            "reject400" => "deny",
            other => other,
        };
        assert_eq!(verdict, expected, "{}: {answer:?}", text("id"));
        rows += 1;
    }
    assert_eq!(rows, 23);
}
