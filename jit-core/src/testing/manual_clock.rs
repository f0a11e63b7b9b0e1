use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use crate::clock::Clock;
use crate::id::Timestamp;

/// A clock that stands still until it is told to move, and never goes back.
///
/// It counts whole microseconds, as stores do. It knows nothing of tokio's time: a test that pauses tokio's clock moves both.
#[derive(Debug)]
pub struct ManualClock {
    micros: AtomicI64,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self {
            micros: AtomicI64::new(start.timestamp_micros()),
        }
    }

    /// Moves to `moment`, or stays where it is if that has passed. Answers what the clock then shows.
    pub fn set(&self, moment: Timestamp) -> Timestamp {
        self.micros.fetch_max(moment.timestamp_micros(), Ordering::SeqCst);
        self.now()
    }

    /// Moves on by `step`, to the end of the calendar at most. Answers what the clock then shows.
    pub fn advance(&self, step: Duration) -> Timestamp {
        let step = i64::try_from(step.as_micros()).unwrap_or(i64::MAX);
        let latest = Timestamp::MAX_UTC.timestamp_micros();
        let add = |micros: i64| Some(micros.saturating_add(step).min(latest));
        // The closure never answers `None`, so neither does the update fail.
        let _moved = self.micros.fetch_update(Ordering::SeqCst, Ordering::SeqCst, add);
        self.now()
    }
}

/// Shows 2026-01-01T00:00:00Z.
impl Default for ManualClock {
    fn default() -> Self {
        Self {
            micros: AtomicI64::new(1_767_225_600_000_000),
        }
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_timestamp_micros(self.micros.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_told_and_never_back() {
        let clock = ManualClock::default();
        let start = clock.now();
        assert_eq!(start.to_rfc3339(), "2026-01-01T00:00:00+00:00");
        assert_eq!(clock.now(), start);
        let later = clock.advance(Duration::from_micros(1));
        assert_eq!((later - start).num_microseconds(), Some(1));
        assert_eq!(clock.set(start), later, "set back");
        assert_eq!(
            clock.set(later + Duration::from_secs(5)),
            later + Duration::from_secs(5)
        );
        assert_eq!(clock.now(), later + Duration::from_secs(5));
        let end = clock.advance(Duration::MAX);
        assert_eq!(end.timestamp_micros(), Timestamp::MAX_UTC.timestamp_micros());
        assert_eq!(clock.advance(Duration::MAX), end);
    }
}
