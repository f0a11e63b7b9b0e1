//! Starts real balancers from the configurations of this folder, for tests.
//!
//! ```no_run
//! use balancers::{Ports, Product, Running};
//!
//! # async fn f() -> Result<(), balancers::BalancerError> {
//! let nginx = Running::start(Product::Nginx, Ports { authz: 9000, application: 3000 }).await?;
//! println!("NGINX answers at {}", nginx.address());
//! # Ok(()) }
//! ```
//!
//! The configurations are complete as they are, for the ports 8080 (the balancer), 9000 (jit-authz) and 3000 (the application). The
//! harness runs a copy with free ports in their place, in a folder of its own, and kills what it started when it is dropped.
//!
//! What is missing is installed: from Debian packages as root, and from PyPI in pinned versions into a virtual environment under
//! `target/`. Each installation says so in one line. A product that can't be had is an error, unless `JIT_TEST_WITHOUT` names it.

mod install;
mod process;
mod product;

pub use install::InstallError;
pub use process::{BalancerError, Ports, Running};
pub use product::Product;
