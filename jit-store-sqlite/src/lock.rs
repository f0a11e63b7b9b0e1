//! One process per file, and nobody else's eyes on it.
//!
//! The lock is on a file beside the database: a lock on the database itself would meet SQLite's own, which POSIX drops as soon as
//! this process closes any other handle on that file.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use crate::error::OpenError;

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_owned();
    |source| OpenError::Io { path, source }
}

/// `path` with its folder resolved: two ways to write one path must meet at one lock.
pub(crate) fn settle(path: &Path) -> Result<PathBuf, OpenError> {
    let Some(name) = path.file_name() else {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.canonicalize().map_err(io_error(folder))?;
    Ok(folder.join(name))
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Whether there is a file; an error if what is there is no plain file, or one that others may use.
fn examine(path: &Path) -> Result<bool, OpenError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(io_error(path)(error)),
    };
    if !found.is_file() {
        return Err(OpenError::NotAFile {
            path: path.to_owned(),
        });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = found.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(OpenError::Exposed {
                path: path.to_owned(),
                mode,
            });
        }
    }
    Ok(true)
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    options
}

/// Makes the database file if there is none, and refuses one that is not the owner's alone. SQLite gives the files it makes beside it
/// the same mode.
pub(crate) fn guard_file(path: &Path) -> Result<(), OpenError> {
    for suffix in ["-wal", "-shm"] {
        examine(&beside(path, suffix))?;
    }
    if examine(path)? {
        return Ok(());
    }
    owner_only()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(io_error(path))?;
    // The name must survive a crash as surely as what will be written under it.
    #[cfg(unix)]
    if let Some(folder) = path.parent() {
        File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(io_error(folder))?;
    }
    Ok(())
}

/// Held for as long as a store is open; the operating system frees it when the process ends, however it ends.
#[derive(Debug)]
pub(crate) struct FileLock {
    _held: File,
}

impl FileLock {
    /// Takes the lock for the database at `path`, or says who has it.
    pub(crate) fn take(path: &Path) -> Result<Self, OpenError> {
        let lock = beside(path, ".lock");
        examine(&lock)?;
        // It is never removed: a process that waits on a removed file would hold a lock that nobody else sees.
        let opened = owner_only()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock);
        let mut file = opened.map_err(io_error(&lock))?;
        match file.try_lock() {
            Ok(()) => {
                let pid = std::process::id().to_string();
                let noted = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| file.write_all(pid.as_bytes()));
                noted.map_err(io_error(&lock))?;
                Ok(Self { _held: file })
            }
            Err(TryLockError::WouldBlock) => {
                let mut noted = String::new();
                let read = file.take(16).read_to_string(&mut noted);
                let pid = read.ok().and_then(|_| noted.trim().parse().ok());
                Err(OpenError::InUse {
                    path: path.to_owned(),
                    pid,
                })
            }
            Err(TryLockError::Error(error)) => Err(io_error(&lock)(error)),
        }
    }
}
