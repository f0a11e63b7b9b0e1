//! What a thread keeps of what all threads share: copies of its own, so that a user whom several cores serve at once costs each of
//! them no more than one core. Nothing that is shared is written to when a copy is used: no lock, no reference count.
//!
//! 1. A copy is stamped with the version of what it was made from, read before that was. It counts while that version is the present
//!    one; whoever changes the original counts the version up afterwards. A copy that is kept too long is never used.
//! 2. What changes under way (whether a grant is shut, when it was last used) is not copied: copies share it.
//! 3. A copy is made when the same thing is asked for again before anything else that would lie in its place: what comes by once
//!    evicts nothing. There are [`PLACES`] at most in each thread, each for one thing.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::gate::sync::LocalKey;

/// How many copies of one kind a thread keeps.
pub(in crate::gate) const PLACES: usize = 256;

/// The copies of one kind in one thread, of all gates together.
#[derive(Debug)]
pub(in crate::gate) struct Local<K, V> {
    /// None until the first is wanted.
    places: Vec<Place<K, V>>,
}

#[derive(Debug)]
struct Place<K, V> {
    /// The hash of what was last asked for here and was not kept.
    rival: Option<u64>,
    kept: Option<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    owner: u64,
    key: K,
    version: u64,
    copy: V,
}

/// What is asked for: of whom, under which key, and which version of it counts.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct Wanted<'k, K> {
    /// Whose: [`owner`].
    pub(in crate::gate) owner: u64,
    /// A hash over the key. What others can choose is hashed with a secret.
    pub(in crate::gate) hash: u64,
    pub(in crate::gate) key: &'k K,
    pub(in crate::gate) version: u64,
}

/// Where a thread keeps its copies.
pub(in crate::gate) type Copies<K, V> = LocalKey<RefCell<Local<K, V>>>;

/// A number for something that has copies, unlike all others in the process.
pub(in crate::gate) fn owner() -> u64 {
    static OWNERS: AtomicU64 = AtomicU64::new(0);
    OWNERS.fetch_add(1, Ordering::Relaxed)
}

impl<K: Eq + Clone, V> Local<K, V> {
    pub(in crate::gate) const fn new() -> Self {
        Self { places: Vec::new() }
    }

    fn place(&mut self, hash: u64) -> Option<&mut Place<K, V>> {
        if self.places.is_empty() {
            self.places.resize_with(PLACES, || Place {
                rival: None,
                kept: None,
            });
        }
        let number = usize::try_from(hash % PLACES as u64).ok()?;
        self.places.get_mut(number)
    }
}

/// Uses this thread's copy, if it has one that counts.
pub(in crate::gate) fn with_copy<K: Eq + Clone, V, R>(
    copies: &'static Copies<K, V>,
    wanted: &Wanted<'_, K>,
    work: impl FnOnce(&V) -> R,
) -> Option<R> {
    with_copy_mut(copies, wanted, |copy| work(copy))
}

/// The same, for whoever puts another in its place.
pub(in crate::gate) fn with_copy_mut<K: Eq + Clone, V, R>(
    copies: &'static Copies<K, V>,
    wanted: &Wanted<'_, K>,
    work: impl FnOnce(&mut V) -> R,
) -> Option<R> {
    let found = copies.try_with(|local| {
        // Taken already: whatever asks from within such a use goes to the original.
        let mut local = local.try_borrow_mut().ok()?;
        let place = local.place(wanted.hash)?;
        let kept = place.kept.as_mut()?;
        let counts = kept.owner == wanted.owner && kept.version == wanted.version && kept.key == *wanted.key;
        if !counts {
            return None;
        }
        place.rival = None;
        Some(work(&mut kept.copy))
    });
    // No copies in a thread that is ending.
    found.ok().flatten()
}

/// Keeps a copy for this thread, if what it is of is wanted often enough. `make` may decline.
pub(in crate::gate) fn keep<K: Eq + Clone, V>(
    copies: &'static Copies<K, V>,
    wanted: &Wanted<'_, K>,
    make: impl FnOnce() -> Option<V>,
) {
    let _ = copies.try_with(|local| {
        let mut local = local.try_borrow_mut().ok()?;
        let place = local.place(wanted.hash)?;
        if place.rival.replace(wanted.hash) != Some(wanted.hash) {
            return None;
        }
        place.kept = Some(Kept {
            owner: wanted.owner,
            key: wanted.key.clone(),
            version: wanted.version,
            copy: make()?,
        });
        Some(())
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::sync::thread_local;

    thread_local! {
        static COPIES: RefCell<Local<u64, u64>> = const { RefCell::new(Local::new()) };
    }

    fn wanted(owner: u64, key: &u64, version: u64) -> Wanted<'_, u64> {
        Wanted {
            owner,
            hash: *key,
            key,
            version,
        }
    }

    fn get(wanted: &Wanted<'_, u64>) -> Option<u64> {
        with_copy(&COPIES, wanted, |copy| *copy)
    }

    #[test]
    fn a_copy_is_made_the_second_time_and_counts_for_its_version_alone() {
        let (me, other) = (owner(), owner());
        let seven = 7;
        for round in 0..2 {
            assert_eq!(get(&wanted(me, &seven, 1)), None, "{round}");
            keep(&COPIES, &wanted(me, &seven, 1), || Some(70));
        }
        assert_eq!(get(&wanted(me, &seven, 1)), Some(70));
        for stale in [
            wanted(me, &seven, 2),
            wanted(me, &seven, 0),
            wanted(other, &seven, 1),
        ] {
            assert_eq!(get(&stale), None, "{stale:?}");
        }
        let same_place = 7 + PLACES as u64;
        assert_eq!(get(&wanted(me, &same_place, 1)), None);
    }

    #[test]
    fn what_comes_by_once_evicts_nothing() {
        let me = owner();
        let (often, once) = (3, 3 + PLACES as u64);
        for _ in 0..2 {
            keep(&COPIES, &wanted(me, &often, 1), || Some(30));
        }
        for _ in 0..5 {
            keep(&COPIES, &wanted(me, &once, 1), || Some(31));
            assert_eq!(get(&wanted(me, &often, 1)), Some(30));
        }
        for _ in 0..2 {
            keep(&COPIES, &wanted(me, &once, 1), || Some(31));
        }
        assert_eq!(get(&wanted(me, &once, 1)), Some(31));
    }

    #[test]
    fn a_use_within_a_use_goes_to_the_original() {
        let me = owner();
        let key = 5;
        for _ in 0..2 {
            keep(&COPIES, &wanted(me, &key, 1), || Some(50));
        }
        let inner = with_copy(&COPIES, &wanted(me, &key, 1), |_| get(&wanted(me, &key, 1)));
        assert_eq!(inner, Some(None));
    }
}
