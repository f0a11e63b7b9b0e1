//! `jit audit`: keeping the audit log elsewhere, and checking what is kept.

mod chain;
mod export;
mod record;
mod verify;

use clap::Subcommand;

pub use chain::Known;
pub use export::{ExportArgs, ExportFormat, Since};
pub use verify::VerifyArgs;

use super::exit::Failure;

/// What `jit audit` does.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum AuditCommand {
    /// Writes the audit log to standard output, and checks its chain on the way. For auditors.
    Export(ExportArgs),
    /// Checks the chain of an export, or of a store's database, without a server.
    Verify(VerifyArgs),
}

pub(super) async fn run(command: &AuditCommand) -> Result<(), Failure> {
    match command {
        AuditCommand::Export(args) => export::run(args).await,
        AuditCommand::Verify(args) => verify::run(args).await,
    }
}
