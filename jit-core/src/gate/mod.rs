//! The data plane.

pub mod authenticate;
