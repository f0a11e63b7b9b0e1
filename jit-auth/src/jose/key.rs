//! Public keys, each for one algorithm.

use std::fmt;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use serde_json::Value;

use super::Algorithm;
use super::json::{self, Object};
use super::token::KID_MAX;

/// Most keys in one set.
pub(crate) const KEYS_MAX: usize = 64;

/// A public key and the one algorithm that it is for.
#[derive(Clone)]
pub(crate) struct PublicKey {
    kid: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl PublicKey {
    /// Reads a key (RFC 7517). `None` for one that is not for signatures, not public, or of a kind that is not taken.
    ///
    /// The algorithm is the key's `alg`. Where there is none, it is the one that the curve stands for, and RS256 for RSA.
    fn from_jwk(jwk: &Object) -> Option<Self> {
        let text = |name: &str| jwk.get(name).and_then(Value::as_str);
        let has = |name: &str| jwk.contains_key(name);
        let for_signatures = !has("use") || text("use") == Some("sig");
        let verifies = match jwk.get("key_ops") {
            None => true,
            Some(Value::Array(operations)) => operations.iter().any(|one| one == "verify"),
            Some(_) => false,
        };
        // A key whose private half is published is everyone's.
        if !for_signatures || !verifies || has("d") || has("k") {
            return None;
        }
        let (natural, key) = match (text("kty")?, text("crv")) {
            ("EC", Some("P-256")) => (Algorithm::Es256, point(text("x")?, text("y")?, 43)?),
            ("EC", Some("P-384")) => (Algorithm::Es384, point(text("x")?, text("y")?, 64)?),
            ("OKP", Some("Ed25519")) => {
                let x = text("x").filter(|x| x.len() == 43)?;
                (Algorithm::EdDsa, DecodingKey::from_ed_components(x).ok()?)
            }
            ("RSA", None) => (
                Algorithm::Rs256,
                DecodingKey::from_rsa_components(text("n")?, text("e")?).ok()?,
            ),
            _ => return None,
        };
        let algorithm = match jwk.get("alg") {
            None => natural,
            Some(named) => named.as_str()?.parse().ok()?,
        };
        if is_rsa(algorithm) != is_rsa(natural) || (!is_rsa(natural) && algorithm != natural) {
            return None;
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= KID_MAX => Some(kid.clone()),
            Some(_) => return None,
        };
        Some(Self { kid, algorithm, key })
    }

    /// A P-256 key for ES256 in a PEM block `PUBLIC KEY` (RFC 7468 §13).
    #[cfg(feature = "alb")]
    pub(crate) fn es256_from_pem(pem: &[u8]) -> Option<Self> {
        use base64::Engine as _;
        // RFC 5480: an EC public key on P-256, uncompressed. With everything before the point fixed, it is compared rather than parsed.
        const PREFIX: [u8; 27] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
            0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04,
        ];
        let text = std::str::from_utf8(pem).ok()?.trim();
        let body = text
            .strip_prefix("-----BEGIN PUBLIC KEY-----")?
            .strip_suffix("-----END PUBLIC KEY-----")?;
        let body: String = body.split_ascii_whitespace().collect();
        let der = base64::engine::general_purpose::STANDARD.decode(body).ok()?;
        let point = der
            .strip_prefix(PREFIX.as_slice())
            .filter(|point| point.len() == 64)?;
        let mut key = vec![4];
        key.extend_from_slice(point);
        Some(Self {
            kid: None,
            algorithm: Algorithm::Es256,
            key: DecodingKey::from_ec_der(&key),
        })
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let algorithm = match self.algorithm {
            Algorithm::Es256 => jsonwebtoken::Algorithm::ES256,
            Algorithm::Es384 => jsonwebtoken::Algorithm::ES384,
            Algorithm::EdDsa => jsonwebtoken::Algorithm::EdDSA,
            Algorithm::Ps256 => jsonwebtoken::Algorithm::PS256,
            Algorithm::Ps384 => jsonwebtoken::Algorithm::PS384,
            Algorithm::Ps512 => jsonwebtoken::Algorithm::PS512,
            Algorithm::Rs256 => jsonwebtoken::Algorithm::RS256,
            Algorithm::Rs384 => jsonwebtoken::Algorithm::RS384,
            Algorithm::Rs512 => jsonwebtoken::Algorithm::RS512,
        };
        // Named, not the process's default: that one panics when somebody else's dependency turns on a second implementation.
        let verifier = (DEFAULT_PROVIDER.verifier_factory)(&algorithm, &self.key);
        verifier.is_ok_and(|verifier| verifier.verify(message, &signature.to_vec()).is_ok())
    }
}

/// Public, and still nothing that a log needs.
impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({:?}, {})", self.kid, self.algorithm.name())
    }
}

fn is_rsa(algorithm: Algorithm) -> bool {
    !matches!(algorithm, Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa)
}

/// RFC 7518 §6.2.1.2: each coordinate has exactly the length of the curve's field.
fn point(x: &str, y: &str, length: usize) -> Option<DecodingKey> {
    let fits = x.len() == length && y.len() == length;
    fits.then(|| DecodingKey::from_ec_components(x, y).ok()).flatten()
}

/// The keys that an issuer publishes.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeySet(Vec<PublicKey>);

/// Why a document is no set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadKeySet {
    #[error("it is not a JSON object with a list of keys, or a name stands in it twice")]
    Form,
    #[error("it has more than 64 keys")]
    TooMany,
    #[error("none of its keys is one for signatures of a kind that is taken")]
    Empty,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 §5). Keys that are not taken are left out: secrets, private keys, keys for encryption, unknown kinds.
    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadKeySet> {
        let mut document = json::object(bytes).ok_or(BadKeySet::Form)?;
        let Some(Value::Array(listed)) = document.remove("keys") else {
            return Err(BadKeySet::Form);
        };
        if listed.len() > KEYS_MAX {
            return Err(BadKeySet::TooMany);
        }
        let keys: Vec<_> = listed
            .into_iter()
            .filter_map(|key| match key {
                Value::Object(members) => PublicKey::from_jwk(&members.into_iter().collect()),
                _ => None,
            })
            .collect();
        if keys.is_empty() {
            return Err(BadKeySet::Empty);
        }
        Ok(Self(keys))
    }

    /// The key for a token. One that names no key has it from a set with a single key of its algorithm.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<&PublicKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match kid {
            Some(kid) => fitting.find(|key| key.kid.as_deref() == Some(kid)),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::testing::{Signer, base64url};

    fn read(keys: &[Value]) -> Result<KeySet, BadKeySet> {
        KeySet::read(json!({"keys": keys}).to_string().as_bytes())
    }

    fn with(name: &str, value: Value) -> Value {
        let mut jwk = Signer::new("one").jwk();
        jwk[name] = value;
        jwk
    }

    #[test]
    fn a_key_is_for_the_algorithm_of_its_kind() {
        use Algorithm::{EdDsa, Es256, Es384, Ps256, Rs256, Rs512};
        let rsa = |alg: Option<&str>| {
            let mut jwk = json!({"kty": "RSA", "e": "AQAB", "n": base64url([0xff; 256])});
            if let Some(alg) = alg {
                jwk["alg"] = alg.into();
            }
            jwk
        };
        let p384 = json!({"kty": "EC", "crv": "P-384", "x": base64url([1; 48]), "y": base64url([2; 48])});
        let ed = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url([1; 32])});
        let without = |name| {
            let mut jwk = Signer::new("one").jwk();
            jwk.as_object_mut().unwrap().remove(name);
            jwk
        };
        for (jwk, expected) in [
            (with("kid", "one".into()), Some(Es256)),
            (without("alg"), Some(Es256)),
            (without("use"), Some(Es256)),
            (with("key_ops", json!(["verify"])), Some(Es256)),
            (p384, Some(Es384)),
            (ed.clone(), Some(EdDsa)),
            (rsa(None), Some(Rs256)),
            (rsa(Some("RS512")), Some(Rs512)),
            (rsa(Some("PS256")), Some(Ps256)),
            (rsa(Some("ES256")), None),
            (rsa(Some("HS256")), None),
            (rsa(Some("none")), None),
            (rsa(Some("RSA-OAEP")), None),
            (with("alg", "ES384".into()), None),
            (with("alg", "RS256".into()), None),
            (with("alg", json!(7)), None),
            (with("use", "enc".into()), None),
            (with("use", json!(1)), None),
            (with("key_ops", json!(["sign"])), None),
            (with("key_ops", "verify".into()), None),
            (with("d", "AAAA".into()), None),
            (with("kid", json!(1)), None),
            (with("kid", "x".repeat(KID_MAX + 1).into()), None),
            (with("crv", "P-521".into()), None),
            (with("crv", "secp256k1".into()), None),
            (with("x", base64url([1; 31]).into()), None),
            (
                with("y", "not base64!not base64!not base64!not base6".into()),
                None,
            ),
            (without("y"), None),
            (without("kty"), None),
            (
                json!({"kty": "oct", "k": base64url([1; 32]), "alg": "HS256"}),
                None,
            ),
            (json!({"kty": "oct", "k": base64url([1; 32])}), None),
            (json!("key"), None),
        ] {
            let algorithm = read(std::slice::from_ref(&jwk))
                .ok()
                .map(|set| set.0[0].algorithm());
            assert_eq!(algorithm, expected, "{jwk}");
        }
        // What is not taken leaves the rest alone.
        let both = read(&[with("use", "enc".into()), ed]).unwrap();
        assert_eq!(both.0.len(), 1);
    }

    #[test]
    fn a_set_is_bounded_and_plain() {
        let key = Signer::new("one").jwk();
        let error = |text: &str| KeySet::read(text.as_bytes()).err();
        assert_eq!(read(&vec![key.clone(); KEYS_MAX]).err(), None);
        assert_eq!(
            read(&vec![key.clone(); KEYS_MAX + 1]).err(),
            Some(BadKeySet::TooMany)
        );
        assert_eq!(read(&[]).err(), Some(BadKeySet::Empty));
        for text in [
            "",
            "[]",
            "{}",
            "{\"keys\":{}}",
            "{\"keys\":[],\"keys\":[]}",
            "<html>",
        ] {
            assert_eq!(error(text), Some(BadKeySet::Form), "{text}");
        }
        let doubled = format!(
            "{{\"keys\":[{}]}}",
            key.to_string().replacen('{', "{\"kid\":\"two\",", 1)
        );
        assert_eq!(error(&doubled), Some(BadKeySet::Form));
    }

    #[test]
    fn a_key_is_found_by_its_whole_name_and_algorithm() {
        let (one, two) = (Signer::new("one"), Signer::new("../two"));
        let set = read(&[one.jwk(), two.jwk()]).unwrap();
        for (kid, algorithm, expected) in [
            (Some("one"), Algorithm::Es256, Some("one")),
            (Some("../two"), Algorithm::Es256, Some("../two")),
            (Some("two"), Algorithm::Es256, None),
            (Some("on"), Algorithm::Es256, None),
            (Some("one\0"), Algorithm::Es256, None),
            (Some(""), Algorithm::Es256, None),
            (Some("one"), Algorithm::Es384, None),
            (None, Algorithm::Es256, None),
        ] {
            let found = set.find(kid, algorithm).map(|key| key.kid.as_deref().unwrap());
            assert_eq!(found, expected, "{kid:?}");
        }
        let single = read(&[one.jwk()]).unwrap();
        assert!(
            single.find(None, Algorithm::Es256).is_some(),
            "the only one it can be"
        );
    }

    #[cfg(feature = "alb")]
    #[test]
    fn a_pem_block_is_a_p256_key_or_nothing() {
        let signer = Signer::new("");
        let pem = signer.pem();
        let key = PublicKey::es256_from_pem(&pem).unwrap();
        assert!(key.verifies(b"message", &signer.signature("message")));
        let text = String::from_utf8(pem).unwrap();
        for bad in [
            "",
            "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
            &text.replace("PUBLIC", "PRIVATE"),
            &text.replacen("MFk", "MFo", 1),
            &text.replace("-----END", "AAAA-----END"),
            &text.replace('\n', "\n!"),
            &format!("{text}{text}"),
        ] {
            assert!(PublicKey::es256_from_pem(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
