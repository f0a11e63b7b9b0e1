//! Following the log: keeps the gate in step with the store, whoever wrote.

use std::collections::BTreeSet;

use crate::approval::lockdown::Lockdown;
use crate::approval::request::Request;
use crate::broker::loading::decode;
use crate::broker::store::{PAGE_MAX, Position, StreamId};
use crate::broker::{Broker, Rejection};
use crate::id::Timestamp;

impl Broker {
    /// Reads everything live from the store. The log's end is read first: whatever is written meanwhile is followed afterwards.
    /// Answers since when the gate's view is complete: it is for the caller to say so, once the policy in force was asked.
    pub(super) async fn boot(&self) -> Result<Timestamp, Rejection> {
        let mut followed = self.inner.followed.lock().await;
        let began = self.now();
        let tail = self.inner.store.tail().await?;
        let mut after: Position = 0;
        loop {
            let page = self.inner.store.live(after, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.created;
            for snapshot in page {
                let request: Request = decode(&snapshot.state)?;
                if let Some(grant) = &request.grant
                    && let Some(used) = self.shared_use(grant.id).await?
                {
                    self.publish(snapshot.version, &request);
                    self.inner.agenda.used(request.id, used);
                    self.inner.enforcer.note_use(grant.id, used);
                } else {
                    self.publish(snapshot.version, &request);
                }
            }
        }
        let lockdowns = self.lockdown_state().await?;
        let all: Vec<Lockdown> = lockdowns.state.iter().cloned().collect();
        self.inner.enforcer.set_lockdowns(lockdowns.version, &all);
        *followed = tail.position;
        self.announce(tail.position);
        Ok(began)
    }

    /// Reads what was written since the last call, brings the gate up to date, and tells it how fresh its view is. Answers how many
    /// records there were.
    ///
    /// # Errors
    /// The store's: the gate's view then ages, and once it is stale the gate admits nothing.
    pub async fn follow(&self) -> Result<usize, Rejection> {
        let mut followed = self.inner.followed.lock().await;
        let mut read = 0;
        loop {
            let began = self.now();
            let records = self.inner.store.feed(*followed, PAGE_MAX).await?;
            // What was done under grants changes nothing about them, and there can be much of it.
            let streams: BTreeSet<&StreamId> = records
                .iter()
                .map(|record| &record.stream)
                .filter(|stream| !stream.is_interactions())
                .collect();
            for stream in streams {
                self.refresh(
                    stream,
                    records
                        .iter()
                        .filter(|r| r.stream == *stream)
                        .map(|r| r.version)
                        .max(),
                )
                .await?;
            }
            read += records.len();
            let decisive = |stream: &StreamId| matches!(stream, StreamId::Request(_) | StreamId::Lockdowns);
            if let Some(last) = records.iter().rfind(|record| decisive(&record.stream)) {
                self.announce(last.position);
            }
            if let Some(last) = records.last() {
                *followed = last.position;
                self.announce_other(last.position);
            }
            if records.len() < PAGE_MAX {
                self.inner.enforcer.synced(began);
                return Ok(read);
            }
        }
    }

    async fn refresh(&self, stream: &StreamId, version: Option<u64>) -> Result<(), Rejection> {
        match stream {
            StreamId::Request(id) => {
                if self.inner.agenda.version(*id) >= version {
                    return Ok(());
                }
                match self.request(*id).await {
                    Ok(loaded) => self.publish(loaded.version, &loaded.state),
                    Err(Rejection::Refused(_)) => {}
                    Err(failure) => return Err(failure),
                }
            }
            StreamId::Lockdowns => {
                let lockdowns = self.lockdown_state().await?;
                let all: Vec<Lockdown> = lockdowns.state.iter().cloned().collect();
                self.inner.enforcer.set_lockdowns(lockdowns.version, &all);
            }
            StreamId::Person(_)
            | StreamId::Passkeys(_)
            | StreamId::Control
            | StreamId::Interactions(_)
            | StreamId::InteractionIndex(..) => {}
        }
        Ok(())
    }
}
