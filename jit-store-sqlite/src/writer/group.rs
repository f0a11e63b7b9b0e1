//! One commit: which of the waiting jobs it keeps, and how they are written.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::sync::Arc;

use futures_util::TryStreamExt;
use jit_core::approval::audit::{self, Tail};
use jit_core::broker::store::{Batch, Cell, Facets, Put, Record, Snapshot, StoreError, StreamId, Version};
use serde::Serialize;
use sqlx::{Executor, Row, SqliteConnection};
use tokio::sync::oneshot;

use super::Job;
use crate::read::{self, natural, parsed};

/// What is remembered of this many streams, and as many cells, before all of it is forgotten.
const REMEMBERED_MAX: usize = 65_536;

/// What a commit consists of, as a trigger: one statement is one transaction, and sqlx hands each statement's outcome over on its own.
/// Both live in the connection, not in the file.
///
/// Rows come as JSON arrays. SQLite reads JSON integers as 64-bit ones, so numbers beyond 2^53 are exact. Hashes, bodies and states
/// are not in them but in one run of bytes, by place and length: they would be escaped, parsed and unescaped several times over.
/// `LIMIT -1` takes nothing away: it keeps each row's text at hand, which `json_each` would else put together anew for each of its fields.
/// `WHERE true` tells the parser that `ON` is no join's. Facets are updated apart from the rest and from each other, and only where they
/// differ: naming a column of an index makes SQLite write that index's page again, and what a commit costs is its pages.
const PREPARE: &str = "
CREATE TEMP VIEW commits (events, streams, cells, bytes) AS SELECT NULL, NULL, NULL, NULL WHERE false;
CREATE TEMP TRIGGER a_commit INSTEAD OF INSERT ON commits BEGIN
    INSERT INTO events (position, stream, version, at, previous, hash, body)
    SELECT item ->> 0, item ->> 1, item ->> 2, item ->> 3, substr(NEW.bytes, item ->> 4, 32),
        substr(NEW.bytes, (item ->> 4) + 32, 32), CAST(substr(NEW.bytes, (item ->> 4) + 64, item ->> 5) AS TEXT)
    FROM (SELECT value AS item FROM json_each(NEW.events) LIMIT -1) WHERE true;

    INSERT INTO streams (id, created, version, state_kind, resource, requester, state)
    SELECT item ->> 0, item ->> 1, item ->> 2, item ->> 3, item ->> 4, item ->> 5,
        CAST(substr(NEW.bytes, item ->> 6, item ->> 7) AS TEXT)
    FROM (SELECT value AS item FROM json_each(NEW.streams) LIMIT -1) WHERE true
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, state = excluded.state;

    UPDATE streams SET state_kind = item ->> 3
    FROM (SELECT value AS item FROM json_each(NEW.streams) LIMIT -1)
    WHERE created = item ->> 1 AND id = item ->> 0 AND state_kind IS NOT item ->> 3;

    UPDATE streams SET resource = item ->> 4, requester = item ->> 5
    FROM (SELECT value AS item FROM json_each(NEW.streams) LIMIT -1)
    WHERE created = item ->> 1 AND id = item ->> 0 AND (resource, requester) IS NOT (item ->> 4, item ->> 5);

    INSERT INTO cells (name, version, value)
    SELECT value ->> 0, value ->> 1, value ->> 2
    FROM json_each(NEW.cells) WHERE true
    ON CONFLICT (name) DO UPDATE SET version = excluded.version, value = excluded.value;
END";
const COMMIT: &str = "INSERT INTO commits VALUES (?, ?, ?, ?)";

/// A stream's place in the order of creation, and its version; both 0 for one that does not exist.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    created: u64,
    version: Version,
}

/// What the writer knows of the file, as of its last commit.
pub(super) struct Session {
    tail: Tail,
    newest: u64,
    streams: HashMap<StreamId, Known>,
    cells: HashMap<String, Version>,
}

impl Session {
    /// Prepares a new connection, and reads the end of the chain and of the order of creation.
    pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<Self, StoreError> {
        const NEWEST: &str = "SELECT coalesce(max(created), 0) AS newest FROM streams";
        sqlx::raw_sql(PREPARE)
            .execute(&mut *connection)
            .await
            .map_err(StoreError::unavailable)?;
        let tail = read::tail(&mut *connection).await?;
        let newest = sqlx::query(NEWEST)
            .fetch_one(connection)
            .await
            .map_err(StoreError::unavailable)?;
        Ok(Self {
            tail,
            newest: natural(&newest, "newest")?,
            streams: HashMap::new(),
            cells: HashMap::new(),
        })
    }

    /// Looks up what `group` rests on and is not known yet. Outside the transaction: nobody else writes this file.
    pub(super) async fn learn(
        &mut self,
        connection: &mut SqliteConnection,
        group: &Group,
    ) -> Result<(), StoreError> {
        const STREAMS: &str =
            "SELECT id, created, version FROM streams WHERE id IN (SELECT value FROM json_each(?))";
        const CELLS: &str = "SELECT name, version FROM cells WHERE name IN (SELECT value FROM json_each(?))";
        if self.streams.len() > REMEMBERED_MAX || self.cells.len() > REMEMBERED_MAX {
            self.streams.clear();
            self.cells.clear();
        }

        let unknown: HashSet<&StreamId> = group
            .streams()
            .filter(|id| !self.streams.contains_key(*id))
            .collect();
        if !unknown.is_empty() {
            let rows = sqlx::query(STREAMS)
                .bind(json(&unknown)?)
                .fetch_all(&mut *connection)
                .await;
            self.streams
                .extend(unknown.into_iter().map(|id| (id.clone(), Known::default())));
            for row in rows.map_err(StoreError::unavailable)? {
                let known = Known {
                    created: natural(&row, "created")?,
                    version: natural(&row, "version")?,
                };
                self.streams.insert(parsed(&row, "id")?, known);
            }
        }

        let unknown: HashSet<&str> = group
            .cells()
            .map(String::as_str)
            .filter(|name| !self.cells.contains_key(*name))
            .collect();
        if !unknown.is_empty() {
            let rows = sqlx::query(CELLS)
                .bind(json(&unknown)?)
                .fetch_all(connection)
                .await;
            self.cells
                .extend(unknown.into_iter().map(|name| (name.to_owned(), 0)));
            for row in rows.map_err(StoreError::unavailable)? {
                self.cells.insert(
                    row.try_get("name").map_err(StoreError::unavailable)?,
                    natural(&row, "version")?,
                );
            }
        }
        Ok(())
    }

    fn stream(&self, id: &StreamId) -> Known {
        self.streams.get(id).copied().unwrap_or_default()
    }
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(StoreError::unavailable)
}

/// Adds `parts` to `bytes`, and says where they start: SQL counts from 1.
fn place(bytes: &mut Vec<u8>, parts: &[&[u8]]) -> usize {
    let start = bytes.len() + 1;
    parts.iter().for_each(|part| bytes.extend_from_slice(part));
    start
}

/// The rules that a batch can break by itself: the contract's, and this store's own.
pub(super) fn check(batch: &Batch) -> Result<(), StoreError> {
    batch.check()?;
    let cut = |text: &str| text.contains('\0');
    let mut writes = batch.writes.iter();
    match writes.find(|write| cut(&write.state) || write.events.iter().any(|event| cut(&event.body))) {
        Some(bad) => Err(StoreError::invalid(format!(
            "the character NUL is in what it writes to {}",
            bad.stream
        ))),
        None => Ok(()),
    }
}

struct Append {
    batch: Batch,
    reply: oneshot::Sender<Result<Vec<Record>, StoreError>>,
    result: Result<Vec<Record>, StoreError>,
}

struct CellPut {
    name: String,
    put: Put,
    reply: oneshot::Sender<Result<Cell, StoreError>>,
    result: Result<Cell, StoreError>,
}

/// A stream's row as the group leaves it.
struct StreamRow {
    known: Known,
    state: String,
    facets: Facets,
}

/// Jobs that are committed together.
pub(super) struct Group {
    appends: Vec<Append>,
    puts: Vec<CellPut>,
    changed: HashMap<StreamId, StreamRow>,
}

impl Group {
    pub(super) fn new(jobs: Vec<Job>) -> Self {
        let (mut appends, mut puts) = (Vec::new(), Vec::new());
        for job in jobs {
            match job {
                Job::Append(batch, reply) => appends.push(Append {
                    batch,
                    reply,
                    result: Ok(Vec::new()),
                }),
                Job::Put(name, put, reply) => puts.push(CellPut {
                    name,
                    put,
                    reply,
                    result: Ok(Cell::default()),
                }),
                Job::Close(_) => {}
            }
        }
        Self {
            appends,
            puts,
            changed: HashMap::new(),
        }
    }

    fn streams(&self) -> impl Iterator<Item = &StreamId> {
        let expectations = self.appends.iter().flat_map(|append| append.batch.expectations());
        expectations.map(|(stream, _)| stream)
    }

    fn cells(&self) -> impl Iterator<Item = &String> {
        self.puts.iter().map(|put| &put.name)
    }

    /// What was kept of the log, in order.
    fn records(&self) -> impl Iterator<Item = &Record> {
        let kept = self
            .appends
            .iter()
            .filter_map(|append| append.result.as_ref().ok());
        kept.flatten()
    }

    /// Decides each job on what the ones before it leave behind.
    pub(super) fn decide(&mut self, session: &mut Session) {
        for append in &mut self.appends {
            append.result = check_versions(session, &append.batch)
                .map(|()| keep(session, &mut self.changed, mem::take(&mut append.batch)));
        }
        for CellPut {
            name, put, result, ..
        } in &mut self.puts
        {
            let actual = session.cells.get(name).copied().unwrap_or_default();
            *result =
                StoreError::check_version(format_args!("cell {name}"), put.expected, actual).map(|()| {
                    session.cells.insert(name.clone(), actual + 1);
                    Cell {
                        version: actual + 1,
                        value: mem::take(&mut put.value),
                    }
                });
        }
    }

    /// Writes what was kept, in one transaction and one call.
    pub(super) async fn write(&self, connection: &mut SqliteConnection) -> Result<(), StoreError> {
        let kept = self
            .puts
            .iter()
            .filter_map(|put| Some((&put.name, put.result.as_ref().ok()?)));
        // Of several puts into one cell the last one stands.
        let cells: HashMap<&String, &Cell> = kept.collect();
        if self.changed.is_empty() && cells.is_empty() {
            return Ok(());
        }
        let cells: Vec<_> = cells
            .iter()
            .map(|(name, cell)| (name, cell.version, &cell.value))
            .collect();

        let size = self.records().map(|record| 64 + record.body.len()).sum::<usize>()
            + self.changed.values().map(|row| row.state.len()).sum::<usize>();
        let mut bytes = Vec::with_capacity(1 + size);
        // Never empty: a value of no bytes would be bound as NULL.
        bytes.push(0);
        let events: Vec<_> = self
            .records()
            .map(|record| {
                let at = record.at.timestamp_micros();
                let hashes = [record.previous.as_bytes().as_slice(), record.hash.as_bytes()];
                let start = place(&mut bytes, &hashes);
                place(&mut bytes, &[record.body.as_bytes()]);
                (
                    record.position,
                    &record.stream,
                    record.version,
                    at,
                    start,
                    record.body.len(),
                )
            })
            .collect();
        let changed = self.changed.iter();
        let streams: Vec<_> = changed
            .map(|(id, row)| {
                let (known, facets) = (row.known, &row.facets);
                let kind = facets.state.map(|state| state.as_str());
                (
                    id,
                    known.created,
                    known.version,
                    kind,
                    &facets.resource,
                    &facets.requester,
                    place(&mut bytes, &[row.state.as_bytes()]),
                    row.state.len(),
                )
            })
            .collect();

        let query = sqlx::query(COMMIT)
            .bind(json(&events)?)
            .bind(json(&streams)?)
            .bind(json(&cells)?)
            .bind(bytes);
        // The first thing that is told of it is its outcome. Waiting for the end of the answer would be waiting for the other thread
        // a second time.
        let mut told = connection.fetch_many(query);
        match told.try_next().await.map_err(StoreError::unavailable)? {
            Some(_) => Ok(()),
            None => Err(StoreError::unavailable("the commit's outcome is not known")),
        }
    }

    /// The streams that it changes.
    pub(super) fn changed(&self) -> impl Iterator<Item = &StreamId> {
        self.changed.keys()
    }

    /// What it leaves of them; to be taken once, after it was written.
    pub(super) fn snapshots(&mut self) -> impl Iterator<Item = Snapshot> {
        self.changed.drain().map(|(stream, row)| Snapshot {
            stream,
            version: row.known.version,
            created: row.known.created,
            state: row.state,
            facets: row.facets,
        })
    }

    /// Tells everyone what was decided. After the commit: a conflict, too, rests on what the group wrote.
    pub(super) fn answer(self) {
        for append in self.appends {
            // Nobody may be waiting any more; what was kept stays kept.
            drop(append.reply.send(append.result));
        }
        for put in self.puts {
            drop(put.reply.send(put.result));
        }
    }

    /// Tells everyone that the outcome is unknown.
    pub(super) fn fail(self, error: &Arc<StoreError>) {
        for append in self.appends {
            drop(append.reply.send(Err(StoreError::unavailable(error.clone()))));
        }
        for put in self.puts {
            drop(put.reply.send(Err(StoreError::unavailable(error.clone()))));
        }
    }
}

fn check_versions(session: &Session, batch: &Batch) -> Result<(), StoreError> {
    let mut checks = batch.expectations();
    checks.try_for_each(|(stream, expected)| {
        StoreError::check_version(stream, expected, session.stream(stream).version)
    })
}

/// Moves the session and the rows on by a batch whose versions have been checked.
fn keep(session: &mut Session, changed: &mut HashMap<StreamId, StreamRow>, batch: Batch) -> Vec<Record> {
    let mut records = Vec::new();
    for write in batch.writes {
        let mut known = session.stream(&write.stream);
        known.version += 1;
        if known.created == 0 {
            session.newest += 1;
            known.created = session.newest;
        }
        let drafts = write.events.into_iter();
        records
            .extend(drafts.map(|draft| audit::link(&mut session.tail, &write.stream, known.version, draft)));
        session.streams.insert(write.stream.clone(), known);
        changed.insert(
            write.stream,
            StreamRow {
                known,
                state: write.state,
                facets: write.facets,
            },
        );
    }
    records
}
