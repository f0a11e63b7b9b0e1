//! What a policy says: of a resource, of people, and of how they agree.

use jit_core::policy::terms::{MfaTerms, People, ResourceDef, StageTerms};
use serde::Serialize;
use utoipa::ToSchema;

use super::{text, texts};

/// What a resource is.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Definition)]
pub(crate) struct DefinitionView {
    hosts: Vec<String>,
    /// Each covers itself and what is below it.
    paths: Vec<String>,
    /// Empty: every method.
    methods: Vec<String>,
    tags: Vec<String>,
}

impl From<&ResourceDef> for DefinitionView {
    fn from(resource: &ResourceDef) -> Self {
        Self {
            hosts: texts(&resource.hosts),
            paths: texts(&resource.paths),
            methods: texts(&resource.methods),
            tags: texts(&resource.tags),
        }
    }
}

/// A set of people: those who have one of the roles, and the persons named.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = People)]
pub(crate) struct PeopleView {
    roles: Vec<String>,
    persons: Vec<String>,
}

impl From<&People> for PeopleView {
    fn from(people: &People) -> Self {
        Self {
            roles: texts(&people.roles),
            persons: texts(&people.persons),
        }
    }
}

/// How strongly and how recently someone must have signed in.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Mfa)]
pub(crate) struct MfaView {
    /// The classes of which the sign-in's `acr` must be one, the preferred first. Empty: whichever.
    acr: Vec<String>,
    /// The methods of which one must be in the sign-in's `amr`. Empty: where `acr` is too, any that proves a second factor.
    amr: Vec<String>,
    /// The sign-in may be at most this old.
    max_age: Option<String>,
}

impl From<&MfaTerms> for MfaView {
    fn from(terms: &MfaTerms) -> Self {
        Self {
            acr: terms.acr.clone(),
            amr: texts(&terms.amr),
            max_age: terms.max_age.map(text),
        }
    }
}

/// One stage of approval.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Stage)]
pub(crate) struct StageView {
    name: String,
    /// How many distinct persons must approve.
    quorum: u16,
    approvers: PeopleView,
    /// After this long without an answer `escalate_to` may approve as well.
    escalate_after: Option<String>,
    escalate_to: Option<PeopleView>,
    /// How strongly an approver must have signed in.
    mfa: Option<MfaView>,
}

impl From<&StageTerms> for StageView {
    fn from(stage: &StageTerms) -> Self {
        Self {
            name: text(&stage.name),
            quorum: stage.quorum,
            approvers: (&stage.approvers).into(),
            escalate_after: stage.escalate_after.map(text),
            escalate_to: stage.escalate_to.as_ref().map(Into::into),
            mfa: stage.mfa.as_ref().map(Into::into),
        }
    }
}
