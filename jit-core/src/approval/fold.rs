//! Folding: state × event → state. What a stream's events say is all there is to know of it.

use crate::approval::ask::Selector;
use crate::approval::event::Event;
use crate::approval::request::{End, Request};
use crate::approval::state::State;
use crate::id::Timestamp;

/// An event that does not fit the stream it is in: the log is damaged, or was written by a newer version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event does not fit a stream that is {}", match state { Some(state) => state.as_str(), None => "empty" })]
pub struct Misfit {
    state: Option<State>,
}

/// The request after `event`, which was recorded at `at`.
///
/// # Errors
/// [`Misfit`] when no decision can have made this event in this state.
pub fn fold(before: Option<Request>, event: &Event, at: Timestamp) -> Result<Request, Misfit> {
    use State::{Active, Pending, Scheduled};
    let Some(mut request) = before else {
        return match event {
            Event::Requested { request, .. } => Ok(request.as_ref().clone()),
            _ => Err(Misfit { state: None }),
        };
    };
    let state = request.state;
    match (state, event) {
        (Pending, Event::Reviewed { review }) => {
            request.reviews.retain(|old| old.person != review.person);
            request.reviews.push(review.clone());
        }
        (Pending, Event::ReviewVoided { person, .. }) => request.reviews.retain(|old| old.person != *person),
        (Pending, Event::StageOpened { stage }) => {
            request.stage = *stage;
            request.stage_since = at;
        }
        (Pending, Event::Approved { grant, .. }) => {
            request.state = Scheduled;
            request.grant = Some(grant.as_ref().clone());
        }
        (Scheduled, Event::Activated) => request.state = Active,
        (Pending, Event::Restated { request: anew }) if anew.id == request.id => {
            request = anew.as_ref().clone();
        }
        (Scheduled | Active, Event::Narrowed { not_after, scope, .. }) => {
            let Some(grant) = &mut request.grant else {
                return Err(Misfit { state: Some(state) });
            };
            grant.not_after = grant.not_after.min(*not_after);
            grant.scope = scope.clone();
        }
        (Scheduled | Active, Event::Extended { by }) => request.extended_by.push(*by),
        (Scheduled | Active, Event::CredentialIssued { credential })
            if request.ruling.selector == Selector::Credential =>
        {
            request.credential = Some(credential.clone());
        }
        (_, Event::AfterReviewed { review }) => {
            let Some(debt) = &mut request.break_glass else {
                return Err(Misfit { state: Some(state) });
            };
            debt.review = Some(review.clone());
        }
        (
            Pending | Scheduled | Active,
            Event::Ended {
                state,
                cause,
                reason,
                at,
            },
        ) => {
            request.state = *state;
            request.end = Some(End {
                at: *at,
                cause: cause.clone(),
                reason: reason.clone(),
            });
        }
        (_, _) => return Err(Misfit { state: Some(state) }),
    }
    request.changed_at = at;
    Ok(request)
}
