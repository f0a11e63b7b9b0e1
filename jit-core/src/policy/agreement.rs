//! Who must agree to a request: stages, automatic rules, and the glass that may be broken.

use std::collections::BTreeSet;

use crate::id::StageName;
use crate::policy::condition::Condition;
use crate::policy::entry::EntryCompiler;
use crate::policy::model;
use crate::policy::source::At;
use crate::policy::terms::{AutomaticRule, BreakGlassTerms, DurationTerms, MfaTerms, StageTerms};
use crate::span::Span;

/// Most stages of one policy.
const STAGES_MAX: usize = 16;
/// Most automatic rules of one policy.
const RULES_MAX: usize = 32;

const DEFAULT_REVIEW_WITHIN: Span = Span::minutes(24 * 60);

impl<'t> EntryCompiler<'_, 't> {
    /// Who must agree is said outright, and once.
    pub(super) fn route(&mut self) {
        let (policy, at) = (self.policy, self.at);
        match (policy.approval, policy.stages.is_empty()) {
            (Some(model::Approval::Automatic), false) => self.error(
                at.key("approval"),
                "has stages and approval = \"automatic\"",
                "take one of them out; `automatic` rules let some requests pass without the stages",
            ),
            (None, true) if policy.automatic.is_empty() => self.error(
                at,
                "does not say who must agree",
                "give it stages, or say approval = \"automatic\"",
            ),
            (None, true) => self.error(
                at.key("automatic"),
                "has automatic rules alone: what none of them answers could never be approved",
                "give it stages for the rest, or say approval = \"automatic\"",
            ),
            (Some(model::Approval::Automatic), true) if !policy.automatic.is_empty() => self.error(
                at.key("automatic"),
                "has automatic rules and approval = \"automatic\", which approves everything",
                "take one of them out",
            ),
            (Some(model::Approval::Automatic), true) | (None, false) => {}
        }
    }

    pub(super) fn stages(&mut self, pending_timeout: Span) -> Vec<StageTerms> {
        let (policy, at) = (self.policy, self.at.key("stages"));
        if policy.stages.len() > STAGES_MAX {
            self.error(
                at,
                format!(
                    "has {} stages; at most {STAGES_MAX} are read",
                    policy.stages.len()
                ),
                "raise the quorum of fewer stages",
            );
            return Vec::new();
        }
        let mut seen = BTreeSet::new();
        let mut stages = Vec::new();
        for (n, stage) in policy.stages.iter().enumerate() {
            let at = at.item(n);
            let name = stage.name.clone().unwrap_or_else(|| format!("stage-{}", n + 1));
            if !seen.insert(name.clone()) {
                self.error(
                    at.key("name"),
                    format!("has two stages {name:?}"),
                    "give each a name of its own",
                );
            }
            stages.extend(self.stage(stage, &name, at, pending_timeout));
        }
        stages
    }

    fn stage(
        &mut self,
        stage: &model::Stage,
        name: &str,
        at: At<'t>,
        pending_timeout: Span,
    ) -> Option<StageTerms> {
        let approvers = self.people(&stage.approvers, at.key("approvers"));
        let escalate_to = stage.escalate_to.as_ref();
        let escalate_to = escalate_to.map(|people| self.people(people, at.key("escalate_to")));
        let escalate_after = self.span(stage.escalate_after.as_deref(), at.key("escalate_after"));
        if approvers.is_empty() {
            self.error(
                at.key("approvers"),
                format!("has a stage {name:?} without approvers"),
                "give it roles or persons",
            );
        }
        if stage.quorum == 0 {
            self.error(
                at.key("quorum"),
                format!("has a stage {name:?} with quorum 0, which nobody has to fill"),
                "write at least 1, or say approval = \"automatic\" instead of stages",
            );
        }
        // Roles may have any number of members; persons are counted.
        let sets = || std::iter::once(&approvers).chain(&escalate_to);
        let persons: BTreeSet<_> = sets().flat_map(|people| &people.persons).collect();
        if sets().all(|people| people.roles.is_empty())
            && !persons.is_empty()
            && persons.len() < usize::from(stage.quorum)
        {
            self.error(
                at.key("quorum"),
                format!(
                    "has a stage {name:?} with quorum {} and {} persons",
                    stage.quorum,
                    persons.len()
                ),
                "name more persons or a role, or lower the quorum",
            );
        }
        match (&stage.escalate_after, &escalate_to) {
            (Some(_), None) => self.error(
                at.key("escalate_after"),
                format!("has a stage {name:?} that escalates to nobody"),
                "say escalate_to, or take escalate_after out",
            ),
            (None, Some(_)) => self.error(
                at.key("escalate_to"),
                format!("has a stage {name:?} that never escalates"),
                "say escalate_after, or take escalate_to out",
            ),
            (Some(_), Some(people)) if people.is_empty() => self.error(
                at.key("escalate_to"),
                format!("has a stage {name:?} that escalates to nobody"),
                "give escalate_to roles or persons",
            ),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if escalate_after.is_some_and(|after| after >= pending_timeout) {
            self.warn(
                at.key("escalate_after"),
                format!("stage {name:?} never escalates: the request times out after {pending_timeout}"),
                "make it shorter than pending_timeout",
            );
        }
        let mfa = stage.mfa.as_ref().and_then(|mfa| self.mfa(mfa, at.key("mfa")));
        let parsed = self.take(at.key("name"), StageName::new(name), "name it like \"lead\"");
        Some(StageTerms {
            name: parsed?,
            approvers,
            quorum: stage.quorum,
            escalate_after,
            escalate_to,
            mfa,
        })
    }

    pub(super) fn rules(&mut self, longest: Span) -> (Vec<AutomaticRule>, Vec<Condition>) {
        let (policy, at) = (self.policy, self.at.key("automatic"));
        if policy.automatic.len() > RULES_MAX {
            self.error(
                at,
                format!(
                    "has {} automatic rules; at most {RULES_MAX} are read",
                    policy.automatic.len()
                ),
                "join conditions with `||`",
            );
            return (Vec::new(), Vec::new());
        }
        let mut compiled = Vec::new();
        for (n, rule) in policy.automatic.iter().enumerate() {
            let at = at.item(n);
            let max = self.span(rule.max.as_deref(), at.key("max"));
            if let Some(max) = max.filter(|max| *max > longest) {
                self.warn(
                    at.key("max"),
                    format!(
                        "automatic rule {} has max {max} over duration.max {longest}",
                        n + 1
                    ),
                    "lower it, or leave it out",
                );
            }
            match Condition::compile(&rule.when) {
                Ok(condition) => compiled.push((
                    AutomaticRule {
                        when: rule.when.clone(),
                        max,
                    },
                    condition,
                )),
                Err(problem) => self.error(
                    at.key("when"),
                    format!("has an automatic rule {}: {problem}", n + 1),
                    problem.mend(),
                ),
            }
        }
        compiled.into_iter().unzip()
    }

    pub(super) fn break_glass(
        &mut self,
        duration: &DurationTerms,
        mfa: Option<&MfaTerms>,
    ) -> Option<BreakGlassTerms> {
        let (keys, at) = (self.policy.break_glass.as_ref()?, self.at.key("break_glass"));
        let requesters = self.people(&keys.requesters, at.key("requesters"));
        if requesters.is_empty() {
            self.error(
                at.key("requesters"),
                "has a break_glass that nobody may use",
                "give break_glass.requesters roles or persons, or take break_glass out",
            );
        }
        let max = self.span(Some(&keys.max), at.key("max"));
        if let Some(max) = max.filter(|max| *max > duration.max) {
            self.warn(
                at.key("max"),
                format!(
                    "break_glass.max {max} is longer than duration.max {}",
                    duration.max
                ),
                "make an emergency shorter than what people agree to",
            );
        }
        let review_within = self.span(keys.review_within.as_deref(), at.key("review_within"));
        let asked = keys.mfa.as_ref().map(|mfa| self.mfa(mfa, at.key("mfa")));
        if asked == Some(None) && mfa.is_some() {
            self.warn(
                at.key("mfa"),
                "breaking the glass needs no MFA, and asking does",
                "take `required = false` out of break_glass.mfa",
            );
        }
        Some(BreakGlassTerms {
            requesters,
            max: max?,
            review_within: review_within.unwrap_or(DEFAULT_REVIEW_WITHIN),
            mfa: asked.unwrap_or_else(|| Some(mfa.cloned().unwrap_or(MfaTerms::default()))),
        })
    }
}
