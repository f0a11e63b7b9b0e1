//! Answers that are lost on the way: nothing is done twice, and what was begun goes on.

use std::collections::VecDeque;
use std::io;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::world::{PATIENCE, Ran, World, id, ran, start};

/// What becomes of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// It comes through, and its answer as well.
    None,
    /// It does not come through.
    Request,
    /// It was taken; its answer does not come through.
    Answer,
    /// It was taken; a balancer answers that nobody did.
    Status(u16),
}

/// Something between the program and the server, which loses what it is told to, in this order, of the requests that begin so.
#[derive(Clone)]
struct Way {
    to: String,
    begin: &'static str,
    losses: Arc<Mutex<VecDeque<Loss>>>,
}

impl Way {
    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(self.clone().pass(stream));
        }
    }

    /// One request on one connection.
    async fn pass(self, mut client: TcpStream) -> io::Result<()> {
        let asked = message(&mut client).await?;
        let loss = if asked.starts_with(self.begin.as_bytes()) {
            self.losses.lock().unwrap().pop_front()
        } else {
            None
        };
        if loss == Some(Loss::Request) {
            return Ok(());
        }
        let mut server = TcpStream::connect(&self.to).await?;
        server.write_all(&asked).await?;
        let answer = message(&mut server).await?;
        match loss.unwrap_or(Loss::None) {
            Loss::None | Loss::Request => client.write_all(&closing(&answer)).await,
            Loss::Answer => Ok(()),
            Loss::Status(status) => {
                let page =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: 4\r\nconnection: close\r\n\r\ngone");
                client.write_all(page.as_bytes()).await
            }
        }
    }
}

/// The octets of one message, as its Content-Length says.
async fn message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut message = Vec::new();
    loop {
        if stream.read_buf(&mut message).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let text = String::from_utf8_lossy(&message).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let mut fields = head
            .lines()
            .filter_map(|line| line.strip_prefix("content-length:"));
        let length = fields.next().map_or(0, |length| length.trim().parse().unwrap());
        if body.len() >= length {
            return Ok(message);
        }
    }
}

/// The answer, with word that no other one comes on this connection.
fn closing(answer: &[u8]) -> Vec<u8> {
    let end = answer.windows(2).position(|two| two == b"\r\n").unwrap();
    [&answer[..end], b"\r\nconnection: close", &answer[end..]].concat()
}

/// A way to `world` that loses this.
async fn way(world: &World, begin: &'static str, losses: &[Loss]) -> (String, Arc<Mutex<VecDeque<Loss>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let way = Way {
        to: world.console.trim_start_matches("http://").to_owned(),
        begin,
        losses: Arc::new(Mutex::new(losses.iter().copied().collect())),
    };
    let left = way.losses.clone();
    tokio::spawn(way.serve(listener));
    (url, left)
}

const ASKING: &str = "POST /_jit/v1/requests ";
const WITH: [&str; 8] = ["with", "-r", "staging", "--reason", "job 7", "--", "sh", "-c"];

async fn alice(world: &World, url: &str, args: &[&str]) -> Ran {
    let mut command = world.program("alice", args);
    command.env("JIT_URL", url);
    ran(command).await
}

/// The only request that there is.
async fn only(world: &World) -> serde_json::Value {
    let page = world.jit("alice", &["requests", "-o", "json"]).await.json();
    let items = page["items"].as_array().unwrap();
    assert_eq!(items.len(), 1, "{page:#}");
    items[0].clone()
}

#[tokio::test]
async fn a_lost_answer_makes_no_second_request() {
    for losses in [
        &[Loss::Request][..],
        &[Loss::Answer],
        &[Loss::Answer, Loss::Answer],
        &[Loss::Status(502)],
        &[Loss::Status(503)],
        &[Loss::Status(504)],
    ] {
        let world = start().await;
        let (url, left) = way(&world, ASKING, losses).await;
        let asked = alice(
            &world,
            &url,
            &["request", "-r", "admin", "--reason", "x", "-o", "json"],
        );
        let asked = asked.await.ended(0, &["Trying again in"]).json();
        assert_eq!(id(&only(&world).await), id(&asked), "{losses:?}");
        assert!(left.lock().unwrap().is_empty(), "{losses:?}");
        world.end().await;

        let world = start().await;
        let (url, left) = way(&world, ASKING, losses).await;
        let script = ["test -n \"$JIT_REQUEST_ID\" && echo $JIT_REQUEST_ID && exit 9"];
        let with = alice(&world, &url, &[&WITH[..], &script].concat()).await;
        let with = with.ended(9, &["Trying again in", ": released"]);
        let one = only(&world).await;
        assert_eq!(
            (id(&one), &one["state"]),
            (with.out.trim(), &"released".into()),
            "{losses:?}"
        );
        assert!(left.lock().unwrap().is_empty(), "{losses:?}");
        world.end().await;
    }
}

#[tokio::test]
async fn access_is_given_back_though_answers_are_lost() {
    for begin in ["POST /_jit/v1/requests/", "GET /_jit/v1/requests/"] {
        let world = start().await;
        let (url, left) = way(&world, begin, &[Loss::Answer, Loss::Request]).await;
        let with = alice(&world, &url, &[&WITH[..], &["exit 0"]].concat()).await;
        with.ended(0, &["Trying again in", "released"]);
        assert_eq!(only(&world).await["state"], "released", "{begin}");
        assert!(left.lock().unwrap().is_empty(), "{begin}");
        world.end().await;
    }
}

#[tokio::test]
async fn a_refusal_is_not_tried_again_and_not_for_ever() {
    let world = start().await;
    let (url, left) = way(&world, ASKING, &[Loss::None, Loss::Answer]).await;
    let refused = alice(&world, &url, &["request", "-r", "nowhere", "--reason", "x"]).await;
    let refused = refused.ended(3, &["not eligible"]);
    assert!(!refused.err.contains("Trying again"), "{refused:?}");
    assert_eq!(left.lock().unwrap().len(), 1);

    let (url, left) = way(&world, ASKING, &[Loss::Answer; 9]).await;
    let lost = alice(&world, &url, &["request", "-r", "admin", "--reason", "x"]).await;
    let lost = lost.ended(6, &["error: ", &url, "can't be reached"]);
    assert_eq!(lost.err.matches("Trying again").count(), 4, "{lost:?}");
    assert_eq!(left.lock().unwrap().len(), 4, "five tries");
    only(&world).await;
    world.end().await;
}

#[tokio::test]
async fn who_learns_nothing_of_its_asking_asks_once_more_to_give_it_back() {
    for losses in [
        &[Loss::Answer; 5][..],
        // What lasts says nothing of the try before.
        &[Loss::Answer, Loss::Status(401)],
    ] {
        let world = start().await;
        let (url, left) = way(&world, ASKING, losses).await;
        let with = alice(&world, &url, &[&WITH[..], &["echo ran"]].concat()).await;
        let with = with.ended(6, &[": released"]);
        assert!(
            with.out.is_empty() && !with.err.contains("may be open"),
            "{with:?}"
        );
        assert_eq!(only(&world).await["state"], "released", "{losses:?}");
        assert!(left.lock().unwrap().is_empty(), "{losses:?}");
        world.end().await;
    }
    // If it does not learn that, it says so.
    let world = start().await;
    let losses = [Loss::Answer, Loss::Status(401), Loss::Answer];
    let (url, left) = way(&world, ASKING, &losses).await;
    let with = alice(&world, &url, &[&WITH[..], &["echo ran"]].concat()).await;
    let told = [
        "Access may be open",
        "under the key jit-",
        "jit requests --mine",
        "jit release ID",
    ];
    assert!(with.ended(6, &told).out.is_empty());
    assert_eq!(only(&world).await["state"], "active");
    assert!(left.lock().unwrap().is_empty());
    world.end().await;
}

#[tokio::test]
async fn a_server_that_is_not_there_yet_is_waited_for() {
    let world = start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    drop(listener);
    let mut command = world.program("alice", &[&WITH[..], &["exit 4"]].concat());
    command.env("JIT_URL", format!("http://{at}"));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    assert!(first.unwrap().contains("can't be reached"));
    let way = Way {
        to: world.console.trim_start_matches("http://").to_owned(),
        begin: ASKING,
        losses: Arc::default(),
    };
    tokio::spawn(way.serve(TcpListener::bind(at).await.unwrap()));
    while timeout(PATIENCE, lines.next_line())
        .await
        .unwrap()
        .unwrap()
        .is_some()
    {}
    let ended = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(4));
    assert_eq!(only(&world).await["state"], "released");
    world.end().await;
}

#[tokio::test]
async fn who_is_stopped_while_asking_leaves_nothing_behind() {
    let world = start().await;
    let (url, _) = way(&world, ASKING, &[Loss::Answer]).await;
    let mut command = world.program("alice", &[&WITH[..], &["echo ran"]].concat());
    command
        .env("JIT_URL", url)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = String::new();
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        if line.contains("Trying again") {
            let pid = child.id().unwrap().to_string();
            let told = tokio::process::Command::new("kill")
                .args(["-TERM", &pid])
                .status();
            assert!(told.await.unwrap().success());
        }
        said += &line;
    }
    let ended = timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (ended.status.code(), ended.stdout),
        (Some(143), Vec::new()),
        "{said}"
    );
    assert!(said.contains("stopped by SIGTERM"), "{said}");
    assert_eq!(only(&world).await["state"], "released", "{said}");
    world.end().await;
}
