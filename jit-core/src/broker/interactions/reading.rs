//! Reading what was done under a grant.

use super::entry::{Interaction, InteractionEvent};
use crate::approval::ask::Actor;
use crate::approval::refused::Refused;
use crate::broker::loading::decode;
use crate::broker::store::{PAGE_MAX, StoreError, StreamId, Version};
use crate::broker::{Broker, Rejection};
use crate::id::{GrantId, RequestId};

/// Records of the log that are read at once.
const FEED: usize = 64;
/// How far behind its entry a write may stand, in records of others who wrote at the same moment.
const BEHIND_MAX: usize = 10_000;
/// How many bits of a page's end say how much of a write has been read.
const PLACE_BITS: u32 = 16;

/// One page of what was done under a grant, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "it is answered and only read elsewhere")]
pub struct InteractionPage {
    /// The records.
    pub items: Vec<Interaction>,
    /// Where the next page begins, if there may be one.
    pub next: Option<u64>,
    /// How many records of this grant were lost so far, on whatever page they would stand.
    pub lost: u64,
}

impl Broker {
    /// What was done under the grant that a request became: at most `limit` records after `after`, which is the `next` of the page before,
    /// or 0. A `limit` of 0 is taken as 100, more than [`PAGE_MAX`] as that. What gates have not written down yet is not in it.
    ///
    /// # Errors
    /// [`Refused::NotFound`] when there is no such request, or none that `actor` may see; the store's.
    pub async fn interactions(
        &self,
        actor: &Actor,
        id: RequestId,
        after: u64,
        limit: usize,
    ) -> Result<InteractionPage, Rejection> {
        let request = self.request(id).await?.state;
        if !self.may_see(actor, &request) {
            return Err(Refused::NotFound.into());
        }
        let limit = match limit {
            0 => 100,
            n => n.min(PAGE_MAX),
        };
        let grant = GrantId::from(id);
        let head = self.interaction_head(grant).await?;
        let mut page = InteractionPage {
            lost: head.head.lost,
            ..InteractionPage::default()
        };
        let (mut version, mut read) = split(after);
        while version <= head.version {
            let entry = self.interaction_entry(grant, &head, version).await?;
            let rows = self.interactions_of(grant, version, entry.0).await?;
            let count = rows.len();
            let room = limit - page.items.len();
            page.items.extend(rows.into_iter().skip(read).take(room));
            if page.items.len() == limit {
                let place = read.saturating_add(room).min(count);
                let more = place < count || version < head.version;
                page.next = more.then(|| join(version, place));
                return Ok(page);
            }
            version += 1;
            read = 0;
        }
        Ok(page)
    }

    /// The records of one write, which stands after this position.
    async fn interactions_of(
        &self,
        grant: GrantId,
        version: Version,
        mut after: u64,
    ) -> Result<Vec<Interaction>, Rejection> {
        let stream = StreamId::Interactions(grant);
        let mut rows = Vec::new();
        let (mut found, mut passed) = (false, 0);
        loop {
            let records = self.inner.store.feed(after, FEED).await?;
            let last = records.len() < FEED;
            for record in records {
                after = record.position;
                if record.stream == stream && record.version == version {
                    found = true;
                    match decode(&record.body)? {
                        InteractionEvent::Interactions { items, .. } => rows.extend(items),
                        InteractionEvent::InteractionsLost { .. } => {}
                    }
                } else if found {
                    // The events of one write stand one behind the other.
                    return Ok(rows);
                } else {
                    passed += 1;
                }
            }
            if last && found {
                return Ok(rows);
            }
            if last || passed > BEHIND_MAX {
                let what = format!("{stream}, whose version {version} is not where it should be");
                return Err(StoreError::Damaged { what }.into());
            }
        }
    }
}

/// The write to go on with, and how many of its records were read.
fn split(after: u64) -> (Version, usize) {
    let place = after & ((1 << PLACE_BITS) - 1);
    let version = after >> PLACE_BITS;
    (version.max(1), usize::try_from(place).unwrap_or(usize::MAX))
}

fn join(version: Version, place: usize) -> u64 {
    (version << PLACE_BITS) | place as u64
}
