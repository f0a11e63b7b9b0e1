//! Where in the log the records of one grant are.
//!
//! Every write of a grant's stream adds one entry to the stream's state: a position that was the end of the log shortly before. The events
//! stand after it, one behind the other, and mostly at once. When [`PART`] entries have come together, the next write moves them
//! to a stream of their own, which nobody writes again: the state stays small however long a grant lives.

use serde::{Deserialize, Serialize};

use crate::broker::loading::{decode, encode};
use crate::broker::store::{Facets, Position, StoreError, StreamId, Version, Write};
use crate::broker::{Broker, Rejection};
use crate::id::GrantId;

/// How many entries there are in one part.
const PART: u64 = 64;

/// One write: the end of the log before it, and a number by which its writer knows it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry(pub(super) Position, pub(super) u64);

/// The state of a grant's stream. Its version is how often it was written to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// How many records there are.
    pub(super) records: u64,
    /// How many were lost.
    pub(super) lost: u64,
    /// The newest part.
    index: Vec<Entry>,
}

/// A head with its version.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded {
    pub(super) version: Version,
    pub(super) head: Head,
}

impl Loaded {
    /// The writes that add an entry, without events, and what the head is afterwards. The first is the grant's stream.
    pub(super) fn add(
        &self,
        grant: GrantId,
        entry: Entry,
        records: u64,
        lost: u64,
    ) -> Result<(Self, Vec<Write>), StoreError> {
        let mut head = self.head.clone();
        let mut moved = None;
        if self.version > 0 && self.version.is_multiple_of(PART) {
            let stream = StreamId::InteractionIndex(grant, part(self.version));
            moved = Some(write(stream, 0, encode(&std::mem::take(&mut head.index))?));
        }
        head.index.push(entry);
        head.records = head.records.saturating_add(records);
        head.lost = head.lost.saturating_add(lost);
        let first = write(StreamId::Interactions(grant), self.version, encode(&head)?);
        let after = Self {
            version: self.version + 1,
            head,
        };
        Ok((after, std::iter::once(first).chain(moved).collect()))
    }
}

fn write(stream: StreamId, expected: Version, state: String) -> Write {
    Write {
        stream,
        expected,
        events: Vec::new(),
        state,
        facets: Facets::default(),
    }
}

/// The part that the entry of this version is in. Versions begin with 1.
fn part(version: Version) -> u64 {
    version.saturating_sub(1) / PART
}

impl Broker {
    pub(super) async fn interaction_head(&self, grant: GrantId) -> Result<Loaded, Rejection> {
        let snapshot = self.inner.store.load(&StreamId::Interactions(grant)).await?;
        Ok(match snapshot {
            None => Loaded::default(),
            Some(snapshot) => Loaded {
                version: snapshot.version,
                head: decode(&snapshot.state)?,
            },
        })
    }

    /// The entry of one version, which is at most that of `head`.
    pub(super) async fn interaction_entry(
        &self,
        grant: GrantId,
        head: &Loaded,
        version: Version,
    ) -> Result<Entry, Rejection> {
        let older: Vec<Entry>;
        let index = if part(version) == part(head.version) {
            &head.head.index
        } else {
            let stream = StreamId::InteractionIndex(grant, part(version));
            older = match self.inner.store.load(&stream).await? {
                Some(snapshot) => decode(&snapshot.state)?,
                None => Vec::new(),
            };
            &older
        };
        let place = usize::try_from(version.saturating_sub(1) % PART).ok();
        let entry = place.and_then(|place| index.get(place)).copied();
        entry.ok_or_else(|| {
            StoreError::Damaged {
                what: format!("the index of {}", StreamId::Interactions(grant)),
            }
            .into()
        })
    }
}
