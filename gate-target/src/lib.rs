//! A target to shoot at: the gate, as a program would use it, before the worst upstream there could be.
//!
//! - [`house`] is a real broker on a memory store. The grants in it were asked for and approved.
//! - [`door`] serves that house's gate over axum or plain hyper.
//! - [`upstream`] answers whatever the gate lets through. It takes every request for the most dangerous thing that any known server
//!   could take it for, and says in `X-Handler` whether that is `admin` or `public`.
//! - [`corpus`] sends raw requests over a socket and grades what comes back. It takes an address, so the same rows go through any
//!   other balancer.
//!
//! The policy: `/admin` and below and `/billing` and below are protected on `app.example.com`, the rest of that host is open, and no
//! other host is known. Alice and bob may ask for both resources; alice's token is what the corpus sends.
//!
//! Nothing here is for production: the tokens are in the source.

pub mod corpus;
pub mod door;
pub mod house;
pub mod upstream;

/// What can go wrong on the way to a target that listens. Refusals of the broker are among them: the house is built to get none.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The house could not be built.
    #[error("the house could not be built: {source}")]
    House {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address is taken, or not ours.
    #[error("{address}: {source}; choose another address, or port 0 for a free one")]
    Listen {
        /// Where it should have listened.
        address: std::net::SocketAddr,
        /// What went wrong.
        source: std::io::Error,
    },
    /// The product does not run.
    #[error(transparent)]
    Balancer(#[from] balancers::BalancerError),
}
