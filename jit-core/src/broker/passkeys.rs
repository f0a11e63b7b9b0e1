//! Passkeys (W3C Web Authentication): what is kept of them, and where, and clearing those of somebody who has lost theirs. What they prove is
//! verified by whoever uses them; this keeps what they need for that as a text.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, Weak};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::approval::ask::Actor;
use crate::approval::event::{NamedPasskey, PersonEvent};
use crate::approval::person::PersonState;
use crate::approval::refused::Refused;
use crate::broker::acting::cleaned;
use crate::broker::loading::encode;
use crate::broker::store::{Batch, Cell, Draft, Facets, Put, Store, StoreError, StreamId, Version, Write};
use crate::broker::{Broker, Rejection};
use crate::gate::step_up::StepUps;
use crate::id::{Digest, PersonId, Timestamp};
use crate::policy::terms::MfaTerms;
use crate::span::Span;

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

/// What a change of passkeys is told by, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever changes passkeys makes it")]
pub struct News {
    /// When.
    pub at: Timestamp,
    /// What.
    pub event: PersonEvent,
}

impl Passkey {
    /// What the log says of it.
    pub fn named(&self) -> NamedPasskey {
        NamedPasskey {
            id: self.id.clone(),
            name: self.name.clone(),
        }
    }
}

/// Keeps passkeys.
///
/// # Contract
/// - `put` writes if the person's passkeys still have the version `expected`, and answers [`StoreError::Conflict`] otherwise: two changes
///   at once never undo each other, and a signature counter never goes back.
/// - `news` go into the audit log in one transaction with the change: none is written without the other. Whoever enrols, removes or clears
///   has some; a use has none, since what it was used for is told.
/// - A passkey's id belongs to one person, for ever: `put` answers [`StoreError::Invalid`] for one that was another's, also if it was
///   removed since. Else whoever sees a credential's id could enrol it as theirs with a key of their own.
/// - More than [`EACH_MAX`] are [`StoreError::Invalid`]. Acknowledged is durable, as far as the store is.
/// - What is read came from `put`, byte for byte. A doubt is an error: without its passkeys nobody is let in by one.
#[async_trait]
pub trait PasskeyStore: fmt::Debug + Send + Sync + 'static {
    /// The passkeys of a person; none of someone who never had any.
    async fn of(&self, person: &PersonId) -> Result<Passkeys, StoreError>;

    /// Puts `items` in the place of all passkeys of a person, and tells so.
    async fn put(
        &self,
        person: &PersonId,
        expected: Version,
        items: &[Passkey],
        news: Option<&News>,
    ) -> Result<(), StoreError>;
}

/// A [`PasskeyStore`] in any [`Store`]: in the database where that is one, in memory where it is not.
///
/// The stream `passkeys/{person}` holds a person's, and the cell `passkey/{SHA-256 of the id}` whose the id is.
#[derive(Debug, Clone)]
pub struct StoredPasskeys(Arc<dyn Store>);

impl StoredPasskeys {
    /// In `store`, which has to be the one with the audit log.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self(store)
    }

    /// Makes an id this person's, unless it is another's. A claim that no passkey comes of stays, and keeps nobody out but others.
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

    /// The write that tells it in the person's stream, whose state stays as it is.
    async fn telling(&self, person: &PersonId, news: &News) -> Result<Write, StoreError> {
        let stream = StreamId::Person(person.clone());
        let before = self.0.load(&stream).await?;
        let (expected, state, facets) = match before {
            Some(before) => (before.version, before.state, before.facets),
            None => (0, encode(&PersonState::default())?, Facets::default()),
        };
        Ok(Write {
            stream,
            expected,
            events: vec![Draft {
                at: news.at,
                body: encode(&news.event)?,
            }],
            state,
            facets,
        })
    }
}

#[async_trait]
impl PasskeyStore for StoredPasskeys {
    async fn of(&self, person: &PersonId) -> Result<Passkeys, StoreError> {
        let stream = StreamId::Passkeys(person.clone());
        Ok(match self.0.load(&stream).await? {
            None => Passkeys::default(),
            Some(kept) => Passkeys {
                version: kept.version,
                items: serde_json::from_str(&kept.state).map_err(|_| StoreError::Damaged {
                    what: format!("stream {stream}"),
                })?,
            },
        })
    }

    async fn put(
        &self,
        person: &PersonId,
        expected: Version,
        items: &[Passkey],
        news: Option<&News>,
    ) -> Result<(), StoreError> {
        if items.len() > EACH_MAX {
            return Err(StoreError::invalid(format!(
                "{} passkeys of one person, at most {EACH_MAX} are kept",
                items.len()
            )));
        }
        for passkey in items {
            self.claim(&passkey.id, person).await?;
        }
        let mut writes = vec![Write {
            stream: StreamId::Passkeys(person.clone()),
            expected,
            events: Vec::new(),
            state: encode(&items)?,
            facets: Facets::default(),
        }];
        if let Some(news) = news {
            writes.push(self.telling(person, news).await?);
        }
        let batch = Batch {
            writes,
            unchanged: Vec::new(),
        };
        self.0.append(batch).await.map(drop)
    }
}

/// What people have proven, where it is remembered: sessions and step-ups.
pub trait Proofs: fmt::Debug + Send + Sync + 'static {
    /// Ends whatever `person` has proven. Called while somebody waits: it must not take long.
    fn end_of(&self, person: &PersonId);
}

impl Proofs for StepUps {
    fn end_of(&self, person: &PersonId) {
        self.forget_person(person);
    }
}

/// How recently whoever clears another's passkeys must have proven a second factor.
const CLEARING_AGE: Span = Span::minutes(5);
/// How often a change is tried again that another one came before.
const TRIES: usize = 8;

impl Broker {
    /// Has `proofs` end what somebody has proven when their passkeys are cleared here, through any clone, for as long as anyone holds `proofs`.
    /// [`Proofs`] of other processes are not told.
    pub fn end_with_passkeys(&self, proofs: &Arc<dyn Proofs>) {
        let added = Arc::downgrade(proofs);
        // Nothing in here can panic half-way.
        let mut known = self.inner.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|one| one.strong_count() > 0 && !one.ptr_eq(&added));
        known.push(added);
    }

    fn end_proofs_of(&self, person: &PersonId) {
        let known: Vec<_> = {
            let known = self.inner.proofs.lock().unwrap_or_else(PoisonError::into_inner);
            known.iter().filter_map(Weak::upgrade).collect()
        };
        for proofs in known {
            proofs.end_of(person);
        }
    }

    /// Takes all passkeys of `owner` away, who has lost the only one, so that they can enrol a first one again. For those who may declare
    /// lockdowns, with a second factor that they proved within the last 5 minutes, and never for oneself: whoever still has a passkey
    /// removes the others with it. Answers how many there were.
    ///
    /// Whoever has found the passkey may have used it: what `owner` has proven ends with it, where [`Broker::end_with_passkeys`] says so.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn clear_passkeys(
        &self,
        by: &Actor,
        passkeys: &dyn PasskeyStore,
        owner: &PersonId,
        reason: &str,
    ) -> Result<usize, Rejection> {
        if !self.powers(by).lockdown {
            return Err(Refused::NotEligible.into());
        }
        self.unlocked(by).await?;
        if by.person.id == *owner {
            let own = "is you; somebody else has to clear your passkeys";
            return Err(Refused::invalid("person", own).into());
        }
        let reason = cleaned(reason)?;
        if reason.is_empty() {
            return Err(Refused::invalid("reason", "must say why; it goes into the log").into());
        }
        let now = self.now();
        let terms = MfaTerms {
            acr: Vec::new(),
            amr: BTreeSet::new(),
            max_age: Some(CLEARING_AGE),
        };
        if !by.assurance.satisfies(&terms, now) {
            return Err(Refused::StepUp { terms }.into());
        }
        for _ in 0..TRIES {
            let known = passkeys.of(owner).await?;
            if known.items.is_empty() {
                return Err(Refused::invalid("person", "has no passkeys").into());
            }
            let event = PersonEvent::PasskeysCleared {
                owner: owner.clone(),
                passkeys: known.items.iter().map(Passkey::named).collect(),
                principal: by.principal.clone(),
                person: by.person.id.clone(),
                reason: reason.clone(),
            };
            let news = News { at: now, event };
            // Before the write, so that it holds when nobody hears how that went; and after, for what was proven meanwhile.
            self.end_proofs_of(owner);
            match passkeys.put(owner, known.version, &[], Some(&news)).await {
                Err(StoreError::Conflict { .. }) => {}
                Err(failure) => return Err(failure.into()),
                Ok(()) => {
                    self.end_proofs_of(owner);
                    return Ok(known.items.len());
                }
            }
        }
        Err(StoreError::unavailable("too many changes at once; try again").into())
    }
}
