//! The one door to "now".
//!
//! Everything else takes `now` as a parameter. A [`Clock`] is asked at the edge, once for each decision.

use std::cell::Cell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use chrono::{NaiveDate, NaiveTime};

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
    /// What the wall clock showed at the start, in nanoseconds since the beginning of 1970.
    start: u64,
    /// The furthest that the wall clock was seen ahead of what was counted, in nanoseconds. Written only when it grows: it is read on
    /// every core.
    ahead: AtomicU64,
    /// When the wall clock was last looked at, in nanoseconds that the monotonic clock had counted.
    looked: AtomicU64,
}

/// How long the wall clock is not looked at again, in nanoseconds: what it is ahead shows that much later. To read one clock takes as
/// long as half of what a gate does for a request.
const LOOK_PAUSE: u64 = 1_000_000;
/// Nanoseconds of a second.
const NANOS: u64 = 1_000_000_000;
/// Seconds of a day.
const DAY: u64 = 86_400;

impl SystemClock {
    /// Reads both clocks once.
    #[expect(clippy::disallowed_methods, reason = "this is the one door to now")]
    pub fn new() -> Self {
        let wall = SystemTime::now();
        Self {
            wall,
            monotonic: Instant::now(),
            start: since_1970(wall),
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
        let seconds = elapsed.as_secs().saturating_mul(NANOS);
        let counted = seconds.saturating_add(u64::from(elapsed.subsec_nanos()));
        if counted.saturating_sub(self.looked.load(Ordering::Relaxed)) > LOOK_PAUSE {
            self.looked.fetch_max(counted, Ordering::Relaxed);
            return moment(since_1970(self.at(SystemTime::now(), elapsed)));
        }
        let since = counted.saturating_add(self.ahead.load(Ordering::Acquire));
        moment(self.start.saturating_add(since))
    }
}

/// 0 for what was before.
fn since_1970(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// The moment so many nanoseconds after the beginning of 1970.
fn moment(nanos: u64) -> Timestamp {
    thread_local! {
        /// The day that it was last time, and its date: to find that takes longer than all the rest.
        static TODAY: Cell<(u64, NaiveDate)> = const { Cell::new((u64::MAX, NaiveDate::MIN)) };
    }
    let (seconds, rest) = (nanos / NANOS, nanos % NANOS);
    let (day, second) = (seconds / DAY, seconds % DAY);
    let date = match TODAY.try_with(Cell::get) {
        Ok((known, date)) if known == day => Some(date),
        _ => {
            let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days);
            // A thread that is ending keeps nothing any more.
            let _ = date.map(|date| TODAY.try_with(|today| today.set((day, date))));
            date
        }
    };
    let time = u32::try_from(second).ok().zip(u32::try_from(rest).ok());
    let time = time.and_then(|(second, rest)| NaiveTime::from_num_seconds_from_midnight_opt(second, rest));
    date.zip(time)
        .map_or(Timestamp::MAX_UTC, |(date, time)| date.and_time(time).and_utc())
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
        clock.start = since_1970(clock.wall);
        while clock.monotonic.elapsed() <= Duration::from_nanos(LOOK_PAUSE) {}
        let caught_up = || Timestamp::from(SystemTime::now()) - clock.now() < chrono::TimeDelta::seconds(60);
        assert!(caught_up());
        // Between looks it remembers.
        assert!((0..1000).all(|_| caught_up()));
    }

    #[test]
    fn a_moment_is_the_same_whatever_day_was_asked_for_before() {
        let days = [0, 1, 58, 59, 60, 19_782, 19_783, 20_000, 59];
        for day in days {
            for second in [0, 1, DAY - 1] {
                let nanos = (day * DAY + second) * NANOS + 987_654_321;
                let expected = chrono::DateTime::from_timestamp_nanos(i64::try_from(nanos).unwrap());
                assert_eq!(moment(nanos), expected);
            }
        }
        assert!(moment(u64::MAX) > moment(u64::MAX / 2));
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
