//! What is left, at this gate, of what was durably reserved of a grant's budget.

use std::fmt;

use tokio::sync::Mutex;

use crate::gate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever reserves must know every kind, or refuse"
)]
pub enum Budgeted {
    /// Requests that were admitted.
    Requests,
    /// Octets of bodies and of upgraded connections, both ways.
    Bytes,
}

impl Budgeted {
    /// The name used in messages and in the names of cells.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Requests => "requests",
            Self::Bytes => "bytes",
        }
    }
}

impl fmt::Display for Budgeted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One budget of one grant, as this gate holds it.
#[derive(Debug, Default)]
pub(in crate::gate) struct Budget {
    left: AtomicU64,
    /// Nothing is left to reserve.
    spent: AtomicBool,
    /// Held by the one that reserves: a crowd at an empty budget reserves once.
    reserving: Mutex<()>,
}

/// What a draw came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) enum Draw {
    /// This much was taken off, at least 1.
    Drawn(u64),
    /// There is nothing here; more may be reserved.
    Empty,
    /// There is nothing here and nothing to reserve.
    Spent,
}

impl Budget {
    /// Adds what was reserved; 0 says that there will never be more.
    pub(in crate::gate) fn allow(&self, more: u64) {
        if more == 0 {
            self.spent.store(true, Ordering::Release);
        }
        let add = |left: u64| Some(left.saturating_add(more));
        // The closure never answers `None`, so the update never fails.
        let _: Result<u64, u64> = self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// Whether a draw would come to nothing that another reservation could mend.
    pub(in crate::gate) fn is_empty(&self) -> bool {
        self.look() == Draw::Empty
    }

    /// What a draw would come to, without taking anything.
    pub(in crate::gate) fn look(&self) -> Draw {
        // `spent` is read first: it is set when nothing will ever be added.
        let spent = self.spent.load(Ordering::Acquire);
        match self.left.load(Ordering::Acquire) {
            0 if spent => Draw::Spent,
            0 => Draw::Empty,
            left => Draw::Drawn(left),
        }
    }

    /// Takes up to `most` off.
    pub(in crate::gate) fn draw(&self, most: u64) -> Draw {
        let spent = self.spent.load(Ordering::Acquire);
        let take = |left: u64| Some(left - left.min(most)).filter(|_| left > 0);
        match self.left.fetch_update(Ordering::AcqRel, Ordering::Acquire, take) {
            Ok(left) => Draw::Drawn(left.min(most)),
            Err(_) if spent => Draw::Spent,
            Err(_) => Draw::Empty,
        }
    }

    pub(in crate::gate) fn reserving(&self) -> &Mutex<()> {
        &self.reserving
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_draw_exactly_what_was_allowed() {
        let budget = Budget::default();
        budget.allow(100_000);
        budget.allow(0);
        let drawn: u64 = std::thread::scope(|scope| {
            let threads: Vec<_> = (1..=8_u64)
                .map(|most| {
                    let budget = &budget;
                    scope.spawn(move || {
                        let mut drawn = 0;
                        while let Draw::Drawn(n) = budget.draw(most) {
                            assert!((1..=most).contains(&n));
                            drawn += n;
                        }
                        drawn
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!((drawn, budget.draw(1)), (100_000, Draw::Spent));
    }

    #[test]
    fn what_is_empty_may_be_filled_and_what_is_spent_may_not() {
        let budget = Budget::default();
        assert_eq!((budget.draw(1), budget.is_empty()), (Draw::Empty, true));
        budget.allow(5);
        assert_eq!((budget.look(), budget.is_empty()), (Draw::Drawn(5), false));
        assert_eq!((budget.draw(3), budget.draw(3)), (Draw::Drawn(3), Draw::Drawn(2)));
        budget.allow(0);
        assert_eq!((budget.look(), budget.is_empty()), (Draw::Spent, false));
    }
}
