//! Seats and who may fill them; what a set of reviews grants.

use std::collections::BTreeSet;

use crate::approval::command::Panel;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::{Decision, Narrowing, Review};
use crate::broker::directory::Person;
use crate::id::{PersonId, Timestamp};
use crate::policy::terms::{Scope, StageTerms, covers};
use crate::span::Span;

impl Request {
    /// Whether `person` may fill a seat of stage `index` at `now`. The requester's person never may.
    pub fn may_fill(&self, index: u16, person: &Person, now: Timestamp) -> bool {
        let Some(stage) = self.stage_terms(index) else {
            return false;
        };
        if person.id == self.requester.person || !self.was_listed(index, &person.id) {
            return false;
        }
        let escalated = index == self.stage
            && stage
                .escalate_after
                .is_some_and(|after| now >= after.after(self.stage_since));
        stage.approvers.includes(person)
            || (escalated
                && stage
                    .escalate_to
                    .as_ref()
                    .is_some_and(|people| people.includes(person)))
    }

    /// Whether `person` may review this request in some stage, now or after an escalation. They may see it, deny it, and revoke what it
    /// becomes.
    pub fn may_review(&self, person: &Person) -> bool {
        person.id != self.requester.person
            && self
                .ruling
                .terms
                .stages
                .iter()
                .zip(0..)
                .any(|(stage, index)| stage.could_review(person) && self.was_listed(index, &person.id))
    }

    pub(super) fn stage_terms(&self, index: u16) -> Option<&StageTerms> {
        self.ruling.terms.stages.get(usize::from(index))
    }

    /// Someone who joins a role after the asking does not join its approvers.
    fn was_listed(&self, index: u16, person: &PersonId) -> bool {
        match self.approvers.get(usize::from(index)) {
            Some(Some(listed)) => listed.contains(person),
            Some(None) => true,
            None => false,
        }
    }

    /// A seat once filled stays filled while its person could fill it again.
    fn still_fills(&self, review: &Review, person: Option<&Person>) -> bool {
        review.decision == Decision::Approve
            && review.digest == self.digest
            && person.is_some_and(|person| {
                person.id == review.person
                    && person.id != self.requester.person
                    && self.was_listed(review.stage, &person.id)
                    && self
                        .stage_terms(review.stage)
                        .is_some_and(|stage| stage.could_review(person))
            })
    }

    /// The reviews that no longer count.
    pub(super) fn void_reviews(&self, panel: &Panel) -> Vec<PersonId> {
        self.reviews
            .iter()
            .filter(|review| !self.still_fills(review, panel.reviewers.get(&review.person)))
            .map(|review| review.person.clone())
            .collect()
    }

    /// Whether `person` is the requester and may still have what was asked for, under the terms it was asked under.
    pub fn may_hold(&self, person: &Person) -> bool {
        let terms = &self.ruling.terms;
        person.id == self.requester.person
            && match (&self.break_glass, &terms.break_glass) {
                (None, _) => terms.requesters.includes(person),
                (Some(_), Some(glass)) => glass.requesters.includes(person),
                (Some(_), None) => false,
            }
    }

    pub(super) fn requester_stands(&self, panel: &Panel) -> bool {
        panel
            .requester
            .as_ref()
            .is_some_and(|person| self.may_hold(person))
    }
}

/// The first stage of `request` that `reviews` leave short; the number of stages if none is.
pub(super) fn open_stage(request: &Request, reviews: &[Review]) -> u16 {
    let short = |index: u16, quorum: u16| {
        let persons: BTreeSet<&PersonId> = reviews
            .iter()
            .filter(|review| review.stage == index && review.decision == Decision::Approve)
            .map(|review| &review.person)
            .collect();
        persons.len() < usize::from(quorum.max(1))
    };
    let mut stages = (0..).zip(&request.ruling.terms.stages);
    let all = u16::try_from(request.ruling.terms.stages.len()).unwrap_or(u16::MAX);
    stages
        .find(|(index, stage)| short(*index, stage.quorum))
        .map_or(all, |(index, _)| index)
}

/// What a set of reviews leaves of the asking: the intersection of all of them, whatever their order.
pub(super) struct Remainder {
    pub(super) scope: Scope,
    pub(super) duration: Span,
    pub(super) max_requests: Option<u64>,
}

/// Narrows the asking by every review.
///
/// # Errors
/// [`Refused::Invalid`] when a narrowing widens something, or when they leave nothing together.
pub(super) fn remainder<'a>(
    request: &Request,
    narrowings: impl IntoIterator<Item = &'a Narrowing>,
) -> Result<Remainder, Refused> {
    let ruling = &request.ruling;
    let mut left = Remainder {
        scope: ruling.scope.clone(),
        duration: ruling.duration,
        max_requests: ruling.max_requests,
    };
    for narrowing in narrowings {
        check_narrower(request, narrowing)?;
        left.duration = narrowing.duration.map_or(left.duration, |d| d.min(left.duration));
        left.scope.methods = intersect_methods(&left.scope.methods, &narrowing.methods)
            .ok_or_else(|| Refused::invalid("methods", "leave none that every reviewer agreed to"))?;
        left.scope.paths = intersect_paths(&left.scope.paths, &narrowing.paths)
            .ok_or_else(|| Refused::invalid("paths", "leave none that every reviewer agreed to"))?;
        left.max_requests = match (left.max_requests, narrowing.max_requests) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(left)
}

fn check_narrower(request: &Request, narrowing: &Narrowing) -> Result<(), Refused> {
    let ruling = &request.ruling;
    if narrowing
        .duration
        .is_some_and(|duration| duration > ruling.duration)
    {
        return Err(Refused::invalid(
            "duration",
            format!("may only be shortened: at most {}", ruling.duration),
        ));
    }
    let asked = if ruling.scope.methods.is_empty() {
        &ruling.resource.methods
    } else {
        &ruling.scope.methods
    };
    if !asked.is_empty() && !narrowing.methods.is_subset(asked) {
        return Err(Refused::invalid(
            "methods",
            "may only be fewer than were asked for",
        ));
    }
    if narrowing.methods.iter().any(|method| !is_method(method)) {
        return Err(Refused::invalid(
            "methods",
            "must be HTTP methods in capitals, such as GET",
        ));
    }
    let asked = if ruling.scope.paths.is_empty() {
        &ruling.resource.paths
    } else {
        &ruling.scope.paths
    };
    if !narrowing
        .paths
        .iter()
        .all(|path| asked.iter().any(|prefix| covers(prefix, path)))
    {
        return Err(Refused::invalid(
            "paths",
            "may only lie at or below those that were asked for",
        ));
    }
    match (narrowing.max_requests, ruling.max_requests) {
        (Some(0), _) => Err(Refused::invalid(
            "max_requests",
            "must be at least 1; deny instead",
        )),
        (Some(n), Some(max)) if n > max => Err(Refused::invalid(
            "max_requests",
            format!("may only be lowered: at most {max}"),
        )),
        _ => Ok(()),
    }
}

fn is_method(text: &str) -> bool {
    (1..=32).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-')
}

/// `None` when both name some and share none; an empty set names no limit.
fn intersect_methods(a: &BTreeSet<String>, b: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if a.is_empty() || b.is_empty() {
        return Some(if a.is_empty() { b.clone() } else { a.clone() });
    }
    let both: BTreeSet<String> = a.intersection(b).cloned().collect();
    (!both.is_empty()).then_some(both)
}

/// Likewise for path prefixes: of two of which one covers the other, the deeper is what both cover.
pub(crate) fn intersect_paths(a: &BTreeSet<String>, b: &BTreeSet<String>) -> Option<BTreeSet<String>> {
    if a.is_empty() || b.is_empty() {
        return Some(if a.is_empty() { b.clone() } else { a.clone() });
    }
    let mut both = BTreeSet::new();
    for x in a {
        for y in b {
            if covers(x, y) {
                both.insert(y.clone());
            } else if covers(y, x) {
                both.insert(x.clone());
            }
        }
    }
    (!both.is_empty()).then_some(both)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|item| (*item).to_owned()).collect()
    }

    #[test]
    fn the_deeper_of_two_paths_is_what_both_cover() {
        for (a, b, want) in [
            (
                &["/admin"][..],
                &["/admin/users"][..],
                Some(&["/admin/users"][..]),
            ),
            (&["/admin/users"], &["/admin"], Some(&["/admin/users"])),
            (&["/a", "/b"], &["/b/c", "/d"], Some(&["/b/c"])),
            (&["/a"], &["/b"], None),
            (&[], &["/b"], Some(&["/b"])),
            (&["/a"], &[], Some(&["/a"])),
        ] {
            assert_eq!(intersect_paths(&set(a), &set(b)), want.map(set), "{a:?} {b:?}");
        }
    }

    #[test]
    fn no_shared_method_is_not_every_method() {
        assert_eq!(intersect_methods(&set(&["GET"]), &set(&["PUT"])), None);
        assert_eq!(intersect_methods(&set(&[]), &set(&["PUT"])), Some(set(&["PUT"])));
    }
}
