//! The data plane.

pub mod rules;
pub mod target;
