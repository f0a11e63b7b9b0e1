//! The one door to "now".
//!
//! Everything else takes `now` as a parameter. A [`Clock`] is asked at the edge, once for each decision.

use std::fmt;
use std::time::{Duration, Instant, SystemTime};

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
/// It answers the later of the wall clock and "the wall clock at start plus what the monotonic clock has counted since". A step
/// back of the wall clock therefore lengthens nothing; a step forward ends grants early. Time spent in suspend counts, as soon as
/// the wall clock has it. A wall clock that was ahead when the process started stays ahead until a restart: grants then end early.
#[derive(Debug)]
pub struct SystemClock {
    wall: SystemTime,
    monotonic: Instant,
}

impl SystemClock {
    /// Reads both clocks once.
    #[expect(clippy::disallowed_methods, reason = "this is the one door to now")]
    pub fn new() -> Self {
        Self {
            wall: SystemTime::now(),
            monotonic: Instant::now(),
        }
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
        later(SystemTime::now(), self.wall, self.monotonic.elapsed()).into()
    }
}

fn later(wall: SystemTime, start: SystemTime, elapsed: Duration) -> SystemTime {
    start
        .checked_add(elapsed)
        .map_or(wall, |counted| counted.max(wall))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_back_changes_nothing_and_a_step_forward_counts() {
        let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let minute = Duration::from_secs(60);
        assert_eq!(later(start - minute * 60, start, minute), start + minute);
        assert_eq!(later(start + minute * 60, start, minute), start + minute * 60);
    }
}
