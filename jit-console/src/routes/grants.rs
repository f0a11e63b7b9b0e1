//! What is open now.

use axum::extract::State;
use serde::Deserialize;
use utoipa::IntoParams;

use super::requests::{PAGE_DEFAULT, PAGE_MAX, page_limit};
use crate::extract::{Caller, Params, position};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{LiveGrantView, Page};

/// No parameters at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// Which page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParams {
    /// `next` of the page before.
    after: Option<String>,
    /// How many, from 1 to 1000; 50 if absent.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

/// List the scheduled and active grants that you may see, newest first, with what is left of each.
#[utoipa::path(
    get, path = "/v1/grants", tag = "grants", operation_id = "list_grants", params(PageParams),
    responses((status = 200, description = "One page. It can hold fewer than `limit` while there is a `next`.", body = Page<LiveGrantView>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<LiveGrantView>>, Problem> {
    let params: PageParams = params.read()?;
    let before = params.after.map(|after| position("after", &after)).transpose()?;
    let limit = page_limit(params.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?;
    let page = shared.broker.grants(&caller.actor, before, limit).await?;
    let now = shared.broker.now();
    Ok(Json(Page {
        items: (page.items.iter())
            .filter_map(|view| LiveGrantView::new(view, &shared.settings, now))
            .collect(),
        next: page.next.map(|next| next.to_string()),
    }))
}
