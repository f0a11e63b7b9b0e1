//! What was done under a grant: for those who may see the request, page by page.

use http::{Request, StatusCode};
use jit_core::gate::Verdict;
use jit_core::gate::flight::{Direction, Flight};
use serde_json::{Value, json};

use crate::world::{ADMIN, World};

/// A request of `who` that the gate admits and that is answered at once.
async fn done(world: &World, who: &str, path: &str) {
    let request = Request::builder()
        .uri(path)
        .header("host", "app.example.com")
        .header("authorization", format!("Bearer demo-{who}"));
    let (head, ()) = request.body(()).unwrap().into_parts();
    let verdict = match world.gate.decide(&head, None) {
        Verdict::Lookup(lookup) => world.gate.resolve(&head, None, lookup).await,
        verdict => verdict,
    };
    let Verdict::Admit(admission) = verdict else {
        panic!("{verdict:?}")
    };
    let flight = Flight::begin(&world.gate, &admission, &head);
    flight.answered(StatusCode::OK);
    flight.pass(Direction::Sent, 12).unwrap();
}

#[tokio::test]
async fn who_may_see_the_request_reads_what_was_done() {
    let world = World::new().await;
    let granted = world.granted("alice", ADMIN).await;
    let path = format!("{}/interactions", granted.path());
    let none = json!({"items": [], "next": null, "lost": 0});
    assert_eq!(world.get("alice", &path).await.json, none);
    for place in ["/admin/a?secret=1", "/admin/%E2%80%AEb", "/admin/%22c"] {
        done(&world, "alice", place).await;
    }
    world.broker.flush_interactions().await.unwrap();
    let item = |path: &str| {
        json!({
            "began": "2026-03-01T09:00:00Z",
            "duration_ms": 0,
            "method": "GET",
            "path": path,
            "status": 200,
            "received": 0,
            "sent": 12,
            "end": "completed",
            "moved_from": null,
            "moved_to": null,
        })
    };
    let items = ["/admin/a", "/admin/%E2%80%AEb", "/admin/\"c"].map(item);
    for who in ["alice", "bob", "carol", "frank"] {
        let answer = world.get(who, &path).await;
        answer.is(200);
        assert_eq!(
            answer.json,
            json!({"items": items, "next": null, "lost": 0}),
            "{who}"
        );
    }
    // By pages.
    let mut read: Vec<Value> = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get("carol", &format!("{path}?limit=2{after}")).await;
        page.is(200);
        read.extend(page.json["items"].as_array().unwrap().iter().cloned());
        let Some(next) = page.json["next"].as_str() else {
            break;
        };
        after = format!("&after={next}");
    }
    assert_eq!(read, items);

    // Everybody else is told what they would be told of nothing.
    let nothing = "/v1/requests/req_00000000000000000000000000000001/interactions";
    for query in ["", "?limit=0", "?nonsense=1"] {
        let mut answers = Vec::new();
        for path in [&*path, nothing] {
            let answer = world.get("mallory", &format!("{path}{query}")).await;
            answer.problem(404, "not-found");
            answers.push(answer.text);
        }
        assert_eq!(answers[0], answers[1]);
        world
            .get("", &format!("{path}{query}"))
            .await
            .problem(401, "unauthenticated");
    }
    for (query, field) in [
        ("after=x", "after"),
        ("after=-1", "after"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("nonsense=1", "nonsense"),
    ] {
        world
            .get("carol", &format!("{path}?{query}"))
            .await
            .invalid(field);
    }
}

#[tokio::test]
async fn what_was_done_is_in_the_log_that_auditors_read() {
    let world = World::new().await;
    let granted = world.granted("alice", ADMIN).await;
    done(&world, "alice", "/admin").await;
    world.broker.flush_interactions().await.unwrap();
    let log = world.get("carol", "/v1/events?limit=1000").await;
    log.is(200);
    let record = log.json["items"].as_array().unwrap().last().unwrap();
    let grant = granted.id().replace("req_", "grt_");
    assert_eq!(record["stream"], format!("interactions/{grant}"));
    assert_eq!(record["type"], "interactions");
    assert_eq!(record["event"]["grant"], grant);
    assert_eq!(record["event"]["resource"], "admin");
    assert_eq!(record["event"]["items"][0]["path"], "/admin");
}
