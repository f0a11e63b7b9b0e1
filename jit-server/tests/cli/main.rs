//! The real program as people and scripts use it, against a real demo and against a server that means harm.

mod asking;
mod audit;
mod hostile;
mod losses;
mod policy;
mod reviewing;
mod watching;
#[cfg(unix)]
mod with;
mod world;
