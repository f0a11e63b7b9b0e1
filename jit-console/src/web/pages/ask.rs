//! Asking for access.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use jit_core::approval::ask::Ask;
use jit_core::broker::Filter;
use jit_core::id::ResourceName;
use jit_core::policy::Offer;
use jit_core::policy::terms::Scope;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::form::{Errors, Posted, filled, lines, several, shown};
use super::words;
use crate::dto::{AskBody, Count};
use crate::extract::Params;
use crate::problem::Problem;
use crate::web::Console;
use crate::web::errands::Typed;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::handoff::{Guarded, Return, Why};
use crate::web::slips::random;
use crate::web::visitor::Visitor;

/// The fields that the form shows.
const FIELDS: [&str; 7] = [
    "reason",
    "ticket",
    "duration",
    "start",
    "methods",
    "paths",
    "max_requests",
];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AskParams {
    /// The slip of a guarded page.
    back: Option<String>,
    resource: Option<String>,
    policy: Option<String>,
    /// The errand of someone who has proven a second factor since.
    kept: Option<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(in crate::web) struct AskForm {
    csrf: String,
    back: String,
    /// The form's own name for this asking: sent twice, it asks once.
    key: String,
    resource: String,
    policy: String,
    reason: String,
    ticket: String,
    duration: String,
    start: String,
    methods: String,
    paths: String,
    max_requests: String,
    /// `ask`, or `break_glass`.
    kind: String,
}

impl AskForm {
    fn breaks_glass(&self) -> bool {
        self.kind == "break_glass"
    }

    /// How much was typed, in bytes.
    pub(in crate::web) fn len(&self) -> usize {
        let all = [
            &self.back,
            &self.resource,
            &self.policy,
            &self.reason,
            &self.ticket,
            &self.duration,
            &self.start,
            &self.methods,
            &self.paths,
            &self.max_requests,
            &self.kind,
        ];
        all.iter().map(|text| text.len()).sum()
    }

    /// The page of this form.
    fn page(&self) -> String {
        let mut page = format!("/ask?resource={}", words::encoded(&self.resource));
        for (name, value) in [("policy", &self.policy), ("back", &self.back)] {
            if !value.is_empty() {
                page.push_str(&format!("&{name}={}", words::encoded(value)));
            }
        }
        page
    }

    /// To be shown again.
    fn again(self) -> Self {
        Self {
            reason: shown(&self.reason),
            ticket: shown(&self.ticket),
            duration: shown(&self.duration),
            start: shown(&self.start),
            methods: shown(&self.methods),
            paths: shown(&self.paths),
            max_requests: shown(&self.max_requests),
            ..self
        }
    }

    fn read(&self) -> Result<Ask, Problem> {
        let count = filled(&self.max_requests);
        AskBody {
            resource: self.resource.clone(),
            reason: Some(self.reason.clone()),
            duration: filled(&self.duration),
            policy: filled(&self.policy),
            ticket: filled(&self.ticket),
            start: filled(&self.start).map(in_utc),
            methods: several(&self.methods).map(|methods| {
                let upper = methods.into_iter().map(|method| method.to_ascii_uppercase());
                upper.collect()
            }),
            paths: lines(&self.paths),
            max_requests: count
                .map(|count| Count::typed("max_requests", &count))
                .transpose()?,
            max_bytes: None,
            selector: None,
            extends: None,
            break_glass: Some(self.breaks_glass()),
        }
        .try_into()
    }
}

/// What a browser's field for date and time sends is without a zone; the form says that it means UTC.
fn in_utc(typed: String) -> String {
    match typed.len() {
        16 => format!("{typed}:00Z"),
        19 => format!("{typed}Z"),
        _ => typed,
    }
}

#[derive(Template)]
#[template(path = "choose.html")]
struct ChoosePage {
    frame: Frame,
    refused: Option<String>,
    /// What was wanted and can't be asked for.
    missing: Option<String>,
    choices: Vec<Choice>,
}

struct Choice {
    url: String,
    resource: String,
    places: String,
    longest: String,
}

#[derive(Template)]
#[template(path = "ask.html")]
struct AskPage {
    frame: Frame,
    refused: Option<String>,
    /// What became of the visitor's last request for it.
    last: Option<String>,
    /// Whether what is in the form was typed before a second factor was proven.
    kept: bool,
    csrf: String,
    key: String,
    resource: String,
    hosts: String,
    paths: Vec<String>,
    methods: String,
    policy: String,
    others: Vec<Choice>,
    default: String,
    longest: String,
    agreement: Vec<String>,
    sign_in: Option<String>,
    reason_required: bool,
    reason_least: u16,
    ticket: Option<Ticket>,
    /// Whether it can be asked for at all, other than by breaking the glass.
    regular: bool,
    glass: Option<String>,
    typed: AskForm,
    errors: Errors,
    /// What was wrong with an attempt to break the glass.
    glass_errors: Errors,
}

struct Ticket {
    required: bool,
    pattern: String,
}

/// The page that sent the visitor here.
fn came_from<'v>(visitor: &'v Visitor, slip: &str) -> Option<&'v Guarded> {
    match visitor.session.way_back(slip) {
        Some(Return::Guarded(guarded)) => Some(guarded),
        _ => None,
    }
}

/// What do you want to do?
pub(super) async fn form(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    let params: AskParams = params.read()?;
    let kept = params.kept.as_deref();
    if let Some(form) = kept.and_then(|slip| console.errand(&visitor, slip)?.ask()) {
        return show(&console, &visitor, form.again(), None, true).await;
    }
    let back = params.back.filter(|slip| came_from(&visitor, slip).is_some());
    let refused = back.as_deref().and_then(|slip| came_from(&visitor, slip));
    let wanted = match refused.map(|guarded| &guarded.why) {
        Some(Why::Ask(resource)) => Some(resource.to_string()),
        _ => None,
    };
    let typed = AskForm {
        back: back.clone().unwrap_or_default(),
        resource: params.resource.or(wanted).unwrap_or_default(),
        policy: params.policy.unwrap_or_default(),
        ..AskForm::default()
    };
    show(&console, &visitor, typed, None, false).await
}

/// Asks.
pub(super) async fn ask(
    State(console): State<Console>,
    visitor: Visitor,
    form: Result<Posted<AskForm>, Failure>,
) -> Result<Response, Failure> {
    let Posted(form) = form?;
    visitor.check(&form.csrf, "ask", &form.resource)?;
    let asked = async {
        let ask = form.read()?;
        let key = Some(form.key.as_str()).filter(|key| !key.is_empty());
        let asked = console.0.broker.ask(&visitor.actor, ask, key).await;
        asked.map_err(Problem::from)
    };
    match asked.await {
        Ok(asked) => {
            let id = asked.view.request.id;
            let onwards = match came_from(&visitor, &form.back) {
                Some(_) => format!("/requests/{id}?back={}", form.back),
                None => format!("/requests/{id}"),
            };
            Ok(Redirect::to(&onwards).into_response())
        }
        Err(problem) => match console.mend(&visitor, &problem).await {
            Some(wanted) => {
                let step_up = console.step_up(&visitor, form.page(), Some(wanted), Some(Typed::Ask(form)))?;
                Ok(Redirect::to(&step_up).into_response())
            }
            None => show(&console, &visitor, form.again(), Some(&problem), false).await,
        },
    }
}

async fn show(
    console: &Console,
    visitor: &Visitor,
    mut typed: AskForm,
    problem: Option<&Problem>,
    kept: bool,
) -> Result<Response, Failure> {
    let offers = console.0.broker.offers(&visitor.actor);
    let refused = came_from(visitor, &typed.back).map(Guarded::url);
    if refused.is_none() {
        typed.back.clear();
    }
    let suits = |offer: &&Offer| {
        offer.resource.name.as_str() == typed.resource
            && (typed.policy.is_empty() || offer.terms.policy.as_str() == typed.policy)
    };
    let lead = offers.iter().filter(suits).min_by_key(|offer| offer.break_glass);
    let Some(lead) = lead else {
        return choose(visitor, &typed, refused, &offers, problem);
    };
    let (resource, terms) = (&lead.resource, &lead.terms);
    let twin = |offer: &&Offer| {
        offer.break_glass && offer.resource.name == resource.name && offer.terms.policy == terms.policy
    };
    let glass = offers
        .iter()
        .find(twin)
        .and_then(|offer| offer.terms.break_glass.as_ref());
    let other = |offer: &&Offer| offer.resource.name == resource.name && offer.terms.policy != terms.policy;
    let mut others: Vec<Choice> = Vec::new();
    for offer in offers.iter().filter(other) {
        let choice = choice(offer, &typed.back, true);
        if others.iter().all(|known| known.url != choice.url) {
            others.push(choice);
        }
    }
    let errors = |broken: bool| match problem {
        Some(problem) if typed.breaks_glass() == broken => Errors::new(problem, &FIELDS),
        _ => Errors::default(),
    };
    let (regular_errors, glass_errors) = (errors(false), errors(true));
    // The form for an emergency asks for no duration.
    if (problem.is_none() && !kept) || typed.breaks_glass() {
        typed.duration = terms.duration.default.to_string();
    }
    let last = last(console, visitor, resource.name.clone()).await?;
    let whole = Scope::default();
    let shown = page(&AskPage {
        frame: visitor.frame("requests", format!("Access to {}", resource.name)),
        refused,
        last,
        kept,
        csrf: visitor.session.token("ask", resource.name.as_str()).to_string(),
        key: random(16)?,
        resource: resource.name.to_string(),
        hosts: words::list(&resource.hosts),
        paths: words::paths(resource, &whole),
        methods: words::methods(resource, &whole),
        policy: terms.policy.to_string(),
        others,
        default: words::length(terms.duration.default),
        longest: words::length(terms.duration.max),
        agreement: words::agreement(terms, true),
        sign_in: terms.mfa.as_ref().map(words::sign_in),
        reason_required: terms.reason.required,
        reason_least: terms.reason.min_length,
        ticket: (terms.ticket.required || terms.ticket.pattern.is_some()).then(|| Ticket {
            required: terms.ticket.required,
            pattern: terms.ticket.pattern.clone().unwrap_or_default(),
        }),
        regular: !lead.break_glass,
        glass: glass.map(words::glass),
        typed,
        errors: regular_errors,
        glass_errors,
    })?;
    let status = problem.map_or(StatusCode::OK, |problem| problem.kind().status());
    Ok((status, shown).into_response())
}

/// What became of the visitor's last request for a resource: whoever is refused in the midst of their work learns here that it has ended, and why.
async fn last(
    console: &Console,
    visitor: &Visitor,
    resource: ResourceName,
) -> Result<Option<String>, Failure> {
    let broker = &console.0.broker;
    let filter = Filter {
        mine: true,
        resource: Some(resource),
        limit: 1,
        ..Filter::default()
    };
    let listing = broker.list(&visitor.actor, &filter).await?;
    let now = broker.now();
    let request = listing.items.first().map(|view| &view.request);
    Ok(request
        .filter(|request| request.state.is_terminal())
        .map(|request| {
            let reason = request.end.as_ref().map(|end| clean(&end.reason));
            match reason.filter(|reason| !reason.is_empty()) {
                Some(reason) => format!("{} Why: “{reason}”", words::standing(request, now)),
                None => words::standing(request, now),
            }
        }))
}

fn choose(
    visitor: &Visitor,
    typed: &AskForm,
    refused: Option<String>,
    offers: &[Offer],
    problem: Option<&Problem>,
) -> Result<Response, Failure> {
    let mut choices: Vec<Choice> = Vec::new();
    for offer in offers {
        let choice = choice(offer, &typed.back, false);
        if choices.iter().all(|known| known.url != choice.url) {
            choices.push(choice);
        }
    }
    let shown = page(&ChoosePage {
        frame: visitor.frame("requests", "Request access"),
        refused,
        missing: filled(&typed.resource).map(|resource| jit_core::policy::text::clean(&resource)),
        choices,
    })?;
    let status = problem.map_or(StatusCode::OK, |problem| problem.kind().status());
    Ok((status, shown).into_response())
}

fn choice(offer: &Offer, back: &str, named: bool) -> Choice {
    let resource = offer.resource.name.as_str();
    let mut url = format!("/ask?resource={}", words::encoded(resource));
    if named {
        url.push_str(&format!(
            "&policy={}",
            words::encoded(offer.terms.policy.as_str())
        ));
    }
    if !back.is_empty() {
        url.push_str(&format!("&back={}", words::encoded(back)));
    }
    let longest = match &offer.terms.break_glass {
        Some(glass) if offer.break_glass => glass.max,
        _ => offer.terms.duration.max,
    };
    Choice {
        url,
        resource: if named {
            offer.terms.policy.to_string()
        } else {
            resource.to_owned()
        },
        places: format!(
            "{} {}",
            words::list(&offer.resource.hosts),
            words::list(&offer.resource.paths)
        ),
        longest: words::length(longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_without_a_zone_is_in_utc() {
        for (typed, meant) in [
            ("2026-03-01T09:00", "2026-03-01T09:00:00Z"),
            ("2026-03-01T09:00:30", "2026-03-01T09:00:30Z"),
            ("2026-03-01T09:00:00Z", "2026-03-01T09:00:00Z"),
            ("soon", "soon"),
        ] {
            assert_eq!(in_utc(typed.to_owned()), meant);
        }
    }
}
