//! The console over HTTP: a real broker and store behind it, browsers with cookies before it, and a clock that moves when told.

mod asking;
mod crawl;
mod deciding;
mod ending;
mod forms;
#[cfg(feature = "passkeys")]
mod halting;
mod hostile;
mod live;
mod looking;
#[cfg(feature = "passkeys")]
mod passkeys;
mod step_up;
#[cfg(feature = "passkeys")]
mod token;
mod world;
