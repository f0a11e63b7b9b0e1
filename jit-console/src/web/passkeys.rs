//! Passkeys (W3C Web Authentication) at the console: as a second factor, and over decisions.
//!
//! 1. The relying party is the console's own origin, host and port, and its id the host. The person is always verified by their
//!    authenticator (PIN, finger, face); one that only notices a touch is refused.
//! 2. A ceremony begins by a form and ends by one. What it is for stays here in between ([`Purpose`]): the browser brings back the
//!    ceremony's name and the authenticator's answer, and nothing that is decided by. It belongs to one sign-in, ends with the first
//!    answer, right or wrong, and lives 5 minutes. There are at most as many as there are slips.
//! 3. Over a decision the challenge is that of a [`Statement`]: the signature is over the digest, the decision, how much less was approved,
//!    the comment, the person and the session. It goes into the record of the review, with what it takes to verify it again.
//! 4. Who enrols or removes one shows that it is them, within the last 5 minutes: by a second factor if they have any, else by having signed
//!    in. Whoever has stolen the session of somebody with a second factor can't make themselves another one.
//! 5. A passkey counts as `swk`, `user` and `mfa` (RFC 8176). No attestation is asked for, so nothing shows that a key is in hardware: `hwk` is
//!    claimed of none.
//!
//! # Caveats
//! - Whoever steals the session of somebody without any second factor, within 5 minutes of its sign-in, can enrol a passkey of their own. It
//!   then stands in that person's list. Give people their first factor before they need it.
//! - Browsers take no passkeys at an IP address: the console needs a host name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jit_core::approval::evidence::{Evidence, Statement};
use jit_core::approval::review::Opinion;
use jit_core::broker::Rejection;
use jit_core::broker::passkeys::{EACH_MAX, Passkey, PasskeyStore};
use jit_core::broker::store::StoreError;
use jit_core::gate::step_up::FactorError;
use jit_core::id::{Digest, PersonId, RequestId, Timestamp};
use jit_core::policy::terms::MfaTerms;
use jit_core::span::Span;
use serde::de::DeserializeOwned;
use webauthn_rs::prelude::{
    COSEKey, COSEKeyType, ECDSACurve, EDDSACurve, PasskeyAuthentication, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse, Uuid, WebauthnError,
};
use webauthn_rs::{Webauthn, prelude};

use super::Console;
use super::failure::Failure;
use super::pages::ReviewForm;
use super::slips::{Slips, random};
use super::visitor::Visitor;
use crate::problem::{Kind, Problem};

/// What a passkey counts as (RFC 8176).
pub(super) const METHODS: [&str; 3] = ["swk", "user", "mfa"];
/// How long a ceremony may take.
const CEREMONY_LIFE: TimeDelta = TimeDelta::minutes(5);
/// How recently someone must have shown that it is them, to enrol or remove a passkey.
const FRESH: Span = Span::minutes(5);
/// How often a change is tried again that another one came before.
const TRIES: usize = 8;

/// Passkeys at one console.
pub(super) struct Passkeys {
    webauthn: Webauthn,
    store: Arc<dyn PasskeyStore>,
    ceremonies: Slips<Arc<Ceremony>>,
}

/// Something that waits for an authenticator's answer.
#[derive(Debug)]
pub(super) struct Ceremony {
    sign_in: Digest,
    pub(super) purpose: Purpose,
}

/// What it is for.
#[derive(Debug)]
pub(super) enum Purpose {
    /// Enrolling a passkey.
    Enrol {
        name: String,
        state: Box<PasskeyRegistration>,
    },
    /// A second factor, and the errand that it is for.
    StepUp {
        to: String,
        state: Box<PasskeyAuthentication>,
    },
    /// Deciding on a request.
    Sign(Box<Signing>),
}

/// A decision that is to be signed.
#[derive(Debug)]
pub(super) struct Signing {
    pub(super) request: RequestId,
    pub(super) opinion: Opinion,
    /// The form as it was sent, to be shown again.
    pub(super) form: ReviewForm,
    statement: String,
    state: PasskeyAuthentication,
}

/// What a page needs to begin a ceremony.
pub(super) struct Begun {
    pub(super) ceremony: String,
    /// What the browser is asked for, as JSON.
    pub(super) options: String,
}

/// Whether someone has shown recently enough that it is them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// They have.
    Recently,
    /// They have a second factor, and have not used it of late.
    StepUpFirst,
    /// They have none, and signed in too long ago.
    SignInFirst,
}

/// Why nothing came of it.
#[derive(Debug, thiserror::Error)]
enum Wrong {
    #[error(transparent)]
    Webauthn(#[from] WebauthnError),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("the state of an authentication has no challenge where it should be")]
    State,
}

impl Passkeys {
    pub(super) fn new(webauthn: Webauthn, store: Arc<dyn PasskeyStore>) -> Self {
        Self {
            webauthn,
            store,
            ceremonies: Slips::new(CEREMONY_LIFE),
        }
    }

    /// The passkeys of a person, the oldest first.
    pub(super) async fn of(&self, person: &PersonId) -> Result<Vec<Passkey>, Failure> {
        Ok(self.store.of(person).await.map_err(Rejection::from)?.items)
    }

    /// Begins to enrol a passkey under this name.
    pub(super) async fn enrol(
        &self,
        visitor: &Visitor,
        name: String,
        now: Timestamp,
    ) -> Result<Begun, Failure> {
        let person = &visitor.actor.person;
        let known = self.of(&person.id).await?;
        if known.len() >= EACH_MAX {
            let detail = format!("You have {EACH_MAX} passkeys. Remove one that you no longer use first.");
            return Err(Problem::new(Kind::Invalid, detail).into());
        }
        let known = known.iter().map(|passkey| URL_SAFE_NO_PAD.decode(&passkey.id));
        let known = known.collect::<Result<Vec<_>, _>>().ok();
        let called = match person.name.as_str() {
            "" => person.id.as_str(),
            name => name,
        };
        let begun =
            self.webauthn
                .start_passkey_registration(handle(&person.id), person.id.as_str(), called, known);
        let (options, state) = begun.map_err(|error| broken(&error.into()))?;
        let options = serde_json::to_string(&options).map_err(|error| broken(&error.into()))?;
        let purpose = Purpose::Enrol {
            name,
            state: Box::new(state),
        };
        self.begin(visitor, purpose, options, now)
    }

    /// Begins to prove a second factor for an errand. `None`: there is no passkey.
    pub(super) async fn step_up(
        &self,
        visitor: &Visitor,
        to: String,
        now: Timestamp,
    ) -> Result<Option<Begun>, Failure> {
        let Some((options, state)) = self.challenge(visitor).await? else {
            return Ok(None);
        };
        let options = serde_json::to_string(&options).map_err(|error| broken(&error.into()))?;
        let purpose = Purpose::StepUp {
            to,
            state: Box::new(state),
        };
        self.begin(visitor, purpose, options, now).map(Some)
    }

    /// Begins to sign what a reviewer decides. `None`: there is no passkey.
    pub(super) async fn sign(
        &self,
        visitor: &Visitor,
        request: RequestId,
        opinion: Opinion,
        form: ReviewForm,
        now: Timestamp,
    ) -> Result<Option<Begun>, Failure> {
        let Some((mut options, state)) = self.challenge(visitor).await? else {
            return Ok(None);
        };
        let statement = Statement {
            digest: opinion.digest,
            decision: opinion.decision,
            narrowing: opinion.narrowing.clone(),
            comment: opinion.comment.clone(),
            person: visitor.actor.person.id.clone(),
            session: mark(visitor),
            nonce: Digest::plain(random(32)?.as_bytes()),
        };
        let statement = statement.text().map_err(|error| broken(&error.into()))?;
        let challenge = Statement::challenge(&statement);
        let state = challenged(&state, &challenge).map_err(|error| broken(&error))?;
        options.public_key.challenge = challenge.as_bytes().to_vec();
        let options = serde_json::to_string(&options).map_err(|error| broken(&error.into()))?;
        let purpose = Purpose::Sign(Box::new(Signing {
            request,
            opinion,
            form,
            statement,
            state,
        }));
        self.begin(visitor, purpose, options, now).map(Some)
    }

    /// The ceremony of this name, once, if it is the visitor's.
    pub(super) fn ends(&self, visitor: &Visitor, ceremony: &str, now: Timestamp) -> Option<Arc<Ceremony>> {
        let ceremony = self.ceremonies.take(ceremony, now)?;
        (ceremony.sign_in == visitor.session.sign_in()).then_some(ceremony)
    }

    /// Keeps the passkey that an authenticator has made.
    pub(super) async fn enrolled(
        &self,
        person: &PersonId,
        name: &str,
        state: &PasskeyRegistration,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), FactorError> {
        let answer: RegisterPublicKeyCredential = read(answer)?;
        let made = self.webauthn.finish_passkey_registration(&answer, state);
        let made = made.map_err(|error| not_right(person, &error))?;
        let passkey = Passkey {
            id: URL_SAFE_NO_PAD.encode(made.cred_id()),
            name: name.to_owned(),
            added_at: now,
            used_at: None,
            data: serde_json::to_string(&made).map_err(unavailable)?,
        };
        self.change(person, |items| {
            let known = items.iter().any(|known| known.id == passkey.id);
            if known || items.len() >= EACH_MAX {
                return Err(FactorError::Wrong);
            }
            items.push(passkey.clone());
            Ok(())
        })
        .await?;
        tracing::info!(%person, passkey = passkey.id, "a passkey was enrolled");
        Ok(())
    }

    /// Removes a passkey.
    pub(super) async fn remove(&self, person: &PersonId, id: &str) -> Result<(), FactorError> {
        self.change(person, |items| {
            items.retain(|known| known.id != id);
            Ok(())
        })
        .await?;
        tracing::info!(%person, passkey = id, "a passkey was removed");
        Ok(())
    }

    /// Verifies an assertion that was begun for an errand.
    pub(super) async fn proven(
        &self,
        person: &PersonId,
        state: &PasskeyAuthentication,
        answer: &str,
        now: Timestamp,
    ) -> Result<(), FactorError> {
        self.asserted(person, state, &read(answer)?, now).await.map(drop)
    }

    /// Verifies an assertion over a decision; answers what goes into its record.
    pub(super) async fn signed(
        &self,
        person: &PersonId,
        signing: &Signing,
        answer: &str,
        now: Timestamp,
    ) -> Result<Evidence, FactorError> {
        let answer: PublicKeyCredential = read(answer)?;
        let key = self.asserted(person, &signing.state, &answer, now).await?;
        let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        Ok(Evidence {
            statement: signing.statement.clone(),
            credential: bytes(&answer.raw_id),
            public_key: web_key(&key),
            authenticator_data: bytes(&answer.response.authenticator_data),
            client_data: bytes(&answer.response.client_data_json),
            signature: bytes(&answer.response.signature),
        })
    }

    fn begin(
        &self,
        visitor: &Visitor,
        purpose: Purpose,
        options: String,
        now: Timestamp,
    ) -> Result<Begun, Failure> {
        let ceremony = Ceremony {
            sign_in: visitor.session.sign_in(),
            purpose,
        };
        let ceremony = self.ceremonies.keep(Arc::new(ceremony), now)?;
        Ok(Begun { ceremony, options })
    }

    /// A challenge for any of the visitor's passkeys.
    async fn challenge(
        &self,
        visitor: &Visitor,
    ) -> Result<Option<(RequestChallengeResponse, PasskeyAuthentication)>, Failure> {
        let known = self.of(&visitor.actor.person.id).await?;
        let keys = known.iter().map(|passkey| serde_json::from_str(&passkey.data));
        let keys = keys.collect::<Result<Vec<prelude::Passkey>, _>>();
        let keys = keys.map_err(|error| broken(&error.into()))?;
        if keys.is_empty() {
            return Ok(None);
        }
        let begun = self.webauthn.start_passkey_authentication(&keys);
        begun.map(Some).map_err(|error| broken(&error.into()))
    }

    /// Verifies an assertion and keeps what it changes of its passkey; answers the public key.
    async fn asserted(
        &self,
        person: &PersonId,
        state: &PasskeyAuthentication,
        answer: &PublicKeyCredential,
        now: Timestamp,
    ) -> Result<COSEKey, FactorError> {
        let result = self.webauthn.finish_passkey_authentication(answer, state);
        let result = result.map_err(|error| not_right(person, &error))?;
        if !result.user_verified() {
            return Err(FactorError::Wrong);
        }
        let id = URL_SAFE_NO_PAD.encode(result.cred_id());
        let mut key = None;
        self.change(person, |items| {
            // Removed since it was asked for: it proves nothing any more.
            let used = items.iter_mut().find(|known| known.id == id);
            let used = used.ok_or(FactorError::Wrong)?;
            let mut passkey: prelude::Passkey = serde_json::from_str(&used.data).map_err(unavailable)?;
            passkey.update_credential(&result);
            used.used_at = used.used_at.max(Some(now));
            used.data = serde_json::to_string(&passkey).map_err(unavailable)?;
            key = Some(passkey.get_public_key().clone());
            Ok(())
        })
        .await?;
        key.ok_or(FactorError::Wrong)
    }

    /// Changes a person's passkeys, on top of whatever else changes them at the same time.
    async fn change(
        &self,
        person: &PersonId,
        mut change: impl FnMut(&mut Vec<Passkey>) -> Result<(), FactorError>,
    ) -> Result<(), FactorError> {
        for _ in 0..TRIES {
            let mut known = self.store.of(person).await.map_err(unavailable)?;
            change(&mut known.items)?;
            match self.store.put(person, known.version, &known.items).await {
                Err(StoreError::Conflict { .. }) => {}
                // Another person's, or one too many.
                Err(StoreError::Invalid { .. }) => return Err(FactorError::Wrong),
                put => return put.map_err(unavailable),
            }
        }
        Err(unavailable("too many changes at once"))
    }
}

impl fmt::Debug for Passkeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passkeys").finish_non_exhaustive()
    }
}

impl Console {
    /// Whether the visitor has shown recently enough that it is them to change how they do that.
    pub(super) async fn has_shown(&self, visitor: &Visitor, passkeys: &Passkeys) -> Result<Shown, Failure> {
        let now = self.0.broker.now();
        let assurance = &visitor.actor.assurance;
        let person = &visitor.actor.person.id;
        let terms = MfaTerms {
            acr: Vec::new(),
            amr: std::collections::BTreeSet::new(),
            max_age: Some(FRESH),
        };
        if assurance.satisfies(&terms, now) {
            return Ok(Shown::Recently);
        }
        let codes = self.has_app(person).await?;
        if codes || !passkeys.of(person).await?.is_empty() {
            return Ok(Shown::StepUpFirst);
        }
        let signed_in = assurance.authenticated_at;
        Ok(match signed_in.is_some_and(|at| now <= FRESH.after(at)) {
            true => Shown::Recently,
            false => Shown::SignInFirst,
        })
    }
}

/// What an authenticator keeps as the person's name for itself: stable, and nothing about them.
fn handle(person: &PersonId) -> Uuid {
    let digest = Digest::of([b"jit-passkey-user-1".as_slice(), person.as_str().as_bytes()]);
    let (handle, _) = digest.as_bytes().split_at(16);
    Uuid::from_slice(handle).unwrap_or_default()
}

/// Names the session in a statement: of no use to whoever reads it there.
fn mark(visitor: &Visitor) -> Digest {
    Digest::of([b"jit-session-1".as_slice(), visitor.session.sign_in().as_bytes()])
}

/// The same state with a challenge of ours. The library makes random ones only, and compares the answer's with what stands here.
fn challenged(state: &PasskeyAuthentication, challenge: &Digest) -> Result<PasskeyAuthentication, Wrong> {
    let mut state = serde_json::to_value(state)?;
    let place = state.pointer_mut("/ast/challenge").ok_or(Wrong::State)?;
    *place = URL_SAFE_NO_PAD.encode(challenge.as_bytes()).into();
    Ok(serde_json::from_value(state)?)
}

/// A public key as a JSON Web Key (RFC 7517, RFC 7518 §6, RFC 8037 §2).
fn web_key(key: &COSEKey) -> BTreeMap<String, String> {
    let bytes = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let parts = match &key.key {
        COSEKeyType::EC_EC2(ec) => {
            let curve = match ec.curve {
                ECDSACurve::SECP256R1 => "P-256",
                ECDSACurve::SECP384R1 => "P-384",
                ECDSACurve::SECP521R1 => "P-521",
            };
            vec![
                ("kty", "EC".to_owned()),
                ("crv", curve.to_owned()),
                ("x", bytes(&ec.x)),
                ("y", bytes(&ec.y)),
            ]
        }
        COSEKeyType::EC_OKP(okp) => {
            let curve = match okp.curve {
                EDDSACurve::ED25519 => "Ed25519",
                EDDSACurve::ED448 => "Ed448",
            };
            vec![
                ("kty", "OKP".to_owned()),
                ("crv", curve.to_owned()),
                ("x", bytes(&okp.x)),
            ]
        }
        COSEKeyType::RSA(rsa) => vec![
            ("kty", "RSA".to_owned()),
            ("n", bytes(&rsa.n)),
            ("e", bytes(&rsa.e)),
        ],
    };
    let parts = parts.into_iter().map(|(name, value)| (name.to_owned(), value));
    parts.collect()
}

fn read<T: DeserializeOwned>(answer: &str) -> Result<T, FactorError> {
    serde_json::from_str(answer).map_err(|_| FactorError::Wrong)
}

fn not_right(person: &PersonId, error: &WebauthnError) -> FactorError {
    tracing::warn!(%person, %error, "a passkey was not right");
    FactorError::Wrong
}

fn unavailable(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> FactorError {
    FactorError::Unavailable {
        source: source.into(),
    }
}

fn broken(error: &Wrong) -> Failure {
    tracing::error!(
        error = error as &dyn std::error::Error,
        "a passkey could not be asked for"
    );
    Problem::new(
        Kind::DirectoryUnavailable,
        "Passkeys can't be used at the moment. Try again soon.",
    )
    .into()
}
