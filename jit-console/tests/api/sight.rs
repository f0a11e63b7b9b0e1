//! Whoever may not see a request can't tell it from one that does not exist.

use axum::body::Body;
use serde_json::json;

use crate::world::{ADMIN, Answer, WIKI, World};

const UNKNOWN: &str = "req_00000000000000000000000000000001";

#[tokio::test]
async fn for_a_stranger_every_request_is_one_that_does_not_exist() {
    let world = World::new().await;
    let pending = world.asked("alice", ADMIN).await;
    let active = world.asked("erin", WIKI).await;
    let before = world.end().await;
    let mut answers: Vec<Answer> = Vec::new();
    let ids = [
        pending.id(),
        active.id(),
        UNKNOWN.to_owned(),
        pending.id().to_uppercase(),
        "req_1".to_owned(),
        "nonsense".to_owned(),
        "%F0%9F%94%91".to_owned(),
        "9".repeat(3000),
    ];
    for id in ids {
        for query in ["", "?wait=garbage", "?wait=1s&nonsense=1"] {
            answers.push(world.get("mallory", &format!("/v1/requests/{id}{query}")).await);
        }
        for action in ["review", "withdraw", "release", "revoke", "after-review"] {
            let path = format!("/v1/requests/{id}/{action}");
            for body in [
                "garbage",
                "{}",
                r#"{"reason":"x"}"#,
                &pending.approval().to_string(),
            ] {
                answers.push(world.post_text("mallory", &path, body.to_owned()).await);
            }
            let request = world.call("mallory", "POST", &path);
            answers.push(world.send(request.body(Body::empty()).unwrap()).await);
        }
    }
    for answer in &answers {
        answer.problem(404, "not-found");
        assert_eq!(answer.text, answers[0].text);
        assert_eq!(answer.headers, answers[0].headers);
    }
    assert_eq!(world.end().await, before);
    for list in ["/v1/requests", "/v1/requests?state=pending", "/v1/grants"] {
        let answer = world.get("mallory", list).await;
        answer.is(200);
        assert_eq!(answer.json, json!({"items": [], "next": null}), "{list}");
    }
}

#[tokio::test]
async fn a_request_is_seen_by_its_requester_its_reviewers_auditors_and_revokers() {
    let world = World::new().await;
    let admin = world.asked("alice", ADMIN).await;
    let wiki = world.asked("erin", WIKI).await;
    // bob leads nobody for the wiki: its policy has no stages.
    for (who, sees_admin, sees_wiki) in [
        ("alice", true, false),
        ("erin", false, true),
        ("bob", true, false),
        ("carol", true, true),
        ("mallory", false, false),
    ] {
        for (request, sees) in [(&admin, sees_admin), (&wiki, sees_wiki)] {
            let answer = world.get(who, &request.path()).await;
            answer.is(if sees { 200 } else { 404 });
        }
        let listed = world.get(who, "/v1/requests").await.json["items"].clone();
        let listed: Vec<_> = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].clone())
            .collect();
        let mut due = Vec::new();
        due.extend(sees_wiki.then(|| wiki.json["id"].clone()));
        due.extend(sees_admin.then(|| admin.json["id"].clone()));
        assert_eq!(listed, due, "{who}, newest first");
    }
}

#[tokio::test]
async fn a_list_is_what_was_asked_for() {
    let world = World::new().await;
    let admin = world.asked("alice", ADMIN).await.id();
    let wiki = world.asked("alice", WIKI).await.id();
    let other = world.asked("frank", ADMIN).await.id();
    for (who, query, due) in [
        ("carol", "", vec![&other, &wiki, &admin]),
        ("carol", "?state=pending", vec![&other, &admin]),
        ("carol", "?state=active,denied", vec![&wiki]),
        ("carol", "?resource=admin", vec![&other, &admin]),
        ("carol", "?mine=true", vec![]),
        ("carol", "?reviewable=true", vec![&other, &admin]),
        // Nobody reviews their own.
        ("frank", "?reviewable=true", vec![&admin]),
        ("frank", "?mine=true", vec![&other]),
        ("carol", "?after_reviewable=true", vec![]),
        ("alice", "?mine=false&limit=1", vec![&wiki]),
    ] {
        let answer = world.get(who, &format!("/v1/requests{query}")).await;
        answer.is(200);
        let items = answer.json["items"].as_array().unwrap().iter();
        let ids: Vec<_> = items.map(|item| item["id"].as_str().unwrap()).collect();
        assert_eq!(ids, due, "{who} {query}");
    }
    let mut next = String::new();
    for due in [&other, &wiki, &admin] {
        let page = world
            .get("carol", &format!("/v1/requests?limit=1{next}"))
            .await
            .json;
        assert_eq!(page["items"][0]["id"], due.as_str());
        next = format!("&after={}", page["next"].as_str().unwrap());
    }
    let last = world
        .get("carol", &format!("/v1/requests?limit=1{next}"))
        .await
        .json;
    assert_eq!(last, json!({"items": [], "next": null}));
    for (query, field) in [
        ("state=done", "state"),
        ("state=", "state"),
        ("resource=a/b", "resource"),
        ("mine=yes", "mine"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("after=-1", "after"),
        ("sort=asc", "sort"),
        ("limit=1&limit=2", "limit"),
    ] {
        world
            .get("carol", &format!("/v1/requests?{query}"))
            .await
            .invalid(field);
    }
}
