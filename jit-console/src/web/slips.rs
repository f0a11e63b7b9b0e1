//! Things that the server keeps for a short while under a name that nobody can guess.
//!
//! There are at most [`SLIPS_MAX`]; a new one takes the place of the oldest. Whoever floods it costs others their way back, nothing else.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jit_core::id::{Digest, Timestamp};

/// Most things kept at once.
pub(super) const SLIPS_MAX: usize = 4096;

/// `bytes` random bytes as text.
pub(super) fn random(bytes: usize) -> Result<String, getrandom::Error> {
    let mut random = vec![0; bytes];
    getrandom::fill(&mut random)?;
    Ok(URL_SAFE_NO_PAD.encode(random))
}

/// What is kept, the oldest first: all live equally long.
pub(super) struct Slips<T> {
    life: TimeDelta,
    kept: Mutex<VecDeque<Slip<T>>>,
}

struct Slip<T> {
    name: Digest,
    ends_at: Timestamp,
    thing: T,
}

impl<T: Clone> Slips<T> {
    pub(super) fn new(life: TimeDelta) -> Self {
        Self {
            life,
            kept: Mutex::default(),
        }
    }

    /// Keeps `thing`; answers its name, of 128 random bits.
    pub(super) fn keep(&self, thing: T, now: Timestamp) -> Result<String, getrandom::Error> {
        let name = random(16)?;
        let mut kept = self.fresh(now);
        if kept.len() >= SLIPS_MAX {
            kept.pop_front();
        }
        kept.push_back(Slip {
            name: Digest::plain(name.as_bytes()),
            ends_at: now + self.life,
            thing,
        });
        Ok(name)
    }

    /// What is kept under `name`, which stays.
    pub(super) fn read(&self, name: &str, now: Timestamp) -> Option<T> {
        let name = Digest::plain(name.as_bytes());
        let kept = self.fresh(now);
        kept.iter()
            .find(|slip| slip.name == name)
            .map(|slip| slip.thing.clone())
    }

    /// What is kept under `name`, once.
    pub(super) fn take(&self, name: &str, now: Timestamp) -> Option<T> {
        let name = Digest::plain(name.as_bytes());
        let mut kept = self.fresh(now);
        let at = kept.iter().position(|slip| slip.name == name)?;
        kept.remove(at).map(|slip| slip.thing)
    }

    fn fresh(&self, now: Timestamp) -> MutexGuard<'_, VecDeque<Slip<T>>> {
        // Nothing in here can panic half-way.
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        while kept.front().is_some_and(|slip| slip.ends_at <= now) {
            kept.pop_front();
        }
        kept
    }
}

impl<T> fmt::Debug for Slips<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slips")
            .field("life", &self.life)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// So many seconds on.
    fn at(seconds: i64) -> Timestamp {
        sample::at(0) + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_slip_is_kept_for_its_life_and_taken_once() {
        let slips = Slips::new(TimeDelta::seconds(30));
        let name = slips.keep("thing", at(0)).unwrap();
        assert_eq!(name.len(), 22, "128 bits");
        assert_eq!(slips.read(&name, at(29)), Some("thing"));
        assert_eq!(slips.read(&name, at(30)), None, "its life is over");
        let name = slips.keep("thing", at(30)).unwrap();
        assert_eq!(slips.take("other", at(30)), None);
        assert_eq!(slips.take(&name, at(31)), Some("thing"));
        assert_eq!(slips.take(&name, at(31)), None, "it was taken");
    }

    #[test]
    fn a_flood_takes_the_places_of_the_oldest() {
        let slips = Slips::new(TimeDelta::seconds(30));
        let first = slips.keep(0, at(0)).unwrap();
        let second = slips.keep(1, at(0)).unwrap();
        for n in 2..=SLIPS_MAX {
            slips.keep(n, at(1)).unwrap();
        }
        assert_eq!(slips.read(&first, at(1)), None);
        assert_eq!(slips.read(&second, at(1)), Some(1));
        assert_eq!(slips.fresh(at(1)).len(), SLIPS_MAX);
    }
}
