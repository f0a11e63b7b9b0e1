//! The Store: streams of events with compare-and-set, one audit log over all of them, and small named cells.
//!
//! The broker decides; a store keeps. A store needs to know nothing of requests and grants: a stream's folded state is a text,
//! and what a query can select by stands beside it in [`Facets`].

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::approval::audit::Tail;
use crate::approval::state::State;
use crate::id::{Digest, GrantId, ParseError, PersonId, RequestId, ResourceName, Timestamp};

/// How often a stream has been written to; 0 is a stream that does not exist.
pub type Version = u64;
/// Where a record stands in the log: 1, 2, 3 … without gaps.
pub type Position = u64;

/// Most writes in one batch.
pub const BATCH_MAX: usize = 64;
/// Most items in one page.
pub const PAGE_MAX: usize = 1000;

/// Longest value of a cell, in bytes.
pub const CELL_MAX: usize = 64 * 1024;

/// The stream that something happens to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[non_exhaustive]
pub enum StreamId {
    /// One request and the grant it becomes.
    Request(RequestId),
    /// What rules across one person's requests need to know. What happens to their passkeys is told here as well.
    Person(PersonId),
    /// A person's passkeys. Holds no events: the log tells of them in the person's own stream, which all who read it know.
    Passkeys(PersonId),
    /// All lockdowns.
    Lockdowns,
    /// What the control plane itself does: policy loaded, break-glass overdue.
    Control,
    /// What was done under one grant.
    Interactions(GrantId),
    /// Where in the log older parts of that are. Holds no events.
    InteractionIndex(GrantId, u64),
}

impl StreamId {
    /// Whether it tells what was done under a grant, and nothing that decides anything.
    pub const fn is_interactions(&self) -> bool {
        matches!(self, Self::Interactions(_) | Self::InteractionIndex(..))
    }
}

/// `request/req_…`, `person/…`, `passkeys/…`, `lockdowns`, `control`, `interactions/grt_…`, `interactions/grt_…/0`: unique, and fit for a primary key.
impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(id) => write!(f, "request/{id}"),
            Self::Person(id) => write!(f, "person/{id}"),
            Self::Passkeys(id) => write!(f, "passkeys/{id}"),
            Self::Lockdowns => f.write_str("lockdowns"),
            Self::Control => f.write_str("control"),
            Self::Interactions(id) => write!(f, "interactions/{id}"),
            Self::InteractionIndex(id, part) => write!(f, "interactions/{id}/{part}"),
        }
    }
}

impl FromStr for StreamId {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        match text.split_once('/') {
            Some(("request", id)) => Ok(Self::Request(id.parse()?)),
            Some(("person", id)) => Ok(Self::Person(id.parse()?)),
            Some(("passkeys", id)) => Ok(Self::Passkeys(id.parse()?)),
            Some(("interactions", rest)) => match rest.split_once('/') {
                None => Ok(Self::Interactions(rest.parse()?)),
                Some((id, part)) => Ok(Self::InteractionIndex(id.parse()?, index_part(part)?)),
            },
            None if text == "lockdowns" => Ok(Self::Lockdowns),
            None if text == "control" => Ok(Self::Control),
            _ => Err(ParseError::new("stream", "is of no known kind")),
        }
    }
}

/// A number in its one spelling: no two texts are one stream.
fn index_part(text: &str) -> Result<u64, ParseError> {
    let part = text.parse::<u64>().ok().filter(|part| part.to_string() == text);
    part.ok_or_else(|| ParseError::new("stream", "has a part that is no number"))
}

impl TryFrom<String> for StreamId {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<StreamId> for String {
    fn from(id: StreamId) -> Self {
        id.to_string()
    }
}

/// What a query can select a stream by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facets {
    /// A request's state as last written. `None` for streams that are no requests.
    pub state: Option<State>,
    /// The resource asked for.
    pub resource: Option<ResourceName>,
    /// Who asked.
    pub requester: Option<PersonId>,
}

impl Facets {
    /// Whether this stream still needs watching: what [`Store::live`] lists.
    pub fn is_live(&self) -> bool {
        self.state.is_some_and(|state| !state.is_terminal())
    }
}

/// An event on its way into the log: when, and what, as JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// When it happened, as the broker's clock told.
    pub at: Timestamp,
    /// The event, as JSON. The store keeps these very bytes: the chain is over them.
    pub body: String,
}

/// One stream's part of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Write {
    /// The stream.
    pub stream: StreamId,
    /// The version that it must have; 0: it must not exist. It has this plus 1 afterwards.
    pub expected: Version,
    /// What happened. May be empty: the write then moves version and state only.
    pub events: Vec<Draft>,
    /// The state after these events, folded, as JSON.
    pub state: String,
    /// What queries select by, after these events.
    pub facets: Facets,
}

/// Everything that one decision changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The streams that change; each at most once, at most [`BATCH_MAX`].
    pub writes: Vec<Write>,
    /// Streams that the decision read and that must still have this version, though it does not change them.
    pub unchanged: Vec<(StreamId, Version)>,
}

impl Batch {
    /// Checks the rules that a batch can break by itself. Every store calls it first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if there are more than [`BATCH_MAX`] writes, or a stream is written twice.
    pub fn check(&self) -> Result<(), StoreError> {
        let count = self.writes.len();
        if count > BATCH_MAX {
            return Err(StoreError::invalid(format!(
                "it has {count} writes, at most {BATCH_MAX} are allowed"
            )));
        }
        let mut seen = HashSet::new();
        match self.writes.iter().find(|write| !seen.insert(&write.stream)) {
            Some(twice) => Err(StoreError::invalid(format!("it writes {} twice", twice.stream))),
            None => Ok(()),
        }
    }

    /// Every version that must hold before the batch: of `writes`, then of `unchanged`.
    pub fn expectations(&self) -> impl Iterator<Item = (&StreamId, Version)> {
        let written = self.writes.iter().map(|write| (&write.stream, write.expected));
        written.chain(self.unchanged.iter().map(|(stream, version)| (stream, *version)))
    }
}

/// One record of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// Its place: one more than the record before.
    pub position: Position,
    /// The stream.
    pub stream: StreamId,
    /// The stream's version after the write that this record belongs to.
    pub version: Version,
    /// When.
    pub at: Timestamp,
    /// The event, as JSON, byte for byte as drafted.
    pub body: String,
    /// The record before: its `hash`, or [`Digest::ZERO`] for the first.
    pub previous: Digest,
    /// Over all of the above: see [`crate::approval::audit`].
    pub hash: Digest,
}

/// A stream as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The stream.
    pub stream: StreamId,
    /// Its version.
    pub version: Version,
    /// The place of a stream in the order of creation: larger is newer, no two are alike.
    pub created: Position,
    /// Its folded state, as JSON, byte for byte as written.
    pub state: String,
    /// What queries select by.
    pub facets: Facets,
}

/// Which streams [`Store::find`] lists: those for which every named facet agrees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// In one of these states. Empty: in any, but requests only.
    pub states: Vec<State>,
    /// For this resource.
    pub resource: Option<ResourceName>,
    /// Asked by this person.
    pub requester: Option<PersonId>,
    /// Older than this: where the page before ended.
    pub before: Option<Position>,
    /// At most this many, and never more than [`PAGE_MAX`].
    pub limit: usize,
}

impl Query {
    /// Whether a stream with these facets belongs in the answer: what every store must agree with.
    pub fn selects(&self, created: Position, facets: &Facets) -> bool {
        let Some(state) = facets.state else { return false };
        (self.states.is_empty() || self.states.contains(&state))
            && self
                .resource
                .as_ref()
                .is_none_or(|resource| facets.resource.as_ref() == Some(resource))
            && self
                .requester
                .as_ref()
                .is_none_or(|person| facets.requester.as_ref() == Some(person))
            && self.before.is_none_or(|before| created < before)
    }
}

/// A small named value with compare-and-set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cell {
    /// How often it has been put; 0: never.
    pub version: Version,
    /// What was put last; empty if nothing was.
    pub value: String,
}

/// What is to be put into a cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    /// The version that the cell must have.
    pub expected: Version,
    /// The new value; at most [`CELL_MAX`] bytes.
    pub value: String,
}

impl Put {
    /// Checks the length of the value. Every store calls it first.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if it is longer than [`CELL_MAX`].
    pub fn check(&self) -> Result<(), StoreError> {
        let length = self.value.len();
        if length > CELL_MAX {
            return Err(StoreError::invalid(format!(
                "the cell's value has {length} bytes, at most {CELL_MAX} are allowed"
            )));
        }
        Ok(())
    }
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A stream or cell had another version. Nothing of the batch was kept. Load again and decide anew.
    #[error("{what} is at version {actual}, not {expected}")]
    Conflict {
        /// The stream or cell.
        what: String,
        /// What the caller had seen.
        expected: Version,
        /// What it is.
        actual: Version,
    },
    /// The batch or put breaks the contract: too many writes, a stream twice, too long a value. Nothing was kept.
    #[error("the write is not valid: {problem}")]
    Invalid {
        /// Which rule it breaks.
        problem: String,
    },
    /// The store could not be reached or could not write. Whether a batch was kept is not known: load again before deciding.
    #[error("the store is unavailable: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was read back is not what a store can have written.
    #[error("the store's content is damaged: {what}")]
    Damaged {
        /// What does not fit.
        what: String,
    },
}

impl StoreError {
    /// The one comparison of compare-and-set.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if `actual` is not `expected`.
    pub fn check_version(what: impl fmt::Display, expected: Version, actual: Version) -> Result<(), Self> {
        if expected == actual {
            return Ok(());
        }
        let what = what.to_string();
        Err(Self::Conflict {
            what,
            expected,
            actual,
        })
    }

    /// A write that breaks the contract.
    pub fn invalid(problem: impl Into<String>) -> Self {
        Self::Invalid {
            problem: problem.into(),
        }
    }

    /// Wraps the error of whatever the store is built on.
    pub fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Unavailable {
            source: source.into(),
        }
    }
}

/// Keeps streams, the log, and cells.
///
/// # Contract
/// - `append` is one transaction: every write of the batch and every record, or nothing. It checks each `expected` and each
///   `unchanged` version inside that transaction, answers [`StoreError::Conflict`] if one differs, and assigns positions and hashes
///   inside it by [`crate::approval::audit::link`], in the order of `writes` and their events.
/// - Acknowledged is durable: when `append` or a put answers `Ok`, a crash of process or machine does not undo it.
/// - Positions have no gaps. `feed` never shows a record before all records of lower positions are visible, and never one that is
///   later undone.
/// - Reads see every append that was acknowledged before they began.
/// - `state` and `body` come back byte for byte.
/// - A store never reads a clock and never acts on its own: time comes in with the events. It never deletes a record.
/// - `live` and `find` walk in pages without missing or repeating a stream that did not change meanwhile.
///
/// `jit_core::store_laws!` proves an implementation, one named test for each law. There are no default methods, so that a wrapper
/// can't forget to pass one on.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// Writes a batch; answers its records, in order.
    async fn append(&self, batch: Batch) -> Result<Vec<Record>, StoreError>;

    /// A stream as it stands, or `None` if it was never written.
    async fn load(&self, stream: &StreamId) -> Result<Option<Snapshot>, StoreError>;

    /// Requests that `query` selects, newest first, at most `query.limit`.
    async fn find(&self, query: &Query) -> Result<Vec<Snapshot>, StoreError>;

    /// Streams whose facets are live, oldest first, created after `after`, at most `limit` and never more than [`PAGE_MAX`]: what a
    /// restart needs, without replay.
    async fn live(&self, after: Position, limit: usize) -> Result<Vec<Snapshot>, StoreError>;

    /// Records after position `after`, in order, at most `limit` and never more than [`PAGE_MAX`].
    async fn feed(&self, after: Position, limit: usize) -> Result<Vec<Record>, StoreError>;

    /// The end of the log: the last record's position and hash, or [`Tail::START`].
    async fn tail(&self) -> Result<Tail, StoreError>;

    /// Reads a cell, or puts a value into it if it has the expected version; answers the cell as it then is.
    async fn cell(&self, name: &str, put: Option<Put>) -> Result<Cell, StoreError>;
}
