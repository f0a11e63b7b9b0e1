//! Who can get what: everything that the visitor may ask for, and what others may whose requests the visitor would see.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use jit_core::policy::Offer;
use jit_core::policy::terms::Scope;
use serde::Deserialize;

use super::words;
use crate::extract::Params;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NoParams {}

#[derive(Template)]
#[template(path = "policies.html")]
struct PoliciesPage {
    frame: Frame,
    groups: [Group; 2],
}

struct Group {
    /// Of one's own.
    own: bool,
    cards: Vec<Card>,
}

struct Card {
    url: String,
    resource: String,
    policy: String,
    tags: String,
    hosts: String,
    paths: Vec<String>,
    methods: String,
    who: String,
    default: String,
    longest: String,
    in_all: String,
    agreement: Vec<String>,
    automatic: bool,
    glass: Option<String>,
    sign_in: Option<String>,
}

impl Card {
    /// `own` is the visitor's: on what nobody is asked is for those to know who may ask.
    fn new(offer: &Offer, own: bool) -> Self {
        let (resource, terms) = (&offer.resource, &offer.terms);
        let whole = Scope::default();
        let glass = terms.break_glass.as_ref().filter(|_| offer.break_glass);
        let mfa = glass.map_or(terms.mfa.as_ref(), |glass| glass.mfa.as_ref());
        let requesters = glass.map_or(&terms.requesters, |glass| &glass.requesters);
        Self {
            url: format!(
                "/ask?resource={}&policy={}",
                words::encoded(resource.name.as_str()),
                words::encoded(terms.policy.as_str())
            ),
            resource: resource.name.to_string(),
            policy: terms.policy.to_string(),
            tags: words::list(&resource.tags),
            hosts: words::list(&resource.hosts),
            paths: words::paths(resource, &whole),
            methods: words::methods(resource, &whole),
            who: words::people(requesters),
            default: words::length(glass.map_or(terms.duration.default, |glass| {
                terms.duration.default.min(glass.max)
            })),
            longest: words::length(glass.map_or(terms.duration.max, |glass| glass.max)),
            in_all: words::length(glass.map_or(terms.duration.max_total, |glass| glass.max)),
            agreement: words::agreement(terms, own),
            automatic: terms.automatic.always,
            glass: glass.map(words::glass),
            sign_in: mfa.map(words::sign_in),
        }
    }
}

/// What may I ask for, and what may others?
pub(super) async fn policies(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let NoParams {} = params.read()?;
    let (policy, person) = (console.0.broker.policy(), &visitor.actor.person);
    let group = |own, offers: Vec<Offer>| Group {
        own,
        cards: offers.iter().map(|offer| Card::new(offer, own)).collect(),
    };
    let groups = [
        group(true, policy.offers(person)),
        group(false, policy.overseen(person)),
    ];
    page(&PoliciesPage {
        frame: visitor.frame("policies", "Policies"),
        groups,
    })
}
