//! `jit`: just-in-time access for load balancers.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use jit_server::cli;
use jit_server::demo::{self, DemoArgs};
use jit_server::serve::{self, ServeArgs};

/// Just-in-time access for load balancers.
#[derive(Debug, Parser)]
#[command(name = "jit", version, after_help = cli::EXIT_CODES)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Guards a small application on this machine, with a console to ask and approve on. Nothing to configure, nothing is kept.
    Demo(DemoArgs),
    /// Guards applications: reverse proxy, gate, control API, console and metrics, as one file says (jit.toml).
    Serve(ServeArgs),
    #[command(flatten)]
    Client(Box<cli::Command>),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
        Command::Client(command) => return cli::run(*command, Cli::command()).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
