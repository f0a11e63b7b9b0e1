//! The operator's listener.

use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};

use crate::application::Application;
use crate::world::{ALICE, World};

#[tokio::test]
async fn metrics_say_what_happened_and_nothing_about_anyone() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    let served = world.serve().await;
    let alice = served.gate().by(ALICE);
    assert_eq!(served.gate().get("/").await.status, 200);
    assert_eq!(alice.get("/admin").await.status, 403);
    served.grant(&served.gate()).await;
    let ask = json!({"resource": "admin", "reason": "once more", "duration": "5m"});
    assert_eq!(alice.post("/_jit/v1/requests", &ask).await.status, 201);
    assert_eq!(alice.get("/admin/secret-path").await.status, 200);
    for n in 0..5 {
        let unknown = crate::client::client(served.at("gate"), &format!("{n}.example"));
        assert_eq!(unknown.get("/").await.status, 421);
    }
    for (metric, value) in [
        ("jit_requests_total{door=\"gate\",outcome=\"open\"}", 1.0),
        ("jit_requests_total{door=\"gate\",outcome=\"admitted\"}", 1.0),
        ("jit_requests_total{door=\"gate\",outcome=\"refused\"}", 6.0),
        ("jit_requests_total{door=\"gate\",outcome=\"control\"}", 3.0),
        (
            "jit_refusals_total{door=\"gate\",reason=\"approval-required\"}",
            1.0,
        ),
        ("jit_refusals_total{door=\"gate\",reason=\"unknown-host\"}", 5.0),
        ("jit_grants_live", 1.0),
        ("jit_requests_pending", 1.0),
        ("jit_view_stale", 0.0),
        ("jit_stopping", 0.0),
        ("jit_interactions_lost_total", 0.0),
        (
            "jit_upstream_responses_total{upstream=\"app\",outcome=\"2xx\"}",
            2.0,
        ),
        ("jit_build_info{version=\"0.1.0\"}", 1.0),
    ] {
        assert_eq!(served.metric(metric).await, value, "{metric}");
    }
    assert!(served.metric("jit_audit_position").await >= 4.0);
    let metrics = served.operator().get("/metrics").await;
    assert_eq!(
        metrics.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    for word in ["alice", "Alice", "secret-path", "admin", ".example", ALICE] {
        assert!(!metrics.text.contains(word), "{word}: {}", metrics.text);
    }
    // Every metric is described, and those that count are called so.
    for line in metrics
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').unwrap();
        assert!(metrics.text.contains(&format!("# HELP {name} ")), "{name}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{line}");
    }
    assert_eq!(served.operator().get("/").await.status, 404);
    // It is no way around the gate, and the gate none to it.
    assert_eq!(served.operator().get("/admin").await.status, 404);
    assert!(!served.gate().get("/metrics").await.text.contains("jit_"));
    served.stop().await;
}

#[tokio::test]
async fn it_is_not_ready_when_its_store_takes_no_writes() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "");
    let served = world.serve().await;
    let path = world.path("jit.db").display().to_string();
    let mut other = SqliteConnection::connect(&path).await.unwrap();
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let ready = served.operator().get("/readyz").await;
    assert_eq!(
        (ready.status, ready.text.as_str()),
        (
            503,
            "the store can't be written: nothing can be asked for or approved\n"
        )
    );
    assert_eq!(served.metric("jit_store_writable").await, 0.0);
    assert_eq!(served.operator().get("/livez").await.status, 200);
    other.execute("ROLLBACK").await.unwrap();
    served.stop().await;
}
