//! `jit audit verify`: what a log's chain proves, and what it does not.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use jit_core::broker::store::{PAGE_MAX, Record};
use jit_store_sqlite::LogFile;

use super::super::exit::Failure;
use super::super::inert::inert;
use super::super::screen::print;
use super::chain::{Chain, Known};
use super::record::{CSV_HEAD, from_csv, from_json};

/// How a database of SQLite begins.
const SQLITE: &[u8] = b"SQLite format 3\0";
/// Longest line of an export, in bytes: a batch of a store holds at most 64 MiB.
const LINE_MAX: u64 = 256 * 1024 * 1024;

/// What `jit audit verify` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Says what was checked, and what was not: a chain alone can't show that its end was cut off, or that all of it was made \
    anew. With a position and a hash that were kept somewhere else it can. What is broken exits with 1."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct VerifyArgs {
    /// An export of `jit audit export` (JSON or CSV), or a store's database, even while it is in use.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// This position must have this hash; may be given several times.
    #[arg(long = "expect", value_name = "POSITION:HASH")]
    pub expected: Vec<Known>,
}

pub(super) async fn run(args: &VerifyArgs) -> Result<(), Failure> {
    let name = inert(&args.file.display().to_string());
    let failed = |problem: String| Failure::failed(format!("{name}: {}", inert(&problem)));
    let mut chain = Chain::new(&args.expected);
    let is_database = is_database(&args.file).map_err(|error| failed(error.to_string()))?;
    if is_database {
        database(&args.file, &mut chain).await.map_err(failed)?;
    } else {
        export(&args.file, &mut chain).map_err(failed)?;
    }
    let proven = chain.proven().map_err(failed)?;
    let states = if is_database {
        "\nnot checked: whether the states that the database keeps follow from its log"
    } else {
        ""
    };
    print(&format!("{name}: whole\n{proven}{states}"))
}

fn is_database(path: &Path) -> std::io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?
        .take(SQLITE.len() as u64)
        .read_to_end(&mut start)?;
    Ok(start == SQLITE)
}

async fn database(path: &Path, chain: &mut Chain) -> Result<(), String> {
    let log = LogFile::open(path).await.map_err(|error| error.to_string())?;
    let mut after = 0;
    loop {
        let records = log
            .feed(after, PAGE_MAX)
            .await
            .map_err(|error| error.to_string())?;
        for record in &records {
            chain.follow(record)?;
            after = record.position;
        }
        if records.is_empty() {
            log.close().await;
            return Ok(());
        }
    }
}

fn export(path: &Path, chain: &mut Chain) -> Result<(), String> {
    let mut source = BufReader::new(File::open(path).map_err(|error| error.to_string())?);
    let mut line = Vec::new();
    let mut read: fn(&str) -> Result<Record, String> = from_json;
    for number in 1_u64.. {
        line.clear();
        let length = (&mut source).take(LINE_MAX).read_until(b'\n', &mut line);
        if length.map_err(|error| error.to_string())? == 0 {
            break;
        }
        let at = |problem: &str| format!("line {number}: {problem}");
        if line.last() != Some(&b'\n') {
            return Err(at("it has no end, so the export was cut off"));
        }
        let text = std::str::from_utf8(&line).map_err(|_| at("it is no text"))?;
        let text = text.trim_end_matches(['\n', '\r']);
        if number == 1 && text == CSV_HEAD {
            read = from_csv;
            continue;
        }
        let record =
            read(text).map_err(|problem| at(&format!("it is no record of an audit log: {problem}")))?;
        chain.follow(&record).map_err(|problem| at(&problem))?;
    }
    Ok(())
}
