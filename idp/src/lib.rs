//! Real identity providers for tests: processes of their own, on free ports of this machine, that end with their value.
//!
//! Needs Node.js 20 or newer with npm. What `npm/package-lock.json` names is installed below the target folder, once.

mod npm;
mod process;
mod sign_in;
mod tokens;
mod visit;

pub use sign_in::SignIn;
pub use tokens::Tokens;
pub use visit::visit;
