//! A signed token in its compact form (RFC 7515 §7.1), taken apart and not yet believed.

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::Value;

use super::Algorithm;
use super::json::{self, Object};
use super::key::PublicKey;

/// Longest `kid`, in bytes.
pub(crate) const KID_MAX: usize = 256;

/// How base64url may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Padding {
    /// Without `=`, as RFC 7515 §2 has it.
    None,
    /// With as many `=` as it takes, or none: AWS ALB writes them, and signs them.
    Accepted,
}

/// Why something is no token, or not one to believe. For the log; who presented it is told nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadToken {
    #[error("it is not three parts of base64url")]
    Form,
    #[error("its header is not a JSON object with single names, or a member is not of its type")]
    Header,
    #[error("its algorithm is none of those allowed")]
    Algorithm,
    #[error("it has critical extensions, and none is understood")]
    Critical,
    #[error("it is nested, compressed or encrypted")]
    Nested,
    #[error("its type is not the one wanted")]
    Type,
    #[error("its payload is not a JSON object with single names")]
    Payload,
    #[error("its key is unknown")]
    Key,
    #[error("its signature does not verify")]
    Signature,
    #[error("its issuer is another")]
    Issuer,
    #[error("it is not meant for this audience")]
    Audience,
    #[error("it has no subject, or one that can't be")]
    Subject,
    #[error("it has no end, or has ended")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("a claim is not of its type")]
    Claim,
    #[error("it is bound to a key that its sender would have to prove")]
    Bound,
    #[error("it was signed by another load balancer, or for another client")]
    Signer,
}

/// A token, taken apart.
#[derive(Debug)]
pub(crate) struct Token<'t> {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    pub(crate) header: Object,
    /// What the issuer says, if it was the issuer.
    pub(crate) unproven: Object,
    signed: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Token<'t> {
    /// Takes a token apart. `jwk`, `jku`, `x5u`, `x5c` and `x5t` of its header are never read: a token does not choose its key.
    pub(crate) fn read(bytes: &'t [u8], padding: Padding) -> Result<Self, BadToken> {
        let mut parts = bytes.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadToken::Form);
        };
        let signed = bytes
            .get(..bytes.len().saturating_sub(signature.len() + 1))
            .ok_or(BadToken::Form)?;
        let decode = |part| decode(part, padding).ok_or(BadToken::Form);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header = json::object(&header).ok_or(BadToken::Header)?;
        if header.contains_key("crit") {
            return Err(BadToken::Critical);
        }
        if ["cty", "zip", "enc"]
            .iter()
            .any(|name| header.contains_key(*name))
        {
            return Err(BadToken::Nested);
        }
        let Some(Value::String(algorithm)) = header.get("alg") else {
            return Err(BadToken::Header);
        };
        let algorithm = algorithm.parse().map_err(|_| BadToken::Algorithm)?;
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_MAX => Some(kid.clone()),
            Some(_) => return Err(BadToken::Header),
        };
        Ok(Self {
            algorithm,
            kid,
            unproven: json::object(&payload).ok_or(BadToken::Payload)?,
            header,
            signed,
            signature,
        })
    }

    /// What the issuer says, proven by its key.
    pub(crate) fn verify(self, key: &PublicKey) -> Result<Object, BadToken> {
        // The key's algorithm, not the token's word, decides how the signature is checked.
        if key.algorithm() != self.algorithm {
            return Err(BadToken::Algorithm);
        }
        if key.verifies(self.signed, &self.signature) {
            Ok(self.unproven)
        } else {
            Err(BadToken::Signature)
        }
    }
}

fn decode(part: &[u8], padding: Padding) -> Option<Vec<u8>> {
    const STRICT: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireNone),
    );
    const PADDED: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
    );
    let engine = match padding {
        Padding::None => STRICT,
        Padding::Accepted => PADDED,
    };
    engine.decode(part).ok().filter(|bytes| !bytes.is_empty())
}
