//! The one door to "now".
//!
//! Everything else takes `now` as a parameter. A [`Clock`] is asked at the edge, once for each decision.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use chrono::TimeDelta;

use crate::id::Timestamp;

/// Tells the time.
///
/// # Contract
/// - Never goes back: a later call answers the same moment or a later one. A clock that was set back must not lengthen any
///   grant (it would, if it were read as it stands).
/// - Answers at once: no I/O, no waiting; it is called on the request path.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock, kept from going back.
///
/// It answers "the wall clock at start plus what the monotonic clock has counted since", plus the furthest that the wall clock was ever
/// seen ahead of that. A step back of the wall clock therefore lengthens nothing; a step forward ends grants early, and stays when it
/// is taken back. Time spent in suspend counts, as soon as the wall clock has it. A wall clock that was ahead stays ahead until a
/// restart: grants then end early. The wall clock is looked at a thousand times a second at most.
#[derive(Debug)]
pub struct SystemClock {
    wall: SystemTime,
    monotonic: Instant,
    /// What the wall clock showed at the start.
    start: Timestamp,
    /// The furthest that the wall clock was seen ahead of what was counted, in nanoseconds. Written only when it grows: it is read on
    /// every core.
    ahead: AtomicU64,
    /// When the wall clock was last looked at, in nanoseconds that the monotonic clock had counted.
    looked: AtomicU64,
}

/// How long the wall clock is not looked at again, in nanoseconds: what it is ahead shows that much later. To read one clock takes as
/// long as half of what a gate does for a request.
const LOOK_PAUSE: u64 = 1_000_000;

impl SystemClock {
    /// Reads both clocks once.
    #[expect(clippy::disallowed_methods, reason = "this is the one door to now")]
    pub fn new() -> Self {
        let wall = SystemTime::now();
        Self {
            wall,
            monotonic: Instant::now(),
            start: wall.into(),
            ahead: AtomicU64::new(0),
            looked: AtomicU64::new(0),
        }
    }

    /// The present moment when the wall clock shows `wall` and the monotonic clock has counted `elapsed`.
    fn at(&self, wall: SystemTime, elapsed: Duration) -> SystemTime {
        let Some(counted) = self.wall.checked_add(elapsed) else {
            return wall;
        };
        let gap = wall.duration_since(counted).unwrap_or_default();
        let gap = u64::try_from(gap.as_nanos()).unwrap_or(u64::MAX);
        let mut ahead = self.ahead.load(Ordering::Acquire);
        if gap > ahead {
            ahead = self.ahead.fetch_max(gap, Ordering::AcqRel).max(gap);
        }
        counted.checked_add(Duration::from_nanos(ahead)).unwrap_or(wall)
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one door to now")]
    fn now(&self) -> Timestamp {
        let elapsed = self.monotonic.elapsed();
        let counted = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        if counted.saturating_sub(self.looked.load(Ordering::Relaxed)) > LOOK_PAUSE {
            self.looked.fetch_max(counted, Ordering::Relaxed);
            return self.at(SystemTime::now(), elapsed).into();
        }
        let since = counted.saturating_add(self.ahead.load(Ordering::Acquire));
        let since = TimeDelta::nanoseconds(i64::try_from(since).unwrap_or(i64::MAX));
        self.start.checked_add_signed(since).unwrap_or(Timestamp::MAX_UTC)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the clock itself is tested")]
    fn the_wall_clock_is_looked_at_every_millisecond() {
        // In a process that was suspended for an hour: the monotonic clock has not counted it.
        let mut clock = SystemClock::new();
        clock.wall -= Duration::from_secs(3600);
        clock.start = clock.wall.into();
        while clock.monotonic.elapsed() <= Duration::from_nanos(LOOK_PAUSE) {}
        let caught_up = || Timestamp::from(SystemTime::now()) - clock.now() < TimeDelta::seconds(60);
        assert!(caught_up());
        // Between looks it remembers.
        assert!((0..1000).all(|_| caught_up()));
    }

    #[test]
    fn no_step_of_the_wall_clock_brings_a_moment_back() {
        let clock = SystemClock::new();
        let (start, minute) = (clock.wall, Duration::from_secs(60));
        for (wall, elapsed, expected) in [
            (start, Duration::ZERO, start),
            // Set back by an hour.
            (start - minute * 60, minute, start + minute),
            // Set forward by an hour, by mistake, and corrected.
            (start + minute * 61, minute, start + minute * 61),
            (start + minute * 2, minute * 2, start + minute * 62),
            (start + minute * 3, minute * 3, start + minute * 63),
        ] {
            assert_eq!(clock.at(wall, elapsed), expected, "{wall:?} {elapsed:?}");
        }
    }
}
