//! `jit events`: the audit log, as far as it is read by people. For keeping and checking it: `jit audit`.

use clap::Args;
use jit_core::broker::store::Position;
use serde::Deserialize;
use serde_json::Value;

use super::connect::Connect;
use super::exit::Failure;
use super::inert::{Text, json_line};
use super::page;
use super::screen::{Shown, print, table, tell};

/// What `jit events` is told.
#[derive(Debug, Clone, Args)]
#[command(after_help = "For auditors. With -o json each record is one line.")]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct EventsArgs {
    /// After this position; from the first if absent.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub after: Position,
    /// At most this many.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub limit: u16,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

#[derive(Deserialize)]
struct Event {
    position: Position,
    at: Text,
    stream: Text,
    #[serde(rename = "type")]
    kind: Option<Text>,
}

pub(super) async fn run(args: &EventsArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let (items, more) = page::read_after(
        &client,
        "v1/events",
        &[],
        Some(args.after.to_string()),
        args.limit.into(),
    )
    .await?;
    if args.shown.is_json() {
        let lines: Vec<String> = items.iter().map(|item| json_line(item) + "\n").collect();
        return print(&lines.concat());
    }
    let events: Vec<Event> = page::items(&items)?;
    print(&table(
        ["POSITION", "AT", "TYPE", "STREAM"],
        events.into_iter().map(|event| {
            [
                event.position.to_string(),
                event.at.to_string(),
                event
                    .kind
                    .map_or_else(|| "(can't be read)".to_owned(), |kind| kind.to_string()),
                event.stream.to_string(),
            ]
        }),
    ))?;
    if more {
        let last = items
            .last()
            .and_then(|item| item.get("position"))
            .and_then(Value::as_u64);
        tell(&format!(
            "There are more; see them with --after {}.",
            last.unwrap_or_default()
        ));
    }
    Ok(())
}
