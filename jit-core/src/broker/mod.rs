//! The control plane: the one place that awaits.

pub mod api;
pub mod directory;
pub mod notify;
pub mod store;
