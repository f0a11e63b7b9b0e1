//! The audit log: a chain in which no record can be changed, dropped, added or moved without it showing.
//!
//! Each record's hash covers the record before it, so the last hash covers everything. What the chain can't show by itself is a
//! tail cut off or a log made anew from the start: keep the newest position and hash somewhere else, and hand them to [`verify`].

use crate::broker::store::{Draft, Position, Record, StreamId, Version};
use crate::id::{Digest, Timestamp};

/// The end of a chain: what the next record is linked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tail {
    /// The last record's position; 0 before the first.
    pub position: Position,
    /// The last record's hash; [`Digest::ZERO`] before the first.
    pub hash: Digest,
}

impl Tail {
    /// Before the first record.
    pub const START: Self = Self {
        position: 0,
        hash: Digest::ZERO,
    };

    /// After `record`.
    pub fn after(record: &Record) -> Self {
        Self {
            position: record.position,
            hash: record.hash,
        }
    }
}

/// Makes `draft` the record after `tail`, and moves `tail` to it. Stores call it inside their transaction, once for each event.
pub fn link(tail: &mut Tail, stream: &StreamId, version: Version, draft: Draft) -> Record {
    let position = tail.position + 1;
    let hash = hash(position, stream, version, draft.at, &draft.body, &tail.hash);
    let record = Record {
        position,
        stream: stream.clone(),
        version,
        at: draft.at,
        body: draft.body,
        previous: tail.hash,
        hash,
    };
    *tail = Tail { position, hash };
    record
}

fn hash(
    position: Position,
    stream: &StreamId,
    version: Version,
    at: Timestamp,
    body: &str,
    previous: &Digest,
) -> Digest {
    let stream = stream.to_string();
    Digest::of([
        b"jit-audit-1".as_slice(),
        &position.to_be_bytes(),
        previous.as_bytes(),
        stream.as_bytes(),
        &version.to_be_bytes(),
        &at.timestamp_micros().to_be_bytes(),
        body.as_bytes(),
    ])
}

/// Why a log is not the chain it claims to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log is broken at position {position}: {problem}")]
pub struct Broken {
    /// Where it shows.
    pub position: Position,
    /// What does not fit.
    pub problem: &'static str,
}

/// Checks that `records` continue the chain after `tail`, one by one, and answers the new tail.
///
/// # Errors
/// [`Broken`] at the first record that does not fit.
pub fn verify<'a>(mut tail: Tail, records: impl IntoIterator<Item = &'a Record>) -> Result<Tail, Broken> {
    for record in records {
        let broken = |problem| Broken {
            position: record.position,
            problem,
        };
        if record.position != tail.position + 1 {
            return Err(broken("a record is missing, doubled or out of order"));
        }
        if record.previous != tail.hash {
            return Err(broken("it does not point to the record before it"));
        }
        let due = hash(
            record.position,
            &record.stream,
            record.version,
            record.at,
            &record.body,
            &record.previous,
        );
        if record.hash != due {
            return Err(broken("its content does not match its hash"));
        }
        tail = Tail::after(record);
    }
    Ok(tail)
}
