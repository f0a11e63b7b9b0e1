//! A small house: a store, people, a policy, a broker, the gate before the API, and a clock that stands still.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::request::{Builder, Parts};
use http::{HeaderMap, Request, StatusCode};
use jit_console::{ApiSettings, mounted};
use jit_core::approval::audit::Tail;
use jit_core::broker::Broker;
use jit_core::broker::passkeys::StoredPasskeys;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::store::Store;
use jit_core::gate::Gate;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::interactions::Interactions;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::step_up::{StepUpSettings, StepUps};
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::totp::Totp;
use jit_core::id::{Digest, Timestamp};
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_core::testing::ManualClock;
use jit_tower::JitLayer;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::stores::Flaky;

pub(crate) const PEOPLE: &str = r#"
[[people]]
name = "alice"
principals = ["demo|alice"]
roles = ["sre"]
token = "demo-alice"
totp_secret = "JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP"

[[people]]
name = "bob"
principals = ["demo|bob"]
roles = ["sre-lead"]
token = "demo-bob"
totp_secret = "MFZWIZTHNBVGW3DROVSXE5DZOVUW64DB"

[[people]]
name = "carol"
principals = ["demo|carol"]
roles = ["security", "sre-lead", "auditor"]
token = "demo-carol"

[[people]]
name = "erin"
principals = ["demo|erin"]
roles = ["sre", "incident-commander"]
token = "demo-erin"

[[people]]
name = "frank"
principals = ["demo|frank"]
roles = ["sre", "sre-lead"]
token = "demo-frank"

[[people]]
name = "mallory"
principals = ["demo|mallory"]
roles = []
token = "demo-mallory"

[[people]]
name = "zoe"
principals = ["demo|zoe"]
roles = ["sre", "sre-lead", "security", "auditor"]
disabled = true
"#;

pub(crate) const POLICY: &str = r#"
[control]
auditors = ["auditor"]
revokers = ["security"]
lockdown = ["security"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]
tags = ["tier-1"]

[[resources]]
name = "wiki"
hosts = ["app.example.com"]
paths = ["/wiki"]

[[resources]]
name = "vault"
hosts = ["app.example.com"]
paths = ["/vault"]

[[resources]]
name = "crypt"
hosts = ["app.example.com"]
paths = ["/crypt"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h", max_total = "8h" }
pending_timeout = "1h"
cooldown = "5m"
reason = { required = true, min_length = 5 }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]
break_glass = { requesters = { roles = ["incident-commander"] }, max = "20m", review_within = "24h" }

[[policies]]
name = "wiki-for-all"
resources = ["wiki"]
requesters = { roles = ["sre", "sre-lead"] }
duration = { default = "10m", max = "1h" }
approval = "automatic"

[[policies]]
name = "vault-for-sre"
resources = ["vault"]
requesters = { roles = ["sre"] }
duration = { default = "10m", max = "1h" }
stages = [ { name = "two", approvers = { roles = ["sre-lead"] }, quorum = 2, mfa = { max_age = "15m" } } ]

[[policies]]
name = "crypt-for-nobody"
resources = ["crypt"]
requesters = { roles = ["pharaoh"] }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]
"#;

/// An asking that is right.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asking(&'static str);

pub(crate) const ADMIN: Asking = Asking("admin");
pub(crate) const WIKI: Asking = Asking("wiki");
pub(crate) const VAULT: Asking = Asking("vault");

impl Asking {
    pub(crate) fn body(self) -> Value {
        json!({"resource": self.0, "reason": "look into INC-42"})
    }

    pub(crate) fn with(self, more: Value) -> Value {
        let (mut body, more) = (self.body(), more);
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    }
}

/// The people file's tokens; with `-mfa` after a token, of someone who signed in with a second factor just now.
#[derive(Debug)]
struct Badges(ApiTokens);

#[async_trait]
impl Authenticator for Badges {
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r> {
        self.0.present(head, peer)
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        let Some(plain) = credential.strip_suffix(b"-mfa") else {
            return self.0.verify(credential, source, now).await;
        };
        let mut subject = self.0.verify(plain, source, now).await?;
        subject.assurance.methods = vec!["pwd".to_owned(), "mfa".to_owned()];
        subject.assurance.authenticated_at = Some(now);
        Ok(subject)
    }

    fn revoked(&self, _: &Digest) -> bool {
        false
    }
}

pub(crate) struct World {
    router: Router,
    pub(crate) gate: Gate,
    pub(crate) broker: Broker,
    pub(crate) store: Arc<Flaky>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) people: Arc<PeopleFile>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::on(Arc::new(MemoryStore::new())).await
    }

    pub(crate) async fn on(store: Arc<dyn Store>) -> Self {
        Self::ruled(store, POLICY).await
    }

    /// With a policy of its own.
    pub(crate) async fn ruled(store: Arc<dyn Store>, policy: &str) -> Self {
        let store = Arc::new(Flaky::new(store));
        let clock = Arc::new(ManualClock::new("2026-03-01T09:00:00Z".parse().unwrap()));
        let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
        let policy = Policy::parse(policy, Format::Toml, "policy.toml").unwrap();
        let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
        let tokens = people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal));
        let others = ["ghost", "zoe"].map(|name| {
            let token = format!("demo-{name}");
            (
                Digest::plain(token.as_bytes()),
                format!("demo|{name}").parse().unwrap(),
            )
        });
        let tokens = Arc::new(Badges(ApiTokens::new(tokens.chain(others)).unwrap()));
        let codes = Arc::new(Totp::new(people.clone()));
        let step_ups = Arc::new(StepUps::new(codes, StepUpSettings::default()));
        let interactions = Arc::new(Interactions::with_places(64));
        let broker = Broker::builder(store.clone(), people.clone(), policy)
            .clock(clock.clone())
            .interactions(interactions.clone())
            .build()
            .await
            .unwrap();
        let gate = Gate::builder(
            rules,
            broker.enforcer().clone(),
            tokens,
            people.clone(),
            clock.clone(),
        )
        .with_reserve(Arc::new(broker.clone()))
        .with_step_ups(step_ups.clone())
        .with_interactions(interactions)
        .build();
        let router = Router::new()
            .fallback(get(async || "in\n"))
            .merge(mounted(
                broker.clone(),
                ApiSettings::default()
                    .with_step_ups(step_ups)
                    .with_passkeys(Arc::new(StoredPasskeys::new(store.clone()))),
            ))
            .layer(JitLayer::new(gate.clone()));
        Self {
            router,
            gate,
            broker,
            store,
            clock,
            people,
        }
    }

    pub(crate) async fn end(&self) -> Tail {
        self.store.end().await
    }

    pub(crate) fn advance(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// From now on nobody has `role`.
    pub(crate) fn remove_role(&self, role: &str) {
        let fewer = PEOPLE.replace(&format!("\"{role}\""), "\"nothing\"");
        self.people
            .replace(PeopleFile::parse(&fewer, Format::Toml, "people.toml").unwrap());
    }

    /// From now on `name` is disabled.
    pub(crate) fn disable(&self, name: &str) {
        let line = format!("token = \"demo-{name}\"");
        let fewer = PEOPLE.replace(&line, &format!("{line}\ndisabled = true"));
        self.people
            .replace(PeopleFile::parse(&fewer, Format::Toml, "people.toml").unwrap());
    }

    /// A call of the API by `who`; nobody if that is empty.
    pub(crate) fn call(&self, who: &str, method: &str, path: &str) -> Builder {
        let request = Request::builder()
            .method(method)
            .uri(format!("/_jit{path}"))
            .header("host", "app.example.com");
        if who.is_empty() {
            request
        } else {
            request.header("authorization", format!("Bearer demo-{who}"))
        }
    }

    /// The response as it begins. Whatever the API answers carries the same headers.
    pub(crate) async fn respond(&self, request: Request<Body>) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        let response = self.router.clone().oneshot(request).await.unwrap().map(Body::new);
        if path.starts_with("/_jit/") && response.extensions().get::<Refusal>().is_none() {
            for (name, value) in [
                ("cache-control", "no-store"),
                ("x-content-type-options", "nosniff"),
                (
                    "content-security-policy",
                    "default-src 'none'; frame-ancestors 'none'",
                ),
                ("referrer-policy", "no-referrer"),
            ] {
                let sent: Vec<_> = response.headers().get_all(name).iter().collect();
                assert_eq!(sent, [value], "{path}: {name}");
            }
        }
        response
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let shown = format!("{} {}", request.method(), request.uri());
        let (parts, body) = self.respond(request).await.into_parts();
        let body = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8(body.to_vec()).unwrap();
        Answer {
            shown,
            status: parts.status,
            headers: parts.headers,
            json: serde_json::from_str(&text).unwrap_or_default(),
            text,
        }
    }

    pub(crate) async fn get(&self, who: &str, path: &str) -> Answer {
        self.send(self.call(who, "GET", path).body(Body::empty()).unwrap())
            .await
    }

    pub(crate) async fn post(&self, who: &str, path: &str, body: &Value) -> Answer {
        self.post_text(who, path, body.to_string()).await
    }

    pub(crate) async fn post_text(&self, who: &str, path: &str, body: impl Into<Body>) -> Answer {
        let request = self
            .call(who, "POST", path)
            .header("content-type", "application/json");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// A post that is refused and changes nothing.
    pub(crate) async fn refused(
        &self,
        who: &str,
        path: &str,
        body: &Value,
        (status, kind): (u16, &str),
    ) -> Answer {
        let before = self.end().await;
        let answer = self.post(who, path, body).await;
        answer.problem(status, kind);
        assert_eq!(self.end().await, before, "{answer:?} has changed something");
        answer
    }

    /// The guarded app itself.
    pub(crate) async fn app(&self, who: &str, path: &str) -> Answer {
        let request = Request::builder()
            .uri(path)
            .header("host", "app.example.com")
            .header("authorization", format!("Bearer demo-{who}"));
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn asked(&self, who: &str, asking: Asking) -> Answer {
        let answer = self.post(who, "/v1/requests", &asking.body()).await;
        answer.is(201);
        assert!(answer.text.ends_with("}\n"), "{answer:?}");
        answer
    }

    /// Asked for by `who` and approved by carol.
    pub(crate) async fn granted(&self, who: &str, asking: Asking) -> Answer {
        let asked = self.asked(who, asking).await;
        let approved = self
            .post("carol", &format!("{}/review", asked.path()), &asked.approval())
            .await;
        approved.is(200);
        assert_eq!(approved.json["state"], "active");
        approved
    }

    pub(crate) async fn request(&self, who: &str, id: &str) -> Value {
        let answer = self.get(who, &format!("/v1/requests/{id}")).await;
        answer.is(200);
        answer.json
    }
}

/// A response, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    shown: String,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// The body, if it is JSON.
    pub(crate) json: Value,
    pub(crate) text: String,
}

impl Answer {
    #[track_caller]
    pub(crate) fn is(&self, status: u16) {
        assert_eq!(self.status, status, "{}: {}", self.shown, self.text);
    }

    /// A problem of the API, as RFC 9457 wants it.
    #[track_caller]
    pub(crate) fn problem(&self, status: u16, kind: &str) {
        self.is(status);
        assert!(self.text.ends_with("}\n"), "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        assert_eq!(
            self.json["type"],
            format!("/_jit/problems/{kind}"),
            "{}: {}",
            self.shown,
            self.text
        );
        assert_eq!(self.json["status"], status, "{self:?}");
        for member in ["title", "detail"] {
            assert!(
                self.json[member].as_str().is_some_and(|text| !text.is_empty()),
                "{self:?}"
            );
        }
    }

    /// A problem with one input.
    #[track_caller]
    pub(crate) fn invalid(&self, field: &str) {
        self.problem(400, "invalid");
        assert_eq!(self.json["field"], field, "{}: {}", self.shown, self.text);
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(crate) fn id(&self) -> String {
        self.json["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn digest(&self) -> Value {
        self.json["digest"].clone()
    }

    pub(crate) fn path(&self) -> String {
        format!("/v1/requests/{}", self.id())
    }

    pub(crate) fn approval(&self) -> Value {
        json!({"decision": "approve", "digest": self.digest()})
    }

    #[track_caller]
    pub(crate) fn state(&self) -> &str {
        self.is(200);
        self.json["state"].as_str().unwrap()
    }
}
