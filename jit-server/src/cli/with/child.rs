//! The command itself: started, told what this program is told, and waited for.

use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::process::ExitStatus;

use tokio::process::{Child, Command};

use super::super::exit::{Exit, Failure};
use super::super::inert::inert;
use super::super::signals::{Signal, Signals};

/// What shells say of a command that can't be run, and of one that is not there.
const CANNOT_RUN: u8 = 126;
const NOT_FOUND: u8 = 127;

/// Runs the command, and answers its exit code as a shell would.
pub(super) async fn run(
    command: &[OsString],
    variables: &[(&str, String)],
    signals: &mut Signals,
) -> Result<u8, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("there is no command after --"));
    };
    let mut child = Command::new(program)
        .args(arguments)
        .envs(variables.iter().map(|(name, value)| (name, value)))
        .spawn()
        .map_err(|error| cannot_run(program, &error))?;
    loop {
        tokio::select! {
            ended = child.wait() => {
                return ended.map(code).map_err(|error| Failure::failed(format!("the command is lost: {error}")));
            }
            signal = signals.next() => if !signal.reaches_everyone() {
                pass_on(&child, signal);
            },
        }
    }
}

fn cannot_run(program: &OsString, error: &io::Error) -> Failure {
    let code = if error.kind() == ErrorKind::NotFound {
        NOT_FOUND
    } else {
        CANNOT_RUN
    };
    let program = inert(&program.to_string_lossy());
    Failure::new(Exit::Of(code), format!("{program}: {error}"))
}

#[cfg(unix)]
fn pass_on(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid.and_then(rustix::process::Pid::from_raw) {
        // It can have ended just now, which is what it was told to do.
        let _ = rustix::process::kill_process(pid, signal.raw());
    }
}

#[cfg(not(unix))]
fn pass_on(_: &Child, _: Signal) {}

#[cfg(unix)]
fn code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt as _;

    let signal = status.signal().map(|signal| signal.saturating_add(128));
    let code = status.code().or(signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#[cfg(not(unix))]
fn code(status: ExitStatus) -> u8 {
    // What does not fit must not become a success.
    status
        .code()
        .and_then(|code| u8::try_from(code).ok())
        .unwrap_or(1)
}
