//! The states of a request and the grant it becomes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::ParseError;

/// Where a request stands. Every terminal state is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever handles states must handle all of them"
)]
pub enum State {
    /// Waits for reviews. Exits: the next stage (still pending), `Scheduled`, `Denied`, `Withdrawn`, `TimedOut`.
    Pending,
    /// Approved; the window has not been activated. Exits: `Active`, `Revoked`, `Released`, `Expired` (its end came first).
    Scheduled,
    /// Admits requests inside its window. Exits: `Expired`, `IdleExpired`, `Unused`, `Exhausted`, `Released`, `Revoked`.
    Active,
    /// A reviewer said no. Final.
    Denied,
    /// The requester took it back before the decision. Final.
    Withdrawn,
    /// Nobody decided in time. Final.
    TimedOut,
    /// The window closed. Final.
    Expired,
    /// It was not used for its idle timeout. Final.
    IdleExpired,
    /// It was never used within its first-use limit. Final.
    Unused,
    /// A budget was used up. Final.
    Exhausted,
    /// The holder gave it back. Final.
    Released,
    /// It was taken away: by a person, a lockdown, a policy change or a failed re-check. Final.
    Revoked,
}

impl State {
    /// All of them, in the order of life.
    pub const ALL: [Self; 12] = [
        Self::Pending,
        Self::Scheduled,
        Self::Active,
        Self::Denied,
        Self::Withdrawn,
        Self::TimedOut,
        Self::Expired,
        Self::IdleExpired,
        Self::Unused,
        Self::Exhausted,
        Self::Released,
        Self::Revoked,
    ];

    /// Whether nothing can happen any more.
    pub const fn is_terminal(self) -> bool {
        !matches!(self, Self::Pending | Self::Scheduled | Self::Active)
    }

    /// The name used in the API and in stores.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Scheduled => "scheduled",
            Self::Active => "active",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::TimedOut => "timed_out",
            Self::Expired => "expired",
            Self::IdleExpired => "idle_expired",
            Self::Unused => "unused",
            Self::Exhausted => "exhausted",
            Self::Released => "released",
            Self::Revoked => "revoked",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for State {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(ParseError::new("state", "is none of pending, scheduled, active, denied, withdrawn, timed_out, expired, idle_expired, unused, exhausted, released, revoked"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_state_is_told_all_of_them() {
        let error = "foo".parse::<State>().unwrap_err().to_string();
        for state in State::ALL {
            assert_eq!(state.as_str().parse(), Ok(state));
            assert!(error.contains(state.as_str()), "{state}");
        }
    }
}
