//! `jit demo` over real sockets: what programs and browsers see of it, and what its application does not.

mod api;
mod browser;
mod client;
mod forwarding;
mod program;
