//! What someone was about to do when a second factor was wanted of them: kept, so that they come back to it with what they had typed.
//!
//! 1. An errand belongs to one sign-in: its slip in somebody else's hands is worth nothing.
//! 2. Nothing is done by itself when its person comes back. They look at the page again, and send the form.
//! 3. It is kept for 15 minutes, and what was typed only up to [`TYPED_MAX`]: there is always room for those of others.

use async_trait::async_trait;
use jit_core::approval::ask::Assurance;
use jit_core::gate::step_up::{FactorError, SecondFactor};
use jit_core::id::{Digest, PersonId, Timestamp};
use jit_core::policy::terms::MfaTerms;

use super::Console;
use super::failure::Failure;
use super::pages::{AskForm, ReviewForm};
use super::visitor::Visitor;
use crate::problem::Problem;

/// Most of what was typed that is kept, in bytes. A reason has at most 500 characters.
pub(super) const TYPED_MAX: usize = 8 * 1024;

/// What someone was about to do.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    sign_in: Digest,
    /// The page of the console to come back to.
    way: String,
    /// How they must be signed in for it.
    pub(super) wanted: Option<MfaTerms>,
    typed: Option<Typed>,
}

/// A form as it was sent.
#[derive(Debug, Clone)]
pub(super) enum Typed {
    Ask(AskForm),
    Review(ReviewForm),
}

impl Typed {
    fn len(&self) -> usize {
        match self {
            Self::Ask(form) => form.len(),
            Self::Review(form) => form.len(),
        }
    }
}

impl Errand {
    /// Where to go when it is done: the page, told under which name the errand is kept.
    pub(super) fn onwards(&self, slip: &str) -> String {
        match &self.typed {
            None => self.way.clone(),
            Some(_) if self.way.contains('?') => format!("{}&kept={slip}", self.way),
            Some(_) => format!("{}?kept={slip}", self.way),
        }
    }

    /// Whether something was typed that is kept.
    pub(super) const fn keeps(&self) -> bool {
        self.typed.is_some()
    }

    pub(super) fn ask(self) -> Option<AskForm> {
        match self.typed {
            Some(Typed::Ask(form)) => Some(form),
            _ => None,
        }
    }

    pub(super) fn review(self) -> Option<ReviewForm> {
        match self.typed {
            Some(Typed::Review(form)) => Some(form),
            _ => None,
        }
    }
}

impl Console {
    /// The errand of this name, if it is the visitor's.
    pub(super) fn errand(&self, visitor: &Visitor, slip: &str) -> Option<Errand> {
        let errand = self.0.errands.read(slip, self.0.broker.now())?;
        (errand.sign_in == visitor.session.sign_in()).then_some(errand)
    }

    /// Keeps what the visitor was about to do at `way`; answers the page where they prove a second factor.
    pub(super) fn step_up(
        &self,
        visitor: &Visitor,
        way: String,
        wanted: Option<MfaTerms>,
        typed: Option<Typed>,
    ) -> Result<String, Failure> {
        let errand = Errand {
            sign_in: visitor.session.sign_in(),
            way,
            wanted,
            typed: typed.filter(|typed| typed.len() <= TYPED_MAX),
        };
        let slip = self.0.errands.keep(errand, self.0.broker.now())?;
        Ok(format!("/step-up?to={slip}"))
    }

    /// How the visitor must sign in for what was refused to them, if that can be done here: by a factor that they have.
    pub(super) async fn mend(&self, visitor: &Visitor, problem: &Problem) -> Option<MfaTerms> {
        let wanted = problem.wanted()?;
        let factors = self.factors(visitor, Some(wanted)).await.ok()?;
        factors.any().then(|| wanted.clone())
    }

    /// What the visitor can prove here that is enough for `wanted`.
    pub(super) async fn factors(
        &self,
        visitor: &Visitor,
        wanted: Option<&MfaTerms>,
    ) -> Result<Factors, Failure> {
        let now = self.0.broker.now();
        let enough = |methods: &[&str]| {
            wanted.is_none_or(|wanted| raised(&visitor.actor.assurance, methods, now).satisfies(wanted, now))
        };
        let person = &visitor.actor.person.id;
        Ok(Factors {
            codes: enough(&[CODES]) && self.has_app(person).await?,
            passkeys: self.takes_passkeys(&enough) && self.has_passkey(person).await?,
        })
    }

    /// Whether someone has an authenticator app that counts here.
    pub(super) async fn has_app(&self, person: &PersonId) -> Result<bool, Failure> {
        Ok((self.0.step_ups.is_enrolled(person).await).map_err(Problem::from)?)
    }

    /// Whether there is a page for one's second factors.
    pub(super) fn has_security_page(&self) -> bool {
        self.takes_passkeys(&|_| true)
    }

    /// Whether a passkey would be enough.
    #[cfg(feature = "passkeys")]
    fn takes_passkeys(&self, enough: &dyn Fn(&[&str]) -> bool) -> bool {
        self.0.passkeys.is_some() && enough(&super::passkeys::METHODS)
    }

    #[cfg(not(feature = "passkeys"))]
    fn takes_passkeys(&self, _: &dyn Fn(&[&str]) -> bool) -> bool {
        false
    }

    /// Whether someone can use a passkey here.
    #[cfg(feature = "passkeys")]
    pub(super) async fn has_passkey(&self, person: &PersonId) -> Result<bool, Failure> {
        match &self.0.passkeys {
            Some(passkeys) => Ok(!passkeys.of(person).await?.is_empty()),
            None => Ok(false),
        }
    }

    #[cfg(not(feature = "passkeys"))]
    pub(super) async fn has_passkey(&self, _: &PersonId) -> Result<bool, Failure> {
        Ok(false)
    }
}

/// The method of a code (RFC 8176).
pub(super) const CODES: &str = "otp";

/// The second factors that someone can prove here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Factors {
    /// Codes of an authenticator app.
    pub(super) codes: bool,
    /// Passkeys.
    pub(super) passkeys: bool,
}

impl Factors {
    pub(super) const fn any(self) -> bool {
        self.codes || self.passkeys
    }
}

fn raised(assurance: &Assurance, methods: &[&str], now: Timestamp) -> Assurance {
    let mut raised = assurance.clone();
    raised
        .methods
        .extend(methods.iter().map(|method| (*method).to_owned()));
    raised.authenticated_at = Some(now);
    raised
}

/// Codes, where the app takes none.
#[derive(Debug)]
pub(super) struct NoCodes;

#[async_trait]
impl SecondFactor for NoCodes {
    fn method(&self) -> &'static str {
        CODES
    }

    async fn is_enrolled(&self, _: &PersonId) -> Result<bool, FactorError> {
        Ok(false)
    }

    async fn verify(&self, _: &PersonId, _: &str, _: Timestamp) -> Result<(), FactorError> {
        Err(FactorError::NotEnrolled)
    }
}
