//! Waiting for a request to be decided: long polls, each from the version that is known, so that no change is missed.

use std::time::Duration;

use jit_core::id::RequestId;
use jit_core::span::Span;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::timeout;

use super::answers::{Request, Standing};
use super::client::{Client, parsed};
use super::exit::{Exit, Failure};
use super::retry::persistently;
use super::screen::{is_attended, tell};
use super::show::standing;

/// What one call waits for; the API takes up to a minute.
const POLL: Duration = Duration::from_secs(30);

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    /// Access is granted, now or for later.
    Granted,
    /// Access is open.
    Active,
}

/// Waits until `answer`'s request has access, at most `limit`; answers how it stands then.
///
/// # Errors
/// [`Exit::NoAccess`] when it ended without; [`Exit::StillPending`] when the time is over.
pub(super) async fn wait(
    client: &Client,
    answer: Value,
    until: Until,
    limit: Option<Span>,
) -> Result<Value, Failure> {
    let request: Request = parsed(&answer)?;
    let id = request.id;
    let waiting = poll(client, answer, request, until);
    let Some(limit) = limit else {
        return waiting.await;
    };
    timeout(limit.as_std(), waiting).await.unwrap_or_else(|_| {
        Err(Failure::new(
            Exit::StillPending,
            format!("{id} is still not decided after {limit}; wait on: jit show {id} --wait"),
        ))
    })
}

async fn poll(
    client: &Client,
    mut answer: Value,
    mut request: Request,
    until: Until,
) -> Result<Value, Failure> {
    let mut told = String::new();
    loop {
        match (request.standing(), until) {
            (Standing::Active, _) | (Standing::Scheduled, Until::Granted) => return Ok(answer),
            (Standing::Ended, _) => return Err(ended(&request)),
            (Standing::Pending, _) | (Standing::Scheduled, Until::Active) => {}
        }
        let standing = standing(&request);
        if is_attended() && told != standing {
            tell(&format!("{} is {standing}", request.id));
            told = standing;
        }
        answer = changed(client, request.id, request.version).await?;
        request = parsed(&answer)?;
    }
}

async fn changed(client: &Client, id: RequestId, version: u64) -> Result<Value, Failure> {
    let query = [
        ("wait", format!("{}s", POLL.as_secs())),
        ("version", version.to_string()),
    ];
    let path = format!("v1/requests/{id}");
    let (_stop, never) = watch::channel(false);
    persistently(async || client.get_within(&path, &query, POLL).await, never).await
}

/// A request that ended, and in what words.
fn ended(request: &Request) -> Failure {
    let mut text = format!("{} is {}: there is no access", request.id, request.state);
    if let Some(end) = &request.end {
        let by = end.cause.person.as_ref().unwrap_or(&end.cause.by);
        text.push_str(&format!("\n  {} by {by}", end.at));
        if !end.reason.as_str().is_empty() {
            text.push_str(&format!(": “{}”", end.reason));
        }
    }
    for review in request
        .reviews
        .iter()
        .filter(|review| review.decision.as_str() == "deny")
    {
        text.push_str(&format!("\n  {} denied it: “{}”", review.name, review.comment));
    }
    Failure::new(Exit::NoAccess, text)
}
