//! `cargo xtask corpus`: sends the raw requests of a corpus file through a door and grades the answers.
//!
//! The runner is the binary `corpus` of gate-target; this command only builds it in release and calls it, so that xtask itself
//! stays quick to build.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::Result;
use crate::args::Args;
use crate::workspace::cargo;

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "corpus",
    usage: "FILE [--door axum|hyper|authz|pingora|PRODUCT] [--grants KIND,…] [--address ADDR --token TOKEN] [--wait MS]",
    about: "Sends a corpus of raw requests (gate-target/corpus) through a door, or to a server; fails when one gets in that must not.",
    in_test: None,
    run,
};

fn run(mut args: Args) -> Result<ExitCode> {
    let mut command = cargo();
    command.args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "gate-target",
        "--bin",
        "corpus",
    ]);
    let door: Option<String> = args.value("--door")?;
    if door.as_deref() == Some("pingora") {
        // It needs cmake to build.
        command.args(["--features", "pingora"]);
    }
    command.arg("--");
    if let Some(door) = door {
        command.arg(format!("--door={door}"));
    }
    for option in ["--grants", "--address", "--token", "--wait"] {
        if let Some(value) = args.value::<String>(option)? {
            command.arg(format!("{option}={value}"));
        }
    }
    let file: PathBuf = args
        .positional()
        .ok_or("name a corpus file, as gate-target/corpus/requests.jsonl")?
        .into();
    args.finish()?;
    // Cargo runs it in another folder.
    let file = file
        .canonicalize()
        .map_err(|error| format!("{}: {error}", file.display()))?;
    let status = command.arg(file).status()?;
    Ok(status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .map_or(ExitCode::FAILURE, ExitCode::from))
}
