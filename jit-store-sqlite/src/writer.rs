//! The one writer: a thread that commits together what has come in while it was committing.
//!
//! It owns its connection and calls SQLite itself, so a commit waits for the disk and for nobody else. Between whoever waits for an
//! answer and the disk are two wakings: of this thread, and of theirs.
//!
//! Each group is one transaction, which begins by taking the file for writing. It is checked against [`Session`], which knows the end of
//! the chain and the versions of what was touched lately. [`Session`] may be trusted because the lock keeps other processes out.
//! Should one get in all the same, SQLite's `data_version` tells so inside the transaction, and everything is read again. Behind that,
//! the primary key of `events` and the versions that each change of a stream or a cell names refuse what was decided on an old view.

mod file;
mod group;
mod room;

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread;

use jit_core::broker::store::{Batch, Cell, Put, Record, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::error::OpenError;
use crate::lock::FileLock;
use crate::recent::Recent;
use file::File;
use group::{Group, Session};

pub(crate) use file::WriteOptions;

/// Jobs that may wait; who comes later waits to get in line.
const WAITING_MAX: usize = 1024;
/// Most jobs in one commit.
const GROUP_MAX: usize = 256;
/// A commit takes no further job once it has this many bytes of text.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Longest batch, in bytes of text: far below what SQLite takes as one value.
const BATCH_BYTES: usize = 64 * 1024 * 1024;

pub(crate) enum Job {
    Append(Batch, oneshot::Sender<Result<Vec<Record>, StoreError>>),
    Put(String, Put, oneshot::Sender<Result<Cell, StoreError>>),
    Close(oneshot::Sender<FileLock>),
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(batch, _) => bytes(batch),
            Self::Put(_, put, _) => put.value.len(),
            Self::Close(_) => 0,
        }
    }
}

fn bytes(batch: &Batch) -> usize {
    let writes = batch.writes.iter();
    writes
        .map(|write| write.state.len() + write.events.iter().map(|event| event.body.len()).sum::<usize>())
        .sum()
}

/// The store's end of the line to the writer.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    jobs: mpsc::Sender<Job>,
}

fn closed() -> StoreError {
    StoreError::unavailable("the store is closed")
}

impl WriterHandle {
    /// Starts the thread, and waits until it has opened the file and read the end of the chain.
    pub(crate) async fn start(
        options: WriteOptions,
        lock: FileLock,
        recent: Arc<Recent>,
    ) -> Result<Self, OpenError> {
        let (jobs, line) = mpsc::channel(WAITING_MAX);
        let (ready, begun) = oneshot::channel();
        let mut writer = Writer {
            line,
            options,
            recent,
            open: None,
            lock: Some(lock),
        };
        let run = move || {
            let opened = writer.open().map(drop);
            if let Err(error) = opened {
                // The file is free before anybody hears that it could not be opened.
                drop(writer);
                drop(ready.send(Err(error)));
            } else if ready.send(Ok(())).is_ok() {
                writer.run();
            }
        };
        thread::Builder::new()
            .name("jit-store".to_owned())
            .spawn(run)
            .map_err(OpenError::Thread)?;
        match begun.await {
            Ok(Ok(())) => Ok(Self { jobs }),
            Ok(Err(StoreError::Damaged { what })) => Err(OpenError::Damaged { what }),
            Ok(Err(other)) => Err(OpenError::Writer(other.into())),
            Err(gone) => Err(OpenError::Writer(gone.into())),
        }
    }

    pub(crate) async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError> {
        group::check(&batch)?;
        if bytes(&batch) > BATCH_BYTES {
            return Err(StoreError::invalid(format!(
                "it has more than {BATCH_BYTES} bytes"
            )));
        }
        self.ask(|reply| Job::Append(batch, reply)).await?
    }

    pub(crate) async fn put(&self, name: &str, put: Put) -> Result<Cell, StoreError> {
        put.check()?;
        if name.contains('\0') || put.value.contains('\0') {
            return Err(StoreError::invalid("the character NUL is in a cell"));
        }
        self.ask(|reply| Job::Put(name.to_owned(), put, reply)).await?
    }

    /// Refuses when there is no writer any more: it was closed, or has died.
    pub(crate) fn require(&self) -> Result<(), StoreError> {
        if self.jobs.is_closed() {
            return Err(closed());
        }
        Ok(())
    }

    /// Ends the thread. Answers the lock, to be dropped as the last thing; `None` if the thread had ended before.
    pub(crate) async fn close(&self) -> Option<FileLock> {
        let lock = self.ask(Job::Close).await.ok();
        // Once the lock is dropped nobody may be answered any more.
        self.jobs.closed().await;
        lock
    }

    /// A job that is in line is done even if nobody waits for the answer any more.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| closed())?;
        self.answered(answer).await
    }

    /// A job that got into line just as the line was dropped is kept by our own end of it, reply and all: only that the line has ended tells
    /// that nobody will answer. Whoever was answered was so before that.
    async fn answered<T>(&self, mut answer: oneshot::Receiver<T>) -> Result<T, StoreError> {
        tokio::select! {
            biased;
            answer = &mut answer => answer.map_err(|_| closed()),
            () = self.jobs.closed() => answer.try_recv().map_err(|_| closed()),
        }
    }
}

struct Writer {
    line: mpsc::Receiver<Job>,
    options: WriteOptions,
    recent: Arc<Recent>,
    /// `None` after a failure, until the end of the chain has been read again.
    open: Option<(File, Session)>,
    /// `None` once whoever closes the store has it. Last, so that however the thread ends, the line is closed before the file is free.
    lock: Option<FileLock>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.recent.stop();
    }
}

impl Writer {
    /// Ends when the store is closed or dropped, after what was in line before.
    fn run(mut self) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        let mut closing = None;
        while closing.is_none() && self.line.blocking_recv_many(&mut waiting, GROUP_MAX) > 0 {
            let mut jobs = waiting.drain(..).peekable();
            while closing.is_none() && jobs.peek().is_some() {
                let (mut taken, mut size) = (Vec::new(), 0);
                while size < GROUP_BYTES {
                    match jobs.next() {
                        Some(Job::Close(reply)) => {
                            closing = Some(reply);
                            break;
                        }
                        Some(job) => {
                            size += job.bytes();
                            taken.push(job);
                        }
                        None => break,
                    }
                }
                if !taken.is_empty() {
                    self.commit(taken);
                }
            }
        }
        // A load that was let in before the end must not answer from memory after it, when the file may be another process's.
        self.recent.stop();
        if let Some((file, _)) = self.open.take()
            && let Err(error) = file.close()
        {
            tracing::warn!(%error, "closing the database failed; what was acknowledged is in its write-ahead log");
        }
        if let (Some(reply), Some(lock)) = (closing, self.lock.take()) {
            drop(reply.send(lock));
        }
        // Who is still in line hears that the store is closed, because the line is dropped here and their replies with it.
    }

    /// Commits what can be, then answers everyone.
    fn commit(&mut self, jobs: Vec<Job>) {
        let mut group = Group::new(jobs);
        // Nothing that a panic may have left half done is used again: neither the group, nor the connection, nor what was remembered.
        let tried = panic::catch_unwind(AssertUnwindSafe(|| self.try_commit(&mut group)));
        if let Err(error) = tried.unwrap_or_else(|_| Err(StoreError::unavailable("the writer panicked"))) {
            self.recent.stop();
            if let Some((file, _)) = self.open.take() {
                // Closing rolls back a transaction that is still open. A failure to close changes nothing.
                drop(file.close());
            }
            let error = Arc::new(error);
            group.fail(&error);
            tracing::error!(%error, "a commit failed; its outcome is unknown and the end of the log will be read again");
        } else {
            group.answer();
        }
    }

    fn try_commit(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let recent = Arc::clone(&self.recent);
        let (file, session) = self.open()?;
        file.begin()?;
        if session.is_outdated(file)? {
            tracing::warn!(path = %file.path(), "somebody else has written to the database or emptied its write-ahead log, so all is read again; only this store may");
            recent.stop();
            *session = Session::begin(file)?;
            recent.start();
        }
        session.learn(file, group)?;
        group.decide(session);
        recent.begin(group.changed());
        group.write(file)?;
        file.commit()?;
        recent.end(group.snapshots());
        Ok(())
    }

    fn open(&mut self) -> Result<&mut (File, Session), StoreError> {
        match &mut self.open {
            Some(open) => Ok(open),
            none => {
                let file = File::open(&self.options)?;
                let session = Session::begin(&file)?;
                self.recent.start();
                Ok(none.insert((file, session)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_job_that_met_the_end_of_the_line_is_answered() {
        let (jobs, line) = mpsc::channel(1);
        let handle = WriterHandle { jobs };
        for answered in [false, true] {
            let (reply, answer) = oneshot::channel();
            if answered {
                reply.send(1).unwrap();
            } else {
                drop(reply);
            }
            assert_eq!(handle.answered(answer).await.is_ok(), answered, "before the end");
        }
        // In line, and the line ends before it is filled.
        let place = handle.jobs.reserve().await.unwrap();
        drop(line);
        let (reply, answer) = oneshot::channel();
        place.send(Job::Append(Batch::default(), reply));
        let answer = tokio::time::timeout(Duration::from_secs(10), handle.answered(answer)).await;
        assert!(
            matches!(answer, Ok(Err(StoreError::Unavailable { .. }))),
            "{answer:?}"
        );
        let (reply, answer) = oneshot::channel();
        reply.send(1).unwrap();
        assert_eq!(
            handle.answered(answer).await.unwrap(),
            1,
            "answered before the end"
        );
    }
}
