//! The audit log: for auditors, page by page or as a stream, and verifiable from what is read alone.

use std::pin::Pin;
use std::time::Duration;

use axum::body::Body;
use futures_util::{Stream, StreamExt};
use jit_core::id::{Digest, Timestamp};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::world::{ADMIN, Answer, WIKI, World};

/// What the document says that a record's `hash` is, over what the record says.
fn hash(record: &Value) -> String {
    let text = |name: &str| record[name].as_str().unwrap().as_bytes().to_vec();
    let number = |name: &str| record[name].as_u64().unwrap().to_be_bytes().to_vec();
    let at: Timestamp = record["at"].as_str().unwrap().parse().unwrap();
    let previous = record["previous"].as_str().unwrap();
    let previous = (0..32).map(|n| u8::from_str_radix(&previous[2 * n..2 * n + 2], 16).unwrap());
    let mut all = Vec::new();
    for part in [
        b"jit-audit-1".to_vec(),
        number("position"),
        previous.collect(),
        text("stream"),
        number("version"),
        at.timestamp_micros().to_be_bytes().to_vec(),
        text("body"),
    ] {
        all.extend((part.len() as u64).to_be_bytes());
        all.extend(part);
    }
    Digest::plain(&all).to_string()
}

/// All of the log, by pages of two.
async fn log(world: &World) -> Vec<Value> {
    let mut all = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = world
            .get("carol", &format!("/v1/events?limit=2&after={after}"))
            .await;
        page.is(200);
        all.extend(page.json["items"].as_array().unwrap().iter().cloned());
        match page.json["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => return all,
        }
    }
}

async fn some_story(world: &World) -> Answer {
    let granted = world.granted("alice", ADMIN).await;
    world.advance(60);
    let asked = world.asked("erin", WIKI).await;
    let path = format!("{}/revoke", asked.path());
    world
        .post("carol", &path, &json!({"reason": "INC-1"}))
        .await
        .is(200);
    granted
}

#[tokio::test]
async fn the_log_is_for_auditors() {
    let world = World::new().await;
    for who in ["alice", "bob", "mallory"] {
        for query in ["", "?after=garbage", "?limit=0", "?nonsense=1"] {
            let answer = world.get(who, &format!("/v1/events{query}")).await;
            answer.problem(403, "not-eligible");
            let stream = follow(&world, who, query, None).await;
            assert_eq!(stream.status(), 403);
        }
    }
    for (query, field) in [
        ("after=-1", "after"),
        ("after=18446744073709551615", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("nonsense=1", "nonsense"),
    ] {
        world
            .get("carol", &format!("/v1/events?{query}"))
            .await
            .invalid(field);
    }
    let beyond = world.get("carol", "/v1/events?after=9223372036854775807").await;
    assert_eq!(beyond.json, json!({"items": [], "next": null}));
}

#[tokio::test]
async fn the_chain_holds_by_the_words_of_the_document() {
    let world = World::new().await;
    let granted = some_story(&world).await;
    let records = log(&world).await;
    let mut previous = "0".repeat(64);
    for (record, position) in records.iter().zip(1_u64..) {
        assert_eq!(record["position"], position);
        assert_eq!(record["previous"], previous, "{record}");
        assert_eq!(record["hash"], hash(record), "{record}");
        let event: Value = serde_json::from_str(record["body"].as_str().unwrap()).unwrap();
        assert_eq!(record["event"], event);
        previous = record["hash"].as_str().unwrap().to_owned();
    }
    let end = world.end().await;
    assert_eq!(
        (records.len() as u64, previous),
        (end.position, end.hash.to_string())
    );
    let types: Vec<_> = records
        .iter()
        .map(|record| record["type"].as_str().unwrap())
        .collect();
    assert_eq!(
        types,
        [
            "policy_loaded",
            "requested",
            "reviewed",
            "stage_opened",
            "approved",
            "activated",
            "requested",
            "approved",
            "activated",
            "ended"
        ]
    );
    let stream = format!("request/{}", granted.id());
    let of_the_first = records
        .iter()
        .filter(|record| record["stream"] == stream.as_str());
    assert_eq!(of_the_first.count(), 5);
    // A word changed shows.
    let mut forged = records[1].clone();
    forged["body"] = json!(forged["body"].as_str().unwrap().replace("alice", "malice"));
    assert_ne!(forged["hash"], hash(&forged));
}

#[tokio::test]
async fn no_record_holds_a_credential() {
    let world = World::new().await;
    some_story(&world).await;
    for text in log(&world).await.iter().map(Value::to_string) {
        assert!(!text.contains("demo-"), "{text}");
    }
}

async fn follow(world: &World, who: &str, query: &str, last: Option<&str>) -> http::Response<Body> {
    let mut request = world
        .call(who, "GET", &format!("/v1/events{query}"))
        .header("accept", "text/event-stream");
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    world.respond(request.body(Body::empty()).unwrap()).await
}

/// An event of a stream.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    id: Option<String>,
    name: Option<String>,
    data: Value,
}

struct Reader {
    body: Pin<Box<dyn Stream<Item = Result<bytes::Bytes, axum::Error>>>>,
    text: String,
}

impl Reader {
    async fn open(world: &World, query: &str, last: Option<&str>) -> Self {
        let response = follow(world, "carol", query, last).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            body: Box::pin(response.into_body().into_data_stream()),
            text: String::new(),
        }
    }

    /// The next event that is no comment; `None` at the stream's end.
    async fn next(&mut self) -> Option<Sent> {
        loop {
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                if !event.starts_with(':') {
                    return Some(read(&event));
                }
            }
            let more = self.body.next().await?.unwrap();
            self.text.push_str(std::str::from_utf8(&more).unwrap());
        }
    }

    /// Nothing but comments for a while.
    async fn is_quiet(&mut self) {
        assert!(timeout(Duration::from_secs(50), self.next()).await.is_err());
    }
}

fn read(event: &str) -> Sent {
    let mut sent = Sent::default();
    for line in event.lines() {
        match line.split_once(": ").unwrap() {
            ("id", id) => sent.id = Some(id.to_owned()),
            ("event", name) => sent.name = Some(name.to_owned()),
            ("data", data) => sent.data = serde_json::from_str(data).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    sent
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_what_was_and_what_comes() {
    let world = World::new().await;
    some_story(&world).await;
    let records = log(&world).await;
    let mut stream = Reader::open(&world, "", None).await;
    for record in &records {
        let sent = stream.next().await.unwrap();
        assert_eq!(sent.id, Some(record["position"].to_string()));
        assert_eq!((sent.name, &sent.data), (None, record));
    }
    stream.is_quiet().await;
    world.asked("frank", WIKI).await;
    for kind in ["requested", "approved", "activated"] {
        assert_eq!(stream.next().await.unwrap().data["type"], kind);
    }
    stream.is_quiet().await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_where_the_last_one_ended() {
    let world = World::new().await;
    some_story(&world).await;
    let records = log(&world).await;
    for (query, last, due) in [
        ("?after=3", None, 3),
        ("", Some("4"), 4),
        // The browser says what it has; the address stays what it was.
        ("?after=1", Some("5"), 5),
    ] {
        let mut stream = Reader::open(&world, query, last).await;
        for record in &records[due..] {
            assert_eq!(&stream.next().await.unwrap().data, record, "{query} {last:?}");
        }
        stream.is_quiet().await;
    }
    for (query, last) in [
        ("", Some("x")),
        ("", Some("")),
        ("?limit=1", None),
        ("?after=x", None),
    ] {
        assert_eq!(
            follow(&world, "carol", query, last).await.status(),
            400,
            "{query} {last:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_with_the_right_to_it() {
    let world = World::new().await;
    let mut stream = Reader::open(&world, "?after=1", None).await;
    stream.is_quiet().await;
    world.remove_role("auditor");
    world.advance(31);
    world.asked("frank", WIKI).await;
    let end = stream.next().await.unwrap();
    assert_eq!(end.name.as_deref(), Some("end"));
    assert_eq!(end.data["type"], "/_jit/problems/not-eligible");
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_ends_with_the_right_to_it_as_well() {
    let world = World::new().await;
    let mut stream = Reader::open(&world, "?after=1", None).await;
    stream.is_quiet().await;
    world.disable("carol");
    world.advance(31);
    assert_eq!(stream.next().await.unwrap().name.as_deref(), Some("end"));
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_lives_a_quarter_of_an_hour() {
    let world = World::new().await;
    let mut stream = Reader::open(&world, "?after=1", None).await;
    world.advance(899);
    stream.is_quiet().await;
    world.advance(1);
    assert_eq!(stream.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_person_follows_four_times_at_most() {
    let world = World::new().await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(Reader::open(&world, "", None).await);
    }
    let fifth = follow(&world, "carol", "", None).await;
    assert_eq!(fifth.status(), 429);
    assert_eq!(fifth.headers()["retry-after"], "1");
    // A client that goes away gives its place back.
    streams.pop();
    Reader::open(&world, "", None).await;
}
