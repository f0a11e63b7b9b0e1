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

/// When each person's reviews of the last minute were written, in the order of time.
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
        while times.pop_front_if(|at| !recent(at)).is_some() {}
        if times.len() >= usize::try_from(most.max(1)).unwrap_or(usize::MAX) {
            return Err(Refused::LimitReached {
                limit: format!("you have reviewed {most} times within a minute"),
                retry_at: times.front().and_then(|first| first.checked_add_signed(WINDOW)),
                request: None,
            });
        }
        // Of two at once the one that began later may come first.
        let place = times.partition_point(|at| *at <= now);
        times.insert(place, now);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + TimeDelta::seconds(seconds)
    }

    #[test]
    fn a_review_counts_for_a_minute_in_whatever_order_they_come() -> Result<(), Box<dyn std::error::Error>> {
        let (pace, ada) = (Pace::default(), PersonId::new("ada")?);
        pace.take(&ada, 3, at(1))?;
        pace.take(&ada, 3, at(5))?;
        pace.take(&ada, 3, at(0))?;
        let Err(Refused::LimitReached { retry_at, .. }) = pace.take(&ada, 3, at(59)) else {
            return Err("a fourth within the minute".into());
        };
        assert_eq!(retry_at, Some(at(60)), "when the first of them is over");
        pace.take(&ada, 3, at(60))?;
        pace.take(&ada, 3, at(61))?;
        assert!(pace.take(&ada, 3, at(64)).is_err());
        pace.take(&PersonId::new("bob")?, 3, at(64))?;
        pace.take(&ada, 3, at(65))?;
        Ok(())
    }
}
