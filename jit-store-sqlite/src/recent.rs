//! Streams as they stand, in memory: what was written or loaded lately is loaded again without SQLite, whose every read is a hop to
//! another thread and back.
//!
//! It may be trusted because the lock keeps other writers out, and because of these:
//! 1. A stream is taken out before a commit that changes it begins, and is put back only after that commit has succeeded. Whoever
//!    has seen a record in the file never finds an older state here.
//! 2. What was read from the file is kept only if no commit took the stream out meanwhile: reads leave a ticket, and a commit
//!    takes it away. A read that is given up takes its ticket back.
//! 3. After a failed commit nothing is kept until the end of the chain has been read again.
//! 4. It holds two generations, each of at most [`STREAMS_MAX`] streams and [`BYTES_MAX`] bytes of state. When the young one is full it
//!    becomes the old one, and what was old is forgotten. A request that does not exist is never kept, so nobody can fill it by
//!    guessing ids.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jit_core::broker::store::{Snapshot, StreamId};

/// Most streams in a generation.
const STREAMS_MAX: usize = 4096;
/// Most bytes of state in a generation.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Longest state that is kept, in bytes.
const STATE_MAX: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Whether anything is kept. Not before the writer has read the end of the chain.
    on: bool,
    young: HashMap<StreamId, Entry>,
    /// Bytes of state that were put into `young`.
    bytes: usize,
    old: HashMap<StreamId, Entry>,
    tickets: u64,
}

#[derive(Debug)]
enum Entry {
    /// Those who hold this ticket are reading it.
    Reading(u64),
    /// A commit that changes it is under way.
    Writing,
    /// As it stands; `None`: it was never written.
    Known(Option<Arc<Snapshot>>),
}

/// What is known of a stream.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Known(Option<Arc<Snapshot>>),
    /// It must be read from the file. With a ticket, what was read may be handed to [`Ticket::learn`].
    Unknown(Option<Ticket<'a>>),
}

/// Held by who reads a stream from the file.
#[derive(Debug)]
pub(crate) struct Ticket<'a> {
    recent: &'a Recent,
    stream: StreamId,
    number: u64,
}

impl Ticket<'_> {
    /// Keeps what the file said, if the ticket still holds.
    pub(crate) fn learn(&self, read: Option<&Snapshot>) {
        let mut inner = self.recent.lock();
        if !inner.holds(self) {
            return;
        }
        let kept = match read {
            Some(snapshot) => fits(snapshot),
            None => self.stream == StreamId::Lockdowns,
        };
        if kept {
            let known = Entry::Known(read.cloned().map(Arc::new));
            inner.put(self.stream.clone(), known);
        } else {
            inner.remove(&self.stream);
        }
    }
}

impl Drop for Ticket<'_> {
    /// What was not learned by now never will be. Others who read with the same number only learn nothing.
    fn drop(&mut self) {
        let mut inner = self.recent.lock();
        if inner.holds(self) {
            inner.remove(&self.stream);
        }
    }
}

impl Recent {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, stream: &StreamId) -> Found<'_> {
        let mut inner = self.lock();
        let number = match inner.get(stream) {
            Some(Entry::Known(known)) => return Found::Known(known.clone()),
            Some(Entry::Reading(number)) => *number,
            Some(Entry::Writing) => return Found::Unknown(None),
            None if !inner.on => return Found::Unknown(None),
            None => {
                inner.tickets += 1;
                let number = inner.tickets;
                inner.put(stream.clone(), Entry::Reading(number));
                number
            }
        };
        Found::Unknown(Some(Ticket {
            recent: self,
            stream: stream.clone(),
            number,
        }))
    }

    /// A commit that changes these streams begins.
    pub(crate) fn begin<'a>(&self, streams: impl Iterator<Item = &'a StreamId>) {
        let mut inner = self.lock();
        for stream in streams {
            inner.put(stream.clone(), Entry::Writing);
        }
    }

    /// That commit has succeeded, and left these states.
    pub(crate) fn end(&self, written: impl Iterator<Item = Snapshot>) {
        let mut inner = self.lock();
        for snapshot in written {
            if inner.on && fits(&snapshot) {
                let stream = snapshot.stream.clone();
                inner.put(stream, Entry::Known(Some(Arc::new(snapshot))));
            } else {
                inner.remove(&snapshot.stream);
            }
        }
    }

    /// A commit has failed: what the file holds is not known.
    pub(crate) fn stop(&self) {
        let mut inner = self.lock();
        inner.on = false;
        inner.young.clear();
        inner.old.clear();
        inner.bytes = 0;
    }

    /// The end of the chain has been read.
    pub(crate) fn start(&self) {
        self.lock().on = true;
    }
}

impl Inner {
    fn get(&self, stream: &StreamId) -> Option<&Entry> {
        self.young.get(stream).or_else(|| self.old.get(stream))
    }

    fn holds(&self, ticket: &Ticket<'_>) -> bool {
        matches!(self.get(&ticket.stream), Some(Entry::Reading(held)) if *held == ticket.number)
    }

    /// A stream stands in one generation at most.
    fn put(&mut self, stream: StreamId, entry: Entry) {
        if self.young.len() >= STREAMS_MAX || self.bytes >= BYTES_MAX {
            let writing = self.old.extract_if(|_, entry| matches!(entry, Entry::Writing));
            let kept: Vec<_> = writing.collect();
            self.old = mem::take(&mut self.young);
            self.old.extend(kept);
            self.bytes = 0;
        }
        if let Entry::Known(Some(snapshot)) = &entry {
            self.bytes += snapshot.state.len();
        }
        self.old.remove(&stream);
        self.young.insert(stream, entry);
    }

    fn remove(&mut self, stream: &StreamId) {
        self.young.remove(stream);
        self.old.remove(stream);
    }
}

fn fits(snapshot: &Snapshot) -> bool {
    // Parts of an index are written once and hardly ever read.
    let read = !matches!(snapshot.stream, StreamId::InteractionIndex(..));
    read && snapshot.state.len() <= STATE_MAX
}

#[cfg(test)]
mod tests {
    use jit_core::broker::store::Facets;
    use jit_core::id::RequestId;

    use super::*;

    fn id(n: u128) -> StreamId {
        StreamId::Request(RequestId::from_u128(n))
    }

    fn at(stream: StreamId, version: u64) -> Snapshot {
        Snapshot {
            stream,
            version,
            created: 1,
            state: "{}".to_owned(),
            facets: Facets::default(),
        }
    }

    fn on() -> Recent {
        let recent = Recent::default();
        recent.start();
        recent
    }

    fn ticket<'a>(recent: &'a Recent, stream: &StreamId) -> Ticket<'a> {
        match recent.find(stream) {
            Found::Unknown(Some(ticket)) => ticket,
            other => panic!("{other:?}"),
        }
    }

    /// The version known, or what else there is.
    fn look(recent: &Recent, stream: &StreamId) -> String {
        match recent.find(stream) {
            Found::Known(Some(known)) => known.version.to_string(),
            Found::Known(None) => "none".to_owned(),
            Found::Unknown(Some(_)) => "unknown".to_owned(),
            Found::Unknown(None) => "busy".to_owned(),
        }
    }

    impl Recent {
        fn count(&self) -> usize {
            let inner = self.lock();
            inner.young.len() + inner.old.len()
        }
    }

    #[test]
    fn a_stream_is_out_from_before_a_commit_until_after_it() {
        let recent = on();
        ticket(&recent, &id(1)).learn(Some(&at(id(1), 1)));
        assert_eq!(look(&recent, &id(1)), "1");
        recent.begin([id(1)].iter());
        assert_eq!(look(&recent, &id(1)), "busy");
        recent.end([at(id(1), 2)].into_iter());
        assert_eq!(look(&recent, &id(1)), "2");
    }

    #[test]
    fn a_read_that_a_commit_overtook_is_not_kept() {
        let recent = on();
        let early = ticket(&recent, &id(1));
        recent.begin([id(1)].iter());
        early.learn(Some(&at(id(1), 1)));
        assert_eq!(look(&recent, &id(1)), "busy");
        recent.end([at(id(1), 2)].into_iter());
        early.learn(Some(&at(id(1), 1)));
        assert_eq!(look(&recent, &id(1)), "2");
    }

    #[test]
    fn of_two_readers_the_first_to_end_is_enough() {
        let recent = on();
        let gone = ticket(&recent, &id(1));
        let other = ticket(&recent, &id(1));
        other.learn(Some(&at(id(1), 1)));
        assert_eq!(look(&recent, &id(1)), "1");
        recent.begin([id(1)].iter());
        recent.end([at(id(1), 2)].into_iter());
        gone.learn(Some(&at(id(1), 1)));
        assert_eq!(look(&recent, &id(1)), "2");
    }

    #[test]
    fn a_read_that_was_given_up_leaves_nothing() {
        let recent = on();
        drop(ticket(&recent, &id(1)));
        assert_eq!(recent.count(), 0);
        // Nor does it take what is another's.
        let gone = ticket(&recent, &id(1));
        recent.begin([id(1)].iter());
        drop(gone);
        assert_eq!(look(&recent, &id(1)), "busy");
        recent.end([at(id(1), 1)].into_iter());
        assert_eq!(look(&recent, &id(1)), "1");
    }

    #[test]
    fn a_ticket_from_before_it_was_forgotten_is_void() {
        let recent = on();
        let early = ticket(&recent, &id(1));
        recent.stop();
        recent.start();
        early.learn(Some(&at(id(1), 1)));
        let late = ticket(&recent, &id(1));
        early.learn(Some(&at(id(1), 1)));
        drop(early);
        late.learn(Some(&at(id(1), 2)));
        assert_eq!(look(&recent, &id(1)), "2");
    }

    #[test]
    fn nothing_is_kept_after_a_failure() {
        let recent = on();
        recent.begin([id(1)].iter());
        recent.end([at(id(1), 1)].into_iter());
        recent.begin([id(2)].iter());
        recent.stop();
        for n in [1, 2] {
            assert_eq!(look(&recent, &id(n)), "busy", "{n}");
        }
        recent.start();
        assert_eq!(look(&recent, &id(1)), "unknown");
    }

    #[test]
    fn what_is_not_there_is_known_of_the_lockdowns_alone() {
        let recent = on();
        for (stream, want) in [(StreamId::Lockdowns, "none"), (id(1), "unknown")] {
            ticket(&recent, &stream).learn(None);
            assert_eq!(look(&recent, &stream), want, "{stream}");
        }
    }

    #[test]
    fn bytes_are_bounded_too() {
        let recent = on();
        for n in 0..3 * (BYTES_MAX / STATE_MAX) as u128 {
            let mut large = at(id(n), 1);
            large.state = " ".repeat(STATE_MAX);
            recent.end([large].into_iter());
            assert!(recent.count() <= 2 * BYTES_MAX / STATE_MAX);
        }
    }

    #[test]
    fn it_is_bounded_and_never_forgets_a_commit_under_way() {
        let recent = on();
        recent.begin([id(0)].iter());
        let mut large = at(id(1), 1);
        large.state = " ".repeat(STATE_MAX + 1);
        recent.end([large].into_iter());
        assert_eq!(recent.count(), 1, "too large to keep");
        let last = 3 * STREAMS_MAX as u128;
        for n in 2..=last {
            recent.end([at(id(n), 1)].into_iter());
            assert!(recent.count() <= 2 * STREAMS_MAX + 1);
        }
        assert_eq!(look(&recent, &id(last - STREAMS_MAX as u128 + 1)), "1", "lately");
        assert_eq!(look(&recent, &id(2)), "unknown", "long ago");
        assert_eq!(look(&recent, &id(0)), "busy");
    }
}
