//! What threads share in the parts that are model-checked: atomics, concurrent maps, what is swapped whole, and what a thread keeps.
//!
//! These are std's, dashmap's and arc-swap's. In unit tests that are built with `--cfg shuttle` they are instrumented stand-ins of the same
//! names, and `schedules.rs` runs them in the orders that a scheduler picks (`cargo xtask schedules`).
//!
//! 1. Shuttle takes every memory ordering for `SeqCst`: that one is too weak goes unnoticed there.
//! 2. `Arc` and tokio's `Notify` stay as they are: nothing is decided by a count or a wake-up.

#[cfg(all(test, shuttle))]
mod arc_swap;
#[cfg(all(test, shuttle))]
pub(super) mod dashmap;

#[cfg(not(all(test, shuttle)))]
mod names {
    pub(in crate::gate) use std::sync::atomic;
    pub(in crate::gate) use std::thread::LocalKey;
    pub(in crate::gate) use std::thread_local;

    pub(in crate::gate) use ::dashmap;
    pub(in crate::gate) use arc_swap::ArcSwap;
    pub(in crate::gate) use foldhash::fast::RandomState;
}

#[cfg(all(test, shuttle))]
mod names {
    pub(in crate::gate) use shuttle::sync::atomic;
    pub(in crate::gate) use shuttle::thread::LocalKey;
    pub(in crate::gate) use shuttle::thread_local;

    pub(in crate::gate) use super::arc_swap::ArcSwap;
    // A schedule that failed must fail again when it is replayed.
    pub(in crate::gate) use foldhash::fast::FixedState as RandomState;
}

pub(in crate::gate) use names::*;
