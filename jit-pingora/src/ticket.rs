//! What was decided on one request.

use std::sync::Arc;

use jit_core::gate::authenticate::Subject;
use jit_core::gate::flight::Flight;
use jit_core::gate::permit::Permit;
use jit_core::gate::refusal::Refusal;
use jit_core::gate::step_up::CredentialId;

use crate::identity::Identity;
use crate::words::Words;

/// What was decided on one request. It belongs into the `CTX` of a proxy, a new one for each request.
#[derive(Debug, Default)]
pub struct Ticket {
    pub(crate) decided: Decided,
    /// What the upstream is told of the caller, if it is told anything.
    pub(crate) identity: Option<Identity>,
    /// What the client is told if the response is cut.
    pub(crate) words: Words,
}

/// The decision.
#[derive(Debug, Default)]
pub(crate) enum Decided {
    /// None yet: nothing goes on.
    #[default]
    Nothing,
    Admitted(Arc<Flight>),
    Open(Option<Arc<Subject>>),
    Control(Option<Arc<Subject>>, Option<CredentialId>),
    Refused(Refusal),
}

impl Ticket {
    /// The flight of a request that was admitted under a grant.
    pub const fn flight(&self) -> Option<&Arc<Flight>> {
        match &self.decided {
            Decided::Admitted(flight) => Some(flight),
            _ => None,
        }
    }

    /// The permit that it goes on under, if it was admitted under a grant.
    pub fn permit(&self) -> Option<Permit> {
        self.flight().map(|flight| flight.permit())
    }

    /// Who asks, if they could prove it.
    pub fn subject(&self) -> Option<&Arc<Subject>> {
        match &self.decided {
            Decided::Admitted(flight) => Some(flight.subject()),
            Decided::Open(subject) | Decided::Control(subject, _) => subject.as_ref(),
            Decided::Nothing | Decided::Refused(_) => None,
        }
    }

    /// Whether the request is for the control API. Its upstream must be the control API, which decides for itself.
    pub const fn is_control(&self) -> bool {
        matches!(self.decided, Decided::Control(..))
    }

    /// What proved the caller of the control API.
    pub const fn credential(&self) -> Option<&CredentialId> {
        match &self.decided {
            Decided::Control(_, credential) => credential.as_ref(),
            _ => None,
        }
    }

    /// Why the request was refused, if it was.
    pub const fn refusal(&self) -> Option<&Refusal> {
        match &self.decided {
            Decided::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }
}

/// A ticket by itself may be the whole `CTX`.
impl AsMut<Self> for Ticket {
    fn as_mut(&mut self) -> &mut Self {
        self
    }
}

impl AsRef<Self> for Ticket {
    fn as_ref(&self) -> &Self {
        self
    }
}
