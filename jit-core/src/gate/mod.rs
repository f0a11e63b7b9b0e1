//! The data plane.

pub mod authenticate;
pub mod enforcer;
mod live;
mod locks;
pub mod permit;
pub mod refusal;
pub mod hygiene;
pub mod rules;
pub mod target;
