//! What admitted requests did: one record each, in memory until the broker writes it down.
//!
//! 1. A record takes one place of a fixed number. The place is free again when the record has been handed to the broker.
//! 2. Where the policy says `on_full = "refuse"`, the place is taken before the request is decided on, and goes with it until its
//!    record fills it. A request for which there is none is refused, whatever its grant allows.
//! 3. Else the place is taken when the record is made. Where there is none, the record is lost, and that it was is counted under its
//!    grant. The count is written down like a record.
//! 4. Each thread has its favourite ring and turns to others' only when that is full. To record never waits. It allocates only for
//!    a long path, which is copied as any other is: a record keeps nothing of a request's memory. To count a loss may allocate: it happens when nobody
//!    drains.
//!
//! # Caveats
//! What was not handed over yet is lost with the process. A broker that runs writes it down once a second; whoever stops a process
//! in good order calls [`Broker::flush_interactions`](crate::broker::Broker::flush_interactions) last.

mod losses;
mod note;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;

use crate::policy::terms::OnFull;

use losses::Losses;
pub(crate) use losses::Lost;
pub(crate) use note::Note;
pub(in crate::gate) use note::{Outcome, Path};

/// How many places there are, unless said otherwise: some 15 MB.
pub const PLACES: usize = 65_536;
/// Fewest places of a ring: fewer threads than there are processors share one then.
const RING_MIN: usize = 256;

/// The records of a process that are not written down yet. Hand the same to the gates and to the broker.
pub struct Interactions {
    /// At least one.
    rings: Box<[Arc<Ring>]>,
    refuses: AtomicBool,
    losses: Losses,
}

struct Ring {
    notes: ArrayQueue<Note>,
    /// How many places are taken: by what is in there, and by what is on its way.
    taken: AtomicUsize,
}

impl Interactions {
    /// With [`PLACES`] places.
    pub fn new() -> Self {
        Self::with_places(PLACES)
    }

    /// With at least `places` places, and one in any case. Each takes some 200 bytes, from the beginning, and that of a
    /// record its path besides.
    pub fn with_places(places: usize) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let rings = processors.min(places / RING_MIN).max(1);
        let each = places.div_ceil(rings).max(1);
        let ring = || {
            Arc::new(Ring {
                notes: ArrayQueue::new(each),
                taken: AtomicUsize::new(0),
            })
        };
        Self {
            rings: (0..rings).map(|_| ring()).collect(),
            refuses: AtomicBool::new(false),
            losses: Losses::default(),
        }
    }

    /// How many records there is room for.
    pub fn places(&self) -> usize {
        self.rings.iter().map(|ring| ring.notes.capacity()).sum()
    }

    /// How many records wait to be written down.
    pub fn waiting(&self) -> usize {
        self.rings.iter().map(|ring| ring.notes.len()).sum()
    }

    /// How many records were lost for want of a place since the start.
    pub fn lost(&self) -> u64 {
        self.losses.total()
    }

    /// What to do when there is no place left. The broker says it whenever a policy comes into force.
    pub fn set_on_full(&self, on_full: OnFull) {
        self.refuses.store(on_full == OnFull::Refuse, Ordering::Relaxed);
    }

    /// The place of a request that is about to be decided on; `Ok(None)` where it needs none yet.
    pub(in crate::gate) fn reserve(&self) -> Result<Option<Place>, Full> {
        if !self.refuses.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let ring = self.take().ok_or(Full)?;
        Ok(Some(Place(Some(Arc::clone(ring)))))
    }

    /// Keeps a record until it is drained: in its place, or where there is one.
    pub(in crate::gate) fn push(&self, place: Option<Place>, note: Note) {
        let grant = note.grant();
        let kept = match place.and_then(Place::into_ring) {
            Some(ring) => ring.put(note),
            None => match self.take() {
                Some(ring) => ring.put(note),
                None => false,
            },
        };
        if !kept {
            self.losses.count(grant);
        }
    }

    /// Takes some of the records out, at most about `most`, of each thread in order.
    pub(crate) fn drain(&self, most: usize) -> Vec<Note> {
        let each = most.div_ceil(self.rings.len().max(1));
        let mut notes = Vec::new();
        for ring in &self.rings {
            for _ in 0..each {
                let Some(note) = ring.notes.pop() else { break };
                ring.free();
                notes.push(note);
            }
        }
        notes
    }

    /// Takes out how many records were lost since the last call.
    pub(crate) fn drain_losses(&self) -> Lost {
        self.losses.drain()
    }

    /// Counts records as lost that were drained and could not be written down.
    pub(crate) fn lose(&self, grant: crate::id::GrantId, count: u64) {
        self.losses.add(grant, count);
    }

    /// A ring with one place taken in it.
    fn take(&self) -> Option<&Arc<Ring>> {
        let rings = self.rings.len();
        let own = thread_number() % rings.max(1);
        let favourite = self.rings.get(own).filter(|ring| ring.take());
        favourite.or_else(|| {
            let others = self.rings.iter().cycle().skip(own + 1).take(rings - 1);
            others.into_iter().find(|ring| ring.take())
        })
    }
}

impl Default for Interactions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Interactions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interactions")
            .field("places", &self.places())
            .field("waiting", &self.waiting())
            .field("lost", &self.lost())
            .finish_non_exhaustive()
    }
}

impl Ring {
    fn take(&self) -> bool {
        let room = |taken: usize| (taken < self.notes.capacity()).then_some(taken + 1);
        self.taken
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, room)
            .is_ok()
    }

    fn free(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// Fills a place that was taken.
    #[inline]
    fn put(&self, note: Note) -> bool {
        let kept = self.notes.push(note).is_ok();
        if !kept {
            self.free();
        }
        kept
    }
}

/// There is no place left.
#[derive(Debug)]
pub(in crate::gate) struct Full;

/// A place that a record will fill; given back when dropped before.
///
/// A clone takes another place, whether there is one or not: one admission makes one record. Whoever makes two of it may find that
/// the second is lost; it is counted.
pub(in crate::gate) struct Place(Option<Arc<Ring>>);

impl Place {
    /// The ring, in which the place stays taken.
    fn into_ring(mut self) -> Option<Arc<Ring>> {
        self.0.take()
    }
}

impl Clone for Place {
    fn clone(&self) -> Self {
        if let Some(ring) = &self.0 {
            ring.taken.fetch_add(1, Ordering::AcqRel);
        }
        Self(self.0.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(ring) = &self.0 {
            ring.free();
        }
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Place")
    }
}

/// Threads in the order in which they first recorded something.
fn thread_number() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
    }
    // A thread that is ending may still drop a request.
    NUMBER.try_with(|number| *number).unwrap_or_default()
}

#[cfg(test)]
mod tests;
