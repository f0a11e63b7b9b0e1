//! Requests as rows of a list.

use jit_core::broker::View;
use jit_core::id::Timestamp;
use jit_core::policy::text::clean;

use super::words::{self, Badge, Countdown, Moment};

/// One request in a list.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) url: String,
    pub(super) resource: String,
    pub(super) who: String,
    pub(super) badge: Badge,
    pub(super) stands: String,
    pub(super) reason: String,
    pub(super) length: String,
    pub(super) asked: Moment,
    /// Of a grant: its end.
    pub(super) ends: Option<Moment>,
    /// What it counts down to.
    pub(super) next: Option<Countdown>,
    /// Of a grant: what it opens.
    pub(super) opens: String,
    pub(super) glass: bool,
}

impl Row {
    pub(super) fn new(view: &View, now: Timestamp) -> Self {
        let request = &view.request;
        let (resource, scope) = match &request.grant {
            Some(grant) => (&grant.resource, &grant.scope),
            None => (&request.ruling.resource, &request.ruling.scope),
        };
        Self {
            id: request.id.to_string(),
            url: format!("/requests/{}", request.id),
            resource: resource.name.to_string(),
            who: clean(&request.requester.name),
            badge: request.state.into(),
            stands: words::standing(request, now),
            reason: clean(&request.ruling.reason),
            length: words::length(request.ruling.duration),
            asked: Moment::new(request.asked_at, now),
            ends: (request.grant.as_ref()).map(|grant| Moment::new(grant.not_after, now)),
            next: Countdown::of(request, now),
            opens: format!(
                "{}: {}, {}",
                words::list(&resource.hosts),
                words::paths(resource, scope).join(", "),
                words::methods(resource, scope)
            ),
            glass: request.break_glass.is_some(),
        }
    }
}
