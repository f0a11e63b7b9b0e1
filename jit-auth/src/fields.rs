//! Header fields that a proxy in front sets.

use http::{HeaderMap, HeaderName};

/// What there is under a name.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Field<'r> {
    None,
    One(&'r [u8]),
    /// Twice, or under another spelling as well: whoever reads it next may read the other one.
    Doubled,
}

/// The one field of that name. `X_Auth.User` is another spelling of `X-Auth-User`; alone it is as bad as beside the right one, since a
/// proxy that sets the field drops what a client sends under any spelling, or fails to.
pub(crate) fn single<'r>(headers: &'r HeaderMap, name: &HeaderName) -> Field<'r> {
    let mut found = Field::None;
    for (other, value) in headers {
        if other == name {
            found = match found {
                Field::None => Field::One(value.as_bytes()),
                _ => Field::Doubled,
            };
        } else if is_alias(other.as_str().as_bytes(), name.as_str().as_bytes()) {
            return Field::Doubled;
        }
    }
    found
}

fn is_alias(name: &[u8], of: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || !(a.is_ascii_alphanumeric() || b.is_ascii_alphanumeric());
    name.len() == of.len() && name.iter().zip(of).all(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_in_one_spelling_is_read() {
        let name = HeaderName::from_static("remote-user");
        for (fields, expected) in [
            (&[][..], Field::None),
            (&[("remote-users", "x"), ("remote", "y")], Field::None),
            (&[("remote-user", "ana")], Field::One(b"ana")),
            (&[("Remote-User", "ana")], Field::One(b"ana")),
            (&[("remote-user", "")], Field::One(b"")),
            (&[("remote-user", "ana"), ("remote-user", "ana")], Field::Doubled),
            (&[("remote-user", "ana"), ("remote_user", "bo")], Field::Doubled),
            (&[("remote.user", "bo"), ("remote-user", "ana")], Field::Doubled),
            (&[("remote_user", "bo")], Field::Doubled),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
            }
            assert_eq!(single(&headers, &name), expected, "{fields:?}");
        }
    }
}
