//! Following a chain of records, wherever it begins, and saying what that proves.

use std::str::FromStr;

use jit_core::approval::audit::{Tail, verify};
use jit_core::broker::store::{Position, Record};
use jit_core::id::{Digest, Timestamp};

/// A position and the hash that its record must have, as kept somewhere else: `POSITION:HASH`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    position: Position,
    hash: Digest,
}

impl FromStr for Known {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = text.split_once(':').and_then(|(position, hash)| {
            Some(Self {
                position: position.parse().ok()?,
                hash: hash.parse().ok()?,
            })
        });
        known.ok_or_else(|| "write POSITION:HASH, as an export or a verification has printed it".to_owned())
    }
}

/// A chain as far as it was followed.
#[derive(Debug)]
pub(super) struct Chain {
    known: Vec<(Known, bool)>,
    first: Option<Position>,
    from: Option<Timestamp>,
    until: Option<Timestamp>,
    tail: Tail,
    records: u64,
}

impl Chain {
    pub(super) fn new(known: &[Known]) -> Self {
        Self {
            known: known.iter().map(|known| (*known, false)).collect(),
            first: None,
            from: None,
            until: None,
            tail: Tail::START,
            records: 0,
        }
    }

    /// Follows it by one record.
    pub(super) fn follow(&mut self, record: &Record) -> Result<(), String> {
        if self.first.is_none() {
            let before = record.position.checked_sub(1).ok_or("there is no position 0")?;
            if before > 0 {
                // What is before is not there: it is taken at its word, unless its hash is known.
                self.tail = Tail {
                    position: before,
                    hash: record.previous,
                };
                self.compare(before, record.previous)?;
            }
        }
        self.tail = verify(self.tail, [record]).map_err(|broken| {
            let whole = match self.first {
                Some(first) => format!("; positions {first} to {} are whole", self.tail.position),
                None => String::new(),
            };
            format!("{broken}{whole}")
        })?;
        self.compare(record.position, record.hash)?;
        self.first.get_or_insert(record.position);
        self.from.get_or_insert(record.at);
        self.until = Some(record.at);
        self.records += 1;
        Ok(())
    }

    fn compare(&mut self, position: Position, hash: Digest) -> Result<(), String> {
        for (known, seen) in self
            .known
            .iter_mut()
            .filter(|(known, _)| known.position == position)
        {
            if known.hash != hash {
                return Err(format!(
                    "the audit log is another one: position {position} has the hash {hash}, and {} is expected",
                    known.hash
                ));
            }
            *seen = true;
        }
        Ok(())
    }

    /// `42 records, positions 1 to 42, …`
    pub(super) fn extent(&self) -> Option<String> {
        let (first, from, until) = (self.first?, self.from?, self.until?);
        let Tail { position, hash } = self.tail;
        let records = self.records;
        Some(format!(
            "{records} records, positions {first} to {position}, from {from} to {until}\nnewest: {position}:{hash}",
            from = time(from),
            until = time(until)
        ))
    }

    /// What was proven, and what was not, one a line.
    ///
    /// # Errors
    /// When it holds nothing, or not all that was expected.
    pub(super) fn proven(&self) -> Result<String, String> {
        let (Some(extent), Some(first)) = (self.extent(), self.first) else {
            return Err("there are no records, so nothing was checked".to_owned());
        };
        let last = self.tail.position;
        if let Some((known, _)) = self.known.iter().find(|(_, seen)| !seen) {
            return Err(format!(
                "position {} is expected, and the records go from {first} to {last}: the log lost some, or this is only a part of it",
                known.position
            ));
        }
        let mut lines = vec![
            extent,
            "checked: no record in between is missing, added or moved, and the content of none was changed without its hash".to_owned(),
        ];
        for (known, _) in &self.known {
            lines.push(format!("checked: position {} has the expected hash, so all up to there is the log that was known then", known.position));
        }
        if first > 1 {
            lines.push(format!("not checked: what is before position {first}"));
        }
        let anchor = self.known.iter().map(|(known, _)| known.position).max();
        if anchor != Some(last) {
            let since = anchor
                .map(|position| format!(" since position {position}"))
                .unwrap_or_default();
            lines.push(format!(
                "not checked: whether the log was made anew{since}, and whether its end after {last} was cut off; keep the newest position and \
                 hash somewhere else, and name them with --expect next time"
            ));
        } else {
            lines.push(format!("not checked: whether there were records after {last}"));
        }
        Ok(lines.join("\n"))
    }
}

fn time(at: Timestamp) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
}
