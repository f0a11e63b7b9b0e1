//! Deciding on what others ask for, and looking into broken glass.

use axum::extract::State;
use jit_core::approval::review::Opinion;
use jit_core::id::RequestId;

use crate::dto::{AfterReviewBody, ReviewBody};
use crate::extract::{Caller, Id, Sent};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::RequestView;

/// Approve or deny a request, as you saw it. The same review again changes nothing and answers the same.
#[utoipa::path(
    post, path = "/v1/requests/{id}/review", tag = "reviews", operation_id = "review_request", request_body = ReviewBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "Counted. The request as it stands now.", body = RequestView)))]
pub(crate) async fn review(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<Json<RequestView>, Problem> {
    // Whoever may not see the request learns nothing from what is said about the body.
    shared.broker.view(&caller.actor, id).await?;
    let opinion = Opinion::try_from(sent.json::<ReviewBody>().await?)?;
    let view = shared.broker.review(&caller.actor, id, opinion).await?;
    Ok(Json(RequestView::new(&view, &shared.settings)))
}

/// Say what you found when you looked into someone else's break-glass.
#[utoipa::path(
    post, path = "/v1/requests/{id}/after-review", tag = "reviews", operation_id = "after_review", request_body = AfterReviewBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "Written down.", body = RequestView)))]
pub(crate) async fn after_review(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<Json<RequestView>, Problem> {
    shared.broker.view(&caller.actor, id).await?;
    let (finding, comment) = sent.json::<AfterReviewBody>().await?.read()?;
    let view = shared
        .broker
        .after_review(&caller.actor, id, finding, &comment)
        .await?;
    Ok(Json(RequestView::new(&view, &shared.settings)))
}
