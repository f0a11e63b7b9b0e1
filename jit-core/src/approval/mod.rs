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
//! Every terminal state is final.
//!
#![doc = include_str!("rules.md")]

pub mod ask;
pub mod audit;
pub mod command;
pub mod credential;
mod deadlines;
mod decide;
pub mod digest;
pub mod event;
pub mod evidence;
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
pub use deadlines::ACTIVATION_LEAD;
pub use decide::open;
pub use fold::{Misfit, fold};
