//! `jit audit export`.
//!
//! The chain is followed while it is written: what breaks it ends the export with an error. Page by page, so that a log of any length
//! goes through.

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use jit_core::broker::store::{Position, Record};
use jit_core::id::Timestamp;
use serde::Deserialize;

use super::super::client::{Client, parsed};
use super::super::connect::Connect;
use super::super::exit::Failure;
use super::super::screen::{tell, written};
use super::chain::Chain;
use super::record::{CSV_HEAD, Line, to_csv, to_json};

/// Records of one page.
const PAGE: usize = 1000;

/// What `jit audit export` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "What was exported, and its newest position and hash, is told on standard error: keep these somewhere else."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ExportArgs {
    /// From this position on, or from the first record at or after this time, as in 2026-03-01T09:00:00Z. With a time all before is read
    /// as well.
    #[arg(long, value_name = "POSITION|TIME", default_value = "1")]
    pub from: Since,
    /// Up to the last record before this time.
    #[arg(long, value_name = "TIME")]
    pub until: Option<Timestamp>,
    /// One JSON object on each line, or comma-separated values.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: ExportFormat,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
}

/// How an export is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum ExportFormat {
    /// One JSON object on each line.
    #[default]
    Json,
    /// Comma-separated values (RFC 4180), with a first line of names.
    Csv,
}

/// Where an export begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum Since {
    /// At this position.
    Position(Position),
    /// At the first record of this moment or later.
    Time(Timestamp),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let position = text.parse().map(Self::Position);
        let since = position.or_else(|_| text.parse().map(Self::Time));
        since.map_err(|_| "write a position, or a time as in 2026-03-01T09:00:00Z".to_owned())
    }
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Line>,
    next: Option<String>,
}

pub(super) async fn run(args: &ExportArgs) -> Result<(), Failure> {
    if args.output == ExportFormat::Csv && io::stdout().is_terminal() {
        return Err(Failure::usage(
            "CSV shows the log's texts as they are, which a terminal may obey; write it to a file: > audit.csv",
        ));
    }
    let client = args.connect.client()?;
    let mut after = match args.from {
        Since::Position(position) => position.saturating_sub(1),
        Since::Time(_) => 0,
    };
    let mut export = Export {
        format: args.output,
        from: args.from,
        read: Chain::new(&[]),
        written: Chain::new(&[]),
        begun: false,
    };
    if args.output == ExportFormat::Csv {
        line(CSV_HEAD)?;
    }
    'pages: loop {
        let page = page(&client, after).await?;
        for item in page.items {
            let record = item.record().map_err(Failure::failed)?;
            if args.until.is_some_and(|until| record.at >= until) {
                break 'pages;
            }
            after = record.position;
            export.take(&record)?;
        }
        if page.next.is_none() {
            break;
        }
    }
    tell(&export.written.extent().unwrap_or_else(|| "no records".to_owned()));
    Ok(())
}

/// A page that does not come to an end by itself must lead on.
async fn page(client: &Client, after: Position) -> Result<Page, Failure> {
    let query = [("after", after.to_string()), ("limit", PAGE.to_string())];
    let page: Page = parsed(&client.get("v1/events", &query).await?)?;
    if page.items.is_empty() && page.next.is_some() {
        return Err(Failure::failed(
            "the control API names a next page and gives nothing; the export is not whole",
        ));
    }
    Ok(page)
}

struct Export {
    format: ExportFormat,
    from: Since,
    /// All that came.
    read: Chain,
    /// What was written of it.
    written: Chain,
    begun: bool,
}

impl Export {
    fn take(&mut self, record: &Record) -> Result<(), Failure> {
        let broken = |problem| Failure::failed(format!("{problem}\n  The export is not whole."));
        self.read.follow(record).map_err(broken)?;
        self.begun |= match self.from {
            Since::Position(_) => true,
            Since::Time(from) => record.at >= from,
        };
        if !self.begun {
            return Ok(());
        }
        self.written.follow(record).map_err(broken)?;
        line(&match self.format {
            ExportFormat::Json => to_json(record),
            ExportFormat::Csv => to_csv(record).map_err(broken)?,
        })
    }
}

fn line(text: &str) -> Result<(), Failure> {
    written(writeln!(io::stdout().lock(), "{text}"))
}
