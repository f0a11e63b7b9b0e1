//! Cookies: how the console sets its own, and reads those that a browser sends.

use http::HeaderMap;
use http::header::COOKIE;
use jit_core::gate::hygiene::GATE_COOKIE;

pub use jit_core::gate::hygiene::CONSOLE_COOKIE;

/// The cookie of a guarded origin.
pub(super) const GUARDED_COOKIE: &str = GATE_COOKIE;

/// The value of the one cookie of this name. `None` when there is none, or more than one.
pub(super) fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let fields = headers.get_all(COOKIE).iter();
    // Octets: one cookie that is not ASCII, which a sibling domain can set, hides no other.
    let mut values = fields
        .flat_map(|field| field.as_bytes().split(|b| *b == b';'))
        .filter_map(|pair| {
            pair.trim_ascii()
                .strip_prefix(name.as_bytes())?
                .strip_prefix(b"=")
        });
    let value = values.next().filter(|_| values.next().is_none())?;
    std::str::from_utf8(value).ok()
}

/// Every cookie whose name begins so, by what follows: those that are text.
#[cfg(feature = "oidc")]
pub(super) fn cookies<'h>(headers: &'h HeaderMap, prefix: &str) -> impl Iterator<Item = (&'h str, &'h str)> {
    let fields = headers.get_all(COOKIE).iter();
    let pairs = fields.flat_map(|field| field.as_bytes().split(|b| *b == b';'));
    pairs.filter_map(move |pair| {
        let rest = pair.trim_ascii().strip_prefix(prefix.as_bytes())?;
        std::str::from_utf8(rest).ok()?.split_once('=')
    })
}

/// Sets a cookie that scripts can't read, until the browser is closed; an empty value takes it away.
pub(super) fn set_cookie(name: &str, value: &str) -> String {
    let life = if value.is_empty() { "; Max-Age=0" } else { "" };
    format!("{name}={value}; Path=/; Secure; HttpOnly; SameSite=Lax{life}")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_doubled_cookie_is_none() {
        for (fields, want) in [
            (&["a=1; b=2"][..], Some("1")),
            (&["b=2;a=1"], Some("1")),
            (&["b=2", "a=1"], Some("1")),
            (&["a=1; a=1"], None),
            (&["a=1", "a=2"], None),
            (&["aa=1"], None),
            // Whoever shares a parent domain can set cookies of their own, and hides nobody's.
            (&["a=1; b=\u{e9}"], Some("1")),
            (&["b=\u{e9}", "a=1"], Some("1")),
            (&["\u{2003}a=1"], None),
            (&["\u{2003}a=2; a=1"], Some("1")),
            (&["a=\u{e9}"], Some("\u{e9}")),
            (&[], None),
        ] {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(COOKIE, HeaderValue::from_bytes(field.as_bytes()).unwrap());
            }
            assert_eq!(cookie(&headers, "a"), want, "{fields:?}");
        }
    }
}
