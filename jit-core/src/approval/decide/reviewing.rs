//! What a review comes to: of a request that waits, of one that is approved already, and of a broken glass.

use crate::approval::ask::Actor;
use crate::approval::command::Panel;
use crate::approval::deadlines::ended;
use crate::approval::event::{AfterReview, ApprovedBy, EndCause, Event, Finding};
use crate::approval::evidence::{Evidence, Unfit};
use crate::approval::quorum::{open_stage, remainder};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::{Decision, Opinion, Review};
use crate::approval::state::State;
use crate::id::Timestamp;
use crate::policy::text::{REASON_MAX, clean};

impl Request {
    /// Everything that makes a review count, in the order in which a caller should learn of it.
    fn check_reviewer(&self, by: &Actor) -> Result<(), Refused> {
        if self.is_by(by) {
            return Err(Refused::SelfReview);
        }
        if !self.may_review(&by.person) {
            return Err(Refused::NotEligible);
        }
        Ok(())
    }

    pub(super) fn review(
        &self,
        by: &Actor,
        opinion: &Opinion,
        evidence: Option<&Evidence>,
        panel: &Panel,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refused> {
        self.check_reviewer(by)?;
        if opinion.digest != self.digest {
            return Err(Refused::StaleDigest { current: self.digest });
        }
        let comment = clean(&opinion.comment);
        if comment.chars().count() > REASON_MAX {
            return Err(Refused::invalid(
                "comment",
                format!("must be at most {REASON_MAX} characters"),
            ));
        }
        let mine = self.reviews.iter().find(|review| review.person == by.person.id);
        // A seat once taken is kept, so that one person never fills two.
        let stage = mine.map_or(self.stage, |review| review.stage);
        let review = Review {
            principal: by.principal.clone(),
            person: by.person.id.clone(),
            name: by.person.name.clone(),
            stage,
            decision: opinion.decision,
            digest: opinion.digest,
            comment,
            narrowing: opinion.narrowing.clone(),
            at: now,
            evidence: evidence.cloned().map(Box::new),
        };
        if let Some(evidence) = evidence {
            let unfit = |unfit: Unfit| Refused::invalid("evidence", unfit.to_string());
            evidence.check(&review).map_err(unfit)?;
        }
        match opinion.decision {
            Decision::Deny => {
                self.step_up(stage, by, now)?;
                let reason = review.comment.clone();
                let cause = EndCause::actor(by);
                Ok(vec![
                    Event::Reviewed { review },
                    ended(State::Denied, cause, &reason, now),
                ])
            }
            Decision::Approve => {
                // The same again; but what is signed now and was not before has something to add.
                let adds = |old: &Review| old.evidence.is_none() && review.evidence.is_some();
                if mine.is_some_and(|old| {
                    old.narrowing == review.narrowing && old.decision == review.decision && !adds(old)
                }) {
                    return Ok(Vec::new());
                }
                if mine.is_none() && !self.may_fill(stage, &by.person, now) {
                    return Err(Refused::NotEligible);
                }
                self.step_up(stage, by, now)?;
                self.count(review, panel, now)
            }
        }
    }

    /// The seat's own stage says how strongly who fills it must have signed in, also when it is not the one that is open.
    fn step_up(&self, stage: u16, by: &Actor, now: Timestamp) -> Result<(), Refused> {
        match self.stage_terms(stage).and_then(|stage| stage.mfa.as_ref()) {
            Some(terms) if !by.assurance.satisfies(terms, now) => {
                Err(Refused::StepUp { terms: terms.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Counts an approval: drops the reviews that no longer count, opens the stage that is now short, and grants when none is.
    fn count(&self, review: Review, panel: &Panel, now: Timestamp) -> Result<Vec<Event>, Refused> {
        let void = self.void_reviews(panel);
        let others = self
            .reviews
            .iter()
            .filter(|old| old.person != review.person && !void.contains(&old.person));
        let counted: Vec<Review> = others.cloned().chain([review.clone()]).collect();
        // Even when more must agree: an approval that leaves nothing to grant is refused to the one who gives it.
        remainder(self, counted.iter().map(|review| &review.narrowing))?;

        let gone = void.into_iter().filter(|person| *person != review.person);
        let mut events: Vec<Event> = gone
            .map(|person| Event::ReviewVoided {
                person,
                reason: "no longer eligible to review this".to_owned(),
            })
            .collect();
        events.push(Event::Reviewed { review });
        let stage = open_stage(self, &counted);
        if stage != self.stage {
            events.push(Event::StageOpened { stage });
        }
        if self.stage_terms(stage).is_some() {
            return Ok(events);
        }
        if self.requester_stands(panel) {
            let by = ApprovedBy::Quorum(counted.iter().map(|review| review.person.clone()).collect());
            events.extend(self.approved(by, counted.iter().map(|review| &review.narrowing), now)?);
        } else {
            events.push(ended(
                State::Denied,
                EndCause::Recheck,
                "the requester is no longer eligible",
                now,
            ));
        }
        Ok(events)
    }

    /// A review that comes after the decision. The same one again is harmless; anything else is too late.
    pub(super) fn late_review(
        &self,
        state: State,
        by: &Actor,
        opinion: &Opinion,
    ) -> Result<Vec<Event>, Refused> {
        self.check_reviewer(by)?;
        if opinion.digest != self.digest {
            return Err(Refused::StaleDigest { current: self.digest });
        }
        let again = self.reviews.iter().any(|review| {
            review.person == by.person.id
                && review.decision == opinion.decision
                && review.narrowing == opinion.narrowing
        });
        if again {
            Ok(Vec::new())
        } else {
            Err(Refused::AlreadyDecided { state })
        }
    }

    pub(super) fn after_review(
        &self,
        state: State,
        by: &Actor,
        finding: Finding,
        comment: &str,
        now: Timestamp,
    ) -> Result<Vec<Event>, Refused> {
        if self.is_by(by) {
            return Err(Refused::SelfReview);
        }
        let Some(debt) = &self.break_glass else {
            return Err(Refused::AlreadyDecided { state });
        };
        let comment = clean(comment);
        if comment.chars().count() > REASON_MAX {
            return Err(Refused::invalid(
                "comment",
                format!("must be at most {REASON_MAX} characters"),
            ));
        }
        match &debt.review {
            Some(old) if old.person == by.person.id && old.finding == finding => Ok(Vec::new()),
            Some(_) => Err(Refused::AlreadyDecided { state }),
            None => Ok(vec![Event::AfterReviewed {
                review: AfterReview {
                    principal: by.principal.clone(),
                    person: by.person.id.clone(),
                    finding,
                    comment,
                    at: now,
                },
            }]),
        }
    }
}
