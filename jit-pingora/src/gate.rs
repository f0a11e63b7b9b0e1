//! The gate at a pingora proxy, filter by filter.

use bytes::Bytes;
use http::HeaderMap;
use http::header::HeaderName;
use jit_core::gate::authenticate::CredentialSource;
use jit_core::gate::cut::Cut;
use jit_core::gate::flight::{Direction, Flight, Stop};
use jit_core::gate::introduce;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::{Door, Gate, Verdict, hygiene};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, Session};
use pingora::{Error, ErrorType};
use tokio::runtime::{Handle, RuntimeFlavor};

use crate::identity::Identity;
use crate::switch::Switch;
use crate::ticket::{Decided, Ticket};
use crate::words::Words;
use crate::{head, refuse, sever};

/// A filter was called before the one that decides.
const UNDECIDED: ErrorType = ErrorType::new("JitUndecided");

/// A [`Gate`] for pingora. Clones share everything.
///
/// [`Jit`](crate::Jit) calls all of these. A proxy that does so by itself has to call every one of them, in the filter of the same name.
#[derive(Debug, Clone)]
pub struct JitGate {
    gate: Gate,
    introduces: bool,
}

impl JitGate {
    /// Decides with `gate`. Upstreams are told nothing of the caller.
    pub const fn new(gate: Gate) -> Self {
        Self {
            gate,
            introduces: false,
        }
    }

    /// Tells upstreams who asks and under which grant, in `Remote-User`, `Remote-Groups`, `X-Jit-Grant` and `X-Jit-Expires`, as far as they
    /// are known. Percent-encoded as `jit-authz` does. The control API is told nothing: it decides for itself.
    #[must_use]
    pub const fn introducing(mut self) -> Self {
        self.introduces = true;
        self
    }

    /// The gate.
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Decides on a request, before anything of the proxy acts on it. A refusal is answered here and now; `true` says so, as pingora wants
    /// it. What goes on has lost the headers that must not go on.
    ///
    /// # Errors
    /// The answer could not be sent.
    pub async fn request_filter(&self, session: &mut Session, ticket: &mut Ticket) -> pingora::Result<bool> {
        match self.decide(session).await {
            Ok(passage) => {
                ticket.decided = passage.decided;
                ticket.identity = passage.identity;
                clean(session.req_header_mut(), passage.credential)?;
                Ok(false)
            }
            Err(refusal) => {
                let sent = refuse::answer(&self.gate, session, &refusal).await;
                ticket.decided = Decided::Refused(refusal);
                ticket.identity = None;
                sent.map(|()| true)
            }
        }
    }

    async fn decide(&self, session: &Session) -> Result<Passage, Refusal> {
        let head = head::read(session)?;
        let peer = session.client_addr().and_then(|peer| peer.as_inet());
        let peer = peer.map(|peer| peer.ip());
        let verdict = match self.gate.decide_for(door(), &head, peer) {
            Verdict::Lookup(lookup) => self.gate.resolve(&head, peer, lookup).await,
            verdict => verdict,
        };
        match verdict {
            Verdict::Admit(admission) => {
                let flight = Flight::begin(&self.gate, &admission, &head);
                sever::board(&flight);
                Ok(Passage {
                    identity: self.introduces.then(|| {
                        Identity::of(&admission.subject, admission.person(), Some(&admission.permit))
                    }),
                    decided: Decided::Admitted(flight),
                    credential: Some(admission.credential),
                })
            }
            Verdict::Open(open) => Ok(Passage {
                identity: open
                    .subject
                    .as_ref()
                    .filter(|_| self.introduces)
                    .map(|subject| Identity::of(subject, open.person(), None)),
                credential: open.credential,
                decided: Decided::Open(open.subject),
            }),
            Verdict::Control { subject, credential } => Ok(Passage {
                decided: Decided::Control(subject, credential),
                identity: None,
                credential: None,
            }),
            Verdict::Refuse(refusal) => Err(refusal),
            // `Gate::resolve` settles every look-up; if one were left, nothing is known of who asks.
            Verdict::Lookup(_) => Err(Refusal::AuthenticationUnavailable),
        }
    }

    /// Introduces the caller to the upstream, if it is to be. The last thing that is done to the upstream's request.
    ///
    /// # Errors
    /// The request must not go on: its flight was cut meanwhile, or nothing was decided on it.
    pub fn upstream_request_filter(
        &self,
        upstream: &mut RequestHeader,
        ticket: &Ticket,
    ) -> pingora::Result<()> {
        goes_on(ticket)?;
        ticket
            .identity
            .as_ref()
            .map_or(Ok(()), |identity| identity.introduce(upstream))
    }

    /// Counts what comes from the client.
    ///
    /// # Errors
    /// It must not go on: the flight was cut.
    pub async fn request_body_filter(&self, body: Option<&Bytes>, ticket: &Ticket) -> pingora::Result<()> {
        let Some(flight) = flight(ticket)? else {
            return Ok(());
        };
        let mut left = octets(body);
        loop {
            match flight.pass(Direction::Received, left) {
                Ok(passed) if passed >= left => return Ok(()),
                Ok(passed) => left -= passed,
                Err(Stop::Reserve) => flight.reserve().await.map_err(severed)?,
                Err(Stop::Cut(cut)) => return Err(severed(cut)),
            }
        }
    }

    /// Notes what the request is answered with, and tells the client in `X-Jit-Expires` until when its grant lasts.
    ///
    /// # Errors
    /// It must not be answered: the flight was cut.
    pub fn response_filter(&self, response: &mut ResponseHeader, ticket: &mut Ticket) -> pingora::Result<()> {
        goes_on(ticket)?;
        if let Some(flight) = ticket.flight() {
            response.insert_header(introduce::EXPIRES, flight.permit().expires().clone())?;
            let words = Words::of(response);
            if words.any() {
                sever::will_speak();
            }
            flight.answered(response.status);
            ticket.words = words;
        }
        Ok(())
    }

    /// Counts what goes to the client.
    ///
    /// # Errors
    /// It must not go: the flight was cut.
    pub fn response_body_filter(&self, body: Option<&Bytes>, ticket: &mut Ticket) -> pingora::Result<()> {
        let Some(flight) = flight(ticket)? else {
            return Ok(());
        };
        let mut left = octets(body);
        loop {
            match flight.pass(Direction::Sent, left) {
                Ok(passed) if passed >= left => break,
                Ok(passed) => left -= passed,
                Err(Stop::Reserve) => reserve_now(flight).map_err(severed)?,
                Err(Stop::Cut(cut)) => return Err(severed(cut)),
            }
        }
        if let Some(data) = body {
            ticket.words.passes(data);
        }
        Ok(())
    }

    /// Answers a request whose flight was cut before its answer began, or says the last words on its answer where there is room for them.
    /// `None`: neither, and the failure is the proxy's.
    pub async fn fail_to_proxy(&self, session: &mut Session, ticket: &Ticket) -> Option<FailToProxy> {
        let flight = ticket.flight()?;
        let cut = flight.goes_on().err()?;
        if session.response_written().is_some() {
            return Self::say_last(session, ticket, cut).await;
        }
        let resource = flight.permit().resource().clone();
        let refusal = Refusal::GrantEnded { resource, cut };
        session.set_keepalive(None);
        if let Err(error) = refuse::answer(&self.gate, session, &refusal).await {
            tracing::debug!(%error, "a request that was cut could not be answered");
        }
        flight.answered(refusal.status());
        Some(FailToProxy {
            error_code: refusal.status().as_u16(),
            can_reuse_downstream: false,
        })
    }

    async fn say_last(session: &mut Session, ticket: &Ticket, cut: Cut) -> Option<FailToProxy> {
        let words = ticket.words.last(session, cut)?;
        session.set_keepalive(None);
        session.write_response_body(Some(words), true).await.ok()?;
        if let Some(switch) = Switch::of(session) {
            switch.linger();
        }
        Some(FailToProxy {
            error_code: status_of(cut),
            can_reuse_downstream: false,
        })
    }
}

/// What goes on, and what has to be taken from it first.
struct Passage {
    decided: Decided,
    identity: Option<Identity>,
    credential: Option<CredentialSource>,
}

/// What can be done here about a request that was let through.
fn door() -> Door {
    let mut door = Door::new();
    if can_wait() {
        door = door.counting_bytes();
    }
    if sever::can_sever() {
        door = door.severing();
    }
    door
}

/// Whether a filter that is no `async` function can wait for a reservation: pingora has none that is for the response's body.
fn can_wait() -> bool {
    Handle::try_current().is_ok_and(|handle| handle.runtime_flavor() == RuntimeFlavor::MultiThread)
}

fn reserve_now(flight: &Flight) -> Result<(), Cut> {
    match Handle::try_current() {
        Ok(handle) if handle.runtime_flavor() == RuntimeFlavor::MultiThread => {
            // Other tasks move to another thread meanwhile. It happens once in so many octets as one reservation holds.
            tokio::task::block_in_place(|| handle.block_on(flight.reserve()))
        }
        // Here no grant that needs one was admitted.
        _ => Err(Cut::BudgetUnavailable),
    }
}

fn octets(body: Option<&Bytes>) -> u64 {
    body.map_or(0, |body| body.len() as u64)
}

/// The flight of what was admitted under a grant.
fn flight(ticket: &Ticket) -> pingora::Result<Option<&Flight>> {
    match &ticket.decided {
        Decided::Admitted(flight) => Ok(Some(flight)),
        Decided::Open(_) | Decided::Control(..) => Ok(None),
        Decided::Nothing | Decided::Refused(_) => Error::e_explain(
            UNDECIDED,
            "JitGate::request_filter has not let this request through",
        ),
    }
}

fn goes_on(ticket: &Ticket) -> pingora::Result<()> {
    match flight(ticket)? {
        Some(flight) => flight.goes_on().map(|_| ()).map_err(severed),
        None => Ok(()),
    }
}

/// The status is for a proxy that does not call [`JitGate::fail_to_proxy`]. Pingora closes the connection in any case.
fn severed(cut: Cut) -> Box<Error> {
    Error::explain(ErrorType::HTTPStatus(status_of(cut)), cut.sentence()).into_in()
}

const fn status_of(cut: Cut) -> u16 {
    match cut {
        Cut::StaleView | Cut::BudgetUnavailable => 503,
        _ => 403,
    }
}

/// Takes away what must not reach an upstream. Every field is edited by its name, so that pingora keeps the spelling of the others.
fn clean(request: &mut RequestHeader, credential: Option<CredentialSource>) -> pingora::Result<()> {
    let mut kept = request.headers.clone();
    hygiene::strip(&mut kept);
    if let Some(source) = credential {
        hygiene::strip_credential(&mut kept, source);
    }
    let same = |name: &HeaderName, came: &HeaderMap| came.get_all(name).iter().eq(kept.get_all(name));
    let changed: Vec<HeaderName> = request.headers.keys().cloned().collect();
    for name in changed {
        if same(&name, &request.headers) {
            continue;
        }
        request.remove_header(&name);
        for value in kept.get_all(&name) {
            request.append_header(name.clone(), value.clone())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_goes_on_undecided_or_refused() {
        let mut ticket = Ticket::default();
        assert!(goes_on(&ticket).is_err() && flight(&ticket).is_err());
        ticket.decided = Decided::Refused(Refusal::Unauthenticated);
        assert!(goes_on(&ticket).is_err() && flight(&ticket).is_err());
        ticket.decided = Decided::Open(None);
        assert!(goes_on(&ticket).is_ok() && flight(&ticket).unwrap().is_none());
    }

    #[test]
    fn what_is_cleaned_keeps_the_spelling_of_the_rest() {
        let mut request = RequestHeader::build("GET", b"/", None).unwrap();
        for (name, value) in [
            ("X-Kept", "1"),
            ("Cookie", "a=1"),
            ("Cookie", "__Host-jit=x; b=2"),
            ("X-Forwarded-For", "::1"),
            ("Authorization", "Bearer x"),
        ] {
            request.append_header(name, value).unwrap();
        }
        clean(&mut request, Some(CredentialSource::Authorization)).unwrap();
        let mut wire = Vec::new();
        request.header_to_h1_wire(&mut wire);
        let wire = String::from_utf8(wire).unwrap();
        assert!(wire.contains("X-Kept: 1\r\n"), "{wire}");
        assert!(wire.contains("a=1") && wire.contains("b=2"), "{wire}");
        assert!(
            !wire.contains("__Host") && !wire.contains("orw") && !wire.contains("uth"),
            "{wire}"
        );
    }
}
