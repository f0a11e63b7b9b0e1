//! What one client may take, and no more.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::application::Application;
use crate::world::{HOST, World, in_time};

async fn world(app: &Application, listen: &str) -> World {
    let world = World::new(&format!(
        "operator = {{ addr = \"127.0.0.1:0\" }}\n[listen]\naddr = \"127.0.0.1:0\"\n{listen}\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{}\"]\n",
        app.at
    ));
    world.certify("gate", &[HOST]);
    world
}

const TLS: &str = "tls = { cert = \"gate.pem\", key = \"gate.key\" }";

/// Everything up to the end that the other side makes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    // A reset is an end as well.
    let _ = in_time("the end of the connection", stream.read_to_end(&mut text)).await;
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_the_others_go_on() {
    let app = Application::start("app").await;
    let served = world(&app, "connections = 2").await.serve().await;
    let request = format!("GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    let mut kept = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(served.at("gate")).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        in_time("an answer", stream.read_exact(&mut status))
            .await
            .unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        kept.push(stream);
    }
    assert_eq!(served.metric("jit_connections{listener=\"gate\"}").await, 2.0);
    let mut more = TcpStream::connect(served.at("gate")).await.unwrap();
    assert_eq!(rest(&mut more).await, "");
    let refused = "jit_connections_refused_total{listener=\"gate\",reason=\"limit\"}";
    assert_eq!(served.metric(refused).await, 1.0);
    // One goes, and its place is another's.
    drop(kept.pop());
    in_time("a free place", async {
        while served.gate().open("GET", "/", "").await.is_err() {}
    })
    .await;
    served.stop().await;
}

#[tokio::test]
async fn who_keeps_the_gate_waiting_is_let_go() {
    let app = Application::start("app").await;
    for (listen, said) in [
        // A head that does not end.
        ("head_timeout = \"100ms\"", "GET / HTTP/1.1\r\nHost: "),
        ("head_timeout = \"100ms\"", ""),
        // A handshake that does not begin, or does not end.
        (&format!("head_timeout = \"100ms\"\n{TLS}"), ""),
        (&format!("head_timeout = \"100ms\"\n{TLS}"), "\u{16}\u{3}\u{1}"),
        // A connection on which nothing is asked.
        ("idle_timeout = \"100ms\"", ""),
    ] {
        let served = world(&app, listen).await.serve().await;
        let mut stream = TcpStream::connect(served.at("gate")).await.unwrap();
        stream.write_all(said.as_bytes()).await.unwrap();
        rest(&mut stream).await;
        served.stop().await;
    }
}

#[tokio::test]
async fn what_is_in_flight_is_not_idle() {
    let app = Application::start("app").await;
    let served = world(&app, "idle_timeout = \"50ms\"").await.serve().await;
    let slow = tokio::spawn({
        let gate = served.gate();
        async move { gate.get("/slow").await }
    });
    app.arrival().await;
    // Another connection has been idle for as long, and is closed.
    let mut idle = TcpStream::connect(served.at("gate")).await.unwrap();
    rest(&mut idle).await;
    app.release();
    assert_eq!(slow.await.unwrap().status, 200);
    served.stop().await;
}

#[tokio::test]
async fn heads_are_limited() {
    let app = Application::start("app").await;
    let served = world(&app, "").await.serve().await;
    for (field, count, status) in [
        ("x".repeat(70_000), 1, 431),
        ("x".to_owned(), 101, 431),
        ("x".to_owned(), 1, 200),
    ] {
        let mut client = served.gate();
        for n in 0..count {
            client = client.with(&format!("x-{n}"), &field);
        }
        let answer = client.get("/").await;
        assert_eq!(answer.status, status, "{count} of {}", field.len());
    }
    served.stop().await;
}
