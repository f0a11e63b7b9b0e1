//! Records of the audit log in plain sentences.

use std::collections::HashMap;

use jit_core::approval::event::{
    ApprovedBy, ControlEvent, Event, Finding, LockdownEvent, NamedPasskey, PersonEvent,
};
use jit_core::approval::request::Request;
use jit_core::approval::review::Decision;
use jit_core::broker::store::{Record, StreamId};
use jit_core::id::{RequestId, Timestamp};
use jit_core::policy::text::clean;

use super::lockdowns::target;
use super::words::{self, Moment};
use crate::web::Console;
use crate::web::visitor::Visitor;

/// A record, told.
pub(super) struct Told {
    pub(super) position: u64,
    pub(super) at: Moment,
    pub(super) sentence: String,
    /// The event's type, as the log names it.
    pub(super) kind: String,
    pub(super) resource: String,
    /// Everyone in it, by their ids.
    pub(super) people: Vec<String>,
    /// Where more is told.
    pub(super) url: Option<String>,
}

/// Tells records; remembers the requests that they are about.
pub(super) struct Teller<'a> {
    console: &'a Console,
    visitor: &'a Visitor,
    known: HashMap<RequestId, Option<Request>>,
}

impl<'a> Teller<'a> {
    pub(super) fn new(console: &'a Console, visitor: &'a Visitor) -> Self {
        Self {
            console,
            visitor,
            known: HashMap::new(),
        }
    }

    pub(super) async fn tell(&mut self, record: &Record, now: Timestamp) -> Told {
        let about = match &record.stream {
            StreamId::Request(id) => Some(*id),
            StreamId::Interactions(grant) => Some((*grant).into()),
            _ => None,
        };
        let request = match about {
            Some(id) => self.request(id).await,
            None => None,
        };
        let kind = kind(&record.body);
        let mut people: Vec<String> = request
            .iter()
            .map(|request| request.requester.person.to_string())
            .collect();
        let sentence = match &record.stream {
            StreamId::Request(_) => match (serde_json::from_str(&record.body), request) {
                (Ok(event), Some(request)) => told_event(&event, request, now, &mut people),
                _ => None,
            },
            StreamId::Person(_) => serde_json::from_str(&record.body)
                .ok()
                .and_then(|event| told_person(&event, &mut people)),
            StreamId::Lockdowns => serde_json::from_str(&record.body)
                .ok()
                .map(|event| told_lockdown(&event, &mut people)),
            StreamId::Control => serde_json::from_str(&record.body)
                .ok()
                .and_then(|event| told_control(&event)),
            StreamId::Interactions(_) => request.map(|request| told_deeds(&record.body, request)),
            _ => None,
        };
        Told {
            position: record.position,
            at: Moment::new(record.at, now),
            sentence: sentence
                .unwrap_or_else(|| format!("Something that this page has no words for ({kind}).")),
            resource: request.map_or_else(String::new, |request| request.ruling.resource.name.to_string()),
            kind,
            people,
            url: about.map(|id| format!("/audit/{id}")),
        }
    }

    async fn request(&mut self, id: RequestId) -> Option<&Request> {
        if !self.known.contains_key(&id) {
            let view = self.console.0.broker.view(&self.visitor.actor, id).await;
            self.known.insert(id, view.ok().map(|view| view.request));
        }
        self.known.get(&id).and_then(Option::as_ref)
    }
}

fn kind(body: &str) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let kind = body.get("type").and_then(serde_json::Value::as_str);
    clean(kind.unwrap_or("unreadable"))
}

/// `: “text”`, if there is any.
fn quoted(text: &str) -> String {
    let text = clean(text);
    if text.is_empty() {
        ".".to_owned()
    } else {
        format!(": “{text}”")
    }
}

fn told_event(event: &Event, request: &Request, now: Timestamp, people: &mut Vec<String>) -> Option<String> {
    let who = clean(&request.requester.name);
    let what = &request.ruling.resource.name;
    let mut involve = |person: &jit_core::id::PersonId| people.push(person.to_string());
    Some(match event {
        Event::Requested { request, .. } => {
            let glass = if request.break_glass.is_some() {
                " by breaking the glass"
            } else {
                ""
            };
            format!(
                "{who} asked for {what} for {}{glass}{}",
                words::length(request.ruling.duration),
                quoted(&request.ruling.reason)
            )
        }
        Event::Reviewed { review } => {
            involve(&review.person);
            let verb = match review.decision {
                Decision::Approve => "approved",
                Decision::Deny => "denied",
            };
            format!(
                "{} {verb}{} that {who} may use {what}{}",
                clean(&review.name),
                if review.evidence.is_some() {
                    ", signed with a passkey,"
                } else {
                    ""
                },
                quoted(&review.comment)
            )
        }
        Event::ReviewVoided { person, reason } => {
            involve(person);
            format!(
                "What {} said about {who} and {what} no longer counts{}",
                words::name(request, person),
                quoted(reason)
            )
        }
        Event::StageOpened { stage } => match request.ruling.terms.stages.get(usize::from(*stage)) {
            Some(stage) => format!("The stage {} was opened for {who} and {what}.", stage.name),
            None => format!("Everyone who must agree that {who} may use {what} has agreed."),
        },
        Event::Approved { by, grant } => {
            let window = format!(
                "{who} may use {what} until {}",
                Moment::new(grant.not_after, now).exact()
            );
            match by {
                ApprovedBy::Quorum(persons) => {
                    persons.iter().for_each(&mut involve);
                    let names: Vec<String> = persons
                        .iter()
                        .map(|person| words::name(request, person))
                        .collect();
                    format!("{window}, on the word of {}.", names.join(" and "))
                }
                ApprovedBy::Automatic(_) => format!("{window}, as the policy grants by itself."),
                ApprovedBy::BreakGlass => format!("{window}, on nobody's word: the glass was broken."),
                _ => format!("{window}."),
            }
        }
        Event::Activated => format!("The grant of {who} for {what} became active."),
        Event::Restated { .. } => {
            format!(
                "The policy changed: what {who} asked for {what} has new terms, and all reviews are void."
            )
        }
        Event::Narrowed {
            not_after, reason, ..
        } => format!(
            "A policy change narrowed the grant of {who} for {what}; it ends {}{}",
            Moment::new(*not_after, now),
            quoted(reason)
        ),
        Event::Extended { by } => format!("{who} asked to continue the grant for {what}, as {by}."),
        Event::CredentialIssued { .. } => format!("{who} took a credential for the grant for {what}."),
        Event::Ended {
            state, cause, reason, ..
        } => {
            if let jit_core::approval::event::EndCause::Person { person, .. } = cause {
                involve(person);
            }
            format!(
                "The access of {who} to {what} came to its end ({state}). {}{}",
                words::ended(request, *state, Some(cause)).trim_end_matches('.'),
                quoted(reason)
            )
        }
        Event::AfterReviewed { review } => {
            involve(&review.person);
            let found = match review.finding {
                Finding::Justified => "called for",
                Finding::Unjustified => "not called for",
            };
            format!(
                "{} looked into the broken glass of {who} and found it {found}{}",
                review.person,
                quoted(&review.comment)
            )
        }
        _ => return None,
    })
}

fn told_lockdown(event: &LockdownEvent, people: &mut Vec<String>) -> String {
    match event {
        LockdownEvent::LockedDown { lockdown } => {
            people.push(lockdown.person.to_string());
            format!(
                "{} locked {}{}",
                lockdown.person,
                target(&lockdown.target),
                quoted(&lockdown.reason)
            )
        }
        LockdownEvent::LockdownLifted {
            id, person, reason, ..
        } => {
            people.push(person.to_string());
            format!("{person} lifted the lockdown {id}{}", quoted(reason))
        }
        _ => "Something happened to a lockdown.".to_owned(),
    }
}

fn told_person(event: &PersonEvent, people: &mut Vec<String>) -> Option<String> {
    let mut involve = |owner: &jit_core::id::PersonId, person: &jit_core::id::PersonId| {
        people.push(owner.to_string());
        people.push(person.to_string());
    };
    let named = |passkey: &NamedPasskey| format!("“{}”", clean(&passkey.name));
    Some(match event {
        PersonEvent::PasskeyEnrolled {
            owner,
            passkey,
            person,
            ..
        } => {
            involve(owner, person);
            format!("{owner} added the passkey {}.", named(passkey))
        }
        PersonEvent::PasskeyRemoved {
            owner,
            passkey,
            person,
            ..
        } => {
            involve(owner, person);
            format!("{owner} removed the passkey {}.", named(passkey))
        }
        PersonEvent::PasskeysCleared {
            owner,
            passkeys,
            person,
            reason,
            ..
        } => {
            involve(owner, person);
            let passkeys: Vec<_> = passkeys.iter().map(named).collect();
            format!(
                "{person} cleared every passkey of {owner} ({}){}",
                passkeys.join(", "),
                quoted(reason)
            )
        }
        _ => return None,
    })
}

fn told_control(event: &ControlEvent) -> Option<String> {
    match event {
        ControlEvent::PolicyLoaded { digest } => {
            let digest: String = digest.to_string().chars().take(12).collect();
            Some(format!("A policy was put in force (its digest begins {digest})."))
        }
        ControlEvent::InteractionsLost { count } => Some(format!(
            "{count} records of what was done were lost, and under which grants is not known."
        )),
        _ => None,
    }
}

fn told_deeds(body: &str, request: &Request) -> String {
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let who = clean(&request.requester.name);
    let what = &request.ruling.resource.name;
    let items = body.get("items").and_then(serde_json::Value::as_array);
    match items {
        Some(items) => format!("{who} used {what}. HTTP requests: {}.", items.len()),
        None => {
            let count = body.get("count").and_then(serde_json::Value::as_u64);
            format!(
                "{} records of what {who} did with {what} were lost.",
                count.unwrap_or_default()
            )
        }
    }
}
