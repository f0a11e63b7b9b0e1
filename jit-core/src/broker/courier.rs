//! Delivering: hands the log to the notifier, at least once, from a durable cursor. The log is the outbox.

use crate::broker::notify::{Message, NotifyError};
use crate::broker::store::{Position, Put, Record, StoreError, StreamId};
use crate::broker::{Broker, Rejection};

/// Records handed over between two moves of the cursor: at most this many are repeated after a crash.
const BATCH: usize = 32;
const CURSOR: &str = "cursor/notifier";

/// Why messages were not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The log could not be read, or the cursor not be moved.
    #[error(transparent)]
    Store(#[from] Rejection),
    /// The notifier would not take one.
    #[error(transparent)]
    Notifier(#[from] NotifyError),
}

impl Broker {
    /// Hands over everything that has not been handed over yet. Answers how many messages. Without a notifier it does nothing.
    ///
    /// # Errors
    /// [`DeliveryError`] at the first message that was not taken; it comes first the next time.
    pub async fn deliver(&self) -> Result<usize, DeliveryError> {
        let Some(notifier) = &self.inner.notifier else {
            return Ok(0);
        };
        let store = &self.inner.store;
        let mut delivered = 0;
        loop {
            let cursor = store.cell(CURSOR, None).await.map_err(Rejection::from)?;
            let after: Position = match cursor.value.as_str() {
                "" => 0,
                text => text.parse().map_err(|_| {
                    Rejection::from(StoreError::Damaged {
                        what: format!("cell {CURSOR}"),
                    })
                })?,
            };
            let records = store.feed(after, BATCH).await.map_err(Rejection::from)?;
            let Some(last) = records.last().map(|record| record.position) else {
                return Ok(delivered);
            };
            // People are told what was decided. What was done, they read.
            for record in records
                .into_iter()
                .filter(|record| !record.stream.is_interactions())
            {
                notifier.notify(&self.message(record).await?).await?;
                delivered += 1;
            }
            let put = Put {
                expected: cursor.version,
                value: last.to_string(),
            };
            store.cell(CURSOR, Some(put)).await.map_err(Rejection::from)?;
        }
    }

    async fn message(&self, record: Record) -> Result<Message, Rejection> {
        let request = match &record.stream {
            StreamId::Request(id) => Some(self.view_unchecked(*id).await?.request),
            _ => None,
        };
        Ok(Message { record, request })
    }
}
