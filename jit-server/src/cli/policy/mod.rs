//! `jit policy`: what a policy file says, before it is in force. Nothing here talks to a server.

mod check;
mod explain;
mod files;
mod people;
mod replay;
mod test;
mod verdict;

use std::path::Path;

use clap::Subcommand;
use jit_core::broker::people::PeopleFile;
use jit_core::policy::{self, Policy};

pub use check::CheckArgs;
pub use explain::ExplainArgs;
pub use people::Who;
pub use replay::{LogFormat, ReplayArgs};
pub use test::TestArgs;

use super::exit::Failure;
use super::screen::print;

/// What `jit policy` does.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum PolicyCommand {
    /// Checks policy files: each problem with file, line and what mends it.
    Check(CheckArgs),
    /// Runs a file of cases: who asks for what, and what the policy must make of it.
    Test(TestArgs),
    /// Says what governs a request, who may ask for it, who must agree, and why somebody may or may not.
    Explain(ExplainArgs),
    /// Reads an access log: who would have needed what, and which rules are never used.
    Replay(ReplayArgs),
    /// Prints the JSON Schema of the policy file: every key, its type and what it means.
    Schema,
    /// Prints a policy file that shows what can be said in one.
    Example,
}

/// What a policy file says, or everything that is wrong with it.
pub(crate) fn policy_file(path: &Path) -> Result<Policy, String> {
    let ruled = files::policy(path).map_err(|failure| failure.text)?;
    Ok(ruled.policy)
}

/// Who is in a people file, or everything that is wrong with it.
pub(crate) fn people_file(path: &Path) -> Result<PeopleFile, String> {
    files::people(path).map_err(|failure| failure.text)
}

pub(super) fn run(command: &PolicyCommand) -> Result<(), Failure> {
    match command {
        PolicyCommand::Check(args) => check::run(args),
        PolicyCommand::Test(args) => test::run(args),
        PolicyCommand::Explain(args) => explain::run(args),
        PolicyCommand::Replay(args) => replay::run(args),
        PolicyCommand::Schema => print(&format!("{:#}", policy::json_schema())),
        PolicyCommand::Example => print(policy::EXAMPLE.trim_end()),
    }
}
