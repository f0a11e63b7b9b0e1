//! The control API over HTTP: a real broker, gate and store behind it, and a clock that moves when told.

mod asking;
mod browser;
mod credential;
mod document;
mod ending;
mod events;
mod glass;
mod input;
mod interactions;
mod lockdowns;
mod passkeys;
mod restart;
mod reviewing;
mod sight;
mod step_up;
mod stores;
mod waiting;
mod who;
mod world;
