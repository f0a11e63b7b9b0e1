//! What was answered is there after a restart.

use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use jit_store_sqlite::SqliteStore;
use serde_json::json;

use crate::world::{ADMIN, Answer, WIKI, World};

async fn open(path: &Path) -> (World, Arc<SqliteStore>) {
    let store = Arc::new(SqliteStore::open(path).await.unwrap());
    (World::on(store.clone()).await, store)
}

async fn with_key(world: &World, key: &str) -> Answer {
    let request = world
        .call("alice", "POST", "/v1/requests")
        .header("content-type", "application/json")
        .header("idempotency-key", key);
    let body = Body::from(ADMIN.body().to_string());
    world.send(request.body(body).unwrap()).await
}

#[tokio::test]
async fn a_restart_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jit.db");
    let (world, store) = open(&path).await;
    let asked = with_key(&world, "k-1").await;
    asked.is(201);
    let review = format!("{}/review", asked.path());
    world.post("bob", &review, &asked.approval()).await.is(200);
    let waits = world.asked("erin", ADMIN).await;
    let lockdown = json!({"resource": "wiki", "reason": "INC-1"});
    world.post("carol", "/v1/lockdowns", &lockdown).await.is(201);
    world
        .refused("frank", "/v1/requests", &WIKI.body(), (403, "locked-down"))
        .await;

    let reads = ["/v1/requests", "/v1/grants", "/v1/events", "/v1/lockdowns"];
    let mut before = Vec::new();
    for read in reads {
        before.push(world.get("carol", read).await.json);
    }
    drop(world);
    store.close().await;
    drop(store);

    let (world, _store) = open(&path).await;
    for (read, before) in reads.iter().zip(before) {
        assert_eq!(world.get("carol", read).await.json, before, "{read}");
    }
    let again = with_key(&world, "k-1").await;
    assert_eq!(again.state(), "active");
    assert_eq!(again.id(), asked.id());
    world.broker.follow().await.unwrap();
    world.app("alice", "/admin").await.is(200);
    world.app("erin", "/admin").await.problem(403, "approval-pending");
    world
        .refused("frank", "/v1/requests", &WIKI.body(), (403, "locked-down"))
        .await;
    let approved = world
        .post("bob", &format!("{}/review", waits.path()), &waits.approval())
        .await;
    assert_eq!(approved.state(), "active");
}
