//! Servers that mean harm: what they say does nothing to the terminal, and they get nothing.

use std::sync::Arc;
use std::sync::Mutex;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Uri};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::world::{Ran, id, program, ran, start};

/// What rewrites, forges or hides, each in every text of an answer.
const INJECTIONS: [&str; 9] = [
    "\u{1b}[2J\u{1b}[1;1Hforged",
    "\u{1b}]0;title\u{7}",
    "\u{9b}31m",
    "x\r\nforged",
    "x\nforged",
    "x\rforged",
    "\u{202e}live\u{2066}",
    "a\u{8}\u{8}\u{7f}\0",
    "\u{200b}\u{feff}\u{2028}forged",
];

/// A server that answers each path with what it was given for it.
async fn serve(
    answer: impl Fn(&Uri) -> Response + Send + Sync + 'static,
) -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
    type Shared = (
        Arc<dyn Fn(&Uri) -> Response + Send + Sync>,
        Arc<Mutex<Vec<HeaderMap>>>,
    );
    async fn handle(State((answer, seen)): State<Shared>, uri: Uri, headers: HeaderMap) -> Response {
        seen.lock().unwrap().push(headers);
        answer(&uri)
    }
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shared: Shared = (Arc::new(answer), seen.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(axum::serve(listener, Router::new().fallback(handle).with_state(shared)).into_future());
    (url, seen)
}

fn json(status: u16, value: &Value) -> Response {
    let kind = [("content-type", "application/json")];
    (
        http::StatusCode::from_u16(status).unwrap(),
        kind,
        value.to_string(),
    )
        .into_response()
}

/// A server that answers everything with the same.
pub(crate) async fn answering(value: Value) -> String {
    serve(move |_| json(200, &value)).await.0
}

async fn against(url: &str, args: &[&str]) -> Ran {
    let mut command = program(args);
    command.env("JIT_URL", url).env("JIT_TOKEN", "demo-alice");
    ran(command).await
}

/// Puts `text` behind every string that is shown; ids stay what they are.
fn poison(value: &mut Value, text: &str) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                if !["id", "digest", "request_id", "state", "next", "previous", "hash"]
                    .contains(&name.as_str())
                {
                    poison(member, text);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| poison(item, text)),
        Value::String(string) => string.push_str(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn is_inert(ran: &Ran) {
    for text in [&ran.out, &ran.err] {
        let acts = |c: char| c != '\n' && jit_core::policy::text::is_unprintable(c);
        assert!(!text.chars().any(acts), "{ran:?}");
        assert!(
            !text.lines().any(|line| line.trim_start().starts_with("forged")),
            "{ran:?}"
        );
    }
}

#[tokio::test]
async fn what_others_wrote_is_inert() {
    let world = start().await;
    let asked = world.ask().await;
    let one = id(&asked).to_owned();
    world.approve(&one).await;
    let set = [
        "lockdown",
        "set",
        "--resource",
        "nowhere",
        "--reason",
        "x",
        "-o",
        "json",
    ];
    world.jit("carol", &set).await.done(&[]);
    // Real answers, so that nothing is missed that is shown.
    let mut real = Vec::new();
    for (path, args) in [
        ("/requests/", &["show", &one, "-o", "json"][..]),
        ("/requests", &["requests", "-o", "json"]),
        ("/grants", &["grants", "-o", "json"]),
        ("/lockdowns", &["lockdown", "list", "-o", "json"]),
    ] {
        real.push((path, world.jit("carol", args).await.done(&[]).json()));
    }
    let offers = world.jit("alice", &["policies", "-o", "json"]).await.done(&[]);
    real.push(("/policies", offers.json()));
    let events = world.jit("carol", &["events", "-o", "json"]).await.done(&[]);
    let events: Vec<Value> = events
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    real.push(("/events", serde_json::json!({"items": events})));

    for text in INJECTIONS {
        let answers: Vec<(&str, Value)> = real
            .iter()
            .map(|(path, value)| {
                let mut value = value.clone();
                poison(&mut value, text);
                (*path, value)
            })
            .collect();
        let (url, _) = serve(move |uri| {
            let found = answers.iter().find(|(path, _)| uri.path().contains(path));
            found.map_or_else(|| json(404, &Value::Null), |(_, value)| json(200, value))
        })
        .await;
        for args in [
            &["show", &one][..],
            &["requests"],
            &["grants"],
            &["lockdown", "list"],
            &["policies"],
            &["events"],
        ] {
            let shown = against(&url, args).await.done(&[]);
            assert!(
                shown.out.contains('\\'),
                "it is shown that it is there: {shown:?}"
            );
            is_inert(&shown);
            let as_json = against(&url, &[args, &["-o", "json"]].concat()).await.done(&[]);
            is_inert(&as_json);
            // Inert by JSON's own escapes: a program still reads what was sent.
            let documents = serde_json::Deserializer::from_str(&as_json.out).into_iter::<Value>();
            let read: Vec<Value> = documents
                .map(|read| read.unwrap_or_else(|error| panic!("{error}: {as_json:?}")))
                .collect();
            let meant = Value::String(text.to_owned()).to_string();
            let meant = meant.trim_matches('"');
            assert!(
                read.iter().any(|value| value.to_string().contains(meant)),
                "{as_json:?}"
            );
        }
        let wrong = ["approve", &one, "--digest", &"0".repeat(64)];
        is_inert(&against(&url, &wrong).await.ended(7, &[]));

        let problem = serde_json::json!({"type": "/p/not-eligible", "title": format!("No{text}"), "detail": text, "retry_at": text});
        let (url, _) = serve(move |_| json(403, &problem)).await;
        is_inert(&against(&url, &["grants"]).await.ended(3, &["error: No"]));
    }
    world.end().await;
}

#[tokio::test]
async fn an_endless_or_foolish_answer_is_an_error() {
    let (url, _) = serve(|_| {
        let chunk = Bytes::from(vec![b' '; 1024 * 1024]);
        let endless = stream::repeat_with(move || Ok::<_, std::io::Error>(chunk.clone()));
        ([("content-type", "application/json")], Body::from_stream(endless)).into_response()
    })
    .await;
    against(&url, &["grants"]).await.ended(1, &["more than", "bytes"]);
    for (answer, code) in [
        (serde_json::json!({"items": [], "next": "1"}), 1),
        (serde_json::json!({"items": [{}]}), 1),
        (serde_json::json!([]), 1),
        (serde_json::json!(null), 1),
    ] {
        let (url, _) = serve(move |_| json(200, &answer)).await;
        against(&url, &["grants"]).await.ended(code, &["error: "]);
    }
    let (url, _) = serve(|_| "<html>".into_response()).await;
    against(&url, &["grants"]).await.ended(6, &["without JSON", &url]);
}

#[tokio::test]
async fn a_token_is_not_sent_where_a_server_points_to() {
    let (thief, stolen) = serve(|_| json(200, &serde_json::json!({"items": []}))).await;
    let to = format!("{thief}/_jit/v1/grants");
    let (url, seen) =
        serve(move |_| (http::StatusCode::TEMPORARY_REDIRECT, [("location", to.clone())]).into_response())
            .await;
    let refused = against(&url, &["grants"]).await;
    assert_ne!(refused.code, 0, "{refused:?}");
    assert_eq!((seen.lock().unwrap().len(), stolen.lock().unwrap().len()), (1, 0));
    assert!(
        seen.lock().unwrap()[0]["authorization"]
            .to_str()
            .unwrap()
            .ends_with("demo-alice")
    );
}
