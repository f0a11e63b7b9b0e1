//! `jit policy explain`: who may get what, and why somebody may or may not.

use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;
use jit_core::approval::ask::{Actor, Ask, Route, Selector};
use jit_core::approval::refused::Refused;
use jit_core::broker::directory::Person;
use jit_core::id::{PolicyName, ResourceName, Timestamp};
use jit_core::policy::terms::{ResourceDef, StageTerms, Terms};
use jit_core::span::Span;

use super::super::exit::Failure;
use super::super::inert::inert;
use super::super::screen::print;
use super::files::{self, Ruled};
use super::people::{Who, named};
use super::verdict::{Answer, Place, read_request};

/// What `jit policy explain` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Without a URL or a resource it tells of all resources. With --person or --role it tells what the policy makes of \
    that person's asking, and why."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ExplainArgs {
    /// The policy file.
    #[arg(value_name = "POLICY")]
    pub file: PathBuf,
    /// A URL, or a resource's name.
    #[arg(value_name = "URL|RESOURCE")]
    pub what: Option<String>,
    /// The request's method.
    #[arg(long, value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// About whom.
    #[command(flatten)]
    pub who: Who,
    /// They ask under this policy.
    #[arg(long, value_name = "NAME")]
    pub policy: Option<PolicyName>,
    /// They ask with this reason; one that is long enough if absent.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// They ask for this long.
    #[arg(short, long, value_name = "DURATION")]
    pub duration: Option<Span>,
    /// They name this ticket.
    #[arg(long, value_name = "TICKET")]
    pub ticket: Option<String>,
    /// They break the glass.
    #[arg(long)]
    pub break_glass: bool,
}

pub(super) fn run(args: &ExplainArgs) -> Result<(), Failure> {
    let ruled = files::policy(&args.file)?;
    let now = files::now();
    let people = args.who.people.as_deref().map(files::people).transpose()?;
    let actor = args.who.actor(people.as_ref(), now)?;
    let persons = people.map(|people| people.persons(now)).unwrap_or_default();

    let mut text = String::new();
    let resources = match &args.what {
        None => ruled.policy.resources().iter().collect(),
        Some(what) if what.contains("://") => {
            let (shown, parts) = read_request(what, &args.method)?;
            let place = ruled.place(Some(&parts));
            let _ = writeln!(text, "{shown} is {place}.");
            match place {
                Place::Protected(name) | Place::Spelling(name) => {
                    ruled.policy.resource(&name).into_iter().collect()
                }
                Place::Open(_) | Place::Nothing | Place::UnknownHost | Place::Bad(_) | Place::Malformed => {
                    vec![]
                }
            }
        }
        Some(what) => vec![resource(&ruled, what)?],
    };
    for resource in resources {
        text.push_str(&told(&ruled, resource, &persons));
        if let Some(actor) = &actor {
            text.push_str(&why(&ruled, resource, actor, args, now));
        }
    }
    print(&text)
}

fn resource<'r>(ruled: &'r Ruled, what: &str) -> Result<&'r ResourceDef, Failure> {
    let name = what.parse::<ResourceName>().ok();
    name.and_then(|name| ruled.policy.resource(&name)).ok_or_else(|| {
        let all: Vec<&str> = ruled
            .policy
            .resources()
            .iter()
            .map(|resource| resource.name.as_str())
            .collect();
        let what = inert(what);
        Failure::failed(format!(
            "there is no resource {what:?}; there are: {}; or name a whole URL, as in https://app.example.com/",
            inert(&all.join(", "))
        ))
    })
}

/// A resource and its policies.
fn told(ruled: &Ruled, resource: &ResourceDef, persons: &[Person]) -> String {
    let mut text = String::new();
    let list = |set: &std::collections::BTreeSet<String>| {
        set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
    };
    let methods = if resource.methods.is_empty() {
        "every method".to_owned()
    } else {
        list(&resource.methods)
    };
    let _ = writeln!(
        text,
        "\nresource {}: {methods} of {} at and below {}",
        resource.name,
        inert(&list(&resource.hosts)),
        inert(&list(&resource.paths))
    );
    let mut governed = false;
    for terms in ruled.policy.policies_of(&resource.name) {
        governed = true;
        let _ = writeln!(text, "  policy {}", terms.policy);
        for (name, value) in facts(terms, persons) {
            let _ = writeln!(text, "    {name:13}{value}");
        }
    }
    if !governed {
        let _ = writeln!(text, "  no policy governs it, so nobody can ask for it");
    }
    text
}

fn facts(terms: &Terms, persons: &[Person]) -> Vec<(&'static str, String)> {
    let mut facts = vec![
        ("may ask", named(&terms.requesters, persons)),
        (
            "for",
            format!(
                "{}, at most {}, {} with extensions",
                terms.duration.default, terms.duration.max, terms.duration.max_total
            ),
        ),
    ];
    if terms.automatic.always {
        facts.push(("must agree", "nobody: approval is automatic".to_owned()));
    }
    for rule in &terms.automatic.rules {
        let max = rule
            .max
            .map(|max| format!(", for at most {max}"))
            .unwrap_or_default();
        facts.push(("automatic if", format!("{}{max}", inert(&rule.when))));
    }
    facts.extend(
        terms
            .stages
            .iter()
            .map(|stage| ("must agree", self::stage(stage, persons))),
    );
    if terms.mfa.is_some() {
        facts.push(("sign-in", "must be strong or fresh enough (mfa)".to_owned()));
    }
    if let Some(pattern) = &terms.ticket.pattern {
        let need = if terms.ticket.required {
            "required"
        } else {
            "optional"
        };
        facts.push(("ticket", format!("{need}, matches {}", inert(pattern))));
    } else if terms.ticket.required {
        facts.push(("ticket", "required".to_owned()));
    }
    if let Some(glass) = &terms.break_glass {
        facts.push((
            "break-glass",
            format!(
                "{}, at most {}, reviewed within {}",
                named(&glass.requesters, persons),
                glass.max,
                glass.review_within
            ),
        ));
    }
    facts
}

fn stage(stage: &StageTerms, persons: &[Person]) -> String {
    let escalates = stage.escalate_after.zip(stage.escalate_to.as_ref());
    let escalates = escalates.map(|(after, to)| format!("; after {after} also {}", named(to, persons)));
    format!(
        "{}: {} of {}{}",
        stage.name,
        stage.quorum,
        named(&stage.approvers, persons),
        escalates.unwrap_or_default()
    )
}

/// Why `actor` gets it or does not.
fn why(ruled: &Ruled, resource: &ResourceDef, actor: &Actor, args: &ExplainArgs, now: Timestamp) -> String {
    let person = &actor.person;
    let mut text = String::new();
    let who = person.id.as_str();
    let roles: Vec<&str> = person.roles.iter().map(|role| role.as_str()).collect();
    let roles = if roles.is_empty() {
        "no roles".to_owned()
    } else {
        format!("roles {}", roles.join(", "))
    };
    let disabled = if person.disabled {
        ", and is disabled, which is nobody"
    } else {
        ""
    };
    let _ = writeln!(text, "  {who} has {roles}{disabled}");
    for terms in ruled.policy.policies_of(&resource.name) {
        let policy = &terms.policy;
        let may = |may: bool| if may { "may" } else { "may not" };
        let _ = writeln!(
            text,
            "    {} ask under {policy}",
            may(terms.requesters.includes(person))
        );
        if let Some(glass) = &terms.break_glass {
            let _ = writeln!(
                text,
                "    {} break the glass under {policy}",
                may(glass.requesters.includes(person))
            );
        }
        for stage in terms.stages.iter().filter(|stage| stage.could_review(person)) {
            let _ = writeln!(
                text,
                "    may review what others ask under {policy}, in stage {}",
                stage.name
            );
        }
    }
    let answer = ruled.ruling(&ask(ruled, resource, args), actor, now);
    let _ = writeln!(text, "  if {who} asks: {}", inert(&said(&answer)));
    text
}

fn ask(ruled: &Ruled, resource: &ResourceDef, args: &ExplainArgs) -> Ask {
    let least = ruled
        .policy
        .policies_of(&resource.name)
        .map(|terms| terms.reason.min_length)
        .max();
    let length = usize::from(least.unwrap_or_default()).max(1);
    let filler = || "reason".chars().cycle().take(length).collect();
    Ask {
        resource: resource.name.clone(),
        reason: args.reason.clone().unwrap_or_else(filler),
        duration: args.duration,
        policy: args.policy.clone(),
        ticket: args.ticket.clone(),
        start: None,
        methods: vec![],
        paths: vec![],
        max_requests: None,
        max_bytes: None,
        selector: Selector::Principal,
        extends: None,
        break_glass: args.break_glass,
    }
}

fn said(answer: &Answer) -> String {
    match answer {
        Answer::Ruled(ruling) => {
            let (policy, duration) = (&ruling.terms.policy, ruling.duration);
            match ruling.route {
                Route::Stages => {
                    let stages: Vec<&str> = ruling
                        .terms
                        .stages
                        .iter()
                        .map(|stage| stage.name.as_str())
                        .collect();
                    format!(
                        "{duration} under {policy}, once these stages agree: {}",
                        stages.join(", ")
                    )
                }
                Route::Automatic { rule: None } => {
                    format!("{duration} under {policy} at once: approval is automatic")
                }
                Route::Automatic { rule: Some(n) } => {
                    let rule = ruling.terms.automatic.rules.get(usize::from(n));
                    let when = rule.map(|rule| rule.when.as_str()).unwrap_or_default();
                    format!("{duration} under {policy} at once: {when} holds")
                }
                Route::BreakGlass => format!(
                    "{duration} under {policy} at once, by breaking the glass; another person has to look into it afterwards"
                ),
            }
        }
        Answer::Refused(Refused::NotEligible) => {
            "refused: no policy of the resource lets them ask".to_owned()
        }
        Answer::Refused(refused) => format!("refused: {refused}"),
    }
}
