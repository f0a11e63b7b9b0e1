//! One commit: which of the waiting jobs it keeps, and what they leave in the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::mem;
use std::sync::Arc;

use jit_core::approval::audit::{self, Tail};
use jit_core::broker::store::{Batch, Cell, Facets, Put, Record, Snapshot, StoreError, StreamId, Version};
use tokio::sync::oneshot;

use super::Job;
use super::file::File;
use super::room::room;

/// What is remembered of this many streams, and as many cells, before all of it is forgotten.
const REMEMBERED_MAX: usize = 65_536;

/// A stream's place in the order of creation, and its version; both 0 for one that does not exist.
#[derive(Debug, Clone, Default)]
pub(super) struct Known {
    pub(super) created: u64,
    pub(super) version: Version,
    /// `None` before this writer has written them.
    pub(super) facets: Option<Facets>,
    /// See [`room`]; `None` likewise.
    pub(super) room: Option<usize>,
}

/// What the writer knows of the file, as of its last commit.
pub(super) struct Session {
    /// See [`File::data_version`]: while it stays, nobody else has written.
    seen: i64,
    tail: Tail,
    newest: u64,
    streams: HashMap<StreamId, Known>,
    cells: HashMap<String, Version>,
}

impl Session {
    /// Reads the end of the chain and of the order of creation.
    pub(super) fn begin(file: &File) -> Result<Self, StoreError> {
        Ok(Self {
            // First: what comes between this and the rest is then noticed later.
            seen: file.data_version()?,
            tail: file.tail()?,
            newest: file.newest()?,
            streams: HashMap::new(),
            cells: HashMap::new(),
        })
    }

    /// Whether somebody else has written to the file since [`Session::begin`]. To be asked inside a transaction, where nobody else can.
    pub(super) fn is_outdated(&self, file: &File) -> Result<bool, StoreError> {
        Ok(file.data_version()? != self.seen)
    }

    /// Looks up what `group` rests on and is not known yet, inside its transaction.
    pub(super) fn learn(&mut self, file: &File, group: &Group) -> Result<(), StoreError> {
        if self.streams.len() > REMEMBERED_MAX || self.cells.len() > REMEMBERED_MAX {
            self.streams.clear();
            self.cells.clear();
        }
        for id in group.streams() {
            if !self.streams.contains_key(id) {
                self.streams.insert(id.clone(), file.stream(id)?);
            }
        }
        for name in group.cells() {
            if !self.cells.contains_key(name) {
                self.cells.insert(name.clone(), file.cell(name)?);
            }
        }
        Ok(())
    }

    fn version(&self, id: &StreamId) -> Version {
        self.streams.get(id).map_or(0, |known| known.version)
    }
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

/// A stream's row, as the group finds it and leaves it.
pub(super) struct StreamRow {
    pub(super) before: Known,
    pub(super) after: Known,
    pub(super) state: String,
}

/// A cell, as the group leaves it.
#[derive(Clone, Copy)]
pub(super) struct CellRow<'a> {
    /// The version that the group finds it at.
    pub(super) before: Version,
    pub(super) after: &'a Cell,
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

    /// Writes what was kept, inside the transaction.
    pub(super) fn write(&self, file: &File) -> Result<(), StoreError> {
        // In the order of creation: rows that are new are then added at the end.
        let mut streams: Vec<_> = self.changed.iter().collect();
        streams.sort_unstable_by_key(|(_, row)| row.after.created);
        // Of several puts into one cell the last one stands, and the first one says what it was found at.
        let mut cells = HashMap::new();
        for CellPut {
            name, put, result, ..
        } in &self.puts
        {
            if let Ok(after) = result {
                let before = put.expected;
                cells.entry(name).or_insert(CellRow { before, after }).after = after;
            }
        }
        file.write(self.records(), &streams, cells.into_iter())
    }

    /// The streams that it changes.
    pub(super) fn changed(&self) -> impl Iterator<Item = &StreamId> {
        self.changed.keys()
    }

    /// What it leaves of them; to be taken once, after it was written.
    pub(super) fn snapshots(&mut self) -> impl Iterator<Item = Snapshot> {
        self.changed.drain().map(|(stream, row)| Snapshot {
            stream,
            version: row.after.version,
            created: row.after.created,
            state: row.state,
            facets: row.after.facets.unwrap_or_default(),
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
        StoreError::check_version(stream, expected, session.version(stream))
    })
}

/// Moves the session and the rows on by a batch whose versions have been checked.
fn keep(session: &mut Session, changed: &mut HashMap<StreamId, StreamRow>, batch: Batch) -> Vec<Record> {
    let mut records = Vec::new();
    for write in batch.writes {
        let known = session.streams.entry(write.stream.clone()).or_default();
        let before = known.clone();
        known.version += 1;
        if known.created == 0 {
            session.newest += 1;
            known.created = session.newest;
        }
        let room = room(known.room, known.version, &write.facets, &write.state);
        known.room = Some(room);
        known.facets = Some(write.facets);
        let after = known.clone();
        let drafts = write.events.into_iter();
        records
            .extend(drafts.map(|draft| audit::link(&mut session.tail, &write.stream, after.version, draft)));
        match changed.entry(write.stream) {
            Entry::Occupied(mut earlier) => {
                let row = earlier.get_mut();
                row.after = after;
                row.state = write.state;
            }
            Entry::Vacant(none) => {
                none.insert(StreamRow {
                    before,
                    after,
                    state: write.state,
                });
            }
        }
    }
    records
}
