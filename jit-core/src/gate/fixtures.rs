//! What the tests of the data plane share: one resource, people, requests and a clock that stands still.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::TimeDelta;

use crate::approval::ask::{Assurance, Route, Ruling, Selector};
use crate::approval::grant::Grant;
use crate::approval::request::{Request, Requester};
use crate::approval::state::State;
use crate::broker::directory::Person;
use crate::clock::Clock;
use crate::gate::authenticate::Subject;
use crate::id::{Digest, GrantId, PersonId, Principal, RequestId, Role, Timestamp};
use crate::policy::terms::{
    AutomaticTerms, DurationTerms, LimitTerms, OpenDef, People, ReasonTerms, ResourceDef, Scope, Terms,
    TicketTerms,
};
use crate::span::Span;

pub(in crate::gate) const ANA: &str = "local|ana";

/// `seconds` after the moment that all tests start at.
pub(in crate::gate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_timestamp(1_800_000_000, 0).unwrap() + TimeDelta::seconds(seconds)
}

pub(in crate::gate) fn seconds(n: u64) -> Span {
    Span::seconds(n).unwrap()
}

fn set<const N: usize>(texts: [&str; N]) -> BTreeSet<String> {
    texts.map(str::to_owned).into()
}

pub(in crate::gate) fn resource(name: &str, path: &str) -> ResourceDef {
    ResourceDef {
        name: name.parse().unwrap(),
        hosts: set(["app.example"]),
        paths: set([path]),
        methods: BTreeSet::new(),
        tags: BTreeSet::new(),
    }
}

pub(in crate::gate) fn open(path: &str) -> OpenDef {
    OpenDef {
        hosts: set(["app.example"]),
        paths: set([path]),
        methods: BTreeSet::new(),
    }
}

pub(in crate::gate) fn scope<const M: usize, const P: usize>(methods: [&str; M], paths: [&str; P]) -> Scope {
    Scope {
        methods: set(methods),
        paths: set(paths),
    }
}

pub(in crate::gate) fn subject(principal: &str) -> Subject {
    Subject {
        principal: principal.parse().unwrap(),
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
        expires_at: None,
    }
}

pub(in crate::gate) fn person(id: &str) -> Person {
    Person {
        id: id.parse().unwrap(),
        name: id.to_owned(),
        roles: BTreeSet::from(["sre".parse::<Role>().unwrap()]),
        disabled: false,
        as_of: at(0),
    }
}

pub(in crate::gate) fn grant_id(n: u128) -> GrantId {
    GrantId::from_u128(n)
}

/// Ana's request of number `n` for `admin` at `/admin`, active from 0 s to 100 s.
pub(in crate::gate) fn active(n: u128) -> Request {
    let id = RequestId::from_u128(n);
    let holder: Principal = ANA.parse().unwrap();
    let ana: PersonId = "ana".parse().unwrap();
    let def = resource("admin", "/admin");
    let terms = Terms {
        policy: "admin-for-sre".parse().unwrap(),
        requesters: People::default(),
        duration: DurationTerms {
            default: seconds(100),
            max: seconds(100),
            max_total: seconds(100),
        },
        pending_timeout: seconds(60),
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
    let grant = Grant {
        id: id.into(),
        holder: holder.clone(),
        person: ana.clone(),
        selector: Selector::Principal,
        policy: terms.policy.clone(),
        resource: def.clone(),
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
            person: ana,
            name: "Ana".to_owned(),
        },
        ruling: Ruling {
            terms,
            resource: def,
            scope: Scope::default(),
            duration: seconds(100),
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
        approvers: Vec::new(),
        asked_at: at(0),
        stage_since: at(0),
        pending_until: at(60),
        state: State::Active,
        stage: 0,
        reviews: Vec::new(),
        grant: Some(grant),
        credential: None,
        end: None,
        break_glass: None,
        changed_at: at(0),
    }
}

/// As [`active`], with a grant that `change` has changed.
pub(in crate::gate) fn active_with(n: u128, change: impl FnOnce(&mut Grant)) -> Request {
    let mut request = active(n);
    change(request.grant.as_mut().unwrap());
    request
}

/// As [`active`], in another state.
pub(in crate::gate) fn in_state(n: u128, state: State) -> Request {
    let mut request = active(n);
    request.state = state;
    if state == State::Pending {
        request.grant = None;
    }
    request
}

/// Stands still until it is set.
#[derive(Debug)]
pub(in crate::gate) struct StillClock(AtomicI64);

impl StillClock {
    pub(in crate::gate) fn new(now: Timestamp) -> Self {
        Self(AtomicI64::new(now.timestamp_millis()))
    }

    pub(in crate::gate) fn set(&self, now: Timestamp) {
        self.0.store(now.timestamp_millis(), Ordering::SeqCst);
    }
}

impl Clock for StillClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_millis(self.0.load(Ordering::SeqCst)).unwrap()
    }
}
