//! `jit token`: a token for somebody, and the line that makes the people file know it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jit_core::id::Digest;

use super::exit::Failure;
use super::screen::print;

/// Makes a token of 256 random bits. It is nowhere but in what is printed.
pub(super) fn run() -> Result<(), Failure> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)
        .map_err(|error| Failure::failed(format!("there is no randomness: {error}")))?;
    let token = format!("jit_{}", URL_SAFE_NO_PAD.encode(bits));
    let digest = Digest::plain(token.as_bytes());
    print(&format!("{token}\ntoken_sha256 = \"{digest}\""))
}
