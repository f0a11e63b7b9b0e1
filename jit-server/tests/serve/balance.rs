//! Servers that take turns, fail, and are well again.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::application::Application;
use crate::world::{HOST, World, in_time, refused};

#[tokio::test]
async fn servers_take_turns_and_a_dead_one_is_left_out() {
    let (one, two, dead) = (
        Application::start("one").await,
        Application::start("two").await,
        Application::start("dead").await,
    );
    let dead = dead.end().await;
    let world = World::before(&[one.at, dead, two.at], "failures = 2\nrest = \"1h\"\n");
    let served = world.serve().await;
    for _ in 0..12 {
        let answer = served.gate().get("/").await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let left_out = served.event("a server is left out").await;
    assert_eq!(left_out["server"], dead.to_string());
    assert_eq!(one.seen() + two.seen(), 12);
    assert!(
        one.seen() >= 4 && two.seen() >= 4,
        "{} {}",
        one.seen(),
        two.seen()
    );
    let up = |at| format!("jit_upstream_server_up{{upstream=\"app\",server=\"{at}\"}}");
    assert_eq!(served.metric(&up(dead)).await, 0.0);
    assert_eq!(served.metric(&up(one.at)).await, 1.0);
    served.stop().await;
}

#[tokio::test]
async fn what_may_have_an_effect_is_never_sent_twice() {
    let alive = Application::start("alive").await;
    let dead = Application::start("dead").await.end().await;
    let world = World::before(&[dead, alive.at], "failures = 1000\n");
    let served = world.serve().await;
    // The dead one is first, and its turn comes every second time.
    for (method, body, first, second) in [
        ("POST", "x", 502, 200),
        ("POST", "", 502, 200),
        ("DELETE", "", 502, 200),
        ("PUT", "x", 502, 200),
        ("GET", "x", 502, 200),
    ] {
        let before = alive.seen();
        let answers = [
            served.gate().send(method, "/", body).await,
            served.gate().send(method, "/", body).await,
        ];
        let statuses = [answers[0].status, answers[1].status];
        assert_eq!(statuses, [first, second], "{method} {body:?}");
        assert_eq!(alive.seen(), before + 1, "{method} {body:?}");
    }
    for method in ["GET", "HEAD", "OPTIONS"] {
        for _ in 0..2 {
            assert_eq!(served.gate().send(method, "/", "").await.status, 200, "{method}");
        }
    }
    served.stop().await;
}

#[tokio::test]
async fn health_checks_leave_a_server_out_and_bring_it_back() {
    let app = Application::start("app").await;
    app.set_healthy(false);
    let world = World::before(
        &[app.at],
        "failures = 2\nhealth = { path = \"/healthz\", interval = \"20ms\", passes = 2 }\n",
    );
    let served = world.serve().await;
    served.event("a server is left out").await;
    for (accept, kind) in [
        ("*/*", "application/problem+json"),
        ("text/html", "text/html; charset=utf-8"),
    ] {
        let down = served.gate().with("accept", accept).get("/").await;
        assert_eq!(
            (down.status, down.header("content-type")),
            (503, kind),
            "{down:?}"
        );
        assert_eq!(down.header("retry-after"), "5");
    }
    assert_eq!(app.seen(), 0);
    app.set_healthy(true);
    served.event("a server is well again").await;
    assert_eq!(served.gate().get("/").await.status, 200);

    // Gone, and back at the same address.
    let at = app.end().await;
    refused(at).await;
    served.nth_event(1, "a server is left out").await;
    let app = Application::start_at("app", at).await;
    served.nth_event(1, "a server is well again").await;
    assert_eq!(served.gate().get("/").await.status, 200);
    assert_eq!(app.seen(), 1);
    served.stop().await;
}

/// A server that takes connections and does with each what it is told.
async fn odd(answer: &'static [u8]) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(answer).await.unwrap();
            if answer.is_empty() {
                kept.push(stream);
            }
        }
    });
    at
}

#[tokio::test]
async fn what_a_server_does_wrong_is_the_servers_fault() {
    let silent = odd(b"").await;
    let rude = odd(b"nonsense\r\n\r\n").await;
    let changed = odd(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n").await;
    for (server, status, title) in [
        (silent, 504, "Gateway Timeout"),
        (rude, 502, "Bad Gateway"),
        (changed, 502, "Bad Gateway"),
    ] {
        let world = World::before(&[server], "head_timeout = \"200ms\"\n");
        let served = world.serve().await;
        let answer = served.gate().get("/").await;
        assert_eq!(
            (answer.status, answer.json()["title"].as_str()),
            (status, Some(title)),
            "{answer:?}"
        );
        let failed = "jit_upstream_responses_total{upstream=\"app\",outcome=\"failed\"}";
        assert_eq!(served.metric(failed).await, 1.0);
        // Why is for the log.
        let why = served.event("a request was not answered").await;
        assert!(!answer.text.contains(why["why"].as_str().unwrap()), "{answer:?}");
        served.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_stops_sending_is_not_the_servers_fault() {
    let app = Application::start("app").await;
    let world = World::before(&[app.at], "head_timeout = \"200ms\"\nfailures = 1\n");
    let served = world.serve().await;
    let mut stream = TcpStream::connect(served.at("gate")).await.unwrap();
    let head = format!("POST /slow HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    in_time("an answer", stream.read_exact(&mut answer))
        .await
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    assert_eq!(served.gate().get("/").await.status, 200, "the server is well");
    served.stop().await;
}

#[tokio::test]
async fn host_and_path_choose_the_application() {
    let (app, api) = (Application::start("app").await, Application::start("api").await);
    let world = World::new(&format!(
        "listen = {{ addr = \"127.0.0.1:0\" }}\n\
         [[upstreams]]\nname = \"app\"\nhosts = [\"{HOST}\"]\npaths = [\"/a\"]\nservers = [\"{}\"]\n\
         [[upstreams]]\nname = \"api\"\nhosts = [\"{HOST}\"]\npaths = [\"/a/api\"]\nservers = [\"{}\"]\n",
        app.at, api.at
    ));
    let served = world.serve().await;
    for (path, name) in [
        ("/a", "app"),
        ("/a/api", "api"),
        ("/a/api/x", "api"),
        // What was decided on is what chooses, however it is spelled.
        ("/a/%61pi/x", "api"),
        ("/a/apis", "app"),
    ] {
        let answer = served.gate().get(path).await;
        assert_eq!(answer.first_line(), name, "{path} {answer:?}");
    }
    assert_eq!(served.gate().get("/b").await.status, 502);
    served.stop().await;
}
