//! `jit withdraw`, `jit release`, `jit revoke`: taking back, giving back, taking away.

use clap::Args;
use jit_core::id::RequestId;
use serde_json::{Value, json};

use super::client::Client;
use super::connect::Connect;
use super::exit::Failure;
use super::screen::Shown;
use super::show::show;

/// What `jit withdraw` and `jit release` are told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct EndArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// Why, for the log.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What `jit revoke` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct RevokeArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// Why, for the holder and the log.
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// How a request is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Withdraw,
    Release,
    Revoke,
}

impl Ending {
    const fn name(self) -> &'static str {
        match self {
            Self::Withdraw => "withdraw",
            Self::Release => "release",
            Self::Revoke => "revoke",
        }
    }
}

pub(super) async fn end(
    client: &Client,
    id: RequestId,
    ending: Ending,
    reason: Option<&str>,
) -> Result<Value, Failure> {
    let body = reason.map_or_else(|| json!({}), |reason| json!({ "reason": reason }));
    client
        .post(&format!("v1/requests/{id}/{}", ending.name()), &body)
        .await
}

pub(super) async fn run(args: &EndArgs, ending: Ending) -> Result<(), Failure> {
    let ended = end(&args.connect.client()?, args.id, ending, args.reason.as_deref()).await?;
    show(&ended, args.shown.is_json())
}

pub(super) async fn revoke(args: &RevokeArgs) -> Result<(), Failure> {
    let ended = end(
        &args.connect.client()?,
        args.id,
        Ending::Revoke,
        Some(&args.reason),
    )
    .await?;
    show(&ended, args.shown.is_json())
}
