//! What another site's page can make a browser send changes nothing.

use axum::body::Body;

use crate::world::{ADMIN, World};

#[tokio::test]
async fn another_sites_post_is_refused() {
    let world = World::new().await;
    let asked = world.asked("alice", ADMIN).await;
    let review = format!("{}/review", asked.path());
    for (name, value, refused) in [
        ("origin", "https://evil.example", true),
        ("origin", "https://app.example.com.evil.example", true),
        ("origin", "https://evil.example/app.example.com", true),
        ("origin", "https://app.example.com:8443", true),
        ("origin", "null", true),
        ("sec-fetch-site", "cross-site", true),
        ("sec-fetch-site", "same-site", true),
        ("sec-fetch-site", "nonsense", true),
        ("sec-fetch-site", "none", false),
        ("sec-fetch-site", "same-origin", false),
        ("origin", "https://app.example.com", false),
    ] {
        let before = world.end().await;
        for (who, path, body) in [
            ("bob", review.as_str(), asked.approval()),
            ("frank", "/v1/requests", ADMIN.body()),
            ("", "/v1/requests", ADMIN.body()),
        ] {
            if !refused && path != review {
                continue;
            }
            let request = world
                .call(who, "POST", path)
                .header("content-type", "application/json")
                .header(name, value);
            let answer = world
                .send(request.body(Body::from(body.to_string())).unwrap())
                .await;
            if refused {
                answer.problem(403, "cross-origin");
            } else {
                answer.is(200);
            }
        }
        if refused {
            assert_eq!(world.end().await, before, "{name}: {value}");
        }
    }
}

#[tokio::test]
async fn no_answer_lets_another_origin_read_it() {
    let world = World::new().await;
    let request = world
        .call("alice", "OPTIONS", "/v1/requests")
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type, authorization");
    let preflight = world.send(request.body(Body::empty()).unwrap()).await;
    preflight.problem(405, "method-not-allowed");
    let request = world
        .call("alice", "GET", "/v1/me")
        .header("origin", "https://evil.example");
    let read = world.send(request.body(Body::empty()).unwrap()).await;
    for answer in [preflight, read] {
        let cors = answer
            .headers
            .keys()
            .find(|name| name.as_str().starts_with("access-control"));
        assert_eq!(cors, None);
    }
}
