//! `jit policy replay`: an access log through a policy that is not in force yet.
//!
//! 1. The log is read line by line, and never held. What is counted has a limit: of persons and resources together the first
//!    [`PAIRS_MAX`], the rest as one.
//! 2. A line that is longer than [`line::LINE_MAX`], or that is no request, is counted, and the first one is named.
//! 3. What a log says about a request is what the server made of it. Where that server decoded or merged paths, the gate may see others.

mod line;
mod tally;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::super::exit::Failure;
use super::super::screen::print;
use super::files;
use line::Lines;
use tally::Tally;

/// What `jit policy replay` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Reads the common and combined log formats, with or without the virtual host in front, and JSON lines with members such as \
    host, method, path or uri, request, user (as NGINX, Caddy and Traefik write them). A compressed log: zcat access.log.gz | jit policy \
    replay policy.toml -"
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ReplayArgs {
    /// The policy file.
    #[arg(value_name = "POLICY")]
    pub file: PathBuf,
    /// The access log; - is standard input.
    #[arg(value_name = "LOG")]
    pub log: PathBuf,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: LogFormat,
    /// The host of requests for which the log names none.
    #[arg(long, value_name = "HOST")]
    pub host: Option<String>,
    /// The people file: whether each user of the log, by the person's id, could ask.
    #[arg(long, value_name = "FILE")]
    pub people: Option<PathBuf>,
    /// How many rows of a list are printed.
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    pub top: usize,
}

/// How a log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum LogFormat {
    /// By each line's first character.
    #[default]
    Auto,
    /// Common log format, and what begins like it.
    Clf,
    /// One JSON object on each line.
    Json,
}

pub(super) fn run(args: &ReplayArgs) -> Result<(), Failure> {
    let ruled = files::policy(&args.file)?;
    let people = args.people.as_deref().map(files::people).transpose()?;
    let persons = people.map(|people| people.persons(files::now()));
    let log = files::name(&args.log);
    let source: Box<dyn Read> = if args.log.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.log).map_err(|error| Failure::failed(format!("{log}: {error}")))?)
    };
    let mut lines = Lines::new(BufReader::new(source));
    let mut tally = Tally::new(&ruled);
    while let Some(line) = lines
        .next()
        .map_err(|error| Failure::failed(format!("{log}: {error}")))?
    {
        match line.and_then(|line| line::entry(line, args.format)) {
            Some(entry) => tally.count(&entry, args.host.as_deref()),
            None => tally.skip(lines.number()),
        }
    }
    if lines.number() == 0 {
        return Err(Failure::failed(format!("{log}: it is empty; name the right log")));
    }
    if tally.is_empty() {
        return Err(Failure::failed(format!(
            "{log}: no line is a request; say how it is written with --format"
        )));
    }
    if tally.is_hostless() {
        return Err(Failure::usage(format!(
            "{log}: no line names a host, and a policy is about hosts; say which host it is the log of, as in --host {}",
            tally.some_host()
        )));
    }
    print(&tally.report(&log, persons.as_deref(), args.top))
}
