//! `jit policy check`: everything that is wrong with policy files, and what nobody could ever fulfil.

use std::path::PathBuf;

use clap::Args;
use jit_core::broker::directory::Person;
use jit_core::policy::terms::{StageTerms, Terms};

use super::super::exit::Failure;
use super::super::inert::lines;
use super::super::screen::print;
use super::files::{self, Ruled};

/// What `jit policy check` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "A problem reads FILE:LINE: error: what is wrong; mend: what would be right. With errors it exits with 1."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct CheckArgs {
    /// The policy files.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Check as well that these people can do what the policies want of them.
    #[arg(long, value_name = "FILE")]
    pub people: Option<PathBuf>,
    /// Warnings are errors.
    #[arg(long)]
    pub deny_warnings: bool,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let people = args.people.as_deref().map(files::people).transpose()?;
    let persons = people.map(|people| people.persons(files::now()));
    let mut wrong = Vec::new();
    let mut warnings = 0;
    for file in &args.files {
        let name = files::name(file);
        let ruled = match files::policy(file) {
            Ok(ruled) => ruled,
            Err(failure) => {
                print(&failure.text)?;
                wrong.push(name);
                continue;
            }
        };
        let mut found: Vec<String> = ruled
            .policy
            .warnings()
            .iter()
            .map(|lint| lines(&lint.to_string()))
            .collect();
        if let Some(persons) = &persons {
            found.extend(unfulfilled(&ruled, persons).map(|problem| format!("{name}: warning: {problem}")));
        }
        warnings += found.len();
        for lint in &found {
            print(lint)?;
        }
        print(&summary(&name, &ruled, found.len()))?;
    }
    if !wrong.is_empty() {
        return Err(Failure::failed(format!("not in order: {}", wrong.join(", "))));
    }
    if args.deny_warnings && warnings > 0 {
        return Err(Failure::failed(format!(
            "{warnings} warnings, and none is allowed"
        )));
    }
    Ok(())
}

fn summary(name: &str, ruled: &Ruled, warnings: usize) -> String {
    let policy = &ruled.policy;
    format!(
        "{name}: ok; resources: {}, open: {}, policies: {}, mappings: {}, warnings: {warnings}; sha256 {}",
        policy.resources().len(),
        policy.open().len(),
        policy.policies().count(),
        policy.mappings().len(),
        policy.digest()
    )
}

/// What the people whom there are can't do.
fn unfulfilled(ruled: &Ruled, persons: &[Person]) -> impl Iterator<Item = String> {
    ruled.policy.policies().flat_map(move |terms| {
        let asks = |person: &&Person| terms.requesters.includes(person);
        let askers: Vec<&Person> = persons.iter().filter(asks).collect();
        let nobody = askers.is_empty().then(|| {
            format!(
                "policy {:?}: nobody can ask; mend: give somebody one of its roles",
                terms.policy.as_str()
            )
        });
        let short = terms
            .stages
            .iter()
            .filter_map(move |stage| lacking(terms, stage, persons, &askers));
        nobody.into_iter().chain(short)
    })
}

/// Who asks can't review, so each of them needs enough others.
fn lacking(terms: &Terms, stage: &StageTerms, persons: &[Person], askers: &[&Person]) -> Option<String> {
    let reviewers: Vec<&Person> = persons
        .iter()
        .filter(|person| stage.could_review(person))
        .collect();
    let others = |asker: &&&Person| reviewers.iter().filter(|person| person.id != asker.id).count();
    let stuck = askers
        .iter()
        .find(|asker| others(asker) < usize::from(stage.quorum))?;
    Some(format!(
        "policy {:?}: stage {:?} needs {}, and {} besides {} could approve; mend: give the roles to more people, or lower the quorum",
        terms.policy.as_str(),
        stage.name.as_str(),
        stage.quorum,
        others(&stuck),
        stuck.id
    ))
}
