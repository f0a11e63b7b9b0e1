//! The writer's own connection, which is called on the writer's thread itself: through sqlx every call would be a hop to another
//! thread and back, and a commit is many calls.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jit_core::approval::audit::Tail;
use jit_core::broker::store::{Facets, Record, StoreError, StreamId, Version};
use jit_core::id::Digest;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row, ToSql, params};
use sqlx::SqliteConnection;

use super::group::{CellRow, Known, StreamRow};
use super::room::{NOTHING, slack};

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const DATA_VERSION: &str = "PRAGMA data_version";
const TAIL: &str = "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1";
const NEWEST: &str = "SELECT coalesce(max(created), 0) FROM streams";
const STREAM: &str = "SELECT created, version FROM streams WHERE id = ?";
const CELL: &str = "SELECT version FROM cells WHERE name = ?";

const EVENT: &str =
    "INSERT INTO events (position, stream, version, at, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)";
const CREATE: &str = "INSERT INTO streams (created, id, version, state, slack, state_kind, live, resource, requester) \
    VALUES (?1, ?2, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";
/// The ways in which a stream moves on. Naming a column of an index makes SQLite write that index's page again, and what a commit costs is
/// its pages: so a facet is named only where it may differ.
const MOVE: &str = "UPDATE streams SET version = ?4, state = ?5, slack = ?6, state_kind = ?7 \
    WHERE created = ?1 AND id = ?2 AND version = ?3";
const END: &str = "UPDATE streams SET version = ?4, state = ?5, slack = ?6, state_kind = ?7, live = ?8 \
    WHERE created = ?1 AND id = ?2 AND version = ?3";
const RENAME: &str = "UPDATE streams SET version = ?4, state = ?5, slack = ?6, state_kind = ?7, live = ?8, resource = ?9, \
    requester = ?10 WHERE created = ?1 AND id = ?2 AND version = ?3";
const FIRST: &str = "INSERT INTO cells (name, version, value) VALUES (?, ?, ?)";
const PUT: &str = "UPDATE cells SET version = ?2, value = ?3 WHERE name = ?1 AND version = ?4";

/// What the writer opens its connection with.
#[derive(Debug, Clone)]
pub(crate) struct WriteOptions {
    path: PathBuf,
    busy_timeout: Duration,
    /// Most pages that the file may have.
    pages_max: i64,
}

impl WriteOptions {
    /// For the file at `path`, with the limits of a connection to it.
    pub(crate) async fn like(connection: &mut SqliteConnection, path: &Path) -> Result<Self, sqlx::Error> {
        let busy: i64 = sqlx::query_scalar("PRAGMA busy_timeout")
            .fetch_one(&mut *connection)
            .await?;
        let pages_max = sqlx::query_scalar("PRAGMA max_page_count")
            .fetch_one(connection)
            .await?;
        Ok(Self {
            path: path.to_owned(),
            busy_timeout: Duration::from_millis(u64::try_from(busy).unwrap_or_default()),
            pages_max,
        })
    }
}

/// The file, open for writing.
#[derive(Debug)]
pub(super) struct File {
    connection: Connection,
}

impl File {
    /// Opens the file anew. Refuses to write it in any way but the durable one.
    pub(super) fn open(options: &WriteOptions) -> Result<Self, StoreError> {
        // The file exists: it is never made here. A path is a path, not a URI.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&options.path, flags).map_err(unavailable)?;
        let file = Self { connection };
        file.prepare(options).map_err(unavailable)?;
        let mode: String = file.setting("journal_mode")?;
        let level: i64 = file.setting("synchronous")?;
        if mode != "wal" || level < 2 {
            return Err(StoreError::unavailable(format!(
                "the file is not open for durable writes: its journal mode is {mode}, `synchronous` is {level}"
            )));
        }
        file.empty_log(options).map_err(unavailable)?;
        Ok(file)
    }

    /// Copies the write-ahead log into the database and empties it, unless somebody reads from it just now. A commit whose sync failed has
    /// left its pages there: nobody sees them, but after a crash they would be read as committed if nothing was written over them.
    fn empty_log(&self, options: &WriteOptions) -> rusqlite::Result<()> {
        // Those who wait for the writer don't wait for readers.
        self.connection.busy_timeout(Duration::ZERO)?;
        let emptied = self
            .connection
            .pragma(None, "wal_checkpoint", "TRUNCATE", |_| Ok(()));
        if let Err(error) = emptied {
            tracing::warn!(%error, "the write-ahead log could not be emptied; what was acknowledged is in it");
        }
        self.connection.busy_timeout(options.busy_timeout)
    }

    fn prepare(&self, options: &WriteOptions) -> rusqlite::Result<()> {
        self.connection.busy_timeout(options.busy_timeout)?;
        self.connection.set_prepared_statement_cache_capacity(32);
        let pragmas: [(&str, &dyn ToSql); 8] = [
            ("synchronous", &"FULL"),
            // On macOS a plain fsync stops at the drive's cache; elsewhere these two do nothing.
            ("fullfsync", &"ON"),
            ("checkpoint_fullfsync", &"ON"),
            // A prepared file must not run functions of our connection from its schema.
            ("trusted_schema", &"OFF"),
            // A page that many commits change is then copied into the database once for many of them. 16 MiB each: the log grows
            // to that, and the writer keeps that many pages at hand.
            ("wal_autocheckpoint", &4096),
            ("cache_size", &-16384),
            // A write-ahead log that once grew large gives the space back.
            ("journal_size_limit", &67_108_864),
            ("max_page_count", &options.pages_max),
        ];
        for (name, value) in pragmas {
            // Some of them answer with a row, which says nothing new.
            self.connection.pragma(None, name, value, |_| Ok(()))?;
        }
        Ok(())
    }

    /// What it is called.
    pub(super) fn path(&self) -> &str {
        self.connection.path().unwrap_or_default()
    }

    fn setting<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<T, StoreError> {
        let read = self.connection.pragma_query_value(None, name, |row| row.get(0));
        read.map_err(unavailable)
    }

    /// Takes the file for writing; others may read on.
    pub(super) fn begin(&self) -> Result<(), StoreError> {
        self.run(BEGIN)
    }

    /// Makes what was written since [`File::begin`] durable: SQLite answers after the disk has it.
    pub(super) fn commit(&self) -> Result<(), StoreError> {
        self.run(COMMIT)
    }

    fn run(&self, sql: &str) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(unavailable)?;
        statement.execute([]).map(drop).map_err(unavailable)
    }

    /// Closes it. An open transaction is rolled back.
    pub(super) fn close(self) -> Result<(), rusqlite::Error> {
        self.connection.close().map_err(|(_, error)| error)
    }

    /// A number that changes whenever another connection has committed to the file, or emptied the write-ahead log, and stays the same over
    /// what this one does.
    pub(super) fn data_version(&self) -> Result<i64, StoreError> {
        let mut statement = self
            .connection
            .prepare_cached(DATA_VERSION)
            .map_err(unavailable)?;
        statement.query_row([], |row| row.get(0)).map_err(unavailable)
    }

    /// The end of the chain.
    pub(super) fn tail(&self) -> Result<Tail, StoreError> {
        let mut statement = self.connection.prepare_cached(TAIL).map_err(unavailable)?;
        let found = statement.query_row([], |row| Ok((natural(row, 0), row.get::<_, [u8; 32]>(1))));
        match found.optional().map_err(unavailable)? {
            Some((position, hash)) => Ok(Tail {
                position: position?,
                hash: Digest::from_bytes(hash.map_err(damaged)?),
            }),
            None => Ok(Tail::START),
        }
    }

    /// The newest stream's place in the order of creation; 0 if there is none.
    pub(super) fn newest(&self) -> Result<u64, StoreError> {
        let mut statement = self.connection.prepare_cached(NEWEST).map_err(unavailable)?;
        statement
            .query_row([], |row| Ok(natural(row, 0)))
            .map_err(unavailable)?
    }

    /// What is in the file of a stream.
    pub(super) fn stream(&self, id: &StreamId) -> Result<Known, StoreError> {
        let mut statement = self.connection.prepare_cached(STREAM).map_err(unavailable)?;
        let found = statement.query_row([id.to_string()], |row| Ok((natural(row, 0), natural(row, 1))));
        match found.optional().map_err(unavailable)? {
            Some((created, version)) => Ok(Known {
                created: created?,
                version: version?,
                facets: None,
                room: None,
            }),
            None => Ok(Known::default()),
        }
    }

    /// The version of a cell.
    pub(super) fn cell(&self, name: &str) -> Result<Version, StoreError> {
        let mut statement = self.connection.prepare_cached(CELL).map_err(unavailable)?;
        let found = statement.query_row([name], |row| Ok(natural(row, 0)));
        found.optional().map_err(unavailable)?.unwrap_or(Ok(0))
    }

    /// Writes rows inside the transaction; streams in the order of their creation.
    pub(super) fn write<'a>(
        &self,
        records: impl Iterator<Item = &'a Record>,
        streams: &[(&StreamId, &StreamRow)],
        cells: impl Iterator<Item = (&'a String, CellRow<'a>)>,
    ) -> Result<(), StoreError> {
        self.write_records(records).map_err(unavailable)?;
        for (id, row) in streams {
            require_one(id, self.write_stream(id, row).map_err(unavailable)?)?;
        }
        for (name, row) in cells {
            let changed = self.write_cell(name, row).map_err(unavailable)?;
            require_one(format_args!("cell {name}"), changed)?;
        }
        Ok(())
    }

    fn write_records<'a>(&self, records: impl Iterator<Item = &'a Record>) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached(EVENT)?;
        let (mut stream, mut name) = (None, String::new());
        for record in records {
            // What happened to one stream at once stands together.
            if stream != Some(&record.stream) {
                stream = Some(&record.stream);
                name = record.stream.to_string();
            }
            statement.execute(params![
                integer(record.position)?,
                name,
                integer(record.version)?,
                record.at.timestamp_micros(),
                record.body,
                record.previous.as_bytes().as_slice(),
                record.hash.as_bytes().as_slice(),
            ])?;
        }
        Ok(())
    }

    fn write_stream(&self, id: &StreamId, row: &StreamRow) -> rusqlite::Result<usize> {
        let (before, after) = (&row.before, &row.after);
        let none = Facets::default();
        let facets = after.facets.as_ref().unwrap_or(&none);
        let same =
            |same: fn(&Facets, &Facets) -> bool| before.facets.as_ref().is_some_and(|was| same(was, facets));
        let named = same(|a, b| (&a.resource, &a.requester) == (&b.resource, &b.requester));
        let (sql, columns) = match (before.version, named) {
            (0, _) => (CREATE, 10),
            (_, false) => (RENAME, 10),
            _ if same(|a, b| a.is_live() == b.is_live()) => (MOVE, 7),
            _ => (END, 8),
        };
        let slack = after
            .room
            .map_or(0, |room| slack(room, after.version, facets, &row.state));
        let values: [&dyn ToSql; 10] = [
            &integer(after.created)?,
            &id.to_string(),
            &integer(before.version)?,
            &integer(after.version)?,
            &row.state,
            &NOTHING.get(..slack),
            &facets.state.map(|state| state.as_str()),
            &facets.is_live(),
            &facets.resource.as_ref().map(|name| name.as_str()),
            &facets.requester.as_ref().map(|person| person.as_str()),
        ];
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.execute(values.get(..columns).unwrap_or(&values))
    }

    fn write_cell(&self, name: &str, row: CellRow<'_>) -> rusqlite::Result<usize> {
        let (before, after) = (integer(row.before)?, integer(row.after.version)?);
        if row.before == 0 {
            let mut statement = self.connection.prepare_cached(FIRST)?;
            return statement.execute(params![name, after, row.after.value]);
        }
        let mut statement = self.connection.prepare_cached(PUT)?;
        statement.execute(params![name, after, row.after.value, before])
    }
}

/// Refuses a change that did not find its row at the version it names.
fn require_one(what: impl std::fmt::Display, changed: usize) -> Result<(), StoreError> {
    if changed == 1 {
        return Ok(());
    }
    Err(StoreError::unavailable(format!(
        "{what} is no longer as it was read: another process has written to the file"
    )))
}

fn unavailable(error: rusqlite::Error) -> StoreError {
    StoreError::unavailable(error)
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: what.to_string(),
    }
}

fn natural(row: &Row<'_>, column: usize) -> Result<u64, StoreError> {
    let number: i64 = row.get(column).map_err(damaged)?;
    u64::try_from(number).map_err(|_| damaged(format_args!("a number is {number}")))
}

/// SQLite's integers end at 2^63 - 1.
fn integer(number: u64) -> rusqlite::Result<i64> {
    i64::try_from(number).map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
}

#[cfg(test)]
mod tests {
    use std::iter;

    use jit_core::broker::store::Cell;

    use super::*;

    /// The file of a new store, and the folder that holds it.
    fn fresh() -> (tempfile::TempDir, File) {
        let folder = tempfile::tempdir().unwrap();
        let options = WriteOptions {
            path: folder.path().join("jit.db"),
            busy_timeout: Duration::ZERO,
            pages_max: 1000,
        };
        let connection = Connection::open(&options.path).unwrap();
        connection.pragma_update(None, "journal_mode", "wal").unwrap();
        for sql in [
            include_str!("../../migrations/1_store.sql"),
            include_str!("../../migrations/2_room.sql"),
        ] {
            connection.execute_batch(sql).unwrap();
        }
        (folder, File::open(&options).unwrap())
    }

    #[test]
    fn a_row_is_changed_from_the_version_it_is_at_and_from_no_other() {
        let (_folder, file) = fresh();
        let known = |version| Known {
            created: u64::from(version > 0),
            version,
            ..Known::default()
        };
        // From, to, and whether the row was there to be changed.
        for (before, after, want) in [
            (1, 2, false),
            (0, 1, true),
            (1, 2, true),
            (1, 3, false),
            (3, 4, false),
            (0, 4, false),
            (2, 3, true),
        ] {
            let stream = StreamRow {
                before: known(before),
                after: Known {
                    created: 1,
                    ..known(after)
                },
                state: String::new(),
            };
            let streams = [(&StreamId::Control, &stream)];
            let result = file.write(iter::empty(), &streams, iter::empty());
            assert_eq!(
                result.is_ok(),
                want,
                "stream from {before} to {after}: {result:?}"
            );
            let cell = Cell {
                version: after,
                value: after.to_string(),
            };
            let row = CellRow { before, after: &cell };
            let result = file.write(iter::empty(), &[], iter::once((&"cell".to_owned(), row)));
            assert_eq!(result.is_ok(), want, "cell from {before} to {after}: {result:?}");
        }
    }

    #[test]
    fn only_what_others_do_counts() {
        let (folder, file) = fresh();
        let other = Connection::open(folder.path().join("jit.db")).unwrap();
        let mut last = file.data_version().unwrap();
        for (by, sql, moves) in [
            (&file.connection, "INSERT INTO cells VALUES ('a', 1, '')", false),
            (&file.connection, "BEGIN IMMEDIATE; COMMIT", false),
            (
                &file.connection,
                "BEGIN IMMEDIATE; DELETE FROM cells; ROLLBACK",
                false,
            ),
            (&file.connection, "PRAGMA wal_checkpoint", false),
            (&file.connection, "PRAGMA wal_checkpoint(TRUNCATE)", false),
            (&file.connection, "INSERT INTO cells VALUES ('b', 1, '')", false),
            (&other, "SELECT count(*) FROM cells", false),
            (&other, "INSERT INTO cells VALUES ('c', 1, '')", true),
            (&other, "BEGIN IMMEDIATE; DELETE FROM cells; ROLLBACK", false),
            (&file.connection, "INSERT INTO cells VALUES ('d', 1, '')", false),
            (&other, "DELETE FROM cells", true),
            (&other, "PRAGMA wal_checkpoint", false),
            // Not asked for, and harmless: what is read again is the same.
            (&other, "PRAGMA wal_checkpoint(TRUNCATE)", true),
        ] {
            by.execute_batch(sql).unwrap();
            let now = file.data_version().unwrap();
            assert_eq!(now != last, moves, "{sql}");
            last = now;
        }
    }
}
