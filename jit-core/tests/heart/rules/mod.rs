//! The 22 rules, each by its name, each on both stores.

mod approving;
mod asking;
mod bearing;
mod ending;
mod signing_in;
mod windows;
