//! A real Chromium at a real `jit demo`: what the journeys in `tests/` and the pictures of `--bin pictures` drive.
//!
//! Needs the Debian packages chromium and chromium-driver, which [`Driver::start`] installs where they are missing, and npm for the
//! rules of axe-core. Everything is on loopback and ends with its value.

mod demo;
mod driver;
mod install;
mod window;

pub use demo::Running;
pub use driver::Driver;
pub use install::wanted;
pub use window::{Look, Window};

/// Why a step could not be taken.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
