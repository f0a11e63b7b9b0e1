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
//! 5. Whoever enrols, removes or clears passkeys is in the audit log: who, whose, when and which, in one transaction with the change. Who
//!    has lost the only one has it cleared by somebody else ([`Broker::clear_passkeys`]), and
//!    enrols a first one as ever, soon after a sign-in. Whoever has found it may have used it: the clearing ends all sessions of its person, and
//!    with them their ceremonies and what was proven in them.
//! 6. A passkey counts as `swk`, `user` and `mfa` (RFC 8176). No attestation is asked for, so nothing shows that a key is in hardware: `hwk` is
//!    claimed of none.
//!
//! # Caveats
//! - Whoever steals the session of somebody without any second factor, within 5 minutes of its sign-in, can enrol a passkey of their own. It
//!   then stands in that person's list. Give people their first factor before they need it.
//! - Browsers take no passkeys at an IP address: the console needs a host name.

mod answers;

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use jit_core::approval::ask::Actor;
use jit_core::approval::evidence::Statement;
use jit_core::approval::review::Opinion;
use jit_core::broker::passkeys::{EACH_MAX, Passkey, PasskeyStore};
use jit_core::broker::{Broker, Rejection};
use jit_core::id::{Digest, PersonId, RequestId, Timestamp};
use jit_core::policy::terms::MfaTerms;
use jit_core::span::Span;
use webauthn_rs::prelude::{
    PasskeyAuthentication, PasskeyRegistration, RequestChallengeResponse, Uuid, WebauthnError,
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

    /// Clears those of somebody else, who has lost theirs; answers how many there were.
    pub(super) async fn clear(
        &self,
        broker: &Broker,
        by: &Actor,
        owner: &PersonId,
        reason: &str,
    ) -> Result<usize, Rejection> {
        broker.clear_passkeys(by, &*self.store, owner, reason).await
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
