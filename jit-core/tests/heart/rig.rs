//! A whole small house: a store, people, a policy, a broker, a gate, and a clock that only moves when told.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::Request as HttpRequest;
use jit_core::approval::ask::{Actor, Ask};
use jit_core::approval::audit::{self, Tail};
use jit_core::approval::person::Limits;
use jit_core::approval::refused::Refused;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::approval::state::State;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::store::{
    Batch, Cell, Position, Put, Query, Record, Snapshot, Store, StoreError, StreamId,
};
use jit_core::broker::{Broker, Rejection, View};
use jit_core::gate::hold::HoldSettings;
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Gate, GateBuilder, Verdict};
use jit_core::id::{Principal, RequestId, Timestamp};
use jit_core::memory::MemoryStore;
use jit_core::policy::{Format, Policy};
use jit_core::testing::ManualClock;
use jit_store_sqlite::SqliteStore;

/// Which store a test runs on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum On {
    Memory,
    Sqlite,
}

/// Expands to one test for each store.
macro_rules! on_both {
    ($($name:ident)*) => { $(
        mod $name {
            #[tokio::test]
            async fn on_memory() {
                Box::pin(super::$name(crate::rig::On::Memory)).await;
            }
            #[tokio::test]
            async fn on_sqlite() {
                Box::pin(super::$name(crate::rig::On::Sqlite)).await;
            }
        }
    )* };
}
pub(crate) use on_both;

pub(crate) const PEOPLE: &str = r#"
[[people]]
name = "alice"
principals = ["demo|alice", "corp|alice"]
roles = ["sre"]
token = "demo-alice"

[[people]]
name = "bob"
principals = ["demo|bob", "corp|bob"]
roles = ["sre-lead"]
token = "demo-bob"

[[people]]
name = "carol"
principals = ["demo|carol"]
roles = ["sre-lead", "security", "auditor"]
token = "demo-carol"

[[people]]
name = "dave"
principals = ["demo|dave"]
roles = ["sre-lead"]
token = "demo-dave"

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

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "30m", max = "4h", max_total = "8h" }
pending_timeout = "1h"
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]
"#;

pub(crate) fn start() -> Timestamp {
    "2026-03-01T12:00:00Z".parse().unwrap()
}

pub(crate) fn span(text: &str) -> Duration {
    text.parse::<jit_core::span::Span>().unwrap().as_std()
}

pub(crate) fn policy(source: &str) -> Policy {
    Policy::parse(source, Format::Toml, "policy.toml").unwrap_or_else(|report| panic!("{report}"))
}

/// A store that can be made to fail, and that lets other tasks run before each call: tasks that are joined on one thread then really
/// interleave, in an order that differs from call to call and is the same in every run.
#[derive(Debug)]
pub(crate) struct Breakable {
    inner: Arc<dyn Store>,
    broken: AtomicBool,
    /// It writes, and says that it could not.
    lying: AtomicBool,
    dice: AtomicU64,
    jump: Mutex<Option<(Arc<ManualClock>, Duration)>>,
}

impl Breakable {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            broken: AtomicBool::new(false),
            lying: AtomicBool::new(false),
            dice: AtomicU64::new(0x9E37_79B9_7F4A_7C15),
            jump: Mutex::new(None),
        }
    }

    /// Makes tasks interleave in another order: each `seed` is one.
    pub(crate) fn shuffle(&self, seed: u64) {
        let dice = (seed + 1).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.dice.store(dice ^ (dice >> 29), Ordering::Relaxed);
    }

    async fn yield_a_while(&self) {
        let roll = self.dice.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed);
        for _ in 0..(roll ^ (roll >> 31)) % 8 {
            tokio::task::yield_now().await;
        }
    }

    pub(crate) fn set_broken(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }

    pub(crate) fn set_lying(&self, lying: bool) {
        self.lying.store(lying, Ordering::SeqCst);
    }

    /// Moves `clock` on by `by` as soon as the next append has succeeded, before anyone hears of it.
    pub(crate) fn jump_after_append(&self, clock: Arc<ManualClock>, by: Duration) {
        *self.jump.lock().unwrap() = Some((clock, by));
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::SeqCst) {
            Err(StoreError::unavailable("the disk is gone"))
        } else {
            Ok(())
        }
    }
}

#[async_trait]
impl Store for Breakable {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        self.yield_a_while().await;
        self.check()?;
        let records = self.inner.append(batch).await?;
        if let Some((clock, by)) = self.jump.lock().unwrap().take() {
            clock.advance(by);
        }
        if self.lying.load(Ordering::SeqCst) {
            return Err(StoreError::unavailable("the answer was lost"));
        }
        Ok(records)
    }
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        self.yield_a_while().await;
        self.inner.load(stream).await
    }
    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.find(query).await
    }
    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        self.inner.live(after, limit).await
    }
    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.check()?;
        self.inner.feed(after, limit).await
    }
    async fn tail(&self) -> Result<Tail, StoreError> {
        self.inner.tail().await
    }
    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        self.yield_a_while().await;
        self.check()?;
        self.inner.cell(name, put).await
    }
}

/// The house.
pub(crate) struct Rig {
    pub(crate) broker: Broker,
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) people: Arc<PeopleFile>,
    pub(crate) store: Arc<Breakable>,
    pub(crate) _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) async fn new(on: On, source: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let inner: Arc<dyn Store> = match on {
            On::Memory => Arc::new(MemoryStore::new()),
            On::Sqlite => Arc::new(SqliteStore::open(folder.path().join("jit.db")).await.unwrap()),
        };
        let mut limits = Limits::default();
        limits.burst = 1_000_000;
        Self::with(inner, folder, source, limits).await
    }

    pub(crate) async fn with(
        inner: Arc<dyn Store>,
        folder: tempfile::TempDir,
        source: &str,
        limits: Limits,
    ) -> Self {
        let store = Arc::new(Breakable::new(inner));
        let clock = Arc::new(ManualClock::new(start()));
        let people = Arc::new(PeopleFile::parse(PEOPLE, Format::Toml, "people.toml").unwrap());
        let policy = policy(source);
        let broker = Broker::builder(store.clone(), people.clone(), policy)
            .clock(clock.clone())
            .limits(limits)
            .build()
            .await
            .unwrap();
        let gate = gate(&broker, &people, &clock, source);
        Self {
            broker,
            gate,
            clock,
            people,
            store,
            _folder: folder,
        }
    }

    /// Moves the clock, and lets the gate see that its view is complete, as a running follower does all the time. Nothing is swept.
    pub(crate) async fn advance(&self, by: &str) {
        self.clock.advance(span(by));
        self.broker.follow().await.unwrap();
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.broker.now()
    }

    pub(crate) async fn actor(&self, name: &str) -> Actor {
        self.try_actor(name).await.unwrap()
    }

    async fn known(&self, name: &str) -> Result<Actor, Rejection> {
        self.try_actor(name)
            .await
            .ok_or(Rejection::Refused(Refused::NotEligible))
    }

    /// `None` for whom the people file does not know or has disabled.
    pub(crate) async fn try_actor(&self, name: &str) -> Option<Actor> {
        let principal = match name.split_once('|') {
            Some(_) => name.parse().unwrap(),
            None => Principal::new("demo", name).unwrap(),
        };
        self.broker
            .identify(&jit_core::gate::authenticate::Subject {
                principal,
                assurance: jit_core::approval::ask::Assurance::default(),
                claims: std::collections::BTreeMap::new(),
                expires_at: None,
            })
            .await
            .ok()
    }

    /// Asks for `admin`, with more keys in JSON.
    pub(crate) async fn ask(&self, who: &str, more: serde_json::Value) -> Result<View, Rejection> {
        let mut body = serde_json::json!({ "resource": "admin", "reason": "look into INC-42" });
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object()) {
            body.extend(more.clone());
        }
        let ask: Ask = serde_json::from_value(body).unwrap();
        Ok(self.broker.ask(&self.known(who).await?, ask, None).await?.view)
    }

    pub(crate) async fn asked(&self, who: &str) -> Request {
        self.ask(who, serde_json::json!({})).await.unwrap().request
    }

    pub(crate) async fn review(
        &self,
        who: &str,
        request: &Request,
        decision: Decision,
    ) -> Result<View, Rejection> {
        self.narrow(who, request, decision, Narrowing::default()).await
    }

    pub(crate) async fn narrow(
        &self,
        who: &str,
        request: &Request,
        decision: Decision,
        narrowing: Narrowing,
    ) -> Result<View, Rejection> {
        let opinion = Opinion {
            decision,
            digest: request.digest,
            comment: String::new(),
            narrowing,
        };
        self.broker
            .review(&self.known(who).await?, request.id, opinion)
            .await
    }

    pub(crate) async fn approve(&self, who: &str, request: &Request) -> Result<View, Rejection> {
        self.review(who, request, Decision::Approve).await
    }

    /// Alice asks, bob approves.
    pub(crate) async fn granted(&self, more: serde_json::Value) -> Request {
        let request = self.ask("alice", more).await.unwrap().request;
        let view = self.approve("bob", &request).await.unwrap();
        assert!(
            matches!(view.request.state, State::Active | State::Scheduled),
            "{:?}",
            view.request.state
        );
        view.request
    }

    pub(crate) async fn state(&self, id: RequestId) -> State {
        self.seen(id).await.state
    }

    /// What carol, who audits, sees now.
    pub(crate) async fn seen(&self, id: RequestId) -> Request {
        self.broker
            .view(&self.actor("carol").await, id)
            .await
            .unwrap()
            .request
    }

    /// What the gate says to a request with `who`'s token.
    pub(crate) async fn knock(&self, who: &str, method: &str, path: &str) -> Result<Permit, Refusal> {
        let token = format!("Bearer demo-{who}");
        knock_with(&self.gate, method, path, &[("authorization", &token)]).await
    }

    pub(crate) async fn admits(&self, who: &str, path: &str) -> bool {
        self.knock(who, "GET", path).await.is_ok()
    }

    /// Every record, after checking that the chain holds.
    pub(crate) async fn log(&self) -> Vec<Record> {
        let mut all: Vec<Record> = Vec::new();
        loop {
            let page = self
                .store
                .inner
                .feed(all.last().map_or(0, |r| r.position), 1000)
                .await
                .unwrap();
            if page.is_empty() {
                audit::verify(Tail::START, &all).unwrap();
                return all;
            }
            all.extend(page);
        }
    }
}

/// What a gate says to a request with these header fields.
pub(crate) async fn knock_with(
    gate: &Gate,
    method: &str,
    path: &str,
    fields: &[(&str, &str)],
) -> Result<Permit, Refusal> {
    let mut request = HttpRequest::builder()
        .method(method)
        .uri(path)
        .header("host", "app.example.com");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let (parts, ()) = request.body(()).unwrap().into_parts();
    let verdict = match gate.decide(&parts, None) {
        Verdict::Lookup(lookup) => gate.resolve(&parts, None, lookup).await,
        verdict => verdict,
    };
    match verdict {
        Verdict::Admit(admission) => Ok(admission.permit),
        Verdict::Refuse(refusal) => Err(refusal),
        other => panic!("{path} is not protected: {other:?}"),
    }
}

/// Replaces people: `edit` changes the text of the people file.
pub(crate) fn people(rig: &Rig, edit: impl Fn(&str) -> String) {
    let people = PeopleFile::parse(&edit(PEOPLE), Format::Toml, "people.toml").unwrap();
    rig.people.replace(people);
}

#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, Rejection>) -> Refused {
    match outcome {
        Err(Rejection::Refused(refused)) => refused,
        other => panic!("not refused: {other:?}"),
    }
}

/// A gate in front of `broker`.
pub(crate) fn gate(
    broker: &Broker,
    people: &Arc<PeopleFile>,
    clock: &Arc<ManualClock>,
    source: &str,
) -> Gate {
    gate_builder(broker, people, clock, source).build()
}

/// As [`gate`], before it is built.
pub(crate) fn gate_builder(
    broker: &Broker,
    people: &Arc<PeopleFile>,
    clock: &Arc<ManualClock>,
    source: &str,
) -> GateBuilder {
    let policy = policy(source);
    let rules = RuleSet::compile(policy.resources(), policy.open()).unwrap();
    let tokens = ApiTokens::new(
        people
            .tokens()
            .into_iter()
            .map(|token| (token.sha256, token.principal)),
    )
    .unwrap();
    Gate::builder(
        rules,
        broker.enforcer().clone(),
        Arc::new(tokens),
        people.clone(),
        clock.clone(),
    )
    .with_reserve(Arc::new(broker.clone()))
    .with_asking(Arc::new(broker.clone()))
    .with_hold(HoldSettings::default())
}
