//! The machine's decisions: state × command × now → events, or a refusal.

mod reviewing;

use crate::approval::ask::{Actor, Route, Selector};
use crate::approval::command::{Command, Panel};
use crate::approval::credential::{CREDENTIALS_MAX, GrantCredential};
use crate::approval::deadlines::{activation_from, ended};
use crate::approval::event::{ApprovedBy, EndCause, Event, IdempotencyKey};
use crate::approval::grant::Grant;
use crate::approval::quorum::{open_stage, remainder};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::{Narrowing, Review};
use crate::approval::state::State;
use crate::id::{Digest, GrantId, Timestamp};
use crate::policy::terms::covers;
use crate::policy::text::clean;

/// The first events of a request: it was asked, and, where nobody has to agree, granted at once.
///
/// # Errors
/// [`Refused::Invalid`] when the window would be over before it opens.
pub fn open(request: Request, key: Option<IdempotencyKey>, now: Timestamp) -> Result<Vec<Event>, Refused> {
    let by = match &request.ruling.route {
        Route::Stages => None,
        Route::Automatic { rule } => Some(ApprovedBy::Automatic(*rule)),
        Route::BreakGlass => Some(ApprovedBy::BreakGlass),
    };
    let mut events = match by {
        Some(by) => request.approved(by, [], now)?,
        None => Vec::new(),
    };
    events.insert(
        0,
        Event::Requested {
            request: Box::new(request),
            key,
        },
    );
    Ok(events)
}

impl Request {
    /// What `command` does to this request at `now`, when its grant was last used at `used` as far as any gate has told. No events: it
    /// is done already, or there is nothing to do.
    ///
    /// # Errors
    /// [`Refused`] when it can't be done; nothing changes.
    pub fn decide(
        &self,
        command: &Command<'_>,
        used: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refused> {
        use State::{Active, Denied, Pending, Released, Revoked, Scheduled, Withdrawn};
        let state = self.state_at(used, now);
        match (state, command) {
            (_, Command::Lapse) => Ok(self.lapse(used, now)),
            (_, Command::AfterReview { by, finding, comment }) => {
                self.after_review(state, by, *finding, comment, now)
            }
            (
                Pending,
                Command::Review {
                    by,
                    opinion,
                    evidence,
                    panel,
                },
            ) => self.review(by, opinion, *evidence, panel, now),
            (_, Command::Review { by, opinion, .. }) => self.late_review(state, by, opinion),
            (Pending, Command::Withdraw { by, reason }) => {
                self.own(by)?;
                Ok(vec![ended(Withdrawn, EndCause::actor(by), reason, now)])
            }
            (Scheduled | Active, Command::Release { by, reason }) => {
                self.own(by)?;
                Ok(vec![ended(Released, EndCause::actor(by), reason, now)])
            }
            (Scheduled | Active, Command::Revoke { by, reason }) => {
                Ok(vec![ended(Revoked, EndCause::actor(by), reason, now)])
            }
            (Scheduled, Command::Activate { panel }) => Ok(self.activate(panel, now)),
            // Activated before, by a call that did not hear the answer.
            (Active, Command::Activate { .. }) => Ok(Vec::new()),
            (Pending, Command::Kill { cause, reason }) => Ok(vec![ended(Denied, cause.clone(), reason, now)]),
            (Scheduled | Active, Command::Kill { cause, reason }) => {
                Ok(vec![ended(Revoked, cause.clone(), reason, now)])
            }
            (
                Pending,
                Command::Restate {
                    ruling,
                    digest,
                    approvers,
                },
            ) => {
                if **ruling == self.ruling {
                    return Ok(Vec::new());
                }
                let mut request = self.clone();
                request.ruling = (*ruling).clone();
                request.digest = *digest;
                request.approvers = approvers.to_vec();
                request.reviews.clear();
                request.stage = 0;
                request.stage_since = now;
                request.changed_at = now;
                request.pending_until = self
                    .pending_until
                    .min(ruling.terms.pending_timeout.after(self.asked_at));
                Ok(vec![Event::Restated {
                    request: Box::new(request),
                }])
            }
            (
                Scheduled | Active,
                Command::Narrow {
                    not_after,
                    scope,
                    reason,
                },
            ) => {
                let Some(grant) = &self.grant else {
                    return Err(Refused::AlreadyDecided { state });
                };
                let not_after = grant.not_after.min(*not_after);
                let inside = |path: &String| {
                    grant.scope.paths.is_empty()
                        || grant.scope.paths.iter().any(|prefix| covers(prefix, path))
                };
                let wider = (scope.methods.is_empty() && !grant.scope.methods.is_empty())
                    || !(grant.scope.methods.is_empty() || scope.methods.is_subset(&grant.scope.methods))
                    || (scope.paths.is_empty() && !grant.scope.paths.is_empty())
                    || !scope.paths.iter().all(inside);
                if wider {
                    return Err(Refused::invalid("scope", "may only become narrower"));
                }
                if not_after == grant.not_after && **scope == grant.scope {
                    return Ok(Vec::new());
                }
                Ok(vec![Event::Narrowed {
                    not_after,
                    scope: (*scope).clone(),
                    reason: clean(reason),
                }])
            }
            (Scheduled | Active, Command::Extend { by }) => Ok(vec![Event::Extended { by: *by }]),
            (Scheduled | Active, Command::Issue { by, credential }) => {
                let credential = self.issue(by, *credential, now)?;
                Ok(vec![Event::CredentialIssued { credential }])
            }
            (Active, Command::Exhaust) => Ok(vec![ended(
                State::Exhausted,
                EndCause::Limit,
                "its budget is used up",
                now,
            )]),
            (_, _) => Err(Refused::AlreadyDecided { state }),
        }
    }

    fn own(&self, by: &Actor) -> Result<(), Refused> {
        if by.person.id == self.requester.person {
            Ok(())
        } else {
            Err(Refused::NotEligible)
        }
    }

    /// The credential that the holder may take for the grant. Whoever uses it is as strongly signed in as the holder is now.
    fn issue(&self, by: &Actor, digest: Digest, now: Timestamp) -> Result<GrantCredential, Refused> {
        self.own(by)?;
        // By the very identity that holds it: an identity opens no other one's grants, and so gives no credential for them.
        if by.principal != self.requester.principal {
            return Err(Refused::NotEligible);
        }
        if self.ruling.selector != Selector::Credential {
            return Err(Refused::invalid(
                "selector",
                "of this request is not `credential`: its grant knows its holder by who they are, and needs none",
            ));
        }
        if let Some(terms) = self.grant.as_ref().and_then(|grant| grant.mfa.as_ref())
            && !by.assurance.satisfies(terms, now)
        {
            return Err(Refused::StepUp { terms: terms.clone() });
        }
        let number = self
            .credential
            .as_ref()
            .map_or(0, |last| last.number)
            .saturating_add(1);
        if number > CREDENTIALS_MAX {
            let limit = format!("this grant has had {CREDENTIALS_MAX} credentials; ask for another grant");
            return Err(Refused::LimitReached {
                limit,
                retry_at: None,
                request: Some(self.id),
            });
        }
        Ok(GrantCredential {
            digest,
            assurance: by.assurance.clone(),
            issued_at: now,
            number,
        })
    }

    /// Whether `by` is the requester: by person, or by the very identity that asked should the Directory say now that it is another's.
    fn is_by(&self, by: &Actor) -> bool {
        by.person.id == self.requester.person || by.principal == self.requester.principal
    }

    /// The grant, and its activation if its window is open or nearly so.
    fn approved<'a>(
        &self,
        by: ApprovedBy,
        narrowings: impl IntoIterator<Item = &'a Narrowing>,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refused> {
        let ruling = &self.ruling;
        let left = remainder(self, narrowings)?;
        // Waiting for approval never eats a window that has no set start; one that has does not move.
        let not_before = ruling.start.unwrap_or(now);
        let not_after = left.duration.after(not_before);
        if not_after <= now {
            return Err(Refused::invalid(
                "duration",
                "leaves a window that is already over",
            ));
        }
        let glass = ruling
            .terms
            .break_glass
            .as_ref()
            .filter(|_| self.break_glass.is_some());
        let grant = Grant {
            id: GrantId::from(self.id),
            holder: self.requester.principal.clone(),
            person: self.requester.person.clone(),
            selector: ruling.selector,
            policy: ruling.terms.policy.clone(),
            resource: ruling.resource.clone(),
            scope: left.scope,
            not_before,
            not_after,
            use_within: ruling.terms.use_within,
            idle_timeout: ruling.terms.idle_timeout,
            max_requests: left.max_requests,
            max_bytes: ruling.max_bytes,
            max_concurrent: ruling.terms.limits.concurrent,
            mfa: glass.map_or_else(|| ruling.terms.mfa.clone(), |glass| glass.mfa.clone()),
            extends: self.extends,
        };
        let near = now >= activation_from(&grant);
        let mut events = vec![Event::Approved {
            by,
            grant: Box::new(grant),
        }];
        if near {
            events.push(Event::Activated);
        }
        Ok(events)
    }

    fn activate(&self, panel: &Panel, now: Timestamp) -> Vec<Event> {
        let due = self
            .grant
            .as_ref()
            .is_some_and(|grant| now >= activation_from(grant));
        if !due {
            return Vec::new();
        }
        let revoked = |reason| vec![ended(State::Revoked, EndCause::Recheck, reason, now)];
        if !self.requester_stands(panel) {
            return revoked("the requester is no longer eligible");
        }
        let void = self.void_reviews(panel);
        let counted: Vec<Review> = self
            .reviews
            .iter()
            .filter(|review| !void.contains(&review.person))
            .cloned()
            .collect();
        let by_quorum = matches!(self.ruling.route, Route::Stages);
        if by_quorum && self.stage_terms(open_stage(self, &counted)).is_some() {
            return revoked("those who approved are no longer enough");
        }
        vec![Event::Activated]
    }
}
