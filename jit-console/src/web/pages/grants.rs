//! What is open now, and what was done under it.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jit_core::broker::Interaction;
use jit_core::id::{RequestId, Timestamp};
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::live;
use super::requests::ListParams;
use super::rows::Row;
use super::words::{self, Moment};
use crate::extract::{Id, Params, position};
use crate::problem::Problem;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

/// Grants on one page.
const PAGE: usize = 50;
/// Records of what was done on one page.
const DONE_PAGE: usize = 100;

#[derive(Template)]
#[template(path = "grants.html")]
struct GrantsPage {
    frame: Frame,
    rows: Vec<Row>,
    lockdowns: bool,
    next: Option<String>,
}

/// Live grants that the visitor may see.
pub(super) async fn grants(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let params: ListParams = params.read()?;
    let before = params.before()?;
    let broker = &console.0.broker;
    let mut frame = visitor.frame("grants", "Live grants");
    frame.live = Some(live::any_change(broker, "/grants", before));
    let listing = broker.grants(&visitor.actor, before, PAGE).await?;
    let now = broker.now();
    let powers = visitor.powers;
    page(&GrantsPage {
        frame,
        rows: listing.items.iter().map(|view| Row::new(view, now)).collect(),
        lockdowns: powers.lockdown || powers.revoker || powers.auditor,
        next: listing.next.map(|next| format!("/grants?before={next}")),
    })
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DoneParams {
    /// Where the page before ended.
    after: Option<String>,
}

#[derive(Template)]
#[template(path = "done.html")]
struct DonePage {
    frame: Frame,
    url: String,
    resource: String,
    who: String,
    deeds: Vec<Deed>,
    lost: u64,
    next: Option<String>,
}

/// One HTTP request that a grant admitted.
pub(super) struct Deed {
    pub(super) at: Moment,
    pub(super) method: String,
    pub(super) path: String,
    pub(super) status: String,
    pub(super) took: String,
    pub(super) end: &'static str,
}

impl Deed {
    pub(super) fn new(interaction: &Interaction, now: Timestamp) -> Self {
        Self {
            at: Moment::new(interaction.began, now),
            method: clean(&interaction.method),
            path: clean(&interaction.path),
            status: (interaction.status).map_or_else(|| "–".to_owned(), |status| status.to_string()),
            took: (interaction.took_ms).map_or_else(|| "–".to_owned(), |millis| format!("{millis} ms")),
            end: interaction.end.as_str(),
        }
    }
}

/// What was done under a grant, oldest first.
pub(super) async fn done(
    State(console): State<Console>,
    visitor: Visitor,
    id: Result<Id<RequestId>, Problem>,
    params: Params,
) -> Result<Response, Failure> {
    let Id(id) = id?;
    let broker = &console.0.broker;
    let view = broker.view(&visitor.actor, id).await?;
    let params: DoneParams = params.read()?;
    let after = params.after.map(|after| position("after", &after)).transpose()?;
    let found = broker
        .interactions(&visitor.actor, id, after.unwrap_or_default(), DONE_PAGE)
        .await?;
    let now = broker.now();
    let resource = view.request.ruling.resource.name.to_string();
    page(&DonePage {
        frame: visitor.frame("grants", format!("What was done with {resource}")),
        url: format!("/requests/{id}"),
        who: words::name(&view.request, &view.request.requester.person),
        resource,
        deeds: found.items.iter().map(|item| Deed::new(item, now)).collect(),
        lost: found.lost,
        next: found.next.map(|next| format!("/requests/{id}/done?after={next}")),
    })
}
