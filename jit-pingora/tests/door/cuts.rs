//! What is admitted ends with its grant, whatever it is doing, and how late.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::world::{Client, Served, World};

const UPGRADE: &str =
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AA==\r\n";

/// Much longer than a cut takes on a busy machine.
const WAIT: Duration = Duration::from_secs(10);

#[expect(
    clippy::disallowed_methods,
    reason = "it is printed; nothing is decided by it"
)]
fn stopwatch() -> Instant {
    Instant::now()
}

/// Revokes, and prints how long the client still held its connection.
async fn cut(what: &str, world: &World, id: jit_core::id::RequestId, client: Client) -> String {
    let started = stopwatch();
    let (came, ()) = tokio::join!(tokio::time::timeout(WAIT, client.rest()), world.revoke(id));
    println!("{what}: cut after {:?}", started.elapsed());
    came.expect(what)
}

#[tokio::test]
async fn a_silent_stream_is_cut() {
    for _ in 0..5 {
        let (world, id) = World::granted(Served::Whole, "admin").await;
        let mut client = world.send("GET /admin/events", "").await;
        client.until("first").await;
        let rest = cut("silent events", &world, id, client).await;
        // Pingora comes to its own end: nothing of the request stays behind.
        tokio::time::timeout(WAIT, world.logged(1)).await.unwrap();
        // No last chunk: the client can tell that this was not the end.
        assert_eq!(rest, "");
    }
}

#[tokio::test]
async fn a_silent_stream_ends_with_the_window() {
    let (world, id) = World::granted(Served::Whole, "brief").await;
    let mut client = world.send("GET /brief/events", "").await;
    client.until("first").await;
    let not_after = world.not_after(id).await;
    let rest = tokio::time::timeout(WAIT, client.rest()).await.unwrap();
    println!(
        "silent events, window: cut {} late",
        world.broker.now() - not_after
    );
    assert_eq!(rest, "");
    assert!(world.call("GET /brief", "").await.starts_with("HTTP/1.1 403 "));
}

#[tokio::test]
async fn a_download_that_nobody_reads_is_cut() {
    let (world, id) = World::granted(Served::Whole, "admin").await;
    let mut client = world.send("GET /admin/flood", "").await;
    client.until("xxxx").await;
    // Until every buffer on the way is full.
    tokio::time::sleep(Duration::from_millis(500)).await;
    cut("stalled download", &world, id, client).await;
}

#[tokio::test]
async fn a_request_that_waits_for_its_upstream_is_cut() {
    let (world, id) = World::granted(Served::Whole, "admin").await;
    let client = world.send("GET /admin/mute", "").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    let answer = cut("mute upstream", &world, id, client).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("/problems/grant-ended"), "{answer}");
}

#[tokio::test]
async fn an_upload_that_stalls_is_cut() {
    let (world, id) = World::granted(Served::Whole, "admin").await;
    let mut client = world.send("POST /admin/mute", "Content-Length: 100\r\n").await;
    client.0.write_all(b"a part").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    cut("stalled upload", &world, id, client).await;
}

#[tokio::test]
async fn a_stream_of_events_is_told_why_it_ends() {
    let event =
        "event: jit-grant-ended\ndata: {\"cause\":\"revoked\",\"detail\":\"the grant was revoked\"}\n\n";
    let last = format!("{:X}\r\n{event}\r\n0\r\n\r\n", event.len());
    // In the middle of an event there is nothing to say, and the client can tell that this was not the end.
    for (path, came, says) in [
        ("whole", "data: 1\n\n\r\n", &*last),
        ("half", "data: 1\n\r\n", ""),
    ] {
        let (world, id) = World::granted(Served::Whole, "admin").await;
        let mut client = world.send(&format!("GET /admin/feed/{path}"), "").await;
        client.until(came).await;
        let rest = cut(path, &world, id, client).await;
        assert_eq!(rest, says, "{path}");
        tokio::time::timeout(WAIT, world.logged(1)).await.expect(path);
    }
}

/// A WebSocket that has echoed what was sent. Connects again, as a WebSocket client does, where pingora took the end of the request for the
/// end of the tunnel all the same (cloudflare/pingora#946).
async fn socket(world: &World, sent: &[u8]) -> Client {
    for _ in 0..3 {
        let mut client = world.send("GET /admin/socket", UPGRADE).await;
        let head = client.until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        // Where it has ended already, writing may fail.
        let _ = client.0.write_all(sent).await;
        let mut echo = vec![0; sent.len()];
        let read = tokio::time::timeout(WAIT, client.0.read_exact(&mut echo));
        if read.await.expect("an echo, or the end").is_ok() {
            assert_eq!(echo, sent);
            return client;
        }
        println!("pingora has ended a WebSocket with its request");
    }
    panic!("none of three WebSockets stayed open")
}

#[tokio::test]
async fn a_websocket_is_closed_with_a_reason_between_two_frames() {
    let close = b"\x88\x17\x03\xf0the grant was revoked";
    for (sent, says) in [(&b"\x82\x04echo"[..], &close[..]), (b"\x82\x05echo", b"")] {
        let (world, id) = World::granted(Served::Whole, "admin").await;
        let client = socket(&world, sent).await;
        let rest = cut("websocket", &world, id, client).await;
        assert_eq!(rest, String::from_utf8_lossy(says));
    }
}

#[tokio::test]
async fn one_stream_of_an_http2_connection_is_cut() {
    let (world, id) = World::granted(Served::Whole, "admin").await;
    let stream = tokio::net::TcpStream::connect(world.at).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let mut get = |path: &str| {
        let request = http::Request::get(format!("http://app.example{path}"))
            .version(http::Version::HTTP_2)
            .header("authorization", "Bearer demo-ana");
        client.send_request(request.body(()).unwrap(), true).unwrap().0
    };
    let (admitted, open) = (get("/admin/events"), get("/public/events"));
    let mut admitted = admitted.await.unwrap().into_body();
    let mut open = open.await.unwrap().into_body();
    assert_eq!(admitted.data().await.unwrap().unwrap(), "first");
    assert_eq!(open.data().await.unwrap().unwrap(), "first");
    let started = stopwatch();
    let (end, ()) = tokio::join!(tokio::time::timeout(WAIT, admitted.data()), world.revoke(id));
    println!("http/2 stream: cut after {:?}", started.elapsed());
    assert!(matches!(end.unwrap(), Some(Err(error)) if error.is_reset()));
    // The other stream of that connection goes on.
    let other = tokio::time::timeout(Duration::from_millis(200), open.data()).await;
    assert!(other.is_err(), "{other:?}");
}

#[tokio::test]
async fn where_nothing_is_severed_no_upgrade_is_admitted() {
    let (world, id) = World::granted(Served::Plain, "admin").await;
    let answer = world.call("GET /admin/socket", UPGRADE).await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    // What passes octets is cut there as well, with an answer if none has begun.
    let mut client = world.send("POST /admin/mute", "Content-Length: 100\r\n").await;
    client.0.write_all(b"a part").await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let again = world.grant("admin").await;
    world.revoke(id).await;
    client.0.write_all(b"another").await.unwrap();
    let answer = tokio::time::timeout(WAIT, client.rest()).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("/problems/grant-ended"), "{answer}");
    let id = again;
    let mut client = world.send("GET /admin/flood", "").await;
    client.until("xxxx").await;
    cut("running download, plain", &world, id, client).await;
}

#[tokio::test]
async fn a_budget_of_octets_is_kept_both_ways() {
    let (world, _) = World::granted(Served::Whole, "tight").await;
    let answer = world.call("GET /tight", "").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let rest = tokio::time::timeout(WAIT, async {
        world.send("GET /tight/flood", "").await.rest().await
    });
    let sent = rest.await.unwrap().matches('x').count();
    assert!(sent <= 2000, "{sent}");
    let answer = world.call("GET /tight", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");

    let (world, _) = World::granted(Served::Whole, "tight").await;
    let mut client = world
        .send("POST /tight/swallow", "Content-Length: 4000\r\n")
        .await;
    client.0.write_all(&[b'y'; 4000]).await.unwrap();
    let answer = tokio::time::timeout(WAIT, client.rest()).await.unwrap();
    // On a busy machine the connection may be severed before pingora has answered.
    let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 403 ");
    assert!(refused, "{answer}");
}

#[tokio::test]
async fn where_a_reservation_cant_be_waited_for_no_budget_of_octets_is_admitted() {
    let (world, id) = World::granted(Served::NoSteal, "tight").await;
    let answer = world.call("GET /tight", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    drop((world, id));
    let (world, id) = World::granted(Served::NoSteal, "admin").await;
    let mut client = world.send("GET /admin/events", "").await;
    client.until("first").await;
    cut("silent events, one thread", &world, id, client).await;
}
