//! `jit step-up`: a code of an authenticator app makes this token count as stronger for a while.
//!
//! 1. The code is read from the terminal, which does not show it, or is the one line on standard input. It is never an argument: other
//!    users of the machine see those, and a shell keeps them.
//! 2. A passkey can't be used in a terminal, and what it proves in a browser counts for that browser alone.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::thread;

use clap::Args;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::oneshot;

use super::client::parsed;
use super::connect::Connect;
use super::exit::{Exit, Failure};
use super::inert::{Text, json as inert_json};
use super::screen::{Shown, print};
use super::signals::Signals;

/// Most bytes that are read; a code has six, and some apps show a space in the middle.
const CODE_MAX: u64 = 64;

/// What `jit step-up` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The code is asked for on the terminal, and not shown; without one it is read from standard input: `oathtool … | jit step-up`. \
    What it proves counts for your token, at this server, for a while.\n\n\
    A passkey can't be used in a terminal. Where a policy wants one, act in the web console: what a passkey proves there counts for that browser."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct StepUpArgs {
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

#[derive(Deserialize)]
struct SteppedUp {
    method: Text,
    until: Text,
}

pub(super) async fn run(args: &StepUpArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let code = code().await?;
    let answer = client.post("v1/me/step-up", &json!({ "code": code })).await?;
    if args.shown.is_json() {
        return print(&inert_json(&answer));
    }
    let proved: SteppedUp = parsed(&answer)?;
    print(&format!(
        "proved ({}); counts until {}",
        proved.method, proved.until
    ))
}

/// The six digits, from whoever has them.
async fn code() -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("standard input: {error}"));
    let line = if io::stdin().is_terminal() {
        let mut signals =
            Signals::listen().map_err(|error| Failure::failed(format!("signals can't be heard: {error}")))?;
        let _hidden = hidden::Echo::off().map_err(failed)?;
        let mut err = io::stderr().lock();
        let asked = write!(err, "Code of your authenticator app: ").and_then(|()| err.flush());
        asked.map_err(|error| Failure::failed(format!("standard error: {error}")))?;
        drop(err);
        let line = tokio::select! {
            line = line() => line,
            signal = signals.next() => Err(Failure::new(Exit::Of(signal.code()), "")),
        };
        // The line end that was typed is not shown either.
        let _ = writeln!(io::stderr().lock());
        line?
    } else {
        line().await?
    };
    let code: String = line.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(code)
    } else {
        // What was typed can be another secret: it is not repeated.
        Err(Failure::usage(
            "a code has six digits; type the one that your authenticator app shows now",
        ))
    }
}

/// A line of standard input, up to a limit. On a thread that nothing waits for: a program that is told to stop ends without it.
async fn line() -> Result<String, Failure> {
    let (send, received) = oneshot::channel();
    thread::spawn(move || {
        let mut line = String::new();
        let read = io::BufRead::read_line(&mut io::stdin().lock().take(CODE_MAX), &mut line);
        // Nobody waits for it any more if the program was told to stop.
        let _ = send.send(read.map(|_| line));
    });
    let read = received
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::UnexpectedEof.into()));
    read.map_err(|error| Failure::failed(format!("standard input: {error}")))
}

#[cfg(unix)]
mod hidden {
    use std::io;

    use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

    /// A terminal that does not show what is typed, for as long as this lives.
    pub(super) struct Echo(Termios);

    impl Echo {
        pub(super) fn off() -> io::Result<Self> {
            let before = tcgetattr(io::stdin())?;
            let mut silent = before.clone();
            silent.local_modes.remove(LocalModes::ECHO);
            // What was typed before it was silent is dropped: it has been shown.
            tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
            Ok(Self(before))
        }
    }

    impl Drop for Echo {
        fn drop(&mut self) {
            // A terminal that is gone needs no mending.
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
        }
    }
}

#[cfg(not(unix))]
mod hidden {
    use std::io;

    /// A terminal that can't be kept from showing what is typed.
    pub(super) struct Echo;

    impl Echo {
        pub(super) fn off() -> io::Result<Self> {
            Err(io::Error::other(
                "this terminal would show the code; send it to standard input instead",
            ))
        }
    }
}
