//! The approval machine: a request's life from asking to its end.
//!
//! Pure. Time comes in as `now`, what the Directory says comes in as [`Panel`], and what comes out is a list of events: nothing in
//! here waits, reads a clock or touches a store. One request is one stream; [`request::Request`] is its folded state.
//!
//! ```text
//! decide(request, command, now) → events | Refused          command.rs, decide.rs, quorum.rs
//! fold(request, event)          → request                   fold.rs
//! ```
//!
//! ```text
//! Pending(stage k) ──approve, stages left──► Pending(stage k+1)
//! Pending ──last quorum / automatic / break-glass──► Scheduled ──activation──► Active
//! Pending ──► Denied | Withdrawn | TimedOut
//! Scheduled | Active ──► Revoked | Released | Expired ; Active ──► IdleExpired | Unused | Exhausted
//! ```
//!
//! Rules that the code leans on:
//! 1. What holds at a moment is computed from the deadlines in the request and `now` ([`request::Request::state_at`]); that an end
//!    has been written down adds history, not meaning.
//! 2. `not_after` is absolute. Nothing is ever recomputed from a duration.
//! 3. A review names the digest of what it saw; the digest covers all that a reviewer decides on ([`digest`]).
//! 4. Quorum counts persons, each once over all stages; the requester's person never.
//! 5. Every terminal state is final.
//! 6. Rules across requests live in one folded state for each person ([`person`]) and one for all lockdowns ([`lockdown`]).

pub mod ask;
pub mod audit;
pub mod command;
mod decide;
pub mod digest;
pub mod event;
mod fold;
pub mod grant;
pub mod lockdown;
pub mod person;
mod quorum;
pub mod refused;
pub mod request;
pub mod review;
pub mod state;

pub use command::{Command, Panel};
pub use decide::{ACTIVATION_LEAD, open};
pub use fold::{Misfit, fold};
