//! `jit policy check`: everything that is wrong with policy files, and what nobody could ever fulfil.

use std::path::PathBuf;

use clap::Args;

use super::super::exit::Failure;
use super::super::inert::lines;
use super::super::screen::print;
use super::files::{self, Ruled};
use crate::seats::{Factors, unfulfilled};

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
        if let Some(people) = &people {
            let problems = unfulfilled(&ruled.policy, people, &Factors::default(), files::now());
            found.extend(
                problems
                    .iter()
                    .map(|problem| format!("{name}: warning: {problem}")),
            );
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
