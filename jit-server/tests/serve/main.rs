//! `jit serve` as a program: started from its file, over real sockets, in front of real small applications.
#![cfg(unix)]

mod application;
mod authz;
mod balance;
mod client;
mod client_certificates;
mod config;
mod identity;
mod journey;
mod limits;
mod operator;
mod reload;
mod sign_in;
mod stop;
mod upstream_tls;
mod websocket;
mod world;
