//! What rules across one person's requests need to know: caps, pace, cooldowns, debts, and keys of repeated askings.
//!
//! One stream for each person, written in the same transaction as the request that it counts, so that two askings at once can't
//! both find the last free place. Its state is the fold of the person's request events: deadlines are kept with every entry, and
//! an entry whose deadline has passed counts for nothing, whether or not that has been written down.

use std::collections::{BTreeMap, VecDeque};

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::approval::event::{EndCause, Event, IdempotencyKey};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::id::{PolicyName, RequestId, ResourceName, Timestamp};
use crate::span::Span;

/// Limits on what one person can have open.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Pending requests.
    pub pending: usize,
    /// New requests a minute, on average.
    pub per_minute: u32,
    /// New requests at once, before that average counts.
    pub burst: u32,
    /// How long after a denial, where the policy does not say.
    pub cooldown: Span,
    /// Approvals that are written down within a minute, in one process: who changes their mind over and over can't fill the log. A
    /// denial always counts.
    pub reviews_per_minute: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pending: 20,
            per_minute: 10,
            burst: 3,
            cooldown: Span::minutes(1),
            reviews_per_minute: 60,
        }
    }
}

/// How many idempotency keys of one person are remembered.
const KEYS_MAX: usize = 64;

/// The folded state of a person's stream.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonState {
    /// Requests that wait.
    pending: BTreeMap<RequestId, Entry>,
    /// Scheduled and active grants.
    live: BTreeMap<RequestId, Entry>,
    /// When the pace limit would have let the last asking come in, had they come evenly.
    paced_until: Option<Timestamp>,
    /// Denials: the resource, and until when it can't be asked for.
    cooling: BTreeMap<ResourceName, Timestamp>,
    /// The break-glass that nobody has looked into yet.
    debt: Option<RequestId>,
    /// Keys seen, oldest first.
    keys: VecDeque<SeenKey>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    resource: ResourceName,
    policy: PolicyName,
    until: Timestamp,
    extends: Option<RequestId>,
    cooldown: Option<Span>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeenKey {
    key: IdempotencyKey,
    request: RequestId,
}

impl PersonState {
    /// The state after an event of one of the person's requests. `request` is that request after the event.
    #[must_use]
    pub fn fold(mut self, request: &Request, event: &Event, at: Timestamp, limits: &Limits) -> Self {
        let id = request.id;
        match event {
            Event::Requested { key, .. } => {
                self.forget(at);
                self.pending.insert(id, entry(request, request.pending_end()));
                self.paced_until = Some(self.paced_until.map_or(at, |until| until.max(at)) + pace(limits));
                if request.break_glass.is_some() {
                    self.debt = Some(id);
                }
                if let Some(key) = key {
                    self.keys.push_back(SeenKey {
                        key: *key,
                        request: id,
                    });
                    while self.keys.len() > KEYS_MAX {
                        self.keys.pop_front();
                    }
                }
            }
            Event::Restated { .. } => {
                self.pending.insert(id, entry(request, request.pending_end()));
            }
            Event::Approved { grant, .. } => {
                self.pending.remove(&id);
                self.live.insert(id, entry(request, grant.not_after));
            }
            Event::Narrowed { not_after, .. } => {
                if let Some(entry) = self.live.get_mut(&id) {
                    entry.until = entry.until.min(*not_after);
                }
            }
            Event::Ended { state, cause, .. } => {
                self.live.remove(&id);
                let waited = self.pending.remove(&id);
                if let (Some(entry), State::Denied, EndCause::Person { .. }) = (waited, state, cause) {
                    let until = entry.cooldown.unwrap_or(limits.cooldown).after(at);
                    self.cooling.insert(entry.resource, until);
                }
            }
            Event::AfterReviewed { .. } => {
                if self.debt == Some(id) {
                    self.debt = None;
                }
            }
            Event::Reviewed { .. }
            | Event::ReviewVoided { .. }
            | Event::StageOpened { .. }
            | Event::Activated
            | Event::Extended { .. }
            | Event::CredentialIssued { .. } => {}
        }
        self
    }

    /// Whether `event` changes anything in here: whether the person's stream must be written with it.
    pub fn concerns(event: &Event) -> bool {
        !matches!(
            event,
            Event::Reviewed { .. }
                | Event::ReviewVoided { .. }
                | Event::StageOpened { .. }
                | Event::Activated
                | Event::Extended { .. }
                | Event::CredentialIssued { .. }
        )
    }

    /// The request that an earlier asking with this key made.
    ///
    /// # Errors
    /// [`Refused::Invalid`] when the key was used for something else.
    pub fn seen(&self, key: &IdempotencyKey) -> Result<Option<RequestId>, Refused> {
        match self.keys.iter().rev().find(|seen| seen.key.key == key.key) {
            None => Ok(None),
            Some(seen) if seen.key.ask == key.ask => Ok(Some(seen.request)),
            Some(_) => Err(Refused::invalid(
                "Idempotency-Key",
                "was used for another asking; take a new key for a new asking",
            )),
        }
    }

    /// Whether one more asking fits.
    ///
    /// # Errors
    /// [`Refused::LimitReached`] with the limit that it does not fit into.
    pub fn admits(&self, request: &Request, limits: &Limits, now: Timestamp) -> Result<(), Refused> {
        let reached = |limit: &str, retry_at, request| {
            Err(Refused::LimitReached {
                limit: limit.to_owned(),
                retry_at,
                request,
            })
        };
        let resource = &request.ruling.resource.name;
        let policy = &request.ruling.terms.policy;
        if let (Some(debt), Some(_)) = (self.debt, &request.break_glass) {
            return reached(
                "your last break-glass has not been reviewed yet",
                None,
                Some(debt),
            );
        }
        let mut pending = self.pending.iter().filter(|(_, entry)| now < entry.until);
        let same = pending
            .clone()
            .find(|(_, e)| e.resource == *resource && e.policy == *policy);
        if let (Some((id, entry)), None) = (same, &request.break_glass) {
            return reached(
                "you have a request for this pending already",
                Some(entry.until),
                Some(*id),
            );
        }
        if pending.by_ref().count() >= limits.pending {
            return reached("you have too many pending requests", None, None);
        }
        if request.break_glass.is_none() {
            if let Some(until) = self.cooling.get(resource).filter(|until| now < **until) {
                return reached("you were denied this a short while ago", Some(*until), None);
            }
            let room = pace(limits) * i32::try_from(limits.burst.saturating_sub(1)).unwrap_or(i32::MAX);
            if let Some(retry_at) = self.paced_until.map(|until| until - room).filter(|at| now < *at) {
                return reached("you are asking too fast", Some(retry_at), None);
            }
        }
        self.holds(request, now)
    }

    /// Whether one more grant fits: asked when it is asked for, and again when it is approved.
    ///
    /// # Errors
    /// [`Refused::LimitReached`] when the policy's `active_per_person` is reached. An extension stands in the place of what it continues
    /// while that is live, and in one of its own afterwards.
    pub fn holds(&self, request: &Request, now: Timestamp) -> Result<(), Refused> {
        let terms = &request.ruling.terms;
        let Some(most) = terms.limits.active_per_person else {
            return Ok(());
        };
        let live = self.live.iter().filter(|(id, entry)| {
            **id != request.id
                && now < entry.until
                && entry.policy == terms.policy
                && self.takes_place(entry.extends, now)
        });
        let held = live.clone().count();
        if self.takes_place(request.extends, now) && held >= usize::try_from(most).unwrap_or(usize::MAX) {
            let first = live.min_by_key(|(_, entry)| entry.until);
            return Err(Refused::LimitReached {
                limit: format!("this policy allows {most} live grants for each person"),
                retry_at: first.map(|(_, entry)| entry.until),
                request: first.map(|(id, _)| *id),
            });
        }
        Ok(())
    }

    fn takes_place(&self, extends: Option<RequestId>, now: Timestamp) -> bool {
        let parent = extends.and_then(|parent| self.live.get(&parent));
        parent.is_none_or(|parent| now >= parent.until)
    }

    /// What is over counts for nothing: dropping it keeps the state bounded.
    fn forget(&mut self, now: Timestamp) {
        self.pending.retain(|_, entry| now < entry.until);
        self.live.retain(|_, entry| now < entry.until);
        self.cooling.retain(|_, until| now < *until);
    }
}

fn entry(request: &Request, until: Timestamp) -> Entry {
    Entry {
        resource: request.ruling.resource.name.clone(),
        policy: request.ruling.terms.policy.clone(),
        until,
        extends: request.extends,
        cooldown: request.ruling.terms.cooldown,
    }
}

fn pace(limits: &Limits) -> TimeDelta {
    TimeDelta::minutes(1) / i32::try_from(limits.per_minute.max(1)).unwrap_or(i32::MAX)
}
