//! Just-in-time access as one program, `jit`: what its commands do.
//!
//! - [`cli`]: the commands of those who ask, approve and look after policies and logs.
//! - [`demo`]: a guarded application, the control API and the web console on one machine, without any configuration.
//! - [`serve`]: the whole gate, from one file.
//! - [`proxy`]: forwards what a gate has let through to an upstream.
//! - [`refusal`]: sends browsers that were refused to the console.

pub mod cli;
pub mod demo;
pub mod proxy;
pub mod refusal;
mod seats;
pub mod serve;

/// Why a command could not do what it is for.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
