//! What a policy makes of an asking: who may ask is settled first, so that a stranger learns nothing about what exists; then what
//! is asked, then how the requester signed in, then who must agree.

use std::collections::BTreeSet;

use crate::approval::ask::{Actor, Ask, Route, Ruling};
use crate::approval::refused::Refused;
use crate::broker::directory::Person;
use crate::id::Timestamp;
use crate::policy::compile::Policy;
use crate::policy::entry::Entry;
use crate::policy::places::{check_method, check_path};
use crate::policy::terms::{BreakGlassTerms, ResourceDef, Scope, Terms, covers};
use crate::policy::text::{REASON_MAX, clean};
use crate::policy::ticket::TICKET_MAX;
use crate::span::Span;

/// Most methods, and most paths, that one request may name.
const SCOPE_MAX: usize = 32;
/// How far ahead a window may start.
const START_MAX: Span = Span::minutes(30 * 24 * 60);
/// Longest reason as it comes in, in bytes: cleaning is not free.
const RAW_REASON_MAX: usize = 16 * REASON_MAX;

/// Something that a person may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// What.
    pub resource: ResourceDef,
    /// Under which terms: who must agree is in there.
    pub terms: Terms,
    /// Whether this is for breaking the glass. A policy that a person may both ask and break the glass under is two offers.
    pub break_glass: bool,
}

impl Policy {
    /// What this policy makes of `ask` by `actor`.
    ///
    /// The asking's own words decide together with the policy. What other requests decide (caps, debts, lockdowns, the end of the
    /// grant that `extends` names) is the broker's to check.
    ///
    /// # Errors
    /// [`Refused::NotEligible`] before anything else is looked at: for an unknown resource or policy, a policy that does not govern
    /// the resource, and a person who may not ask under it, all alike. Then [`Refused::Invalid`] with the field and what would be
    /// right. Then [`Refused::StepUp`].
    pub fn rule(&self, ask: &Ask, actor: &Actor, now: Timestamp) -> Result<Ruling, Refused> {
        let person = &actor.person;
        let resource = self.resource(&ask.resource).ok_or(Refused::NotEligible)?;
        let entry = self
            .entries_of(&ask.resource)
            .filter(|entry| ask.policy.as_ref().is_none_or(|name| *name == entry.terms.policy))
            .find(|entry| eligible(&entry.terms, person, ask.break_glass))
            .ok_or(Refused::NotEligible)?;
        let terms = &entry.terms;
        let glass = terms.break_glass.as_ref().filter(|_| ask.break_glass);

        check_together(ask)?;
        let reason = reason(&ask.reason, terms)?;
        let ticket = ticket(ask.ticket.as_deref(), entry)?;
        let duration = duration(ask.duration, terms, glass)?;
        check_start(ask.start, now)?;
        let scope = Scope {
            methods: methods(&ask.methods, resource)?,
            paths: paths(&ask.paths, resource)?,
        };
        let max_requests = budget("max_requests", ask.max_requests, terms.limits.requests)?;
        let max_bytes = budget("max_bytes", ask.max_bytes, terms.limits.bytes)?;

        let mfa = glass.map_or(terms.mfa.as_ref(), |glass| glass.mfa.as_ref());
        if let Some(mfa) = mfa.filter(|mfa| !actor.assurance.satisfies(mfa, now)) {
            return Err(Refused::StepUp { terms: mfa.clone() });
        }

        let mut ruling = Ruling {
            terms: terms.clone(),
            resource: resource.clone(),
            scope,
            duration,
            start: ask.start,
            reason,
            ticket,
            max_requests,
            max_bytes,
            selector: ask.selector,
            route: if glass.is_some() {
                Route::BreakGlass
            } else {
                Route::Stages
            },
        };
        if ruling.route == Route::Stages {
            ruling.route = route(entry, actor, &ruling, now);
        }
        Ok(ruling)
    }

    /// The same asking by `person` under this policy: for requests that are pending when the policy changes.
    ///
    /// What was asked for stays; budgets that this policy lowers are lowered. A start that has come meanwhile is no reason to
    /// refuse, unless the whole window has passed. How the requester signed in was checked when they asked. Who must agree never
    /// becomes nobody: stages stay stages, and an automatic approval stays one only if the same rule is still there.
    ///
    /// # Errors
    /// [`Refused::NotEligible`] or [`Refused::Invalid`] when this policy does not permit it.
    pub fn restate(&self, ruling: &Ruling, person: &Person, now: Timestamp) -> Result<Ruling, Refused> {
        let name = &ruling.resource.name;
        let resource = self.resource(name).ok_or(Refused::NotEligible)?;
        let breaking = ruling.route == Route::BreakGlass;
        let entry = self
            .entries_of(name)
            .filter(|entry| entry.terms.policy == ruling.terms.policy)
            .find(|entry| eligible(&entry.terms, person, breaking))
            .ok_or(Refused::NotEligible)?;
        let terms = &entry.terms;
        let glass = terms.break_glass.as_ref().filter(|_| breaking);

        if ruling
            .start
            .is_some_and(|start| ruling.duration.after(start) <= now)
        {
            return Err(Refused::invalid(
                "start",
                "lies so far back that the window has passed",
            ));
        }
        let smaller = |asked: Option<u64>, limit: Option<u64>| asked.into_iter().chain(limit).min();
        Ok(Ruling {
            scope: Scope {
                methods: methods(&ruling.scope.methods, resource)?,
                paths: paths(&ruling.scope.paths, resource)?,
            },
            duration: duration(Some(ruling.duration), terms, glass)?,
            start: ruling.start,
            reason: reason(&ruling.reason, terms)?,
            ticket: ticket(ruling.ticket.as_deref(), entry)?,
            max_requests: smaller(ruling.max_requests, terms.limits.requests),
            max_bytes: smaller(ruling.max_bytes, terms.limits.bytes),
            selector: ruling.selector,
            route: restated_route(ruling, terms)?,
            terms: terms.clone(),
            resource: resource.clone(),
        })
    }

    /// Everything that `person` may ask for, by resource and then policy in file order.
    pub fn offers(&self, person: &Person) -> Vec<Offer> {
        let mut offers = Vec::new();
        for resource in self.resources() {
            for terms in self.policies_of(&resource.name) {
                let kinds = [false, true].into_iter();
                offers.extend(
                    kinds
                        .filter(|break_glass| eligible(terms, person, *break_glass))
                        .map(|break_glass| Offer {
                            resource: resource.clone(),
                            terms: terms.clone(),
                            break_glass,
                        }),
                );
            }
        }
        offers
    }
}

/// Whether `person` may ask, or break the glass, under `terms`. A disabled person is in no set of people.
fn eligible(terms: &Terms, person: &Person, break_glass: bool) -> bool {
    if break_glass {
        let glass = terms.break_glass.as_ref();
        glass.is_some_and(|glass| glass.requesters.includes(person))
    } else {
        terms.requesters.includes(person)
    }
}

fn check_together(ask: &Ask) -> Result<(), Refused> {
    let problem = |field, other: &str| {
        let problem = format!("can't be given together with `{other}`; leave one of them out");
        Err(Refused::invalid(field, problem))
    };
    if ask.extends.is_some() && ask.break_glass {
        problem("extends", "break_glass")
    } else if ask.extends.is_some() && ask.start.is_some() {
        problem("start", "extends")
    } else if ask.break_glass && ask.start.is_some() {
        problem("start", "break_glass")
    } else {
        Ok(())
    }
}

fn reason(raw: &str, terms: &Terms) -> Result<String, Refused> {
    let too_long = || Refused::invalid("reason", format!("is longer than {REASON_MAX} characters"));
    if raw.len() > RAW_REASON_MAX {
        return Err(too_long());
    }
    let reason = clean(raw);
    let length = reason.chars().count();
    if length > REASON_MAX {
        return Err(too_long());
    }
    let least = usize::from(terms.reason.min_length);
    if reason.is_empty() && terms.reason.required {
        return Err(Refused::invalid("reason", "is required: say why you need access"));
    }
    if length < least && (terms.reason.required || length > 0) {
        let problem = format!("has {length} characters; it needs at least {least}");
        return Err(Refused::invalid("reason", problem));
    }
    Ok(reason)
}

fn ticket(raw: Option<&str>, entry: &Entry) -> Result<Option<String>, Refused> {
    let raw = raw.unwrap_or_default();
    let too_long = || Refused::invalid("ticket", format!("is longer than {TICKET_MAX} characters"));
    if raw.len() > 16 * TICKET_MAX {
        return Err(too_long());
    }
    let ticket = clean(raw);
    if ticket.is_empty() {
        return if entry.terms.ticket.required {
            Err(Refused::invalid(
                "ticket",
                "is required: name the ticket that calls for this",
            ))
        } else {
            Ok(None)
        };
    }
    if ticket.chars().count() > TICKET_MAX {
        return Err(too_long());
    }
    match (&entry.ticket, &entry.terms.ticket.pattern) {
        (Some(compiled), Some(pattern)) if !compiled.matches(&ticket) => {
            Err(Refused::invalid("ticket", format!("does not match {pattern}")))
        }
        _ => Ok(Some(ticket)),
    }
}

fn duration(asked: Option<Span>, terms: &Terms, glass: Option<&BreakGlassTerms>) -> Result<Span, Refused> {
    let max = glass.map_or(terms.duration.max, |glass| glass.max);
    let duration = asked.unwrap_or_else(|| terms.duration.default.min(max));
    if duration > max {
        let kind = if glass.is_some() {
            "a break-glass"
        } else {
            "this policy"
        };
        return Err(Refused::invalid(
            "duration",
            format!("is {duration}; {kind} allows at most {max}"),
        ));
    }
    Ok(duration)
}

fn check_start(start: Option<Timestamp>, now: Timestamp) -> Result<(), Refused> {
    match start {
        Some(start) if start < now => Err(Refused::invalid(
            "start",
            "is past; leave it out to start as soon as approved",
        )),
        Some(start) if start > START_MAX.after(now) => Err(Refused::invalid(
            "start",
            format!("is more than {START_MAX} ahead"),
        )),
        _ => Ok(()),
    }
}

fn methods<'a, M>(asked: M, resource: &ResourceDef) -> Result<BTreeSet<String>, Refused>
where
    M: IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>,
{
    let asked = bounded("methods", asked)?;
    let mut kept = BTreeSet::new();
    for method in asked {
        if let Err(problem) = check_method(method) {
            let problem = format!("has {method:?}, which {}; {}", problem.what, problem.mend);
            return Err(Refused::invalid("methods", problem));
        }
        if !resource.methods.is_empty() && !resource.methods.contains(method) {
            let all: Vec<&str> = resource.methods.iter().map(String::as_str).collect();
            let problem = format!("has {method:?}; the resource has {}", all.join(", "));
            return Err(Refused::invalid("methods", problem));
        }
        kept.insert(method.clone());
    }
    Ok(kept)
}

fn paths<'a, P>(asked: P, resource: &ResourceDef) -> Result<BTreeSet<String>, Refused>
where
    P: IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>,
{
    let asked = bounded("paths", asked)?;
    let mut kept = BTreeSet::new();
    for path in asked {
        if let Err(problem) = check_path(path) {
            let problem = format!("has {path:?}, which {}; {}", problem.what, problem.mend);
            return Err(Refused::invalid("paths", problem));
        }
        if !resource.paths.iter().any(|prefix| covers(prefix, path)) {
            let all: Vec<&str> = resource.paths.iter().map(String::as_str).collect();
            let problem = format!(
                "has {path:?}; the resource is {} and what is below",
                all.join(", ")
            );
            return Err(Refused::invalid("paths", problem));
        }
        kept.insert(path.clone());
    }
    Ok(kept)
}

fn bounded<I>(field: &'static str, asked: I) -> Result<I::IntoIter, Refused>
where
    I: IntoIterator<IntoIter: ExactSizeIterator>,
{
    let asked = asked.into_iter();
    if asked.len() > SCOPE_MAX {
        let problem = format!("has {} entries; at most {SCOPE_MAX} may be named", asked.len());
        return Err(Refused::invalid(field, problem));
    }
    Ok(asked)
}

fn budget(field: &'static str, asked: Option<u64>, limit: Option<u64>) -> Result<Option<u64>, Refused> {
    match (asked, limit) {
        (Some(0), _) => Err(Refused::invalid(field, "must be at least 1, or left out")),
        (Some(asked), Some(limit)) if asked > limit => Err(Refused::invalid(
            field,
            format!("is {asked}; this policy allows at most {limit}"),
        )),
        (asked, limit) => Ok(asked.or(limit)),
    }
}

/// Who must agree to a request that breaks no glass.
fn route(entry: &Entry, actor: &Actor, ruling: &Ruling, now: Timestamp) -> Route {
    let automatic = &entry.terms.automatic;
    if automatic.always {
        return Route::Automatic { rule: None };
    }
    let rules = automatic.rules.iter().zip(&entry.conditions);
    for (n, (rule, condition)) in (0..).zip(rules) {
        let short = rule.max.is_none_or(|max| ruling.duration <= max);
        if short && condition.holds(actor, ruling, now) {
            return Route::Automatic { rule: Some(n) };
        }
    }
    Route::Stages
}

/// Who must agree to a request that was asked under other terms.
fn restated_route(ruling: &Ruling, terms: &Terms) -> Result<Route, Refused> {
    let stages = || {
        if terms.stages.is_empty() {
            Err(Refused::invalid("policy", "has no stages any more; ask again"))
        } else {
            Ok(Route::Stages)
        }
    };
    match ruling.route {
        Route::BreakGlass => Ok(Route::BreakGlass),
        Route::Automatic { .. } if terms.automatic.always => Ok(Route::Automatic { rule: None }),
        Route::Automatic { rule: Some(n) } => {
            let held = ruling.terms.automatic.rules.get(usize::from(n));
            let mut rules = (0..).zip(&terms.automatic.rules);
            let same = rules.find(|(_, rule)| {
                held.is_some_and(|held| held.when == rule.when)
                    && rule.max.is_none_or(|max| ruling.duration <= max)
            });
            same.map_or_else(stages, |(n, _)| Ok(Route::Automatic { rule: Some(n) }))
        }
        Route::Stages | Route::Automatic { rule: None } => stages(),
    }
}
