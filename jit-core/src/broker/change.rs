//! Changing requests: load, decide, append, publish; and again when the compare-and-set is lost.

use tokio::sync::watch;

use crate::approval::ask::Actor;
use crate::approval::event::{EndCause, Event, Finding};
use crate::approval::evidence::Evidence;
use crate::approval::person::PersonState;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::{Decision, Opinion};
use crate::approval::state::State;
use crate::approval::{Command, fold};
use crate::broker::loading::{Loaded, encode, facets};
use crate::broker::reload::NOT_PERMITTED;
use crate::broker::store::{Batch, Draft, Facets, Position, StoreError, StreamId, Version, Write};
use crate::broker::{Broker, Rejection, View};
use crate::gate::cut::Cut;
use crate::id::{Digest, GrantId, PersonId, RequestId, Timestamp};

/// How often a lost compare-and-set is tried again. Each loss means that someone else got through.
const TRIES: usize = 256;
/// How many extensions of one grant are revoked with it in one transaction. Where there are more, the last of them go before.
const DESCENDANTS_MAX: usize = 32;

/// What is wanted of one request.
#[derive(Debug)]
pub(super) enum Intent<'a> {
    Review {
        by: &'a Actor,
        opinion: &'a Opinion,
        evidence: Option<&'a Evidence>,
    },
    Withdraw {
        by: &'a Actor,
        reason: &'a str,
    },
    Release {
        by: &'a Actor,
        reason: &'a str,
    },
    Revoke {
        by: &'a Actor,
        reason: &'a str,
    },
    AfterReview {
        by: &'a Actor,
        finding: Finding,
        comment: &'a str,
    },
    Issue {
        by: &'a Actor,
        credential: Digest,
    },
    Kill {
        cause: EndCause,
        reason: &'a str,
    },
    Activate,
    Lapse,
    Exhaust,
}

/// One request's part in a change.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) version: Version,
    pub(super) before: Option<Request>,
    pub(super) events: Vec<Event>,
}

impl Broker {
    /// Does `intent` to a request, or finds it done. A revocation that has shut the gate and is not known to be written is owed from
    /// then on, whatever kept it: also when the caller no longer waits for the answer.
    pub(super) async fn act(&self, id: RequestId, intent: &Intent<'_>) -> Result<View, Rejection> {
        let mut owing = Owing {
            broker: self,
            id,
            what: None,
        };
        let outcome = self.try_act(id, intent, &mut owing).await;
        if matches!(outcome, Ok(_) | Err(Rejection::Refused(_))) {
            owing.what = None;
        }
        outcome
    }

    async fn try_act<'i>(
        &self,
        id: RequestId,
        intent: &Intent<'i>,
        owing: &mut Owing<'_, 'i>,
    ) -> Result<View, Rejection> {
        let came_in = self.now();
        let mut paced = !approves(intent);
        for attempt in 0..TRIES {
            let loaded = self.request(id).await?;
            self.authorise(&loaded.state, intent)?;
            let now = self.now();
            let used = self.last_use(&loaded.state).await?;
            let events = match self.decide(&loaded, intent, used, now).await {
                // Another approval got there while this one was under way: both were right, and both are told so.
                Err(Rejection::Refused(Refused::AlreadyDecided {
                    state: State::Scheduled | State::Active,
                })) if approves(intent) && (attempt > 0 || loaded.state.changed_at > came_in) => Vec::new(),
                other => other?,
            };
            if events.is_empty() {
                return Ok(View {
                    request: loaded.state.effective(used, now),
                    version: loaded.version,
                    used,
                });
            }
            if let (false, Intent::Review { by, .. }) = (paced, intent) {
                let most = self.inner.limits.reviews_per_minute;
                self.inner.review_pace.take(&by.person.id, most, now)?;
                paced = true;
            }
            if let Some(why) = taken_away(&events) {
                self.inner.enforcer.shut(GrantId::from(id), why);
                owing.what = owed(intent);
            }
            match self.carry_out(loaded, events, now).await {
                Err(Rejection::Store(StoreError::Conflict { .. })) => {}
                Err(failure) => return Err(failure),
                // A review of a grant that is over writes to a request that is stored as if it were not.
                Ok(view) => {
                    return Ok(View {
                        request: view.request.effective(used, now),
                        used,
                        ..view
                    });
                }
            }
        }
        Err(StoreError::unavailable("too many others are changing the same request; try again").into())
    }

    /// Who may do what, where the machine can't know. Whoever may not even see the request learns nothing.
    fn authorise(&self, request: &Request, intent: &Intent<'_>) -> Result<(), Rejection> {
        let by = match intent {
            Intent::Review { by, .. }
            | Intent::Withdraw { by, .. }
            | Intent::Release { by, .. }
            | Intent::Revoke { by, .. }
            | Intent::Issue { by, .. }
            | Intent::AfterReview { by, .. } => by,
            Intent::Kill { .. } | Intent::Activate | Intent::Lapse | Intent::Exhaust => return Ok(()),
        };
        if !self.may_see(by, request) {
            return Err(Refused::NotFound.into());
        }
        let reviewer = request.may_review(&by.person);
        let may = match intent {
            Intent::Revoke { .. } => reviewer || self.powers(by).revoker,
            Intent::AfterReview { .. } => {
                // A policy without stages has no reviewers of its own.
                let own = request.requester.person == by.person.id;
                own || reviewer || self.powers(by).revoker
            }
            _ => true,
        };
        if may {
            Ok(())
        } else {
            Err(Refused::NotEligible.into())
        }
    }

    async fn decide(
        &self,
        loaded: &Loaded<Request>,
        intent: &Intent<'_>,
        used: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Rejection> {
        let request = &loaded.state;
        let panel;
        let command = match intent {
            Intent::Review {
                by,
                opinion,
                evidence,
            } => {
                let lockdowns = self.unlocked(by).await?;
                panel = self.panel(request, &lockdowns, now).await?;
                Command::Review {
                    by,
                    opinion,
                    evidence: *evidence,
                    panel: &panel,
                }
            }
            Intent::Activate => {
                let lockdowns = self.lockdown_state().await?.state;
                panel = self.panel(request, &lockdowns, now).await?;
                let policy = self.policy();
                let fallen =
                    |holder| request.may_hold(holder) && policy.stands(&request.ruling, holder).is_none();
                if panel.requester.as_ref().is_some_and(fallen) {
                    // A policy change that has not reached this request yet.
                    Command::Kill {
                        cause: EndCause::Policy,
                        reason: NOT_PERMITTED,
                    }
                } else {
                    Command::Activate { panel: &panel }
                }
            }
            Intent::Withdraw { by, reason } => Command::Withdraw { by, reason },
            Intent::Release { by, reason } => Command::Release { by, reason },
            Intent::Revoke { by, reason } => Command::Revoke { by, reason },
            Intent::AfterReview { by, finding, comment } => {
                self.unlocked(by).await?;
                Command::AfterReview {
                    by,
                    finding: *finding,
                    comment,
                }
            }
            Intent::Issue { by, credential } => {
                self.unlocked(by).await?;
                Command::Issue {
                    by,
                    credential: *credential,
                }
            }
            Intent::Kill { cause, reason } => Command::Kill {
                cause: cause.clone(),
                reason,
            },
            Intent::Lapse => Command::Lapse,
            Intent::Exhaust => Command::Exhaust,
        };
        Ok(request.decide(&command, used, now)?)
    }

    /// Writes the events of one request, with what they entail for its requester's other requests.
    async fn carry_out(
        &self,
        loaded: Loaded<Request>,
        events: Vec<Event>,
        now: Timestamp,
    ) -> Result<View, Rejection> {
        let request = &loaded.state;
        let mut unchanged = Vec::new();
        let mut person = self.person(&request.requester.person).await?;
        if grants(&events) {
            // What is granted must fit beside everything else that this person holds, and no lockdown may stand against it, at the
            // moment of writing: both streams are part of the compare-and-set.
            person.state.holds(request, now)?;
            let lockdowns = self.lockdown_state().await?;
            if let Some(holder) = self
                .inner
                .directory
                .resolve(&request.requester.principal, now)
                .await?
            {
                let resource = &request.ruling.resource.name;
                if let Some(l) = lockdowns
                    .state
                    .access(&request.requester.principal, &holder, resource)
                {
                    return Err(Refused::LockedDown {
                        reason: l.reason.clone(),
                    }
                    .into());
                }
            }
            unchanged.push((StreamId::Lockdowns, lockdowns.version));
        }
        let mut kills = Vec::new();
        let revokes = revokes(&events);
        if revokes {
            kills = self.kill_descendants(request, now).await?;
            while kills.len() > DESCENDANTS_MAX {
                let last = kills.split_off(kills.len() - DESCENDANTS_MAX);
                self.commit(last, &mut person, Vec::new(), now).await?;
                person = self.person(&request.requester.person).await?;
            }
        }
        let mut parts = vec![Part {
            version: loaded.version,
            before: Some(loaded.state),
            events,
        }];
        parts.append(&mut kills);
        let mut views = self.commit(parts, &mut person, unchanged, now).await?;
        if views.is_empty() {
            return Err(StoreError::Invalid {
                problem: "a change without a part".to_owned(),
            }
            .into());
        }
        Ok(views.swap_remove(0))
    }

    /// Appends the parts of one change, all of requests of one person, and publishes what became of them.
    pub(super) async fn commit(
        &self,
        parts: Vec<Part>,
        person: &mut Loaded<PersonState>,
        unchanged: Vec<(StreamId, Version)>,
        now: Timestamp,
    ) -> Result<Vec<View>, Rejection> {
        let mut writes = Vec::with_capacity(parts.len() + 1);
        let mut views = Vec::with_capacity(parts.len());
        let mut owner: Option<PersonId> = None;
        for part in parts {
            let mut request = part.before;
            let mut drafts = Vec::with_capacity(part.events.len());
            for event in &part.events {
                let after = fold(request.take(), event, now).map_err(|misfit| StoreError::Damaged {
                    what: misfit.to_string(),
                })?;
                if PersonState::concerns(event) {
                    owner = Some(after.requester.person.clone());
                    let state = std::mem::take(&mut person.state);
                    person.state = state.fold(&after, event, now, &self.inner.limits);
                }
                drafts.push(Draft {
                    at: now,
                    body: encode(event)?,
                });
                request = Some(after);
            }
            let Some(request) = request else { continue };
            writes.push(Write {
                stream: StreamId::Request(request.id),
                expected: part.version,
                events: drafts,
                state: encode(&request)?,
                facets: facets(&request),
            });
            views.push(View {
                request,
                version: part.version + 1,
                used: None,
            });
        }
        if let Some(owner) = owner {
            writes.push(Write {
                stream: StreamId::Person(owner),
                expected: person.version,
                events: Vec::new(),
                state: encode(&person.state)?,
                facets: Facets::default(),
            });
        }
        let records = self.inner.store.append(Batch { writes, unchanged }).await?;
        for view in &views {
            self.publish(view.version, &view.request);
        }
        if let Some(last) = records.last() {
            self.announce(last.position);
        }
        Ok(views)
    }

    /// Tells the gate and the agenda what a request is now.
    pub(super) fn publish(&self, version: Version, request: &Request) {
        self.inner.enforcer.publish(version, request);
        self.inner.agenda.put(version, request);
    }

    /// Tells whoever waits that requests or lockdowns were written up to `position`.
    pub(super) fn announce(&self, position: Position) {
        move_up(&self.inner.decisions, position);
        self.announce_other(position);
    }

    /// Tells whoever waits that something else was.
    pub(super) fn announce_other(&self, position: Position) {
        move_up(&self.inner.changes, position);
    }
}

fn move_up(known: &watch::Sender<Position>, position: Position) {
    known.send_if_modified(|known| {
        let newer = position > *known;
        *known = (*known).max(position);
        newer
    });
}

/// A revocation that has shut the gate. Dropped while there is one that is not known to be written, the sweeper tries again; the gate
/// stays shut.
struct Owing<'a, 'i> {
    broker: &'a Broker,
    id: RequestId,
    what: Option<(EndCause, &'i str)>,
}

impl Drop for Owing<'_, '_> {
    fn drop(&mut self) {
        if let Some((cause, reason)) = self.what.take() {
            tracing::error!(request = %self.id, "a revocation was not written; the gate stays shut and it is tried again");
            self.broker.inner.agenda.owe(self.id, cause, reason.to_owned());
        }
    }
}

fn owed<'i>(intent: &Intent<'i>) -> Option<(EndCause, &'i str)> {
    match intent {
        Intent::Revoke { by, reason } | Intent::Release { by, reason } => {
            Some((EndCause::actor(by), *reason))
        }
        Intent::Kill { cause, reason } => Some((cause.clone(), *reason)),
        _ => None,
    }
}

fn approves(intent: &Intent<'_>) -> bool {
    matches!(intent, Intent::Review { opinion, .. } if opinion.decision == Decision::Approve)
}

/// Whether a grant comes to be, or begins to admit.
fn grants(events: &[Event]) -> bool {
    events
        .iter()
        .any(|event| matches!(event, Event::Approved { .. } | Event::Activated))
}

fn revokes(events: &[Event]) -> bool {
    events.iter().any(|event| {
        matches!(
            event,
            Event::Ended {
                state: State::Revoked,
                ..
            }
        )
    })
}

/// Whether someone or something ends a grant before its time: the gate is shut before that is written.
fn taken_away(events: &[Event]) -> Option<Cut> {
    events.iter().find_map(|event| match event {
        Event::Ended {
            state: state @ (State::Revoked | State::Released | State::Exhausted),
            ..
        } => Some(Cut::of(*state)),
        _ => None,
    })
}
