//! The approval machine: pure. `decide` and `apply`, no clock, no I/O.

pub mod ask;
pub mod audit;
pub mod event;
pub mod grant;
pub mod lockdown;
pub mod refused;
pub mod request;
pub mod review;
pub mod state;
