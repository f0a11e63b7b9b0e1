//! Those who are away at the identity provider: what their coming back is checked against.
//!
//! 1. Nothing is kept here of somebody who leaves: their browser keeps it, in one cookie for each sign-in, named after its `state`. However
//!    many leave, none pushes out another. In the cookie are the nonce, the code verifier, when they left, and where they were on the way to
//!    if that is short enough. Where to is what the server knew under the slip; an address never says it.
//! 2. The cookie is encrypted and authenticated (AES-256-GCM-SIV, RFC 8452) under a random key of this process, together with its own name:
//!    it counts for its own `state` alone, and nobody makes, reads or changes one. After a restart people start again.
//! 3. The provider's answer counts in the browser that holds the cookie. `__Host-` keeps sibling domains from setting it, so nobody's sign-in
//!    is finished in another's browser.
//! 4. It counts for [`AWAY_LIFE`], and once: the cookie is taken away with the answer, and the `state` of a sign-in that held is remembered
//!    here until its cookie would be too old anyway. At most [`USED_MAX`] are, the oldest leave first; each has cost somebody a whole sign-in
//!    at the provider. Whoever replays one that was forgotten has to have the cookie as well as the address, so be that browser, and has to
//!    find a provider that takes a code twice (RFC 6749 §4.1.2 forbids it): they gain the session that they were given already.
//! 5. A browser has [`OPEN_MAX`] at most, one for each page that it opened; a new one takes away the oldest.

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::TimeDelta;
use http::HeaderMap;
use jit_auth::oidc::Departure;
use jit_core::gate::hygiene::SIGN_IN_COOKIE;
use jit_core::id::Timestamp;
use serde::{Deserialize, Serialize};

use super::cookies::{cookie, cookies, set_cookie};
use super::failure::Failure;
use super::handoff::Return;
use super::slips::random;

/// How long somebody may take to sign in.
pub(super) const AWAY_LIFE: TimeDelta = TimeDelta::minutes(10);
/// Most sign-ins that one browser has under way.
const OPEN_MAX: usize = 4;
/// Most cookies of ours that are looked at: no browser of ours has more.
const SEEN_MAX: usize = 16;
/// Most sign-ins that are remembered as used.
const USED_MAX: usize = 4096;
/// Longest way that goes into the cookie, in bytes: all of them together must stay small enough for whatever proxy is in front.
const WAY_MAX: usize = 512;
/// The length of a state: 16 bytes in base64url without padding.
const STATE_LEN: usize = 22;

/// Somebody who was sent away to sign in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Away {
    pub(super) departure: Departure,
    left_at: Timestamp,
    /// Where they were on the way to.
    pub(super) to: Option<Way>,
}

/// Where somebody is on the way to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Way {
    /// The name of its slip.
    pub(super) slip: String,
    /// What the slip says, if that is short.
    pub(super) known: Option<Return>,
}

impl Way {
    pub(super) fn new(slip: String, way: Return) -> Self {
        let length = serde_json::to_vec(&way).map_or(usize::MAX, |text| text.len());
        Self {
            slip,
            known: (length <= WAY_MAX).then_some(way),
        }
    }
}

impl Away {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= self.left_at + AWAY_LIFE
    }
}

/// One more who leaves.
pub(super) struct Left {
    /// Names it when the browser comes back.
    pub(super) state: String,
    /// The `Set-Cookie`s that go with it.
    pub(super) cookies: Vec<String>,
}

/// The key of what browsers keep, and what was used of it.
#[derive(Default)]
pub(super) struct Departures {
    key: OnceLock<RandomizedNonceKey>,
    used: Mutex<VecDeque<(String, Timestamp)>>,
}

impl Departures {
    /// Lets somebody leave whose browser sent these headers.
    pub(super) fn leave(
        &self,
        headers: &HeaderMap,
        departure: Departure,
        to: Option<Way>,
        now: Timestamp,
    ) -> Result<Left, Failure> {
        let state = random(16)?;
        let away = Away {
            departure,
            left_at: now,
            to,
        };
        let sealed = self.seal(&state, &away)?;
        let mut cookies: Vec<_> = (self.surplus(headers, now).iter())
            .map(|state| taken_away(state))
            .collect();
        let seconds = AWAY_LIFE.num_seconds();
        let set = set_cookie(&name_of(&state), &sealed);
        cookies.push(format!("{set}; Max-Age={seconds}"));
        Ok(Left { state, cookies })
    }

    /// What the browser that sent these headers left with. Looking at it uses nothing up.
    pub(super) fn find(&self, headers: &HeaderMap, state: &str, now: Timestamp) -> Option<Away> {
        if !is_state(state) {
            return None;
        }
        let away = self.open(state, cookie(headers, &name_of(state))?)?;
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let is_used = used.iter().any(|(used, _)| used == state);
        (!is_used && !away.is_over(now)).then_some(away)
    }

    /// Uses it up, once its answer has held. `false`: it was used before.
    pub(super) fn use_up(&self, state: &str, away: &Away, now: Timestamp) -> bool {
        // Nothing in here can panic half-way.
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.retain(|(_, over_at)| now < *over_at);
        if used.iter().any(|(used, _)| used == state) {
            return false;
        }
        if used.len() >= USED_MAX {
            used.pop_front();
        }
        used.push_back((state.to_owned(), away.left_at + AWAY_LIFE));
        true
    }

    /// What this browser holds and needs no longer, so that one more has room: what can't be opened or is over, then the oldest.
    fn surplus(&self, headers: &HeaderMap, now: Timestamp) -> Vec<String> {
        let prefix = name_of("");
        let (mut surplus, mut open) = (Vec::new(), Vec::new());
        for (state, sealed) in cookies(headers, &prefix).take(SEEN_MAX) {
            if !is_state(state) {
                continue;
            }
            match self.open(state, sealed).filter(|away| !away.is_over(now)) {
                Some(away) => open.push((away.left_at, state.to_owned())),
                None => surplus.push(state.to_owned()),
            }
        }
        open.sort();
        let most = OPEN_MAX - 1;
        surplus.extend(open.into_iter().rev().skip(most).map(|(_, state)| state));
        surplus
    }

    fn key(&self) -> Result<&RandomizedNonceKey, Failure> {
        if let Some(key) = self.key.get() {
            return Ok(key);
        }
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes)?;
        let made = RandomizedNonceKey::new(&AES_256_GCM_SIV, &bytes).map_err(|_| unsealed("no key"))?;
        Ok(self.key.get_or_init(|| made))
    }

    fn seal(&self, state: &str, away: &Away) -> Result<String, Failure> {
        let mut text = serde_json::to_vec(away).map_err(|_| unsealed("not to be written"))?;
        let nonce = self.key()?.seal_in_place_append_tag(bound_to(state), &mut text);
        let nonce = nonce.map_err(|_| unsealed("not sealed"))?;
        Ok(URL_SAFE_NO_PAD.encode([&nonce.as_ref()[..], &text].concat()))
    }

    fn open(&self, state: &str, sealed: &str) -> Option<Away> {
        let sealed = URL_SAFE_NO_PAD.decode(sealed).ok()?;
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        let text = self.key.get()?.open_in_place(nonce, bound_to(state), &mut text);
        serde_json::from_slice(text.ok()?).ok()
    }
}

/// What the seal is over besides what is in it.
fn bound_to(state: &str) -> Aad<String> {
    Aad::from(name_of(state))
}

fn name_of(state: &str) -> String {
    format!("{SIGN_IN_COOKIE}-{state}")
}

fn is_state(text: &str) -> bool {
    text.len() == STATE_LEN
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// The `Set-Cookie` by which a browser forgets that it left.
pub(super) fn taken_away(state: &str) -> String {
    set_cookie(&name_of(state), "")
}

fn unsealed(why: &'static str) -> Failure {
    tracing::error!(why, "what a browser keeps of a sign-in could not be sealed");
    Failure::new(
        http::StatusCode::INTERNAL_SERVER_ERROR,
        "Nobody can sign in at the moment",
        "Try again soon. If it stays, tell whoever runs this server.",
    )
}

impl fmt::Debug for Departures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departures(<redacted>)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use http::header::COOKIE;

    fn at(seconds: i64) -> Timestamp {
        sample::at(0) + TimeDelta::seconds(seconds)
    }

    fn departure(n: usize) -> Departure {
        let text = format!(r#"{{"nonce":"nonce-{n}","verifier":"verifier-{n}","anew":false}}"#);
        serde_json::from_str(&text).unwrap()
    }

    /// A browser that keeps cookies.
    #[derive(Default)]
    struct Jar(Vec<(String, String)>);

    impl Jar {
        fn headers(&self) -> HeaderMap {
            let pairs: Vec<_> = (self.0.iter())
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, pairs.join("; ").parse().unwrap());
            headers
        }

        fn keep(&mut self, set: &str) {
            let (pair, attributes) = set.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.retain(|(known, _)| known != name);
            assert_eq!(value.is_empty(), attributes.contains("Max-Age=0"), "{set}");
            if !value.is_empty() {
                self.0.push((name.to_owned(), value.to_owned()));
            }
        }

        fn leaves(&mut self, departures: &Departures, n: usize, now: Timestamp) -> String {
            let way = Way::new("slip".to_owned(), Return::Console(format!("/requests/{n}")));
            let left = departures.leave(&self.headers(), departure(n), Some(way), now);
            let left = left.unwrap();
            for set in &left.cookies {
                self.keep(set);
            }
            left.state
        }
    }

    #[test]
    fn a_browser_brings_back_what_it_left_with_within_ten_minutes() {
        let (departures, mut jar) = (Departures::default(), Jar::default());
        let state = jar.leaves(&departures, 1, at(0));
        let found = |seconds| departures.find(&jar.headers(), &state, at(seconds));
        let away = found(599).unwrap();
        assert_eq!(away.departure, departure(1));
        assert_eq!(
            away.to.unwrap().known,
            Some(Return::Console("/requests/1".to_owned()))
        );
        assert_eq!(found(600), None, "too late");
        assert_eq!(
            Departures::default().find(&jar.headers(), &state, at(0)),
            None,
            "a restart"
        );
        let cookie = &jar.0.first().unwrap().1;
        let plain = URL_SAFE_NO_PAD.decode(cookie).unwrap();
        assert!(
            !String::from_utf8_lossy(&plain).contains("nonce"),
            "nobody reads it"
        );
    }

    #[test]
    fn a_cookie_counts_for_its_own_state_as_it_is() {
        let (departures, mut jar) = (Departures::default(), Jar::default());
        let (own, other) = (
            jar.leaves(&departures, 1, at(0)),
            jar.leaves(&departures, 2, at(0)),
        );
        let sealed = jar.0.first().unwrap().1.clone();
        assert!(departures.find(&jar.headers(), &own, at(0)).is_some());
        let mut changed = URL_SAFE_NO_PAD.decode(&sealed).unwrap();
        *changed.last_mut().unwrap() ^= 1;
        for (what, state, value) in [
            ("under another's name", &other, sealed.clone()),
            ("changed", &own, URL_SAFE_NO_PAD.encode(changed)),
            ("cut", &own, sealed.chars().take(10).collect()),
            ("nothing", &own, String::new()),
        ] {
            let jar = Jar(vec![(name_of(state), value)]);
            assert_eq!(departures.find(&jar.headers(), state, at(0)), None, "{what}");
        }
        let twice = Jar(vec![(name_of(&own), sealed.clone()), (name_of(&own), sealed)]);
        assert_eq!(departures.find(&twice.headers(), &own, at(0)), None, "twice");
    }

    #[test]
    fn a_sign_in_that_held_is_used_up_and_the_memory_of_it_has_an_end() {
        let (departures, mut jar) = (Departures::default(), Jar::default());
        let state = jar.leaves(&departures, 1, at(0));
        let away = departures.find(&jar.headers(), &state, at(1)).unwrap();
        assert!(departures.use_up(&state, &away, at(1)));
        assert!(!departures.use_up(&state, &away, at(2)), "two answers at once");
        assert_eq!(departures.find(&jar.headers(), &state, at(2)), None);
        for n in 0..2 * USED_MAX {
            departures.use_up(&format!("state {n}"), &away, at(3));
        }
        assert_eq!(departures.used.lock().unwrap().len(), USED_MAX);
        departures.use_up("late", &away, at(600));
        assert_eq!(
            departures.used.lock().unwrap().len(),
            1,
            "what is over is forgotten"
        );
    }

    #[test]
    fn a_browser_has_a_few_under_way_and_a_new_one_takes_the_place_of_the_oldest() {
        let (departures, mut jar) = (Departures::default(), Jar::default());
        jar.0
            .push((name_of(&"x".repeat(STATE_LEN)), "of before a restart".to_owned()));
        jar.0.push((name_of("short"), "of somebody else".to_owned()));
        let mut states = Vec::new();
        for n in 0..OPEN_MAX + 2 {
            states.push(jar.leaves(&departures, n, at(i64::try_from(n).unwrap())));
        }
        let headers = jar.headers();
        let lives = |state: &String| departures.find(&headers, state, at(9)).is_some();
        let lives: Vec<_> = states.iter().map(lives).collect();
        assert_eq!(lives, [false, false, true, true, true, true]);
        assert_eq!(
            jar.0.len(),
            OPEN_MAX + 1,
            "and what nobody can open is taken away"
        );
    }

    #[test]
    fn a_long_way_stays_here_and_the_cookie_small() {
        let (departures, path) = (Departures::default(), "/".repeat(WAY_MAX));
        let way = Way::new("slip".to_owned(), Return::Console(path));
        assert_eq!(way.known, None);
        let headers = HeaderMap::new();
        let left = departures
            .leave(&headers, departure(1), Some(way), at(0))
            .unwrap();
        let [set] = &*left.cookies else {
            panic!("{:?}", left.cookies)
        };
        assert!(set.len() < 1024, "{}", set.len());
        let mut jar = Jar::default();
        jar.keep(set);
        let away = departures.find(&jar.headers(), &left.state, at(0)).unwrap();
        assert_eq!(away.to.unwrap().slip, "slip");
    }
}
