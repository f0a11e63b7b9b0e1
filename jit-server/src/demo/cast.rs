//! Who there is in the demo, and what they may do: its own people and policy, or those of files.
//!
//! Whoever reaches the demo can be anyone of these people. That is said where it starts, and the reason why it listens on this machine alone
//! unless it is told otherwise.

use std::net::SocketAddr;
use std::path::Path;

use jit_console::web::DemoPerson;
use jit_core::broker::people::PeopleFile;
use jit_core::gate::target::host_matches;
use jit_core::id::{Principal, Timestamp};
use jit_core::policy::{Format, Policy};

use super::DemoArgs;
use crate::BoxError;
use crate::cli::{people_file, policy_file};
use crate::seats::unfulfilled;

/// Whom a visitor may be, with the demo's own people: the subject, the name and what they may do.
const PEOPLE: [(&str, &str, &str); 4] = [
    ("alice", "Alice", "SRE: may ask for admin, staging and payroll"),
    ("bob", "Bob", "SRE lead: may approve, and revoke"),
    (
        "carol",
        "Carol",
        "Security: may approve, revoke, lock everything down, and read the audit log",
    ),
    ("mallory", "Mallory", "Has no role: may ask for nothing"),
];
/// Most people that a page offers to be.
const VISITORS_MAX: usize = 200;

/// A policy, the people of it, and who a visitor may be.
pub(super) struct Cast {
    pub(super) policy: Policy,
    pub(super) people: PeopleFile,
    pub(super) visitors: Vec<DemoPerson>,
    /// What will not work, in lines for whoever starts the demo.
    pub(super) warnings: Vec<String>,
}

impl Cast {
    pub(super) fn of(args: &DemoArgs, now: Timestamp) -> Result<Self, BoxError> {
        let policy = match &args.policy {
            Some(file) => policy_file(file)?,
            None => Policy::parse(include_str!("policy.toml"), Format::Toml, "policy.toml")?,
        };
        let people = match &args.people {
            Some(file) => people_file(file)?,
            None => PeopleFile::parse(include_str!("people.toml"), Format::Toml, "people.toml")?,
        };
        let visitors = if args.is_own() {
            named(&people, now)
        } else {
            PEOPLE.into_iter().map(own).collect::<Result<_, _>>()?
        };
        let mut warnings: Vec<String> = policy.warnings().iter().map(ToString::to_string).collect();
        let unfulfilled = unfulfilled(&policy, &people, None, now).into_iter();
        warnings.extend(unfulfilled.map(|problem| format!("warning: {problem}")));
        if people.len() > visitors.len() {
            let offered = visitors.len();
            warnings.push(format!(
                "warning: of {} people the console offers the first {offered} who are not disabled",
                people.len()
            ));
        }
        Ok(Self {
            policy,
            people,
            visitors,
            warnings,
        })
    }

    /// What is said if nothing can be reached where the demo listens: policies name hosts.
    pub(super) fn stranger(&self, guarded: SocketAddr) -> Option<String> {
        let resources = self.policy.resources().iter().map(|resource| &resource.hosts);
        let open = self.policy.open().iter().map(|entry| &entry.hosts);
        let mut named = resources.chain(open).flatten();
        let ip = guarded.ip().to_string();
        let is_reached = named.any(|host| host_matches(host, "localhost") || host_matches(host, &ip));
        (!is_reached).then(|| {
            format!(
                "warning: the policy names neither localhost nor {ip}, so everything at {guarded} is refused; for the demo, add \"localhost\" to its hosts"
            )
        })
    }
}

fn own((subject, name, about): (&str, &str, &str)) -> Result<DemoPerson, BoxError> {
    Ok(DemoPerson {
        principal: Principal::new("demo", subject)?,
        name: name.to_owned(),
        about: about.to_owned(),
    })
}

/// The people of a file, by the identity that their token proves: what they are granted is theirs in a browser and by token.
fn named(people: &PeopleFile, now: Timestamp) -> Vec<DemoPerson> {
    let tokens = people.tokens();
    let persons = people.persons(now).into_iter().filter(|person| !person.disabled);
    let visitors = persons.filter_map(|person| {
        let token = tokens.iter().find(|token| token.person == person.id);
        let principal = match token {
            Some(token) => token.principal.clone(),
            None => people.principals(&person.id).into_iter().next()?,
        };
        let roles: Vec<&str> = person.roles.iter().map(|role| role.as_str()).collect();
        let about = match &*roles {
            [] => "Has no role".to_owned(),
            [one] => format!("Role: {one}"),
            several => format!("Roles: {}", several.join(", ")),
        };
        Some(DemoPerson {
            principal,
            name: person.name,
            about,
        })
    });
    visitors.take(VISITORS_MAX).collect()
}

/// The names of files, for what is printed.
pub(super) fn file(path: Option<&Path>, own: &str) -> String {
    path.map_or_else(|| own.to_owned(), |path| path.display().to_string())
}
