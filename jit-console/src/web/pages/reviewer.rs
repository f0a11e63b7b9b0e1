//! What helps a reviewer to decide on a request: who asks, what they had before, what else is open there, and the form itself.

use std::collections::BTreeMap;

use jit_core::approval::ask::Assurance;
use jit_core::approval::request::Request;
use jit_core::approval::review::Decision;
use jit_core::approval::state::State;
use jit_core::broker::{Filter, View};
use jit_core::gate::authenticate::Subject;
use jit_core::id::Timestamp;
use jit_core::policy::terms::MfaTerms;

use super::rows::Row;
use super::words;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::visitor::Visitor;

/// How many earlier requests of the same person a reviewer is shown.
const BEFORE: usize = 5;
/// How many requests of a resource are looked through for them, and for other live grants.
const LOOKED_AT: usize = 100;

/// What helps to decide: what the person had before, and what else is open there.
pub(super) struct History {
    pub(super) before: Vec<Row>,
    pub(super) live: Vec<Row>,
}

/// The form of a reviewer.
pub(super) struct ReviewSheet {
    pub(super) csrf: String,
    pub(super) digest: String,
    /// Whether the visitor may approve in this stage; denying is for reviewers of every stage.
    pub(super) approves: bool,
    pub(super) earlier: Option<&'static str>,
    pub(super) sign_in: Option<String>,
    /// Whether that can be made good here.
    pub(super) mends: bool,
    /// Whether the approval can be signed with a passkey.
    pub(super) signs: bool,
    /// Whether the stage wants a second factor, proven already or not.
    pub(super) strict: bool,
    pub(super) budget: String,
}

/// The form, as this visitor may use it.
pub(super) async fn review_sheet(
    console: &Console,
    visitor: &Visitor,
    request: &Request,
    now: Timestamp,
) -> Result<ReviewSheet, Failure> {
    let me = &visitor.actor.person;
    let digest = request.digest.to_string();
    let mine = request.reviews.iter().find(|review| review.person == me.id);
    let stage = request.ruling.terms.stages.get(usize::from(request.stage));
    let short = |terms: &&MfaTerms| !visitor.actor.assurance.satisfies(terms, now);
    let mfa = stage.and_then(|stage| stage.mfa.as_ref());
    let wanted = mfa.filter(short);
    let mends = match wanted {
        Some(wanted) => console.factors(visitor, Some(wanted)).await?.any(),
        None => false,
    };
    Ok(ReviewSheet {
        csrf: visitor.session.token("review", &digest).to_string(),
        digest,
        approves: request.may_fill(request.stage, me, now),
        earlier: mine.map(|review| match review.decision {
            Decision::Approve => {
                "You have approved this already. While it waits you can still change your mind."
            }
            Decision::Deny => "You have denied this already.",
        }),
        sign_in: wanted.map(words::sign_in),
        mends,
        signs: console.has_passkey(&me.id).await?,
        strict: mfa.is_some(),
        budget: (request.ruling.max_requests).map_or_else(|| "no limit".to_owned(), |most| most.to_string()),
    })
}

/// The roles that the requester has now, as the Directory says.
pub(super) async fn roles(console: &Console, request: &Request) -> String {
    let subject = Subject {
        principal: request.requester.principal.clone(),
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
        expires_at: None,
    };
    match console.0.broker.identify(&subject).await {
        Ok(actor) if actor.person.roles.is_empty() => "none".to_owned(),
        Ok(actor) => {
            let roles: Vec<String> = actor.person.roles.iter().map(ToString::to_string).collect();
            roles.join(", ")
        }
        Err(_) => "not known: the directory does not vouch for this person now".to_owned(),
    }
}

/// What was and is open at the resource, as far as the visitor may see it.
pub(super) async fn history(
    console: &Console,
    visitor: &Visitor,
    request: &Request,
    now: Timestamp,
) -> Result<History, Failure> {
    let mut filter = Filter {
        resource: Some(request.ruling.resource.name.clone()),
        limit: LOOKED_AT,
        ..Filter::default()
    };
    let others = console.0.broker.list(&visitor.actor, &filter).await?.items;
    filter.states = vec![State::Scheduled, State::Active];
    let live = console.0.broker.list(&visitor.actor, &filter).await?.items;
    let other = |view: &&View| view.request.id != request.id;
    let same = |view: &&View| view.request.requester.person == request.requester.person;
    let row = |view: &View| Row::new(view, now);
    Ok(History {
        before: others
            .iter()
            .filter(other)
            .filter(same)
            .take(BEFORE)
            .map(row)
            .collect(),
        live: live.iter().filter(other).map(row).collect(),
    })
}
