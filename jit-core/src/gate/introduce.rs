//! What an upstream is told of whom the gate has proven: the same fields at every door.
//!
//! | field | says |
//! |---|---|
//! | [`USER`] | the principal, `issuer\|subject` |
//! | [`GROUPS`] | the person's roles, with commas between them; absent when there is none |
//! | [`GRANT`] | the id of the grant that the request is admitted under; absent on open paths |
//! | [`EXPIRES`] | when that grant ends as things stand, RFC 3339 in whole seconds |
//!
//! Names are percent-encoded (RFC 3986 §2.1) where they are not visible ASCII, and where they hold `%` or `,`: no two names become one, and
//! none becomes two.
//!
//! # Caveats
//! A door drops what a client says in these fields before it sets its own: [`hygiene::strip`](crate::gate::hygiene::strip) does.

use http::header::{HeaderName, HeaderValue};

use crate::broker::directory::Person;
use crate::gate::authenticate::Subject;
use crate::gate::permit::Permit;

/// Who asks.
pub const USER: HeaderName = HeaderName::from_static("remote-user");
/// The roles of who asks.
pub const GROUPS: HeaderName = HeaderName::from_static("remote-groups");
/// The grant.
pub const GRANT: HeaderName = HeaderName::from_static("x-jit-grant");
/// The end of the grant.
pub const EXPIRES: HeaderName = HeaderName::from_static("x-jit-expires");
/// All of them.
pub static FIELDS: [HeaderName; 4] = [USER, GROUPS, GRANT, EXPIRES];

/// The fields that name who asks.
pub fn caller(
    subject: &Subject,
    person: Option<&Person>,
) -> impl Iterator<Item = (HeaderName, HeaderValue)> + use<> {
    let user = field(encoded(&subject.principal.to_string()));
    let roles = person.into_iter().flat_map(|person| &person.roles);
    let roles: Vec<String> = roles.map(|role| encoded(role.as_str())).collect();
    let groups = (!roles.is_empty()).then(|| (GROUPS, field(roles.join(","))));
    std::iter::once((USER, user)).chain(groups)
}

/// The fields that name the grant.
pub fn grant(permit: &Permit) -> [(HeaderName, HeaderValue); 2] {
    let id = field(permit.grant_id().to_string());
    [(GRANT, id), (EXPIRES, permit.expires().clone())]
}

/// `text` with every byte percent-encoded that is not `plain`.
pub fn percent_encoded(text: &str, plain: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn encoded(text: &str) -> String {
    percent_encoded(text, |b| b.is_ascii_graphic() && b != b'%' && b != b',')
}

fn field(ascii: String) -> HeaderValue {
    // Encoded text is visible ASCII, which every field value may be; if ever not, an empty value names nobody.
    HeaderValue::try_from(ascii).unwrap_or(HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::approval::ask::Assurance;
    use crate::id::{PersonId, Principal, Role, Timestamp};

    fn told(subject: &str, roles: &[&str]) -> Vec<String> {
        let subject = Subject {
            principal: Principal::new("demo", subject).unwrap(),
            assurance: Assurance::default(),
            claims: BTreeMap::new(),
            expires_at: None,
        };
        let person = Person {
            id: PersonId::new("p").unwrap(),
            name: "P".to_owned(),
            roles: roles.iter().map(|role| Role::new(role).unwrap()).collect(),
            disabled: false,
            as_of: Timestamp::UNIX_EPOCH,
        };
        let told = caller(&subject, Some(&person));
        told.map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn no_two_names_become_one_and_none_two() {
        for (subject, want) in [
            ("alice", "demo|alice"),
            ("b,c", "demo|b%2Cc"),
            ("b%2Cc", "demo|b%252Cc"),
            ("a b", "demo|a%20b"),
            ("J\u{f6}rg x", "demo|J%C3%B6rg%20x"),
        ] {
            assert_eq!(told(subject, &[]), [format!("remote-user: {want}")]);
        }
        assert_eq!(told("a", &["b,c", "d"])[1], "remote-groups: b%2Cc,d");
        assert_eq!(told("a", &["b", "c", "d"])[1], "remote-groups: b,c,d");
    }
}
