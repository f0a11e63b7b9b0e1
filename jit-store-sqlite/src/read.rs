//! Reads: each is one statement, so it sees one state of the file.

use std::str::FromStr;

use jit_core::approval::audit::Tail;
use jit_core::broker::store::{
    Cell, Facets, PAGE_MAX, Position, Query, Record, Snapshot, StoreError, StreamId,
};
use jit_core::id::{Digest, Timestamp};
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqlitePool};

const SNAPSHOT: &str = "SELECT id, version, created, state, state_kind, resource, requester FROM streams ";
/// It must read as in the partial index `streams_live`, or SQLite won't use it.
const IS_LIVE: &str = "live = 1";

pub(crate) async fn load(pool: &SqlitePool, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SNAPSHOT);
    sql.push("WHERE id = ").push_bind(stream.to_string());
    let row = sql.build().fetch_optional(pool).await;
    row.map_err(StoreError::unavailable)?
        .as_ref()
        .map(snapshot)
        .transpose()
}

pub(crate) async fn find(pool: &SqlitePool, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SNAPSHOT);
    sql.push("WHERE state_kind IS NOT NULL");
    if !query.states.is_empty() {
        sql.push(" AND state_kind IN (");
        let mut list = sql.separated(", ");
        for state in &query.states {
            list.push_bind(state.as_str());
        }
        sql.push(")");
        if !query.states.iter().any(|state| state.is_terminal()) {
            // Says nothing new, but lets SQLite use the index of what is live.
            sql.push(" AND ").push(IS_LIVE);
        }
    }
    if let Some(resource) = &query.resource {
        sql.push(" AND resource = ").push_bind(resource.as_str());
    }
    if let Some(requester) = &query.requester {
        sql.push(" AND requester = ").push_bind(requester.as_str());
    }
    if let Some(before) = query.before {
        sql.push(" AND created < ").push_bind(integer(before));
    }
    sql.push(" ORDER BY created DESC LIMIT ")
        .push_bind(page(query.limit));
    let rows = sql
        .build()
        .fetch_all(pool)
        .await
        .map_err(StoreError::unavailable)?;
    rows.iter().map(snapshot).collect()
}

pub(crate) async fn live(
    pool: &SqlitePool,
    after: Position,
    limit: usize,
) -> Result<Vec<Snapshot>, StoreError> {
    let mut sql = QueryBuilder::<Sqlite>::new(SNAPSHOT);
    sql.push("WHERE ")
        .push(IS_LIVE)
        .push(" AND created > ")
        .push_bind(integer(after));
    sql.push(" ORDER BY created LIMIT ").push_bind(page(limit));
    let rows = sql
        .build()
        .fetch_all(pool)
        .await
        .map_err(StoreError::unavailable)?;
    rows.iter().map(snapshot).collect()
}

pub(crate) async fn feed(
    pool: &SqlitePool,
    after: Position,
    limit: usize,
) -> Result<Vec<Record>, StoreError> {
    const FEED: &str = "SELECT position, stream, version, at, body, previous, hash FROM events \
        WHERE position > ? ORDER BY position LIMIT ?";
    let rows = sqlx::query(FEED)
        .bind(integer(after))
        .bind(page(limit))
        .fetch_all(pool)
        .await;
    rows.map_err(StoreError::unavailable)?
        .iter()
        .map(record)
        .collect()
}

/// The end of the chain, by any connection: a reader's or the writer's.
pub(crate) async fn tail(by: impl sqlx::SqliteExecutor<'_>) -> Result<Tail, StoreError> {
    const TAIL: &str = "SELECT position, hash FROM events ORDER BY position DESC LIMIT 1";
    match sqlx::query(TAIL)
        .fetch_optional(by)
        .await
        .map_err(StoreError::unavailable)?
    {
        Some(row) => Ok(Tail {
            position: natural(&row, "position")?,
            hash: digest(&row, "hash")?,
        }),
        None => Ok(Tail::START),
    }
}

pub(crate) async fn cell(pool: &SqlitePool, name: &str) -> Result<Cell, StoreError> {
    const CELL: &str = "SELECT version, value FROM cells WHERE name = ?";
    let row = sqlx::query(CELL)
        .bind(name)
        .fetch_optional(pool)
        .await
        .map_err(StoreError::unavailable)?;
    let Some(row) = row else {
        return Ok(Cell::default());
    };
    Ok(Cell {
        version: natural(&row, "version")?,
        value: column(&row, "value")?,
    })
}

/// SQLite's integers end at 2^63 - 1, and so does everything it has numbered: beyond is after the end.
fn integer(position: Position) -> i64 {
    i64::try_from(position).unwrap_or(i64::MAX)
}

fn page(limit: usize) -> i64 {
    i64::try_from(limit.min(PAGE_MAX)).unwrap_or(i64::MAX)
}

fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged {
        what: what.to_string(),
    }
}

fn column<'r, T>(row: &'r SqliteRow, name: &str) -> Result<T, StoreError>
where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite>,
{
    row.try_get(name).map_err(damaged)
}

pub(crate) fn natural(row: &SqliteRow, name: &str) -> Result<u64, StoreError> {
    let number: i64 = column(row, name)?;
    u64::try_from(number).map_err(|_| damaged(format_args!("{name} is {number}")))
}

pub(crate) fn parsed<T: FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    name: &str,
) -> Result<T, StoreError> {
    let text: &str = column(row, name)?;
    text.parse().map_err(damaged)
}

fn parsed_or_null<T: FromStr<Err: std::fmt::Display>>(
    row: &SqliteRow,
    name: &str,
) -> Result<Option<T>, StoreError> {
    let text: Option<&str> = column(row, name)?;
    text.map(str::parse).transpose().map_err(damaged)
}

pub(crate) fn digest(row: &SqliteRow, name: &str) -> Result<Digest, StoreError> {
    let bytes: &[u8] = column(row, name)?;
    let bytes = bytes
        .try_into()
        .map_err(|_| damaged(format_args!("{name} has {} bytes", bytes.len())))?;
    Ok(Digest::from_bytes(bytes))
}

fn snapshot(row: &SqliteRow) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        stream: parsed(row, "id")?,
        version: natural(row, "version")?,
        created: natural(row, "created")?,
        state: column(row, "state")?,
        facets: Facets {
            state: parsed_or_null(row, "state_kind")?,
            resource: parsed_or_null(row, "resource")?,
            requester: parsed_or_null(row, "requester")?,
        },
    })
}

fn record(row: &SqliteRow) -> Result<Record, StoreError> {
    let micros: i64 = column(row, "at")?;
    let at = Timestamp::from_timestamp_micros(micros);
    Ok(Record {
        position: natural(row, "position")?,
        stream: parsed(row, "stream")?,
        version: natural(row, "version")?,
        at: at.ok_or_else(|| damaged(format_args!("{micros} is no moment")))?,
        body: column(row, "body")?,
        previous: digest(row, "previous")?,
        hash: digest(row, "hash")?,
    })
}

#[cfg(test)]
mod tests {
    use jit_core::approval::state::State;

    #[test]
    fn the_live_states_are_those_that_are_not_final() {
        let names = State::ALL.iter().filter(|state| !state.is_terminal());
        let list: Vec<_> = names.map(|state| format!("'{state}'")).collect();
        let schema = include_str!("../migrations/2_room.sql");
        let listed = format!("SET live = 1 WHERE state_kind IN ({})", list.join(", "));
        assert!(schema.contains(&listed), "what was written before the column");
        let index = format!(
            "CREATE INDEX streams_live ON streams (created) WHERE {};",
            super::IS_LIVE
        );
        assert!(schema.contains(&index), "the index must have the same condition");
    }
}
