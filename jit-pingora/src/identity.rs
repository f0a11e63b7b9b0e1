//! What an upstream is told of the caller, in the fields that `jit-authz` uses as well.

use http::header::{HeaderName, HeaderValue};
use jit_core::broker::directory::Person;
use jit_core::gate::authenticate::Subject;
use jit_core::gate::permit::Permit;
use pingora::http::RequestHeader;

const REMOTE_USER: HeaderName = HeaderName::from_static("remote-user");
const REMOTE_GROUPS: HeaderName = HeaderName::from_static("remote-groups");
const GRANT: HeaderName = HeaderName::from_static("x-jit-grant");
const EXPIRES: HeaderName = HeaderName::from_static("x-jit-expires");

/// The fields with which a caller is introduced.
#[derive(Debug, Default)]
pub(crate) struct Identity(Vec<(HeaderName, HeaderValue)>);

impl Identity {
    pub(crate) fn of(subject: &Subject, person: Option<&Person>, permit: Option<&Permit>) -> Self {
        let mut told = vec![(REMOTE_USER, list([subject.principal.to_string().as_str()]))];
        let roles = person.into_iter().flat_map(|person| &person.roles);
        let roles: Vec<&str> = roles.map(|role| role.as_str()).collect();
        if !roles.is_empty() {
            told.push((REMOTE_GROUPS, list(roles)));
        }
        if let Some(permit) = permit {
            told.push((GRANT, list([permit.grant_id().to_string().as_str()])));
            let end = permit
                .not_after()
                .to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
            told.push((EXPIRES, list([end.as_str()])));
        }
        Self(told)
    }

    /// Puts them in, in place of whatever stands there.
    pub(crate) fn introduce(&self, upstream: &mut RequestHeader) -> pingora::Result<()> {
        for name in [REMOTE_USER, REMOTE_GROUPS, GRANT, EXPIRES] {
            upstream.remove_header(&name);
        }
        for (name, value) in &self.0 {
            upstream.insert_header(name.clone(), value.clone())?;
        }
        Ok(())
    }
}

fn list<'a>(texts: impl IntoIterator<Item = &'a str>) -> HeaderValue {
    let texts: Vec<String> = texts.into_iter().map(encoded).collect();
    // Encoded text is visible ASCII, which every field value may be; if ever not, an empty value names nobody.
    HeaderValue::from_str(&texts.join(",")).unwrap_or(HeaderValue::from_static(""))
}

/// Percent-encodes what is not visible ASCII, and `%` and `,`, so that no two texts become one.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_graphic() && byte != b'%' && byte != b',' {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_names_become_one() {
        assert_eq!(list(["demo|alice"]), "demo|alice");
        assert_eq!(list(["a|b,c", "a|b%2Cc"]), "a|b%2Cc,a|b%252Cc");
        assert_eq!(list(["a|J\u{f6}rg x"]), "a|J%C3%B6rg%20x");
    }
}
