//! What time alone does to a request.
//!
//! The deadlines are in the request; whether they have passed is computed from `now` at each look. That an end has been written
//! down adds history, not meaning.

use crate::approval::event::{EndCause, Event};
use crate::approval::grant::Grant;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::id::Timestamp;
use crate::span::Span;

/// A scheduled grant may be activated this long before its window opens; it admits from `not_before` all the same.
pub const ACTIVATION_LEAD: Span = match Span::seconds(5) {
    Ok(span) => span,
    Err(_) => Span::MAX,
};

impl Request {
    /// The state that holds at `now`, whatever has been written down: deadlines count by themselves. `used` is the latest use known.
    pub fn state_at(&self, used: Option<Timestamp>, now: Timestamp) -> State {
        self.due(used, now).map_or(self.state, |(state, _, _)| state)
    }

    /// This request as it stands at `now`: with the end that time has brought about, if it has.
    pub fn effective(mut self, used: Option<Timestamp>, now: Timestamp) -> Self {
        for event in self.lapse(used, now) {
            if let Event::Ended {
                state,
                cause,
                reason,
                at,
            } = event
            {
                self.state = state;
                self.end = Some(crate::approval::request::End { at, cause, reason });
            }
        }
        self
    }

    /// The next moment at which time alone changes something: a deadline, or when a scheduled grant may be activated.
    pub fn next_deadline(&self, used: Option<Timestamp>) -> Option<Timestamp> {
        match self.state {
            State::Pending => Some(self.pending_end()),
            State::Scheduled => self.grant.as_ref().map(|grant| {
                grant
                    .not_before
                    .checked_sub_signed(ACTIVATION_LEAD.as_delta())
                    .unwrap_or(grant.not_before)
            }),
            State::Active => self.ends(used).map(|(at, _, _)| at).min(),
            _ => None,
        }
    }

    /// A scheduled window that is over can't be granted any more: the asking dies with it.
    pub(super) fn pending_end(&self) -> Timestamp {
        match self.ruling.start {
            Some(start) => self.pending_until.min(self.ruling.duration.after(start)),
            None => self.pending_until,
        }
    }

    fn ends(&self, used: Option<Timestamp>) -> impl Iterator<Item = (Timestamp, State, &'static str)> {
        let grant = self.grant.as_ref();
        let closes = grant.map(|g| (g.not_after, State::Expired, "its window closed"));
        let unused = grant
            .filter(|_| used.is_none())
            .and_then(|g| g.use_within.map(|span| span.after(g.not_before)))
            .map(|at| (at, State::Unused, "it was not used in time"));
        // Before the first use the first-use limit rules, where there is one.
        let idle = grant
            .filter(|g| used.is_some() || g.use_within.is_none())
            .and_then(|g| {
                g.idle_timeout
                    .map(|span| span.after(used.unwrap_or(g.not_before).max(g.not_before)))
            })
            .map(|at| (at, State::IdleExpired, "it was idle for too long"));
        [closes, unused, idle].into_iter().flatten()
    }

    fn due(&self, used: Option<Timestamp>, now: Timestamp) -> Option<(State, Timestamp, &'static str)> {
        match self.state {
            State::Pending => {
                let end = self.pending_end();
                (now >= end).then_some((State::TimedOut, end, "nobody decided in time"))
            }
            State::Scheduled => self
                .grant
                .as_ref()
                .filter(|grant| now >= grant.not_after)
                .map(|grant| {
                    (
                        State::Expired,
                        grant.not_after,
                        "its window closed before it was activated",
                    )
                }),
            State::Active => self
                .ends(used)
                .filter(|(at, _, _)| now >= *at)
                .min_by_key(|(at, _, _)| *at)
                .map(|(at, state, reason)| (state, at, reason)),
            _ => None,
        }
    }

    pub(super) fn lapse(&self, used: Option<Timestamp>, now: Timestamp) -> Vec<Event> {
        self.due(used, now)
            .map(|(state, at, reason)| ended(state, EndCause::Limit, reason, at))
            .into_iter()
            .collect()
    }
}

pub(super) fn activation_from(grant: &Grant) -> Timestamp {
    grant
        .not_before
        .checked_sub_signed(ACTIVATION_LEAD.as_delta())
        .unwrap_or(grant.not_before)
}

pub(super) fn ended(state: State, cause: EndCause, reason: &str, at: Timestamp) -> Event {
    Event::Ended {
        state,
        cause,
        reason: reason.to_owned(),
        at,
    }
}
