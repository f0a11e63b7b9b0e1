//! Static API tokens: `Authorization: Bearer <token>` (RFC 6750 §2.1).
//!
//! Only the SHA-256 of a token is kept. The look-up goes by that hash, so its timing says nothing about a token. Tokens of 256
//! random bits need no slow hash; shorter, guessable ones would, and are not for this.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::approval::ask::Assurance;
use crate::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use crate::id::{Digest, Principal, Timestamp};

const SCHEME: &[u8] = b"bearer";

/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 4096;

/// An [`Authenticator`] for tokens that are known by their hash. What it proves carries no assurance of a second factor.
pub struct ApiTokens {
    known: ArcSwap<Known>,
    /// How often others were made known: counted up afterwards.
    replaced: AtomicU64,
}

type Known = HashMap<Digest, Principal, BuildHasherDefault<Start>>;

/// Hashes a digest to its first bytes. They are as good as random, and only the operator's tokens are ever put in: nobody else can choose
/// what lies beside what.
#[derive(Debug, Clone, Copy, Default)]
struct Start(u64);

impl Hasher for Start {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(start) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*start);
        }
    }

    /// The length, the same for all.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

/// One token was given to two principals.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token with SHA-256 {0} stands for two principals; give each a token of its own")]
pub struct SharedToken(pub Digest);

impl ApiTokens {
    /// Knows these tokens, by the plain SHA-256 of their bytes ([`Digest::plain`]).
    ///
    /// # Errors
    /// [`SharedToken`] when one of them stands for two principals.
    pub fn new(tokens: impl IntoIterator<Item = (Digest, Principal)>) -> Result<Self, SharedToken> {
        Ok(Self {
            known: ArcSwap::from_pointee(index(tokens)?),
            replaced: AtomicU64::new(0),
        })
    }

    /// Knows these tokens from now on and no others: what is missing is refused from the next request on. A token that changes
    /// hands shows within a session's life, unless [`Gate::forget_sessions`](crate::gate::Gate::forget_sessions) is called as well.
    ///
    /// # Errors
    /// [`SharedToken`] when one of them stands for two principals; the tokens known before then stay.
    pub fn replace(&self, tokens: impl IntoIterator<Item = (Digest, Principal)>) -> Result<(), SharedToken> {
        self.known.store(index(tokens)?.into());
        self.replaced.fetch_add(1, Ordering::AcqRel);
        Ok(())
    }
}

fn index(tokens: impl IntoIterator<Item = (Digest, Principal)>) -> Result<Known, SharedToken> {
    let mut known = Known::default();
    for (digest, principal) in tokens {
        if known
            .insert(digest, principal.clone())
            .is_some_and(|other| other != principal)
        {
            return Err(SharedToken(digest));
        }
    }
    Ok(known)
}

impl fmt::Debug for ApiTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ApiTokens({} known)", self.known.load().len())
    }
}

#[async_trait]
impl Authenticator for ApiTokens {
    fn present<'r>(&self, head: &'r Parts, _peer: Option<IpAddr>) -> Presented<'r> {
        let mut fields = head.headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Presented::Nothing;
        };
        if fields.next().is_some() {
            return Presented::Malformed;
        }
        // The scheme ends at a space, or where the field does.
        let Some((scheme, rest)) = field.as_bytes().split_at_checked(SCHEME.len()) else {
            return Presented::Nothing;
        };
        if !scheme.eq_ignore_ascii_case(SCHEME) || !matches!(rest.first(), None | Some(b' ')) {
            return Presented::Nothing;
        }
        let token = rest.trim_ascii();
        if is_token(token) {
            Presented::Credential {
                bytes: token.into(),
                source: CredentialSource::Authorization,
            }
        } else {
            Presented::Malformed
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        _now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if source != CredentialSource::Authorization {
            return Err(AuthError::Invalid);
        }
        let known = self.known.load();
        let principal = known.get(&Digest::plain(credential)).ok_or(AuthError::Invalid)?;
        Ok(Subject {
            principal: principal.clone(),
            assurance: Assurance::default(),
            claims: std::collections::BTreeMap::new(),
            expires_at: None,
        })
    }

    fn revoked(&self, credential: &Digest) -> bool {
        !self.known.load().contains_key(credential)
    }

    fn revocations(&self) -> Option<u64> {
        Some(self.replaced.load(Ordering::Acquire))
    }
}

/// RFC 6750 §2.1: `b64token`.
fn is_token(bytes: &[u8]) -> bool {
    if bytes.len() > TOKEN_MAX {
        return false;
    }
    // All of it, most often: 16 bytes in a few steps, and the last of them again with what is left.
    let (blocks, _) = bytes.as_chunks::<16>();
    let all = match bytes.last_chunk::<16>() {
        Some(last) => blocks.iter().chain([last]).all(is_all_text),
        None => bytes.iter().all(|byte| is_text(*byte)),
    };
    if all {
        return !bytes.is_empty();
    }
    let body = match bytes.iter().position(|byte| !is_text(*byte)) {
        None => bytes.len(),
        Some(padding) if bytes.iter().skip(padding).all(|b| *b == b'=') => padding,
        Some(_) => 0,
    };
    body > 0
}

/// What may stand in a token before the padding: letters, `-`, `.`, `/` and digits, which are in a row, and `_`, `~`, `+`.
const fn is_text(byte: u8) -> bool {
    let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
    let in_a_row = byte.wrapping_sub(b'-') < 13;
    letter | in_a_row | (byte == b'_') | (byte == b'~') | (byte == b'+')
}

/// Without a branch for each byte.
fn is_all_text(bytes: &[u8; 16]) -> bool {
    bytes.iter().fold(1, |all, byte| all & u8::from(is_text(*byte))) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(values: &[&str]) -> Parts {
        let mut request = http::Request::builder();
        for value in values {
            request = request.header(AUTHORIZATION, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn one_well_formed_bearer_token_is_a_credential() {
        let tokens = ApiTokens::new([]).unwrap();
        let long = format!("Bearer {}", "a".repeat(TOKEN_MAX));
        let longer = format!("Bearer {}", "a".repeat(TOKEN_MAX + 1));
        for (values, expected) in [
            (&[][..], "nothing"),
            (&["Basic dXNlcjpwYXNz"][..], "nothing"),
            (&["Bearerabc"][..], "nothing"),
            (&["Bearer abc"][..], "credential"),
            (&["bEARER abc-._~+/=="][..], "credential"),
            (&["Bearer   abc"][..], "credential"),
            (&[long.as_str()][..], "credential"),
            (&[longer.as_str()][..], "malformed"),
            (&["Bearer"][..], "malformed"),
            (&["Bearer "][..], "malformed"),
            (&["Bearer ="][..], "malformed"),
            (&["Bearer a=b"][..], "malformed"),
            (&["Bearer a b"][..], "malformed"),
            (&["Bearer a,b"][..], "malformed"),
            (&["Bearer a\u{e9}"][..], "malformed"),
            (&["Bearer abc", "Bearer abc"][..], "malformed"),
            (&["Basic abc", "Bearer abc"][..], "malformed"),
        ] {
            let head = head(values);
            let got = match tokens.present(&head, None) {
                Presented::Nothing => "nothing",
                Presented::Credential { .. } => "credential",
                Presented::Malformed => "malformed",
            };
            assert_eq!(got, expected, "{values:?}");
        }
    }

    #[test]
    fn what_may_stand_in_a_token_is_what_the_rfc_lists() {
        for byte in 0..=u8::MAX {
            let listed = byte.is_ascii_alphanumeric() || b"-._~+/".contains(&byte);
            assert_eq!(is_text(byte), listed, "{byte}");
            assert_eq!(is_all_text(&[byte; 16]), listed, "{byte}");
        }
    }

    #[test]
    fn every_byte_of_a_token_counts_whatever_its_length() {
        for length in 1..=50 {
            let good = vec![b'a'; length];
            assert!(is_token(&good), "{length}");
            for at in 0..length {
                for bad in [b' ', b',', 0x80, 0xff] {
                    let mut token = good.clone();
                    token[at] = bad;
                    assert!(!is_token(&token), "{bad} at {at} of {length}");
                }
            }
        }
    }

    #[tokio::test]
    async fn a_removed_token_is_refused_and_revoked_at_once() {
        let digest = Digest::plain(b"secret");
        let who: Principal = "local|ana".parse().unwrap();
        let tokens = ApiTokens::new([(digest, who.clone())]).unwrap();
        let verify = || tokens.verify(b"secret", CredentialSource::Authorization, Timestamp::UNIX_EPOCH);
        assert_eq!(verify().await.unwrap().principal, who);
        assert!(!tokens.revoked(&digest));
        tokens.replace([]).unwrap();
        assert!(matches!(verify().await, Err(AuthError::Invalid)));
        assert!(tokens.revoked(&digest));
    }

    #[tokio::test]
    async fn a_token_counts_only_where_it_belongs() {
        let tokens = ApiTokens::new([(Digest::plain(b"secret"), "local|ana".parse().unwrap())]).unwrap();
        let cookie = tokens
            .verify(b"secret", CredentialSource::Cookie, Timestamp::UNIX_EPOCH)
            .await;
        assert!(matches!(cookie, Err(AuthError::Invalid)));
    }

    #[test]
    fn one_token_for_two_principals_is_refused() {
        let digest = Digest::plain(b"secret");
        let two = [
            (digest, "local|ana".parse().unwrap()),
            (digest, "local|bo".parse().unwrap()),
        ];
        assert_eq!(ApiTokens::new(two).unwrap_err(), SharedToken(digest));
    }
}
