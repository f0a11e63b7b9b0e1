//! A store that fails when told: nothing is done that can't be written, and why is nobody's business.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use jit_core::approval::audit::Tail;
use jit_core::broker::store::{
    Batch, Cell, Position, Put, Query, Record, Snapshot, Store, StoreError, StreamId,
};
use serde_json::json;

use crate::world::{ADMIN, World};

/// What the failing store says of itself. None of it may reach a caller.
const INSIDE: &str = "cannot reach postgres://jit:hunter2@10.0.0.7/jit";

#[derive(Debug)]
pub(crate) struct Flaky {
    inner: Arc<dyn Store>,
    writes_fail: AtomicBool,
    reads_fail: AtomicBool,
}

impl Flaky {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            writes_fail: AtomicBool::new(false),
            reads_fail: AtomicBool::new(false),
        }
    }

    fn fail(&self, reads: bool, writes: bool) {
        self.reads_fail.store(reads, Ordering::SeqCst);
        self.writes_fail.store(writes, Ordering::SeqCst);
    }

    fn reading(&self) -> Result<&dyn Store, StoreError> {
        self.unless(&self.reads_fail)
    }

    fn writing(&self) -> Result<&dyn Store, StoreError> {
        self.unless(&self.writes_fail)
    }

    fn unless(&self, fails: &AtomicBool) -> Result<&dyn Store, StoreError> {
        if fails.load(Ordering::SeqCst) {
            Err(StoreError::unavailable(INSIDE))
        } else {
            Ok(&*self.inner)
        }
    }

    /// The end of the log, whether the store fails or not.
    pub(crate) async fn end(&self) -> Tail {
        self.inner.tail().await.unwrap()
    }
}

#[async_trait]
impl Store for Flaky {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        self.writing()?.append(batch).await
    }
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        self.reading()?.load(stream).await
    }
    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        self.reading()?.find(query).await
    }
    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        self.reading()?.live(after, limit).await
    }
    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.reading()?.feed(after, limit).await
    }
    async fn tail(&self) -> Result<Tail, StoreError> {
        self.reading()?.tail().await
    }
    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        let store = if put.is_some() {
            self.writing()?
        } else {
            self.reading()?
        };
        store.cell(name, put).await
    }
}

fn said_nothing(text: &str, path: &str) {
    for inside in ["postgres", "hunter2", "10.0.0.7", "cannot reach"] {
        assert!(!text.contains(inside), "{path}: {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_503_and_says_nothing_of_the_inside() {
    let world = World::new().await;
    let id = world.asked("alice", ADMIN).await.id();
    world.store.fail(true, false);
    for path in [
        "/v1/requests".to_owned(),
        format!("/v1/requests/{id}"),
        format!("/v1/requests/{id}?wait=30s"),
        "/v1/grants".to_owned(),
        "/v1/events".to_owned(),
        "/v1/lockdowns".to_owned(),
    ] {
        let answer = world.get("carol", &path).await;
        answer.problem(503, "audit-unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
        said_nothing(&answer.text, &path);
    }
    // What comes from memory is still told.
    world.get("carol", "/v1/me").await.is(200);
    world.get("carol", "/v1/policies").await.is(200);
}

#[tokio::test]
async fn what_cannot_be_written_is_503_and_not_done() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let id = asked.id();
    let before = world.end().await;
    world.store.fail(false, true);
    let review = json!({"decision": "approve", "digest": asked.digest()});
    for (who, path, body) in [
        ("erin", "/v1/requests".to_owned(), ADMIN.body()),
        ("bob", format!("/v1/requests/{id}/review"), review),
        ("alice", format!("/v1/requests/{id}/withdraw"), json!({})),
        (
            "carol",
            "/v1/lockdowns".to_owned(),
            json!({"resource": "wiki", "reason": "INC-1"}),
        ),
    ] {
        let answer = world.post(who, &path, &body).await;
        answer.problem(503, "audit-unavailable");
        assert_eq!(answer.header("retry-after"), Some("5"), "{path}");
        said_nothing(&answer.text, &path);
    }
    assert_eq!(world.end().await, before);
    world.store.fail(false, false);
    assert_eq!(world.request("alice", &id).await, asked.json);
}

#[tokio::test]
async fn a_revocation_that_cannot_be_written_shuts_the_gate_all_the_same() {
    let world = World::new().await;
    let id = world.granted("alice", ADMIN).await.id();
    world.broker.follow().await.unwrap();
    world.app("alice", "/admin").await.is(200);
    world.store.fail(false, true);
    let answer = world
        .post(
            "carol",
            &format!("/v1/requests/{id}/revoke"),
            &json!({"reason": "INC-1"}),
        )
        .await;
    answer.problem(503, "audit-unavailable");
    world.app("alice", "/admin").await.is(403);
    world.store.fail(false, false);
    world.broker.sweep().await.unwrap();
    assert_eq!(world.request("carol", &id).await["state"], "revoked");
    world.app("alice", "/admin").await.is(403);
}
