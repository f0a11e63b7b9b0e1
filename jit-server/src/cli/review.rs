//! `jit approve` and `jit deny`: deciding on exactly what was seen.
//!
//! 1. The request is read first and shown, and the review names the digest of what was shown. If the request changes in between, the
//!    server refuses the review.
//! 2. On a terminal whoever sits there is asked, unless they said `--yes` or named the digest themselves.
//! 3. Without a terminal nobody has seen what would be shown. To approve there, the digest must be named: it was seen somewhere
//!    else. `--yes` is not enough. To deny, it is: nobody gets anything by that.

use clap::Args;
use jit_core::id::{Digest, RequestId};
use jit_core::span::Span;
use serde_json::{Value, json};

use super::answers::Request;
use super::client::parsed;
use super::connect::Connect;
use super::exit::{Exit, Failure};
use super::screen::{Shown, is_attended, is_confirmed, tell};
use super::show::{read, sheet, show};

/// What both are told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ReviewArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// In words, for the requester and the log.
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// The digest of the request as you saw it, from `jit show`; refused if it has changed since.
    #[arg(long, value_name = "DIGEST")]
    pub digest: Option<Digest>,
    /// Don't ask. To approve without a terminal this is not enough: name the digest.
    #[arg(short, long)]
    pub yes: bool,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

/// What `jit approve` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "The request is shown before you are asked, and only what was shown is approved. A script has seen nothing: without a \
    terminal, name the digest of what a person saw, with --digest."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ApproveArgs {
    /// Which, and how sure.
    #[command(flatten)]
    pub review: ReviewArgs,
    /// Approve a shorter window.
    #[arg(short, long, value_name = "DURATION")]
    pub duration: Option<Span>,
    /// Approve only this method; may be given several times.
    #[arg(long = "method", value_name = "METHOD")]
    pub methods: Vec<String>,
    /// Approve only this path and what is below; may be given several times.
    #[arg(long = "path", value_name = "PATH")]
    pub paths: Vec<String>,
    /// Approve fewer HTTP requests.
    #[arg(long, value_name = "NUMBER")]
    pub max_requests: Option<u64>,
}

/// What it takes before a review is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Consent {
    Given,
    Ask,
    NameTheDigest,
    SayYes,
}

fn consent(approves: bool, attended: bool, yes: bool, digest: bool) -> Consent {
    match (approves, attended) {
        _ if digest => Consent::Given,
        (true, false) => Consent::NameTheDigest,
        (true, true) | (false, _) if yes => Consent::Given,
        (_, true) => Consent::Ask,
        (false, false) => Consent::SayYes,
    }
}

pub(super) async fn approve(args: &ApproveArgs) -> Result<(), Failure> {
    let mut body = json!({ "decision": "approve" });
    if let Some(duration) = args.duration {
        body["duration"] = duration.to_string().into();
    }
    if !args.methods.is_empty() {
        body["methods"] = args.methods.clone().into();
    }
    if !args.paths.is_empty() {
        body["paths"] = args.paths.clone().into();
    }
    if let Some(most) = args.max_requests {
        body["max_requests"] = most.into();
    }
    let less = args
        .duration
        .map(|duration| format!(" for at most {duration}"))
        .unwrap_or_default();
    review(&args.review, body, true, &format!("Approve this{less}?")).await
}

pub(super) async fn deny(args: &ReviewArgs) -> Result<(), Failure> {
    review(args, json!({ "decision": "deny" }), false, "Deny this?").await
}

async fn review(args: &ReviewArgs, mut body: Value, approves: bool, question: &str) -> Result<(), Failure> {
    let id = args.id;
    let consent = consent(approves, is_attended(), args.yes, args.digest.is_some());
    match consent {
        Consent::Given | Consent::Ask => {}
        Consent::NameTheDigest => {
            return Err(Failure::usage(format!(
                "without a terminal nobody sees what is approved; look at it (jit show {id}), then name its digest with --digest"
            )));
        }
        Consent::SayYes => {
            return Err(Failure::usage(
                "without a terminal nobody can be asked; say --yes, or name the digest with --digest",
            ));
        }
    }
    let client = args.connect.client()?;
    let request: Request = parsed(&read(&client, id).await?)?;
    tell(&sheet(&request));
    if let Some(digest) = args.digest.filter(|digest| *digest != request.digest) {
        return Err(Failure::new(
            Exit::Changed,
            format!(
                "{id} has changed: its digest is {}, not {digest}\n  Nothing was decided. Look at it again: jit show {id}",
                request.digest
            ),
        ));
    }
    if consent == Consent::Ask && !is_confirmed(question)? {
        return Err(Failure::failed("nothing was decided"));
    }
    // What was named, if anything was: the server compares it once more.
    body["digest"] = args.digest.unwrap_or(request.digest).to_string().into();
    if let Some(comment) = &args.comment {
        body["comment"] = comment.as_str().into();
    }
    let reviewed = client.post(&format!("v1/requests/{id}/review"), &body).await?;
    show(&reviewed, args.shown.is_json())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_approves_nothing_that_nobody_has_seen() {
        for (approves, attended, yes, digest, expected) in [
            (true, true, false, false, Consent::Ask),
            (true, true, true, false, Consent::Given),
            (true, true, false, true, Consent::Given),
            (true, false, false, false, Consent::NameTheDigest),
            (true, false, true, false, Consent::NameTheDigest),
            (true, false, false, true, Consent::Given),
            (false, true, false, false, Consent::Ask),
            (false, true, true, false, Consent::Given),
            (false, false, false, false, Consent::SayYes),
            (false, false, true, false, Consent::Given),
            (false, false, false, true, Consent::Given),
        ] {
            let row = (approves, attended, yes, digest);
            assert_eq!(consent(approves, attended, yes, digest), expected, "{row:?}");
        }
    }
}
