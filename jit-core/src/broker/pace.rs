//! How fast one person's reviews are written down.
//!
//! In this process's memory: what it bounds is the growth of the log, for which a bound for each process will do. Nothing that ends
//! access is ever slowed down by it.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use chrono::TimeDelta;

use crate::approval::refused::Refused;
use crate::id::{PersonId, Timestamp};

const WINDOW: TimeDelta = TimeDelta::minutes(1);
/// From so many persons on, those whose last review is long over are forgotten.
const FORGET_FROM: usize = 1000;

/// When each person's reviews of the last minute were written.
#[derive(Debug, Default)]
pub(super) struct Pace {
    persons: Mutex<HashMap<PersonId, VecDeque<Timestamp>>>,
}

impl Pace {
    /// Counts one more, if it fits within `most` a minute.
    pub(super) fn take(&self, person: &PersonId, most: u32, now: Timestamp) -> Result<(), Refused> {
        // Each change leaves the entries whole.
        let mut persons = self.persons.lock().unwrap_or_else(PoisonError::into_inner);
        let recent = |at: &Timestamp| now.signed_duration_since(*at) < WINDOW;
        if persons.len() >= FORGET_FROM && !persons.contains_key(person) {
            persons.retain(|_, times| times.back().is_some_and(recent));
        }
        let times = persons.entry(person.clone()).or_default();
        times.retain(recent);
        if times.len() >= usize::try_from(most.max(1)).unwrap_or(usize::MAX) {
            return Err(Refused::LimitReached {
                limit: format!("you have reviewed {most} times within a minute"),
                retry_at: times.front().and_then(|first| first.checked_add_signed(WINDOW)),
                request: None,
            });
        }
        times.push_back(now);
        Ok(())
    }
}
