//! One request: where it stands, everything that is needed to decide on it, and what the visitor may do with it.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, StatusCode};
use jit_core::approval::request::Request;
use jit_core::approval::state::State as Stands;
use jit_core::broker::View;
use jit_core::id::RequestId;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::form::Errors;
use super::live;
use super::parts::{self, ReviewRow, StageRow};
use super::reviewer::{History, ReviewSheet, history, review_sheet, roles};
use super::words::{self, Badge, Countdown, Moment};
use crate::extract::{Id, Params};
use crate::problem::Problem;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, Live, page};
use crate::web::handoff::Return;
use crate::web::visitor::Visitor;

/// How often a page that waits for something looks again without scripts, in seconds.
const LOOKS: u32 = 3;
/// The parts of the page that are shown anew when the request has changed. Nobody types into them.
const PARTS: &str = "#badge,#clock,#status:innerHTML,#facts,#agree";
/// The same with the buttons of the requester's own page, which has no fields.
const OWN_PARTS: &str = "#badge,#clock,#status:innerHTML,#facts,#acts,#agree";

/// By which htmx is told to leave for another page.
const GOES_TO: HeaderName = HeaderName::from_static("hx-redirect");

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
    /// Whether it was typed before a second factor was proven.
    pub(super) kept: bool,
    pub(super) status: StatusCode,
}

impl Typed {
    /// What was wrong; `fields` are those of the form that was sent.
    pub(super) fn failed(mut self, problem: &Problem, fields: &[&str]) -> Self {
        self.errors = Errors::new(problem, fields);
        self.status = problem.kind().status();
        self
    }

    /// Typed for what the request said before it changed: all but the comment was meant for that.
    pub(super) fn stale(self) -> Self {
        Self {
            comment: self.comment,
            status: self.status,
            notice: Some(
                "This request has changed since you saw it. Nothing was decided. Below is what it says now: read it again."
                    .to_owned(),
            ),
            ..Self::default()
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OneParams {
    /// The slip of a guarded page.
    back: Option<String>,
    /// The errand of someone who has proven a second factor since.
    kept: Option<String>,
    /// The forms of the page that the parts of this one are for.
    forms: Option<String>,
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
    /// Whether the forms that the reader has before them are no longer what they could send.
    stale: bool,
    next: Option<Countdown>,
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
    from_approval: bool,
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
    let kept = params.kept.as_deref();
    let typed = match kept.and_then(|slip| console.errand(&visitor, slip)?.review()) {
        Some(form) if form.is_of(&view.request) => Typed {
            kept: true,
            ..form.typed()
        },
        Some(form) => form.typed().stale(),
        None => Typed::default(),
    };
    show(&console, &visitor, &view, Some(params), typed).await
}

/// What forms the page of a request has, and what for: another answer, and what is typed into them can't be sent any more.
fn forms(request: &Request) -> String {
    let owed = (request.break_glass.as_ref()).is_some_and(|debt| debt.review.is_none());
    format!("{}-{}-{owed}-{}", request.state, request.stage, request.digest)
}

/// The page of a request. `params` are those of its address, if it was asked for by that; `typed` is kept in its forms.
pub(super) async fn show(
    console: &Console,
    visitor: &Visitor,
    view: &View,
    params: Option<OneParams>,
    typed: Typed,
) -> Result<Response, Failure> {
    let params = params.unwrap_or_default();
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
    let review = match pending && reviewer {
        true => Some(review_sheet(console, visitor, request, now).await?),
        false => None,
    };
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
    let known = |slip: &String| matches!(visitor.session.way_back(slip), Some(Return::Guarded(_)));
    let back = params.back.filter(known);
    let url = format!("/requests/{id}");
    if waits(request) {
        let fields = review.is_some() || revokes || looks_into;
        let page = back
            .as_ref()
            .map_or_else(|| url.clone(), |slip| format!("{url}?back={slip}"));
        let parts = if own { OWN_PARTS } else { PARTS };
        frame.live = Some(Live {
            forms: fields.then(|| forms(request)),
            seconds: (!fields).then_some(LOOKS),
            ..live::change_of(view, page, parts)
        });
    }
    let back = back.map(|slip| format!("/back/{slip}"));
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
    let goes_to = frame.goes_to.clone();
    let mut shown = page(&OnePage {
        url,
        own,
        who: clean(&request.requester.name),
        person: request.requester.person.to_string(),
        principal: clean(&request.requester.principal.to_string()),
        roles,
        badge: request.state.into(),
        glass: parts::glass(request, now),
        stands: words::standing(request, now),
        said: (request.end.as_ref())
            .filter(|end| !end.reason.is_empty())
            .map(|end| clean(&end.reason)),
        back: back.filter(|_| own),
        stale: params.forms.is_some_and(|seen| seen != forms(request)),
        next: Countdown::of(request, now),
        resource: resource.name.to_string(),
        tags: words::list(&resource.tags),
        hosts: words::list(&resource.hosts),
        paths: words::paths(resource, scope),
        methods: words::methods(resource, scope),
        limits: parts::limits(request),
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
        from_approval: pending && ruling.start.is_none(),
        asked: Moment::new(request.asked_at, now),
        reason: clean(&ruling.reason),
        ticket: ruling.ticket.as_deref().map(clean),
        policy: ruling.terms.policy.to_string(),
        stages: parts::stages(request),
        nobody: parts::nobody(request),
        reviews: parts::reviews(request, now),
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
    if let Some(url) = goes_to {
        // Where scripts look for it that asked for parts of the page only.
        shown.headers_mut().insert(GOES_TO, Failure::header(&url)?);
    }
    Ok((status, shown).into_response())
}

/// Whether anything more becomes of a request.
fn waits(request: &Request) -> bool {
    matches!(
        request.state,
        Stands::Pending | Stands::Scheduled | Stands::Active
    )
}
