//! The fields with which a request asks for access in the same step.
//!
//! They are checked on every request, whether or not the gate has anything to ask with, so that what is refused depends on nobody's
//! rights. Whether they are heeded is for the gate to say.

use http::HeaderName;
use http::header::{HeaderMap, HeaderValue};

use crate::gate::hygiene::BadHeaders;
use crate::policy::text::REASON_MAX;
use crate::span::Span;

/// The field that asks for access, and says why: 1 to 500 characters in UTF-8.
pub const REASON_HEADER: HeaderName = HeaderName::from_static("jit-reason");
/// How long the access shall last, such as `30m`. Counts beside [`REASON_HEADER`] only.
pub const DURATION_HEADER: HeaderName = HeaderName::from_static("jit-duration");
/// A ticket that calls for the access: 1 to 200 characters in UTF-8. Counts beside [`REASON_HEADER`] only.
pub const TICKET_HEADER: HeaderName = HeaderName::from_static("jit-ticket");

/// Longest ticket, in characters.
const TICKET_MAX: usize = 200;

/// What a request says in these fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Plea<'h> {
    pub(in crate::gate) reason: &'h str,
    pub(in crate::gate) duration: Option<Span>,
    pub(in crate::gate) ticket: Option<&'h str>,
}

impl<'h> Plea<'h> {
    /// Reads the fields. `None` without a reason; a duration and a ticket must be well-formed all the same.
    pub(super) fn read(headers: &'h HeaderMap) -> Result<Option<Self>, BadHeaders> {
        let reason = once(headers, &REASON_HEADER, BadHeaders::Reason)?;
        let reason = reason.map(|value| text(value, REASON_MAX).ok_or(BadHeaders::Reason));
        let duration = once(headers, &DURATION_HEADER, BadHeaders::Duration)?
            .map(|value| value.to_str().ok().and_then(|text| text.trim().parse().ok()))
            .map(|span: Option<Span>| span.ok_or(BadHeaders::Duration));
        let ticket = once(headers, &TICKET_HEADER, BadHeaders::Ticket)?;
        let ticket = ticket.map(|value| text(value, TICKET_MAX).ok_or(BadHeaders::Ticket));
        let (reason, duration, ticket) = (reason.transpose()?, duration.transpose()?, ticket.transpose()?);
        Ok(reason.map(|reason| Self {
            reason,
            duration,
            ticket,
        }))
    }
}

fn once<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
    doubled: BadHeaders,
) -> Result<Option<&'h HeaderValue>, BadHeaders> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        (_, Some(_)) => Err(doubled),
    }
}

fn text(value: &HeaderValue, most: usize) -> Option<&str> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?.trim();
    (!text.is_empty() && text.chars().count() <= most).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The reason, the duration and the ticket.
    type Said = (String, Option<Span>, Option<String>);

    fn read(fields: &[(&'static str, &[u8])]) -> Result<Option<Said>, BadHeaders> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            let name = HeaderName::from_static(name);
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let plea = Plea::read(&headers)?;
        Ok(plea.map(|plea| {
            (
                plea.reason.to_owned(),
                plea.duration,
                plea.ticket.map(str::to_owned),
            )
        }))
    }

    #[test]
    fn what_asks_is_said_once_and_well_or_refused() {
        let (longest, longer) = ("\u{e9}".repeat(500), "a".repeat(501));
        let said = |reason: &str| Ok(Some((reason.to_owned(), None, None)));
        for (fields, expected) in [
            (&[][..], Ok(None)),
            (
                &[("jit-reason", "look into it \u{2713}".as_bytes())],
                said("look into it \u{2713}"),
            ),
            (&[("jit-reason", longest.as_bytes())], said(&longest)),
            (&[("jit-reason", longer.as_bytes())], Err(BadHeaders::Reason)),
            (&[("jit-reason", b"")], Err(BadHeaders::Reason)),
            (&[("jit-reason", b" \t")], Err(BadHeaders::Reason)),
            (&[("jit-reason", b"\xff")], Err(BadHeaders::Reason)),
            (
                &[("jit-reason", b"a"), ("jit-reason", b"a")],
                Err(BadHeaders::Reason),
            ),
            (
                &[
                    ("jit-reason", b"a"),
                    ("jit-duration", b"1h 30m"),
                    ("jit-ticket", b"INC-1"),
                ],
                Ok(Some((
                    "a".to_owned(),
                    Some(Span::minutes(90)),
                    Some("INC-1".to_owned()),
                ))),
            ),
            (&[("jit-duration", b"30m"), ("jit-ticket", b"INC-1")], Ok(None)),
            (&[("jit-duration", b"soon")], Err(BadHeaders::Duration)),
            (&[("jit-duration", b"0s")], Err(BadHeaders::Duration)),
            (
                &[("jit-duration", b"1m"), ("jit-duration", b"1m")],
                Err(BadHeaders::Duration),
            ),
            (
                &[("jit-reason", b"a"), ("jit-ticket", b"")],
                Err(BadHeaders::Ticket),
            ),
            (&[("jit-ticket", longer.as_bytes())], Err(BadHeaders::Ticket)),
            (
                &[("jit-ticket", b"a"), ("jit-ticket", b"b")],
                Err(BadHeaders::Ticket),
            ),
        ] {
            assert_eq!(read(fields), expected, "{fields:?}");
        }
    }
}
