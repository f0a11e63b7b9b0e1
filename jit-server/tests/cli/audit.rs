//! The audit log, kept elsewhere and checked.

use std::path::Path;

use jit_core::broker::store::{Batch, Draft, Facets, Store, StreamId, Write};
use jit_core::id::Timestamp;
use jit_store_sqlite::SqliteStore;

use crate::world::{Ran, World, id, jit, start};

/// A world in which something has happened.
async fn lived_in() -> World {
    let world = start().await;
    let asked = world.ask().await;
    world.approve(id(&asked)).await;
    world.jit("alice", &["release", id(&asked)]).await.done(&[]);
    world
}

async fn verify(file: &Path, expected: &[&str]) -> Ran {
    let expected = expected.iter().flat_map(|known| ["--expect", known]);
    let args = ["audit", "verify", file.to_str().unwrap()]
        .into_iter()
        .chain(expected);
    jit(&args.collect::<Vec<_>>()).await
}

fn newest(text: &str) -> String {
    let line = text.lines().find_map(|line| line.strip_prefix("newest: "));
    line.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[tokio::test]
async fn an_export_is_the_log_and_shows_every_change() {
    let world = lived_in().await;
    let folder = tempfile::tempdir().unwrap();
    let exported = world.jit("carol", &["audit", "export"]).await.done(&[]);
    let json = folder.path().join("audit.jsonl");
    std::fs::write(&json, &exported.out).unwrap();
    let known = newest(&exported.err);
    let lines: Vec<&str> = exported.out.lines().collect();
    let count = lines.len();
    assert!(count > 5, "{exported:?}");

    let verified = verify(&json, &[]).await.done(&[
        "audit.jsonl: whole\n",
        &format!("{count} records, positions 1 to {count}, "),
        "checked: no record in between",
        "not checked: whether the log was made anew, and whether its end",
    ]);
    assert_eq!(newest(&verified.out), known);
    let sure = verify(&json, &[&known]).await.done(&[
        "has the expected hash",
        "not checked: whether there were records after",
    ]);
    assert!(!sure.out.contains("made anew"), "{sure:?}");

    let csv = folder.path().join("audit.csv");
    let as_csv = world
        .jit("carol", &["audit", "export", "-o", "csv"])
        .await
        .done(&["position,at,type,"]);
    std::fs::write(&csv, &as_csv.out).unwrap();
    verify(&csv, &[&known]).await.done(&["has the expected hash"]);

    let other = format!("{count}:{}", "0".repeat(64));
    verify(&json, &[&other])
        .await
        .ended(1, &["the audit log is another one"]);
    let beyond = format!("{}:{}", count + 1, "0".repeat(64));
    verify(&json, &[&beyond])
        .await
        .ended(1, &["the log lost some, or this is only a part"]);

    let joined = |lines: Vec<&str>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
    let without = |n: usize| joined([&lines[..n], &lines[n + 1..]].concat());
    let swapped = || {
        let mut lines = lines.clone();
        lines.swap(2, 3);
        joined(lines)
    };
    for (what, forged, part) in [
        (
            "a word changed",
            exported.out.replacen("INC-42", "INC-43", 1),
            "content does not match its hash",
        ),
        (
            "a time changed",
            exported.out.replacen("\"at\":\"20", "\"at\":\"19", 1),
            "content does not match its hash",
        ),
        (
            "one dropped",
            without(2),
            "line 3: the audit log is broken at position 4: a record is missing, doubled or out of order; positions 1 to 2 are whole",
        ),
        (
            "two swapped",
            swapped(),
            "a record is missing, doubled or out of order",
        ),
        (
            "cut within a line",
            exported.out.trim_end().to_owned(),
            "has no end, so the export was cut off",
        ),
        (
            "no log",
            "hello\n".to_owned(),
            "line 1: it is no record of an audit log",
        ),
        (
            "nothing",
            String::new(),
            "there are no records, so nothing was checked",
        ),
    ] {
        assert_ne!(forged, exported.out, "{what}");
        let file = folder.path().join("forged.jsonl");
        std::fs::write(&file, forged).unwrap();
        verify(&file, &[]).await.ended(1, &[part]);
    }
    // What a chain alone can't show.
    let file = folder.path().join("cut.jsonl");
    std::fs::write(&file, joined(lines[..count - 1].to_vec())).unwrap();
    verify(&file, &[]).await.done(&["not checked"]);
    verify(&file, &[&known]).await.ended(1, &["the log lost some"]);
    world.end().await;
}

#[tokio::test]
async fn a_part_of_the_log_says_that_it_is_one() {
    let world = lived_in().await;
    let folder = tempfile::tempdir().unwrap();
    let all = world.jit("carol", &["audit", "export"]).await.done(&[]);
    let records: Vec<serde_json::Value> = all
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let third = records[2]["at"].as_str().unwrap();
    for (args, first) in [(["--from", "3"], 3), (["--from", third], 3)] {
        let part = world
            .jit("carol", &[&["audit", "export"], &args[..]].concat())
            .await
            .done(&[]);
        let file = folder.path().join("part.jsonl");
        std::fs::write(&file, &part.out).unwrap();
        let from = serde_json::from_str::<serde_json::Value>(part.out.lines().next().unwrap()).unwrap();
        // Several records can be of one moment.
        assert!(from["position"].as_u64().unwrap() <= first, "{from}");
        assert_eq!(from["at"], records[2]["at"]);
        let before = from["position"].as_u64().unwrap() - 1;
        verify(&file, &[])
            .await
            .done(&[&format!("not checked: what is before position {}", before + 1)]);
        let known = format!("{before}:{}", from["previous"].as_str().unwrap());
        verify(&file, &[&known])
            .await
            .done(&[&format!("position {before} has the expected hash")]);
        let wrong = format!("{before}:{}", "1".repeat(64));
        verify(&file, &[&wrong])
            .await
            .ended(1, &["the audit log is another one"]);
    }
    let none = world
        .jit("carol", &["audit", "export", "--until", "2000-01-01T00:00:00Z"])
        .await
        .ended(0, &["no records"]);
    assert_eq!(none.out, "");
    world
        .jit("alice", &["audit", "export"])
        .await
        .ended(3, &["error: You are not eligible"]);
    world
        .jit("carol", &["audit", "export", "--from", "yesterday"])
        .await
        .ended(2, &["write a position, or a time"]);
    world.end().await;
}

#[tokio::test]
async fn a_database_is_checked_in_use_and_as_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let store = SqliteStore::open(&path).await.unwrap();
    verify(&path, &[]).await.ended(1, &["there are no records"]);
    for expected in 0..3 {
        let at = Timestamp::from_timestamp_micros(1_767_225_600_000_000).unwrap();
        let body = format!("{{\"type\":\"test\",\"reason\":\"INC-4711 {expected}\"}}");
        let write = Write {
            stream: StreamId::Control,
            expected,
            events: vec![Draft { at, body }],
            state: "{}".to_owned(),
            facets: Facets::default(),
        };
        let batch = Batch {
            writes: vec![write],
            unchanged: vec![],
        };
        store.append(batch).await.unwrap();
    }
    let tail = store.tail().await.unwrap();
    let known = format!("3:{}", tail.hash);
    verify(&path, &[&known]).await.done(&[
        "jit.db: whole\n3 records, positions 1 to 3, ",
        "position 3 has the expected hash",
        "not checked: whether the states that the database keeps follow from its log",
    ]);
    store.close().await;
    // With nobody who reads beside it, the last to close copies all into the one file.
    SqliteStore::open(&path).await.unwrap().close().await;

    // Somebody who writes to the file itself.
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes
        .windows(10)
        .position(|window| window == b"INC-4711 1")
        .unwrap();
    bytes[at + 7] = b'2';
    let copy = folder.path().join("copy.db");
    std::fs::write(&copy, bytes).unwrap();
    verify(&copy, &[]).await.ended(
        1,
        &["broken at position 2: its content does not match its hash; positions 1 to 1 are whole"],
    );
    let none = folder.path().join("none.db");
    verify(&none, &[]).await.ended(1, &["none.db: "]);
    assert!(!none.exists(), "nothing is made");
}

#[tokio::test]
async fn a_server_can_neither_change_the_log_nor_keep_it_from_ending() {
    let world = lived_in().await;
    let items = world
        .jit("carol", &["events", "-o", "json", "--limit", "5"])
        .await
        .done(&[]);
    let items: Vec<serde_json::Value> = items
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let page = |change: &dyn Fn(&mut Vec<serde_json::Value>)| {
        let mut items = items.clone();
        change(&mut items);
        serde_json::json!({"items": items, "next": null})
    };
    for (answer, part) in [
        (
            page(&|items| items[1]["body"] = "{}".into()),
            "not what its body says",
        ),
        (
            page(&|items| items[1]["hash"] = "0".repeat(64).into()),
            "broken at position 2",
        ),
        (page(&|items| drop(items.remove(1))), "a record is missing"),
        (
            page(&|items| items[1]["type"] = "other".into()),
            "not what its body says",
        ),
        (serde_json::json!({"items": [], "next": "7"}), "gives nothing"),
    ] {
        let url = crate::hostile::answering(answer).await;
        let args = ["audit", "export", "--url", &url];
        world.jit("carol", &args).await.ended(1, &[part, "not"]);
    }
    world.end().await;
}
