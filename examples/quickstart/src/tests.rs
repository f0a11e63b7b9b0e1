//! The walk-through of the README, with a clock that moves when told.

use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use jit_core::testing::ManualClock;
use serde_json::{Value, json};
use sqlx::{Connection, SqliteConnection};
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;

struct Demo {
    app: Router,
    broker: Broker,
    store: Arc<SqliteStore>,
    clock: Arc<ManualClock>,
}

impl Demo {
    async fn open(folder: &TempDir, clock: &Arc<ManualClock>) -> Self {
        let store = Arc::new(SqliteStore::open(folder.path().join("demo.db")).await.unwrap());
        let policy = Policy::parse(include_str!("policy.toml"), Format::Toml, "policy.toml").unwrap();
        assert_eq!(policy.warnings(), []);
        let people = PeopleFile::parse(include_str!("people.toml"), Format::Toml, "people.toml").unwrap();
        let (app, broker) = app(store.clone(), policy, people, clock.clone()).await.unwrap();
        Self {
            app,
            broker,
            store,
            clock: clock.clone(),
        }
    }

    async fn send(&self, who: &str, host: &str, path: &str, body: Option<Value>) -> (u16, String, Value) {
        let mut request = axum::http::Request::builder().uri(path).header("host", host);
        if !who.is_empty() {
            request = request.header("authorization", format!("Bearer demo-{who}"));
        }
        let request = match body {
            None => request.body(Body::empty()),
            Some(body) => request
                .method("POST")
                .header("content-type", "application/json")
                .body(Body::from(body.to_string())),
        };
        let response = self.app.clone().oneshot(request.unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(body.to_vec()).unwrap();
        let json = serde_json::from_str(&text).unwrap_or_default();
        (status, text, json)
    }

    async fn get(&self, who: &str, path: &str) -> (u16, Value) {
        let (status, _, json) = self.send(who, "localhost:8080", path, None).await;
        (status, json)
    }

    async fn post(&self, who: &str, path: &str, body: Value) -> (u16, Value) {
        let (status, _, json) = self.send(who, "localhost:8080", path, Some(body)).await;
        (status, json)
    }

    /// As the running app does once a second.
    async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.broker.follow().await.unwrap();
    }
}

#[tokio::test]
async fn the_whole_story() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
    let demo = Demo::open(&folder, &clock).await;

    // Refused.
    assert_eq!(demo.send("", "localhost:8080", "/", None).await.0, 200);
    let (status, refused) = demo.get("", "/admin").await;
    assert_eq!(
        (status, &refused["type"]),
        (401, &json!("/_jit/problems/unauthenticated"))
    );
    assert_eq!(refused.get("resource"), None);
    assert_eq!(demo.get("forged", "/admin").await.0, 401);
    let (status, refused) = demo.get("alice", "/admin").await;
    assert_eq!(
        (status, &refused["type"]),
        (403, &json!("/_jit/problems/approval-required"))
    );
    let ask_at = refused["request_url"].as_str().unwrap();
    assert_eq!(ask_at, "/_jit/v1/requests");

    // Ask, where the refusal says.
    let ask = json!({"resource": refused["resource"], "reason": "look at the failed nightly job", "duration": "1m"});
    let (status, asked) = demo.post("alice", ask_at, ask.clone()).await;
    assert_eq!((status, &asked["state"]), (201, &json!("pending")));
    assert_eq!(demo.post("bob", ask_at, ask).await.0, 403);
    let request = asked["url"].as_str().unwrap();
    let (status, waits) = demo.get("alice", "/admin").await;
    assert_eq!((status, &waits["request_id"]), (403, &asked["id"]));

    // Approve.
    let review = format!("{request}/review");
    let approval = json!({"decision": "approve", "digest": asked["digest"], "comment": ""});
    let (status, own) = demo.post("alice", &review, approval.clone()).await;
    assert_eq!(
        (status, &own["type"]),
        (403, &json!("/_jit/problems/self-review"))
    );
    assert_eq!(demo.post("mallory", &review, approval.clone()).await.0, 404);
    let guessed = json!({"decision": "approve", "digest": "0".repeat(64)});
    let (status, stale) = demo.post("bob", &review, guessed).await;
    assert_eq!((status, &stale["current_digest"]), (409, &asked["digest"]));
    assert_eq!(demo.get("alice", "/admin").await.0, 403);
    let (status, approved) = demo.post("bob", &review, approval).await;
    assert_eq!((status, &approved["state"]), (200, &json!("active")));

    // Admitted.
    for path in ["/admin", "/admin/", "/admin/users/7?q=1"] {
        let (status, text, _) = demo.send("alice", "localhost:8080", path, None).await;
        assert_eq!(status, 200, "{path}: {text}");
        assert!(text.starts_with("Welcome, alice. Grant grt_"), "{text}");
    }
    for (who, status) in [("bob", 403), ("carol", 403), ("mallory", 403), ("", 401)] {
        assert_eq!(demo.get(who, "/admin").await.0, status, "{who}");
    }

    // What alice did is there to be read.
    demo.broker.flush_interactions().await.unwrap();
    let interactions = format!("{request}/interactions");
    let (status, done) = demo.get("carol", &interactions).await;
    let done: Vec<_> = (done["items"].as_array().unwrap().iter())
        .map(|item| {
            (
                item["path"].as_str().unwrap(),
                item["status"].clone(),
                item["sent"].as_u64().unwrap() > 30,
            )
        })
        .collect();
    let due = ["/admin", "/admin/", "/admin/users/7"].map(|path| (path, json!(200), true));
    assert_eq!((status, &done[..]), (200, &due[..]));
    assert_eq!(demo.get("mallory", &interactions).await.0, 404);

    demo.pass(Duration::from_millis(59_999)).await;
    assert_eq!(demo.get("alice", "/admin").await.0, 200);
    demo.pass(Duration::from_millis(1)).await;
    assert_eq!(demo.get("alice", "/admin").await.0, 403);
    assert_eq!(demo.get("alice", request).await.1["state"], "expired");

    // Read the story.
    demo.broker.sweep().await.unwrap();
    assert_eq!(demo.get("alice", "/_jit/v1/events").await.0, 403);
    let (status, events) = demo.get("carol", "/_jit/v1/events").await;
    let types: Vec<_> = events["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| &item["type"])
        .collect();
    let story = [
        "policy_loaded",
        "requested",
        "reviewed",
        "stage_opened",
        "approved",
        "activated",
        "interactions",
        "ended",
    ];
    assert_eq!((status, types), (200, story.map(Value::from).iter().collect()));

    // The same after a restart, and nothing is open that was not.
    let before = (events, demo.get("carol", request).await);
    demo.store.close().await;
    drop(demo);
    let demo = Demo::open(&folder, &clock).await;
    assert_eq!(demo.get("carol", "/_jit/v1/events").await.1, before.0);
    assert_eq!(demo.get("carol", request).await, before.1);
    assert_eq!(demo.get("alice", "/admin").await.0, 403);
}

#[tokio::test]
async fn a_restart_in_the_middle_of_a_grant_leaves_it_open() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
    let demo = Demo::open(&folder, &clock).await;
    let ask = json!({"resource": "admin", "reason": "INC-1"});
    let (_, asked) = demo.post("alice", "/_jit/v1/requests", ask).await;
    let review = format!("{}/review", asked["url"].as_str().unwrap());
    let approval = json!({"decision": "approve", "digest": asked["digest"]});
    assert_eq!(demo.post("carol", &review, approval).await.0, 200);
    demo.store.close().await;
    drop(demo);
    clock.advance(Duration::from_secs(30));
    let demo = Demo::open(&folder, &clock).await;
    assert_eq!(demo.get("alice", "/admin").await.0, 200);
    demo.pass(Duration::from_secs(30)).await;
    assert_eq!(demo.get("alice", "/admin").await.0, 403);
}

#[tokio::test]
async fn the_demo_answers_to_its_own_names_on_any_port() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
    let demo = Demo::open(&folder, &clock).await;
    for (host, open) in [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("LOCALHOST.:1", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:65535", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.2:8080", 421),
        ("localhost:0", 400),
        ("user@localhost", 400),
    ] {
        for (path, who, named) in [
            ("/", "", 200),
            ("/nowhere", "", 404),
            ("/admin", "", 401),
            ("/admin", "alice", 403),
            ("/_jit/v1/me", "alice", 200),
        ] {
            let status = if open == 200 { named } else { open };
            let (answered, text, _) = demo.send(who, host, path, None).await;
            assert_eq!(answered, status, "{host} {path} {who}: {text}");
        }
    }
}

#[tokio::test]
async fn one_request_asks_waits_and_passes() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
    let demo = Demo::open(&folder, &clock).await;
    let request = axum::http::Request::builder()
        .uri("/admin")
        .header("host", "localhost:8080")
        .header("authorization", "Bearer demo-alice")
        .header("jit-reason", "look into INC-42")
        .header("prefer", "wait=30")
        .body(Body::empty())
        .unwrap();
    let approve = async {
        let asked = loop {
            let (_, listed) = demo.get("bob", "/_jit/v1/requests?reviewable=true").await;
            if let Some(asked) = listed["items"].get(0) {
                break asked.clone();
            }
        };
        assert_eq!(asked["reason"], "look into INC-42");
        let review = format!("{}/review", asked["url"].as_str().unwrap());
        let approval = json!({"decision": "approve", "digest": asked["digest"]});
        assert_eq!(demo.post("bob", &review, approval).await.0, 200);
    };
    let (response, ()) = tokio::join!(demo.app.clone().oneshot(request), approve);
    let response = response.unwrap();
    assert_eq!(response.status(), 200);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert!(body.starts_with(b"Welcome, alice."), "{body:?}");
}

async fn fails(args: &[&str]) -> String {
    let args = Args::try_parse_from([&["quickstart"], args].concat()).unwrap();
    serve(args).await.unwrap_err().to_string()
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_with_its_mend() {
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let policy = include_str!("policy.toml").replace("resources = [\"admin\"]", "resources = [\"amdin\"]");
    let policy = file("policy.toml", &policy);
    let error = fails(&["--policy", &policy]).await;
    assert!(error.contains(&format!("{policy}:19: error: ")), "{error}");
    assert!(
        error.contains("\"amdin\"") && error.contains("; mend: "),
        "{error}"
    );
    let people = file("people.toml", "[[people]]\nname = \"Eve\"\ntoken = \"secret\"\n");
    let error = fails(&["--people", &people]).await;
    assert!(
        error.starts_with(&format!("{people}:3: ")) && !error.contains("\"secret\""),
        "{error}"
    );
    let gone = folder.path().join("gone.toml");
    let gone = gone.to_str().unwrap();
    assert!(fails(&["--policy", gone]).await.starts_with(gone));
    let odd = file("policy.txt", "");
    assert!(
        fails(&["--policy", &odd])
            .await
            .ends_with("name it .toml, .yaml or .json")
    );

    let db = folder.path().join("demo.db");
    let db = db.to_str().unwrap();
    let _other = SqliteStore::open(db).await.unwrap();
    let error = fails(&["--listen", "127.0.0.1:0", "--db", db]).await;
    assert!(
        error.contains("is in use by process ")
            && error.contains("stop that one first, or name another file with --db"),
        "{error}"
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let taken = listener.local_addr().unwrap().to_string();
    let error = fails(&["--listen", &taken, "--db", &format!("{db}2")]).await;
    assert!(error.starts_with(&format!("{taken}: ")), "{error}");
    assert!(error.ends_with("choose another address with --listen"), "{error}");
}

#[tokio::test]
async fn a_log_that_was_changed_is_not_served_from() {
    let (folder, clock) = (TempDir::new().unwrap(), Arc::new(ManualClock::default()));
    let demo = Demo::open(&folder, &clock).await;
    let ask = json!({"resource": "admin", "reason": "look at the failed nightly job"});
    assert_eq!(demo.post("alice", "/_jit/v1/requests", ask).await.0, 201);
    assert_eq!(verify_log(&*demo.store).await.unwrap().position, 2);
    demo.store.close().await;
    drop(demo);
    let db = folder.path().join("demo.db");
    let mut outsider = SqliteConnection::connect(db.to_str().unwrap()).await.unwrap();
    let change =
        "DROP TRIGGER events_are_never_changed; UPDATE events SET body = replace(body, 'nightly', 'daily')";
    sqlx::raw_sql(change).execute(&mut outsider).await.unwrap();
    outsider.close().await.unwrap();
    let error = fails(&["--listen", "127.0.0.1:0", "--db", db.to_str().unwrap()]).await;
    assert!(
        error.contains("broken at position 2: its content does not match its hash"),
        "{error}"
    );
}
