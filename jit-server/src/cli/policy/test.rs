//! `jit policy test`: cases with the verdicts that they must have, so that a change of policy that changes one shows.
//!
//! ```toml
//! policy = "policy.toml"            # beside this file; so is people, which cases with `person` need
//! people = "people.toml"
//! now = "2026-03-01T09:00:00Z"      # what conditions see; the present if absent
//!
//! [[case]]
//! name = "an engineer needs a lead"
//! person = "alice"                  # or roles = ["sre"]; nobody, if only the place matters
//! request = "GET https://app.example.com/admin/users"
//! ask = { reason = "look into INC-42", duration = "1h" }
//! expect = "stages"
//! resource = "admin"                # these are checked where they are given
//! under = "admin-for-sre"
//! reviewers = ["bob"]
//! not_reviewers = ["alice"]
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use jit_core::approval::ask::{Actor, Ask, Ruling, Selector};
use jit_core::approval::refused::Refused;
use jit_core::broker::people::PeopleFile;
use jit_core::id::{PersonId, PolicyName, Principal, ResourceName, Role, Timestamp};
use jit_core::span::Span;
use serde::Deserialize;
use toml::Spanned;

use super::super::exit::Failure;
use super::super::inert::inert;
use super::super::screen::print;
use super::files::{self, Ruled};
use super::people::{anybody, of_file, signed_in};
use super::verdict::{Answer, Place, WORDS, answer_word, place_word, read_request};

/// What `jit policy test` is told.
#[derive(Debug, Clone, Args)]
#[command(after_help = "A file of cases is TOML:

  policy = \"policy.toml\"              # beside this file; so is people, which cases with `person` need
  people = \"people.toml\"
  now = \"2026-03-01T09:00:00Z\"        # what conditions see; the present if absent

  [[case]]
  name = \"an engineer needs a lead\"
  person = \"alice\"                    # or roles = [\"sre\"]; nobody, if only the place matters
  request = \"GET https://app.example.com/admin/users\"
  ask = { reason = \"look into INC-42\", duration = \"1h\" }
  expect = \"stages\"
  resource = \"admin\"                  # this and what follows is checked where it is given
  under = \"admin-for-sre\"
  reviewers = [\"bob\"]
  not_reviewers = [\"alice\"]

A request that nobody asks for is protected, open, denied, unknown-host or bad-request. An asking is stages, automatic, break-glass,
step-up, invalid (`field` says which) or not-eligible. `ask` takes resource, reason, duration, ticket, policy, methods, paths,
max_requests and break_glass; a case also takes principal, amr, acr and claims. If a case fails it exits with 1.")]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct TestArgs {
    /// The file of cases.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// This policy instead of the one that the file names.
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cases {
    policy: Option<PathBuf>,
    people: Option<PathBuf>,
    now: Option<Timestamp>,
    #[serde(default)]
    case: Vec<Spanned<Case>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    person: Option<PersonId>,
    roles: Option<Vec<Role>>,
    principal: Option<Principal>,
    #[serde(default)]
    amr: Vec<String>,
    acr: Option<String>,
    #[serde(default)]
    claims: BTreeMap<String, serde_json::Value>,
    request: Option<String>,
    #[serde(default)]
    ask: CaseAsk,
    expect: String,
    resource: Option<ResourceName>,
    under: Option<PolicyName>,
    field: Option<String>,
    #[serde(default)]
    reviewers: Vec<PersonId>,
    #[serde(default)]
    not_reviewers: Vec<PersonId>,
}

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CaseAsk {
    resource: Option<ResourceName>,
    reason: String,
    duration: Option<Span>,
    ticket: Option<String>,
    policy: Option<PolicyName>,
    methods: Vec<String>,
    paths: Vec<String>,
    max_requests: Option<u64>,
    break_glass: bool,
}

/// What all cases are about.
struct Bench {
    ruled: Ruled,
    people: Option<PeopleFile>,
    now: Timestamp,
}

pub(super) fn run(args: &TestArgs) -> Result<(), Failure> {
    let name = files::name(&args.file);
    let source = files::text(&args.file)?;
    let cases: Cases = toml::from_str(&source).map_err(|error| {
        let line = error.span().map_or(1, |span| line(&source, span.start));
        Failure::failed(format!("{name}:{line}: {}", inert(error.message().trim_end())))
    })?;
    let beside = |path: &Path| args.file.parent().unwrap_or(Path::new("")).join(path);
    let policy = args
        .policy
        .clone()
        .or_else(|| cases.policy.as_deref().map(beside));
    let policy = policy.ok_or_else(|| {
        Failure::failed(format!(
            "{name}: no policy is named; write policy = \"policy.toml\", or say --policy"
        ))
    })?;
    let people = cases.people.as_deref().map(|path| {
        files::people(&beside(path))
            .map_err(|failure| Failure::failed(format!("{}\n  {name} names it as people", failure.text)))
    });
    let bench = Bench {
        ruled: files::policy(&policy)?,
        people: people.transpose()?,
        now: cases.now.unwrap_or_else(files::now),
    };
    if cases.case.is_empty() {
        return Err(Failure::failed(format!(
            "{name}: there is no [[case]], so nothing is tested"
        )));
    }
    let (mut passed, mut failed) = (0, 0);
    for case in &cases.case {
        let title = inert(&case.get_ref().name);
        let problems = bench.problems(case.get_ref())?;
        if problems.is_empty() {
            passed += 1;
            print(&format!("ok    {title}"))?;
        } else {
            failed += 1;
            let line = line(&source, case.span().start);
            print(&format!(
                "FAIL  {title} ({name}:{line})\n      {}",
                inert(&problems.join("; "))
            ))?;
        }
    }
    print(&format!("{passed} passed, {failed} failed"))?;
    if failed > 0 {
        return Err(Failure::failed(match failed {
            1 => "1 case does not come out as expected".to_owned(),
            several => format!("{several} cases do not come out as expected"),
        }));
    }
    Ok(())
}

/// The line, counted from 1, of the byte at `offset`.
fn line(source: &str, offset: usize) -> usize {
    1 + source.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

impl Bench {
    /// What does not come out as the case expects.
    fn problems(&self, case: &Case) -> Result<Vec<String>, Failure> {
        let expected = case.expect.as_str();
        if !WORDS.contains(&expected) {
            return Ok(vec![format!(
                "expect {expected:?} means nothing; write one of {}",
                WORDS.join(", ")
            )]);
        }
        let place = match &case.request {
            Some(request) => Some(self.ruled.place(Some(&read_request(request, "GET")?.1))),
            None => None,
        };
        let actor = self.actor(case)?;
        let governing = match &place {
            Some(Place::Protected(name) | Place::Spelling(name)) => Some(name.clone()),
            Some(_) => None,
            None => case.ask.resource.clone(),
        };
        let mut problems = Vec::new();
        let mut check = |what: &str, expected: Option<&str>, got: Option<&str>| {
            if expected.is_some() && expected != got {
                let show = |value: Option<&str>| {
                    value.map_or_else(|| "none".to_owned(), |value| format!("{value:?}"))
                };
                problems.push(format!("{what}: expected {}, got {}", show(expected), show(got)));
            }
        };
        check(
            "resource",
            case.resource.as_ref().map(ResourceName::as_str),
            governing.as_ref().map(ResourceName::as_str),
        );

        // Whoever is named asks for what is protected; everything else is as it is for everybody.
        let asked = match (&place, &actor, governing) {
            (Some(Place::Protected(_)) | None, Some(actor), Some(resource)) => Some((actor, resource)),
            _ => None,
        };
        let Some((actor, resource)) = asked else {
            let got = place.as_ref().map(place_word);
            check("verdict", Some(expected), got);
            if got.is_none() {
                problems.push("a case needs a request, or a person or roles and ask.resource".to_owned());
            }
            return Ok(problems);
        };
        let answer = self.ruled.ruling(&ask(&case.ask, resource), actor, self.now);
        check("verdict", Some(expected), Some(answer_word(&answer)));
        let (under, field) = match &answer {
            Answer::Ruled(ruling) => (Some(ruling.terms.policy.as_str()), None),
            Answer::Refused(Refused::Invalid { field, .. }) => (None, Some(*field)),
            Answer::Refused(_) => (None, None),
        };
        check("policy", case.under.as_ref().map(PolicyName::as_str), under);
        check("field", case.field.as_deref(), field);
        if let Answer::Refused(refused) = &answer
            && !problems.is_empty()
        {
            problems.push(refused.to_string());
        }
        for (reviewers, can) in [(&case.reviewers, true), (&case.not_reviewers, false)] {
            for reviewer in reviewers {
                if self.reviews(reviewer, actor, &answer)? != can {
                    let can = if can { "can't" } else { "can" };
                    problems.push(format!("{reviewer} {can} review it"));
                }
            }
        }
        Ok(problems)
    }

    fn actor(&self, case: &Case) -> Result<Option<Actor>, Failure> {
        let actor = match (&case.person, &case.roles) {
            (None, None) => return Ok(None),
            (Some(person), None) => of_file(self.people()?, person, self.now)?,
            (None, Some(roles)) => anybody(roles, self.now)?,
            (Some(_), Some(_)) => {
                let name = inert(&case.name);
                return Err(Failure::failed(format!(
                    "case {name:?} has a person and roles; leave one of them out"
                )));
            }
        };
        Ok(Some(Actor {
            principal: case.principal.clone().unwrap_or_else(|| actor.principal.clone()),
            assurance: signed_in(&case.amr, case.acr.as_deref(), self.now),
            claims: case.claims.clone(),
            ..actor
        }))
    }

    /// Whether that person could ever fill a seat of what was asked.
    fn reviews(&self, reviewer: &PersonId, requester: &Actor, answer: &Answer) -> Result<bool, Failure> {
        let reviewer = of_file(self.people()?, reviewer, self.now)?.person;
        let can = |ruling: &Ruling| {
            reviewer.id != requester.person.id
                && ruling
                    .terms
                    .stages
                    .iter()
                    .any(|stage| stage.could_review(&reviewer))
        };
        Ok(matches!(answer, Answer::Ruled(ruling) if can(ruling)))
    }

    fn people(&self) -> Result<&PeopleFile, Failure> {
        let people = self.people.as_ref();
        people.ok_or_else(|| {
            Failure::failed(
                "a case names somebody, as its person or among its reviewers, and no people file is named; write people = \"people.toml\"",
            )
        })
    }
}

fn ask(case: &CaseAsk, resource: ResourceName) -> Ask {
    Ask {
        resource,
        reason: case.reason.clone(),
        duration: case.duration,
        policy: case.policy.clone(),
        ticket: case.ticket.clone(),
        start: None,
        methods: case.methods.clone(),
        paths: case.paths.clone(),
        max_requests: case.max_requests,
        max_bytes: None,
        selector: Selector::Principal,
        extends: None,
        break_glass: case.break_glass,
    }
}
