//! What a log comes to: counts, with a limit on how many.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jit_core::broker::directory::Person;
use jit_core::id::ResourceName;

use super::super::super::inert::inert;
use super::super::super::screen::table;
use super::super::files::Ruled;
use super::super::verdict::{Place, place_word, request};
use super::line::Entry;

/// Most pairs of a user and a resource that are counted one by one.
const PAIRS_MAX: usize = 10_000;
/// Longest name of a user, and longest example, in characters as shown.
const SHOWN_MAX: usize = 120;
/// Whoever the log does not name.
const UNNAMED: &str = "-";

/// How often something was requested, and the first such request.
#[derive(Debug, Default)]
struct Count {
    requests: u64,
    example: String,
}

/// The counts of one log.
pub(super) struct Tally<'r> {
    ruled: &'r Ruled,
    skipped: u64,
    first_skipped: Option<u64>,
    /// Requests for a path, as nearly all are; the rest are for a whole URL, for `*` or to be connected.
    plain: u64,
    /// Those for which neither the log nor an option names a host: whatever the policy says of hosts can't hold for them.
    hostless: u64,
    places: BTreeMap<&'static str, Count>,
    resources: BTreeMap<ResourceName, Count>,
    pairs: BTreeMap<(String, ResourceName), u64>,
    /// Requests of users beyond the limit.
    others: u64,
    opened: Vec<bool>,
}

impl<'r> Tally<'r> {
    pub(super) fn new(ruled: &'r Ruled) -> Self {
        Self {
            ruled,
            skipped: 0,
            first_skipped: None,
            plain: 0,
            hostless: 0,
            places: BTreeMap::new(),
            resources: BTreeMap::new(),
            pairs: BTreeMap::new(),
            others: 0,
            opened: vec![false; ruled.policy.open().len()],
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Whether nothing can be said of any request, for want of a host.
    pub(super) fn is_hostless(&self) -> bool {
        self.hostless > 0 && self.hostless == self.plain
    }

    /// A host that the policy names.
    pub(super) fn some_host(&self) -> String {
        let policy = &self.ruled.policy;
        let resources = policy.resources().iter().flat_map(|resource| &resource.hosts);
        let named = resources.chain(policy.open().iter().flat_map(|entry| &entry.hosts));
        let mut plain = named.filter(|host| !host.contains('*'));
        plain
            .next()
            .map_or_else(|| "app.example.com".to_owned(), |host| inert(host))
    }

    fn requests(&self) -> u64 {
        self.places.values().map(|count| count.requests).sum()
    }

    /// A line that is no request.
    pub(super) fn skip(&mut self, number: u64) {
        self.skipped += 1;
        self.first_skipped.get_or_insert(number);
    }

    pub(super) fn count(&mut self, entry: &Entry<'_>, host: Option<&str>) {
        let host = entry.host.as_deref().or(host);
        let is_plain = entry.target.starts_with('/');
        self.plain += u64::from(is_plain);
        self.hostless += u64::from(is_plain && host.is_none());
        let place = self
            .ruled
            .place(request(&entry.method, &entry.target, host).as_ref());
        let example = || {
            short(&format!(
                "{} {}{}",
                entry.method,
                host.unwrap_or_default(),
                entry.target
            ))
        };
        self.places.entry(place_word(&place)).or_default().add(example);
        match place {
            Place::Protected(resource) => {
                self.resources.entry(resource.clone()).or_default().add(example);
                self.pair(short(entry.user.as_deref().unwrap_or(UNNAMED)), resource);
            }
            Place::Open(entries) => {
                for n in entries {
                    if let Some(opened) = self.opened.get_mut(n) {
                        *opened = true;
                    }
                }
            }
            Place::Spelling(_) | Place::Nothing | Place::UnknownHost | Place::Bad(_) | Place::Malformed => {}
        }
    }

    fn pair(&mut self, user: String, resource: ResourceName) {
        let full = self.pairs.len() >= PAIRS_MAX;
        let pair = (user, resource);
        if let Some(count) = self.pairs.get_mut(&pair) {
            *count += 1;
        } else if full {
            self.others += 1;
        } else {
            self.pairs.insert(pair, 1);
        }
    }

    /// All of it in words.
    pub(super) fn report(&self, log: &str, persons: Option<&[Person]>, top: usize) -> String {
        let mut text = format!("{log}: {}", many(self.requests(), "request"));
        if let Some(first) = self.first_skipped {
            let lines = many(self.skipped, "line");
            let which = if self.skipped > 1 { "the first is " } else { "" };
            let _ = write!(text, "; {lines} of something else ({which}line {first})");
        }
        text.push('\n');
        if self.hostless > 0 {
            let _ = writeln!(
                text,
                "For {} of them the log names no host, which makes each a bad-request; say which host it is with --host.",
                self.hostless
            );
        }
        text.push('\n');
        text.push_str(&counts(
            ["VERDICT", "REQUESTS", "FIRST SEEN"],
            self.places.iter().map(|(word, count)| (*word, count)),
            top,
        ));
        if !self.resources.is_empty() {
            text.push('\n');
            let rows = self.resources.iter().map(|(name, count)| (name.as_str(), count));
            text.push_str(&counts(["RESOURCE", "REQUESTS", "FIRST SEEN"], rows, top));
            text.push('\n');
            text.push_str(&self.users(persons, top));
        }
        text.push_str(&self.unused());
        text
    }

    /// Who would have needed what.
    fn users(&self, persons: Option<&[Person]>, top: usize) -> String {
        let mut pairs: Vec<_> = self.pairs.iter().collect();
        pairs.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let rows = pairs.iter().take(top).map(|((user, resource), count)| {
            let may = persons
                .map(|persons| self.may_ask(persons, user, resource))
                .unwrap_or_default();
            [user.clone(), resource.to_string(), count.to_string(), may]
        });
        let may = if persons.is_some() { "MAY ASK" } else { "" };
        let mut text = table(["USER", "RESOURCE", "REQUESTS", may], rows);
        text.push('\n');
        if pairs.len() > top {
            let _ = writeln!(text, "… and {} more; see them with --top", pairs.len() - top);
        }
        if self.others > 0 {
            let _ = writeln!(
                text,
                "{} more requests are by users beyond the first {PAIRS_MAX}",
                self.others
            );
        }
        text
    }

    fn may_ask(&self, persons: &[Person], user: &str, resource: &ResourceName) -> String {
        let Some(person) = persons.iter().find(|person| person.id.as_str() == user) else {
            return "not in the people file".to_owned();
        };
        let mut policies = self.ruled.policy.policies_of(resource);
        let policy = policies.find(|terms| terms.requesters.includes(person));
        policy.map_or_else(|| "no".to_owned(), |terms| format!("yes, under {}", terms.policy))
    }

    fn unused(&self) -> String {
        let policy = &self.ruled.policy;
        let mut unused = Vec::new();
        for resource in policy
            .resources()
            .iter()
            .filter(|resource| !self.resources.contains_key(&resource.name))
        {
            unused.push(format!("resource {}", resource.name));
        }
        for (entry, _) in policy
            .open()
            .iter()
            .zip(&self.opened)
            .filter(|(_, opened)| !**opened)
        {
            let list = |set: &std::collections::BTreeSet<String>| {
                set.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
            };
            unused.push(inert(&format!(
                "[[open]] {} {}",
                list(&entry.hosts),
                list(&entry.paths)
            )));
        }
        for terms in policy.policies() {
            if !policy
                .resources_of(&terms.policy)
                .any(|name| self.resources.contains_key(name))
            {
                unused.push(format!("policy {}", terms.policy));
            }
        }
        if unused.is_empty() {
            return "\nEvery rule is used.\n".to_owned();
        }
        format!("\nNever used by this log:\n  {}\n", unused.join("\n  "))
    }
}

impl Count {
    fn add(&mut self, example: impl FnOnce() -> String) {
        if self.requests == 0 {
            self.example = example();
        }
        self.requests += 1;
    }
}

fn counts<'c>(head: [&str; 3], counts: impl Iterator<Item = (&'c str, &'c Count)>, top: usize) -> String {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(count.requests));
    let rows = counts.iter().take(top);
    let rows = rows.map(|(name, count)| {
        [
            (*name).to_owned(),
            count.requests.to_string(),
            count.example.clone(),
        ]
    });
    table(head, rows) + "\n"
}

fn many(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Inert, and not longer than fits.
fn short(text: &str) -> String {
    let mut shown = inert(&text.chars().take(SHOWN_MAX).collect::<String>());
    if text.chars().nth(SHOWN_MAX).is_some() {
        shown.push('…');
    }
    shown
}
