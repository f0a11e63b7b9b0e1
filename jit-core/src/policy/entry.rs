//! `[[policies]]`: from keys to terms, with the parts that are compiled once and asked for every request.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use crate::id::{ParseError, PolicyName, ResourceName};
use crate::policy::condition::Condition;
use crate::policy::lint::Lints;
use crate::policy::model;
use crate::policy::resource::on_line;
use crate::policy::source::At;
use crate::policy::terms::{
    AutomaticTerms, DurationTerms, LimitTerms, MfaTerms, People, ReasonTerms, Terms, TicketTerms,
};
use crate::policy::text::REASON_MAX;
use crate::policy::ticket::TicketPattern;
use crate::span::Span;

/// Most policies in one file.
const POLICIES_MAX: usize = 1_000;
/// Most classes or methods of sign-in in one `mfa`.
const SIGN_IN_NAMES_MAX: usize = 16;
/// Longest of them, in bytes.
const SIGN_IN_NAME_MAX: usize = 128;
/// Most roles, and most persons, in one set of people.
const PEOPLE_MAX: usize = 256;

const DEFAULT_DURATION: Span = Span::minutes(30);
const DEFAULT_MAX: Span = Span::minutes(4 * 60);
const DEFAULT_PENDING: Span = Span::minutes(60);

/// One policy, compiled.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) terms: Terms,
    pub(super) resources: BTreeSet<ResourceName>,
    pub(super) ticket: Option<TicketPattern>,
    /// One for each of the terms' automatic rules.
    pub(super) conditions: Vec<Condition>,
}

/// The policies that are in order. `names` are the file's resources.
pub(super) fn compile_all(
    policies: &[model::Entry],
    at: At<'_>,
    names: &BTreeMap<String, At<'_>>,
    lints: &mut Lints,
) -> Vec<Entry> {
    if policies.len() > POLICIES_MAX {
        lints.error(
            at,
            format!(
                "there are {} policies; at most {POLICIES_MAX} are read",
                policies.len()
            ),
            "let one policy govern several resources",
        );
        return Vec::new();
    }
    let mut seen: BTreeMap<&str, At<'_>> = BTreeMap::new();
    let mut entries = Vec::new();
    for (n, policy) in policies.iter().enumerate() {
        let at = at.item(n);
        if let Some(first) = seen.get(policy.name.as_str()) {
            lints.error(
                at.key("name"),
                format!(
                    "there are two policies {:?}{}",
                    policy.name,
                    on_line(first.line())
                ),
                "give each a name of its own",
            );
        } else {
            seen.insert(&policy.name, at.key("name"));
        }
        entries.extend(EntryCompiler { policy, at, lints }.compile(names));
    }
    entries
}

/// The texts that are in order, as a set.
pub(super) fn texts<T>(listed: &[String], at: At<'_>, lints: &mut Lints) -> BTreeSet<T>
where
    T: std::str::FromStr<Err = ParseError> + Ord,
{
    if listed.len() > PEOPLE_MAX {
        lints.error(
            at,
            format!("there are {} here; at most {PEOPLE_MAX} are read", listed.len()),
            "use a role that they all have",
        );
        return BTreeSet::new();
    }
    listed
        .iter()
        .enumerate()
        .filter_map(|(n, text)| {
            let parsed = text
                .parse::<T>()
                .map_err(|problem| format!("{text:?}: {problem}"));
            lints.take(at.item(n), parsed, "write it as the directory does")
        })
        .collect()
}

/// What one policy is compiled with. Who must agree is compiled in [`crate::policy::agreement`].
pub(super) struct EntryCompiler<'c, 't> {
    pub(super) policy: &'c model::Entry,
    pub(super) at: At<'t>,
    lints: &'c mut Lints,
}

impl<'t> EntryCompiler<'_, 't> {
    // Every part is compiled before any is asked for: one bad part must not hide the next.
    fn compile(mut self, names: &BTreeMap<String, At<'_>>) -> Option<Entry> {
        let (policy, at) = (self.policy, self.at);
        let name = self.take(
            at.key("name"),
            PolicyName::new(&policy.name),
            "name it like \"admin-for-sre\"",
        );
        let resources = self.resources(names);
        let requesters = self.people(&policy.requesters, at.key("requesters"));
        if requesters.is_empty() {
            self.error(
                at.key("requesters"),
                "has no requesters",
                "give it roles or persons",
            );
        }
        let duration = self.duration();
        let pending_timeout = self.span(policy.pending_timeout.as_deref(), at.key("pending_timeout"));
        let pending_timeout = pending_timeout.unwrap_or(DEFAULT_PENDING);
        let use_within = self.span(policy.use_within.as_deref(), at.key("use_within"));
        let idle_timeout = self.span(policy.idle_timeout.as_deref(), at.key("idle_timeout"));
        let cooldown = self.span(policy.cooldown.as_deref(), at.key("cooldown"));
        for (key, span) in [("use_within", use_within), ("idle_timeout", idle_timeout)] {
            if span.is_some_and(|span| span >= duration.max) {
                self.warn(
                    at.key(key),
                    format!(
                        "{key} is never reached: no grant lasts longer than {}",
                        duration.max
                    ),
                    "make it shorter than duration.max",
                );
            }
        }
        let reason = self.reason();
        let ticket = self.ticket();
        let mfa = policy.mfa.as_ref().and_then(|mfa| self.mfa(mfa, at.key("mfa")));
        let limits = self.limits();
        self.route();
        let stages = self.stages(pending_timeout);
        let (rules, conditions) = self.rules(duration.max);
        let break_glass = self.break_glass(&duration, mfa.as_ref());
        Some(Entry {
            terms: Terms {
                policy: name?,
                requesters,
                duration,
                pending_timeout,
                use_within,
                idle_timeout,
                cooldown,
                reason,
                ticket: TicketTerms {
                    required: policy.ticket.required,
                    pattern: policy.ticket.pattern.clone(),
                },
                mfa,
                limits,
                stages,
                automatic: AutomaticTerms {
                    always: policy.approval.is_some(),
                    rules,
                },
                break_glass,
            },
            resources,
            ticket,
            conditions,
        })
    }

    /// `policy "x" has no requesters`.
    pub(super) fn error(&mut self, at: At<'_>, problem: impl Display, mend: &str) {
        let message = format!("policy {:?} {problem}", self.policy.name);
        self.lints.error(at, message, mend);
    }

    /// `policy "x": use_within is never reached`.
    pub(super) fn warn(&mut self, at: At<'_>, problem: impl Display, mend: &str) {
        let message = format!("policy {:?}: {problem}", self.policy.name);
        self.lints.warn(at, message, mend);
    }

    pub(super) fn take<T, E: Display>(&mut self, at: At<'_>, parsed: Result<T, E>, mend: &str) -> Option<T> {
        let name = &self.policy.name;
        let parsed = parsed.map_err(|problem| format!("policy {name:?}: {problem}"));
        self.lints.take(at, parsed, mend)
    }

    pub(super) fn span(&mut self, text: Option<&str>, at: At<'_>) -> Option<Span> {
        let parsed = text?.parse::<Span>();
        let parsed = parsed.map_err(|problem| format!("{:?}: {problem}", text.unwrap_or_default()));
        self.take(at, parsed, "write a length of time such as \"30m\"")
    }

    pub(super) fn people(&mut self, people: &model::PeopleKeys, at: At<'_>) -> People {
        People {
            roles: texts(&people.roles, at.key("roles"), self.lints),
            persons: texts(&people.persons, at.key("persons"), self.lints),
        }
    }

    fn resources(&mut self, names: &BTreeMap<String, At<'_>>) -> BTreeSet<ResourceName> {
        let at = self.at.key("resources");
        if self.policy.resources.is_empty() {
            self.error(at, "governs no resources", "name at least one");
        }
        let mut known = BTreeSet::new();
        for (n, name) in self.policy.resources.iter().enumerate() {
            if names.contains_key(name) {
                // A known name that is not a name was reported where the resource stands.
                known.extend(ResourceName::new(name));
            } else {
                self.error(
                    at.item(n),
                    format!("names resource {name:?}, which does not exist"),
                    "add a [[resources]] entry of that name, or correct the name",
                );
            }
        }
        known
    }

    fn duration(&mut self) -> DurationTerms {
        let (keys, at) = (&self.policy.duration, self.at.key("duration"));
        let max = self
            .span(keys.max.as_deref(), at.key("max"))
            .unwrap_or(DEFAULT_MAX);
        let default = self.span(keys.default.as_deref(), at.key("default"));
        let default = default.unwrap_or(DEFAULT_DURATION.min(max));
        let max_total = self
            .span(keys.max_total.as_deref(), at.key("max_total"))
            .unwrap_or(max);
        if default > max {
            self.error(
                at.key("default"),
                format!("has duration.default {default} over duration.max {max}"),
                "raise duration.max, or lower duration.default",
            );
        }
        if max > max_total {
            self.error(
                at.key("max_total"),
                format!("has duration.max {max} over duration.max_total {max_total}"),
                "raise duration.max_total, or leave it out to forbid extensions",
            );
        }
        DurationTerms {
            default,
            max,
            max_total,
        }
    }

    fn reason(&mut self) -> ReasonTerms {
        let (keys, at) = (&self.policy.reason, self.at.key("reason"));
        if usize::from(keys.min_length) > REASON_MAX {
            self.error(
                at.key("min_length"),
                format!(
                    "wants a reason of {} characters, and takes at most {REASON_MAX}",
                    keys.min_length
                ),
                "lower reason.min_length",
            );
        }
        ReasonTerms {
            required: keys.required,
            min_length: keys.min_length,
        }
    }

    fn ticket(&mut self) -> Option<TicketPattern> {
        let pattern = self.policy.ticket.pattern.as_deref()?;
        let at = self.at.key("ticket").key("pattern");
        let compiled = TicketPattern::new(pattern).map_err(|problem| format!("ticket.pattern {problem}"));
        self.take(at, compiled, "write a regular expression such as 'INC-\\d+'")
    }

    pub(super) fn mfa(&mut self, keys: &model::Mfa, at: At<'_>) -> Option<MfaTerms> {
        let max_age = self.span(keys.max_age.as_deref(), at.key("max_age"));
        if max_age.is_some_and(|age| age.as_millis() < 1000) {
            self.error(
                at.key("max_age"),
                "has an mfa.max_age below a second, and a challenge tells it in whole seconds",
                "write at least \"1s\"",
            );
        }
        let acr = self.sign_in_names("acr", keys.acr.as_deref(), at.key("acr"));
        let amr: BTreeSet<_> = self
            .sign_in_names("amr", keys.amr.as_deref(), at.key("amr"))
            .into_iter()
            .collect();
        for weak in amr
            .iter()
            .filter(|name| matches!(name.as_str(), "pwd" | "kba" | "pin"))
        {
            self.warn(
                at.key("amr"),
                format!("mfa.amr is satisfied by {weak:?}, which is one thing that somebody knows"),
                "take it out; a second factor is one of mfa, otp, hwk, swk, fpt, face",
            );
        }
        for (key, written) in [
            ("acr", keys.acr.is_some()),
            ("amr", keys.amr.is_some()),
            ("max_age", keys.max_age.is_some()),
        ] {
            if written && !keys.required {
                self.error(
                    at,
                    format!("has an mfa.{key} for an MFA that is not required"),
                    &format!("say required = true, or take {key} out"),
                );
            }
        }
        keys.required.then_some(MfaTerms { acr, amr, max_age })
    }

    /// The values of `acr` or `amr`. A challenge (RFC 9470 §3) tells classes in one quoted string with spaces between them, so a name
    /// is what an OAuth scope may be (RFC 6749 §3.3).
    fn sign_in_names(&mut self, key: &str, names: Option<&[String]>, at: At<'_>) -> Vec<String> {
        let Some(names) = names else {
            return Vec::new();
        };
        if names.is_empty() || names.len() > SIGN_IN_NAMES_MAX {
            self.error(
                at,
                format!("has an mfa.{key} of {} names", names.len()),
                &format!("name 1 to {SIGN_IN_NAMES_MAX}, or take {key} out"),
            );
        }
        for (n, name) in names.iter().enumerate() {
            let plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
            if name.is_empty() || name.len() > SIGN_IN_NAME_MAX || !name.bytes().all(plain) {
                self.error(
                    at.item(n),
                    format!("has the mfa.{key} {name:?}, which can't be told in a challenge"),
                    "write 1 to 128 visible ASCII characters without spaces, quotes and backslashes, as your issuer does",
                );
            }
            if names.iter().take(n).any(|earlier| earlier == name) {
                self.error(
                    at.item(n),
                    format!("has the mfa.{key} {name:?} twice"),
                    "name it once",
                );
            }
        }
        names.to_vec()
    }

    fn limits(&mut self) -> LimitTerms {
        let (keys, at) = (&self.policy.limits, self.at.key("limits"));
        for (key, zero) in [
            ("requests", keys.requests == Some(0)),
            ("bytes", keys.bytes == Some(0)),
            ("concurrent", keys.concurrent == Some(0)),
            ("active_per_person", keys.active_per_person == Some(0)),
        ] {
            if zero {
                self.error(
                    at.key(key),
                    format!("has limits.{key} 0, under which no grant is of use"),
                    "write at least 1, or take it out for no limit",
                );
            }
        }
        LimitTerms {
            requests: keys.requests,
            bytes: keys.bytes,
            concurrent: keys.concurrent,
            active_per_person: keys.active_per_person,
        }
    }
}
