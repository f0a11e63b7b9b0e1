//! Asking, reading, and ending what was asked.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, StatusCode};
use jit_core::approval::ask::Ask;
use jit_core::broker::{Filter, View};
use jit_core::id::RequestId;
use jit_core::span::Span;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::dto::{AskBody, NoteBody, NothingBody, ReasonBody};
use crate::extract::{Caller, Id, Params, Sent, idempotency_key, parameter, position, version};
use crate::json::Json;
use crate::problem::Problem;
use crate::settings::Shared;
use crate::view::{IssuedView, Page, RequestView};
use crate::wait;

/// Requests on one page, when the caller names no number.
pub(super) const PAGE_DEFAULT: usize = 50;
/// Most requests on one page.
pub(super) const PAGE_MAX: usize = 1000;

fn told(shared: &Shared, view: &View) -> Json<RequestView> {
    Json(RequestView::new(view, &shared.settings))
}

/// A number of items, from 1 to `max`.
pub(super) fn page_limit(value: Option<&str>, default: usize, max: usize) -> Result<usize, Problem> {
    match value.map(str::parse) {
        None => Ok(default),
        Some(Ok(limit)) if (1..=max).contains(&limit) => Ok(limit),
        Some(_) => Err(Problem::invalid(
            "limit",
            format!("must be a whole number from 1 to {max}"),
        )),
    }
}

fn flag(name: &str, value: Option<&str>) -> Result<bool, Problem> {
    match value {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(_) => Err(Problem::invalid(name, "must be `true` or `false`")),
    }
}

/// Ask for access.
#[utoipa::path(
    post, path = "/v1/requests", tag = "requests", operation_id = "ask", request_body = AskBody,
    params(("Idempotency-Key" = Option<String>, Header,
        description = "Of your own choosing, 1 to 128 visible ASCII characters: the same key again answers with the same request.")),
    responses(
        (status = 201, description = "Asked. It may be active already.", body = RequestView,
            headers(("Location" = String, description = "Where the request is read."))),
        (status = 200, description = "Asked before with this Idempotency-Key.", body = RequestView),
    ))]
pub(crate) async fn ask(
    State(shared): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    sent: Sent,
) -> Result<Response, Problem> {
    let key = idempotency_key(&headers)?;
    let ask = Ask::try_from(sent.json::<AskBody>().await?)?;
    let asked = shared.broker.ask(&caller.actor, ask, key).await?;
    let body = told(&shared, &asked.view);
    if !asked.created {
        return Ok(body.into_response());
    }
    let mut response = (StatusCode::CREATED, body).into_response();
    if let Ok(location) = HeaderValue::try_from(shared.settings.request_url(asked.view.request.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Which requests.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParams {
    /// In one of these states, separated by commas; in any if absent.
    #[param(example = "pending,active")]
    state: Option<String>,
    /// For this resource.
    resource: Option<String>,
    /// `true`: only those that you asked for.
    #[param(value_type = Option<bool>)]
    mine: Option<String>,
    /// `true`: only those that wait for your review.
    #[param(value_type = Option<bool>)]
    reviewable: Option<String>,
    /// `true`: only break-glass that waits for your review after the fact.
    #[param(value_type = Option<bool>)]
    after_reviewable: Option<String>,
    /// `next` of the page before.
    after: Option<String>,
    /// How many, from 1 to 1000; 50 if absent.
    #[param(value_type = Option<u16>, minimum = 1, maximum = 1000)]
    limit: Option<String>,
}

impl TryFrom<ListParams> for Filter {
    type Error = Problem;

    fn try_from(params: ListParams) -> Result<Self, Problem> {
        let states = params.state.iter().flat_map(|states| states.split(','));
        Ok(Self {
            states: states
                .map(|state| parameter("state", state))
                .collect::<Result<_, _>>()?,
            resource: params
                .resource
                .map(|name| parameter("resource", &name))
                .transpose()?,
            mine: flag("mine", params.mine.as_deref())?,
            reviewable: flag("reviewable", params.reviewable.as_deref())?,
            after_reviewable: flag("after_reviewable", params.after_reviewable.as_deref())?,
            before: params.after.map(|after| position("after", &after)).transpose()?,
            limit: page_limit(params.limit.as_deref(), PAGE_DEFAULT, PAGE_MAX)?,
        })
    }
}

/// List the requests that you may see, newest first.
#[utoipa::path(
    get, path = "/v1/requests", tag = "requests", operation_id = "list_requests", params(ListParams),
    responses((status = 200, description = "One page.", body = Page<RequestView>)))]
pub(crate) async fn list(
    State(shared): State<Shared>,
    caller: Caller,
    params: Params,
) -> Result<Json<Page<RequestView>>, Problem> {
    let filter = Filter::try_from(params.read::<ListParams>()?)?;
    let listing = shared.broker.list(&caller.actor, &filter).await?;
    Ok(Json(Page {
        items: listing
            .items
            .iter()
            .map(|view| RequestView::new(view, &shared.settings))
            .collect(),
        next: listing.next.map(|next| next.to_string()),
    }))
}

/// Whether to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneParams {
    /// Answer only when the request changes, or after this long, at most `60s`. What can't change any more is answered at once.
    #[param(example = "30s")]
    wait: Option<String>,
    /// With `wait`: the version you have. Another one is answered at once, so that no change is missed between two calls.
    #[param(value_type = Option<u64>)]
    version: Option<String>,
}

/// Read a request, or wait for it to change.
#[utoipa::path(
    get, path = "/v1/requests/{id}", tag = "requests", operation_id = "read_request",
    params(("id" = String, Path, description = "The request's id."), OneParams),
    responses((status = 200, description = "The request as it stands.", body = RequestView)))]
pub(crate) async fn one(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    params: Params,
) -> Result<Json<RequestView>, Problem> {
    // Subscribed before the first look: a change after the look is never missed.
    let changes = shared.broker.decisions();
    let view = shared.broker.view(&caller.actor, id).await?;
    let params: OneParams = params.read()?;
    let known = params
        .version
        .map(|known| version("version", &known))
        .transpose()?;
    let Some(wait) = params
        .wait
        .map(|wait| parameter::<Span>("wait", &wait))
        .transpose()?
    else {
        return Ok(told(&shared, &view));
    };
    if wait > wait::WAIT_MAX {
        return Err(Problem::invalid(
            "wait",
            "must be at most 60s; wait again when it ends",
        ));
    }
    if known.is_some_and(|version| version != view.version) || wait::is_settled(&view.request) {
        return Ok(told(&shared, &view));
    }
    let _seat = shared.waiters.take(&caller.actor.person.id).ok_or_else(|| {
        Problem::too_many(
            "Too many calls wait already; end one, or read without `wait`.",
            shared.broker.now(),
        )
    })?;
    let view = wait::until_changed(&shared.broker, &caller, view, changes, wait).await?;
    Ok(told(&shared, &view))
}

/// Take back a request of your own that is pending.
#[utoipa::path(
    post, path = "/v1/requests/{id}/withdraw", tag = "requests", operation_id = "withdraw_request", request_body = NoteBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "Withdrawn.", body = RequestView)))]
pub(crate) async fn withdraw(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<Json<RequestView>, Problem> {
    shared.broker.view(&caller.actor, id).await?;
    let reason = sent.json::<NoteBody>().await?.reason()?;
    let view = shared.broker.withdraw(&caller.actor, id, &reason).await?;
    Ok(told(&shared, &view))
}

/// Give back a grant of your own before its window closes.
#[utoipa::path(
    post, path = "/v1/requests/{id}/release", tag = "requests", operation_id = "release_grant", request_body = NoteBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "Released.", body = RequestView)))]
pub(crate) async fn release(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<Json<RequestView>, Problem> {
    shared.broker.view(&caller.actor, id).await?;
    let reason = sent.json::<NoteBody>().await?.reason()?;
    let view = shared.broker.release(&caller.actor, id, &reason).await?;
    Ok(told(&shared, &view))
}

/// Take a credential for a grant of your own whose selector is `credential`. The one before ends.
///
/// The answer shows it once. It opens this one grant, as you, at every gate, in the header or the cookie that the answer names; it opens
/// nothing of this API.
#[utoipa::path(
    post, path = "/v1/requests/{id}/credential", tag = "requests", operation_id = "issue_credential", request_body = NothingBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 201, description = "Issued.", body = IssuedView)))]
pub(crate) async fn credential(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<(StatusCode, Json<IssuedView>), Problem> {
    shared.broker.view(&caller.actor, id).await?;
    let NothingBody {} = sent.json().await?;
    let issued = shared.broker.issue_credential(&caller.actor, id).await?;
    Ok((
        StatusCode::CREATED,
        Json(IssuedView::new(&issued, &shared.settings)),
    ))
}

/// Take away someone's grant.
#[utoipa::path(
    post, path = "/v1/requests/{id}/revoke", tag = "requests", operation_id = "revoke_grant", request_body = ReasonBody,
    params(("id" = String, Path, description = "The request's id.")),
    responses((status = 200, description = "Revoked.", body = RequestView)))]
pub(crate) async fn revoke(
    State(shared): State<Shared>,
    caller: Caller,
    Id(id): Id<RequestId>,
    sent: Sent,
) -> Result<Json<RequestView>, Problem> {
    shared.broker.view(&caller.actor, id).await?;
    let reason = sent.json::<ReasonBody>().await?.reason()?;
    let view = shared.broker.revoke(&caller.actor, id, &reason).await?;
    Ok(told(&shared, &view))
}
