//! Who is spoken of: a person of a people file, or anybody who has some roles.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use jit_core::approval::ask::{Actor, Assurance};
use jit_core::broker::directory::Person;
use jit_core::broker::people::PeopleFile;
use jit_core::id::{PersonId, Principal, Role, Timestamp};
use jit_core::policy::terms::People;

use super::super::exit::Failure;
use super::super::inert::inert;

/// Of whom the tools speak.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct Who {
    /// The people file: who has which role.
    #[arg(long, value_name = "FILE")]
    pub people: Option<PathBuf>,
    /// This person of the people file, by id.
    #[arg(long, value_name = "ID", requires = "people", conflicts_with = "roles")]
    pub person: Option<PersonId>,
    /// Somebody with this role; may be given several times.
    #[arg(long = "role", value_name = "NAME")]
    pub roles: Vec<Role>,
    /// They have just signed in by this method (RFC 8176), such as otp; may be given several times.
    #[arg(long = "amr", value_name = "METHOD")]
    pub amr: Vec<String>,
    /// They have just signed in with this class.
    #[arg(long, value_name = "CLASS")]
    pub acr: Option<String>,
}

impl Who {
    /// Whoever is spoken of, if anybody is.
    pub(super) fn actor(
        &self,
        people: Option<&PeopleFile>,
        now: Timestamp,
    ) -> Result<Option<Actor>, Failure> {
        let actor = match (&self.person, people) {
            (Some(id), Some(people)) => of_file(people, id, now)?,
            _ if self.roles.is_empty() => return Ok(None),
            _ => anybody(&self.roles, now)?,
        };
        let assurance = signed_in(&self.amr, self.acr.as_deref(), now);
        Ok(Some(Actor { assurance, ..actor }))
    }
}

/// How somebody signed in, just now; by a token alone if nothing is said.
pub(super) fn signed_in(methods: &[String], class: Option<&str>, now: Timestamp) -> Assurance {
    Assurance {
        methods: methods.to_vec(),
        context: class.map(str::to_owned),
        authenticated_at: (!methods.is_empty() || class.is_some()).then_some(now),
    }
}

/// A person of the file, as their first principal proves them.
pub(super) fn of_file(people: &PeopleFile, id: &PersonId, now: Timestamp) -> Result<Actor, Failure> {
    let person = people.persons(now).into_iter().find(|person| person.id == *id);
    let principal = people.principals(id).into_iter().next();
    let (Some(person), Some(principal)) = (person, principal) else {
        let id = inert(id.as_str());
        return Err(Failure::failed(format!(
            "the people file has no person {id:?}; name one by id"
        )));
    };
    Ok(actor(principal, person))
}

/// Nobody in particular, with these roles.
pub(super) fn anybody(roles: &[Role], now: Timestamp) -> Result<Actor, Failure> {
    let made = (PersonId::new("somebody"), Principal::new("people", "somebody"));
    let (Ok(id), Ok(principal)) = made else {
        return Err(Failure::failed("somebody is no name"));
    };
    let person = Person {
        id,
        name: "somebody".to_owned(),
        roles: roles.iter().cloned().collect(),
        disabled: false,
        as_of: now,
    };
    Ok(actor(principal, person))
}

fn actor(principal: Principal, person: Person) -> Actor {
    Actor {
        principal,
        person,
        assurance: Assurance::default(),
        claims: BTreeMap::new(),
    }
}

/// A set of people in words, and who of `known` that is.
pub(super) fn named(set: &People, known: &[Person]) -> String {
    let roles = set.roles.iter().map(|role| format!("role {role}"));
    let persons = set.persons.iter().map(ToString::to_string);
    let all: Vec<String> = roles.chain(persons).collect();
    if all.is_empty() {
        return "nobody".to_owned();
    }
    let mut text = all.join(" or ");
    if !known.is_empty() {
        let who: Vec<&str> = known
            .iter()
            .filter(|person| set.includes(person))
            .map(|person| person.id.as_str())
            .collect();
        let who = if who.is_empty() {
            "nobody".to_owned()
        } else {
            who.join(", ")
        };
        text = format!("{text} (now: {who})");
    }
    inert(&text)
}
