//! What is dropped from a header before it is forwarded.

use http::header::{self, Entry, HeaderMap, HeaderValue};

use super::cookies::{gate_cookies, is_never_passed_on, may_be_the_gates, pairs, value_of};
use super::reserved::{is_forwarding, is_reserved};
use super::{GATE_COOKIE, filter, is_h2c, protocols};
use crate::gate::authenticate::CredentialSource;

/// Whether a request's header has what must not be forwarded: where it has nothing, nobody has to look at every field again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::gate) struct Dirt {
    /// Something that [`strip`] would drop or change.
    pub(super) reserved: bool,
    /// The gate's cookie, which [`strip_credential`] would drop.
    pub(super) session: bool,
}

impl Dirt {
    /// As [`strip`], and [`strip_credential`] where there is one, on the header that was inspected.
    pub(in crate::gate) fn strip(self, headers: &mut HeaderMap, credential: Option<CredentialSource>) {
        if self.reserved {
            strip(headers);
        }
        match credential {
            Some(source) if self.session => strip_credential(headers, source),
            Some(CredentialSource::Authorization) => drop(headers.remove(header::AUTHORIZATION)),
            _ => {}
        }
    }
}

/// Drops every reserved field, forwarding fields included: for a peer that is no listed proxy. Nothing is allocated when there are none.
pub fn strip(headers: &mut HeaderMap) {
    strip_but(headers, |_| false);
}

/// As [`strip`], but keeps the forwarding fields of [`is_forwarding`] in their one spelling: for a peer that is a listed proxy.
pub fn strip_behind_proxy(headers: &mut HeaderMap) {
    strip_but(headers, is_forwarding);
}

fn strip_but(headers: &mut HeaderMap, keep: fn(&str) -> bool) {
    let (mut doomed, mut offers, mut cookies) = (Vec::new(), false, false);
    for (name, value) in &*headers {
        if !filter::may_matter(name.as_str()) {
            continue;
        }
        match name.as_str() {
            "upgrade" => offers |= protocols(value).any(is_h2c),
            "cookie" => {
                cookies |= may_be_the_gates(value) && pairs(value).any(is_never_passed_on);
            }
            text if is_reserved(text) && !keep(text) => doomed.push(name.clone()),
            _ => {}
        }
    }
    if offers {
        headers.remove(header::UPGRADE);
    }
    for name in doomed {
        // gRPC over HTTP/2 needs this one value, which asks about the response alone (RFC 9113 §8.2.2).
        let harmless = name == header::TE && headers.get_all(&name).iter().all(|value| value == "trailers");
        if !harmless {
            headers.remove(name);
        }
    }
    if cookies {
        strip_cookies(headers, is_never_passed_on);
    }
}

/// Drops the gate's own credential from where it came, so that the upstream never holds it. The gate's cookie goes in any case: it may
/// be good even where something else proved who asks. Other cookies stay as they are.
pub fn strip_credential(headers: &mut HeaderMap, source: CredentialSource) {
    if source == CredentialSource::Authorization {
        headers.remove(header::AUTHORIZATION);
    }
    if gate_cookies(headers).next().is_some() {
        strip_cookies(headers, |pair| value_of(pair, GATE_COOKIE).is_some());
    }
}

fn strip_cookies(headers: &mut HeaderMap, doomed: fn(&[u8]) -> bool) {
    let Entry::Occupied(entry) = headers.entry(header::COOKIE) else {
        return;
    };
    let (name, values) = entry.remove_entry_mult();
    let kept: Vec<HeaderValue> = values.filter_map(|value| without(&value, doomed)).collect();
    for value in kept {
        headers.append(name.clone(), value);
    }
}

fn without(value: &HeaderValue, doomed: fn(&[u8]) -> bool) -> Option<HeaderValue> {
    let others: Vec<_> = pairs(value)
        .filter(|pair| !pair.is_empty() && !doomed(pair))
        .collect();
    if others.is_empty() {
        return None;
    }
    // Parts of a good value make a good value; if ever not, no cookie is the safe answer.
    let mut kept = HeaderValue::from_bytes(&others.join(&b"; "[..])).ok()?;
    kept.set_sensitive(value.is_sensitive());
    Some(kept)
}
