//! The one writer: a task that commits together what has come in while it was committing.
//!
//! Each group is checked against [`Session`], which knows the end of the chain and the versions of what was touched lately, then written
//! by one statement, which is one transaction. A statement through sqlx costs a hop to another thread and back, so their number, not
//! that of the rows, is what makes a commit slower than its sync.
//!
//! [`Session`] may be trusted because the lock keeps other processes out. Should one get in all the same, the primary key of `events`
//! and the trigger on `streams` refuse what was decided on an old view.

mod group;

use std::sync::Arc;

use jit_core::broker::store::{Batch, Cell, Put, Record, StoreError};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::error::OpenError;
use crate::lock::FileLock;
use crate::recent::Recent;
use group::{Group, Session};

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
    /// Reads the end of the chain and starts the task.
    pub(crate) async fn start(
        mut connection: SqliteConnection,
        options: SqliteConnectOptions,
        lock: FileLock,
        recent: Arc<Recent>,
    ) -> Result<Self, OpenError> {
        let session = Session::begin(&mut connection)
            .await
            .map_err(|error| match error {
                StoreError::Damaged { what } => OpenError::Damaged { what },
                other => OpenError::Sqlite(sqlx::Error::Configuration(other.into())),
            })?;
        recent.start();
        let (jobs, line) = mpsc::channel(WAITING_MAX);
        let writer = Writer {
            line,
            options,
            recent,
            open: Some((connection, session)),
        };
        tokio::spawn(writer.run(lock));
        Ok(Self { jobs })
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

    /// Ends the task; answers the lock, for whoever still has the file open to let go last. `None` if it had ended before.
    pub(crate) async fn close(&self) -> Option<FileLock> {
        self.ask(Job::Close).await.ok()
    }

    /// A job that is in line is done even if nobody waits for the answer any more.
    async fn ask<T>(&self, job: impl FnOnce(oneshot::Sender<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.jobs.send(job(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())
    }
}

struct Writer {
    line: mpsc::Receiver<Job>,
    options: SqliteConnectOptions,
    recent: Arc<Recent>,
    /// `None` after a failure, until the end of the chain has been read again.
    open: Option<(SqliteConnection, Session)>,
}

impl Writer {
    /// Ends when the store is closed or dropped, after what was in line before.
    async fn run(mut self, lock: FileLock) {
        let mut waiting = Vec::with_capacity(GROUP_MAX);
        let mut closing = None;
        while closing.is_none() && self.line.recv_many(&mut waiting, GROUP_MAX).await > 0 {
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
                self.commit(taken).await;
            }
        }
        // Who is still in line hears that the store is closed, because nobody holds their reply any more.
        drop(self.line);
        if let Some((connection, _)) = self.open
            && let Err(error) = connection.close().await
        {
            tracing::warn!(%error, "closing the database failed; what was acknowledged is in its write-ahead log");
        }
        if let Some(reply) = closing {
            drop(reply.send(lock));
        }
    }

    /// Commits what can be, then answers everyone.
    async fn commit(&mut self, jobs: Vec<Job>) {
        let mut group = Group::new(jobs);
        let result = self.try_commit(&mut group).await;
        if let Err(error) = result {
            tracing::error!(%error, "a commit failed; its outcome is unknown and the end of the log will be read again");
            self.recent.stop();
            if let Some((connection, _)) = self.open.take() {
                // Closing rolls back a transaction that is still open. A failure to close changes nothing.
                drop(connection.close().await);
            }
            group.fail(&Arc::new(error));
        } else {
            group.answer();
        }
    }

    async fn try_commit(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let (connection, session) = match &mut self.open {
            Some(open) => open,
            none => {
                let mut connection = self.options.connect().await.map_err(StoreError::unavailable)?;
                let session = Session::begin(&mut connection).await?;
                self.recent.start();
                none.insert((connection, session))
            }
        };
        session.learn(connection, group).await?;
        group.decide(session);
        self.recent.begin(group.changed());
        group.write(connection).await?;
        self.recent.end(group.snapshots());
        Ok(())
    }
}
