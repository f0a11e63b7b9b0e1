//! Every path of the document, and paths that it does not have.

use axum::body::Body;
use serde_json::{Value, json};

use crate::world::{ADMIN, World};

/// Method and path of every operation, with the id of a request put in; and whether it needs someone.
async fn operations(world: &World, id: &str) -> Vec<(String, String, bool)> {
    let document = world.get("", "/openapi.json").await;
    document.is(200);
    assert_eq!(document.header("content-type"), Some("application/json"));
    let paths = document.json["paths"].as_object().unwrap().clone();
    let mut all = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let open = operation["security"] == json!([{}]);
            all.push((method.to_uppercase(), path.replace("{id}", id), !open));
        }
    }
    assert!(all.len() >= 16, "{all:?}");
    all
}

#[tokio::test]
async fn every_operation_but_the_document_needs_someone() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let before = world.end().await;
    let mut open = Vec::new();
    for (method, path, needs) in operations(&world, &asked.id()).await {
        for (body, kind) in [
            ("", None),
            ("{}", Some("application/json")),
            ("garbage", Some("text/plain")),
        ] {
            let mut request = world.call("", &method, &path);
            if let Some(kind) = kind {
                request = request.header("content-type", kind);
            }
            let answer = world.send(request.body(Body::from(body)).unwrap()).await;
            if needs {
                answer.problem(401, "unauthenticated");
                assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
            } else {
                answer.is(200);
            }
        }
        if !needs {
            open.push(path);
        }
    }
    assert_eq!(open, ["/openapi.json"]);
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn reading_changes_nothing() {
    let world = World::new().await;
    let pending = world.asked("alice", ADMIN).await;
    let granted = world.granted("erin", ADMIN).await;
    let before = world.end().await;
    for id in [pending.id(), granted.id()] {
        for (_, path, _) in operations(&world, &id).await {
            for method in ["GET", "HEAD"] {
                for who in ["", "alice", "carol", "mallory"] {
                    let request = world.call(who, method, &path).body(Body::empty()).unwrap();
                    let answer = world.send(request).await;
                    assert!(!answer.status.is_server_error(), "{answer:?}");
                    if method == "HEAD" {
                        assert_eq!(answer.text, "", "{path}");
                    }
                }
            }
        }
        for request in [&pending, &granted] {
            assert_eq!(world.request("carol", &request.id()).await, request.json);
        }
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_done_there() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let before = world.end().await;
    for path in [
        "",
        "/",
        "/problems",
        "/problems/",
        "/v1",
        "/v1/",
        "/v2/me",
        "/v1/me/",
        "/v1/requests/",
        "/v1/requests/x/approve",
        "/admin",
    ] {
        for (who, method) in [
            ("", "GET"),
            ("alice", "GET"),
            ("alice", "DELETE"),
            ("alice", "POST"),
        ] {
            let answer = world
                .send(world.call(who, method, path).body(Body::empty()).unwrap())
                .await;
            answer.problem(404, "not-found");
            let detail = answer.json["detail"].as_str().unwrap();
            assert!(detail.contains("/_jit/openapi.json"), "{detail}");
        }
    }
    for (method, path, allowed) in [
        ("DELETE", asked.path(), "GET,HEAD"),
        ("PUT", "/v1/requests".to_owned(), "POST,GET,HEAD"),
        ("PATCH", "/v1/me".to_owned(), "GET,HEAD"),
        ("GET", format!("{}/review", asked.path()), "POST"),
        ("FROB", "/openapi.json".to_owned(), "GET,HEAD"),
    ] {
        let answer = world
            .send(world.call("carol", method, &path).body(Body::empty()).unwrap())
            .await;
        answer.problem(405, "method-not-allowed");
        let sorted = |list: &str| {
            let mut methods: Vec<String> = list.split(',').map(|m| m.trim().to_owned()).collect();
            methods.sort();
            methods
        };
        assert_eq!(
            sorted(answer.header("allow").unwrap_or("")),
            sorted(allowed),
            "{method} {path}"
        );
    }
    assert_eq!(world.end().await, before);
}

#[tokio::test]
async fn a_request_has_the_members_that_the_document_says() {
    let world = World::new().await;
    let document = world.get("", "/openapi.json").await.json;
    let granted = world.granted("erin", ADMIN).await.json;
    let said = |schema: &str| -> Vec<String> {
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    };
    let sent = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(sent(&granted), said("Request"));
    assert_eq!(sent(&granted["grant"]), said("Grant"));
    let me = world.get("carol", "/v1/me").await.json;
    assert_eq!(sent(&me), said("Me"));
    let events = world.get("carol", "/v1/events").await.json;
    assert_eq!(sent(&events["items"][0]), said("AuditRecord"));
    let offers = world.get("alice", "/v1/policies").await.json;
    assert_eq!(sent(&offers["items"][0]), said("Offer"));
}

#[tokio::test]
async fn a_problem_leads_to_a_page_that_anyone_may_read() {
    let world = World::new().await;
    for refused in [
        world.get("mallory", "/v1/events").await,
        world.get("", "/v1/me").await,
        world.app("alice", "/admin").await,
        world.app("", "/admin").await,
    ] {
        let kind = refused.json["type"].as_str().unwrap();
        let path = kind.strip_prefix("/_jit").unwrap();
        let page = world.get("", path).await;
        page.is(200);
        assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
        let name = kind.rsplit('/').next().unwrap();
        assert!(page.text.contains(&format!("<h1>{name}</h1>")), "{}", page.text);
    }
    let unknown = world.get("", "/problems/%3Cscript%3E").await;
    unknown.problem(404, "not-found");
    assert!(!unknown.text.contains("script"));
}
