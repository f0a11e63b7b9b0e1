use std::path::Path;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

/// What can be chosen about a store. Durability can't.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// How long to wait for a lock of SQLite's, or for a free connection to read, before `Unavailable`. Default: 5 s.
    pub busy_timeout: Duration,
    /// How many connections read at once; at least 1. Default: 3.
    pub readers: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            busy_timeout: Duration::from_secs(5),
            readers: 3,
        }
    }
}

impl Options {
    /// For the connection that makes and migrates the file; the writer then opens its own.
    pub(crate) fn for_preparing(&self, path: &Path) -> SqliteConnectOptions {
        SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(self.busy_timeout)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            // On macOS a plain fsync stops at the drive's cache; elsewhere these two do nothing.
            .pragma("fullfsync", "ON")
            .pragma("checkpoint_fullfsync", "ON")
            // A prepared file must not run functions of our connection from its schema.
            .pragma("trusted_schema", "OFF")
    }

    pub(crate) fn readers(&self, path: &Path) -> SqlitePool {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .busy_timeout(self.busy_timeout)
            .pragma("trusted_schema", "OFF")
            .read_only(true);
        SqlitePoolOptions::new()
            .max_connections(self.readers.max(1))
            .acquire_timeout(self.busy_timeout)
            // A connection to a file does not go away while it is idle.
            .test_before_acquire(false)
            .connect_lazy_with(options)
    }
}
