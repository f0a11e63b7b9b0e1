//! The sessions of guarded origins, as the gate asks for them.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::hygiene;
use jit_core::id::{Digest, Timestamp};

use super::handoff::authority;
use super::session::{COOKIE_LEN, Place, Sessions, bound};

/// Who is signed in at the guarded origins: an authenticator that reads the gate's own cookie.
#[derive(Debug, Clone)]
pub struct GuardedSessions(Arc<Sessions>);

impl GuardedSessions {
    pub(super) fn new(sessions: Arc<Sessions>) -> Self {
        Self(sessions)
    }
}

#[async_trait]
impl Authenticator for GuardedSessions {
    fn present<'r>(&self, head: &'r Parts, _peer: Option<IpAddr>) -> Presented<'r> {
        let host = authority(&head.uri, &head.headers);
        match hygiene::gate_cookie(&head.headers).zip(host) {
            None => Presented::Nothing,
            // A cookie from before a restart, or of something else: nobody is signed in by it, and nothing is wrong with the request.
            Some((value, _)) if value.len() != COOKIE_LEN => Presented::Nothing,
            Some((value, host)) => Presented::Credential {
                bytes: bound(value, host).into(),
                source: CredentialSource::Cookie,
            },
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        match self.0.find(credential, Place::Guarded, now) {
            Some(session) if source == CredentialSource::Cookie => {
                // Looked up again when something that was proven counts no more.
                let until = session.proofs(now).map(|proof| proof.until).min();
                let ends_at = session.subject.expires_at;
                let expires_at = until.map_or(ends_at, |until| ends_at.map(|end| end.min(until)));
                Ok(Subject {
                    expires_at,
                    ..session.subject
                })
            }
            _ => Err(AuthError::Invalid),
        }
    }

    fn revoked(&self, credential: &Digest) -> bool {
        !self.0.is_guarded(credential)
    }
}
