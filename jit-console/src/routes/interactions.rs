//! What was done under a grant.

use axum::extract::State;
use jit_core::broker::{Interaction, InteractionPage};
use jit_core::id::RequestId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::requests::page_limit;
use crate::extract::{Caller, Id, Params, position};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{Time, text};

/// Records on one page, when the caller names no number.
const PAGE_DEFAULT: usize = 100;
/// Most records on one page.
const PAGE_MAX: usize = 1000;

/// One HTTP request that the grant admitted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Interaction)]
pub(crate) struct InteractionView {
    /// When it was admitted.
    began: Time,
    /// How long it took, in milliseconds. This and the other numbers are `null` where the door that admitted it does not see them.
    duration_ms: Option<u64>,
    method: String,
    /// Decoded, without the query. Characters that show as nothing or rewrite what stands around them are percent-encoded.
    path: String,
    /// `null` also where it was not answered.
    status: Option<u16>,
    /// Octets from the client.
    received: Option<u64>,
    /// Octets to the client.
    sent: Option<u64>,
    /// `completed`, `unseen`, or why it was cut: `expired`, `idle-expired`, `exhausted`, `released`, `revoked`, `locked-down`,
    /// `stale-view`, `budget-unavailable`.
    end: &'static str,
    /// The grant that it was under before this one ended it otherwise.
    moved_from: Option<String>,
    /// The grant that it went on under when this one ended.
    moved_to: Option<String>,
}

impl From<Interaction> for InteractionView {
    fn from(interaction: Interaction) -> Self {
        Self {
            began: Time(interaction.began),
            duration_ms: interaction.took_ms,
            method: interaction.method,
            path: interaction.path,
            status: interaction.status,
            received: interaction.received,
            sent: interaction.sent,
            end: interaction.end.as_str(),
            moved_from: interaction.moved_from.map(text),
            moved_to: interaction.moved_to.map(text),
        }
    }
}

/// One page of what was done under a grant, oldest first.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Interactions)]
pub(crate) struct InteractionsView {
    items: Vec<InteractionView>,
    /// Where the next page begins: hand it back as `after`. `null` when there is none.
    next: Option<String>,
    /// How many records of this grant were lost, because more came than could be written down.
    lost: u64,
}

impl From<InteractionPage> for InteractionsView {
    fn from(page: InteractionPage) -> Self {
        Self {
            items: page.items.into_iter().map(Into::into).collect(),
            next: page.next.map(text),
            lost: page.lost,
        }
    }
}

/// Which records.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InteractionParams {
    /// `next` of the page before.
    after: Option<String>,
    /// How many, from 1 to 1000; 100 if absent.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

/// Read what was done under the grant that a request became.
///
/// Whoever may read the request may read this. What was done in the last second may not be written down yet.
#[utoipa::path(
    get, path = "/v1/requests/{id}/interactions", tag = "requests", operation_id = "list_interactions",
    params(("id" = String, Path, description = "The request's id."), InteractionParams),
    responses((status = 200, description = "One page.", body = InteractionsView)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    params: Params,
) -> Result<Json<InteractionsView>, Problem> {
    // Before the parameters: whoever may not see the request learns nothing.
    shared.broker.view(&caller.actor, id).await?;
    let params: InteractionParams = params.read()?;
    let after = params.after.map(|after| position("after", &after)).transpose()?;
    let limit = page_limit(params.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?;
    let broker = &shared.broker;
    let page = broker
        .interactions(&caller.actor, id, after.unwrap_or_default(), limit)
        .await?;
    Ok(Json(page.into()))
}
