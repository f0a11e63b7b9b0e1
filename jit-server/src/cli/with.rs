//! `jit with`: a command that runs while access is open, for jobs.
//!
//! 1. It asks, waits until access is open, runs the command, and gives the access back when the command has ended, however it ended.
//! 2. If access does not open in time, or this program is told to stop before, the request is withdrawn and the command never runs.
//! 3. Signals that tell this program to stop go to the command, and the access is given back once that has ended. A Ctrl-C on a terminal
//!    reaches the command by itself, so it is not sent a second time.
//! 4. The command's exit code is the exit code. If the access can't be given back, that is said; it ends at its window's end anyway.
//! 5. Answers that don't come are asked for again, the asking under one key: a lost answer neither makes a second request nor leaves access
//!    behind. Who is told to stop while it asks waits a moment for the answer, so that it knows what to withdraw. Where asking fails and any
//!    answer was lost, it asks once more, to learn what to give back, and says if it has not learned it.
//! 6. If this program is killed, nothing gives the access back before it ends by itself: ask for no longer than the job takes.

mod child;

use std::ffi::OsString;
use std::pin::pin;

use clap::Args;
use jit_core::id::RequestId;
use jit_core::span::Span;
use serde_json::Value;
use tokio::sync::watch;

use super::answers::{Request, Standing};
use super::client::{Client, parsed};
use super::connect::Connect;
use super::credential;
use super::ending::{Ending, end};
use super::exit::{Exit, Failure};
use super::request::{self, AskArgs, random_key};
use super::retry::{once_more, persistently};
use super::screen::{Format, tell};
use super::show::read;
use super::signals::{Signal, Signals};
use super::wait::{Until, wait};

/// What `jit with` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The command finds the request's id in JIT_REQUEST_ID and the end of its access in JIT_NOT_AFTER; with --selector credential the \
    secret that opens the grant in JIT_CREDENTIAL, to be sent in the header Jit-Credential. Its exit code is passed on.\n\n\
    Without an answer (refused or broken connections, timeouts, 502, 503, 504) it asks again, at most four times and after a pause each, of \
    at most 15 s, under one Idempotency-Key: however often an answer is lost, there is one request."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct WithArgs {
    /// What for.
    #[command(flatten)]
    pub ask: AskArgs,
    /// How long to wait until access is open; the request is withdrawn then.
    #[arg(long, value_name = "DURATION", default_value = "15m")]
    pub wait: Span,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How to tell what is not done. What the command prints is its own.
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
    /// The command and its arguments.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

pub(super) async fn run(args: &WithArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    // Listened for before anything is asked: whoever stops this after must not leave access behind.
    let mut signals =
        Signals::listen().map_err(|error| Failure::failed(format!("signals can't be heard: {error}")))?;
    let (asked, request) = ask_unless_stopped(&client, &args.ask, &mut signals).await?;
    let id = request.id;
    tell(&format!(
        "{id}: asked for {}, waiting until it is open",
        request.resource
    ));
    let opened = tokio::select! {
        opened = wait(&client, asked, Until::Active, Some(args.wait)) => opened.and_then(|answer| parsed::<Request>(&answer)),
        signal = signals.next() => Err(Failure::new(Exit::Of(signal.code()), format!("stopped by {signal} before access was open"))),
    };
    let opened = match opened {
        Ok(opened) => opened,
        Err(mut failure) => {
            give_back(&client, id).await;
            if failure.exit == Exit::StillPending {
                failure.text = format!(
                    "access was not open after {}, and the command did not run; to wait for longer: --wait",
                    args.wait
                );
            }
            return Err(failure);
        }
    };
    let until = opened.not_after.map(|at| at.to_string()).unwrap_or_default();
    tell(&format!("{id}: open until {until}"));
    let mut variables = vec![("JIT_REQUEST_ID", id.to_string()), ("JIT_NOT_AFTER", until)];
    if args.ask.has_credential() {
        match credential::taken(&client, id).await {
            Ok(secret) => variables.push(("JIT_CREDENTIAL", secret)),
            Err(failure) => {
                give_back(&client, id).await;
                return Err(failure);
            }
        }
    }
    let ran = child::run(&args.command, &variables, &mut signals).await;
    give_back(&client, id).await;
    match ran? {
        0 => Ok(()),
        // The command has said itself what went wrong.
        code => Err(Failure::new(Exit::Of(code), "")),
    }
}

/// Asks; if told to stop meanwhile, or if that fails, takes back what was asked.
async fn ask_unless_stopped(
    client: &Client,
    ask: &AskArgs,
    signals: &mut Signals,
) -> Result<(Value, Request), Failure> {
    let (stop, stopped) = watch::channel(false);
    let (body, key) = (ask.body().into(), random_key()?);
    let mut asking = pin!(request::ask(client, &body, &key, stopped));
    let (asked, signal) = tokio::select! {
        asked = &mut asking => (asked, None),
        signal = signals.next() => {
            stop.send_replace(true);
            (asking.await, Some(signal))
        }
    };
    // Something was made of it, even where it can't be read.
    let read = |asked: Value| match parsed::<Request>(&asked) {
        Ok(request) => Ok((asked, request)),
        Err(failure) => Err(failure.in_doubt(true)),
    };
    let stopped = |signal: Signal| {
        let text = format!("stopped by {signal} before access was open");
        Failure::new(Exit::Of(signal.code()), text)
    };
    match (asked.and_then(read), signal) {
        (Ok(asked), None) => Ok(asked),
        (Ok((_, request)), Some(signal)) => {
            give_back(client, request.id).await;
            Err(stopped(signal))
        }
        (Err(failure), signal) => {
            let doubt = failure.in_doubt && !is_given_back(client, &body, &key).await;
            let mut failure = signal.map_or(failure, stopped);
            if doubt {
                failure.text.push_str(&format!(
                    "\n  Access may be open: no answer says what became of the asking under the key {key}.\n  \
                     To look: jit requests --mine\n  To give it back: jit release ID, or jit withdraw ID while it is pending"
                ));
            }
            Err(failure)
        }
    }
}

/// Asks once more under the same key, and gives back what came of the asking; whether it has learned that.
async fn is_given_back(client: &Client, body: &Value, key: &str) -> bool {
    let asked = once_more(client.post_once("v1/requests", body, Some(key))).await;
    match asked.and_then(|asked| parsed::<Request>(&asked)) {
        Ok(request) => {
            give_back(client, request.id).await;
            true
        }
        Err(_) => false,
    }
}

/// Ends the request, whatever it has come to; says what stays open.
async fn give_back(client: &Client, id: RequestId) {
    for _ in 0..3 {
        match try_give_back(client, id).await {
            Ok(said) => return tell(&format!("{id}: {said}")),
            // It has moved on between being read and being ended.
            Err(failure) if failure.exit == Exit::Changed => {}
            Err(failure) => {
                return tell(&format!(
                    "{id}: could not be given back, and ends by itself: {}\n  To try again: jit release {id}",
                    failure.text
                ));
            }
        }
    }
    tell(&format!("{id}: keeps changing; look at it with: jit show {id}"));
}

async fn try_give_back(client: &Client, id: RequestId) -> Result<String, Failure> {
    let (_stop, never) = watch::channel(false);
    let request = persistently(async || read(client, id).await, never.clone()).await?;
    let request: Request = parsed(&request)?;
    let ending = match request.standing() {
        Standing::Pending => Ending::Withdraw,
        Standing::Scheduled | Standing::Active => Ending::Release,
        Standing::Ended => return Ok(format!("has ended already: {}", request.state)),
    };
    let reason = Some("jit with is done");
    // Done already, if the answer to that was lost: that is a change, and it is read anew.
    let ended = persistently(async || end(client, id, ending, reason).await, never).await?;
    let ended: Request = parsed(&ended)?;
    Ok(ended.state.to_string())
}
