//! Broken glass, grants that go on, and grants of less than was asked.

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};

use crate::world::{ADMIN, Answer, World};

async fn broken(world: &World) -> Answer {
    let body = ADMIN.with(json!({"break_glass": true}));
    let answer = world.post("erin-mfa", "/v1/requests", &body).await;
    answer.is(201);
    answer
}

#[tokio::test]
async fn broken_glass_is_open_at_once_and_in_debt() {
    let world = World::new().await;
    world.broker.follow().await.unwrap();
    let body = ADMIN.with(json!({"break_glass": true}));
    world
        .refused("alice-mfa", "/v1/requests", &body, (403, "not-eligible"))
        .await;
    // Several factors in any case, whatever the policy says of its other requests.
    let weak = world
        .refused("erin", "/v1/requests", &body, (401, "step-up-required"))
        .await;
    assert_eq!(
        weak.header("www-authenticate")
            .map(|text| text.starts_with("Bearer error=")),
        Some(true)
    );
    let long = ADMIN.with(json!({"break_glass": true, "duration": "21m"}));
    world
        .refused("erin-mfa", "/v1/requests", &long, (400, "invalid"))
        .await
        .invalid("duration");
    let glass = broken(&world).await;
    assert_eq!(glass.json["state"], "active");
    assert_eq!(glass.json["not_after"], "2026-03-01T09:20:00Z");
    assert_eq!(
        glass.json["break_glass"],
        json!({"review_by": "2026-03-02T09:00:00Z", "reviewed": false, "review": null})
    );
    world.app("erin-mfa", "/admin").await.is(200);
    let more = ADMIN.with(json!({"extends": glass.id()}));
    world
        .refused("erin-mfa", "/v1/requests", &more, (400, "invalid"))
        .await
        .invalid("extends");
    world.advance(1200);
    world.broker.follow().await.unwrap();
    world
        .app("erin-mfa", "/admin")
        .await
        .problem(403, "approval-required");
    let again = world
        .refused("erin-mfa", "/v1/requests", &body, (429, "limit-reached"))
        .await;
    assert_eq!(again.json["request_id"], glass.json["id"]);
}

#[tokio::test]
async fn another_person_looks_into_it_once() {
    let world = World::new().await;
    let glass = broken(&world).await;
    let path = format!("{}/after-review", glass.path());
    let waiting = async |who: &str, query: &str| {
        let page = world
            .get(who, &format!("/v1/requests?after_reviewable={query}"))
            .await;
        page.is(200);
        let items = page.json["items"].as_array().unwrap().iter();
        items
            .map(|item| item["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let all = vec![glass.id()];
    // A request without broken glass waits for nothing of the kind.
    world.granted("alice", ADMIN).await;
    assert_eq!(waiting("bob", "true").await, all);
    assert_eq!(waiting("carol", "true&state=active&resource=admin").await, all);
    for who in ["erin", "mallory"] {
        assert!(waiting(who, "true").await.is_empty(), "{who}");
    }
    world
        .get("bob", "/v1/requests?after_reviewable=yes")
        .await
        .invalid("after_reviewable");
    let finding = json!({"finding": "unjustified", "comment": "a call would have done"});
    world.refused("erin", &path, &finding, (403, "self-review")).await;
    world
        .refused("mallory", &path, &finding, (404, "not-found"))
        .await;
    for (body, field) in [
        (json!({}), "finding"),
        (json!({"finding": "fine"}), "finding"),
        (
            json!({"finding": "justified", "comment": "x".repeat(501)}),
            "comment",
        ),
        (
            json!({"finding": "justified", "digest": glass.digest()}),
            "digest",
        ),
    ] {
        world
            .refused("bob", &path, &body, (400, "invalid"))
            .await
            .invalid(field);
    }
    world.advance(3600);
    let reviewed = world.post("bob", &path, &finding).await;
    assert_eq!(reviewed.state(), "expired");
    assert!(waiting("bob", "true").await.is_empty());
    assert_eq!(waiting("bob", "false").await.len(), 2);
    assert_eq!(
        reviewed.json["break_glass"]["review"],
        json!({
            "person": "bob",
            "finding": "unjustified",
            "comment": "a call would have done",
            "at": "2026-03-01T10:00:00Z",
        })
    );
    let before = world.end().await;
    assert_eq!(world.post("bob", &path, &finding).await.json, reviewed.json);
    assert_eq!(world.end().await, before);
    let other = json!({"finding": "justified"});
    for who in ["bob", "carol"] {
        world.refused(who, &path, &other, (409, "already-decided")).await;
    }
    broken(&world).await;
}

#[tokio::test]
async fn what_is_no_broken_glass_has_no_after_review() {
    let world = World::new().await;
    let granted = world.granted("alice", ADMIN).await;
    let path = format!("{}/after-review", granted.path());
    let finding = json!({"finding": "justified"});
    world
        .refused("bob", &path, &finding, (409, "already-decided"))
        .await;
}

async fn extension(world: &World, of: &Answer, duration: &str) -> (Value, Answer) {
    let body = ADMIN.with(json!({"extends": of.id(), "duration": duration}));
    let answer = world.post("alice", "/v1/requests", &body).await;
    (body, answer)
}

#[tokio::test]
async fn an_extension_begins_where_its_parent_ends() {
    let world = World::new().await;
    let parent = world.granted("alice", ADMIN).await;
    let (body, child) = extension(&world, &parent, "4h").await;
    child.is(201);
    assert_eq!(child.json["state"], "pending");
    assert_eq!(child.json["extends"], parent.json["id"]);
    assert_eq!(child.json["start"], parent.json["not_after"]);
    let shown = world.request("alice", &parent.id()).await;
    assert_eq!(shown["extended_by"], json!([child.json["id"]]));
    let approved = world
        .post("bob", &format!("{}/review", child.path()), &child.approval())
        .await;
    assert_eq!(approved.state(), "scheduled");
    assert_eq!(approved.json["not_before"], parent.json["not_after"]);
    assert_eq!(approved.json["not_after"], "2026-03-01T13:30:00Z");

    world.advance(60);
    let twice = world
        .refused("alice", "/v1/requests", &body, (429, "limit-reached"))
        .await;
    assert_eq!(twice.json["request_id"], child.json["id"]);
    let too_long = ADMIN.with(json!({"extends": child.id(), "duration": "4h"}));
    world
        .refused("alice", "/v1/requests", &too_long, (400, "invalid"))
        .await
        .invalid("duration");
    for (who, more, status, kind) in [
        ("frank", json!({"extends": parent.id()}), 404, "not-found"),
        (
            "alice",
            json!({"extends": "req_00000000000000000000000000000001"}),
            404,
            "not-found",
        ),
        (
            "alice",
            json!({"extends": parent.id(), "break_glass": true}),
            403,
            "not-eligible",
        ),
        (
            "alice",
            json!({"extends": parent.id(), "start": "2026-03-02T09:00:00Z"}),
            400,
            "invalid",
        ),
    ] {
        world
            .refused(who, "/v1/requests", &ADMIN.with(more), (status, kind))
            .await;
    }

    // Whoever takes the parent away takes its continuation away.
    let path = format!("{}/revoke", parent.path());
    world
        .post("carol", &path, &json!({"reason": "INC-1"}))
        .await
        .is(200);
    let gone = world.request("alice", &child.id()).await;
    assert_eq!(gone["state"], "revoked");
    assert_eq!(
        gone["end"]["cause"],
        json!({"by": "parent", "id": parent.json["id"]})
    );
    world
        .refused("alice", "/v1/requests", &body, (409, "already-decided"))
        .await;
}

#[tokio::test]
async fn an_approval_may_be_of_less() {
    let world = World::new().await;
    world.broker.follow().await.unwrap();
    let body = ADMIN.with(json!({"duration": "1h", "methods": ["GET", "POST"], "max_requests": 100}));
    let asked = world.post("alice", "/v1/requests", &body).await;
    asked.is(201);
    assert_eq!(asked.json["methods"], json!(["GET", "POST"]));
    let path = format!("{}/review", asked.path());
    let with = |more: Value| {
        let mut body = asked.approval();
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    for (more, field) in [
        (json!({"duration": "61m"}), "duration"),
        (json!({"methods": ["DELETE"]}), "methods"),
        (json!({"max_requests": 101}), "max_requests"),
        (json!({"max_requests": 0}), "max_requests"),
        (json!({"paths": ["/admin/../etc"]}), "paths"),
        (json!({"paths": ["/admin/*"]}), "paths"),
    ] {
        world
            .refused("bob", &path, &with(more), (400, "invalid"))
            .await
            .invalid(field);
    }
    let less = json!({"duration": "10m", "methods": ["GET"], "paths": ["/admin/logs"], "max_requests": 2});
    let approved = world.post("bob", &path, &with(less)).await;
    assert_eq!(approved.state(), "active");
    // What was asked stays what was asked.
    assert_eq!(approved.json["duration"], "1h");
    assert_eq!(approved.digest(), asked.digest());
    assert_eq!(approved.json["not_after"], "2026-03-01T09:10:00Z");
    assert_eq!(
        approved.json["grant"]["scope"],
        json!({"methods": ["GET"], "paths": ["/admin/logs"]})
    );
    assert_eq!(approved.json["grant"]["max_requests"], 2);
    assert_eq!(approved.json["reviews"][0]["narrowing"]["duration"], "10m");
    for (method, path, status) in [
        ("GET", "/admin", 403),
        ("POST", "/admin/logs", 403),
        ("GET", "/admin/logs", 200),
        ("GET", "/admin/logs/today", 200),
        ("GET", "/admin/logs", 403),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "app.example.com")
            .header("authorization", "Bearer demo-alice");
        let answer = world.send(request.body(Body::empty()).unwrap()).await;
        answer.is(status);
    }
}
