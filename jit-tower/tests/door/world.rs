//! A gate with one person, one resource, one open route, and a clock that stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use jit_core::approval::ask::{Route, Ruling, Selector};
use jit_core::approval::grant::Grant;
use jit_core::approval::request::{Request, Requester};
use jit_core::approval::state::State;
use jit_core::broker::directory::{Directory, DirectoryError, Members, Person};
use jit_core::clock::Clock;
use jit_core::gate::enforcer::{Enforcer, EnforcerSettings};
use jit_core::gate::rules::RuleSet;
use jit_core::gate::tokens::ApiTokens;
use jit_core::gate::{Gate, GateBuilder};
use jit_core::id::{Digest, Principal, RequestId, Role, Timestamp};
use jit_core::policy::terms::{
    AutomaticTerms, DurationTerms, LimitTerms, OpenDef, People, ReasonTerms, ResourceDef, Scope, Terms,
    TicketTerms,
};
use jit_core::span::Span;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

#[derive(Debug)]
pub(crate) struct StillClock(AtomicI64);

impl StillClock {
    pub(crate) fn set(&self, seconds: i64) {
        self.0.store(seconds, Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        at(self.0.load(Ordering::SeqCst))
    }
}

/// Everyone is Ana.
#[derive(Debug)]
struct OnlyAna;

#[async_trait]
impl Directory for OnlyAna {
    async fn resolve(&self, _: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError> {
        Ok(Some(Person {
            id: "ana".parse().unwrap(),
            name: "Ana".to_owned(),
            roles: BTreeSet::new(),
            disabled: false,
            as_of: now,
        }))
    }

    async fn members(&self, _: &Role, _: Timestamp) -> Result<Members, DirectoryError> {
        Ok(Members::Unknown)
    }
}

pub(crate) struct World {
    pub(crate) gate: Gate,
    pub(crate) clock: Arc<StillClock>,
    pub(crate) tokens: Arc<ApiTokens>,
}

impl World {
    /// The gate, at 1 s, and no grant.
    pub(crate) fn new() -> Self {
        Self::built(|gate| gate)
    }

    /// As [`World::new`], with a gate that `build` has changed.
    pub(crate) fn built(build: impl FnOnce(GateBuilder) -> GateBuilder) -> Self {
        let clock = Arc::new(StillClock(AtomicI64::new(1)));
        let tokens = tokens();
        Self {
            gate: build(builder(clock.clone(), tokens.clone())).build(),
            clock,
            tokens,
        }
    }

    /// With a grant for Ana, from 0 s to 100 s.
    pub(crate) fn granted() -> Self {
        Self::with(|_| {})
    }

    /// With a request that `change` has changed.
    pub(crate) fn with(change: impl FnOnce(&mut Request)) -> Self {
        let world = Self::new();
        let mut request = request();
        change(&mut request);
        world.gate.enforcer().publish(1, &request);
        world
    }
}

/// A gate that has heard everything at 0 s and believes it for five minutes.
pub(crate) fn builder(clock: Arc<dyn Clock>, tokens: Arc<ApiTokens>) -> GateBuilder {
    let open = OpenDef {
        hosts: BTreeSet::from(["app.example".to_owned()]),
        paths: BTreeSet::from(["/public".to_owned()]),
        methods: BTreeSet::new(),
    };
    let settings = EnforcerSettings::default();
    let settings = settings.with_stale_after(Span::minutes(5)).unwrap();
    let enforcer = Arc::new(Enforcer::new(settings));
    enforcer.synced(at(0));
    let rules = RuleSet::compile(&[admin()], &[open]).unwrap();
    Gate::builder(rules, enforcer, tokens, Arc::new(OnlyAna), clock)
}

/// Ana's token.
pub(crate) fn tokens() -> Arc<ApiTokens> {
    let ana = (Digest::plain(b"ana"), "local|ana".parse().unwrap());
    Arc::new(ApiTokens::new([ana]).unwrap())
}

fn admin() -> ResourceDef {
    ResourceDef {
        name: "admin".parse().unwrap(),
        hosts: BTreeSet::from(["app.example".to_owned()]),
        paths: BTreeSet::from(["/admin".to_owned()]),
        methods: BTreeSet::new(),
        tags: BTreeSet::new(),
    }
}

/// A request that has become a grant for Ana, from 0 s to 100 s.
pub(crate) fn request() -> Request {
    let holder: Principal = "local|ana".parse().unwrap();
    let span = Span::minutes(1);
    let terms = Terms {
        policy: "admin-for-sre".parse().unwrap(),
        requesters: People::default(),
        duration: DurationTerms {
            default: span,
            max: span,
            max_total: span,
        },
        pending_timeout: span,
        use_within: None,
        idle_timeout: None,
        cooldown: None,
        reason: ReasonTerms::default(),
        ticket: TicketTerms::default(),
        mfa: None,
        limits: LimitTerms::default(),
        stages: Vec::new(),
        automatic: AutomaticTerms {
            always: true,
            rules: Vec::new(),
        },
        break_glass: None,
    };
    let id = RequestId::from_u128(7);
    let grant = Grant {
        id: id.into(),
        holder: holder.clone(),
        person: "ana".parse().unwrap(),
        selector: Selector::Principal,
        policy: terms.policy.clone(),
        resource: admin(),
        scope: Scope::default(),
        not_before: at(0),
        not_after: at(100),
        use_within: None,
        idle_timeout: None,
        max_requests: None,
        max_bytes: None,
        max_concurrent: None,
        mfa: None,
        extends: None,
    };
    Request {
        id,
        digest: Digest::ZERO,
        requester: Requester {
            principal: holder,
            person: "ana".parse().unwrap(),
            name: "Ana".to_owned(),
        },
        ruling: Ruling {
            terms,
            resource: admin(),
            scope: Scope::default(),
            duration: span,
            start: None,
            reason: String::new(),
            ticket: None,
            max_requests: None,
            max_bytes: None,
            selector: Selector::Principal,
            route: Route::Automatic { rule: None },
        },
        extends: None,
        extended_by: Vec::new(),
        credential: None,
        approvers: Vec::new(),
        asked_at: at(0),
        stage_since: at(0),
        pending_until: at(60),
        state: State::Active,
        stage: 0,
        reviews: Vec::new(),
        grant: Some(grant),
        end: None,
        break_glass: None,
        changed_at: at(0),
    }
}

pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

/// A request to `app.example`.
pub(crate) fn http_request<B: Default>(method: &str, path: &str, fields: Fields<'_>) -> http::Request<B> {
    let mut request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "app.example");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(B::default()).unwrap()
}

/// What a plain service was sent, as text.
pub(crate) fn described(head: &http::request::Parts) -> String {
    let headers: BTreeMap<_, _> = head
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
        .collect();
    format!("{headers:?}")
}
