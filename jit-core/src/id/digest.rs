//! SHA-256, the one hash that everything here is bound by.

use std::fmt;
use std::str::FromStr;

use super::text::{ParseError, as_text, hex};

/// SHA-256 (FIPS 180-4) in text as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

as_text!(Digest, |digest, to| to.collect_str(digest));

impl Digest {
    /// The digest of nothing yet: what the first record of a chain points back to.
    pub const ZERO: Self = Self([0; 32]);

    /// Hashes `parts` one after another, each led by its length, so that no two lists of parts collide by moving a boundary.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        use sha2::Digest as _;
        let mut hasher = sha2::Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Plain SHA-256 of `bytes`, as `sha256sum` prints it.
    pub fn plain(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A digest from its bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, &mut [0; 64], f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for Digest {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        const WRONG: ParseError = ParseError {
            what: "digest",
            problem: "must be 64 lower-case hex digits",
        };
        let mut out = [0; 32];
        if text.len() != 64 {
            return Err(WRONG);
        }
        for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |b: u8| match b {
                b'0'..=b'9' => Ok(b - b'0'),
                b'a'..=b'f' => Ok(b - b'a' + 10),
                _ => Err(WRONG),
            };
            let &[high, low] = pair else { return Err(WRONG) };
            *byte = digit(high)? << 4 | digit(low)?;
        }
        Ok(Self(out))
    }
}

impl TryFrom<String> for Digest {
    type Error = ParseError;
    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}
