//! The audit log of a database file, for whoever only reads it.

use std::path::{Path, PathBuf};

use jit_core::broker::store::{Position, Record, StoreError};
use sqlx::SqlitePool;

use crate::error::OpenError;
use crate::options::Options;
use crate::{lock, read, schema};

/// The audit log of a store's file: of a copy, or of the file itself, whether a store has it open or not.
///
/// It takes no lock, migrates nothing and writes nothing into the file. SQLite may leave its `-wal` and `-shm` beside a file that no
/// store has open; it needs to be able to make these.
pub struct LogFile {
    path: PathBuf,
    readers: SqlitePool,
}

impl LogFile {
    /// Opens the log of the database at `path`, which must exist. Who else may read the file is not looked at: what is read
    /// is to be verified, not trusted.
    ///
    /// # Errors
    /// [`OpenError`]: there is no such file, it is no plain file, or another program's.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = lock::settle(path.as_ref())?;
        if !path.is_file() {
            return Err(OpenError::NotAFile { path });
        }
        let readers = Options::default().readers(&path);
        schema::require_own(&mut *readers.acquire().await?, &path).await?;
        Ok(Self { path, readers })
    }

    /// As [`Store::feed`](jit_core::broker::store::Store::feed): the records after a position, in order.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] for a row that is no record; else [`StoreError::Unavailable`].
    pub async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        read::feed(&self.readers, after, limit).await
    }

    /// Closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
    }
}

impl std::fmt::Debug for LogFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
