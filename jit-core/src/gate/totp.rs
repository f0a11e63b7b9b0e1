//! Codes of authenticator apps (TOTP, RFC 6238): six digits, a new code every 30 seconds, HMAC-SHA-1, as every app makes them.
//!
//! 1. The code of this half minute counts, and those of the one before and after it: clocks differ, and people type slowly.
//! 2. A code counts once, and none older than it counts after it (RFC 6238 §5.2): whoever looks over a shoulder gains nothing.
//! 3. A secret is the people file's, as it is now: [`PeopleFile::replace`] takes a person's app out of use at once.
//!
//! # Caveats
//! Which codes were used is known to this process alone. Another node, or this one after a restart, takes a code again for as long as it
//! is good, a minute and a half; whoever wants to use that needs the person's credential as well.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use dashmap::{DashMap, Entry};
use totp_rs::{Algorithm, Builder};

use crate::broker::people::{PeopleFile, TotpSecret};
use crate::gate::step_up::{FactorError, SecondFactor};
use crate::id::{PersonId, Timestamp};

/// How many digits a code has.
pub const DIGITS: u8 = 6;
/// How long a code is shown, in seconds.
pub const PERIOD: u64 = 30;
/// How many periods before and after the present one count.
const SKEW: u16 = 1;

/// A [`SecondFactor`]: the codes that the people file's secrets make.
pub struct Totp {
    people: Arc<PeopleFile>,
    /// The period of the newest code that each person has used.
    used: DashMap<PersonId, u64>,
}

impl Totp {
    /// For everyone who has a secret in this file.
    pub fn new(people: Arc<PeopleFile>) -> Self {
        Self {
            people,
            used: DashMap::new(),
        }
    }
}

impl fmt::Debug for Totp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Totp").finish_non_exhaustive()
    }
}

#[async_trait]
impl SecondFactor for Totp {
    fn method(&self) -> &'static str {
        "otp"
    }

    async fn is_enrolled(&self, person: &PersonId) -> Result<bool, FactorError> {
        Ok(self.people.totp_secret(person).is_some())
    }

    async fn verify(&self, person: &PersonId, proof: &str, now: Timestamp) -> Result<(), FactorError> {
        let secret = self.people.totp_secret(person).ok_or(FactorError::NotEnrolled)?;
        let period = period_of(&secret, proof, now).ok_or(FactorError::Wrong)?;
        match self.used.entry(person.clone()) {
            Entry::Occupied(newest) if period <= *newest.get() => Err(FactorError::Wrong),
            entry => {
                entry.insert(period);
                Ok(())
            }
        }
    }
}

/// The period whose code this is, near `now`. Compared in constant time.
fn period_of(secret: &TotpSecret, code: &str, now: Timestamp) -> Option<u64> {
    let digits = code.len() == usize::from(DIGITS) && code.bytes().all(|b| b.is_ascii_digit());
    let now = u64::try_from(now.timestamp()).ok()?;
    let totp = Builder::new()
        .with_algorithm(Algorithm::SHA1)
        .with_digits(DIGITS)
        .with_step_duration(PERIOD)
        .with_skew(SKEW)
        .with_secret(secret.bytes().to_vec())
        .build()
        .ok()
        .filter(|_| digits)?;
    totp.check(code, now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Format;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(seconds, 0).unwrap()
    }

    /// RFC 6238 appendix B, SHA-1: the last six of its eight digits.
    const VECTORS: [(i64, &str); 6] = [
        (59, "287082"),
        (1_111_111_109, "081804"),
        (1_111_111_111, "050471"),
        (1_234_567_890, "005924"),
        (2_000_000_000, "279037"),
        (20_000_000_000, "353130"),
    ];

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        let secret = TotpSecret::new(b"12345678901234567890");
        for (time, code) in VECTORS {
            assert_eq!(
                period_of(&secret, code, at(time)),
                Some(time as u64 / 30),
                "{time}"
            );
        }
    }

    #[test]
    fn a_code_counts_a_period_before_and_after_its_own() {
        let secret = TotpSecret::new(b"12345678901234567890");
        let (time, code) = (1_111_111_111, "050471");
        let begins = time - time % 30;
        for (now, good) in [
            (begins - 31, false),
            (begins - 30, true),
            (begins, true),
            (begins + 59, true),
            (begins + 60, false),
            (-1, false),
        ] {
            assert_eq!(period_of(&secret, code, at(now)).is_some(), good, "{now}");
        }
        for odd in [
            "",
            "50471",
            "0050471",
            "050 471",
            "+50471",
            "05047\u{0661}",
            "050471\n",
            "\u{ff10}50471",
        ] {
            assert_eq!(period_of(&secret, odd, at(time)), None, "{odd:?}");
        }
    }

    #[tokio::test]
    async fn a_code_is_used_once_and_makes_older_ones_worthless() {
        let people = PeopleFile::parse(
            "[[people]]\nname = 'ana'\ntotp_secret = 'JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP'\n[[people]]\nname = 'bo'\n",
            Format::Toml,
            "people.toml",
        )
        .unwrap();
        let ana: PersonId = "ana".parse().unwrap();
        let bo: PersonId = "bo".parse().unwrap();
        let secret = people.totp_secret(&ana).unwrap();
        let code = |seconds: u64| {
            let totp = Builder::new()
                .with_secret(secret.bytes().to_vec())
                .build()
                .unwrap();
            totp.generate(seconds).to_string()
        };
        let totp = Totp::new(Arc::new(people));
        let now = 1_800_000_000;
        let told = |outcome| match outcome {
            Ok(()) => "right",
            Err(FactorError::Wrong) => "wrong",
            Err(FactorError::NotEnrolled) => "not enrolled",
            Err(other) => panic!("{other}"),
        };
        for (who, of, expected) in [
            (&bo, now, "not enrolled"),
            (&ana, now - 30, "right"),
            (&ana, now - 30, "wrong"),
            (&ana, now, "right"),
            (&ana, now, "wrong"),
            (&ana, now - 30, "wrong"),
            (&ana, now + 30, "right"),
            (&ana, now, "wrong"),
        ] {
            let outcome = totp.verify(who, &code(of), at(now as i64)).await;
            assert_eq!(told(outcome), expected, "{who} {of}");
        }
        let disabled =
            "[[people]]\nname = 'ana'\ndisabled = true\ntotp_secret = 'JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP'\n";
        totp.people
            .replace(PeopleFile::parse(disabled, Format::Toml, "people.toml").unwrap());
        let outcome = totp.verify(&ana, &code(now + 60), at(now as i64 + 60)).await;
        assert_eq!(told(outcome), "not enrolled");
    }
}
