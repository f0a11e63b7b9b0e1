//! `jit`: just-in-time access for load balancers.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use jit_server::demo::{self, DemoArgs};
use jit_server::serve::{self, ServeArgs};

/// Just-in-time access for load balancers.
#[derive(Debug, Parser)]
#[command(
    name = "jit",
    version,
    after_help = "Exit codes:\n  0  done, or stopped as asked\n  1  failed; standard error says why\n  2  the command line is wrong"
)]
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
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Demo(args) => demo::run(args).await,
        Command::Serve(args) => serve::run(args).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
