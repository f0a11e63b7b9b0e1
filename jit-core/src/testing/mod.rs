//! For tests: the laws that every [`Store`](crate::broker::store::Store) and [`Directory`](crate::broker::directory::Directory)
//! keeps, what must hold of every input from a stranger ([`reading`]), and a clock that moves only when told to.
//!
//! A law is a public function; [`store_laws!`](crate::store_laws), [`durable_store_laws!`](crate::durable_store_laws) and
//! [`directory_laws!`](crate::directory_laws) make one named test of each. Laws are added as the contracts grow, so a new minor version
//! may find fault with an implementation that passed before.
//!
//! The macros write `#[tokio::test]`, so the crate that uses them needs tokio with `macros` and `rt-multi-thread`.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a law that does not hold is reported by a panic"
)]

pub mod directory;
mod manual_clock;
pub mod reading;
pub mod store;

pub use manual_clock::ManualClock;
