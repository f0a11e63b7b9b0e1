//! A broker with its control API, jit-authz over its gate, and an application that tells what it was sent.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::HeaderValue;
use axum::response::{IntoResponse as _, Response};
use balancers::Ports;
use jit_authz::{Authz, AuthzSettings};
use jit_console::ApiSettings;
use jit_core::broker::Broker;
use jit_core::broker::people::PeopleFile;
use jit_core::clock::{Clock, SystemClock};
use jit_core::gate::Gate;
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_tower::JitLayer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

use crate::client::{Answer, Client};

pub(crate) const HOST: &str = "app.example.com";
pub(crate) const PAGE: &str = "https://access.example.com/ask";
pub(crate) const CONTROL: &str = "https://access.example.com/_jit";

const POLICY: &str = r#"
[control]
auditors = ["lead"]
revokers = ["lead"]
lockdown = ["lead"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[resources]]
name = "caddy-admin"
hosts = ["admin.example.com"]
paths = ["/"]

[[policies]]
name = "for-sre"
resources = ["admin", "caddy-admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "1h" }
stages = [ { name = "lead", approvers = { roles = ["lead"] } } ]
"#;

const PEOPLE: &str = r#"
[[people]]
name = "Alice"
principals = ["demo|alice"]
roles = ["sre", "on-call"]
token = "demo-alice"

[[people]]
name = "Bob"
principals = ["demo|bob"]
roles = ["lead"]
token = "demo-bob"
"#;

pub(crate) const ALICE: (&str, &str) = ("Authorization", "Bearer demo-alice");
pub(crate) const BOB: (&str, &str) = ("Authorization", "Bearer demo-bob");

pub(crate) struct House {
    pub(crate) ports: Ports,
    control: SocketAddr,
    authz: AbortHandle,
    served: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl House {
    pub(crate) async fn build() -> Self {
        let policy = Policy::parse(POLICY, Format::Toml, "policy.toml").unwrap();
        let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
        let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
        let tokens = people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal));
        let tokens = Arc::new(ApiTokens::new(tokens).unwrap());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let broker = Broker::builder(Arc::new(MemoryStore::new()), people.clone(), policy)
            .clock(clock.clone())
            .build()
            .await
            .unwrap();
        let gate = Gate::builder(rules, broker.enforcer().clone(), tokens, people, clock)
            .with_reserve(Arc::new(broker.clone()))
            .build();

        let mut tasks = JoinSet::new();
        let runs = broker.clone();
        tasks.spawn(async move { runs.run().await });

        let api = Router::new()
            .nest("/_jit", jit_console::api(broker, ApiSettings::default()))
            .layer(JitLayer::new(gate.clone()));
        let (listener, control) = listen().await;
        tasks.spawn(async move { axum::serve(listener, api).await.unwrap() });

        let proxies = TrustedProxies::parse(["127.0.0.1"]).unwrap();
        let settings = AuthzSettings::new(proxies).unwrap();
        let settings = settings.with_page(PAGE).unwrap().with_control(CONTROL).unwrap();
        let (listener, authz_at) = listen().await;
        let authz = Authz::new(gate, settings);
        let authz = tasks.spawn(async move { authz.serve(listener).await.unwrap() });

        let served = Arc::new(AtomicUsize::new(0));
        let application = Router::new().fallback(tell).with_state(served.clone());
        let (listener, application_at) = listen().await;
        tasks.spawn(async move { axum::serve(listener, application).await.unwrap() });
        Self {
            ports: Ports {
                authz: authz_at.port(),
                application: application_at.port(),
            },
            control,
            authz,
            served,
            _tasks: tasks,
        }
    }

    /// How many requests the application has had.
    pub(crate) fn served(&self) -> usize {
        self.served.load(Ordering::SeqCst)
    }

    pub(crate) fn kill_authz(&self) {
        self.authz.abort();
    }

    async fn post(&self, who: (&str, &str), path: &str, body: Value) -> Answer {
        let mut client = Client::connect(self.control, HOST).await;
        client.send("POST", path, &[who], Some(&body)).await.unwrap()
    }

    /// Asks as alice and approves as bob; answers the request's id.
    pub(crate) async fn grant(&self, ask: Value) -> String {
        let asked = self.post(ALICE, "/_jit/v1/requests", ask).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        let id = asked.json()["id"].as_str().unwrap().to_owned();
        let approval = json!({"decision": "approve", "digest": asked.json()["digest"], "comment": ""});
        let approved = self
            .post(BOB, &format!("/_jit/v1/requests/{id}/review"), approval)
            .await;
        assert_eq!(approved.json()["state"], "active", "{approved:?}");
        id
    }

    pub(crate) async fn revoke(&self, id: &str) {
        let reason = json!({"reason": "the test is over"});
        let revoked = self
            .post(BOB, &format!("/_jit/v1/requests/{id}/revoke"), reason)
            .await;
        assert_eq!(revoked.json()["state"], "revoked", "{revoked:?}");
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Below this path the application would like the balancer to fetch `/admin` in its place.
pub(crate) const ELSEWHERE: &str = "/public/elsewhere";

/// Answers with the request line and every header field, doubled ones apart.
async fn tell(State(served): State<Arc<AtomicUsize>>, request: Request) -> Response {
    served.fetch_add(1, Ordering::SeqCst);
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            [
                name.as_str().to_owned(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            ]
        })
        .collect();
    let told =
        json!({"method": request.method().as_str(), "target": request.uri().to_string(), "fields": fields});
    let mut response = told.to_string().into_response();
    if request.uri().path().starts_with(ELSEWHERE) {
        let admin = HeaderValue::from_static("/admin");
        response.headers_mut().insert("x-accel-redirect", admin);
    }
    response
}
