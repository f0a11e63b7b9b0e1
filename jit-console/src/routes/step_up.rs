//! Proving a second factor, for the credential that the call comes with.

use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dto::StepUpBody;
use crate::extract::{Caller, Sent};
use crate::json::Json;
use crate::problem::{Kind, Problem};
use crate::settings::Shared;
use crate::view::Time;

/// What your credential gained.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StepUp)]
pub(crate) struct StepUpView {
    /// The method that you proved (RFC 8176).
    method: &'static str,
    /// When.
    authenticated_at: Time,
    /// The first moment at which it counts no more. A policy may want a fresher proof before that.
    until: Time,
}

/// Prove a second factor: the credential of this call counts as stronger and fresher for a while, at this server.
#[utoipa::path(
    post, path = "/v1/me/step-up", tag = "me", operation_id = "step_up", request_body = StepUpBody,
    responses((status = 200, description = "The code was right.", body = StepUpView)))]
pub(crate) async fn step_up(
    State(shared): State<Shared>,
    caller: Caller,
    sent: Sent,
) -> Result<Json<StepUpView>, Problem> {
    let (Some(step_ups), Some(credential)) = (shared.settings.step_ups(), caller.credential) else {
        return Err(Problem::new(
            Kind::NoSecondFactor,
            "This server takes no codes. Sign in anew with your identity provider.",
        ));
    };
    let code = sent.json::<StepUpBody>().await?.read()?;
    let now = shared.broker.now();
    let person = &caller.actor.person.id;
    let granted = step_ups
        .prove(credential, &caller.subject, person, &code, now)
        .await?;
    Ok(Json(StepUpView {
        method: granted.method,
        authenticated_at: Time(granted.at),
        until: Time(granted.until),
    }))
}
