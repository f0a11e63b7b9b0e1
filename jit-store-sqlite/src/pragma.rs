//! What a connection must be like before anything is entrusted to it.

use std::path::PathBuf;

use sqlx::{Row, SqliteConnection};

use crate::error::OpenError;

/// The oldest SQLite without the bug that can lose a commit when the write-ahead log is reset.
const OLDEST: [u32; 3] = [3, 51, 3];

/// The file behind a connection.
pub(crate) async fn file_of(connection: &mut SqliteConnection) -> Result<PathBuf, OpenError> {
    let row = sqlx::query("SELECT file FROM pragma_database_list WHERE name = 'main'");
    let file: Option<String> = row.fetch_one(connection).await?.try_get(0)?;
    match file {
        Some(file) if !file.is_empty() => Ok(file.into()),
        _ => Err(OpenError::InMemory),
    }
}

/// Refuses a connection on which an acknowledged write could be lost.
pub(crate) async fn require_durable(connection: &mut SqliteConnection) -> Result<(), OpenError> {
    let version: String = sqlx::query_scalar("SELECT sqlite_version()")
        .fetch_one(&mut *connection)
        .await?;
    if !is_recent(&version) {
        return Err(OpenError::OldSqlite { version });
    }
    file_of(connection).await?;
    let mode: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&mut *connection)
        .await?;
    if mode != "wal" {
        return Err(OpenError::NotWal { mode });
    }
    let level: i64 = sqlx::query_scalar("PRAGMA synchronous")
        .fetch_one(&mut *connection)
        .await?;
    if level < 2 {
        return Err(OpenError::NotDurable { level });
    }
    Ok(())
}

fn is_recent(version: &str) -> bool {
    let numbers: Option<Vec<u32>> = version.split('.').map(|part| part.parse().ok()).collect();
    numbers.is_some_and(|numbers| numbers.as_slice() >= OLDEST.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        for (version, want) in [
            ("3.51.3", true),
            ("3.51.2", false),
            ("3.9.10", false),
            ("3.51.10", true),
            ("3.52.0", true),
            ("4.0", true),
            ("3.51", false),
            ("", false),
            ("3.52.x", false),
        ] {
            assert_eq!(is_recent(version), want, "{version}");
        }
    }
}
