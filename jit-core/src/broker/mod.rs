//! The control plane: the one place that awaits.

pub mod directory;
pub mod notify;
pub mod people;
pub mod store;
