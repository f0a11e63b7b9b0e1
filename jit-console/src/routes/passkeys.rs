//! Passkeys, as far as somebody else than their person has a say in them.

use axum::extract::State;
use jit_core::approval::refused::Refused;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dto::ClearBody;
use crate::extract::{Caller, Sent};
use crate::json::Json;
use crate::problem::{Kind, Problem};
use crate::settings::Shared;

/// What was cleared.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = PasskeysCleared)]
pub(crate) struct ClearedView {
    /// How many passkeys there were.
    count: usize,
}

/// Clear all passkeys of somebody else, who has lost the only one: for those who may declare lockdowns, with a fresh second factor. The
/// person is signed out of the web console and of guarded pages, and what they have proven by a second factor ends, at this server. They can
/// then enrol a first one again, soon after a sign-in.
#[utoipa::path(
    post, path = "/v1/passkeys/clear", tag = "passkeys", operation_id = "clear_passkeys", request_body = ClearBody,
    responses((status = 200, description = "Cleared.", body = ClearedView)))]
pub(crate) async fn clear(
    State(shared): State<Shared>,
    caller: Caller,
    sent: Sent,
) -> Result<Json<ClearedView>, Problem> {
    // The broker decides again; this only keeps the caller's input out of it until the caller may clear any at all.
    if !shared.broker.powers(&caller.actor).lockdown {
        return Err(Refused::NotEligible.into());
    }
    let Some(passkeys) = shared.settings.passkeys() else {
        return Err(Problem::new(
            Kind::NoSecondFactor,
            "This server keeps no passkeys.",
        ));
    };
    let (person, reason) = sent.json::<ClearBody>().await?.read()?;
    let count = (shared.broker).clear_passkeys(&caller.actor, passkeys, &person, &reason);
    Ok(Json(ClearedView { count: count.await? }))
}
