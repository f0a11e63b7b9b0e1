//! The Directory: who stands behind a principal, and what roles they have.

use std::collections::BTreeSet;
use std::fmt;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::id::{PersonId, Principal, Role, Timestamp};

/// The human or machine behind one or several principals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// The Directory's lasting id.
    pub id: PersonId,
    /// For people to read. Never compared.
    pub name: String,
    /// Roles, compared whole.
    pub roles: BTreeSet<Role>,
    /// A disabled person is nobody: may not ask, review, or go on using a grant.
    pub disabled: bool,
    /// When the Directory last knew this to be so.
    pub as_of: Timestamp,
}

/// Who has a role, as far as a directory can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    /// Exactly these persons, disabled ones left out.
    Known(BTreeSet<PersonId>),
    /// This directory learns of people only as they sign in and can't list them.
    Unknown,
}

/// Why the Directory could not answer.
#[derive(Debug, thiserror::Error)]
#[error("the directory did not answer: {source}")]
pub struct DirectoryError {
    /// What went wrong.
    #[from]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

/// Who stands behind a principal.
///
/// # Contract
/// - `resolve` answers `None` for a principal it does not know: unknown is nobody. It never guesses from an e-mail address.
/// - Two principals of one human or machine resolve to the same [`PersonId`], for good: quorum and the ban on self-review rest on
///   it. An id is never given to someone else.
/// - A removed role or a disabled person shows within the delay that the directory documents; an error is an error, never an
///   empty answer.
/// - `members` answers [`Members::Known`] only if it is complete.
/// - Both are called for every asking and every review: a directory on a network keeps a cache with a bound.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// The person behind `principal`, or `None`.
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError>;

    /// Who has `role`.
    async fn members(&self, role: &Role, now: Timestamp) -> Result<Members, DirectoryError>;
}
