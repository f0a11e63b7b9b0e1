//! A store of your own, in about 60 lines, proved by the laws.
//!
//! Run with
//!
//! ```not_rust
//! cargo run -p custom-store
//! cargo test -p custom-store
//! ```
//!
//! This one keeps everything behind one lock. For yours, replace the lock by your database's transaction: check every version inside
//! it, call `audit::link` inside it, and answer after the commit.

use std::collections::HashMap;

use jit_core::approval::audit::{self, Tail};
use jit_core::broker::store::*;
use tokio::sync::Mutex;

#[derive(Debug, Default)]
struct OneLock(Mutex<Content>);

#[derive(Debug, Default)]
struct Content {
    log: Vec<Record>,
    streams: Vec<Snapshot>, // in the order of creation
    cells: HashMap<String, Cell>,
}

impl Content {
    fn find(&self, stream: &StreamId) -> Option<&Snapshot> {
        self.streams.iter().find(|known| known.stream == *stream)
    }
}

fn page<'a, T: Clone + 'a>(items: impl Iterator<Item = &'a T>, limit: usize) -> Result<Vec<T>, StoreError> {
    Ok(items.take(limit.min(PAGE_MAX)).cloned().collect())
}

#[async_trait::async_trait]
impl Store for OneLock {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        let mut content = self.0.lock().await;
        batch.check()?;
        for (stream, expected) in batch.expectations() {
            let actual = content.find(stream).map_or(0, |known| known.version);
            StoreError::check_version(stream, expected, actual)?;
        }
        let start = content.log.len();
        let mut tail = content.log.last().map_or(Tail::START, Tail::after);
        for write in batch.writes {
            let (stream, version) = (&write.stream, write.expected + 1);
            let records = write
                .events
                .into_iter()
                .map(|draft| audit::link(&mut tail, stream, version, draft));
            content.log.extend(records);
            let newest = content.streams.len() as Position;
            let created = content.find(stream).map_or(newest + 1, |known| known.created);
            let (stream, state, facets) = (write.stream, write.state, write.facets);
            content.streams.retain(|known| known.created != created);
            content.streams.push(Snapshot {
                stream,
                version,
                created,
                state,
                facets,
            });
            content.streams.sort_by_key(|known| known.created);
        }
        Ok(content.log[start..].to_vec())
    }

    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.0.lock().await.find(stream).cloned())
    }

    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        let streams = &self.0.lock().await.streams;
        page(
            streams
                .iter()
                .rev()
                .filter(|known| query.selects(known.created, &known.facets)),
            query.limit,
        )
    }

    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        let streams = &self.0.lock().await.streams;
        page(
            streams
                .iter()
                .filter(|known| known.created > after && known.facets.is_live()),
            limit,
        )
    }

    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        page(
            self.0
                .lock()
                .await
                .log
                .iter()
                .filter(|record| record.position > after),
            limit,
        )
    }

    async fn tail(&self) -> Result<Tail, StoreError> {
        Ok(self.0.lock().await.log.last().map_or(Tail::START, Tail::after))
    }

    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        let cells = &mut self.0.lock().await.cells;
        let cell = cells.get(name).cloned().unwrap_or_default();
        let Some(put) = put else { return Ok(cell) };
        put.check()?;
        StoreError::check_version(name, put.expected, cell.version)?;
        let (version, value) = (put.expected + 1, put.value);
        cells.insert(name.to_owned(), Cell { version, value });
        Ok(cells[name].clone())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let store = OneLock::default();
    for (expected, door) in [(0, "opened"), (1, "shut")] {
        let state = format!(r#"{{"door":"{door}"}}"#);
        let events = vec![Draft {
            at: chrono::DateTime::UNIX_EPOCH,
            body: state.clone(),
        }];
        let (stream, facets) = (StreamId::Control, Facets::default());
        let writes = vec![Write {
            stream,
            expected,
            events,
            state,
            facets,
        }];
        store
            .append(Batch {
                writes,
                ..Batch::default()
            })
            .await?;
    }
    let mut log = store.feed(0, PAGE_MAX).await?;
    for record in &log {
        println!(
            "{}  {}  {}  {}",
            record.position, record.stream, record.body, record.hash
        );
    }
    println!(
        "the chain holds up to {}",
        audit::verify(Tail::START, &log)?.position
    );
    log[0].body = r#"{"door":"never opened"}"#.to_owned();
    println!("with one record forged: {:?}", audit::verify(Tail::START, &log));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    async fn one_lock() -> ((), Arc<dyn Store>) {
        ((), Arc::new(OneLock::default()))
    }

    jit_core::store_laws!(one_lock);
}
