//! One request: where it stands, everything that is needed to decide on it, and what the visitor may do with it.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jit_core::approval::ask::{Assurance, Selector};
use jit_core::approval::event::Finding;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing};
use jit_core::approval::state::State as Stands;
use jit_core::broker::{Filter, View};
use jit_core::gate::authenticate::Subject;
use jit_core::id::{RequestId, Timestamp};
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::form::Errors;
use super::live;
use super::rows::Row;
use super::words::{self, Badge, Moment};
use crate::extract::{Id, Params};
use crate::problem::Problem;
use crate::view::filled;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::handoff::Return;
use crate::web::visitor::Visitor;

/// How often a page looks again that waits for something, in seconds.
const LOOKS: u32 = 3;
/// How many earlier requests of the same person a reviewer is shown.
const BEFORE: usize = 5;
/// How many requests of a resource are looked through for them, and for other live grants.
const LOOKED_AT: usize = 100;

/// What was typed into the forms of the page, and what was wrong with it.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) comment: String,
    pub(super) duration: String,
    pub(super) methods: String,
    pub(super) paths: String,
    pub(super) max_requests: String,
    pub(super) reason: String,
    pub(super) errors: Errors,
    pub(super) notice: Option<String>,
    pub(super) status: StatusCode,
}

impl Typed {
    /// What was wrong; `fields` are those of the form that was sent.
    pub(super) fn failed(mut self, problem: &Problem, fields: &[&str]) -> Self {
        self.errors = Errors::new(problem, fields);
        self.status = problem.kind().status();
        self
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OneParams {
    /// The slip of a guarded page.
    back: Option<String>,
}

#[derive(Template)]
#[template(path = "request.html")]
struct OnePage {
    frame: Frame,
    url: String,
    own: bool,
    who: String,
    person: String,
    principal: String,
    roles: Option<String>,
    badge: Badge,
    glass: Option<String>,
    stands: String,
    said: Option<String>,
    back: Option<String>,
    resource: String,
    tags: String,
    hosts: String,
    paths: Vec<String>,
    methods: String,
    limits: Vec<String>,
    length: String,
    opens: Option<Moment>,
    closes: Option<Moment>,
    latest: Option<Moment>,
    if_now: Option<Moment>,
    asked: Moment,
    reason: String,
    ticket: Option<String>,
    policy: String,
    stages: Vec<StageRow>,
    nobody: Option<&'static str>,
    reviews: Vec<ReviewRow>,
    history: Option<History>,
    done: Option<String>,
    story: Option<String>,
    review: Option<ReviewSheet>,
    withdraw: Option<String>,
    release: Option<String>,
    revoke: Option<String>,
    after_review: Option<String>,
    typed: Typed,
}

struct StageRow {
    name: String,
    wants: String,
    so_far: String,
    current: bool,
}

struct ReviewRow {
    who: String,
    badge: Badge,
    comment: String,
    less: String,
    at: Moment,
}

/// What helps to decide: what the person had before, and what else is open there.
struct History {
    before: Vec<Row>,
    live: Vec<Row>,
}

/// The form of a reviewer.
struct ReviewSheet {
    csrf: String,
    digest: String,
    /// Whether the visitor may approve in this stage; denying is for reviewers of every stage.
    approves: bool,
    earlier: Option<&'static str>,
    sign_in: Option<String>,
    budget: String,
}

/// A request.
pub(super) async fn one(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<RequestId>, Problem>,
    params: Params,
) -> Result<Response, Failure> {
    let Id(id) = id?;
    let view = console.0.broker.view(&visitor.actor, id).await?;
    let params: OneParams = params.read()?;
    show(&console, &visitor, &view, params.back, Typed::default()).await
}

/// The page of a request. `typed` is kept in its forms.
pub(super) async fn show(
    console: &Console,
    visitor: &Visitor,
    view: &View,
    back: Option<String>,
    typed: Typed,
) -> Result<Response, Failure> {
    let request = &view.request;
    let broker = &console.0.broker;
    let now = broker.now();
    let me = &visitor.actor.person;
    let own = me.id == request.requester.person;
    let reviewer = request.may_review(me);
    let id = request.id.to_string();
    let token = |action: &str| visitor.session.token(action, &id).to_string();
    let pending = request.state == Stands::Pending;
    let live = matches!(request.state, Stands::Scheduled | Stands::Active);
    let review = (pending && reviewer).then(|| review_sheet(visitor, request, now));
    let revokes = live && !own && (reviewer || visitor.powers.revoker);
    let owed = (request.break_glass.as_ref()).is_some_and(|debt| debt.review.is_none());
    let looks_into = owed && !own && (reviewer || visitor.powers.revoker);

    let section = match (own, reviewer) {
        (true, _) => "requests",
        (false, true) => "approvals",
        (false, false) => "grants",
    };
    let title = if own {
        format!("Access to {}", request.ruling.resource.name)
    } else {
        format!(
            "{} for {}",
            request.ruling.resource.name,
            clean(&request.requester.name)
        )
    };
    let mut frame = visitor.frame(section, title);
    // Never over a form that somebody types into.
    if review.is_none() && !revokes && !looks_into {
        frame.live = waits(request, now).map(|seconds| live::change_of(view, seconds));
    }
    let known = |slip: &String| matches!(visitor.session.way_back(slip), Some(Return::Guarded(_)));
    let back = back.filter(known).map(|slip| format!("/back/{slip}"));
    let open = request.state == Stands::Active
        && (request.grant.as_ref()).is_some_and(|grant| grant.not_before <= now);
    if own && open && typed.errors.general().is_none() {
        frame.goes_to.clone_from(&back);
    }
    let history = match own {
        true => None,
        false => Some(history(console, visitor, request, now).await?),
    };
    let roles = match own {
        true => None,
        false => Some(roles(console, request).await),
    };
    let (resource, scope) = match &request.grant {
        Some(grant) => (&grant.resource, &grant.scope),
        None => (&request.ruling.resource, &request.ruling.scope),
    };
    let ruling = &request.ruling;
    let grant = request.grant.as_ref();
    let length = ruling.duration;
    let status = typed.status;
    let shown = page(&OnePage {
        url: format!("/requests/{id}"),
        own,
        who: clean(&request.requester.name),
        person: request.requester.person.to_string(),
        principal: clean(&request.requester.principal.to_string()),
        roles,
        badge: request.state.into(),
        glass: glass(request, now),
        stands: words::standing(request, now),
        said: (request.end.as_ref())
            .filter(|end| !end.reason.is_empty())
            .map(|end| clean(&end.reason)),
        back: back.filter(|_| own),
        resource: resource.name.to_string(),
        tags: words::list(&resource.tags),
        hosts: words::list(&resource.hosts),
        paths: words::paths(resource, scope),
        methods: words::methods(resource, scope),
        limits: limits(request),
        length: words::length(length),
        opens: grant
            .map(|g| g.not_before)
            .or(ruling.start)
            .map(|at| Moment::new(at, now)),
        closes: (grant
            .map(|g| g.not_after)
            .or(ruling.start.map(|start| length.after(start))))
        .map(|at| Moment::new(at, now)),
        latest: (pending && ruling.start.is_none())
            .then(|| Moment::new(length.after(request.pending_until), now)),
        if_now: (pending && ruling.start.is_none()).then(|| Moment::new(length.after(now), now)),
        asked: Moment::new(request.asked_at, now),
        reason: clean(&ruling.reason),
        ticket: ruling.ticket.as_deref().map(clean),
        policy: ruling.terms.policy.to_string(),
        stages: stages(request),
        nobody: nobody(request),
        reviews: request
            .reviews
            .iter()
            .map(|review| ReviewRow {
                who: clean(&review.name),
                badge: decision(review.decision),
                comment: clean(&review.comment),
                less: less(&review.narrowing),
                at: Moment::new(review.at, now),
            })
            .collect(),
        history,
        done: grant.map(|_| format!("/requests/{id}/done")),
        story: visitor.powers.auditor.then(|| format!("/audit/{id}")),
        review,
        withdraw: (own && pending).then(|| token("withdraw")),
        release: (own && live).then(|| token("release")),
        revoke: revokes.then(|| token("revoke")),
        after_review: looks_into.then(|| token("after-review")),
        frame,
        typed,
    })?;
    Ok((status, shown).into_response())
}

/// After how many seconds a request that waits is looked at again.
fn waits(request: &Request, now: Timestamp) -> Option<u32> {
    let grant = request.grant.as_ref();
    match request.state {
        Stands::Pending => Some(LOOKS),
        Stands::Scheduled | Stands::Active => grant.map(|grant| {
            let next = if grant.not_before > now {
                grant.not_before
            } else {
                grant.not_after
            };
            let left = next.signed_duration_since(now).num_seconds();
            // What opens or ends tomorrow is not looked at every few seconds.
            if left > 120 { 60 } else { LOOKS }
        }),
        _ => None,
    }
}

fn review_sheet(visitor: &Visitor, request: &Request, now: Timestamp) -> ReviewSheet {
    let me = &visitor.actor.person;
    let digest = request.digest.to_string();
    let mine = request.reviews.iter().find(|review| review.person == me.id);
    let stage = request.ruling.terms.stages.get(usize::from(request.stage));
    let short = |terms: &&jit_core::policy::terms::MfaTerms| !visitor.actor.assurance.satisfies(terms, now);
    ReviewSheet {
        csrf: visitor.session.token("review", &digest).to_string(),
        digest,
        approves: request.may_fill(request.stage, me, now),
        earlier: mine.map(|review| match review.decision {
            Decision::Approve => {
                "You have approved this already. While it waits you can still change your mind."
            }
            Decision::Deny => "You have denied this already.",
        }),
        sign_in: stage
            .and_then(|stage| stage.mfa.as_ref())
            .filter(short)
            .map(words::sign_in),
        budget: (request.ruling.max_requests).map_or_else(|| "no limit".to_owned(), |most| most.to_string()),
    }
}

/// The roles that the requester has now, as the Directory says.
async fn roles(console: &Console, request: &Request) -> String {
    let subject = Subject {
        principal: request.requester.principal.clone(),
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
        expires_at: None,
    };
    match console.0.broker.identify(&subject).await {
        Ok(actor) if actor.person.roles.is_empty() => "none".to_owned(),
        Ok(actor) => {
            let roles: Vec<String> = actor.person.roles.iter().map(ToString::to_string).collect();
            roles.join(", ")
        }
        Err(_) => "not known: the directory does not vouch for this person now".to_owned(),
    }
}

async fn history(
    console: &Console,
    visitor: &Visitor,
    request: &Request,
    now: Timestamp,
) -> Result<History, Failure> {
    let mut filter = Filter {
        resource: Some(request.ruling.resource.name.clone()),
        limit: LOOKED_AT,
        ..Filter::default()
    };
    let others = console.0.broker.list(&visitor.actor, &filter).await?.items;
    filter.states = vec![Stands::Scheduled, Stands::Active];
    let live = console.0.broker.list(&visitor.actor, &filter).await?.items;
    let other = |view: &&View| view.request.id != request.id;
    let same = |view: &&View| view.request.requester.person == request.requester.person;
    let row = |view: &View| Row::new(view, now);
    Ok(History {
        before: others
            .iter()
            .filter(other)
            .filter(same)
            .take(BEFORE)
            .map(row)
            .collect(),
        live: live.iter().filter(other).map(row).collect(),
    })
}

fn glass(request: &Request, now: Timestamp) -> Option<String> {
    let debt = request.break_glass.as_ref()?;
    Some(match &debt.review {
        None => format!(
            "The glass was broken. Another person has to look into it; due {}.",
            Moment::new(debt.review_by, now)
        ),
        Some(review) => {
            let found = match review.finding {
                Finding::Justified => "called for",
                Finding::Unjustified => "not called for",
            };
            let comment = clean(&review.comment);
            let comment = if comment.is_empty() {
                String::new()
            } else {
                format!(" “{comment}”")
            };
            format!(
                "The glass was broken. {} looked into it and found it {found}.{comment}",
                review.person
            )
        }
    })
}

fn limits(request: &Request) -> Vec<String> {
    let ruling = &request.ruling;
    let grant = request.grant.as_ref();
    let requests = grant.map_or(ruling.max_requests, |grant| grant.max_requests);
    let bytes = grant.map_or(ruling.max_bytes, |grant| grant.max_bytes);
    let terms = &ruling.terms;
    let all = [
        requests.map(|most| format!("at most {most} HTTP requests")),
        bytes.map(|most| format!("at most {most} bytes to the client")),
        (terms.limits.concurrent).map(|most| format!("at most {most} at once")),
        (terms.use_within).map(|span| format!("ends if not used within {}", words::length(span))),
        (terms.idle_timeout).map(|span| format!("ends when idle for {}", words::length(span))),
        (ruling.selector == Selector::Credential).then(|| "opened by a credential of its own".to_owned()),
    ];
    all.into_iter().flatten().collect()
}

fn stages(request: &Request) -> Vec<StageRow> {
    let stages = request.ruling.terms.stages.iter().enumerate();
    stages
        .map(|(number, stage)| StageRow {
            name: stage.name.to_string(),
            wants: words::stage(stage),
            so_far: format!("{} of {}", filled(request, number), stage.quorum),
            current: request.state == Stands::Pending && number == usize::from(request.stage),
        })
        .collect()
}

/// Why nobody had to agree.
fn nobody(request: &Request) -> Option<&'static str> {
    use jit_core::approval::ask::Route;
    match request.ruling.route {
        Route::Stages => None,
        Route::Automatic { .. } => Some("Nobody had to agree: the policy grants it at once."),
        Route::BreakGlass => Some("Nobody was asked: the glass was broken."),
    }
}

fn decision(decision: Decision) -> Badge {
    let (class, word) = match decision {
        Decision::Approve => ("open", "Approved"),
        Decision::Deny => ("no", "Denied"),
    };
    Badge { class, word }
}

/// How an approval takes less than was asked.
fn less(narrowing: &Narrowing) -> String {
    let parts = [
        narrowing
            .duration
            .map(|span| format!("for {}", words::length(span))),
        (!narrowing.methods.is_empty()).then(|| format!("only {}", words::list(&narrowing.methods))),
        (!narrowing.paths.is_empty()).then(|| format!("only {}", words::list(&narrowing.paths))),
        narrowing
            .max_requests
            .map(|most| format!("at most {most} HTTP requests")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
