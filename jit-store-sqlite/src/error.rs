use std::path::PathBuf;

/// Why a store was not opened. Nothing was changed, but the file may have been made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Rule 1: what is in memory is gone after a crash.
    #[error(
        "the database is in memory and can't be durable; give it a file, or use jit_core::memory::MemoryStore"
    )]
    InMemory,
    /// Rule 1: readers must not block the writer, and commits must be one sync.
    #[error(
        "the journal mode is {mode:?}, not \"wal\"; set journal_mode(Wal), and keep the file on a local disk that can share memory"
    )]
    NotWal {
        /// What it is.
        mode: String,
    },
    /// Rule 1: below FULL the newest commits are lost with the power.
    #[error("`synchronous` is {level}, so an acknowledged write could be lost; set synchronous(Full)")]
    NotDurable {
        /// 0: OFF, 1: NORMAL.
        level: i64,
    },
    /// Rule 1: older versions can lose a commit when the write-ahead log is reset (fixed in 3.51.3).
    #[error("SQLite is {version}, and 3.51.3 or newer is needed; build with the bundled one")]
    OldSqlite {
        /// What it is.
        version: String,
    },
    /// Rule 2: someone has the file.
    #[error("{} is in use by {}; one process may open it, once: stop that one first", .path.display(), holder(*.pid))]
    InUse {
        /// The database.
        path: PathBuf,
        /// The process that has it, if it left its number.
        pid: Option<u32>,
    },
    /// Rule 6: group or others may use the file.
    #[error("{} has mode {mode:04o}, so others than its owner may use it; check who did, then: chmod 600 {}", .path.display(), .path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Rule 6: a link can be turned to another file.
    #[error("{} is not a plain file; name the database itself", .path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
    },
    /// The file has tables, and none of them is this store's. They are as they were; the journal mode is write-ahead now.
    #[error("{} is another program's database; name a file of its own for this store", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a newer version of this crate.
    #[error("{} has schema {found}, and this version knows {known}; use the version that wrote it, or a newer one", .path.display())]
    NewerSchema {
        /// The database.
        path: PathBuf,
        /// Its schema's number.
        found: i64,
        /// The newest number known here.
        known: i64,
    },
    /// The schema could not be brought up to date. Each step is one transaction: the file is as it was before the one that failed.
    #[error("the schema of {} could not be brought up to date: {source}", .path.display())]
    Migration {
        /// The database.
        path: PathBuf,
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file could not be made, read or locked.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// What is in the file is not what this store writes.
    #[error("the database is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
    /// The thread that writes could not be started.
    #[error("the thread that writes could not be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The file could not be opened for writing, though it could be read.
    #[error("the database could not be opened for writing: {0}")]
    Writer(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// SQLite could not open or read the file.
    #[error("the database could not be opened: {0}")]
    Sqlite(#[from] sqlx::Error),
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"))
}
