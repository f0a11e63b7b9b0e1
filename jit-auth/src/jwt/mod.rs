//! Bearer JWTs (RFC 7519, RFC 6750) of one issuer, with the keys that it publishes: OpenID Connect providers, and CI systems whose jobs
//! carry a token.
//!
//! # Rules
//! 1. Issuer, audiences and algorithms are given; nothing is built without them. There is no `none`, and no algorithm with a shared
//!    secret.
//! 2. A key is for one algorithm: its own `alg`, or the one that its kind stands for. A token in another one is refused, whatever it says.
//! 3. The token chooses nothing but the name of a published key: `jwk`, `jku`, `x5u` and `x5c` are not read, and a `kid` is compared, never
//!    looked up elsewhere.
//! 4. Refused: `crit`, nested, compressed and encrypted tokens, names that stand twice in the JSON, tokens over [`TOKEN_MAX`], tokens that
//!    are bound to a sender's key (`cnf`), types other than wanted ([`TokenType`]).
//! 5. `exp` and `sub` must be there. `exp` has no leeway unless one is set, of at most 30 s; `nbf` and `iat` may be 30 s ahead.
//! 6. The principal is (`iss`, `sub`). `acr`, `amr` and `auth_time` are the assurance that policies ask for; all claims are there for
//!    conditions and for [mappings to roles](jit_core::policy::Mappings).
//! 7. Keys: see [`KeyLocation`]; read again every [`REFRESH`] and for a key that is not known, at most once in [`PAUSE`]. While the issuer is
//!    out of reach the last ones are used for [`KEEP`] at most, and no new one is believed.
//!
//! # CI jobs
//! GitHub Actions, GitLab CI and others give each job a token that says which repository, branch and environment it runs for. A job asks for
//! access like anybody else, under a role that the policy file gives to those claims:
//!
//! ```toml
//! [[mappings]]
//! issuer = "https://token.actions.githubusercontent.com"
//! claims = { repository = "acme/app", ref = "refs/heads/main", environment = "production" }
//! roles = ["deployer"]
//! ```
//!
//! The authenticator, and the directory that turns its claims into roles:
//!
//! ```
//! use std::sync::Arc;
//! # use jit_auth::fetch::Fetch;
//! use jit_auth::jwt::{Algorithm, BadSettings, JwtAuthenticator, KeyLocation, TokenType};
//! use jit_core::broker::claims::{ClaimsDirectory, Learning};
//! use jit_core::policy::Policy;
//!
//! # fn main() {}
//! fn jobs(policy: &Policy, fetch: Arc<dyn Fetch>) -> Result<(Learning, Arc<ClaimsDirectory>), BadSettings> {
//!     let github = JwtAuthenticator::new(
//!         "https://token.actions.githubusercontent.com",
//!         ["https://jit.example.com"],
//!         [Algorithm::Rs256],
//!         KeyLocation::Discover,
//!         fetch,
//!     )?
//!     .with_token_type(TokenType::Jwt);
//!     let directory = Arc::new(ClaimsDirectory::new(policy.mappings().clone()));
//!     Ok((Learning::new(Arc::new(github), directory.clone()), directory))
//! }
//! ```
//!
//! The job requests its token for the audience above (GitHub: `permissions: id-token: write` and `&audience=https://jit.example.com` at
//! `ACTIONS_ID_TOKEN_REQUEST_URL`; GitLab: `id_tokens: JIT_TOKEN: aud: https://jit.example.com`), sends it as a bearer token, and asks by
//! the control API. Its grant ends like any other, and is the principal's: on GitHub and GitLab every job of the same repository and branch
//! has the same `sub`, so that two jobs at once share a grant. A job's person must not be the one who reviews its requests: link the people
//! who own its code with [`ClaimsDirectory::with_person`](jit_core::broker::claims::ClaimsDirectory::with_person), or let others review.
//!
//! # Deployment caveats
//! - An access token must name this gate in `aud`. If it names the application instead, anybody who may call the application can present
//!   their token here, and the application can present everybody's.
//! - A signed token is good until `exp`, whatever the issuer has learned since. Keep access tokens short; lock a person down to put them
//!   out at once.
//! - `auth_time` and `amr` are only in tokens if the provider puts them there; a policy that asks for MFA refuses tokens without.
//! - One authenticator has one issuer. For several, combine several: a token goes to its own issuer's keys only.

mod claims;
mod published;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use http::header::AUTHORIZATION;
use http::request::Parts;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::id::{Digest, Principal, Timestamp};
use serde_json::Value;

use crate::fetch::Fetch;
use crate::jose::token::{BadToken, Padding, Token};
use claims::Expected;
use published::{NoKey, Published};

pub use crate::jose::{Algorithm, UnknownAlgorithm};
pub use published::{KEEP, KeyLocation, PAUSE, REFRESH};

/// Longest token, in bytes.
pub const TOKEN_MAX: usize = 8 * 1024;
/// Longest leeway for `exp`.
pub const EXPIRY_LEEWAY_MAX: TimeDelta = TimeDelta::seconds(30);

/// Which tokens are taken by their `typ` (RFC 8725 §3.11).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TokenType {
    /// `at+jwt`, `JWT`, or none at all.
    #[default]
    Any,
    /// `at+jwt` alone: access tokens by RFC 9068.
    AccessToken,
    /// `JWT`, or none at all: what CI systems issue.
    Jwt,
}

impl TokenType {
    fn takes(self, typ: Option<&Value>) -> bool {
        let Some(typ) = typ else {
            return self != Self::AccessToken;
        };
        let Some(typ) = typ.as_str() else { return false };
        // RFC 7515 §4.1.9: a media type, which may leave `application/` out.
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "at+jwt" => self != Self::Jwt,
            "jwt" => self != Self::AccessToken,
            _ => false,
        }
    }
}

/// Why an authenticator for JWTs can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// Nobody could vouch.
    #[error(
        "the issuer {0:?} can't be one: write it exactly as tokens have it in `iss`, such as https://idp.example.com"
    )]
    Issuer(String),
    /// Every token of the issuer would do, whoever it is meant for.
    #[error("no audience is given, or an empty one: name what tokens for this gate have in `aud`")]
    Audience,
    /// No token could be verified.
    #[error("no algorithm is given: name those that the issuer signs with, such as ES256 or RS256")]
    Algorithm,
    /// Longer than [`EXPIRY_LEEWAY_MAX`].
    #[error("a leeway for `exp` is between 0 and 30 seconds")]
    Leeway,
}

/// An [`Authenticator`] for bearer JWTs of one issuer.
pub struct JwtAuthenticator {
    expected: Expected,
    algorithms: Vec<Algorithm>,
    token_type: TokenType,
    published: Published,
}

impl JwtAuthenticator {
    /// Takes tokens that `issuer` signed with one of `algorithms` for one of `audiences`. `location` is where its keys are, `fetch` gets them:
    /// not now, but when the first token comes.
    ///
    /// # Errors
    /// [`BadSettings`] when one of them is missing or can't be.
    pub fn new(
        issuer: &str,
        audiences: impl IntoIterator<Item = impl Into<String>>,
        algorithms: impl IntoIterator<Item = Algorithm>,
        location: KeyLocation,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, BadSettings> {
        if Principal::new(issuer, "somebody").is_err() {
            return Err(BadSettings::Issuer(issuer.to_owned()));
        }
        let audiences: Vec<String> = audiences.into_iter().map(Into::into).collect();
        if audiences.is_empty() || audiences.iter().any(String::is_empty) {
            return Err(BadSettings::Audience);
        }
        let algorithms: Vec<_> = algorithms.into_iter().collect();
        if algorithms.is_empty() {
            return Err(BadSettings::Algorithm);
        }
        Ok(Self {
            expected: Expected {
                issuer: issuer.to_owned(),
                audiences,
                expiry_leeway: TimeDelta::zero(),
            },
            algorithms,
            token_type: TokenType::default(),
            published: Published::new(issuer.to_owned(), location, fetch),
        })
    }

    /// Takes tokens of this type only, in place of [`TokenType::Any`].
    #[must_use]
    pub fn with_token_type(mut self, token_type: TokenType) -> Self {
        self.token_type = token_type;
        self
    }

    /// Takes tokens for this long after their end, in place of not at all.
    ///
    /// # Errors
    /// [`BadSettings::Leeway`] when it is negative or over [`EXPIRY_LEEWAY_MAX`].
    pub fn with_expiry_leeway(mut self, leeway: TimeDelta) -> Result<Self, BadSettings> {
        if leeway < TimeDelta::zero() || leeway > EXPIRY_LEEWAY_MAX {
            return Err(BadSettings::Leeway);
        }
        self.expected.expiry_leeway = leeway;
        Ok(self)
    }

    /// Reads the issuer's keys now, for a start that shall fail when they can't be read.
    ///
    /// # Errors
    /// [`AuthError::Unavailable`] when the keys can't be read.
    pub async fn warm_up(&self, now: Timestamp) -> Result<(), AuthError> {
        let algorithm = self.algorithms.first().copied().unwrap_or(Algorithm::Es256);
        // Whether there is a key without a name is not the question.
        match self.published.find(None, algorithm, now).await {
            Ok(_) | Err(NoKey::Unknown) => Ok(()),
            Err(error @ NoKey::Unavailable) => Err(AuthError::Unavailable { source: error.into() }),
        }
    }

    async fn prove(&self, credential: &[u8], now: Timestamp) -> Result<Subject, Failed> {
        if credential.len() > TOKEN_MAX {
            return Err(BadToken::Form.into());
        }
        let token = Token::read(credential, Padding::None)?;
        if !self.algorithms.contains(&token.algorithm) {
            return Err(BadToken::Algorithm.into());
        }
        if !self.token_type.takes(token.header.get("typ")) {
            return Err(BadToken::Type.into());
        }
        // Another issuer's token must not make us ask for keys.
        if !self.expected.is_issuer(&token.unproven) {
            return Err(BadToken::Issuer.into());
        }
        let key = self
            .published
            .find(token.kid.as_deref(), token.algorithm, now)
            .await;
        let key = key.map_err(|error| match error {
            NoKey::Unknown => Failed::Refused(BadToken::Key),
            NoKey::Unavailable => Failed::Unavailable(error),
        })?;
        let claims = token.verify(&key)?;
        Ok(self.expected.subject(claims, now)?)
    }
}

enum Failed {
    Refused(BadToken),
    Unavailable(NoKey),
}

impl From<BadToken> for Failed {
    fn from(bad: BadToken) -> Self {
        Self::Refused(bad)
    }
}

impl fmt::Debug for JwtAuthenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtAuthenticator")
            .field("issuer", &self.expected.issuer)
            .field("audiences", &self.expected.audiences)
            .field("algorithms", &self.algorithms)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Authenticator for JwtAuthenticator {
    /// A bearer token of three parts. Another kind of bearer token is left to whoever knows it.
    fn present<'r>(&self, head: &'r Parts, _peer: Option<IpAddr>) -> Presented<'r> {
        let mut fields = head.headers.get_all(AUTHORIZATION).iter();
        let Some(field) = fields.next() else {
            return Presented::Nothing;
        };
        if fields.next().is_some() {
            return Presented::Malformed;
        }
        let Some((scheme, token)) = field.as_bytes().split_at_checked(7) else {
            return Presented::Nothing;
        };
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return Presented::Nothing;
        }
        let token = token.trim_ascii();
        if token.iter().filter(|byte| **byte == b'.').count() != 2 {
            return Presented::Nothing;
        }
        let is_text = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        if token.len() > TOKEN_MAX || !token.iter().all(is_text) {
            return Presented::Malformed;
        }
        Presented::Credential {
            bytes: token.into(),
            source: CredentialSource::Authorization,
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if source != CredentialSource::Authorization {
            return Err(AuthError::Invalid);
        }
        self.prove(credential, now).await.map_err(|failed| match failed {
            Failed::Refused(reason) => {
                tracing::debug!(issuer = %self.expected.issuer, %reason, "a JWT was refused");
                AuthError::Invalid
            }
            Failed::Unavailable(error) => AuthError::Unavailable { source: error.into() },
        })
    }

    /// Never: what a signature proves is good until it ends.
    fn revoked(&self, _credential: &Digest) -> bool {
        false
    }

    fn revocations(&self) -> Option<u64> {
        Some(0)
    }
}
