//! The embedded store of just-in-time access: one SQLite file.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use jit_core::broker::store::Store;
//! use jit_store_sqlite::SqliteStore;
//!
//! let store: Arc<dyn Store> = Arc::new(SqliteStore::open("/var/lib/jit/jit.db").await?);
//! # Ok(()) }
//! ```
//!
//! # Rules
//! 1. **Acknowledged is durable.** The journal is write-ahead and `synchronous` is FULL, so an `Ok` comes after the commit has reached the
//!    disk. What can't promise that (a database in memory, another journal, `synchronous` below FULL, SQLite before 3.51.3) is
//!    refused at the start, with the mend.
//! 2. **One process per file**, kept by a lock on `<file>.lock`. The audit chain has one end, and one writer knows it.
//! 3. **One writer, group commit.** What waits is committed together, each batch checked on its own: one that conflicts does not
//!    spoil the others, and nobody is answered before the commit. The transaction takes the file before anything is looked up in it,
//!    then asks SQLite whether anybody else has changed it, and if so forgets all that it knew: what somebody who got past the lock wrote
//!    is a conflict from the next commit on, and never overwritten.
//! 4. **A failed commit is an unknown outcome**, and so is one that panicked. Everyone in it gets `Unavailable`, and nothing is written
//!    before the end of the chain has been read again from the file, over a new connection. The write-ahead log is emptied before that,
//!    unless a reader stands in the way: what a failed sync left in it would come back after a crash.
//! 5. **What was written or loaded lately is loaded from memory**, as it stands in the file: the writer takes a stream out before a
//!    commit that changes it, and puts it back after. Reads of several streams, and of the log, are SQLite's. Without a writer the
//!    store answers nothing: once it is closed the file may be another process's, and what was read of it says nothing any more.
//! 6. **Nobody else reads the file.** It is made with mode 0600, and one that group or others can use is refused: who copied it
//!    there may have lost it already. A symbolic link is refused too.
//!
//! # Deployment caveats
//! - The file belongs on a local disk: locks and shared memory don't work over NFS.
//! - Never delete `jit.db.lock`: a second process could then open the file. The two would not overwrite each other, but until its next commit
//!   each loads from memory what the other may have changed.
//! - Copy a running database with `VACUUM INTO` or `.backup`, never with `cp`. After [`SqliteStore::close`] the file alone is the whole
//!   database; after a crash, and while a pool handed to [`SqliteStore::from_pool`] is open, `jit.db-wal` beside it holds the newest
//!   commits, and what is copied or moved without it has lost them. A restored copy is an older log: compare its end with one
//!   kept elsewhere before trusting it (see [`jit_core::approval::audit`]).
//! - The triggers against change and deletion stop mistakes, not an attacker with write access to the file. The hash chain shows those.
//! - The store's writer is a thread of its own, `jit-store`, which waits for the disk so that no thread of the runtime does. It ends with the store.
//! - In this project's own workspace SQLite is built to sync with `fdatasync`, as most distributions build it; by itself the bundled one calls `fsync`,
//!   which is as safe but waits for the file's times too. Elsewhere, build with `LIBSQLITE3_FLAGS=-DHAVE_FDATASYNC=1`.
//! - Texts must not hold the character NUL; JSON text never does. A batch holds at most 64 MiB.

mod error;
mod lock;
mod log;
mod options;
mod pragma;
mod read;
mod recent;
mod schema;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use jit_core::approval::audit::Tail;
use jit_core::broker::store::{
    Batch, Cell, Position, Put, Query, Record, Snapshot, Store, StoreError, StreamId,
};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqlitePool};

pub use error::OpenError;
pub use log::LogFile;
pub use options::Options;

use lock::FileLock;
use recent::{Found, Recent};
use writer::{WriteOptions, WriterHandle};

/// A [`Store`] in one SQLite file.
///
/// Dropping it ends the writer after what is already waiting; [`SqliteStore::close`] also waits for that and frees the file.
pub struct SqliteStore {
    path: PathBuf,
    readers: SqlitePool,
    owns_readers: bool,
    writer: WriterHandle,
    recent: Arc<Recent>,
}

impl SqliteStore {
    /// Opens the database at `path`, and makes it if there is none; its folder must exist.
    ///
    /// # Errors
    /// [`OpenError`]: see the rules of this crate.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::open_with(path, Options::default()).await
    }

    /// Like [`SqliteStore::open`], with options.
    ///
    /// # Errors
    /// [`OpenError`]: see the rules of this crate.
    pub async fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Self, OpenError> {
        let path = lock::settle(path.as_ref())?;
        let lock = FileLock::take(&path)?;
        lock::guard_file(&path)?;
        let recent = Arc::new(Recent::default());
        let writer = Self::start(lock, options.for_preparing(&path), &path, recent.clone()).await?;
        let readers = options.readers(&path);
        Ok(Self {
            path,
            readers,
            owns_readers: true,
            writer,
            recent,
        })
    }

    /// Works on the file that `pool` is connected to, which must be this store's own. Reads go through `pool`, whose options must say
    /// `journal_mode(Wal)` and `synchronous(Full)` or better. The writer opens a connection of its own, and of the pool's options takes
    /// over `busy_timeout` and `max_page_count` alone: a file that can't be opened without others, such as a key, is refused.
    ///
    /// # Errors
    /// [`OpenError`]: see the rules of this crate.
    pub async fn from_pool(pool: SqlitePool) -> Result<Self, OpenError> {
        let path = pragma::file_of(&mut *pool.acquire().await?).await?;
        let path = lock::settle(&path)?;
        let lock = FileLock::take(&path)?;
        lock::guard_file(&path)?;
        let options = pool.connect_options().as_ref().clone();
        let recent = Arc::new(Recent::default());
        let writer = Self::start(lock, options, &path, recent.clone()).await?;
        Ok(Self {
            path,
            readers: pool,
            owns_readers: false,
            writer,
            recent,
        })
    }

    /// Makes the file what it must be, over a connection of `options`, and starts the writer on it.
    async fn start(
        lock: FileLock,
        options: SqliteConnectOptions,
        path: &Path,
        recent: Arc<Recent>,
    ) -> Result<WriterHandle, OpenError> {
        let mut connection = options.connect().await?;
        pragma::require_durable(&mut connection).await?;
        schema::migrate(&mut connection, path).await?;
        let options = WriteOptions::like(&mut connection, path).await?;
        let writer = WriterHandle::start(options, lock, recent).await?;
        connection.close().await?;
        Ok(writer)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes what is waiting, closes the file and frees it for the next process. Calls after this answer
    /// [`StoreError::Unavailable`]. What was written is then in the one file, unless something else has it open: a pool that was
    /// handed to [`SqliteStore::from_pool`] stays open, and with it the write-ahead log.
    pub async fn close(&self) {
        // The last connection copies the write-ahead log into the database and removes it, if it may write.
        if self.owns_readers {
            self.readers.close().await;
        }
        drop(self.writer.close().await);
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        self.writer.append(batch).await
    }

    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError> {
        self.writer.require()?;
        match self.recent.find(stream) {
            Found::Known(known) => Ok(known.map(Arc::unwrap_or_clone)),
            Found::Unknown(None) => read::load(&self.readers, stream).await,
            Found::Unknown(Some(ticket)) => {
                let read = read::load(&self.readers, stream).await?;
                ticket.learn(read.as_ref());
                Ok(read)
            }
        }
    }

    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError> {
        self.writer.require()?;
        read::find(&self.readers, query).await
    }

    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError> {
        self.writer.require()?;
        read::live(&self.readers, after, limit).await
    }

    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError> {
        self.writer.require()?;
        read::feed(&self.readers, after, limit).await
    }

    async fn tail(&self) -> Result<Tail, StoreError> {
        self.writer.require()?;
        read::tail(&self.readers).await
    }

    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError> {
        match put {
            Some(put) => self.writer.put(name, put).await,
            None => {
                self.writer.require()?;
                read::cell(&self.readers, name).await
            }
        }
    }
}
