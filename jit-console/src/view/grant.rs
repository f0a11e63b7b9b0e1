//! Grants as the API shows them: inside their request, and by themselves with what is left of them.

use jit_core::approval::grant::Grant;
use jit_core::broker::View;
use jit_core::id::Timestamp;
use jit_core::policy::terms::Scope;
use jit_core::span::Span;
use serde::Serialize;
use utoipa::ToSchema;

use super::{PrincipalView, Time, text, texts};
use crate::settings::ApiSettings;

/// A part of a resource. An empty list narrows nothing.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Scope)]
pub(crate) struct ScopeView {
    methods: Vec<String>,
    paths: Vec<String>,
}

impl From<&Scope> for ScopeView {
    fn from(scope: &Scope) -> Self {
        Self {
            methods: texts(&scope.methods),
            paths: texts(&scope.paths),
        }
    }
}

/// From `not_before` to the last moment before `not_after`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Window)]
pub(crate) struct WindowView {
    not_before: Time,
    not_after: Time,
}

/// What was granted.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Grant)]
pub(crate) struct GrantView {
    id: String,
    holder: PrincipalView,
    person: String,
    scope: ScopeView,
    window: WindowView,
    /// It ends if it is not used within this of the window's opening.
    use_within: Option<String>,
    /// It ends when it is not used for this long.
    idle_timeout: Option<String>,
    max_requests: Option<u64>,
    max_bytes: Option<u64>,
    max_concurrent: Option<u32>,
}

impl From<&Grant> for GrantView {
    fn from(grant: &Grant) -> Self {
        Self {
            id: text(grant.id),
            holder: (&grant.holder).into(),
            person: text(&grant.person),
            scope: (&grant.scope).into(),
            window: WindowView {
                not_before: Time(grant.not_before),
                not_after: Time(grant.not_after),
            },
            use_within: grant.use_within.map(text),
            idle_timeout: grant.idle_timeout.map(text),
            max_requests: grant.max_requests,
            max_bytes: grant.max_bytes,
            max_concurrent: grant.max_concurrent,
        }
    }
}

/// A live grant, and what is left of it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LiveGrant)]
pub(crate) struct LiveGrantView {
    #[serde(flatten)]
    grant: GrantView,
    /// `scheduled` or `active`.
    state: &'static str,
    resource: String,
    policy: String,
    /// The request that it came from.
    request_id: String,
    /// Where that is read.
    request_url: String,
    remaining: RemainingView,
}

/// What is left of a grant, in whole seconds, rounded down. What has no limit is `null`.
#[derive(Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Remaining)]
pub(crate) struct RemainingView {
    /// Until the window opens; 0 once it is open.
    starts_in: u64,
    /// Until the window closes.
    expires_in: u64,
    /// Until it ends for want of a first use; `null` once it was used.
    unused_in: Option<u64>,
    /// Until it ends for want of use, counted from the last use that is written down.
    idle_in: Option<u64>,
}

impl LiveGrantView {
    /// `None` for a request without a grant.
    pub(crate) fn new(view: &View, settings: &ApiSettings, now: Timestamp) -> Option<Self> {
        let request = &view.request;
        let grant = request.grant.as_ref()?;
        Some(Self {
            grant: grant.into(),
            state: request.state.as_str(),
            resource: text(&grant.resource.name),
            policy: text(&grant.policy),
            request_id: text(request.id),
            request_url: settings.request_url(request.id),
            remaining: RemainingView::new(grant, view.used, now),
        })
    }
}

impl RemainingView {
    pub(super) fn new(grant: &Grant, last_used: Option<Timestamp>, now: Timestamp) -> Self {
        let left = |end: Timestamp| Span::between(now, end).map_or(0, |span| span.as_millis() / 1000);
        let idle_from = last_used.unwrap_or(grant.not_before);
        Self {
            starts_in: left(grant.not_before),
            expires_in: left(grant.not_after),
            unused_in: (grant.use_within.filter(|_| last_used.is_none()))
                .map(|span| left(span.after(grant.not_before))),
            idle_in: grant.idle_timeout.map(|span| left(span.after(idle_from))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{active, at};

    #[test]
    fn what_is_left_of_a_grant() {
        let left = |now, last_used: Option<i64>| {
            let grant = active().request.grant.unwrap();
            RemainingView::new(&grant, last_used.map(at), at(now))
        };
        let row = |starts_in, expires_in, unused_in, idle_in| RemainingView {
            starts_in,
            expires_in,
            unused_in,
            idle_in,
        };
        assert_eq!(left(0, None), row(300, 3900, Some(1200), Some(900)));
        assert_eq!(left(6, None), row(0, 3540, Some(840), Some(540)));
        assert_eq!(left(12, Some(10)), row(0, 3180, None, Some(480)));
        assert_eq!(left(90, Some(10)), row(0, 0, None, Some(0)));
    }
}
