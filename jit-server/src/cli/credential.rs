//! `jit credential`: the secret that opens one grant, for what can't act as its holder.
//!
//! 1. The secret is printed once, to standard output, alone on its line, and nowhere else: what goes with it is said on standard error.
//! 2. A grant has one at a time. Whoever would end one that is in use has to say so: `take` is for the first, `rotate` for the next.

use clap::{Args, Subcommand};
use jit_core::id::RequestId;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::answers::Request;
use super::client::{Client, parsed};
use super::connect::Connect;
use super::exit::{Exit, Failure};
use super::inert::{self, Text};
use super::retry::persistently;
use super::screen::{Shown, print, tell};
use super::show::read;

/// What `jit credential` does.
#[derive(Debug, Clone, Subcommand)]
#[expect(clippy::exhaustive_enums, reason = "a command line is its options")]
pub enum CredentialCommand {
    /// Takes the first credential of a grant, and prints it.
    Take(CredentialArgs),
    /// Takes another one, and prints it. The one before ends.
    Rotate(CredentialArgs),
}

/// What both are told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "For a grant of your own that was asked for with --selector credential. Whoever has the credential uses the grant, and nothing \
    else of yours: send it in the header Jit-Credential. It is printed once and can't be read again; it ends with its grant. Don't \
    print it into a job's log: jit credential take ID >file, after umask 077."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct CredentialArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What was issued. Not `Debug`: what can't be printed is not printed by accident.
#[derive(Deserialize)]
struct Issued {
    credential: Text,
    header: Text,
    cookie: Text,
    request: Request,
}

impl CredentialCommand {
    pub(super) const fn shown(&self) -> &Shown {
        match self {
            Self::Take(args) | Self::Rotate(args) => &args.shown,
        }
    }
}

pub(super) async fn run(command: &CredentialCommand) -> Result<(), Failure> {
    let (args, first) = match command {
        CredentialCommand::Take(args) => (args, true),
        CredentialCommand::Rotate(args) => (args, false),
    };
    let (client, id) = (args.connect.client()?, args.id);
    let known: Request = parsed(&read(&client, id).await?)?;
    match (&known.credential_issued_at, first) {
        (Some(at), true) => {
            let text = format!(
                "{id} has a credential since {at}\n  To end that one and take another: jit credential rotate {id}"
            );
            return Err(Failure::new(Exit::Changed, text));
        }
        (None, false) if known.selector.as_str() == "credential" => {
            let text = format!("{id} has no credential yet\n  To take one: jit credential take {id}");
            return Err(Failure::new(Exit::Changed, text));
        }
        _ => {}
    }
    let answer = issue(&client, id).await?;
    if args.shown.is_json() {
        return print(&inert::json(&answer));
    }
    let issued: Issued = parsed(&answer)?;
    print(issued.credential.as_str())?;
    let until = (issued.request.not_after.as_ref()).map_or_else(String::new, |at| format!(", until {at}"));
    tell(&format!(
        "It opens {id}{until}: send it in the header {}, or in the cookie {}. It is not shown again.",
        issued.header, issued.cookie
    ));
    Ok(())
}

async fn issue(client: &Client, id: RequestId) -> Result<Value, Failure> {
    client
        .post(&format!("v1/requests/{id}/credential"), &json!({}))
        .await
}

/// Takes a credential for a grant that has just opened.
pub(super) async fn taken(client: &Client, id: RequestId) -> Result<String, Failure> {
    // Issued twice if the first answer is lost: the one that nobody has ends with that.
    let (_stop, never) = watch::channel(false);
    let answer = persistently(async || issue(client, id).await, never).await?;
    let issued: Issued = parsed(&answer)?;
    Ok(issued.credential.as_str().to_owned())
}
