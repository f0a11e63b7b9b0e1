//! Who is behind a request: what it shows, what is remembered of that, and what has to be looked up.

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;

use crate::approval::credential;
use crate::gate::authenticate::{AuthError, CredentialSource, Subject};
use crate::gate::authenticators::{Proof, Shown};
use crate::gate::enforcer::Bearer;
use crate::gate::session::{Session, SessionKey};
use crate::gate::step_up::CredentialId;
use crate::gate::{Gate, Want};
use crate::id::{Digest, Timestamp};

/// What is known of who asks.
pub(super) enum Identity {
    /// There is no credential, or nothing that can be one.
    Nobody,
    /// A credential that proves nobody.
    Invalid(CredentialSource),
    /// A credential that can't be verified just now.
    Unverifiable(CredentialSource),
    /// A credential that was not verified yet, and what is wanted.
    Unknown(Want),
    /// Someone.
    Proven(Arc<Session>, CredentialSource),
}

/// What a verification came to, for the one request that waited for it.
pub(super) struct Verified {
    key: SessionKey,
    outcome: Result<Arc<Session>, AuthError>,
}

/// What is remembered of a credential.
enum Memory {
    Nothing,
    Invalid,
    Unverifiable,
    Session(Arc<Session>),
}

impl Gate {
    pub(super) fn identify(
        &self,
        head: &Parts,
        peer: Option<IpAddr>,
        verified: Option<&Verified>,
        now: Timestamp,
    ) -> Identity {
        let authenticators = &self.inner.authenticators;
        let Some(shown) = authenticators.present(head, peer) else {
            return Identity::Nobody;
        };
        let key = shown.key(self.inner.sessions.marks());
        match self.recall(&key, verified, now) {
            Memory::Session(session) if authenticators.revoked(&session.proof) => {
                self.inner.sessions.forget(&key);
                if let Some(step_ups) = &self.inner.step_ups {
                    step_ups.forget(&CredentialId::of(&session.proof));
                }
                Identity::Invalid(shown.own_source())
            }
            Memory::Session(session) => {
                let source = session.proof.source;
                Identity::Proven(self.raised(session, now), source)
            }
            Memory::Invalid => Identity::Invalid(shown.own_source()),
            Memory::Unverifiable => Identity::Unverifiable(shown.likely_source()),
            Memory::Nothing => Identity::Unknown(Want::Verify {
                key,
                shown: shown.into_owned(),
            }),
        }
    }

    /// The session with what its credential gained since. Looked up for every request: the cached one never stands in its way, and
    /// neither outlives its end. A credential of a grant gains nothing: it can't call the control API.
    pub(super) fn raised(&self, session: Arc<Session>, now: Timestamp) -> Arc<Session> {
        let more = match (&self.inner.step_ups, &session.person) {
            (Some(step_ups), Some(person)) => step_ups.raise(
                &CredentialId::of(&session.proof),
                &session.subject,
                &person.id,
                now,
            ),
            _ => None,
        };
        match more {
            Some(assurance) => Arc::new(session.raised(assurance)),
            None => session,
        }
    }

    /// Who presents a credential of a grant, if it is a good one. A bad one leads no further than this, and costs always the same.
    pub(super) fn bearer(&self, presented: &[u8], now: Timestamp) -> Option<Bearer> {
        self.inner.enforcer.bearer(credential::digest_of(presented)?, now)
    }

    /// The holder whom a credential of a grant stands for.
    pub(super) fn identify_bearer(
        &self,
        bearer: Bearer,
        head: &Parts,
        peer: Option<IpAddr>,
        verified: Option<&Verified>,
        now: Timestamp,
    ) -> Identity {
        let credential = bearer.credential();
        match self.recall(&self.inner.sessions.bearer(&credential), verified, now) {
            Memory::Session(session) => {
                // What an authenticator reads is the gate's, whether or not it was needed: it is not forwarded either.
                let shown = self.inner.authenticators.present(head, peer);
                let source = shown.map_or(CredentialSource::Grant, |shown| shown.likely_source());
                Identity::Proven(session, source)
            }
            Memory::Invalid => Identity::Invalid(CredentialSource::Grant),
            Memory::Unverifiable => Identity::Unverifiable(CredentialSource::Grant),
            Memory::Nothing => Identity::Unknown(Want::Holder(credential)),
        }
    }

    fn recall(&self, key: &SessionKey, verified: Option<&Verified>, now: Timestamp) -> Memory {
        let session = match verified.filter(|verified| verified.key == *key) {
            None => self.inner.sessions.get(key, now),
            Some(verified) => match &verified.outcome {
                Ok(session) => session.is_good(now).then(|| Arc::clone(session)),
                Err(AuthError::Invalid) => return Memory::Invalid,
                Err(_) => return Memory::Unverifiable,
            },
        };
        session.map_or(Memory::Nothing, Memory::Session)
    }

    pub(super) async fn verify(&self, key: SessionKey, shown: &Shown<'_>) -> Verified {
        let epoch = self.inner.sessions.epoch();
        let now = self.now();
        let outcome = match self.inner.authenticators.verify(shown, now).await {
            Ok((subject, proof)) => self.session(key, subject, proof, now).await,
            Err(error) => Err(error),
        };
        self.remember(epoch, key, outcome, now)
    }

    /// Verifies what a request shows, whatever is remembered of it. What proves nobody is not remembered any longer.
    pub(super) async fn verify_anew(&self, head: &Parts, peer: Option<IpAddr>) -> Option<Verified> {
        let shown = self.inner.authenticators.present(head, peer)?;
        let verified = self.verify(shown.key(self.inner.sessions.marks()), &shown).await;
        if matches!(verified.outcome, Err(AuthError::Invalid)) {
            self.inner.sessions.forget(&verified.key);
        }
        Some(verified)
    }

    pub(super) async fn verify_bearer(&self, credential: Digest) -> Verified {
        let key = self.inner.sessions.bearer(&credential);
        let epoch = self.inner.sessions.epoch();
        let now = self.now();
        let outcome = match self.inner.enforcer.holder_by(&credential, now) {
            Some(subject) => {
                let proof = Proof::bearer(credential);
                self.session(key, subject, proof, now).await
            }
            None => Err(AuthError::Invalid),
        };
        self.remember(epoch, key, outcome, now)
    }

    async fn session(
        &self,
        key: SessionKey,
        mut subject: Subject,
        proof: Proof,
        now: Timestamp,
    ) -> Result<Session, AuthError> {
        let mut person = self
            .inner
            .directory
            .resolve(&subject.principal, now)
            .await
            .map_err(|error| AuthError::Unavailable { source: error.into() })?;
        if let Some((principal, id)) = self.inner.enforcer.names(&subject.principal) {
            subject.principal = principal;
            if let (Some(person), Some(id)) = (&mut person, id)
                && person.id == id
            {
                person.id = id;
            }
        }
        let hash = self.inner.enforcer.hash(&subject.principal);
        Session::new(key, subject, hash, proof, person, now).ok_or(AuthError::Invalid)
    }

    /// Has a session know what its user holds, if it does not: what they ask next is then decided by that.
    pub(super) fn stand(&self, session: &Arc<Session>) {
        let (enforcer, session) = (&self.inner.enforcer, session.base());
        let Session { subject, hash, .. } = &**session;
        let knows = session.standing.as_ref();
        if knows.is_some_and(|standing| enforcer.is_present(standing, *hash)) {
            return;
        }
        let person = session.person.as_ref();
        if let Some(standing) = person.and_then(|person| enforcer.standing(subject, *hash, person)) {
            self.inner.sessions.stand(session, standing);
        }
    }

    fn remember(
        &self,
        epoch: u64,
        key: SessionKey,
        outcome: Result<Session, AuthError>,
        now: Timestamp,
    ) -> Verified {
        if let Err(AuthError::Unavailable { source }) = &outcome {
            tracing::warn!(error = %source, "a credential could not be verified");
        }
        let outcome = outcome.map(|session| {
            let session = Arc::new(session);
            self.inner.sessions.put(epoch, key, Arc::clone(&session), now);
            session
        });
        Verified { key, outcome }
    }
}
