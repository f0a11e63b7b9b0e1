//! The real program as people and scripts use it, against a real demo and against a server that means harm.

#[cfg(unix)]
mod after_review;
mod asking;
mod audit;
#[cfg(unix)]
mod credential;
mod hostile;
mod losses;
mod policy;
mod reviewing;
#[cfg(unix)]
mod served;
#[cfg(unix)]
mod step_up;
mod watching;
#[cfg(unix)]
mod with;
mod world;
