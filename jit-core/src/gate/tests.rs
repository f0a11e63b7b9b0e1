use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;
use crate::approval::lockdown::{self, Lockdown};
use crate::approval::request::Request;
use crate::broker::directory::{DirectoryError, Members, Person};
use crate::gate::authenticate::{AuthError, Authenticator, Presented};
use crate::gate::cut::Cut;
use crate::gate::enforcer::EnforcerSettings;
use crate::gate::fixtures::{
    ANA, StillClock, active, active_with, at, grant_id, open, person, resource, seconds, subject,
};
use crate::gate::tokens::ApiTokens;
use crate::id::{Digest, LockdownId, Principal, Role};

mod bearing;
mod caching;
mod control;
mod flying;
mod pursuing;
mod sessions;

/// Knows the persons that it is given, and counts how often it is asked.
#[derive(Debug, Default)]
struct Few {
    persons: Mutex<Vec<(Principal, Person)>>,
    asked: AtomicUsize,
    down: std::sync::atomic::AtomicBool,
}

#[async_trait]
impl Directory for Few {
    async fn resolve(
        &self,
        principal: &Principal,
        _now: Timestamp,
    ) -> Result<Option<Person>, DirectoryError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if self.down.load(Ordering::SeqCst) {
            return Err(DirectoryError {
                source: "down".into(),
            });
        }
        let persons = self.persons.lock().unwrap();
        let found = persons.iter().find(|(known, _)| known == principal);
        Ok(found.map(|(_, person)| person.clone()))
    }

    async fn members(&self, _role: &Role, _now: Timestamp) -> Result<Members, DirectoryError> {
        Ok(Members::Unknown)
    }
}

/// A chest of so many requests, handed out in chunks.
#[derive(Debug)]
struct Chest {
    left: Mutex<u64>,
    chunk: u64,
}

#[async_trait]
impl Reserve for Chest {
    async fn reserve(&self, _grant: GrantId, _: Budgeted, _now: Timestamp) -> Result<u64, ReserveError> {
        let mut left = self.left.lock().unwrap();
        let taken = self.chunk.min(*left);
        *left -= taken;
        Ok(taken)
    }
}

struct World {
    gate: Gate,
    clock: Arc<StillClock>,
    tokens: Arc<ApiTokens>,
    people: Arc<Few>,
}

fn known() -> [(Digest, Principal); 2] {
    [
        (Digest::plain(b"ana"), ANA.parse().unwrap()),
        (Digest::plain(b"stranger"), "local|stranger".parse().unwrap()),
    ]
}

fn world_with(build: impl FnOnce(GateBuilder) -> GateBuilder) -> World {
    let rules = RuleSet::compile(&[resource("admin", "/admin")], &[open("/public")]).unwrap();
    let settings = EnforcerSettings::default()
        .with_stale_after(seconds(300))
        .unwrap();
    let enforcer = Arc::new(Enforcer::new(settings));
    enforcer.synced(at(0));
    let clock = Arc::new(StillClock::new(at(1)));
    let tokens = Arc::new(ApiTokens::new(known()).unwrap());
    let people = Arc::new(Few::default());
    people
        .persons
        .lock()
        .unwrap()
        .push((ANA.parse().unwrap(), person("ana")));
    let builder = Gate::builder(rules, enforcer, tokens.clone(), people.clone(), clock.clone());
    World {
        gate: build(builder).build(),
        clock,
        tokens,
        people,
    }
}

fn world() -> World {
    world_with(|builder| builder)
}

fn head(host: &str, path: &str, fields: &[(&str, &str)]) -> Parts {
    let mut request = http::Request::builder().uri(path).header("host", host);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

impl World {
    fn publish(self, request: &Request) -> Self {
        self.gate.enforcer().publish(1, request);
        self
    }

    async fn decide(&self, head: &Parts) -> Verdict {
        match self.gate.decide(head, None) {
            Verdict::Lookup(lookup) => self.gate.resolve(head, None, lookup).await,
            verdict => verdict,
        }
    }

    async fn ask(&self, host: &str, path: &str, fields: &[(&str, &str)]) -> String {
        told(&self.decide(&head(host, path, fields)).await)
    }

    async fn as_ana(&self) -> String {
        self.ask("app.example", "/admin", &[("authorization", "Bearer ana")])
            .await
    }
}

fn told(verdict: &Verdict) -> String {
    let name = |subject: &Option<Arc<Subject>>| subject.as_ref().map(|s| s.principal.to_string());
    match verdict {
        Verdict::Admit(admission) => format!("admit {}", admission.subject.principal),
        Verdict::Open(passage) => {
            format!(
                "open {} {}",
                name(&passage.subject).unwrap_or_default(),
                if passage.credential.is_some() {
                    "strip"
                } else {
                    "leave"
                }
            )
        }
        Verdict::Control { subject, .. } => format!("control {}", name(subject).unwrap_or_default()),
        Verdict::Refuse(refusal) => refusal.kind().to_owned(),
        Verdict::Lookup(_) => "lookup".to_owned(),
    }
}

const ANA_TOKEN: (&str, &str) = ("authorization", "Bearer ana");
const BAD_TOKEN: (&str, &str) = ("authorization", "Bearer wrong");

/// Takes every code.
#[derive(Debug)]
struct Yes;

#[async_trait]
impl step_up::SecondFactor for Yes {
    fn method(&self) -> &'static str {
        "otp"
    }

    async fn is_enrolled(&self, _: &crate::id::PersonId) -> Result<bool, step_up::FactorError> {
        Ok(true)
    }

    async fn verify(
        &self,
        _: &crate::id::PersonId,
        _: &str,
        _: Timestamp,
    ) -> Result<(), step_up::FactorError> {
        Ok(())
    }
}

#[tokio::test]
async fn every_request_meets_one_verdict() {
    let world = world().publish(&active(1));
    for (host, path, fields, expected) in [
        ("app.example", "/admin", &[ANA_TOKEN][..], "admit local|ana"),
        (
            "APP.example:8080",
            "/admin/x?q=/public",
            &[ANA_TOKEN],
            "admit local|ana",
        ),
        ("app.example", "/admin", &[], "unauthenticated"),
        ("app.example", "/admin", &[BAD_TOKEN], "unauthenticated"),
        (
            "app.example",
            "/admin",
            &[("authorization", "Bearer a b")],
            "unauthenticated",
        ),
        (
            "app.example",
            "/admin",
            &[("authorization", "Basic YTpi")],
            "unauthenticated",
        ),
        (
            "app.example",
            "/admin",
            &[("authorization", "Bearer stranger")],
            "not-eligible",
        ),
        // Protected in a folded form only: no grant admits it.
        ("app.example", "/Admin", &[ANA_TOKEN], "not-open"),
        ("app.example", "/Admin", &[], "unauthenticated"),
        (
            "app.example",
            "/admin/../public",
            &[ANA_TOKEN],
            "bad-request-target",
        ),
        (
            "app.example",
            "/public",
            &[ANA_TOKEN, ANA_TOKEN],
            "bad-request-headers",
        ),
        ("app.example", "/elsewhere", &[ANA_TOKEN], "not-open"),
        ("other.example", "/admin", &[ANA_TOKEN], "unknown-host"),
        ("other.example", "/_jit/v1/me", &[ANA_TOKEN], "unknown-host"),
        ("app.example", "/public", &[], "open  leave"),
        ("app.example", "/public", &[ANA_TOKEN], "open local|ana strip"),
        ("app.example", "/public", &[BAD_TOKEN], "open  leave"),
        (
            "app.example",
            "/public",
            &[("authorization", "Bearer stranger")],
            "open  strip",
        ),
        ("app.example", "/_jit/v1/me", &[ANA_TOKEN], "control local|ana"),
        ("app.example", "/_jit/v1/me", &[BAD_TOKEN], "control "),
        ("app.example", "/_jit", &[], "control "),
        ("app.example", "/_jitter", &[], "not-open"),
        ("app.example", "/_jit/%2e%2e/admin", &[], "bad-request-target"),
        ("app.example", "/_JIT/v1/me", &[], "not-open"),
        // Whoever routes by the path as it came has the application answer these.
        ("app.example", "/%5fjit/v1/me", &[ANA_TOKEN], "not-open"),
        ("app.example", "/_j%69t", &[], "not-open"),
    ] {
        assert_eq!(
            world.ask(host, path, fields).await,
            expected,
            "{host}{path} {fields:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_target_is_refused_whoever_asks() {
    let world = world().publish(&active(1));
    for fields in [&[][..], &[ANA_TOKEN], &[BAD_TOKEN]] {
        assert_eq!(
            world.ask("app.example", "/admin//x", fields).await,
            "bad-request-target"
        );
        assert_eq!(world.people.asked.load(Ordering::SeqCst), 0);
    }
}

#[tokio::test]
async fn a_protocol_change_is_refused_where_a_grant_would_end() {
    let world = world().publish(&active(1));
    for field in [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")] {
        assert_eq!(
            world.ask("app.example", "/admin", &[ANA_TOKEN, field]).await,
            "upgrade-refused"
        );
        assert_eq!(world.ask("app.example", "/public", &[field]).await, "open  leave");
    }
}

#[tokio::test]
async fn a_budget_is_reserved_in_chunks_until_it_is_spent() {
    let chest = Arc::new(Chest {
        left: Mutex::new(5),
        chunk: 2,
    });
    let world = world_with(|builder| builder.with_reserve(chest))
        .publish(&active_with(1, |grant| grant.max_requests = Some(5)));
    for n in 0..5 {
        assert_eq!(world.as_ana().await, "admit local|ana", "request {n}");
    }
    for _ in 0..2 {
        assert_eq!(world.as_ana().await, "budget-spent");
    }
}

#[tokio::test]
async fn a_crowd_uses_no_more_than_the_budget() {
    let chest = Arc::new(Chest {
        left: Mutex::new(20),
        chunk: 4,
    });
    let world = world_with(|builder| builder.with_reserve(chest))
        .publish(&active_with(1, |grant| grant.max_requests = Some(20)));
    let world = Arc::new(world);
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..60 {
        let world = Arc::clone(&world);
        crowd.spawn(async move { world.as_ana().await });
    }
    let answers = crowd.join_all().await;
    let admitted = answers
        .iter()
        .filter(|answer| *answer == "admit local|ana")
        .count();
    assert!(admitted <= 20, "{admitted}");
    // Whoever lost every race may come again: nothing of the budget is lost.
    let mut rest = 0;
    while world.as_ana().await == "admit local|ana" {
        rest += 1;
    }
    assert_eq!(admitted + rest, 20);
    assert_eq!(world.as_ana().await, "budget-spent");
}

#[tokio::test]
async fn without_a_port_for_reservations_a_limited_grant_admits_nothing() {
    let world = world().publish(&active_with(1, |grant| grant.max_requests = Some(5)));
    assert_eq!(world.as_ana().await, "budget-unavailable");
}

#[tokio::test]
async fn new_rules_hold_from_the_next_request() {
    let world = world().publish(&active(1));
    assert_eq!(world.as_ana().await, "admit local|ana");
    let stricter = [resource("admin", "/admin/users"), resource("root", "/admin")];
    world.gate.set_rules(RuleSet::compile(&stricter, &[]).unwrap());
    assert_eq!(world.as_ana().await, "approval-required");
    assert_eq!(
        world.ask("app.example", "/admin/users", &[ANA_TOKEN]).await,
        "admit local|ana"
    );
    assert_eq!(world.ask("app.example", "/public", &[]).await, "not-open");
}

#[tokio::test]
async fn a_verdict_never_prints_a_credential() {
    let verdict = world()
        .gate
        .decide(&head("app.example", "/admin", &[ANA_TOKEN]), None);
    let printed = format!("{verdict:?}");
    assert!(printed.contains("<redacted>"), "{printed}");
    assert!(
        !printed.contains("97, 110, 97") && !printed.contains("ana"),
        "{printed}"
    );
}
