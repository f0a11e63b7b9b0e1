//! What JWTs and AWS ALB's tokens share: strict reading of a signed token, keys, and the signature.
//!
//! Signatures and key formats are `jsonwebtoken`'s. The reading is done here, because that crate reads the system's clock, takes the
//! last of two members of one name, and knows no limit.

pub(crate) mod claims;
pub(crate) mod json;
pub(crate) mod key;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod token;

use std::str::FromStr;

/// A signature algorithm (RFC 7518 §3.1, RFC 8037 §3.1). There is neither `none` nor any with a shared secret: keys that are published
/// can't be secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// EdDSA on Curve25519.
    EdDsa,
    /// RSASSA-PSS with SHA-256.
    Ps256,
    /// RSASSA-PSS with SHA-384.
    Ps384,
    /// RSASSA-PSS with SHA-512.
    Ps512,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
}

impl Algorithm {
    /// The name in tokens and keys.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
        }
    }
}

/// The text names no algorithm that tokens with published keys may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the algorithm must be one of ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384 and RS512")]
pub struct UnknownAlgorithm;

/// In exactly that spelling.
impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;
    fn from_str(text: &str) -> Result<Self, UnknownAlgorithm> {
        const ALL: [Algorithm; 9] = [
            Algorithm::Es256,
            Algorithm::Es384,
            Algorithm::EdDsa,
            Algorithm::Ps256,
            Algorithm::Ps384,
            Algorithm::Ps512,
            Algorithm::Rs256,
            Algorithm::Rs384,
            Algorithm::Rs512,
        ];
        ALL.into_iter()
            .find(|algorithm| algorithm.name() == text)
            .ok_or(UnknownAlgorithm)
    }
}
