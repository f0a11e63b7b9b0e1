//! WebSockets through `jit serve`: a grant lets them in, and ends them.

use std::net::SocketAddr;

use axum::serve::Listener as _;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::application::{Application, Secured};
use crate::client::Client;
use crate::upstream_tls::{NAMES, before, names};
use crate::world::{ALICE, BOB, HOST, World, in_time};

/// A server that says back what it is told. Tells of the head of each handshake, and of each end.
pub(crate) struct Echo {
    pub(crate) at: SocketAddr,
    told: mpsc::UnboundedReceiver<String>,
}

impl Echo {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(echo(stream, tell.clone()));
            }
        });
        Self { at, told }
    }

    pub(crate) async fn told(&mut self) -> String {
        in_time("word of the server", self.told.recv()).await.unwrap()
    }
}

#[expect(clippy::result_large_err, reason = "what is called is given by the library")]
async fn echo<S>(stream: S, tell: mpsc::UnboundedSender<String>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let read = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
        let mut head = format!("{}\n", request.uri());
        for (name, value) in request.headers() {
            head.push_str(&format!("{name}: {}\n", value.to_str().unwrap()));
        }
        tell.send(head).unwrap();
        let fields = response.headers_mut();
        fields.append("set-cookie", "__Host-jit=stolen".parse().unwrap());
        fields.append("set-cookie", "app=1".parse().unwrap());
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr_async(stream, read).await else {
        return;
    };
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            break;
        }
    }
    // Who tests may be done.
    let _ = tell.send("ended".to_owned());
}

async fn world(server: SocketAddr, listen: &str) -> (World, String) {
    world_with(server, listen, "1h").await
}

async fn world_with(server: SocketAddr, listen: &str, grace: &str) -> (World, String) {
    let world = World::new(&format!(
        "operator = {{ addr = \"127.0.0.1:0\" }}\nstop = {{ grace = \"{grace}\" }}\n[listen]\naddr = \"127.0.0.1:0\"\n{listen}\n\
         [[upstreams]]\nname = \"app\"\nservers = [\"{server}\"]\n",
    ));
    let pem = world.certify("gate", &[HOST]);
    (world, pem)
}

const CUT: &str = "what was in flight did not end in time, and is cut";
/// RFC 6455 §1.3.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

const TLS: &str = "tls = { cert = \"gate.pem\", key = \"gate.key\" }";

/// The status that a handshake is refused with.
async fn refused(client: &Client, path: &str) -> u16 {
    client.websocket(path).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn a_grant_lets_a_websocket_in_and_ends_it() {
    for listen in ["", TLS] {
        let mut server = Echo::start().await;
        let (world, pem) = world(server.at, listen).await;
        let served = world.serve().await;
        let gate = match listen {
            "" => served.gate(),
            _ => served.gate().over_tls(&pem, "http/1.1"),
        };
        let (alice, bob) = (gate.clone().by(ALICE), gate.clone().by(BOB));
        assert_eq!(refused(&gate, "/admin").await, 401);
        assert_eq!(refused(&alice, "/admin").await, 403);
        let asked = served.grant(&gate).await;
        assert_eq!(refused(&bob, "/admin").await, 403);
        assert!(server.told.try_recv().is_err(), "nothing of these got there");

        let asking = alice.clone().with("connection", "upgrade, x-hop, te");
        let asking = asking.with("x-hop", "1").with("x-jit-grant", "mine");
        let (mut socket, answer) = asking.websocket("/admin/socket?a=b").await.unwrap();
        assert_eq!(answer.headers()["upgrade"], "websocket");
        assert!(answer.headers().contains_key("x-jit-expires"), "{answer:?}");
        let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().collect();
        assert_eq!(cookies, ["app=1"], "the gate's cookies are not the application's");
        let head = server.told().await;
        for field in [
            "/admin/socket?a=b\n",
            "\nconnection: upgrade\n",
            "\nupgrade: websocket\n",
            "\nremote-user: people|alice\n",
            "\nx-jit-grant: grt_",
            &format!("\nhost: {HOST}\n"),
        ] {
            assert!(head.contains(field), "{field:?} is not in {head}");
        }
        for field in ["authorization", "x-hop", ALICE, "mine"] {
            assert!(!head.contains(field), "{field:?} is in {head}");
        }

        for message in [
            Message::text("hello"),
            Message::binary(vec![7; 300_000]),
            Message::text("again"),
        ] {
            socket.send(message.clone()).await.unwrap();
            let back = in_time("an echo", socket.next()).await.unwrap().unwrap();
            assert_eq!(back, message);
        }
        // It is a connection as long as it lives.
        let open = "jit_connections{listener=\"gate\"}";
        assert_eq!(served.metric(open).await, 1.0);

        let revoke = format!("{}/revoke", asked["url"].as_str().unwrap());
        let revoked = bob.post(&revoke, &json!({"reason": "enough"})).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        let last = in_time("the last frame", socket.next()).await.unwrap().unwrap();
        let Message::Close(Some(close)) = last else {
            panic!("{last:?}");
        };
        assert_eq!(close.code, CloseCode::Policy, "{close:?}");
        assert!(close.reason.contains("revoked"), "{close:?}");
        assert_eq!(server.told().await, "ended");
        in_time("a free place", async {
            while served.metric(open).await != 0.0 {}
        })
        .await;
        assert_eq!(refused(&alice, "/admin").await, 403);
        served.stop().await;
    }
}

#[tokio::test]
async fn it_reaches_a_server_over_tls_as_well() {
    let world = World::new("");
    let ours = world.authority("ours");
    world.certify_by(&ours, "app", &names(&NAMES));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    before(
        &world,
        listener.local_addr().unwrap(),
        "tls = { ca_file = \"ours.pem\" }",
    );
    let mut secured = Secured::new(listener, &world, "app");
    let (tell, mut told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (stream, _) = secured.accept().await;
            tokio::spawn(echo(stream, tell.clone()));
        }
    });
    let served = world.serve().await;
    let (mut socket, _) = served.gate().websocket("/").await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let back = in_time("an echo", socket.next()).await.unwrap().unwrap();
    assert_eq!(back, Message::text("hello"));
    drop(socket);
    in_time("the handshake", told.recv()).await.unwrap();
    assert_eq!(in_time("the end", told.recv()).await.unwrap(), "ended");
    served.stop().await;
}

#[tokio::test]
async fn no_other_protocol_gets_through() {
    let app = Application::start("app").await;
    let (world, _) = world(app.at, "").await;
    let served = world.serve().await;
    served.grant(&served.gate()).await;
    let alice = served.gate().by(ALICE);
    for (fields, admin) in [
        (&[("connection", "upgrade"), ("upgrade", "h2c")][..], 200),
        (
            &[
                ("connection", "upgrade, http2-settings"),
                ("upgrade", "h2c"),
                ("http2-settings", "AAMAAABk"),
            ],
            200,
        ),
        (&[("connection", "upgrade"), ("upgrade", "other")], 403),
        (&[("connection", "upgrade"), ("upgrade", "websocket, other")], 403),
        (&[("connection", "upgrade")], 403),
        (&[("upgrade", "websocket")], 200),
    ] {
        let mut asking = alice.clone();
        for (name, value) in fields {
            asking = asking.with(name, value);
        }
        assert_eq!(asking.get("/admin").await.status, admin, "{fields:?}");
        let open = asking.get("/").await;
        assert_eq!(open.status, 200, "{fields:?}");
        let lower = open.text.to_ascii_lowercase();
        assert!(
            !lower.contains("\nupgrade") && !lower.contains("http2"),
            "{fields:?} {lower}"
        );
    }
    // A server that does not take it up answers as always.
    let offered = alice
        .clone()
        .with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", KEY);
    for path in ["/", "/admin"] {
        let answer = offered.get(path).await;
        assert_eq!((answer.status, answer.first_line()), (200, "app"), "{answer:?}");
    }
    // What does not ask for it in order asks for nothing.
    for fields in [
        &[("sec-websocket-version", "13")][..],
        &[("sec-websocket-key", KEY)],
        &[("sec-websocket-version", "12"), ("sec-websocket-key", KEY)],
        &[("sec-websocket-version", "13"), ("sec-websocket-key", "AAAA")],
        &[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "no base64, but 24 octets"),
        ],
        &[
            ("sec-websocket-version", "13"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
        ],
        &[
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-key", KEY),
        ],
        &[("sec-websocket-version", "13"), ("sec-websocket-key", KEY)],
    ] {
        let mut asking = alice
            .clone()
            .with("connection", "upgrade")
            .with("upgrade", "websocket");
        for (name, value) in fields {
            asking = asking.with(name, value);
        }
        let answer = asking.get("/").await;
        let in_order = fields == [("sec-websocket-version", "13"), ("sec-websocket-key", KEY)];
        assert_eq!(
            (answer.status, answer.text.contains("\nupgrade: websocket\n")),
            (200, in_order),
            "{fields:?} {answer:?}"
        );
    }
    // What has a body asks for something else.
    let body = offered.send("GET", "/", "body").await;
    assert!(!body.text.contains("\nupgrade"), "{body:?}");
    served.stop().await;
}

#[tokio::test]
async fn a_server_that_changes_to_another_protocol_has_not_answered() {
    for (answer, asked) in [
        ("Connection: upgrade\r\nUpgrade: h2c\r\n", true),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
            true,
        ),
        ("Connection: upgrade\r\nUpgrade: websocket, h2c\r\n", true),
        ("Upgrade: websocket\r\n", true),
        ("Connection: upgrade\r\n", true),
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", false),
        // None that answers the key, which is another each time.
        ("Connection: upgrade\r\nUpgrade: websocket\r\n", true),
        (
            "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
            true,
        ),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let answer = format!("HTTP/1.1 101 Switching Protocols\r\n{answer}\r\n");
        let said = answer.clone();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                assert!(stream.read(&mut [0; 4096]).await.unwrap() > 0);
                stream.write_all(said.as_bytes()).await.unwrap();
            }
        });
        let (world, _) = world(at, "").await;
        let served = world.serve().await;
        let status = match asked {
            true => refused(&served.gate(), "/").await,
            false => served.gate().get("/").await.status,
        };
        assert_eq!(status, 502, "{answer:?} {asked}");
        served.stop().await;
    }
}

#[tokio::test]
async fn one_on_which_nothing_passes_is_closed() {
    let mut server = Echo::start().await;
    let (world, _) = world(
        server.at,
        "websocket_idle_timeout = \"100ms\"\nidle_timeout = \"50ms\"",
    )
    .await;
    let served = world.serve().await;
    let (mut socket, _) = served.gate().websocket("/").await.unwrap();
    server.told().await;
    let ended = in_time("the end", socket.next()).await;
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    assert_eq!(server.told().await, "ended");
    served.stop().await;
}

#[tokio::test]
async fn a_stop_is_told_and_waits_for_nothing_more() {
    let mut server = Echo::start().await;
    let (world, _) = world(server.at, "").await;
    let served = world.serve().await;
    let (mut socket, _) = served.gate().websocket("/").await.unwrap();
    server.told().await;
    served.signal("TERM").await;
    let last = in_time("the last frame", socket.next()).await.unwrap().unwrap();
    let Message::Close(Some(close)) = last else {
        panic!("{last:?}");
    };
    assert_eq!(close.code, CloseCode::Away, "{close:?}");
    assert!(close.reason.contains("stopping"), "{close:?}");
    in_time("the end", async {
        while let Some(Ok(_)) = socket.next().await {}
    })
    .await;
    assert_eq!(server.told().await, "ended");
    let (code, log) = served.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(!log.iter().any(|event| event["message"] == CUT), "{log:#?}");
}

#[tokio::test]
async fn a_stop_waits_for_it_no_longer_than_the_grace() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (world, _) = world_with(listener.local_addr().unwrap(), "", "100ms").await;
    let served = world.serve().await;
    // It never comes to the end of its frame.
    let talking = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
        }
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.lines();
        let key = lines
            .find_map(|line| line.strip_prefix("sec-websocket-key: "))
            .unwrap();
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
        assert_ne!(stream.read(&mut [0; 64]).await.unwrap(), 0);
        stream.write_all(b"\x82\x7dbegun").await.unwrap();
        stream.read(&mut [0]).await
    });
    let (mut socket, _) = served.gate().websocket("/").await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(
        in_time("the beginning", socket.get_mut().read_u8())
            .await
            .unwrap(),
        0x82
    );
    served.signal("TERM").await;
    let (code, log) = served.ended().await;
    assert_eq!(code, Some(0), "{log:#?}");
    assert!(log.iter().any(|event| event["message"] == CUT), "{log:#?}");
    let ended = in_time("the end", socket.next()).await;
    assert!(!matches!(ended, Some(Ok(_))), "{ended:?}");
    // However it ends.
    let _ = in_time("the server's end", talking).await.unwrap();
}
