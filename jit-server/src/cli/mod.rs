//! The commands of `jit` for people and scripts that use a gate: a client of the control API, and tools for policies and logs.
//!
//! 1. What is printed of others' words is inert on a terminal (`inert.rs`).
//! 2. Results go to standard output, all else to standard error. Nobody is asked anything without a terminal.
//! 3. How a command ended is its exit code: [`EXIT_CODES`], which never change their meaning.
//! 4. Answers of servers are bounded (`client.rs`), and so is what tools keep of what they read.

mod after_review;
mod answers;
mod audit;
mod client;
mod connect;
mod credential;
mod ending;
mod events;
mod exit;
mod grants;
mod inert;
mod lockdown;
mod page;
mod policies;
mod policy;
mod problem;
mod request;
mod requests;
mod retry;
mod review;
mod screen;
mod show;
mod signals;
mod step_up;
mod token;
mod wait;
mod with;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::Shell;

pub use after_review::{AfterReviewCommand, FindingArgs, ListArgs as AfterReviewListArgs, LookArgs};
pub use audit::{AuditCommand, ExportArgs, ExportFormat, Known, Since, VerifyArgs};
pub use connect::Connect;
pub use credential::{CredentialArgs, CredentialCommand};
pub use ending::{EndArgs, RevokeArgs};
pub use events::EventsArgs;
pub use exit::EXIT_CODES;
pub use grants::GrantsArgs;
pub use lockdown::{LiftArgs, ListArgs, LockdownCommand, SetArgs, Target};
pub use policies::PoliciesArgs;
pub use policy::{CheckArgs, ExplainArgs, LogFormat, PolicyCommand, ReplayArgs, TestArgs, Who};
pub use request::{AskArgs, RequestArgs, Selector};
pub use requests::RequestsArgs;
pub use review::{ApproveArgs, ReviewArgs};
pub use screen::{Format, Shown};
pub use show::ShowArgs;
pub use step_up::StepUpArgs;
pub use with::WithArgs;

pub(crate) use policy::{people_file, policy_file};

use ending::Ending;
use exit::{Exit, Failure};

/// What can be done from a command line.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum Command {
    /// Lists what you may ask for, and who must agree.
    Policies(PoliciesArgs),
    /// Asks for access, and may wait for it.
    Request(RequestArgs),
    /// Lists the requests that you may see.
    Requests(RequestsArgs),
    /// Shows one request.
    Show(ShowArgs),
    /// Approves a request, as you see it.
    Approve(ApproveArgs),
    /// Denies a request, as you see it.
    Deny(ReviewArgs),
    /// Takes back a request of your own that is pending.
    Withdraw(EndArgs),
    /// Gives back a grant of your own before its window closes.
    Release(EndArgs),
    /// Takes away someone's grant.
    Revoke(RevokeArgs),
    /// Looks into break-glass afterwards, and says what was found.
    #[command(subcommand)]
    AfterReview(AfterReviewCommand),
    /// Takes the secret that opens a grant of your own, and prints it once.
    #[command(subcommand)]
    Credential(CredentialCommand),
    /// Proves your second factor by a code of your authenticator app, for your token.
    StepUp(StepUpArgs),
    /// Lists the grants that are open now, and what is left of them.
    Grants(GrantsArgs),
    /// Lists, sets and lifts lockdowns.
    #[command(subcommand)]
    Lockdown(LockdownCommand),
    /// Lists the records of the audit log.
    Events(EventsArgs),
    /// Exports the audit log, and verifies it.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Runs a command while access is open, and gives the access back when the command has ended.
    With(WithArgs),
    /// Checks, tests and explains policy files, without a server.
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Makes a token, and the line about it for the people file.
    Token,
    /// Prints what completes this program's command lines in a shell.
    Completions(CompletionsArgs),
}

/// What `jit completions` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct CompletionsArgs {
    /// Which shell.
    pub shell: Shell,
}

/// Does what it is told, and answers how that ended. `whole` is the program's command line, for completions.
pub async fn run(command: Command, whole: clap::Command) -> ExitCode {
    match done(&command, whole).await {
        Ok(()) => Exit::Done.into(),
        Err(failure) => {
            screen::complain(&failure, format(&command));
            failure.exit.into()
        }
    }
}

/// How the command prints its results, and so what it says when there are none.
fn format(command: &Command) -> Format {
    let shown = match command {
        Command::Policies(args) => &args.shown,
        Command::Request(args) => &args.shown,
        Command::Requests(args) => &args.shown,
        Command::Show(args) => &args.shown,
        Command::Approve(args) => &args.review.shown,
        Command::Deny(args) => &args.shown,
        Command::Withdraw(args) | Command::Release(args) => &args.shown,
        Command::Revoke(args) => &args.shown,
        Command::AfterReview(command) => command.shown(),
        Command::Credential(command) => command.shown(),
        Command::StepUp(args) => &args.shown,
        Command::Grants(args) => &args.shown,
        Command::Lockdown(command) => command.shown(),
        Command::Events(args) => &args.shown,
        Command::With(args) => return args.output,
        Command::Audit(_) | Command::Policy(_) | Command::Token | Command::Completions(_) => {
            return Format::Table;
        }
    };
    shown.output
}

async fn done(command: &Command, whole: clap::Command) -> Result<(), Failure> {
    match command {
        Command::Policies(args) => policies::run(args).await,
        Command::Request(args) => request::run(args).await,
        Command::Requests(args) => requests::run(args).await,
        Command::Show(args) => show::run(args).await,
        Command::Approve(args) => review::approve(args).await,
        Command::Deny(args) => review::deny(args).await,
        Command::Withdraw(args) => ending::run(args, Ending::Withdraw).await,
        Command::Release(args) => ending::run(args, Ending::Release).await,
        Command::Revoke(args) => ending::revoke(args).await,
        Command::AfterReview(command) => after_review::run(command).await,
        Command::Credential(command) => credential::run(command).await,
        Command::StepUp(args) => step_up::run(args).await,
        Command::Grants(args) => grants::run(args).await,
        Command::Lockdown(command) => lockdown::run(command).await,
        Command::Events(args) => events::run(args).await,
        Command::Audit(command) => audit::run(command).await,
        Command::With(args) => with::run(args).await,
        Command::Policy(command) => policy::run(command),
        Command::Token => token::run(),
        Command::Completions(args) => completions(args.shell, whole),
    }
}

fn completions(shell: Shell, mut whole: clap::Command) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole, "jit", &mut script);
    screen::written(std::io::stdout().lock().write_all(&script))
}
