//! A running demo, and clients that send to it what they are told.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HeaderMap, LOCATION, SET_COOKIE};
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jit_server::BoxError;
use jit_server::demo::{Demo, DemoArgs};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Longer than anything here takes. What is not there by then is not coming.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A demo on free ports.
pub(crate) struct Running {
    pub(crate) guarded: String,
    pub(crate) console: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), BoxError>>,
}

pub(crate) async fn start() -> Running {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let args = DemoArgs {
        listen: free,
        console: free,
        policy: None,
        people: None,
        no_open: true,
    };
    let demo = Demo::open(&args).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    Running {
        guarded: format!("http://{}", demo.guarded()),
        console: demo.console_origin().to_owned(),
        stop,
        served: tokio::spawn(demo.serve(async {
            let _ = stopped.await;
        })),
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    pub(crate) fn header(&self, name: impl http::header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> &str {
        assert_eq!(self.status, 303, "{self:?}");
        self.header(LOCATION)
    }
}

/// Sends one request to `url`, and follows nothing.
pub(crate) async fn open(
    method: &str,
    url: &str,
    fields: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Incoming> {
    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let request = fields.iter().fold(
        Request::builder().method(method).uri(url),
        |request, (name, value)| request.header(*name, *value),
    );
    let request = request.body(Full::new(body.into())).unwrap();
    let response = tokio::time::timeout(PATIENCE, client.request(request)).await;
    response.expect("an answer in time").unwrap()
}

pub(crate) async fn send(method: &str, url: &str, fields: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
    let (head, body) = open(method, url, fields, body).await.into_parts();
    let body = tokio::time::timeout(PATIENCE, body.collect()).await;
    let body = body.expect("a whole answer in time").unwrap().to_bytes();
    Answer {
        status: head.status.as_u16(),
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

/// A program with somebody's token; nobody's if `who` is empty.
pub(crate) async fn get(who: &str, url: &str) -> Answer {
    let bearer = format!("Bearer demo-{who}");
    let fields = [(AUTHORIZATION.as_str(), bearer.as_str())];
    send("GET", url, if who.is_empty() { &[] } else { &fields }, "").await
}

pub(crate) async fn post(who: &str, url: &str, body: &Value) -> Answer {
    let bearer = format!("Bearer demo-{who}");
    let fields = [
        (AUTHORIZATION.as_str(), bearer.as_str()),
        (CONTENT_TYPE.as_str(), "application/json"),
    ];
    send("POST", url, &fields, body.to_string()).await
}

impl Running {
    /// Stops it in order: nothing of it is left then.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        let served = tokio::time::timeout(PATIENCE, self.served).await;
        served.expect("it stops").unwrap().unwrap();
    }

    /// Alice asks for admin, through the gate; answers the request.
    pub(crate) async fn ask(&self) -> Value {
        let ask = serde_json::json!({"resource": "admin", "reason": "look into INC-42", "duration": "5m"});
        let asked = post("alice", &format!("{}/_jit/v1/requests", self.guarded), &ask).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        asked.json()
    }

    /// Bob does something about a request, at the console's address.
    pub(crate) async fn act(&self, asked: &Value, action: &str, body: Value) -> Answer {
        let url = format!("{}{}/{action}", self.console, asked["url"].as_str().unwrap());
        post("bob", &url, &body).await
    }

    pub(crate) async fn approve(&self, asked: &Value) {
        let approval = serde_json::json!({"decision": "approve", "digest": asked["digest"]});
        let approved = self.act(asked, "review", approval).await;
        assert_eq!(
            (approved.status, &approved.json()["state"]),
            (200, &"active".into()),
            "{approved:?}"
        );
    }
}

/// A browser that goes where a person tells it to. Its cookies are sent to every port of a host, as a real one's are.
#[derive(Debug, Default)]
pub(crate) struct Browser {
    pub(crate) cookies: BTreeMap<String, String>,
}

impl Browser {
    pub(crate) async fn get(&mut self, url: &str) -> Answer {
        self.send("GET", url, &[], "").await
    }

    /// Sends a form of a page at `origin`.
    pub(crate) async fn submit(&mut self, origin: &str, path: &str, form: &str) -> Answer {
        let more = [
            ("content-type", "application/x-www-form-urlencoded"),
            ("origin", origin),
            ("sec-fetch-site", "same-origin"),
        ];
        self.send("POST", &format!("{origin}{path}"), &more, form).await
    }

    /// Goes on from an answer for as long as it is sent elsewhere within `origin`.
    pub(crate) async fn follow(&mut self, origin: &str, mut answer: Answer) -> Answer {
        for _ in 0..10 {
            if answer.status != 303 {
                return answer;
            }
            let location = answer.location().to_owned();
            assert!(location.starts_with('/'), "{location}");
            answer = self.get(&format!("{origin}{location}")).await;
        }
        panic!("it never arrives: {answer:?}");
    }

    async fn send(&mut self, method: &str, url: &str, more: &[(&str, &str)], body: &str) -> Answer {
        let cookies: Vec<String> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let cookies = cookies.join("; ");
        let mut fields = vec![
            ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
            ("sec-fetch-mode", "navigate"),
            ("sec-fetch-dest", "document"),
        ];
        if !cookies.is_empty() {
            fields.push((COOKIE.as_str(), &cookies));
        }
        fields.extend(more);
        let answer = send(method, url, &fields, body.to_owned()).await;
        for set in answer.headers.get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            for rule in ["; Path=/", "; Secure", "; HttpOnly"] {
                assert!(set.contains(rule), "{set}");
            }
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }
}
