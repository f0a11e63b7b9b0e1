//! Step-up: what a second factor that was proven after the credential adds to it.
//!
//! ```text
//! 401 + challenge ──► POST …/me/step-up {code} ──► StepUps::prove ──► the same credential, now with amr "otp" and auth_time
//! ```
//!
//! 1. A step-up belongs to one credential, as it was proven, of one principal and one person. Another credential of theirs gains
//!    nothing, and one that has been revoked loses it. All of a person's end when their passkeys are cleared, by [`StepUps::forget_person`].
//! 2. It lasts at most [`StepUpSettings::life`], and no longer than its credential. A policy's `max_age` may want a fresher one.
//! 3. It only ever adds: what the issuer said about the sign-in stays.
//! 4. A person has [`TRIES_A_MINUTE`] tries a minute, whichever factor and credential they use. From the third wrong one in a row on
//!    the pause before the next doubles, up to [`PAUSE_MAX`]: guessing six digits takes years. A right one ends that.
//! 5. Everything is in memory and bounded: a restart forgets step-ups, and other nodes never heard of them.
//!
//! # Caveats
//! - Whoever holds somebody's credential can keep them from stepping up by guessing wrong. They get no further with it.
//! - Where a listed proxy says in a plain field who asks, that field is the credential: all sessions of that person behind the proxy share one
//!   step-up. Have the proxy ask for the second factor itself, or use what it signs.
//! - Wrong tries are traced, not written to the audit log: a stranger with a leaked token could fill it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::TimeDelta;
use dashmap::{DashMap, Entry};

use crate::approval::ask::Assurance;
use crate::gate::authenticate::{CredentialSource, Subject};
use crate::gate::authenticators::Proof;
use crate::id::{Digest, PersonId, Principal, Timestamp};
use crate::span::Span;

/// How many tries a person has within a minute.
pub const TRIES_A_MINUTE: usize = 5;
/// The longest pause after wrong tries.
pub const PAUSE_MAX: TimeDelta = TimeDelta::minutes(15);
/// The pause after the third wrong try in a row.
const PAUSE_FIRST: TimeDelta = TimeDelta::seconds(5);
/// How many wrong tries in a row cost no pause.
const FREE_TRIES: u32 = 2;
/// Wrong tries in a row are remembered this long after the last one.
const GRUDGE: TimeDelta = TimeDelta::days(1);
/// Most step-ups, and most persons whose tries are counted.
const ENTRIES_MAX: usize = 10_000;

/// A factor that is proven besides a credential: codes of an authenticator app, and the door for others.
///
/// # Contract
/// - What was accepted once is never accepted again.
/// - A comparison with a secret takes the same time wherever it fails.
/// - Nothing of `proof` is printed or kept. How often a person may try is not this port's to limit.
#[async_trait]
pub trait SecondFactor: fmt::Debug + Send + Sync + 'static {
    /// Its name among the methods of RFC 8176.
    fn method(&self) -> &'static str;

    /// Whether `person` has one of this kind.
    async fn is_enrolled(&self, person: &PersonId) -> Result<bool, FactorError>;

    /// Proves `person` by what they sent.
    async fn verify(&self, person: &PersonId, proof: &str, now: Timestamp) -> Result<(), FactorError>;
}

/// Why a second factor was not proven.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FactorError {
    /// This person has none of this kind.
    #[error("no second factor of this kind is known of this person")]
    NotEnrolled,
    /// It is not right, not right any more, or was used before.
    #[error("the proof is not right")]
    Wrong,
    /// Whatever verifies it did not answer.
    #[error("the second factor could not be verified: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Names a credential that was proven, without holding it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CredentialId {
    source: CredentialSource,
    digest: Digest,
}

impl CredentialId {
    pub(in crate::gate) fn of(proof: &Proof) -> Self {
        Self {
            source: proof.source,
            digest: proof.credential,
        }
    }
}

impl fmt::Debug for CredentialId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CredentialId(<redacted>, {:?})", self.source)
    }
}

/// How long step-ups last.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepUpSettings {
    /// How long one lasts, at most 12 hours; 15 minutes unless said otherwise.
    pub life: Span,
}

impl StepUpSettings {
    /// Longest life that counts.
    pub const LIFE_MAX: Span = Span::minutes(12 * 60);

    /// With this life, or [`StepUpSettings::LIFE_MAX`] if that is shorter.
    #[must_use]
    pub fn with_life(mut self, life: Span) -> Self {
        self.life = life.min(Self::LIFE_MAX);
        self
    }
}

impl Default for StepUpSettings {
    fn default() -> Self {
        Self {
            life: Span::minutes(15),
        }
    }
}

/// A step-up that was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct StepUp {
    /// The method that was proven (RFC 8176).
    pub method: &'static str,
    /// When.
    pub at: Timestamp,
    /// The first moment at which it counts no more.
    pub until: Timestamp,
}

/// Why a step-up was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepUpError {
    /// This person has no second factor here.
    #[error("no second factor of yours is known here")]
    NotEnrolled,
    /// The proof is not right, not right any more, or was used before.
    #[error("the code is not right, or was used before")]
    Wrong,
    /// Too many tries. This one was not looked at.
    #[error("too many tries")]
    TooMany {
        /// When the next one will be looked at.
        retry_at: Timestamp,
    },
    /// As many step-ups as are kept are in use.
    #[error("too many step-ups are in use")]
    Full,
    /// The second factor could not be verified.
    #[error("the second factor could not be verified: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The step-ups of one process, shared by its gates and its control API.
#[derive(Debug)]
pub struct StepUps {
    factor: Arc<dyn SecondFactor>,
    settings: StepUpSettings,
    raised: DashMap<CredentialId, Raised>,
    tries: DashMap<PersonId, Tries>,
}

/// What a credential gained.
#[derive(Debug)]
struct Raised {
    principal: Principal,
    person: PersonId,
    step_up: StepUp,
}

/// How often a person has tried.
#[derive(Debug, Default)]
struct Tries {
    /// Within the last minute.
    recent: VecDeque<Timestamp>,
    /// In a row.
    wrong: u32,
    /// No try is looked at before this.
    not_before: Option<Timestamp>,
}

impl StepUps {
    /// Nobody has stepped up yet. `factor` says who can.
    pub fn new(factor: Arc<dyn SecondFactor>, settings: StepUpSettings) -> Self {
        Self {
            factor,
            settings,
            raised: DashMap::new(),
            tries: DashMap::new(),
        }
    }

    /// Raises `credential`, by which `subject` was proven to be `person`, if `proof` is right.
    ///
    /// # Errors
    /// [`StepUpError`], and the credential is what it was before.
    pub async fn prove(
        &self,
        credential: CredentialId,
        subject: &Subject,
        person: &PersonId,
        proof: &str,
        now: Timestamp,
    ) -> Result<StepUp, StepUpError> {
        let method = self.verify(person, proof, now).await?;
        let longest = self.life().after(now);
        let step_up = StepUp {
            method,
            at: now,
            until: subject.expires_at.map_or(longest, |end| end.min(longest)),
        };
        self.make_room(now)?;
        let raised = Raised {
            principal: subject.principal.clone(),
            person: person.clone(),
            step_up,
        };
        self.raised.insert(credential, raised);
        tracing::info!(%person, method = step_up.method, until = %step_up.until, "a credential was raised");
        Ok(step_up)
    }

    /// Verifies `person` by a code or the like, and raises nothing: for whoever keeps sessions of their own. Answers the method that was
    /// proven (RFC 8176).
    ///
    /// # Errors
    /// [`StepUpError`], but for [`StepUpError::Full`] of step-ups.
    pub async fn verify(
        &self,
        person: &PersonId,
        proof: &str,
        now: Timestamp,
    ) -> Result<&'static str, StepUpError> {
        self.paced(person, now, self.factor.verify(person, proof, now))
            .await?;
        Ok(self.factor.method())
    }

    /// Lets `person` try what `attempt` verifies, at the pace of all their tries: for a factor that is no text, such as a passkey. It is not
    /// polled when it is not their turn.
    ///
    /// # Errors
    /// [`StepUpError`], as `attempt` says or the pace.
    pub async fn paced<T>(
        &self,
        person: &PersonId,
        now: Timestamp,
        attempt: impl Future<Output = Result<T, FactorError>>,
    ) -> Result<T, StepUpError> {
        // Counted before it is looked at: tries that come at once can't all be the last one that is free.
        self.charge(person, now)?;
        match attempt.await {
            Ok(proven) => {
                self.settle(person, |tries| {
                    tries.wrong = 0;
                    tries.not_before = None;
                });
                Ok(proven)
            }
            Err(FactorError::Wrong) => {
                tracing::warn!(%person, "a second factor was not right");
                Err(StepUpError::Wrong)
            }
            Err(FactorError::NotEnrolled) => {
                self.settle(person, |tries| tries.refund(now));
                Err(StepUpError::NotEnrolled)
            }
            Err(FactorError::Unavailable { source }) => {
                self.settle(person, |tries| tries.refund(now));
                Err(StepUpError::Unavailable { source })
            }
        }
    }

    /// Whether `person` has a second factor here.
    ///
    /// # Errors
    /// [`StepUpError::Unavailable`]: it is not known.
    pub async fn is_enrolled(&self, person: &PersonId) -> Result<bool, StepUpError> {
        match self.factor.is_enrolled(person).await {
            Ok(enrolled) => Ok(enrolled),
            Err(FactorError::Unavailable { source }) => Err(StepUpError::Unavailable { source }),
            Err(other) => Err(StepUpError::Unavailable {
                source: Box::new(other),
            }),
        }
    }

    /// How long a step-up lasts, at most.
    pub fn life(&self) -> Span {
        self.settings.life.min(StepUpSettings::LIFE_MAX)
    }

    /// What `subject`, proven to be `person` by `credential`, has shown of themselves at `now`, if that is more than `subject` says.
    pub fn raise(
        &self,
        credential: &CredentialId,
        subject: &Subject,
        person: &PersonId,
        now: Timestamp,
    ) -> Option<Assurance> {
        let raised = self.raised.get(credential)?;
        let StepUp { method, at, until } = raised.step_up;
        if now >= until || raised.principal != subject.principal || raised.person != *person {
            return None;
        }
        let mut assurance = subject.assurance.clone();
        if !assurance.methods.iter().any(|known| known == method) {
            assurance.methods.push(method.to_owned());
        }
        // A moment that has not come yet is nothing that the issuer can know.
        let earlier = assurance.authenticated_at.filter(|earlier| *earlier <= now);
        assurance.authenticated_at = earlier.max(Some(at));
        Some(assurance)
    }

    /// Takes a credential's step-up away.
    pub fn forget(&self, credential: &CredentialId) {
        self.raised.remove(credential);
    }

    /// Takes all step-ups of a person away, whichever credentials they raised. What was tried stays counted.
    pub fn forget_person(&self, person: &PersonId) {
        self.raised.retain(|_, raised| raised.person != *person);
    }

    /// Takes all step-ups away. What was tried stays counted.
    pub fn forget_all(&self) {
        self.raised.clear();
    }

    /// How many step-ups are kept, ended ones included.
    pub fn len(&self) -> usize {
        self.raised.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.raised.is_empty()
    }

    fn charge(&self, person: &PersonId, now: Timestamp) -> Result<(), StepUpError> {
        if self.tries.len() >= ENTRIES_MAX && !self.tries.contains_key(person) {
            self.tries.retain(|_, tries| tries.matter(now));
            if self.tries.len() >= ENTRIES_MAX {
                return Err(StepUpError::Full);
            }
        }
        let mut tries = self.tries.entry(person.clone()).or_default();
        tries
            .charge(now)
            .map_err(|retry_at| StepUpError::TooMany { retry_at })
    }

    fn settle(&self, person: &PersonId, change: impl FnOnce(&mut Tries)) {
        if let Entry::Occupied(mut tries) = self.tries.entry(person.clone()) {
            change(tries.get_mut());
            if tries.get().recent.is_empty() && tries.get().wrong == 0 {
                tries.remove();
            }
        }
    }

    fn make_room(&self, now: Timestamp) -> Result<(), StepUpError> {
        if self.raised.len() >= ENTRIES_MAX {
            self.raised.retain(|_, raised| now < raised.step_up.until);
            if self.raised.len() >= ENTRIES_MAX {
                return Err(StepUpError::Full);
            }
        }
        Ok(())
    }
}

impl Tries {
    /// Counts one more, as wrong until it is known to be right; or says when the next one may come.
    fn charge(&mut self, now: Timestamp) -> Result<(), Timestamp> {
        let minute = TimeDelta::minutes(1);
        self.recent.retain(|at| now.signed_duration_since(*at) < minute);
        let full = (self.recent.len() >= TRIES_A_MINUTE)
            .then(|| self.recent.front().and_then(|at| at.checked_add_signed(minute)))
            .flatten();
        if let Some(retry_at) = self.not_before.max(full).filter(|at| now < *at) {
            return Err(retry_at);
        }
        if !self.matter(now) {
            self.wrong = 0;
        }
        self.recent.push_back(now);
        self.wrong = self.wrong.saturating_add(1);
        self.not_before = now.checked_add_signed(pause(self.wrong));
        Ok(())
    }

    /// Takes the last count back: it was neither right nor wrong.
    fn refund(&mut self, now: Timestamp) {
        self.recent.pop_back();
        self.wrong = self.wrong.saturating_sub(1);
        self.not_before = (self.wrong > 0).then_some(now);
    }

    /// Whether anything in here still counts. The pause ends long before the grudge.
    fn matter(&self, now: Timestamp) -> bool {
        self.not_before
            .is_some_and(|at| now.signed_duration_since(at) < GRUDGE)
    }
}

/// How long to wait after so many wrong tries in a row.
fn pause(wrong: u32) -> TimeDelta {
    let Some(doublings) = wrong.checked_sub(FREE_TRIES + 1) else {
        return TimeDelta::zero();
    };
    // Far below an overflow, far above the longest.
    (PAUSE_FIRST * (1 << doublings.min(16))).min(PAUSE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixtures::{ANA, at, person, subject};

    /// Takes `right`, has never heard of bo, and can't answer to `away`.
    #[derive(Debug)]
    struct Scripted;

    #[async_trait]
    impl SecondFactor for Scripted {
        fn method(&self) -> &'static str {
            "otp"
        }

        async fn is_enrolled(&self, person: &PersonId) -> Result<bool, FactorError> {
            Ok(person.as_str() != "bo")
        }

        async fn verify(&self, person: &PersonId, proof: &str, _: Timestamp) -> Result<(), FactorError> {
            match (person.as_str(), proof) {
                ("bo", _) => Err(FactorError::NotEnrolled),
                (_, "right") => Ok(()),
                (_, "away") => Err(FactorError::Unavailable {
                    source: "away".into(),
                }),
                _ => Err(FactorError::Wrong),
            }
        }
    }

    fn credential(n: u8) -> CredentialId {
        CredentialId {
            source: CredentialSource::Authorization,
            digest: Digest::plain(&[n]),
        }
    }

    fn step_ups() -> StepUps {
        StepUps::new(Arc::new(Scripted), StepUpSettings::default())
    }

    async fn tried(step_ups: &StepUps, who: &str, proof: &str, now: i64) -> Result<StepUp, StepUpError> {
        let who = person(who).id;
        step_ups
            .prove(credential(1), &subject(ANA), &who, proof, at(now))
            .await
    }

    fn raised(step_ups: &StepUps, n: u8, who: &str, now: i64) -> bool {
        let person = person(who).id;
        step_ups
            .raise(&credential(n), &subject(ANA), &person, at(now))
            .is_some()
    }

    #[tokio::test]
    async fn whatever_is_tried_is_paced_together() {
        let step_ups = step_ups();
        let ana = person("ana").id;
        let wrong = || async { Err::<(), _>(FactorError::Wrong) };
        assert!(matches!(
            step_ups.verify(&ana, "odd", at(0)).await,
            Err(StepUpError::Wrong)
        ));
        for _ in 0..2 {
            let tried = step_ups.paced(&ana, at(0), wrong()).await;
            assert!(matches!(tried, Err(StepUpError::Wrong)), "{tried:?}");
        }
        // The third wrong one in a row costs a pause, and what is right waits for its end unseen.
        let unseen = async { panic!("it was looked at") };
        let early: Result<(), _> = step_ups.paced(&ana, at(4), unseen).await;
        assert!(matches!(early, Err(StepUpError::TooMany { .. })), "{early:?}");
        assert!(step_ups.verify(&ana, "right", at(4)).await.is_err());
        assert_eq!(step_ups.verify(&ana, "right", at(5)).await.unwrap(), "otp");
        // Nothing is raised by that.
        assert!(step_ups.is_empty());
    }

    #[tokio::test]
    async fn a_step_up_is_of_one_credential_and_one_person_and_ends() {
        let step_ups = step_ups();
        let step_up = tried(&step_ups, "ana", "right", 0).await.unwrap();
        assert_eq!(
            (step_up.method, step_up.at, step_up.until),
            ("otp", at(0), at(900))
        );
        assert!(raised(&step_ups, 1, "ana", 0) && raised(&step_ups, 1, "ana", 899));
        assert!(!raised(&step_ups, 1, "ana", 900));
        assert!(!raised(&step_ups, 2, "ana", 1), "another credential");
        assert!(!raised(&step_ups, 1, "bo", 1), "another person");
        let other = subject("local|other");
        let ana = person("ana").id;
        assert_eq!(step_ups.raise(&credential(1), &other, &ana, at(1)), None);
        step_ups.forget(&credential(1));
        assert!(!raised(&step_ups, 1, "ana", 1));
    }

    #[tokio::test]
    async fn what_a_person_has_proven_is_forgotten_whichever_credential_it_raised() {
        let step_ups = step_ups();
        for (n, who) in [(1, "ana"), (2, "ana"), (3, "cy")] {
            let who = person(who).id;
            step_ups
                .prove(credential(n), &subject(ANA), &who, "right", at(0))
                .await
                .unwrap();
        }
        step_ups.forget_person(&person("ana").id);
        assert!(!raised(&step_ups, 1, "ana", 1) && !raised(&step_ups, 2, "ana", 1));
        assert!(raised(&step_ups, 3, "cy", 1), "another's stays");
    }

    #[tokio::test]
    async fn a_step_up_ends_with_its_credential_and_within_twelve_hours() {
        let long = StepUpSettings::default().with_life(Span::MAX);
        let step_ups = StepUps::new(Arc::new(Scripted), long);
        let ana = person("ana").id;
        for (expires, until) in [(None, 12 * 3600), (Some(60), 60), (Some(100_000), 12 * 3600)] {
            let subject = Subject {
                expires_at: expires.map(at),
                ..subject(ANA)
            };
            let step_up = step_ups
                .prove(credential(1), &subject, &ana, "right", at(0))
                .await
                .unwrap();
            assert_eq!(step_up.until, at(until), "{expires:?}");
        }
    }

    #[tokio::test]
    async fn it_only_adds() {
        let step_ups = step_ups();
        tried(&step_ups, "ana", "right", 0).await.unwrap();
        let ana = person("ana").id;
        for (methods, before, expected, when) in [
            (vec!["pwd"], None, vec!["pwd", "otp"], 0),
            (vec!["otp"], Some(-5), vec!["otp"], 0),
            (vec![], Some(3), vec!["otp"], 3),
            (vec![], Some(500), vec!["otp"], 0),
        ] {
            let mut subject = subject(ANA);
            subject.assurance.methods = methods.into_iter().map(str::to_owned).collect();
            subject.assurance.context = Some("gold".to_owned());
            subject.assurance.authenticated_at = before.map(at);
            let more = step_ups.raise(&credential(1), &subject, &ana, at(10)).unwrap();
            assert_eq!(more.methods, expected);
            assert_eq!(more.context.as_deref(), Some("gold"));
            assert_eq!(more.authenticated_at, Some(at(when)));
        }
    }

    #[tokio::test]
    async fn guessing_is_slow_and_gets_slower() {
        let step_ups = step_ups();
        let mut now = 0;
        let mut waits = Vec::new();
        for _ in 0..12 {
            let outcome = tried(&step_ups, "ana", "guess", now).await;
            assert!(matches!(outcome, Err(StepUpError::Wrong)), "{outcome:?}");
            let began = now;
            // A right one is not looked at either before it is time.
            while let Err(StepUpError::TooMany { retry_at }) =
                step_ups.charge(&person("ana").id, at(now)).map(|()| {
                    step_ups.settle(&person("ana").id, |tries| tries.refund(at(now)));
                })
            {
                let seconds = retry_at.signed_duration_since(at(now)).num_seconds();
                assert!(seconds > 0);
                now += seconds;
            }
            waits.push(now - began);
        }
        assert_eq!(waits, [0, 0, 5, 10, 45, 40, 80, 160, 320, 640, 900, 900]);
        tried(&step_ups, "ana", "right", now).await.unwrap();
        let outcome = tried(&step_ups, "ana", "guess", now).await;
        assert!(matches!(outcome, Err(StepUpError::Wrong)));
        tried(&step_ups, "ana", "right", now).await.unwrap();
    }

    #[tokio::test]
    async fn five_tries_a_minute_right_ones_too() {
        let step_ups = step_ups();
        for _ in 0..TRIES_A_MINUTE {
            tried(&step_ups, "ana", "right", 0).await.unwrap();
        }
        let outcome = tried(&step_ups, "ana", "right", 59).await;
        assert!(
            matches!(outcome, Err(StepUpError::TooMany { retry_at }) if retry_at == at(60)),
            "{outcome:?}"
        );
        tried(&step_ups, "ana", "right", 60).await.unwrap();
    }

    #[tokio::test]
    async fn who_has_no_factor_and_what_is_away_cost_no_try() {
        let step_ups = step_ups();
        for n in 0..20 {
            let outcome = tried(&step_ups, "bo", "right", n).await;
            assert!(matches!(outcome, Err(StepUpError::NotEnrolled)), "{outcome:?}");
            let outcome = tried(&step_ups, "ana", "away", n).await;
            assert!(
                matches!(outcome, Err(StepUpError::Unavailable { .. })),
                "{outcome:?}"
            );
        }
        assert_eq!(step_ups.tries.len(), 0);
        assert!(step_ups.is_empty());
    }

    #[tokio::test]
    async fn memory_is_bounded() {
        let step_ups = step_ups();
        for n in 0..ENTRIES_MAX {
            step_ups.charge(&format!("p{n}").parse().unwrap(), at(0)).unwrap();
        }
        let more = "one-more".parse().unwrap();
        assert!(matches!(step_ups.charge(&more, at(1)), Err(StepUpError::Full)));
        step_ups.charge(&"p1".parse().unwrap(), at(1)).unwrap();
        step_ups.charge(&more, at(GRUDGE.num_seconds() + 2)).unwrap();
        assert_eq!(step_ups.tries.len(), 1);
    }
}
