//! Just-in-time access for load balancers: the heart.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        reason = "a panic in the gate is an outage, and an unwind in the broker loses a decision"
    )
)]

pub mod approval;
pub mod broker;
pub mod clock;
pub mod gate;
pub mod id;
pub mod memory;
pub mod policy;
pub mod span;
#[cfg(feature = "testing")]
pub mod testing;
