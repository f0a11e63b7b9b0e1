//! The gate in a pingora server, over real sockets.

mod cuts;
mod world;

use world::{Served, World};

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").unwrap().1
}

#[tokio::test]
async fn what_is_admitted_has_lost_what_must_not_go_on() {
    let (world, _) = World::granted(Served::Whole, "admin").await;
    let spoofed =
        "X-Forwarded-User: root\r\nX_Jit_Grant: grt_0\r\nCookie: a=1; __Host-jit=x; b=2\r\nX-Kept: yes\r\n";
    // Once with a look-up, once from the cache.
    for _ in 0..2 {
        let answer = world.call("GET /admin/a%20b?q=%2e%2E//", spoofed).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.to_lowercase().contains("\r\nx-jit-expires: 2"), "{answer}");
        let seen = body(&answer);
        assert!(
            seen.starts_with("GET /admin/a%20b?q=%2e%2E// HTTP/1.1\r\n"),
            "{seen}"
        );
        // Other fields keep the spelling that they came in.
        assert!(seen.contains("X-Kept: yes\r\n"), "{seen}");
        assert!(seen.contains("a=1; b=2\r\n"), "{seen}");
        for gone in [
            "uthorization",
            "orwarded",
            "it_grant",
            "emote-",
            "it-grant",
            "__Host",
        ] {
            assert!(!seen.contains(gone), "{gone}: {seen}");
        }
    }
}

#[tokio::test]
async fn an_upstream_is_told_who_asks_only_if_it_is_to_be() {
    let (world, id) = World::granted(Served::Introducing, "admin").await;
    let seen = world.call("GET /admin", "Remote-User: root\r\n").await;
    for told in [
        "remote-user: local|ana",
        "remote-groups: engineer",
        "x-jit-expires: 2",
        "x-jit-grant: grt_",
    ] {
        assert!(seen.to_lowercase().contains(told), "{told}: {seen}");
    }
    assert!(!seen.contains("root"), "{seen}");
    // What is open is attributed to no grant.
    let seen = world.call("GET /public", "").await.to_lowercase();
    assert!(
        seen.contains("remote-user: local|ana") && !seen.contains("x-jit-grant"),
        "{seen}"
    );
    world.revoke(id).await;
    assert!(world.call("GET /admin", "").await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_refusal_is_the_same_answer_as_at_every_door() {
    let world = World::new(Served::Whole).await;
    let answer = world.call("GET /admin", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    let head = answer.to_lowercase();
    assert!(
        head.contains("content-type: application/problem+json\r\n"),
        "{answer}"
    );
    assert!(head.contains("cache-control: no-store\r\n"), "{answer}");
    assert!(
        body(&answer).contains("/_jit/problems/approval-required"),
        "{answer}"
    );

    let answer = world.call("GET /admin", "Accept: text/html\r\n").await;
    assert!(body(&answer).starts_with("<!doctype html>"), "{answer}");
    let answer = world.call("HEAD /admin", "").await;
    assert!(
        answer.starts_with("HTTP/1.1 403 ") && body(&answer).is_empty(),
        "{answer}"
    );
    let answer = world.call("GET /admin/../admin", "").await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn absolute_form_is_decided_on_as_it_is_sent_on() {
    let (world, _) = World::granted(Served::Whole, "admin").await;
    let answer = world.call("GET http://app.example/admin/x", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(
        body(&answer).starts_with("GET http://app.example/admin/x HTTP/1.1\r\n"),
        "{answer}"
    );
    for (target, status) in [
        ("http://other.example/admin/x", 400),
        ("http://app.example@other.example/admin/x", 400),
        ("ftp://app.example/admin/x", 400),
        ("http://app.example/admin/../x", 400),
        ("?/admin", 400),
        ("admin", 400),
        ("http:/admin", 400),
    ] {
        let answer = world.call(&format!("GET {target}"), "").await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{target}: {answer}"
        );
    }
}

#[tokio::test]
async fn two_framings_are_refused_although_pingora_drops_one() {
    let (world, _) = World::granted(Served::Whole, "admin").await;
    let more = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let answer = world.call("POST /admin/body", more).await;
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
}

#[tokio::test]
async fn trailers_stay_outside() {
    let (world, _) = World::granted(Served::Whole, "admin").await;
    for path in ["/admin/body", "/public/body"] {
        let mut client = world
            .send(
                &format!("POST {path}"),
                "Transfer-Encoding: chunked\r\nTrailer: X-Forwarded-User\r\nConnection: close\r\n",
            )
            .await;
        let chunks = b"4\r\nbody\r\n0\r\nX-Forwarded-User: root\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut client.0, chunks)
            .await
            .unwrap();
        let answer = client.rest().await;
        assert!(answer.contains("4\r\nbody\r\n0\r\n\r\n"), "{answer}");
        assert!(!answer.contains("root"), "{answer}");
    }
}

#[tokio::test]
async fn other_protocols_are_refused() {
    let (world, _) = World::granted(Served::Whole, "admin").await;
    for more in [
        "Connection: Upgrade\r\nUpgrade: other\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket, other\r\n",
        "Connection: Upgrade\r\n",
    ] {
        let answer = world.call("GET /admin/socket", more).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{more}: {answer}");
    }
    let answer = world.call("CONNECT app.example:443", "").await;
    assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
}

#[tokio::test]
async fn a_place_is_taken_until_the_request_has_ended() {
    let (world, _) = World::granted(Served::Whole, "lone").await;
    let mut first = world.send("GET /lone/events", "").await;
    first.until("first").await;
    assert!(world.call("GET /lone", "").await.starts_with("HTTP/1.1 429 "));
    drop(first);
    let admitted = async {
        while !world.call("GET /lone", "").await.starts_with("HTTP/1.1 200 ") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), admitted)
        .await
        .unwrap();
}
