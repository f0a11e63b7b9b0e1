//! What is printed, and where: results to standard output, everything else to standard error.

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::inert::{self, inert};

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs: what the control API answered.
    Json,
}

/// How a command that prints results is told to.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct Shown {
    /// How to print results.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

impl Shown {
    pub(super) fn is_json(&self) -> bool {
        self.output == Format::Json
    }
}

/// Whether someone sits at it who can be asked: both ways must lead to a terminal.
pub(super) fn is_attended() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Prints lines to standard output.
///
/// # Errors
/// When nobody takes them. A reader that has seen enough (`| head`) ends the command without a word.
pub(super) fn print(text: &str) -> Result<(), Failure> {
    let mut text = inert::lines(text);
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    written(write_flushed(&text))
}

fn write_flushed(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// What a failed write to standard output means.
pub(super) fn written(done: io::Result<()>) -> Result<(), Failure> {
    done.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
        _ => Failure::failed(format!("standard output: {error}")),
    })
}

/// Tells whoever watches what is going on.
pub(super) fn tell(text: &str) {
    // Nobody can be told that nobody can be told.
    let _ = writeln!(io::stderr().lock(), "{}", inert::lines(text));
}

/// Tells why a command is not done: people in words, programs in JSON.
pub(super) fn complain(failure: &Failure, format: Format) {
    if failure.text.is_empty() {
        return;
    }
    if format == Format::Json {
        let mut told = json!({"exit_code": failure.exit.code(), "message": failure.text});
        if let Some(problem) = &failure.problem {
            told["problem"] = (**problem).clone();
        }
        let _ = writeln!(io::stderr().lock(), "{}", inert::json_line(&told));
        return;
    }
    let text = inert::lines(&failure.text);
    if failure.is_report {
        let _ = writeln!(io::stderr().lock(), "{text}");
        return;
    }
    let (on, off) = if has_colour() {
        ("\u{1b}[1;31m", "\u{1b}[0m")
    } else {
        ("", "")
    };
    let _ = writeln!(io::stderr().lock(), "{on}error:{off} {text}");
}

/// Colour is for a terminal, and not for whoever said that they want none (<https://no-color.org>).
fn has_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    !unwanted && !dumb && io::stderr().is_terminal()
}

/// Asks whoever sits there to type `yes`; once more if it was a `y`.
pub(super) fn is_confirmed(question: &str) -> Result<bool, Failure> {
    let answer = answered(&format!("{} Type yes to do so: ", inert(question)))?;
    if matches!(&*answer, "y" | "Y") {
        return Ok(answered("Type all of yes to do so: ")? == "yes");
    }
    Ok(answer == "yes")
}

fn answered(prompt: &str) -> Result<String, Failure> {
    let mut err = io::stderr().lock();
    let asked = write!(err, "{prompt}").and_then(|()| err.flush());
    asked.map_err(|error| Failure::failed(format!("standard error: {error}")))?;
    let mut line = String::new();
    let read = io::BufRead::read_line(&mut io::Read::take(io::stdin().lock(), 64), &mut line);
    read.map_err(|error| Failure::failed(format!("standard input: {error}")))?;
    Ok(line.trim().to_owned())
}

/// Rows under headings, aligned. Cells must be inert.
pub(super) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(head);
    for row in rows {
        table.add_row(row);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// `name  value` lines; those without a value are left out.
pub(super) fn facts(facts: &[(&str, Option<String>)]) -> String {
    let known = || {
        facts
            .iter()
            .filter_map(|(name, value)| Some((name, value.as_ref()?)))
    };
    let width = known().map(|(name, _)| name.len()).max().unwrap_or_default();
    known()
        .map(|(name, value)| format!("{name:width$}  {value}\n"))
        .collect()
}
