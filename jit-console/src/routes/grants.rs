//! What is open now.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;

use crate::extract::{Caller, Params};
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{LiveGrantView, Page};

/// No parameters at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NoParams {}

/// List the scheduled and active grants that you may see, with what is left of each.
#[utoipa::path(
    get, path = "/v1/grants", tag = "grants", operation_id = "list_grants",
    responses((status = 200, description = "All of them, on one page.", body = Page<LiveGrantView>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<LiveGrantView>>, Problem> {
    let NoParams {} = params.read()?;
    let grants = shared.broker.grants(&caller.actor).await?;
    let now = shared.broker.now();
    Ok(Json(Page {
        items: (grants.iter())
            .filter_map(|view| LiveGrantView::new(view, &shared.settings, now))
            .collect(),
        next: None,
    }))
}
