//! What the measurements share: a small house to measure in, and how times are taken.
//!
//! What each one measures, how to run it and what it came to is in this folder's README. Nothing depends on this package.

pub mod draws;
pub mod figures;
pub mod house;
pub mod load;
pub mod path;
pub mod timing;
