//! What shows that a review was given by the person it names: an assertion of their passkey over what they decided (W3C Web
//! Authentication, "assertion").
//!
//! 1. What is signed is a [`Statement`]: the digest reviewed, the decision, how much less was approved, the comment, the person, the session
//!    that it came from and 32 random bytes. The assertion's challenge is [`Statement::challenge`] of its exact text, so the
//!    signature is over all of that.
//! 2. A review is recorded with evidence only if the evidence is about that very review ([`Evidence::check`]). Whether the signature is
//!    that of the person's passkey is verified before, by whoever takes the assertion: this crate knows no passkeys.
//! 3. What is recorded is enough to verify it again without this program: the challenge in `client_data` must be that of
//!    `statement`, and `signature` that of `public_key` over `authenticator_data` and the SHA-256 of `client_data`.
//!
//! # Caveats
//! Whose the key is, is this program's word: the key is recorded beside what it signed, and nobody vouches for it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::approval::review::{Decision, Narrowing, Review};
use crate::id::{Digest, PersonId};

/// Longest evidence, all its texts together, in bytes. A passkey's is about one kilobyte; one with an RSA key about two.
pub const EVIDENCE_MAX: usize = 16 * 1024;

/// What a reviewer signs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "whoever signs has to say all of it")]
pub struct Statement {
    /// The digest of what the reviewer saw: it covers the request with its id.
    pub digest: Digest,
    /// Approve or deny.
    pub decision: Decision,
    /// Less than was asked.
    pub narrowing: Narrowing,
    /// The comment, cleaned.
    pub comment: String,
    /// Who decides.
    pub person: PersonId,
    /// Names the session that the decision came from, without opening it.
    pub session: Digest,
    /// Random, so that no two statements are the same.
    pub nonce: Digest,
}

impl Statement {
    /// Its text, which is what is kept.
    ///
    /// # Errors
    /// The encoder's. None of these types can make it fail.
    pub fn text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// The challenge of the assertion over the statement with this text: SHA-256 over `jit-review-1` and the text, each led by its
    /// length in 8 bytes, big-endian.
    pub fn challenge(text: &str) -> Digest {
        Digest::of([b"jit-review-1".as_slice(), text.as_bytes()])
    }
}

/// An assertion of a passkey over a review. What is bytes is kept in base64url without padding (RFC 4648 §5).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(clippy::exhaustive_structs, reason = "an assertion and what it is over")]
pub struct Evidence {
    /// The exact text of the [`Statement`].
    pub statement: String,
    /// The id of the passkey.
    pub credential: String,
    /// Its public key, as a JSON Web Key (RFC 7517).
    pub public_key: BTreeMap<String, String>,
    /// What the authenticator said about itself and the person: `authenticatorData`.
    pub authenticator_data: String,
    /// What the browser said about the page: `clientDataJSON`.
    pub client_data: String,
    /// Over both.
    pub signature: String,
}

/// Why evidence is not about a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// It is longer than [`EVIDENCE_MAX`].
    #[error("is longer than {EVIDENCE_MAX} bytes")]
    TooLong,
    /// It can't be read.
    #[error("can't be read")]
    Unreadable,
    /// Something else was signed than its statement.
    #[error("is not over its statement")]
    OfSomethingElse,
    /// Its statement is about another request, decision, comment or person.
    #[error("is about another review")]
    OfAnotherReview,
}

/// The part of `clientDataJSON` that says what was signed, and for what.
#[derive(Deserialize)]
struct ClientData {
    #[serde(rename = "type")]
    kind: String,
    challenge: String,
}

impl Evidence {
    /// Whether this is about `review`, and was signed over what it states. It says nothing about the signature.
    ///
    /// # Errors
    /// [`Unfit`], which reads on after "the evidence".
    pub fn check(&self, review: &Review) -> Result<(), Unfit> {
        let key = self.public_key.iter();
        let key: usize = key.map(|(name, value)| name.len() + value.len()).sum();
        let texts = [
            &self.statement,
            &self.credential,
            &self.authenticator_data,
            &self.client_data,
            &self.signature,
        ];
        if texts.iter().map(|text| text.len()).sum::<usize>() + key > EVIDENCE_MAX {
            return Err(Unfit::TooLong);
        }
        let client = URL_SAFE_NO_PAD.decode(&self.client_data).ok();
        let client = client.and_then(|json| serde_json::from_slice::<ClientData>(&json).ok());
        let stated = serde_json::from_str::<Statement>(&self.statement).ok();
        let (Some(client), Some(stated)) = (client, stated) else {
            return Err(Unfit::Unreadable);
        };
        let challenge = URL_SAFE_NO_PAD.encode(Statement::challenge(&self.statement).as_bytes());
        if client.kind != "webauthn.get" || client.challenge != challenge {
            return Err(Unfit::OfSomethingElse);
        }
        let fits = stated.digest == review.digest
            && stated.decision == review.decision
            && stated.narrowing == review.narrowing
            && stated.comment == review.comment
            && stated.person == review.person;
        if fits { Ok(()) } else { Err(Unfit::OfAnotherReview) }
    }
}
