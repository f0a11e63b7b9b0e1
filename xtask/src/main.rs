//! The project's own commands, run as `cargo xtask <command>`.
//!
//! Each command is one module with a `COMMAND` in it. To add one: write the module, name it below, and put its `COMMAND` into
//! [`COMMANDS`]. One whose `in_test` is set becomes a step of `cargo xtask test` by that alone.

use std::process::ExitCode;

use crate::args::Args;

mod args;
mod bench;
mod corpus;
mod crash;
mod http;
mod mutants;
mod openapi;
mod schedules;
mod tally;
mod test;
mod workspace;

/// All commands, in the order in which the help lists them and `cargo xtask test` runs them.
const COMMANDS: &[Command] = &[
    test::COMMAND,
    crash::COMMAND,
    corpus::COMMAND,
    schedules::COMMAND,
    mutants::COMMAND,
    openapi::COMMAND,
    bench::COMMAND,
];

/// Errors are for people to read; nothing here tells them apart.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// One command.
struct Command {
    /// What follows `cargo xtask`.
    name: &'static str,
    /// Its options, as the help shows them.
    usage: &'static str,
    /// What it does, in one sentence.
    about: &'static str,
    /// The arguments with which the full `cargo xtask test` runs it as one of its steps. `None`: it is not a step.
    in_test: Option<&'static [&'static str]>,
    /// Runs it. An error is a failure to run at all; a bad result is the exit code.
    run: fn(Args) -> Result<ExitCode>,
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = match arguments.next().as_deref() {
        None | Some("help" | "--help" | "-h") => {
            print!("{}", help());
            return ExitCode::SUCCESS;
        }
        Some(name) => name.to_owned(),
    };
    let Some(command) = COMMANDS.iter().find(|command| command.name == name) else {
        eprintln!("error: there is no command {name:?}\n\n{}", help());
        return ExitCode::from(2);
    };
    let args = Args::new(arguments);
    if args.asks_for_help() {
        println!(
            "cargo xtask {} {}\n\n{}",
            command.name, command.usage, command.about
        );
        return ExitCode::SUCCESS;
    }
    (command.run)(args).unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::from(2)
    })
}

fn help() -> String {
    let mut text = String::from("The project's own commands:\n\n");
    for Command {
        name, usage, about, ..
    } in COMMANDS
    {
        text.push_str(&format!("  cargo xtask {name} {usage}\n      {about}\n"));
    }
    text
}
