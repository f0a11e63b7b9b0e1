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
/// - `members` answers [`Members::Known`] only if it is complete, and `knows` `Some(false)` only if there is no such person.
/// - The first two are called for every asking and every review: a directory on a network keeps a cache with a bound.
///
/// # Writing one
/// Here are a [file of people](super::people::PeopleFile), [those who prove claims](super::claims::ClaimsDirectory), and
/// [several as one](super::directories::Directories). For a directory server:
///
/// - **LDAP, Active Directory.** Find the entry by the attribute that the issuer makes the subject of (`entryUUID`, `objectGUID`), never by
///   `mail` or `uid`, which are given to the next person. Escape what goes into a filter (RFC 4515 §3). The id is that same lasting
///   attribute. A role is a group's whole distinguished name or its own lasting id: two groups in two subtrees can share a `cn`. Nested groups
///   count only as far as you resolve them. `disabled` is `userAccountControl` bit 2, `nsAccountLock`, or an entry that is gone.
/// - **SCIM (RFC 7643, 7644).** Look up by `externalId`, or by `id`, which is the person's. `active: false` is `disabled`. Roles are the `value` of
///   `groups`, not their `display`. A provider that pushes changes lets you answer from memory: then `as_of` is the last push or full
///   comparison, whichever told of this person.
/// - **Principals.** A person who signs in in two ways needs both in the entry, or a table of your own. Without it they are two
///   persons and can review each other.
/// - **Limits.** A timeout of a few seconds, a bound on what is read, a cache by principal of about a minute that remembers "nobody" for
///   less, and one request at a time for each principal. An answer older than the bound is an error and no answer.
/// - **`members`.** Page to the end. A cut-off answer is [`Members::Unknown`] or an error, never a shorter set.
///
/// [`directory_laws!`](crate::directory_laws) of the feature `testing` proves the rest against a server with a known cast.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync + 'static {
    /// The person behind `principal`, or `None`.
    async fn resolve(&self, principal: &Principal, now: Timestamp) -> Result<Option<Person>, DirectoryError>;

    /// Who has `role`.
    async fn members(&self, role: &Role, now: Timestamp) -> Result<Members, DirectoryError>;

    /// Whether there is such a person, disabled or not; `None` if this directory can't tell. Only warnings rest on it: that a lockdown names
    /// nobody.
    async fn knows(&self, person: &PersonId, now: Timestamp) -> Result<Option<bool>, DirectoryError> {
        let _ = (person, now);
        Ok(None)
    }
}
