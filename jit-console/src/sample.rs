//! Values for tests.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use jit_core::approval::ask::{Route, Ruling, Selector};
use jit_core::approval::grant::Grant;
use jit_core::approval::request::{Request, Requester};
use jit_core::approval::review::{Decision, Narrowing, Review};
use jit_core::approval::state::State;
use jit_core::broker::View;
use jit_core::id::{Digest, PersonId, Principal, RequestId, Timestamp};
use jit_core::policy::terms::{
    AutomaticTerms, DurationTerms, LimitTerms, People, ReasonTerms, ResourceDef, Scope, StageTerms, Terms,
    TicketTerms,
};
use jit_core::span::Span;

pub(crate) fn at(minutes: i64) -> Timestamp {
    "2026-03-01T09:00:00Z".parse::<Timestamp>().unwrap() + TimeDelta::minutes(minutes)
}

pub(crate) fn person(name: &str) -> PersonId {
    PersonId::new(name).unwrap()
}

pub(crate) fn principal(name: &str) -> Principal {
    Principal::new("https://id.example.com", name).unwrap()
}

fn set(entries: &[&str]) -> BTreeSet<String> {
    entries.iter().map(|entry| (*entry).to_owned()).collect()
}

fn resource() -> ResourceDef {
    ResourceDef {
        name: "admin".parse().unwrap(),
        hosts: set(&["app.example.com"]),
        paths: set(&["/admin"]),
        methods: BTreeSet::new(),
        tags: set(&["tier-1"]),
    }
}

fn terms() -> Terms {
    Terms {
        policy: "admin-for-sre".parse().unwrap(),
        requesters: People::default(),
        duration: DurationTerms {
            default: Span::minutes(30),
            max: Span::minutes(240),
            max_total: Span::minutes(480),
        },
        pending_timeout: Span::minutes(60),
        use_within: Some(Span::minutes(15)),
        idle_timeout: Some(Span::minutes(10)),
        cooldown: None,
        reason: ReasonTerms::default(),
        ticket: TicketTerms::default(),
        mfa: None,
        limits: LimitTerms::default(),
        stages: vec![StageTerms {
            name: "lead".parse().unwrap(),
            approvers: People {
                roles: ["sre-lead".parse().unwrap()].into(),
                persons: BTreeSet::new(),
            },
            quorum: 2,
            escalate_after: None,
            escalate_to: None,
            mfa: None,
        }],
        automatic: AutomaticTerms::default(),
        break_glass: None,
    }
}

/// Asked by alice at 0 minutes, approved once by bob; times out at 60.
pub(crate) fn pending() -> View {
    let digest = Digest::plain(b"asked");
    let request = Request {
        id: RequestId::from_u128(7),
        digest,
        requester: Requester {
            principal: principal("alice"),
            person: person("alice"),
            name: "Alice".to_owned(),
        },
        ruling: Ruling {
            terms: terms(),
            resource: resource(),
            scope: Scope {
                methods: set(&["GET"]),
                paths: BTreeSet::new(),
            },
            duration: Span::minutes(90),
            start: None,
            reason: "INC-1".to_owned(),
            ticket: None,
            max_requests: Some(10),
            max_bytes: None,
            selector: Selector::Principal,
            route: Route::Stages,
        },
        extends: None,
        extended_by: Vec::new(),
        credential: None,
        approvers: Vec::new(),
        asked_at: at(0),
        stage_since: at(0),
        pending_until: at(60),
        state: State::Pending,
        stage: 0,
        reviews: vec![Review {
            principal: principal("bob"),
            person: person("bob"),
            name: "Bob".to_owned(),
            stage: 0,
            decision: Decision::Approve,
            digest,
            comment: "fine".to_owned(),
            narrowing: Narrowing {
                duration: Some(Span::minutes(60)),
                ..Narrowing::default()
            },
            at: at(1),
            evidence: None,
        }],
        grant: None,
        end: None,
        break_glass: None,
        changed_at: at(1),
    };
    View {
        request,
        version: 2,
        used: None,
    }
}

/// The same, active from 5 to 65 minutes, unused after 20, idle after 10 minutes.
pub(crate) fn active() -> View {
    let mut view = pending();
    let request = &mut view.request;
    request.state = State::Active;
    request.stage = 1;
    request.grant = Some(Grant {
        id: request.id.into(),
        holder: principal("alice"),
        person: person("alice"),
        selector: Selector::Principal,
        policy: request.ruling.terms.policy.clone(),
        resource: resource(),
        scope: request.ruling.scope.clone(),
        not_before: at(5),
        not_after: at(65),
        use_within: Some(Span::minutes(15)),
        idle_timeout: Some(Span::minutes(10)),
        max_requests: Some(10),
        max_bytes: None,
        max_concurrent: None,
        mfa: None,
        extends: None,
    });
    view
}
