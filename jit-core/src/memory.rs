//! [`MemoryStore`]: the executable specification of [`Store`].
//!
//! It is written to be read beside the contract, not to be fast: streams and log stand behind one mutex, so an append is atomic
//! because nobody can look, and positions have no gaps because they are handed out under the same lock. Where another store
//! disagrees with this one, the other is wrong.
//!
//! # Caveats
//! - It keeps nothing over a restart: "acknowledged is durable" holds for as long as the process lives. Use it for tests, demos and
//!   gates that may forget.
//! - It never forgets either: the log grows until the process ends.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use dashmap::DashMap;

use crate::approval::audit::{self, Tail};
use crate::broker::store::{
    Batch, Cell, PAGE_MAX, Position, Put, Query, Record, Snapshot, Store, StoreError, StreamId, Version,
};

/// A store that keeps everything in memory.
#[derive(Default)]
pub struct MemoryStore {
    content: Mutex<Content>,
    cells: DashMap<String, Cell>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing that holds the lock can panic halfway through a change, so what a poisoned lock guards is whole.
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sizes only: a store may hold more than anybody wants to print.
impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let content = self.content();
        f.debug_struct("MemoryStore")
            .field("streams", &content.streams.len())
            .field("records", &content.log.len())
            .field("cells", &self.cells.len())
            .finish()
    }
}

struct Content {
    streams: HashMap<StreamId, Snapshot>,
    by_creation: BTreeMap<Position, StreamId>,
    live: BTreeMap<Position, StreamId>,
    log: Vec<Record>,
    tail: Tail,
}

impl Default for Content {
    fn default() -> Self {
        Self {
            streams: HashMap::new(),
            by_creation: BTreeMap::new(),
            live: BTreeMap::new(),
            log: Vec::new(),
            tail: Tail::START,
        }
    }
}

impl Content {
    fn version(&self, stream: &StreamId) -> Version {
        self.streams.get(stream).map_or(0, |snapshot| snapshot.version)
    }

    /// Everything that can refuse comes before the first change.
    fn append(&mut self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        batch.check()?;
        for (stream, expected) in batch.expectations() {
            StoreError::check_version(stream, expected, self.version(stream))?;
        }

        let mut records = Vec::new();
        for write in batch.writes {
            let version = write.expected + 1;
            let drafts = write.events.into_iter();
            records.extend(drafts.map(|draft| audit::link(&mut self.tail, &write.stream, version, draft)));

            let newest = self
                .by_creation
                .last_key_value()
                .map_or(0, |(created, _)| *created);
            let created = self
                .streams
                .get(&write.stream)
                .map_or(newest + 1, |old| old.created);
            self.by_creation.insert(created, write.stream.clone());
            if write.facets.is_live() {
                self.live.insert(created, write.stream.clone());
            } else {
                self.live.remove(&created);
            }
            let snapshot = Snapshot {
                stream: write.stream.clone(),
                version,
                created,
                state: write.state,
                facets: write.facets,
            };
            self.streams.insert(write.stream, snapshot);
        }
        self.log.extend_from_slice(&records);
        Ok(records)
    }

    fn snapshots<'a>(
        &'a self,
        ids: impl Iterator<Item = &'a StreamId>,
    ) -> impl Iterator<Item = &'a Snapshot> {
        ids.filter_map(|id| self.streams.get(id))
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        self.content().append(batch)
    }

    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.content().streams.get(stream).cloned())
    }

    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        let content = self.content();
        let before = query.before.unwrap_or(Position::MAX);
        let newest_first = content.by_creation.range(..before).rev().map(|(_, id)| id);
        Ok(content
            .snapshots(newest_first)
            .filter(|snapshot| query.selects(snapshot.created, &snapshot.facets))
            .take(query.limit.min(PAGE_MAX))
            .cloned()
            .collect())
    }

    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        let content = self.content();
        let oldest_first = content.live.range(after.saturating_add(1)..).map(|(_, id)| id);
        Ok(content
            .snapshots(oldest_first)
            .take(limit.min(PAGE_MAX))
            .cloned()
            .collect())
    }

    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        let content = self.content();
        let start = usize::try_from(after).unwrap_or(usize::MAX);
        let records = content.log.iter().skip(start);
        Ok(records.take(limit.min(PAGE_MAX)).cloned().collect())
    }

    async fn tail(&self) -> Result<Tail, StoreError> {
        Ok(self.content().tail)
    }

    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        let Some(put) = put else {
            return Ok(self
                .cells
                .get(name)
                .map_or_else(Cell::default, |cell| cell.clone()));
        };
        put.check()?;
        let mut cell = self.cells.entry(name.to_owned()).or_default();
        if cell.version != put.expected {
            let actual = cell.version;
            drop(cell);
            // A put that lost against nothing must not leave a name behind.
            self.cells.remove_if(name, |_, cell| cell.version == 0);
            return StoreError::check_version(format_args!("cell {name}"), put.expected, actual)
                .map(|()| Cell::default());
        }
        *cell = Cell {
            version: put.expected + 1,
            value: put.value,
        };
        Ok(cell.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn fresh() -> ((), Arc<dyn Store>) {
        ((), Arc::new(MemoryStore::new()))
    }

    crate::store_laws!(fresh);

    #[tokio::test]
    async fn a_put_that_loses_against_nothing_leaves_nothing() {
        let store = MemoryStore::new();
        let put = Put {
            expected: 7,
            value: "x".to_owned(),
        };
        assert!(store.cell("lost", Some(put)).await.is_err());
        assert!(store.cells.is_empty());
    }
}
