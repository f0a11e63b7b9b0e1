//! Each balancer for real: refused, asked for, approved, through, revoked, refused again.

mod admin;
mod client;
mod flow;
mod house;
