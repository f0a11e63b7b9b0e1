//! Credentials that are bound to one grant: for callers whose identity can't travel with their requests.
//!
//! 1. A credential is 256 random bits in text, led by [`PREFIX`] so that secret scanners find what leaked. It is shown once; what is
//!    kept, and written to the log, is its SHA-256.
//! 2. It stands for its one grant and for nothing else of the holder's. It ends with the grant.
//! 3. A grant has one at a time: issuing another ends the one before.
//! 4. It is presented bare in the header [`GRANT_HEADER`](crate::gate::hygiene::GRANT_HEADER), or in the cookie
//!    [`GRANT_COOKIE`](crate::gate::hygiene::GRANT_COOKIE), and nowhere else: `Authorization` stays with the authenticators and the
//!    application. Nothing of it is forwarded.
//! 5. It carries how strongly its holder had signed in when it was issued, and never more.
//!
//! # Caveats
//! Another node knows a credential once it has followed the log: until then it answers 401. A minute at most passes before a holder whom the
//! Directory has disabled is refused, as for any session. It is a bearer token: whoever reads it has the grant until it ends.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::approval::ask::Assurance;
use crate::id::{Digest, Timestamp};

/// What the text of every credential starts with.
pub const PREFIX: &str = "jitg_";
/// The length of the text: the prefix, and 32 bytes in base64url without padding (RFC 4648 §5).
const TEXT_LEN: usize = PREFIX.len() + 43;
/// How many credentials one grant can have, one after another.
pub const CREDENTIALS_MAX: u32 = 100;

/// What is kept of the credential that a grant is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrantCredential {
    /// The plain SHA-256 of its text.
    pub digest: Digest,
    /// How the holder had signed in when they were given it.
    pub assurance: Assurance,
    /// When that was.
    pub issued_at: Timestamp,
    /// The how many-th of its grant, from 1.
    pub number: u32,
}

/// A credential itself. It is never printed by accident: [`CredentialToken::reveal`] is the one way to its text.
pub struct CredentialToken(String);

impl CredentialToken {
    /// 256 bits from the operating system.
    ///
    /// # Errors
    /// The operating system's, when it has no randomness to give.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let mut text = String::with_capacity(TEXT_LEN);
        text.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        Ok(Self(text))
    }

    /// What is kept of it.
    pub fn digest(&self) -> Digest {
        Digest::plain(self.0.as_bytes())
    }

    /// The text, for its holder's eyes.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for CredentialToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialToken(<redacted>)")
    }
}

/// The hash of what a request presents, if it has the form of a credential. Anything else is hashed by nobody.
pub fn digest_of(presented: &[u8]) -> Option<Digest> {
    let body = presented.strip_prefix(PREFIX.as_bytes())?;
    let plain = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    (presented.len() == TEXT_LEN && body.iter().all(plain)).then(|| Digest::plain(presented))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_256_bits_and_is_never_printed() {
        let (one, two) = (
            CredentialToken::random().unwrap(),
            CredentialToken::random().unwrap(),
        );
        assert_ne!(one.reveal(), two.reveal());
        let body = one.reveal().strip_prefix(PREFIX).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.decode(body).unwrap().len(), 32);
        assert!(!format!("{one:?}").contains(body));
        assert_eq!(digest_of(one.reveal().as_bytes()), Some(one.digest()));
    }

    #[test]
    fn only_what_has_the_form_of_a_credential_is_looked_up() {
        let good = format!("{PREFIX}{}", "a".repeat(43));
        assert!(digest_of(good.as_bytes()).is_some());
        for bad in [
            String::new(),
            "jitg_".to_owned(),
            "a".repeat(48),
            format!("{good}a"),
            good.replace("jitg", "JITG"),
            good.replacen("_a", "_=", 1),
            good.replacen("_aa", "_\u{e9}", 1),
            format!(" {}", &good[..47]),
        ] {
            assert_eq!(digest_of(bad.as_bytes()), None, "{bad:?}");
        }
    }
}
