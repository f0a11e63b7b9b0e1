//! What a request may do about a missing grant by itself: ask for one, and wait for it.
//!
//! 1. A request that has no grant and says why it needs one ([`REASON_HEADER`](hygiene::REASON_HEADER)) asks for one in the same step.
//!    Where the policy approves at once it then passes; else it waits, or is told which request to wait for.
//! 2. A request whose sender has one waiting is parked if it prefers to wait ([`hold`](super::hold)).
//! 3. Only a program does either, or a page of the same origin: no link, form or script of another site asks in anyone's name, nor does
//!    a navigation, which anyone can cause.
//! 4. Whoever presents a credential of a grant does neither: it opens that grant and speaks for nobody.
//!
//! Each request asks once. A gate does neither unless it was built to.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{HOST, HeaderMap, HeaderName, HeaderValue, ORIGIN};
use http::request::Parts;

use crate::approval::ask::{Ask, Selector};
use crate::approval::refused::Refused;
use crate::gate::asking::NotAsked;
use crate::gate::hygiene::Plea;
use crate::gate::problem::accepts_html;
use crate::gate::refusal::Refusal;
use crate::gate::session::Session;
use crate::gate::{Door, Gate, Lookup, Verdict, Want};
use crate::id::{RequestId, ResourceName};

pub(super) const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_USER: HeaderName = HeaderName::from_static("sec-fetch-user");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// What a request that was refused wants to do about it.
#[derive(Clone)]
pub(super) struct Pursuit {
    session: Arc<Session>,
    resource: ResourceName,
    refusal: Refusal,
    ask: Option<Ask>,
    wait: Option<Duration>,
}

impl fmt::Debug for Pursuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asks = self.ask.is_some();
        write!(
            f,
            "Pursuit({}, asks: {asks}, waits: {:?})",
            self.resource, self.wait
        )
    }
}

impl Gate {
    /// The refusal, or what the request wants to do about it.
    pub(super) fn refuse_or_pursue(
        &self,
        door: Door,
        head: &Parts,
        plea: Option<Plea<'_>>,
        session: Arc<Session>,
        refusal: Refusal,
    ) -> Verdict {
        let (resource, plea) = match &refusal {
            Refusal::ApprovalRequired { resource } if plea.is_some() && self.inner.asking.is_some() => {
                (resource.clone(), plea)
            }
            Refusal::ApprovalPending { resource, .. } => (resource.clone(), None),
            _ => return Verdict::Refuse(refusal),
        };
        let hold = self.inner.hold.as_ref();
        let wait = hold.and_then(|hold| hold.preferred(&head.headers));
        if (plea.is_none() && wait.is_none()) || !is_deliberate(&head.headers) {
            return Verdict::Refuse(refusal);
        }
        let want = Want::Pursue(Box::new(Pursuit {
            ask: plea.map(|plea| ask_for(&resource, plea)),
            session,
            resource,
            refusal,
            wait,
        }));
        Verdict::Lookup(Lookup { want, door })
    }

    /// Asks and waits. Never answers [`Verdict::Lookup`].
    pub(super) async fn pursue(
        &self,
        door: Door,
        head: &Parts,
        peer: Option<IpAddr>,
        pursuit: Pursuit,
    ) -> Verdict {
        let Pursuit {
            session,
            resource,
            refusal,
            ask,
            wait,
        } = pursuit;
        let verdict = match (ask, &self.inner.asking) {
            (Some(ask), Some(asking)) => {
                let asked = asking.ask(&session.subject, ask).await;
                // Of two requests that ask at once one is told of the other's asking, and may wait for that.
                let waits = matches!(
                    asked,
                    Ok(_) | Err(NotAsked::Refused(Refused::LimitReached { request: Some(_), .. }))
                );
                if !waits {
                    return refused(asked, resource);
                }
                match self.decide_on(door, head, peer, None).await {
                    Verdict::Refuse(Refusal::ApprovalRequired { .. }) => return refused(asked, resource),
                    verdict => verdict,
                }
            }
            _ => Verdict::Refuse(refusal),
        };
        match (verdict, wait) {
            (Verdict::Refuse(pending @ Refusal::ApprovalPending { .. }), Some(wait)) => {
                self.park(door, head, peer, &session, wait, pending).await
            }
            (verdict, _) => verdict,
        }
    }
}

/// The refusal of a request whose asking did not bring it any further.
fn refused(asked: Result<RequestId, NotAsked>, resource: ResourceName) -> Verdict {
    Verdict::Refuse(match asked {
        Ok(request) => Refusal::ApprovalPending {
            resource,
            request,
            opens_at: None,
        },
        Err(not_asked) => not_asked.refusal(resource),
    })
}

fn ask_for(resource: &ResourceName, plea: Plea<'_>) -> Ask {
    Ask {
        resource: resource.clone(),
        reason: plea.reason.to_owned(),
        duration: plea.duration,
        policy: None,
        ticket: plea.ticket.map(str::to_owned),
        start: None,
        methods: Vec::new(),
        paths: Vec::new(),
        max_requests: None,
        max_bytes: None,
        selector: Selector::Principal,
        extends: None,
        break_glass: false,
    }
}

/// Whether a request was sent by a program, or by a script of the same origin. What a browser says of itself (Fetch Metadata, W3C) is
/// believed where it is there: no script can set those fields. Browsers leave them away over plain HTTP; there a page is asked for
/// with `Accept: text/html`, and a script of another origin tells its `Origin`.
fn is_deliberate(headers: &HeaderMap) -> bool {
    let metadata = [FETCH_SITE, FETCH_MODE, FETCH_USER, FETCH_DEST];
    if metadata.iter().any(|name| headers.contains_key(name)) {
        let only = |name: &HeaderName| {
            let mut values = headers.get_all(name).iter();
            values.next().filter(|_| values.next().is_none())
        };
        let script = |mode: &HeaderValue| matches!(mode.as_bytes(), b"cors" | b"no-cors" | b"same-origin");
        return only(&FETCH_SITE).is_some_and(|site| site == "same-origin")
            && only(&FETCH_MODE).is_some_and(script)
            && !headers.contains_key(FETCH_USER);
    }
    !accepts_html(headers)
        && headers
            .get_all(ORIGIN)
            .iter()
            .all(|origin| is_own(origin, headers))
}

/// Whether an origin is the one that the request was sent to.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let bytes = origin.as_bytes();
    let host = bytes
        .strip_prefix(b"http://")
        .or_else(|| bytes.strip_prefix(b"https://"));
    let own = headers.get(HOST).map(HeaderValue::as_bytes);
    host.zip(own)
        .is_some_and(|(host, own)| host.eq_ignore_ascii_case(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_navigation_and_no_other_site_acts_in_anyones_name() {
        let (site, mode) = ("sec-fetch-site", "sec-fetch-mode");
        for (fields, expected) in [
            (&[][..], true),
            (&[("accept", "*/*"), ("user-agent", "curl/8")], true),
            (&[(site, "same-origin"), (mode, "cors")], true),
            (
                &[
                    (site, "same-origin"),
                    (mode, "same-origin"),
                    ("accept", "text/html"),
                ],
                true,
            ),
            // Navigations.
            (&[("accept", "text/html,*/*;q=0.8")], false),
            (&[(site, "same-origin"), (mode, "navigate")], false),
            (
                &[(site, "none"), (mode, "navigate"), ("sec-fetch-user", "?1")],
                false,
            ),
            (
                &[(site, "same-origin"), (mode, "cors"), ("sec-fetch-user", "?1")],
                false,
            ),
            (&[(mode, "navigate")], false),
            (&[("sec-fetch-user", "?1")], false),
            (&[("sec-fetch-dest", "document")], false),
            // Other sites.
            (&[(site, "cross-site"), (mode, "cors")], false),
            (&[(site, "same-site"), (mode, "cors")], false),
            (&[(site, "cross-site"), (mode, "no-cors")], false),
            (&[("origin", "https://evil.example")], false),
            (&[("origin", "null")], false),
            (&[("origin", "http://app.example:8443")], false),
            (
                &[
                    ("origin", "http://app.example"),
                    ("origin", "http://evil.example"),
                ],
                false,
            ),
            (&[("origin", "https://app.example")], true),
            // What says two things, or nothing known.
            (
                &[(site, "same-origin"), (site, "cross-site"), (mode, "cors")],
                false,
            ),
            (
                &[(site, "same-origin"), (mode, "cors"), (mode, "navigate")],
                false,
            ),
            (&[(site, "same-origin")], false),
            (&[(site, "same-origin"), (mode, "websocket")], false),
            (&[(site, "none"), (mode, "cors")], false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "app.example".parse().unwrap());
            for (name, value) in fields {
                headers.append(HeaderName::from_static(name), value.parse().unwrap());
            }
            assert_eq!(is_deliberate(&headers), expected, "{fields:?}");
        }
    }
}
