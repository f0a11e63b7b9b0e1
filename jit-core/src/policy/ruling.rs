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
        self.every(|terms, break_glass| eligible(terms, person, break_glass))
    }

    /// What others may ask for and `person` may not, as far as `person` would see what becomes of it: whoever could review it in some stage;
    /// auditors and revokers see all of it. In the same order.
    pub fn overseen(&self, person: &Person) -> Vec<Offer> {
        let control = self.control();
        let all = control.is_auditor(person) || control.is_revoker(person);
        self.every(|terms, break_glass| {
            let there_is = !break_glass || terms.break_glass.is_some();
            let sees = all || terms.stages.iter().any(|stage| stage.could_review(person));
            there_is && sees && !eligible(terms, person, break_glass)
        })
    }

    /// What may be asked for under such terms, or by breaking the glass under them, as `wanted` is told.
    fn every(&self, wanted: impl Fn(&Terms, bool) -> bool) -> Vec<Offer> {
        let mut offers = Vec::new();
        for resource in self.resources() {
            for terms in self.policies_of(&resource.name) {
                let kinds = [false, true].into_iter();
                let wanted = kinds.filter(|break_glass| wanted(terms, *break_glass));
                offers.extend(wanted.map(|break_glass| Offer {
                    resource: resource.clone(),
                    terms: terms.clone(),
                    break_glass,
                }));
            }
        }
        offers
    }
}

/// Whether `person` may ask, or break the glass, under `terms`. A disabled person is in no set of people.
pub(super) fn eligible(terms: &Terms, person: &Person, break_glass: bool) -> bool {
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
        let problem = format!("needs at least {least} characters, and has {length}");
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::approval::ask::{Assurance, Selector};
    use crate::id::{PersonId, PolicyName, Principal, RequestId, ResourceName, Role};
    use crate::policy::EXAMPLE;
    use crate::policy::source::Format;

    fn policy(source: &str) -> Policy {
        Policy::parse(source, Format::Toml, "p.toml").unwrap_or_else(|report| panic!("{report}"))
    }

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    fn actor(name: &str, roles: &[&str]) -> Actor {
        Actor {
            principal: Principal::new("https://idp", name).unwrap(),
            person: Person {
                id: PersonId::new(name).unwrap(),
                name: name.to_owned(),
                roles: roles.iter().map(|role| Role::new(role).unwrap()).collect(),
                disabled: false,
                as_of: now(),
            },
            assurance: Assurance {
                methods: vec!["mfa".to_owned()],
                context: None,
                authenticated_at: Some(now()),
            },
            claims: std::collections::BTreeMap::default(),
        }
    }

    fn ask(change: impl FnOnce(&mut Ask)) -> Ask {
        let mut ask = Ask {
            resource: ResourceName::new("admin").unwrap(),
            reason: "the database is on fire".to_owned(),
            duration: None,
            policy: None,
            ticket: None,
            start: None,
            methods: Vec::new(),
            paths: Vec::new(),
            max_requests: None,
            max_bytes: None,
            selector: Selector::Principal,
            extends: None,
            break_glass: false,
        };
        change(&mut ask);
        ask
    }

    fn minutes(minutes: u32) -> Option<Span> {
        Some(Span::minutes(minutes))
    }

    #[test]
    fn an_asking_gets_the_terms_and_defaults_of_its_policy() {
        let policy = policy(EXAMPLE);
        let asked = ask(|ask| {
            ask.reason = " the\ndatabase \u{202e}is on fire ".to_owned();
            ask.ticket = Some(" INC-7 ".to_owned());
            ask.paths = vec!["/admin/db".to_owned()];
            ask.max_requests = Some(5);
        });
        let ruling = policy.rule(&asked, &actor("sam", &["sre"]), now()).unwrap();
        assert_eq!(Some(&ruling.terms), policy.policies().next());
        assert_eq!(Some(&ruling.resource), policy.resources().first());
        assert_eq!((ruling.duration, ruling.start), (Span::minutes(30), None));
        assert_eq!(
            (ruling.reason.as_str(), ruling.ticket.as_deref()),
            ("the database is on fire", Some("INC-7"))
        );
        assert_eq!((ruling.max_requests, ruling.max_bytes), (Some(5), None));
        assert_eq!(ruling.scope.paths, BTreeSet::from(["/admin/db".to_owned()]));
        assert_eq!(ruling.route, Route::Stages);
        let plain = policy.rule(&ask(|_| ()), &actor("sam", &["sre"]), now()).unwrap();
        assert_eq!(plain.max_requests, Some(10_000));
    }

    #[test]
    fn a_stranger_learns_nothing() {
        let policy = policy(EXAMPLE);
        let spoil = |ask: &mut Ask| {
            ask.duration = Some(Span::MAX);
            ask.paths = vec!["nonsense".to_owned()];
            ask.start = Some(Timestamp::MIN_UTC);
        };
        let named = |name: &str| Some(PolicyName::new(name).unwrap());
        let unknown = ResourceName::new("unknown").unwrap();
        let mut disabled = actor("sam", &["sre"]);
        disabled.person.disabled = true;
        let mut unproven = actor("eve", &["other"]);
        unproven.assurance = Assurance::default();
        for (who, asked) in [
            (actor("eve", &[]), ask(spoil)),
            (actor("eve", &["sre-lead", "security"]), ask(spoil)),
            (unproven, ask(|_| ())),
            (disabled, ask(|_| ())),
            (actor("sam", &["sre"]), ask(|ask| ask.resource = unknown.clone())),
            (actor("sam", &["sre"]), ask(|ask| ask.policy = named("other"))),
            (actor("sam", &["sre"]), ask(|ask| ask.break_glass = true)),
            (actor("ivy", &["incident-commander"]), ask(|_| ())),
        ] {
            assert_eq!(
                policy.rule(&asked, &who, now()),
                Err(Refused::NotEligible),
                "{who:?} {asked:?}"
            );
        }
    }

    #[test]
    fn what_is_asked_is_inside_the_policy_or_refused() {
        let source = EXAMPLE.replace("tags = [\"tier-1\"]", "methods = [\"GET\", \"POST\"]");
        let policy = policy(&source.replace("requests = 10000", "requests = 10000, bytes = 1000"));
        let many = vec!["/admin".to_owned(); 33];
        let past = now() - chrono::TimeDelta::seconds(1);
        let far = now() + chrono::TimeDelta::days(31);
        let check = |field: &str, part: &str, change: &dyn Fn(&mut Ask)| {
            let refused = policy.rule(&ask(change), &actor("sam", &["sre", "incident-commander"]), now());
            match refused {
                Err(Refused::Invalid { field: f, problem }) => {
                    assert_eq!(f, field, "{problem}");
                    assert!(problem.contains(part), "{field}: {problem}");
                }
                other => panic!("{field} {part}: {other:?}"),
            }
        };
        check("reason", "is required", &|ask| {
            ask.reason = " \u{200b}\n".to_owned();
        });
        check("reason", "needs at least 10", &|ask| {
            ask.reason = "fire".to_owned();
        });
        check("reason", "longer than 500", &|ask| ask.reason = "x".repeat(501));
        check("reason", "longer than 500", &|ask| {
            ask.reason = " ".repeat(60_000);
        });
        check("ticket", "does not match", &|ask| {
            ask.ticket = Some("INC-7 or so".to_owned());
        });
        check("ticket", "longer than 200", &|ask| {
            ask.ticket = Some("1".repeat(201));
        });
        check("duration", "at most 4h", &|ask| ask.duration = minutes(241));
        check("start", "is past", &|ask| ask.start = Some(past));
        check("start", "ahead", &|ask| ask.start = Some(far));
        check("methods", "the resource has GET, POST", &|ask| {
            ask.methods = vec!["DELETE".to_owned()];
        });
        check("methods", "lower case", &|ask| {
            ask.methods = vec!["get".to_owned()];
        });
        check("methods", "at most 32", &|ask| {
            ask.methods = vec!["GET".to_owned(); 33];
        });
        check("paths", "the resource is /admin", &|ask| {
            ask.paths = vec!["/administrator".to_owned()];
        });
        check("paths", "dot segment", &|ask| {
            ask.paths = vec!["/admin/../x".to_owned()];
        });
        check("paths", "at most 32", &|ask| ask.paths.clone_from(&many));
        check("max_requests", "at most 10000", &|ask| {
            ask.max_requests = Some(10_001);
        });
        check("max_requests", "at least 1", &|ask| ask.max_requests = Some(0));
        check("max_bytes", "at most 1000", &|ask| ask.max_bytes = Some(1_001));
        check("start", "`extends`", &|ask| {
            ask.extends = Some(RequestId::from_u128(1));
            ask.start = Some(now());
        });
        check("extends", "`break_glass`", &|ask| {
            ask.extends = Some(RequestId::from_u128(1));
            ask.break_glass = true;
        });
        check("start", "`break_glass`", &|ask| {
            ask.start = Some(now());
            ask.break_glass = true;
        });
        check("duration", "a break-glass allows at most 30m", &|ask| {
            ask.duration = minutes(31);
            ask.break_glass = true;
        });
        let fine = ask(|ask| {
            ask.start = Some(now());
            ask.duration = minutes(240);
            ask.methods = vec!["GET".to_owned()];
        });
        assert!(policy.rule(&fine, &actor("sam", &["sre"]), now()).is_ok());
    }

    #[test]
    fn a_stale_or_weak_sign_in_is_stepped_up() {
        let policy = policy(EXAMPLE);
        let mut stale = actor("sam", &["sre", "incident-commander"]);
        stale.assurance.authenticated_at = Some(now() - chrono::TimeDelta::minutes(16));
        let mut weak = stale.clone();
        weak.assurance = Assurance {
            methods: vec!["pwd".to_owned()],
            context: None,
            authenticated_at: Some(now()),
        };
        for who in [stale, weak] {
            for glass in [false, true] {
                let refused = policy.rule(&ask(|ask| ask.break_glass = glass), &who, now());
                assert!(matches!(refused, Err(Refused::StepUp { .. })), "{refused:?}");
            }
            // What is wrong with the asking itself comes first.
            let refused = policy.rule(&ask(|ask| ask.reason.clear()), &who, now());
            assert!(matches!(refused, Err(Refused::Invalid { .. })), "{refused:?}");
        }
        let lax = EXAMPLE.replace(
            "review_within = \"24h\"",
            "review_within = \"24h\", mfa = { required = false }",
        );
        let mut unproven = actor("ivy", &["incident-commander"]);
        unproven.assurance = Assurance::default();
        assert!(
            self::policy(&lax)
                .rule(&ask(|ask| ask.break_glass = true), &unproven, now())
                .is_ok()
        );
    }

    #[test]
    fn who_must_agree_follows_from_policy_and_condition() {
        let policy = policy(EXAMPLE);
        for (roles, duration, break_glass, want) in [
            (["sre", "x"], minutes(10), false, Route::Stages),
            (
                ["sre", "on-call"],
                minutes(20),
                false,
                Route::Automatic { rule: Some(0) },
            ),
            (["sre", "on-call"], minutes(21), false, Route::Stages),
            (["sre", "on-call"], None, false, Route::Stages),
            (["on-call", "incident-commander"], None, true, Route::BreakGlass),
        ] {
            let asked = ask(|ask| {
                ask.duration = duration;
                ask.break_glass = break_glass;
            });
            let ruling = policy.rule(&asked, &actor("sam", &roles), now()).unwrap();
            assert_eq!(ruling.route, want, "{roles:?} {duration:?}");
        }
    }

    const TWO: &str = r#"
        [[resources]]
        name = "admin"
        hosts = ["h"]
        paths = ["/admin"]
        [[policies]]
        name = "first"
        resources = ["admin"]
        requesters = { roles = ["lead"] }
        duration = { default = "45m", max = "1h" }
        approval = "automatic"
        [[policies]]
        name = "second"
        resources = ["admin"]
        requesters = { roles = ["lead", "dev"] }
        stages = [{ approvers = { roles = ["lead"] } }]
        break_glass = { requesters = { roles = ["lead", "ops"] }, max = "10m" }
    "#;

    #[test]
    fn the_first_policy_that_fits_governs() {
        let policy = policy(TWO);
        let named = |name: &str| Some(PolicyName::new(name).unwrap());
        for (role, name, break_glass, want) in [
            ("lead", None, false, "first"),
            ("lead", named("second"), false, "second"),
            ("lead", None, true, "second"),
            ("dev", None, false, "second"),
            ("ops", None, true, "second"),
        ] {
            let asked = ask(|ask| {
                ask.policy.clone_from(&name);
                ask.break_glass = break_glass;
            });
            let ruling = policy.rule(&asked, &actor("x", &[role]), now()).unwrap();
            assert_eq!(ruling.terms.policy.as_str(), want, "{role} {name:?}");
            assert_eq!(ruling.route == Route::BreakGlass, break_glass);
        }
        let glass = policy
            .rule(&ask(|ask| ask.break_glass = true), &actor("x", &["ops"]), now())
            .unwrap();
        assert_eq!(glass.duration, Span::minutes(10));
    }

    #[test]
    fn offers_are_what_may_be_asked_for() {
        let policy = policy(TWO);
        let offers = |roles: &[&str]| -> Vec<(String, bool)> {
            let offers = policy.offers(&actor("x", roles).person);
            offers
                .iter()
                .map(|offer| (offer.terms.policy.to_string(), offer.break_glass))
                .collect()
        };
        let row = |name: &str, glass| (name.to_owned(), glass);
        assert_eq!(
            offers(&["lead"]),
            [row("first", false), row("second", false), row("second", true)]
        );
        assert_eq!(offers(&["ops"]), [row("second", true)]);
        assert_eq!(offers(&["other"]), []);
    }

    #[test]
    fn what_others_may_ask_for_is_seen_by_who_would_see_their_requests() {
        let source = TWO.replace(
            "approvers = { roles = [\"lead\"]",
            "approvers = { roles = [\"lead\", \"boss\"]",
        );
        let control = "[control]\nauditors = [\"audit\"]\nrevokers = [\"guard\"]";
        let policy = policy(&format!("{source}\n{control}"));
        let overseen = |roles: &[&str]| -> Vec<(String, bool)> {
            let offers = policy.overseen(&actor("x", roles).person);
            offers
                .iter()
                .map(|offer| (offer.terms.policy.to_string(), offer.break_glass))
                .collect()
        };
        let [first, second, glass] = [("first", false), ("second", false), ("second", true)]
            .map(|(name, break_glass)| (name.to_owned(), break_glass));
        assert_eq!(overseen(&["boss"]), [second.clone(), glass.clone()]);
        for all in ["audit", "guard"] {
            assert_eq!(overseen(&[all]), [first.clone(), second.clone(), glass.clone()]);
        }
        assert_eq!(overseen(&["audit", "ops"]), [first, second]);
        for none in ["lead", "ops", "dev", "other"] {
            assert_eq!(overseen(&[none]), [], "{none}");
        }
    }

    #[test]
    fn a_policy_change_restates_and_never_loosens() {
        let sam = actor("sam", &["sre", "on-call", "incident-commander"]);
        let old = policy(EXAMPLE);
        let change = |from: &str, to: &str| {
            assert!(EXAMPLE.contains(from), "{from}");
            policy(&EXAMPLE.replace(from, to))
        };
        let pending = old.rule(&ask(|_| ()), &sam, now()).unwrap();
        assert_eq!(old.restate(&pending, &sam.person, now()).unwrap(), pending);

        let lowered = change("requests = 10000", "requests = 10, bytes = 7");
        let ruling = lowered.restate(&pending, &sam.person, now()).unwrap();
        assert_eq!((ruling.max_requests, ruling.max_bytes), (Some(10), Some(7)));
        assert_eq!(
            (ruling.reason, ruling.duration),
            (pending.reason.clone(), pending.duration)
        );

        // A rule that would now answer it, or a policy that asks nobody, does not decide what was put to people.
        let looser = change("max = \"20m\"", "max = \"4h\"");
        assert_eq!(
            looser.restate(&pending, &sam.person, now()).unwrap().route,
            Route::Stages
        );
        let (head, _) = EXAMPLE.split_once("stages =").unwrap();
        let automatic = policy(&format!("{head}approval = \"automatic\""));
        assert!(automatic.restate(&pending, &sam.person, now()).is_err());

        let short = old
            .rule(&ask(|ask| ask.duration = minutes(5)), &sam, now())
            .unwrap();
        assert_eq!(short.route, Route::Automatic { rule: Some(0) });
        assert_eq!(
            old.restate(&short, &sam.person, now()).unwrap().route,
            short.route
        );
        let other = change("r == \"on-call\"", "r == \"pager\"");
        assert_eq!(
            other.restate(&short, &sam.person, now()).unwrap().route,
            Route::Stages
        );

        let broken = old.rule(&ask(|ask| ask.break_glass = true), &sam, now()).unwrap();
        assert_eq!(
            old.restate(&broken, &sam.person, now()).unwrap().route,
            Route::BreakGlass
        );

        let mut disabled = sam.person.clone();
        disabled.disabled = true;
        for (policy, person, ruling) in [
            (&old, &disabled, &pending),
            (&old, &actor("eve", &["lead"]).person, &pending),
            (
                &change("name = \"admin-for-sre\"", "name = \"renamed\""),
                &sam.person,
                &pending,
            ),
            (&change("incident-commander", "nobody"), &sam.person, &broken),
        ] {
            assert_eq!(policy.restate(ruling, person, now()), Err(Refused::NotEligible));
        }
        let shorter = change(
            "default = \"30m\", max = \"4h\"",
            "default = \"5m\", max = \"20m\"",
        );
        assert!(matches!(
            shorter.restate(&pending, &sam.person, now()),
            Err(Refused::Invalid {
                field: "duration",
                ..
            })
        ));
        let narrow = old
            .rule(&ask(|ask| ask.paths = vec!["/admin/a".to_owned()]), &sam, now())
            .unwrap();
        let moved = change("paths = [\"/admin\"]", "paths = [\"/admin/b\"]");
        assert!(matches!(
            moved.restate(&narrow, &sam.person, now()),
            Err(Refused::Invalid { field: "paths", .. })
        ));

        let scheduled = old
            .rule(&ask(|ask| ask.start = Some(now())), &sam, now())
            .unwrap();
        let inside = Span::minutes(29).after(now());
        assert_eq!(
            old.restate(&scheduled, &sam.person, inside).unwrap().start,
            Some(now())
        );
        let over = Span::minutes(30).after(now());
        assert!(old.restate(&scheduled, &sam.person, over).is_err());
    }

    #[test]
    fn conditions_see_what_is_documented_and_fail_closed() {
        let holds = |when: &str, change: &dyn Fn(&mut Actor)| {
            assert!(!when.contains('\''), "a literal TOML string can't hold it");
            let policy = policy(&EXAMPLE.replace("subject.roles.exists(r, r == \"on-call\")", when));
            let mut who = actor("sam", &["sre"]);
            who.claims.insert(
                "team".to_owned(),
                serde_json::json!({"id": 7, "tags": ["a", "b"]}),
            );
            change(&mut who);
            let asked = ask(|ask| {
                ask.duration = minutes(10);
                ask.ticket = Some("INC-1".to_owned());
                ask.paths = vec!["/admin/a".to_owned()];
            });
            policy.rule(&asked, &who, now()).unwrap().route == Route::Automatic { rule: Some(0) }
        };
        let no_change = |_: &mut Actor| ();
        let largest = format!(
            "[[[[[false ? 1 : false ? 2 : false ? 3 : false ? 4 : now{}]]]]] == []",
            ".a".repeat(249)
        );
        for (when, want) in [
            ("true", true),
            (
                "subject.issuer == \"https://idp\" && subject.subject == \"sam\" && subject.person == \"sam\"",
                true,
            ),
            (
                "subject.name == \"sam\" && subject.amr == [\"mfa\"] && \"sre\" in subject.roles",
                true,
            ),
            (
                "subject.claims.team.id == 7 && subject.claims.team.tags.exists(t, t == \"b\")",
                true,
            ),
            ("has(subject.claims.team) && !has(subject.claims.none)", true),
            (
                "resource.name == \"admin\" && resource.tags == [\"tier-1\"] && resource.hosts.size() == 1",
                true,
            ),
            (
                "request.duration <= 600 && request.ticket.startsWith(\"INC-\") && request.reason.contains(\"fire\")",
                true,
            ),
            (
                "request.paths == [\"/admin/a\"] && \"*\" in request.methods && !request.break_glass",
                true,
            ),
            ("request.methods.all(m, m == \"GET\" || m == \"HEAD\")", false),
            ("!request.methods.exists(m, m == \"DELETE\")", false),
            ("request.policy == \"admin-for-sre\" && now == 1767268800", true),
            ("false", false),
            ("1", false),
            ("\"true\"", false),
            ("subject.claims.none", false),
            ("subject.claims.none == 1", false),
            ("!(subject.claims.none == 1)", false),
            ("1 / 0 == 1", false),
            ("subject.claims.team.id / 0 == 0", false),
            ("-9223372036854775808 / (-1) == 0", false),
            ("9223372036854775807 + 1 > 0", false),
            ("subject.roles[5] == \"x\"", false),
            ("request + 1 == 2", false),
            (&largest, false),
        ] {
            assert_eq!(holds(when, &no_change), want, "{when}");
        }
        let deep = (0..20).fold(serde_json::json!(1), |inner, _| serde_json::json!([inner]));
        for claim in [
            serde_json::json!(vec![0; 257]),
            serde_json::json!("x".repeat(65 * 1024)),
            deep,
        ] {
            let fill = |who: &mut Actor| {
                who.claims.insert("big".to_owned(), claim.clone());
            };
            assert!(!holds("true", &fill), "too much to show must not hold");
        }
    }
}
