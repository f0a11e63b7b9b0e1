//! What can be asked of a request, and what the Directory says about the people in it.

use std::collections::BTreeMap;

use crate::approval::ask::{Actor, Ruling};
use crate::approval::event::{EndCause, Finding};
use crate::approval::evidence::Evidence;
use crate::approval::review::Opinion;
use crate::broker::directory::Person;
use crate::id::{Digest, PersonId, RequestId, Timestamp};
use crate::policy::terms::Scope;

/// Who the people in a request are now. Whoever is missing here is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Panel {
    /// The requester.
    pub requester: Option<Person>,
    /// Those who have reviewed, by person.
    pub reviewers: BTreeMap<PersonId, Person>,
}

/// Something that is asked of a request. Who may give which command is the broker's to check, except where the request itself knows:
/// reviews, withdrawal and release.
#[derive(Debug, Clone)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the table of states and commands lists every one"
)]
pub enum Command<'a> {
    /// A reviewer approves or denies. Pending only.
    Review {
        /// The reviewer, as proven now.
        by: &'a Actor,
        /// What they say.
        opinion: &'a Opinion,
        /// The verified assertion of their passkey over that, if they gave one.
        evidence: Option<&'a Evidence>,
        /// Everyone else, as the Directory knows them now.
        panel: &'a Panel,
    },
    /// The requester takes it back. Pending only.
    Withdraw {
        /// Who.
        by: &'a Actor,
        /// Why, cleaned.
        reason: &'a str,
    },
    /// The holder gives the grant back. Scheduled or active.
    Release {
        /// Who.
        by: &'a Actor,
        /// Why, cleaned.
        reason: &'a str,
    },
    /// Someone takes the grant away. Scheduled or active.
    Revoke {
        /// Who.
        by: &'a Actor,
        /// Why, cleaned.
        reason: &'a str,
    },
    /// A scheduled grant is due, or nearly: check everyone again and activate it, or revoke it.
    Activate {
        /// Everyone, as the Directory knows them now.
        panel: &'a Panel,
    },
    /// Write down what time has ended, if it has.
    Lapse,
    /// End it whatever its state: a lockdown, a policy change, a parent's revocation, a failed re-check.
    Kill {
        /// By what.
        cause: EndCause,
        /// Why.
        reason: &'a str,
    },
    /// The policy changed: ask anew under the new terms. Pending only; changes nothing if nothing changed.
    Restate {
        /// The new ruling.
        ruling: &'a Ruling,
        /// Its digest.
        digest: Digest,
        /// Who can fill a seat in each stage of the new terms.
        approvers: &'a [Option<std::collections::BTreeSet<PersonId>>],
    },
    /// The policy changed: take from a live grant what it no longer permits. Scheduled or active.
    Narrow {
        /// The new end; never later than the present one.
        not_after: Timestamp,
        /// The new scope; never wider.
        scope: &'a Scope,
        /// Why.
        reason: &'a str,
    },
    /// Another request asks to continue this one. Scheduled or active.
    Extend {
        /// The other request.
        by: RequestId,
    },
    /// The holder takes a credential for the grant, in place of the one before. Scheduled or active.
    Issue {
        /// Who.
        by: &'a Actor,
        /// The plain SHA-256 of the credential.
        credential: Digest,
    },
    /// A budget of the grant is used up. Active only.
    Exhaust,
    /// Another person looked into a break-glass. In any state.
    AfterReview {
        /// Who.
        by: &'a Actor,
        /// What they found.
        finding: Finding,
        /// In words, cleaned.
        comment: &'a str,
    },
}
