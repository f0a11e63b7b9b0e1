//! The gate's own cookies among those of a request.

use http::header::{self, HeaderMap, HeaderValue};

use super::{GATE_COOKIE, NEVER_PASSED_ON, SIGN_IN_COOKIE};

/// The value of the gate's cookie. What is not text is no session. [`check`](super::check) has seen to it that there is one at most.
pub fn gate_cookie(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(gate_cookies(headers).next()?).ok()
}

pub(super) fn gate_cookies(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    cookies(headers, GATE_COOKIE)
}

pub(super) fn cookies<'h>(headers: &'h HeaderMap, name: &'static str) -> impl Iterator<Item = &'h [u8]> {
    gate_pairs(headers).filter_map(move |pair| value_of(pair, name))
}

/// The pairs of every cookie field that may hold one of the gate's. Most hold none, which is found out faster than what they do hold.
pub(super) fn gate_pairs(headers: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let fields = headers.get_all(header::COOKIE).into_iter();
    fields.filter(|value| may_be_the_gates(value)).flat_map(pairs)
}

pub(super) fn may_be_the_gates(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    // Most have no name like that, which is found out several bytes at a time.
    let seconds = bytes.iter().skip(1);
    let underlined = bytes.iter().zip(seconds).fold(0, |found, (one, other)| {
        found | u8::from(*one == b'_') & u8::from(*other == b'_')
    });
    underlined == 1 && std::str::from_utf8(bytes).map_or(true, |text| text.contains(GATE_COOKIE))
}

pub(super) fn pairs(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii)
}

/// Whether a pair is one that no upstream gets. The console holds several for the sign-ins of one browser, which begin alike.
pub(super) fn is_never_passed_on(pair: &[u8]) -> bool {
    let held = NEVER_PASSED_ON.iter().any(|name| value_of(pair, name).is_some());
    held || pair.starts_with(SIGN_IN_COOKIE.as_bytes())
}

pub(super) fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let rest = pair.strip_prefix(name.as_bytes())?.trim_ascii_start();
    match rest.split_first() {
        None => Some(&[]),
        Some((b'=', value)) => Some(value.trim_ascii()),
        Some(_) => None,
    }
}
