//! Why something that was admitted is not any more.

use crate::approval::state::State;
use crate::gate::sync::atomic::{AtomicU8, Ordering};

/// Why what was admitted under a grant is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("{}", self.sentence())]
#[non_exhaustive]
pub enum Cut {
    /// The window closed.
    Expired,
    /// Nothing passed for the grant's idle timeout.
    IdleExpired,
    /// A budget is used up.
    Exhausted,
    /// The holder gave the grant back.
    Released,
    /// It was taken away: by a person, a policy change or a failed re-check.
    Revoked,
    /// A lockdown is in force.
    LockedDown,
    /// This gate has not heard from the control plane for too long.
    StaleView,
    /// The grant has bytes left, but none could be reserved just now.
    BudgetUnavailable,
}

impl Cut {
    /// The name used in headers, events and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::IdleExpired => "idle-expired",
            Self::Exhausted => "exhausted",
            Self::Released => "released",
            Self::Revoked => "revoked",
            Self::LockedDown => "locked-down",
            Self::StaleView => "stale-view",
            Self::BudgetUnavailable => "budget-unavailable",
        }
    }

    /// The name in words that fit the reason of a WebSocket close frame: at most 123 octets (RFC 6455 §5.5).
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::Expired => "the grant's window has closed",
            Self::IdleExpired => "the grant lay idle for too long",
            Self::Exhausted => "the grant's budget is used up",
            Self::Released => "the grant was given back",
            Self::Revoked => "the grant was revoked",
            Self::LockedDown => "a lockdown is in force",
            Self::StaleView => "the gate has lost touch with its control plane",
            Self::BudgetUnavailable => "the grant's budget could not be reserved just now",
        }
    }

    /// Whether the grant came to the end that it was given: another grant of the holder may go on from there.
    pub(in crate::gate) const fn is_natural(self) -> bool {
        matches!(self, Self::Expired | Self::IdleExpired)
    }

    /// What a grant in this terminal state is cut for.
    pub(crate) const fn of(state: State) -> Self {
        match state {
            State::Expired => Self::Expired,
            State::IdleExpired | State::Unused => Self::IdleExpired,
            State::Exhausted => Self::Exhausted,
            State::Released => Self::Released,
            State::Pending
            | State::Scheduled
            | State::Active
            | State::Denied
            | State::Withdrawn
            | State::TimedOut
            | State::Revoked => Self::Revoked,
        }
    }

    const fn code(self) -> u8 {
        match self {
            Self::Expired => 1,
            Self::IdleExpired => 2,
            Self::Exhausted => 3,
            Self::Released => 4,
            Self::Revoked => 5,
            Self::LockedDown => 6,
            Self::StaleView => 7,
            Self::BudgetUnavailable => 8,
        }
    }

    pub(crate) const ALL: [Self; 8] = [
        Self::Expired,
        Self::IdleExpired,
        Self::Exhausted,
        Self::Released,
        Self::Revoked,
        Self::LockedDown,
        Self::StaleView,
        Self::BudgetUnavailable,
    ];
}

/// One [`Cut`], or none yet. The first one stays.
#[derive(Debug, Default)]
pub(in crate::gate) struct Cause(AtomicU8);

impl Cause {
    /// Notes the cut, if it is the first. Whether it was.
    pub(in crate::gate) fn set(&self, cut: Cut) -> bool {
        self.0
            .compare_exchange(0, cut.code(), Ordering::SeqCst, Ordering::SeqCst)
            .is_ok()
    }

    pub(in crate::gate) fn get(&self) -> Option<Cut> {
        let code = self.0.load(Ordering::SeqCst);
        // An unknown code can't be there; it would cut all the same.
        (code != 0).then(|| {
            Cut::ALL
                .into_iter()
                .find(|cut| cut.code() == code)
                .unwrap_or(Cut::Revoked)
        })
    }

    pub(in crate::gate) fn is_set(&self) -> bool {
        self.0.load(Ordering::SeqCst) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_stays() {
        for cut in Cut::ALL {
            let cause = Cause::default();
            assert_eq!((cause.is_set(), cause.get()), (false, None));
            assert!(cause.set(cut));
            assert!(!cause.set(Cut::Expired));
            assert_eq!((cause.is_set(), cause.get()), (true, Some(cut)));
            assert!(cut.sentence().len() <= 123, "{cut}");
        }
    }
}
