//! Raw requests with the answer that a gate owes them, and what became of them.
//!
//! `gate-target/corpus/README.md` explains the form of a file.

mod grade;
mod reply;
mod row;
mod run;

pub use grade::{Got, Grade};
pub use reply::{Reply, read_replies, requests};
pub use row::{Expect, FORWARD_AUTH, Row, RowError, parse};
pub use run::{Outcome, Report, Tally, Wire, run};
