//! `jit after-review`: looking into break-glass afterwards, and saying what was found.
//!
//! 1. What was found is said by another person than who broke the glass, once, and stays in the log. Until then they can't break it again.
//! 2. On a terminal the request is shown, and whoever sits there is asked; without one they must say `--yes`.

use clap::{Args, Subcommand};
use jit_core::id::RequestId;
use serde::Deserialize;
use serde_json::json;

use super::answers::Request;
use super::client::parsed;
use super::connect::Connect;
use super::exit::{Exit, Failure};
use super::inert::{self, Text};
use super::page;
use super::requests::List;
use super::screen::{Shown, is_attended, is_confirmed, print, table, tell};
use super::show::{read, sheet, show};

/// What `jit after-review` does.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum AfterReviewCommand {
    /// Lists the break-glass that waits for you to look into it.
    List(ListArgs),
    /// Shows one, and what was done under it.
    Show(LookArgs),
    /// Says that it was called for.
    Justified(FindingArgs),
    /// Says that it was not called for.
    Unjustified(FindingArgs),
}

/// What `jit after-review list` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ListArgs {
    /// At most this many, the newest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What `jit after-review show` is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct LookArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// At most this many of the HTTP requests that were made under it, the oldest first.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What `jit after-review justified` and `unjustified` are told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct FindingArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// What you found, in words, for the log.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// Don't ask. Needed without a terminal.
    #[arg(short, long)]
    pub yes: bool,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// One HTTP request that was admitted.
#[derive(Deserialize)]
struct Interaction {
    began: Text,
    method: Text,
    path: Text,
    status: Option<u16>,
    end: Text,
}

impl AfterReviewCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::List(args) => &args.shown,
            Self::Show(args) => &args.shown,
            Self::Justified(args) | Self::Unjustified(args) => &args.shown,
        }
    }
}

pub(super) async fn run(command: &AfterReviewCommand) -> Result<(), Failure> {
    match command {
        AfterReviewCommand::List(args) => list(args).await,
        AfterReviewCommand::Show(args) => look(args).await,
        AfterReviewCommand::Justified(args) => find(args, "justified").await,
        AfterReviewCommand::Unjustified(args) => find(args, "unjustified").await,
    }
}

async fn list(args: &ListArgs) -> Result<(), Failure> {
    let due = |request: &Request| {
        (request.break_glass.as_ref()).map_or_else(String::new, |glass| glass.review_by.to_string())
    };
    let list = List {
        query: vec![("after_reviewable", "true".to_owned())],
        limit: args.limit,
        column: ("DUE", due),
    };
    list.print(&args.connect, &args.shown).await
}

async fn look(args: &LookArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let answer = read(&client, args.id).await?;
    let path = format!("v1/requests/{}/interactions", args.id);
    let (items, more) = page::read(&client, &path, &[], args.limit.into()).await?;
    if args.shown.is_json() {
        return print(&inert::json(
            &json!({"request": answer, "interactions": page::json(&items)}),
        ));
    }
    let request = sheet(&parsed(&answer)?);
    let interactions: Vec<Interaction> = page::items(&items)?;
    let done = if interactions.is_empty() {
        "Nothing was done under it, as far as is written down yet.".to_owned()
    } else {
        table(
            ["BEGAN", "METHOD", "PATH", "STATUS", "END"],
            interactions.into_iter().map(|interaction| {
                [
                    interaction.began.to_string(),
                    interaction.method.to_string(),
                    interaction.path.to_string(),
                    interaction
                        .status
                        .map_or_else(String::new, |status| status.to_string()),
                    interaction.end.to_string(),
                ]
            }),
        )
    };
    print(&format!("{request}\n{done}"))?;
    if more {
        tell(&format!(
            "More was done than {}; see it with --limit.",
            args.limit
        ));
    }
    Ok(())
}

async fn find(args: &FindingArgs, finding: &str) -> Result<(), Failure> {
    let id = args.id;
    if !args.yes && !is_attended() {
        return Err(Failure::usage(format!(
            "without a terminal nobody can be asked; look into it (jit after-review show {id}), then say --yes"
        )));
    }
    let client = args.connect.client()?;
    let request: Request = parsed(&read(&client, id).await?)?;
    tell(&sheet(&request));
    if !args.yes && !is_confirmed(&format!("Put down for good that this was {finding}?"))? {
        return Err(Failure::failed("nothing was put down"));
    }
    let mut body = json!({ "finding": finding });
    if let Some(comment) = &args.comment {
        body["comment"] = comment.as_str().into();
    }
    let reviewed = client
        .post(&format!("v1/requests/{id}/after-review"), &body)
        .await;
    let reviewed = reviewed.map_err(|failure| {
        if request.break_glass.is_some() || failure.exit != Exit::Changed {
            return failure;
        }
        let text = format!(
            "{}\n  It is no break-glass, and nobody looks into it afterwards.",
            failure.text
        );
        Failure { text, ..failure }
    })?;
    show(&reviewed, args.shown.is_json())
}
