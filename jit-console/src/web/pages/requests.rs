//! Lists of requests: one's own, and those that wait for one's decision.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use jit_core::broker::Filter;
use jit_core::broker::store::Position;
use jit_core::id::RequestId;
use serde::Deserialize;

use super::live;
use super::rows::Row;
use super::words;
use crate::extract::{Params, position};
use crate::problem::Problem;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

/// Requests on one page.
const PAGE: usize = 25;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ListParams {
    /// Where the page before ended.
    before: Option<String>,
}

impl ListParams {
    pub(super) fn before(self) -> Result<Option<Position>, Problem> {
        self.before.map(|before| position("before", &before)).transpose()
    }
}

#[derive(Template)]
#[template(path = "requests.html")]
struct MinePage {
    frame: Frame,
    rows: Vec<Row>,
    older: bool,
    next: Option<String>,
}

/// What I have asked for.
pub(super) async fn mine(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let params: ListParams = params.read()?;
    let before = params.before()?;
    let broker = &console.0.broker;
    let filter = Filter {
        mine: true,
        before,
        limit: PAGE,
        ..Filter::default()
    };
    let mut frame = visitor.frame("requests", "My access");
    frame.live = Some(live::any_change(broker, "/requests", before));
    let listing = broker.list(&visitor.actor, &filter).await?;
    let now = broker.now();
    page(&MinePage {
        frame,
        rows: listing.items.iter().map(|view| Row::new(view, now)).collect(),
        older: before.is_some(),
        next: listing.next.map(|next| format!("/requests?before={next}")),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QueueParams {
    before: Option<String>,
    /// What was decided on just now.
    done: Option<String>,
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct QueuePage {
    frame: Frame,
    told: Option<String>,
    rows: Vec<Row>,
    next: Option<String>,
}

fn waiting(before: Option<Position>, limit: usize) -> Filter {
    Filter {
        reviewable: true,
        before,
        limit,
        ..Filter::default()
    }
}

/// What waits for my decision.
pub(super) async fn queue(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let params: QueueParams = params.read()?;
    let before = params
        .before
        .map(|before| position("before", &before))
        .transpose()?;
    let broker = &console.0.broker;
    let live = live::any_change(broker, "/approvals", before);
    let listing = broker.list(&visitor.actor, &waiting(before, PAGE)).await?;
    let now = broker.now();
    let done: Option<RequestId> = params.done.and_then(|id| id.parse().ok());
    let told = match done {
        Some(id) => broker.view(&visitor.actor, id).await.ok(),
        None => None,
    };
    // An address can be anyone's: what was not said is not told.
    let me = &visitor.actor.person.id;
    let told = told.filter(|view| view.request.reviews.iter().any(|review| review.person == *me));
    // Seen in a tab that nobody looks at, too.
    let title = match listing.items.len() {
        0 => "Approvals".to_owned(),
        waiting => format!("Approvals ({waiting})"),
    };
    let mut frame = visitor.frame("approvals", title);
    frame.live = Some(live);
    page(&QueuePage {
        frame,
        told: told.map(|view| {
            let ruling = &view.request.ruling;
            format!(
                "Your decision on {} is written down. {}",
                ruling.resource.name,
                words::standing(&view.request, now)
            )
        }),
        rows: listing.items.iter().map(|view| Row::new(view, now)).collect(),
        next: listing.next.map(|next| format!("/approvals?before={next}")),
    })
}

/// Where to begin: with what waits for the visitor.
pub(super) async fn home(State(console): State<Console>, visitor: Visitor) -> Result<Response, Failure> {
    let listing = console.0.broker.list(&visitor.actor, &waiting(None, 1)).await?;
    let onwards = if listing.items.is_empty() {
        "/requests"
    } else {
        "/approvals"
    };
    Ok(Redirect::to(onwards).into_response())
}
