//! Passkeys (W3C Web Authentication): what is kept of them, and where. What they prove is verified by whoever uses them; this keeps what
//! they need for that as a text.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::broker::store::{Cell, Put, Store, StoreError, Version};
use crate::id::{Digest, PersonId, Timestamp};

/// Most passkeys of one person.
pub const EACH_MAX: usize = 10;
/// Longest name of a passkey, in characters.
pub const NAME_MAX: usize = 40;

/// One passkey of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::exhaustive_structs,
    reason = "whoever enrols one has to say all of it"
)]
pub struct Passkey {
    /// The id of the credential, in base64url without padding (RFC 4648 §5).
    pub id: String,
    /// What its person calls it, cleaned; at most [`NAME_MAX`] characters.
    pub name: String,
    /// When it was enrolled.
    pub added_at: Timestamp,
    /// When it was last used.
    pub used_at: Option<Timestamp>,
    /// What verifies it, as the verifier wrote it: the public key and the signature counter. No secret.
    pub data: String,
}

/// The passkeys of one person.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "stores make it")]
pub struct Passkeys {
    /// How often they have changed.
    pub version: Version,
    /// The oldest first.
    pub items: Vec<Passkey>,
}

/// Keeps passkeys.
///
/// # Contract
/// - `put` writes if the person's passkeys still have the version `expected`, and answers [`StoreError::Conflict`] otherwise: two changes
///   at once never undo each other, and a signature counter never goes back.
/// - A passkey's id belongs to one person, for ever: `put` answers [`StoreError::Invalid`] for one that was another's, also if it was
///   removed since. Else whoever sees a credential's id could enrol it as theirs with a key of their own.
/// - More than [`EACH_MAX`] are [`StoreError::Invalid`]. Acknowledged is durable, as far as the store is.
/// - What is read came from `put`, byte for byte. A doubt is an error: without its passkeys nobody is let in by one.
#[async_trait]
pub trait PasskeyStore: fmt::Debug + Send + Sync + 'static {
    /// The passkeys of a person; none of someone who never had any.
    async fn of(&self, person: &PersonId) -> Result<Passkeys, StoreError>;

    /// Puts `items` in the place of all passkeys of a person.
    async fn put(&self, person: &PersonId, expected: Version, items: &[Passkey]) -> Result<(), StoreError>;
}

/// A [`PasskeyStore`] in the cells of any [`Store`]: in the database where that is one, in memory where it is not.
///
/// The cell `passkeys/{person}` holds a person's, and `passkey/{SHA-256 of the id}` whose the id is.
#[derive(Debug, Clone)]
pub struct CellPasskeys(Arc<dyn Store>);

impl CellPasskeys {
    /// In `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Makes an id this person's, unless it is another's.
    async fn claim(&self, id: &str, person: &PersonId) -> Result<(), StoreError> {
        let name = format!("passkey/{}", Digest::plain(id.as_bytes()));
        let owner = |cell: &Cell| cell.value == person.as_str();
        let mut cell = self.0.cell(&name, None).await?;
        if cell.version == 0 {
            let put = Put {
                expected: 0,
                value: person.to_string(),
            };
            cell = match self.0.cell(&name, Some(put)).await {
                Err(StoreError::Conflict { .. }) => self.0.cell(&name, None).await?,
                put => put?,
            };
        }
        if owner(&cell) {
            Ok(())
        } else {
            Err(StoreError::invalid("the passkey is another person's"))
        }
    }
}

fn cell_of(person: &PersonId) -> String {
    format!("passkeys/{person}")
}

#[async_trait]
impl PasskeyStore for CellPasskeys {
    async fn of(&self, person: &PersonId) -> Result<Passkeys, StoreError> {
        let name = cell_of(person);
        let cell = self.0.cell(&name, None).await?;
        let items = match cell.value.as_str() {
            "" => Vec::new(),
            text => serde_json::from_str(text).map_err(|_| StoreError::Damaged {
                what: format!("cell {name}"),
            })?,
        };
        Ok(Passkeys {
            version: cell.version,
            items,
        })
    }

    async fn put(&self, person: &PersonId, expected: Version, items: &[Passkey]) -> Result<(), StoreError> {
        if items.len() > EACH_MAX {
            return Err(StoreError::invalid(format!(
                "{} passkeys of one person, at most {EACH_MAX} are kept",
                items.len()
            )));
        }
        for passkey in items {
            self.claim(&passkey.id, person).await?;
        }
        let value = serde_json::to_string(items).map_err(StoreError::unavailable)?;
        self.0
            .cell(&cell_of(person), Some(Put { expected, value }))
            .await?;
        Ok(())
    }
}
