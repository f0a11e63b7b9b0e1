//! The data plane.

pub mod hygiene;
pub mod rules;
pub mod target;
