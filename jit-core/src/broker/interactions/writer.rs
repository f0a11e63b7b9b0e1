//! Putting records into events, and those into the log.

use std::collections::{HashMap, HashSet, VecDeque};

use super::entry::{Interaction, loss, opening};
use super::index::{Entry, Loaded};
use super::{ROWS_MAX, TRIES};
use crate::broker::store::{BATCH_MAX, Batch, Draft, StoreError, Version};
use crate::broker::{Broker, Rejection};
use crate::gate::interactions::{Interactions, Note};
use crate::id::{GrantId, Principal, ResourceName};

/// Longest event, in bytes, but for one whose only record is longer.
const BODY_MAX: usize = 32 * 1024;
/// Most events of one grant in one append.
const EVENTS_MAX: usize = 32;
/// Most events in one append.
const APPEND_MAX: usize = 2 * EVENTS_MAX;
/// Most grants whose heads are remembered. Then all are forgotten.
const HEADS_MAX: usize = 4096;

/// What was taken out of memory and is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Writer {
    groups: VecDeque<Group>,
    /// Of grants that nobody can name any more.
    lost: u64,
    heads: HashMap<GrantId, Loaded>,
    /// An append of which nobody knows whether it was kept.
    open: Option<Attempt>,
    /// The number of the next append.
    number: Option<u64>,
}

/// What goes into one write of a grant's stream.
#[derive(Debug)]
struct Group {
    grant: GrantId,
    bodies: Vec<String>,
    records: u64,
    lost: u64,
}

/// An append: how many groups are in it, and the entry of the first.
#[derive(Debug, Clone, Copy)]
struct Attempt {
    groups: usize,
    grant: GrantId,
    version: Version,
    number: u64,
}

impl Writer {
    pub(super) fn is_idle(&self) -> bool {
        self.groups.is_empty() && self.lost == 0
    }

    /// Takes about `most` records out of memory, if all that was taken out before is written down.
    pub(super) fn take_in(&mut self, source: &Interactions, most: usize) -> Result<(), StoreError> {
        if !self.groups.is_empty() {
            return Ok(());
        }
        let lost = source.drain_losses();
        self.lost = self.lost.saturating_add(lost.of_others);
        let mut notes = source.drain(most);
        notes.sort_by_key(Note::ended);
        let mut open: HashMap<GrantId, Rows> = HashMap::new();
        for note in &notes {
            for (grant, row) in rows(note) {
                let rows = open.entry(grant).or_insert_with(|| Rows::new(grant));
                if let Some(full) = rows.add(&row, note.holder(), note.resource())? {
                    self.groups.push_back(full);
                }
            }
        }
        for (grant, count) in lost.of_grants {
            let rows = open.entry(grant).or_insert_with(|| Rows::new(grant));
            rows.group.bodies.push(loss(grant, count).map_err(misfit)?);
            rows.group.lost = count;
        }
        for rows in open.into_values() {
            self.groups.push_back(rows.finish()?);
        }
        Ok(())
    }

    /// Writes some of it down. Answers how many records.
    pub(super) async fn write(&mut self, broker: &Broker, source: &Interactions) -> Result<u64, Rejection> {
        if self.lost > 0 {
            broker.record_lost(self.lost).await?;
            self.lost = 0;
        }
        if let Some(open) = self.open {
            // Forgotten whatever comes of it: others may have written meanwhile.
            self.heads.clear();
            let kept = was_kept(broker, &open).await?;
            self.open = None;
            if kept {
                return Ok(self.settle(open.groups));
            }
        }
        for _ in 0..TRIES {
            let Some((attempt, batch, after)) = self.prepare(broker).await? else {
                return Ok(0);
            };
            // Before the wait: whoever gives up in the middle of it does not know either.
            self.open = Some(attempt);
            match broker.inner.store.append(batch).await {
                Ok(records) => {
                    self.open = None;
                    self.heads.extend(after);
                    if let Some(last) = records.last() {
                        broker.announce_other(last.position);
                    }
                    return Ok(self.settle(attempt.groups));
                }
                Err(StoreError::Conflict { .. }) => {
                    self.open = None;
                    self.heads.clear();
                }
                Err(StoreError::Invalid { problem }) => {
                    self.open = None;
                    tracing::error!(%problem, "the store takes these interactions never; they are counted as lost");
                    for group in self.groups.drain(..attempt.groups.min(self.groups.len())) {
                        source.lose(group.grant, group.records.saturating_add(group.lost));
                    }
                    return Err(StoreError::Invalid { problem }.into());
                }
                Err(failure) => return Err(failure.into()),
            }
        }
        Err(StoreError::unavailable("too many gates write down interactions of the same grants").into())
    }

    /// The next append, and what the heads are after it.
    async fn prepare(
        &mut self,
        broker: &Broker,
    ) -> Result<Option<(Attempt, Batch, Vec<(GrantId, Loaded)>)>, Rejection> {
        let number = match self.number {
            Some(number) => number,
            None => getrandom::u64()?,
        };
        self.number = Some(number.wrapping_add(1));
        if self.heads.len() > HEADS_MAX {
            self.heads.clear();
        }
        let (mut grants, mut events) = (HashSet::new(), 0);
        let mut chosen = Vec::new();
        for group in &self.groups {
            events += group.bodies.len();
            // Each may take two writes. A stream is written once in an append.
            let fits = 2 * (chosen.len() + 1) <= BATCH_MAX && (chosen.is_empty() || events <= APPEND_MAX);
            if !fits || !grants.insert(group.grant) {
                break;
            }
            let head = match self.heads.get(&group.grant) {
                Some(head) => head.clone(),
                None => broker.interaction_head(group.grant).await?,
            };
            chosen.push((group, head));
        }
        let at = broker.now();
        // Read last, and before the append: its records stand after this, and not far.
        let entry = Entry(broker.inner.store.tail().await?.position, number);
        let (mut writes, mut after) = (Vec::new(), Vec::new());
        for (group, head) in &chosen {
            let (next, mut added) = head.add(group.grant, entry, group.records, group.lost)?;
            if let Some(first) = added.first_mut() {
                let draft = |body: &String| Draft {
                    at,
                    body: body.clone(),
                };
                first.events = group.bodies.iter().map(draft).collect();
            }
            writes.append(&mut added);
            after.push((group.grant, next));
        }
        let attempt = chosen.first().map(|(group, head)| Attempt {
            groups: chosen.len(),
            grant: group.grant,
            version: head.version + 1,
            number,
        });
        let unchanged = Vec::new();
        Ok(attempt.map(|attempt| (attempt, Batch { writes, unchanged }, after)))
    }

    /// Forgets what is written down.
    fn settle(&mut self, groups: usize) -> u64 {
        let groups = self.groups.drain(..groups.min(self.groups.len()));
        groups.map(|group| group.records).sum()
    }
}

/// Whether the log holds what an append that failed was to write.
async fn was_kept(broker: &Broker, attempt: &Attempt) -> Result<bool, Rejection> {
    let head = broker.interaction_head(attempt.grant).await?;
    if head.version < attempt.version {
        return Ok(false);
    }
    let entry = broker
        .interaction_entry(attempt.grant, &head, attempt.version)
        .await?;
    Ok(entry.1 == attempt.number)
}

/// A record under the grant that it ended under, and under each that it was under before.
fn rows(note: &Note) -> impl Iterator<Item = (GrantId, Interaction)> {
    let row = Interaction::of(note);
    let grants: Vec<GrantId> = note.before().iter().copied().chain([note.grant()]).collect();
    (0..grants.len()).filter_map(move |n| {
        let mut row = row.clone();
        row.moved_from = n.checked_sub(1).and_then(|n| grants.get(n)).copied();
        row.moved_to = grants.get(n + 1).copied();
        Some((*grants.get(n)?, row))
    })
}

/// Records of one grant that are being put into events.
struct Rows {
    group: Group,
    body: Vec<u8>,
    rows: usize,
}

impl Rows {
    fn new(grant: GrantId) -> Self {
        Self {
            group: Group::new(grant),
            body: Vec::new(),
            rows: 0,
        }
    }

    /// Adds one. Answers a group that has as many events as may be.
    fn add(
        &mut self,
        row: &Interaction,
        holder: &Principal,
        resource: &ResourceName,
    ) -> Result<Option<Group>, StoreError> {
        let start = self.body.len();
        if start > 0 {
            self.body.push(b',');
            serde_json::to_writer(&mut self.body, row).map_err(misfit)?;
        }
        let over = self.body.len() + 2 > BODY_MAX || self.rows == ROWS_MAX;
        let mut full = None;
        if start == 0 || over {
            self.body.truncate(start);
            self.close()?;
            if self.group.bodies.len() == EVENTS_MAX {
                let next = Group::new(self.group.grant);
                full = Some(std::mem::replace(&mut self.group, next));
            }
            self.body = opening(self.group.grant, holder, resource).map_err(misfit)?;
            serde_json::to_writer(&mut self.body, row).map_err(misfit)?;
        }
        self.rows += 1;
        self.group.records += 1;
        Ok(full)
    }

    /// Ends the event that is being written, if there is one.
    fn close(&mut self) -> Result<(), StoreError> {
        if self.rows > 0 {
            self.body.extend_from_slice(b"]}");
            let body = String::from_utf8(std::mem::take(&mut self.body)).map_err(misfit)?;
            self.group.bodies.push(body);
            self.rows = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Group, StoreError> {
        self.close()?;
        Ok(self.group)
    }
}

impl Group {
    fn new(grant: GrantId) -> Self {
        Self {
            grant,
            bodies: Vec::new(),
            records: 0,
            lost: 0,
        }
    }
}

fn misfit(error: impl std::fmt::Display) -> StoreError {
    StoreError::invalid(error.to_string())
}
