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
    #[cfg(feature = "alb")]
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
    #[cfg(feature = "alb")]
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
    #[cfg(feature = "alb")]
    const PADDED: GeneralPurpose = GeneralPurpose::new(
        &URL_SAFE,
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::RequireCanonical),
    );
    let engine = match padding {
        #[cfg(feature = "alb")]
        Padding::Accepted if part.ends_with(b"=") => PADDED,
        #[cfg(feature = "alb")]
        Padding::Accepted => STRICT,
        Padding::None => STRICT,
    };
    engine.decode(part).ok().filter(|bytes| !bytes.is_empty())
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::json;

    use super::*;
    use crate::jose::key::KeySet;
    use crate::jose::testing::base64url;

    /// RFC 7515 appendix A.2 and A.3, RFC 8037 appendix A: the public key, and the token.
    const RS256: [&str; 2] = [
        r#"{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}"#,
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
    ];
    const ES256: [&str; 2] = [
        r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#,
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    ];
    const ED25519: [&str; 2] = [
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
    ];

    fn keys(listed: &[&str]) -> KeySet {
        KeySet::read(format!("{{\"keys\":[{}]}}", listed.join(",")).as_bytes()).unwrap()
    }

    fn verify(set: &KeySet, token: &str) -> Result<Object, BadToken> {
        let token = Token::read(token.as_bytes(), Padding::None)?;
        let key = set
            .find(token.kid.as_deref(), token.algorithm)
            .ok_or(BadToken::Key)?;
        token.verify(key)
    }

    #[test]
    fn the_examples_of_the_standards_verify() {
        let set = keys(&[RS256[0], ES256[0], ED25519[0]]);
        let expected: Object = serde_json::from_value(json!({
            "iss": "joe", "exp": 1_300_819_380, "http://example.com/is_root": true,
        }))
        .unwrap();
        for [_, token] in [RS256, ES256] {
            assert_eq!(verify(&set, token).as_ref(), Ok(&expected));
        }
        // RFC 8037's payload is not JSON, so its signature is checked by itself.
        assert_eq!(verify(&set, ED25519[1]), Err(BadToken::Payload));
        let (message, signature) = ED25519[1].rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = set.find(None, Algorithm::EdDsa).unwrap();
        assert!(key.verifies(message.as_bytes(), &signature));
        assert!(!key.verifies(b"another message", &signature));
    }

    #[test]
    fn the_examples_that_prove_nothing_are_refused() {
        let set = keys(&[RS256[0], ES256[0]]);
        let payload = RS256[1].split('.').nth(1).unwrap();
        for (token, expected) in [
            // RFC 7515 A.1, RFC 7519 §3.1: HS256.
            (
                format!("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                BadToken::Algorithm,
            ),
            // RFC 7515 A.4: ES512, over the text "Payload".
            (
                "eyJhbGciOiJFUzUxMiJ9.UGF5bG9hZA.AdwMgeerwtHoh-l192l60hp9wAHZFVJbLfD_UxMi70cwnZOYaRI1bKPWROc-mZZqwqT2SI-KGDKB34XO0aw_7XdtAG8GaSwFKdCAPZgoXD2YBJZCPEX3xKpRwcdOO8KpEHwJjyqOgzDO7iKvU8vcnwNrmxYbSW9ERBXukOXolLzeO_Jn".to_owned(),
                BadToken::Algorithm,
            ),
            // RFC 7515 A.5, RFC 7519 §6.1: unsecured, as written and with a signature of something.
            (format!("eyJhbGciOiJub25lIn0.{payload}."), BadToken::Form),
            (format!("eyJhbGciOiJub25lIn0.{payload}.AA"), BadToken::Algorithm),
            // RFC 7515 appendix E: a critical header that nobody understands.
            (
                format!(
                    "{}.{payload}.AA",
                    base64url("{\"alg\":\"none\",\r\n \"crit\":[\"http://example.invalid/UNDEFINED\"],\r\n \"http://example.invalid/UNDEFINED\":true}")
                ),
                BadToken::Critical,
            ),
            // Each signature under the other's key and algorithm.
            (swap(RS256[1], ES256[1]), BadToken::Signature),
            (swap(ES256[1], RS256[1]), BadToken::Signature),
        ] {
            assert_eq!(verify(&set, &token), Err(expected), "{token}");
        }
    }

    fn swap(token: &str, other: &str) -> String {
        let (message, _) = token.rsplit_once('.').unwrap();
        let (_, signature) = other.rsplit_once('.').unwrap();
        format!("{message}.{signature}")
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let set = keys(&[ES256[0]]);
        for (n, byte) in ES256[1].bytes().enumerate() {
            let mut changed = ES256[1].as_bytes().to_vec();
            changed[n] = if byte == b'A' { b'B' } else { b'A' };
            assert!(
                verify(&set, std::str::from_utf8(&changed).unwrap()).is_err(),
                "{n}"
            );
        }
    }

    #[cfg(feature = "alb")]
    #[test]
    fn padding_is_taken_only_where_it_is_expected() {
        for (part, plain, padded) in [
            ("YQ", true, true),
            ("YWI", true, true),
            ("YWJj", true, true),
            ("YQ==", false, true),
            ("YWI=", false, true),
            ("YQ=", false, false),
            ("YQ===", false, false),
            ("=", false, false),
            ("", false, false),
            ("YR", false, false),
            ("Y", false, false),
            ("Y Q", false, false),
            ("YQ\n", false, false),
            ("+/+/", false, false),
            ("-_-_", true, true),
        ] {
            assert_eq!(
                decode(part.as_bytes(), Padding::None).is_some(),
                plain,
                "{part:?}"
            );
            assert_eq!(
                decode(part.as_bytes(), Padding::Accepted).is_some(),
                padded,
                "{part:?}"
            );
        }
    }
}
