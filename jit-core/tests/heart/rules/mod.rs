//! The 21 rules, each by its name, each on both stores.

mod approving;
mod asking;
mod ending;
mod signing_in;
mod windows;
