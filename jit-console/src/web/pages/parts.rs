//! The parts of a request, as its page shows them: limits, stages, what reviewers said.

use jit_core::approval::ask::{Route, Selector};
use jit_core::approval::event::Finding;
use jit_core::approval::request::Request;
use jit_core::approval::review::{Decision, Narrowing};
use jit_core::approval::state::State;
use jit_core::id::Timestamp;
use jit_core::policy::text::clean;

use super::words::{self, Badge, Moment};
use crate::view::filled;

/// A stage, and how far it is.
pub(super) struct StageRow {
    pub(super) name: String,
    pub(super) wants: String,
    pub(super) so_far: String,
    pub(super) current: bool,
}

/// What a reviewer said.
pub(super) struct ReviewRow {
    pub(super) who: String,
    pub(super) badge: Badge,
    pub(super) comment: String,
    pub(super) less: String,
    /// With a passkey.
    pub(super) signed: bool,
    pub(super) at: Moment,
}

/// What a break-glass owes.
pub(super) fn glass(request: &Request, now: Timestamp) -> Option<String> {
    let debt = request.break_glass.as_ref()?;
    Some(match &debt.review {
        None => format!(
            "The glass was broken. Another person has to look into it; due {}.",
            Moment::new(debt.review_by, now)
        ),
        Some(review) => {
            let found = match review.finding {
                Finding::Justified => "called for",
                Finding::Unjustified => "not called for",
            };
            let comment = clean(&review.comment);
            let comment = if comment.is_empty() {
                String::new()
            } else {
                format!(" “{comment}”")
            };
            format!(
                "The glass was broken. {} looked into it and found it {found}.{comment}",
                review.person
            )
        }
    })
}

/// What ends the access besides its time.
pub(super) fn limits(request: &Request) -> Vec<String> {
    let ruling = &request.ruling;
    let grant = request.grant.as_ref();
    let requests = grant.map_or(ruling.max_requests, |grant| grant.max_requests);
    let bytes = grant.map_or(ruling.max_bytes, |grant| grant.max_bytes);
    let terms = &ruling.terms;
    let all = [
        requests.map(|most| format!("at most {most} HTTP requests")),
        bytes.map(|most| format!("at most {most} bytes to the client")),
        (terms.limits.concurrent).map(|most| format!("at most {most} at once")),
        (terms.use_within).map(|span| format!("ends if not used within {}", words::length(span))),
        (terms.idle_timeout).map(|span| format!("ends when idle for {}", words::length(span))),
        (ruling.selector == Selector::Credential).then(|| "opened by a credential of its own".to_owned()),
    ];
    all.into_iter().flatten().collect()
}

/// The stages, in their order.
pub(super) fn stages(request: &Request) -> Vec<StageRow> {
    let stages = request.ruling.terms.stages.iter().enumerate();
    stages
        .map(|(number, stage)| StageRow {
            name: stage.name.to_string(),
            wants: words::stage(stage),
            so_far: format!("{} of {}", filled(request, number), stage.quorum),
            current: request.state == State::Pending && number == usize::from(request.stage),
        })
        .collect()
}

/// What the reviewers said, in the order in which they did.
pub(super) fn reviews(request: &Request, now: Timestamp) -> Vec<ReviewRow> {
    let reviews = request.reviews.iter();
    reviews
        .map(|review| ReviewRow {
            who: clean(&review.name),
            badge: decision(review.decision),
            comment: clean(&review.comment),
            less: less(&review.narrowing),
            signed: review.evidence.is_some(),
            at: Moment::new(review.at, now),
        })
        .collect()
}

/// Why nobody had to agree.
pub(super) fn nobody(request: &Request) -> Option<&'static str> {
    match request.ruling.route {
        Route::Stages => None,
        Route::Automatic { .. } => Some("Nobody had to agree: the policy grants it at once."),
        Route::BreakGlass => Some("Nobody was asked: the glass was broken."),
    }
}

fn decision(decision: Decision) -> Badge {
    let (class, word) = match decision {
        Decision::Approve => ("open", "Approved"),
        Decision::Deny => ("no", "Denied"),
    };
    Badge { class, word }
}

/// How an approval takes less than was asked.
pub(super) fn less(narrowing: &Narrowing) -> String {
    let parts = [
        narrowing
            .duration
            .map(|span| format!("for {}", words::length(span))),
        (!narrowing.methods.is_empty()).then(|| format!("only {}", words::list(&narrowing.methods))),
        (!narrowing.paths.is_empty()).then(|| format!("only {}", words::list(&narrowing.paths))),
        narrowing
            .max_requests
            .map(|most| format!("at most {most} HTTP requests")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    parts.join(", ")
}
