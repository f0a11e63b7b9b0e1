//! Who there is in the demo, and what they may do: its own people and policy, or those of files.
//!
//! Whoever reaches the demo can be anyone of these people. That is said where it starts, and the reason why it listens on this machine alone
//! unless it is told otherwise.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use jit_console::web::DemoPerson;
use jit_core::broker::people::PeopleFile;
use jit_core::gate::target::host_matches;
use jit_core::id::{Principal, Timestamp};
use jit_core::policy::{Format, Policy};

use super::DemoArgs;
use crate::BoxError;
use crate::cli::{people_file, policy_file};
use crate::seats::{Factors, unfulfilled};

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
        let factors = Factors {
            certificates: None,
            // Everybody here can be at the console; and browsers take passkeys on this machine.
            passkeys: super::reached(args.console).ip().is_loopback(),
        };
        let unfulfilled = unfulfilled(&policy, &people, &factors, now).into_iter();
        warnings.extend(unfulfilled.map(|problem| format!("warning: {problem}")));
        let enabled = people
            .persons(now)
            .iter()
            .filter(|person| !person.disabled)
            .count();
        if args.is_own() && enabled > visitors.len() {
            let offered = visitors.len();
            warnings.push(format!(
                "warning: of {enabled} people the console offers the first {offered}"
            ));
        }
        Ok(Self {
            policy,
            people,
            visitors,
            warnings,
        })
    }

    /// The address to open in a browser, by a name that the policy knows; and what is said if it knows none.
    pub(super) fn address(&self, guarded: SocketAddr) -> (String, Option<String>) {
        let ip = match guarded.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        // Other addresses of the loopback network have no name.
        let local =
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)].contains(&guarded.ip());
        if self.names(&ip) {
            return (guarded.to_string(), None);
        }
        if local && self.names("localhost") {
            return (format!("localhost:{}", guarded.port()), None);
        }
        let add = if local { "localhost" } else { &ip };
        let warning = format!(
            "warning: the policy does not name the host {add}, so everything at {guarded} is refused; for the demo, add {add:?} to its hosts"
        );
        (guarded.to_string(), Some(warning))
    }

    fn names(&self, host: &str) -> bool {
        let resources = self.policy.resources().iter().map(|resource| &resource.hosts);
        let open = self.policy.open().iter().map(|entry| &entry.hosts);
        resources
            .chain(open)
            .flatten()
            .any(|named| host_matches(named, host))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &str) -> Cast {
        let policy = format!("[[open]]\nhosts = {hosts}\npaths = [\"/\"]\n");
        Cast {
            policy: Policy::parse(&policy, Format::Toml, "policy.toml").unwrap(),
            people: PeopleFile::parse("", Format::Toml, "people.toml").unwrap(),
            visitors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn the_address_that_is_shown_is_one_that_the_policy_knows() {
        for (hosts, at, shown, named) in [
            (
                "[\"localhost\", \"127.0.0.1\"]",
                "127.0.0.1:80",
                "127.0.0.1:80",
                true,
            ),
            ("[\"localhost\"]", "127.0.0.1:80", "localhost:80", true),
            ("[\"localhost\"]", "[::1]:80", "localhost:80", true),
            ("[\"[::1]\"]", "[::1]:80", "[::1]:80", true),
            ("[\"localhost\"]", "127.0.0.2:80", "127.0.0.2:80", false),
            ("[\"localhost\"]", "192.0.2.1:80", "192.0.2.1:80", false),
            ("[\"app.example.com\"]", "127.0.0.1:80", "127.0.0.1:80", false),
        ] {
            let (told, warning) = of(hosts).address(at.parse().unwrap());
            assert_eq!((&*told, warning.is_none()), (shown, named), "{hosts} {at}");
        }
    }
}
