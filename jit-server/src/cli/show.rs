//! `jit show`: one request, with all that a reviewer decides on.

use clap::Args;
use jit_core::id::RequestId;
use jit_core::span::Span;
use serde_json::Value;

use super::answers::{Definition, People, Request, Review, Stage, Standing};
use super::client::{Client, parsed};
use super::connect::Connect;
use super::exit::Failure;
use super::inert::{Text, json};
use super::screen::{Shown, facts, print};
use super::wait::{Until, wait};

/// What `jit show` is told.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "With --wait it exits with 0 when access is granted, 4 when it is not, 5 when nobody has decided in time."
)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct ShowArgs {
    /// The request's id, req_….
    pub id: RequestId,
    /// Wait until it is decided; for as long as that takes, or for at most this long.
    #[arg(long, value_name = "DURATION", num_args = 0..=1, require_equals = true)]
    pub wait: Option<Option<Span>>,
    /// Where, and as whom.
    #[command(flatten)]
    pub connect: Connect,
    /// How it is printed.
    #[command(flatten)]
    pub shown: Shown,
}

pub(super) async fn run(args: &ShowArgs) -> Result<(), Failure> {
    let client = args.connect.client()?;
    let mut answer = read(&client, args.id).await?;
    if let Some(limit) = args.wait {
        answer = wait(&client, answer, Until::Granted, limit).await?;
    }
    show(&answer, args.shown.is_json())
}

pub(super) async fn read(client: &Client, id: RequestId) -> Result<Value, Failure> {
    client.get(&format!("v1/requests/{id}"), &[]).await
}

/// Prints a request as it was asked to be printed.
pub(super) fn show(answer: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        return print(&json(answer));
    }
    print(&sheet(&parsed(answer)?))
}

/// A request in words.
pub(super) fn sheet(request: &Request) -> String {
    let requester = &request.requester;
    let narrowed = request.grant.as_ref().map(|grant| &grant.scope);
    facts(&[
        ("request", Some(request.id.to_string())),
        ("state", Some(standing(request))),
        (
            "requester",
            Some(format!(
                "{} ({}; {}|{})",
                requester.name, requester.person, requester.principal.issuer, requester.principal.subject
            )),
        ),
        (
            "resource",
            Some(format!("{}: {}", request.resource, place(&request.definition))),
        ),
        ("methods", some(&request.methods)),
        ("paths", some(&request.paths)),
        ("duration", Some(request.duration.to_string())),
        ("start", text(request.start.as_ref())),
        ("reason", Some(format!("“{}”", request.reason))),
        ("ticket", text(request.ticket.as_ref())),
        ("at most", at_most(request)),
        (
            "opened by",
            (request.selector.as_str() != "principal").then(|| {
                let issued = request.credential_issued_at.as_ref();
                let issued = issued.map_or_else(String::new, |at| format!(", issued at {at}"));
                format!("a {} of its own{issued}", request.selector)
            }),
        ),
        ("continues", request.extends.map(|id| id.to_string())),
        (
            "break-glass",
            request.break_glass.as_ref().map(|glass| {
                let done = if glass.reviewed {
                    "reviewed"
                } else {
                    "not reviewed yet"
                };
                format!("yes: access without approval; {done}, due {}", glass.review_by)
            }),
        ),
        (
            "after-review",
            (request
                .break_glass
                .as_ref()
                .and_then(|glass| glass.review.as_ref()))
            .map(|review| {
                let comment = commented(&review.comment);
                format!(
                    "{} found it {}{comment} at {}",
                    review.person, review.finding, review.at
                )
            }),
        ),
        ("policy", Some(request.policy.to_string())),
        ("asked at", Some(request.asked_at.to_string())),
        (
            "times out",
            (request.standing() == Standing::Pending).then(|| request.pending_until.to_string()),
        ),
        ("stages", listed(request.stages.iter().map(stage))),
        ("reviews", listed(request.reviews.iter().map(review))),
        ("window", window(request)),
        ("granted methods", narrowed.and_then(|scope| some(&scope.methods))),
        ("granted paths", narrowed.and_then(|scope| some(&scope.paths))),
        (
            "ended",
            request.end.as_ref().map(|end| {
                let by = end.cause.person.as_ref().unwrap_or(&end.cause.by);
                let why = if end.reason.as_str().is_empty() {
                    String::new()
                } else {
                    format!(": “{}”", end.reason)
                };
                format!("{} by {by}{why}", end.at)
            }),
        ),
        ("digest", Some(request.digest.to_string())),
    ])
}

/// The state, and what it waits for.
pub(super) fn standing(request: &Request) -> String {
    let open = request
        .stages
        .get(request.stage)
        .filter(|_| request.standing() == Standing::Pending);
    match open {
        Some(stage) => format!(
            "{}: {} has {} of {}",
            request.state, stage.name, stage.filled, stage.quorum
        ),
        None => request.state.to_string(),
    }
}

pub(super) fn place(definition: &Definition) -> String {
    let methods = if definition.methods.is_empty() {
        String::new()
    } else {
        format!("{} ", joined(&definition.methods))
    };
    format!(
        "{methods}{} {}",
        joined(&definition.hosts),
        joined(&definition.paths)
    )
}

fn at_most(request: &Request) -> Option<String> {
    let requests = request.max_requests.map(|most| format!("{most} requests"));
    let bytes = request.max_bytes.map(|most| format!("{most} bytes"));
    listed(requests.into_iter().chain(bytes))
}

fn window(request: &Request) -> Option<String> {
    let (from, until) = request.not_before.as_ref().zip(request.not_after.as_ref())?;
    Some(format!("{from} until {until}"))
}

fn stage(stage: &Stage) -> String {
    format!(
        "{} {} of {} by {}",
        stage.name,
        stage.filled,
        stage.quorum,
        people(&stage.approvers)
    )
}

pub(super) fn people(people: &People) -> String {
    let roles = people.roles.iter().map(|role| format!("role {role}"));
    let all: Vec<String> = roles.chain(people.persons.iter().map(Text::to_string)).collect();
    all.join(" or ")
}

fn commented(comment: &Text) -> String {
    if comment.as_str().is_empty() {
        String::new()
    } else {
        format!(" “{comment}”")
    }
}

fn review(review: &Review) -> String {
    let comment = commented(&review.comment);
    format!("{} {}{comment} at {}", review.name, review.decision, review.at)
}

fn listed(items: impl Iterator<Item = String>) -> Option<String> {
    let items: Vec<String> = items.collect();
    (!items.is_empty()).then(|| items.join("; "))
}

fn some(texts: &[Text]) -> Option<String> {
    (!texts.is_empty()).then(|| joined(texts))
}

fn text(text: Option<&Text>) -> Option<String> {
    text.map(Text::to_string)
}

pub(super) fn joined(texts: &[Text]) -> String {
    texts.iter().map(Text::as_str).collect::<Vec<_>>().join(", ")
}
