//! What is in flight ends with its grant, over hyper's connections in memory. Time is Tokio's: it stands still unless everybody waits.

use std::convert::Infallible;
use std::future::pending;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::approval::request;
use jit_core::clock::Clock;
use jit_core::gate::budget::Budgeted;
use jit_core::gate::cut::Cut;
use jit_core::gate::{Gate, Reserve, ReserveError};
use jit_core::id::{GrantId, RequestId, Timestamp};
use jit_core::span::Span;
use jit_tower::connection::{GRACE, Severable};
use jit_tower::{JitLayer, RequestBody};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer as _, ServiceExt as _, service_fn};

use crate::world::{at, builder, request, tokens};

/// Tokio's time, from 1 s on.
#[derive(Debug)]
struct TokioClock(Instant);

impl TokioClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this clock is Tokio's, which the test moves"
    )]
    fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        at(1) + self.0.elapsed()
    }
}

/// So many octets, in chunks.
#[derive(Debug)]
struct Chest {
    left: AtomicU64,
    chunk: u64,
}

#[async_trait]
impl Reserve for Chest {
    async fn reserve(&self, _: GrantId, of: Budgeted, _: Timestamp) -> Result<u64, ReserveError> {
        assert_eq!(of, Budgeted::Bytes);
        tokio::task::yield_now().await;
        let take = |left: u64| Some(left - left.min(self.chunk));
        let left = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        Ok(left.unwrap().min(self.chunk))
    }
}

/// A body that somebody fills.
struct Filled(mpsc::Receiver<Bytes>);

impl Body for Filled {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|data| data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_closed() && self.0.is_empty()
    }
}

/// A body that `fill` fills.
fn filled<F: Future<Output = ()> + Send + 'static>(fill: impl FnOnce(mpsc::Sender<Bytes>) -> F) -> Filled {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(fill(sender));
    Filled(receiver)
}

struct House {
    gate: Gate,
    clock: Arc<TokioClock>,
    /// What became of the last upload.
    upload: Arc<Mutex<String>>,
}

impl House {
    fn new(change: impl FnOnce(&mut request::Request)) -> Self {
        Self::with(None, change)
    }

    fn with(reserve: Option<Arc<dyn Reserve>>, change: impl FnOnce(&mut request::Request)) -> Self {
        let clock = Arc::new(TokioClock::start());
        let mut gate = builder(clock.clone(), tokens());
        if let Some(reserve) = reserve {
            gate = gate.with_reserve(reserve);
        }
        let gate = gate.build();
        let mut request = request();
        change(&mut request);
        gate.enforcer().publish(1, &request);
        Self {
            gate,
            clock,
            upload: Arc::default(),
        }
    }

    /// Seconds on the gate's clock.
    fn seconds(&self) -> f64 {
        (self.clock.now() - at(0)).as_seconds_f64()
    }

    /// A client's end of a connection. `severable`: the layer gets the handle on it.
    fn connect(&self, severable: bool) -> DuplexStream {
        let (client, server) = tokio::io::duplex(4096);
        let server = Severable::new(server);
        let connection = server.connection();
        let upload = Arc::clone(&self.upload);
        let app = service_fn(move |request| answer(request, Arc::clone(&upload)));
        let guarded = JitLayer::new(self.gate.clone()).layer(app);
        let service = service_fn(move |mut request: Request<Incoming>| {
            if severable {
                request.extensions_mut().insert(connection.clone());
            }
            guarded.clone().oneshot(request)
        });
        tokio::spawn(async move {
            let server_of = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            let _ = server_of
                .serve_connection_with_upgrades(TokioIo::new(server), service)
                .await;
        });
        client
    }

    /// Sends one request over HTTP/1.1.
    async fn get(&self, path: &str, severable: bool) -> Response<Incoming> {
        let stream = TokioIo::new(self.connect(severable));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
            .send_request(asks(path, Empty::<Bytes>::new()))
            .await
            .unwrap()
    }
}

fn asks<B>(path: &str, body: B) -> Request<B> {
    Request::get(path)
        .header("host", "app.example")
        .header("authorization", "Bearer ana")
        .body(body)
        .unwrap()
}

fn posts<B>(path: &str, body: B) -> Request<B> {
    let mut request = asks(path, body);
    *request.method_mut() = Method::POST;
    request
}

/// The application.
async fn answer(
    request: Request<RequestBody<Incoming>>,
    upload: Arc<Mutex<String>>,
) -> Result<Response<Filled>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut response = Response::new(match path.as_str() {
        "/admin/events" => filled(async |to| {
            to.send("data: 1\n\n".into()).await.unwrap();
            to.closed().await;
        }),
        "/admin/download" => filled(async |to| {
            to.send("a part".into()).await.unwrap();
            to.closed().await;
        }),
        "/admin/kept" => filled(async move |to| {
            let _ = to.send("a part".into()).await;
            to.closed().await;
            "let go".clone_into(&mut upload.lock().unwrap());
        }),
        "/admin/whole" => filled(async |to| to.send(vec![b'x'; 2 << 20].into()).await.unwrap_or(())),
        "/admin/endless" => filled(async |to| while to.send(vec![b'x'; 16 << 10].into()).await.is_ok() {}),
        "/admin/steps" | "/public" => filled(async |to| {
            for _ in 0..10 {
                sleep(Duration::from_secs(5)).await;
                if to.send("a step\n".into()).await.is_err() {
                    return;
                }
            }
            to.closed().await;
        }),
        "/admin/blocks" => filled(async |to| while to.send(vec![b'x'; 300].into()).await.is_ok() {}),
        "/admin/upload" => {
            let outcome = match request.into_body().collect().await {
                Ok(body) => format!("{} octets", body.to_bytes().len()),
                Err(error) => format!("{:?}", error.downcast_ref::<Cut>()),
            };
            *upload.lock().unwrap() = outcome;
            filled(async |_| {})
        }
        "/admin/echo" | "/admin/mute" => {
            let mute = path.ends_with("mute");
            tokio::spawn(async move {
                let mut upgraded = TokioIo::new(hyper::upgrade::on(request).await.unwrap());
                if mute {
                    pending::<()>().await;
                }
                let mut buffer = [0; 64];
                while let Ok(n @ 1..) = upgraded.read(&mut buffer).await {
                    if upgraded.write_all(&buffer[..n]).await.is_err() {
                        break;
                    }
                }
            });
            filled(async |_| {})
        }
        _ => pending().await,
    });
    match path.as_str() {
        "/admin/events" => {
            let kind = "text/event-stream".parse().unwrap();
            response.headers_mut().insert("content-type", kind);
        }
        "/admin/echo" | "/admin/mute" => {
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            for (name, value) in [("connection", "upgrade"), ("upgrade", "websocket")] {
                response.headers_mut().insert(name, value.parse().unwrap());
            }
        }
        _ => {}
    }
    Ok(response)
}

/// What came of a body, and how it ended.
async fn read(body: Incoming) -> (String, bool) {
    let (mut body, mut text) = (body, String::new());
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text.push_str(str::from_utf8(frame.data_ref().unwrap()).unwrap()),
            Err(_) => return (text, false),
        }
    }
    (text, true)
}

const THE_GRANT: fn() -> GrantId = || RequestId::from_u128(7).into();

fn assert_about(seconds: f64, expected: f64) {
    assert!(
        (expected..expected + 0.005).contains(&seconds),
        "at {seconds} s, not {expected} s"
    );
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_events_is_told_why_it_ends() {
    let house = House::new(|_| {});
    let response = house.get("/admin/events", false).await;
    assert_eq!(response.headers()["x-jit-expires"], "2027-01-15T08:01:40Z");
    let (text, whole) = read(response.into_body()).await;
    let last = "event: jit-grant-ended\ndata: {\"cause\":\"expired\",\"detail\":\"the grant's window has closed\"}\n\n";
    assert_eq!((text, whole), (format!("data: 1\n\n{last}"), true));
    assert_about(house.seconds(), 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_download_breaks_off_whatever_ends_its_grant() {
    for cut in [Cut::Revoked, Cut::Released, Cut::LockedDown, Cut::Exhausted] {
        let house = House::new(|_| {});
        let response = house.get("/admin/download", false).await;
        let (body, enforcer) = (response.into_body(), house.gate.enforcer().clone());
        let revoked = tokio::spawn(async move {
            sleep(Duration::from_secs(10)).await;
            enforcer.shut(THE_GRANT(), cut);
        });
        assert_eq!(read(body).await, ("a part".to_owned(), false), "{cut}");
        assert_about(house.seconds(), 11.0);
        revoked.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_shortened_ends_early() {
    let house = House::new(|_| {});
    let body = house.get("/admin/download", false).await.into_body();
    let enforcer = house.gate.enforcer().clone();
    // While the stream waits, and long before it would look again by itself.
    tokio::spawn(async move {
        sleep(Duration::from_secs(19)).await;
        let mut shorter = request();
        shorter.grant.as_mut().unwrap().not_after = at(25);
        enforcer.publish(2, &shorter);
    });
    assert!(!read(body).await.1);
    assert_about(house.seconds(), 25.0);
}

#[tokio::test(start_paused = true)]
async fn a_response_that_nobody_reads_takes_its_connection_with_it() {
    // Whether it goes on for ever or was handed over in one piece.
    for path in ["/admin/endless", "/admin/whole"] {
        let house = House::new(|_| {});
        let mut client = house.connect(true);
        let head = format!("GET {path} HTTP/1.1\r\nhost: app.example\r\nauthorization: Bearer ana\r\n\r\n");
        client.write_all(head.as_bytes()).await.unwrap();
        // The server's end is gone when writing to it fails.
        let gone = async {
            while client
                .write_all(b"GET /public HTTP/1.1\r\nhost: app.example\r\n\r\n")
                .await
                .is_ok()
            {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let gone = timeout(Duration::from_secs(200), gone).await;
        assert!(gone.is_ok(), "{path} goes on");
        assert_about(house.seconds(), 100.0 + GRACE.as_secs_f64());
    }
}

#[tokio::test(start_paused = true)]
async fn an_upload_fails_and_an_answer_that_has_not_begun_says_why() {
    let house = House::new(|_| {});
    for (path, upload) in [("/admin/upload", "Some(Expired)"), ("/admin/never", "")] {
        let house = House {
            upload: Arc::default(),
            ..House::new(|_| {})
        };
        let stream = TokioIo::new(house.connect(false));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let body = filled(async |to| {
            to.send("a part".into()).await.unwrap();
            to.closed().await;
        });
        let response = sender.send_request(posts(path, body)).await.unwrap();
        assert_about(house.seconds(), 100.0);
        assert_eq!(response.status(), StatusCode::FORBIDDEN, "{path}");
        let (text, _) = read(response.into_body()).await;
        assert!(text.contains("/_jit/problems/grant-ended\""), "{text}");
        assert!(text.contains("the grant's window has closed"), "{text}");
        // The application may have been dropped before it could tell.
        let told = house.upload.lock().unwrap().clone();
        assert!(told == upload || told.is_empty(), "{told}");
    }
    drop(house);
}

#[tokio::test(start_paused = true)]
async fn one_stream_of_a_connection_is_cut_and_the_others_are_not() {
    let house = House::new(|_| {});
    let stream = TokioIo::new(house.connect(true));
    let (sender, connection) = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let send = async |path: &str| {
        let uri = format!("http://app.example{path}");
        let request = Request::get(uri).header("authorization", "Bearer ana");
        let request = request.body(Empty::<Bytes>::new()).unwrap();
        sender.clone().send_request(request).await.unwrap().into_body()
    };
    let (cut, open) = (send("/admin/download").await, send("/public").await);
    sleep(Duration::from_secs(7)).await;
    house.gate.enforcer().shut(THE_GRANT(), Cut::Revoked);
    assert_eq!(read(cut).await, ("a part".to_owned(), false));
    assert_about(house.seconds(), 8.0);
    let mut open = open;
    for _ in 0..10 {
        open.frame().await.unwrap().unwrap();
    }
    assert_about(house.seconds(), 51.0);
}

const UPGRADE: &str = "GET /admin/echo HTTP/1.1\r\nhost: app.example\r\nauthorization: Bearer ana\r\n\
    connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

async fn read_head(client: &mut DuplexStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_websocket_is_closed_with_a_reason() {
    for path in ["/admin/echo", "/admin/mute"] {
        let house = House::new(|_| {});
        let mut client = house.connect(true);
        let upgrade = UPGRADE.replace("/admin/echo", path);
        client.write_all(upgrade.as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        let frame = [0x82, 0x03, 1, 2, 3];
        if path == "/admin/echo" {
            client.write_all(&frame).await.unwrap();
            let mut echoed = [0; 5];
            client.read_exact(&mut echoed).await.unwrap();
            assert_eq!(echoed, frame);
        }
        sleep(Duration::from_secs(9)).await;
        house.gate.enforcer().shut(THE_GRANT(), Cut::Revoked);
        let mut last = Vec::new();
        client.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"\x88\x17\x03\xf0the grant was revoked", "{path}");
        assert_about(house.seconds(), 10.0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_severed_or_counted_is_not_upgraded() {
    let limited = |request: &mut request::Request| {
        request.grant.as_mut().unwrap().max_bytes = Some(1000);
    };
    let h2c = UPGRADE.replace("websocket\r", "websocket, h2c\r");
    let http = UPGRADE.replace("websocket\r", "HTTP/2.0\r");
    // What is no offer to the gate must be none to the application either.
    let ignored = UPGRADE.replace("websocket\r", "h2c\r");
    let plain: fn(&mut request::Request) = |_| {};
    for (severable, upgrade, change, refusal) in [
        (false, UPGRADE, plain, "upgrade-refused"),
        (true, h2c.as_str(), plain, "upgrade-refused"),
        (true, http.as_str(), plain, "upgrade-refused"),
        (false, ignored.as_str(), plain, "upgrade-refused"),
        (true, ignored.as_str(), plain, "upgrade-refused"),
        (true, UPGRADE, limited, "limit-not-enforceable"),
    ] {
        let house = House::new(change);
        let mut client = house.connect(severable);
        client.write_all(upgrade.as_bytes()).await.unwrap();
        let head = read_head(&mut client).await;
        assert!(head.starts_with("HTTP/1.1 403"), "{head}");
        let mut answer = String::new();
        while !answer.ends_with('}') {
            answer.push(char::from(client.read_u8().await.unwrap()));
        }
        assert!(
            answer.contains(&format!("/_jit/problems/{refusal}\"")),
            "{answer}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_flows_is_not_idle_and_what_rests_is() {
    let house = House::new(|request| {
        request.grant.as_mut().unwrap().idle_timeout = Some(Span::seconds(10).unwrap());
    });
    let (text, whole) = read(house.get("/admin/steps", false).await.into_body()).await;
    assert_eq!((text.lines().count(), whole), (10, false));
    // The last step came at 51 s; what is written down of a use is up to 1 s old.
    let seconds = house.seconds();
    assert!((60.0..=61.01).contains(&seconds), "{seconds}");

    // So does a WebSocket.
    let house = House::new(|request| {
        request.grant.as_mut().unwrap().idle_timeout = Some(Span::seconds(10).unwrap());
    });
    let mut client = house.connect(true);
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    for _ in 0..6 {
        sleep(Duration::from_secs(8)).await;
        client.write_all(&[0x82, 0]).await.unwrap();
        client.read_u16().await.unwrap();
    }
    let mut last = Vec::new();
    client.read_to_end(&mut last).await.unwrap();
    assert!(last.ends_with(b"the grant lay idle for too long"), "{last:?}");
    let seconds = house.seconds();
    assert!((58.0..=59.01).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn no_more_octets_pass_than_were_granted() {
    for (most, passes) in [(1000, 900), (900, 900), (299, 0)] {
        let chest = Chest {
            left: AtomicU64::new(most),
            chunk: 70,
        };
        let house = House::with(Some(Arc::new(chest)), |request| {
            request.grant.as_mut().unwrap().max_bytes = Some(most);
        });
        let (text, whole) = read(house.get("/admin/blocks", false).await.into_body()).await;
        assert_eq!((text.len(), whole), (passes, false), "of {most}");
        assert!(house.seconds() < 2.0);
    }
    // What is received counts as well.
    for (most, outcome) in [(600, "600 octets"), (599, "Some(Exhausted)")] {
        let chest = Chest {
            left: AtomicU64::new(most),
            chunk: 70,
        };
        let house = House::with(Some(Arc::new(chest)), |request| {
            request.grant.as_mut().unwrap().max_bytes = Some(most);
        });
        let stream = TokioIo::new(house.connect(false));
        let (mut sender, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let body = filled(async |to| {
            for _ in 0..2 {
                let _ = to.send(vec![b'x'; 300].into()).await;
            }
        });
        sender.send_request(posts("/admin/upload", body)).await.unwrap();
        assert_eq!(*house.upload.lock().unwrap(), outcome, "of {most}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_grant_takes_over_at_a_natural_end_alone() {
    let other = |until| {
        let mut other = request();
        other.id = RequestId::from_u128(8);
        let grant = other.grant.as_mut().unwrap();
        (grant.id, grant.not_after) = (other.id.into(), at(until));
        other
    };
    let house = House::new(|_| {});
    let body = house.get("/admin/download", false).await.into_body();
    house.gate.enforcer().publish(1, &other(150));
    assert!(!read(body).await.1);
    assert_about(house.seconds(), 150.0);

    let house = House::new(|_| {});
    let body = house.get("/admin/download", false).await.into_body();
    house.gate.enforcer().publish(1, &other(150));
    sleep(Duration::from_secs(20)).await;
    house.gate.enforcer().shut(THE_GRANT(), Cut::Revoked);
    assert!(!read(body).await.1);
    assert_about(house.seconds(), 21.0);
}

#[tokio::test(start_paused = true)]
async fn a_websocket_does_not_go_on_under_a_grant_with_a_limit_on_octets() {
    let chest = Chest {
        left: AtomicU64::new(8),
        chunk: 8,
    };
    let house = House::with(Some(Arc::new(chest)), |_| {});
    let mut other = request();
    other.id = RequestId::from_u128(8);
    let grant = other.grant.as_mut().unwrap();
    (grant.id, grant.not_after, grant.max_bytes) = (other.id.into(), at(150), Some(8));
    house.gate.enforcer().publish(1, &other);
    house.gate.enforcer().allow(other.id.into(), Budgeted::Bytes, 8);
    let mut client = house.connect(true);
    client.write_all(UPGRADE.as_bytes()).await.unwrap();
    read_head(&mut client).await;
    let mut last = Vec::new();
    client.read_to_end(&mut last).await.unwrap();
    assert!(last.ends_with(b"the grant's window has closed"), "{last:?}");
    assert_about(house.seconds(), 100.0);
}

#[tokio::test(start_paused = true)]
async fn a_view_that_went_stale_ends_what_it_admitted() {
    let house = House::new(|request| request.grant.as_mut().unwrap().not_after = at(10_000));
    let body = house.get("/admin/download", false).await.into_body();
    assert!(!read(body).await.1);
    let seconds = house.seconds();
    assert!((300.0..300.01).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_waits_for_budget_is_not_the_end() {
    let chest = Chest {
        left: AtomicU64::new(400),
        chunk: 100,
    };
    let house = House::with(Some(Arc::new(chest)), |request| {
        request.grant.as_mut().unwrap().max_bytes = Some(400);
    });
    let whole = service_fn(async |_: Request<RequestBody<Empty<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from(vec![
            b'x';
            300
        ]))))
    });
    let guarded = JitLayer::new(house.gate.clone()).layer(whole);
    let response = guarded.oneshot(asks("/admin", Empty::new())).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(body.as_mut().poll_frame(&mut cx).is_pending());
    assert!(!body.is_end_stream());
    assert_eq!(body.size_hint().exact(), None);
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_polls_holds_up_no_other() {
    let chest = Chest {
        left: AtomicU64::new(1000),
        chunk: 100,
    };
    let house = House::with(Some(Arc::new(chest)), |request| {
        request.grant.as_mut().unwrap().max_bytes = Some(1000);
    });
    let whole = service_fn(async |_: Request<RequestBody<Empty<Bytes>>>| {
        Ok::<_, Infallible>(Response::new(http_body_util::Full::new(Bytes::from(vec![
            b'x';
            300
        ]))))
    });
    let guarded = JitLayer::new(house.gate.clone()).layer(whole);
    let send = || guarded.clone().oneshot(asks("/admin", Empty::new()));
    // It has begun to reserve, and does not get to know what came of it.
    let left = send().await.unwrap();
    let mut left = std::pin::pin!(left.into_body());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    assert!(left.as_mut().poll_frame(&mut cx).is_pending());
    let other = async { send().await.unwrap().into_body().collect().await };
    let other = timeout(Duration::from_secs(50), other).await.expect("held up");
    assert_eq!(other.unwrap().to_bytes().len(), 300);
    // Nothing of what was reserved is lost.
    assert_eq!(left.collect().await.unwrap().to_bytes().len(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_window_keeps_nothing_of_the_application() {
    let house = House::new(|_| {});
    let stream = TokioIo::new(house.connect(false));
    let (mut sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(0)
        .handshake(stream)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://app.example/admin/kept").header("authorization", "Bearer ana");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    // From 1 s on.
    sleep(Duration::from_millis(98_900)).await;
    assert_eq!(*house.upload.lock().unwrap(), "");
    sleep(Duration::from_millis(200)).await;
    assert_eq!(*house.upload.lock().unwrap(), "let go");
}
