//! Hold: a request that waits for approval, parked until there is one.
//!
//! 1. Only who asks for it is parked: a request with `Prefer: wait=N` (RFC 7240 §4.3), N in seconds, whose sender has a request for the
//!    resource waiting.
//! 2. A parked request takes one of a bounded number of places, and one of a few for each person. It gives them back when it is answered,
//!    and at once when it is dropped. Who finds no place is refused as if nothing had been preferred.
//! 3. It is decided again whenever what its sender holds changes, when a window opens, and when lockdowns change; each time its
//!    sender is authenticated anew and no session from before counts. What is not "still waiting" is the answer.
//! 4. When the time is up the answer is the refusal that it would have been without.
//!
//! A parked request costs its place and the memory of its head. Its body is not read.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::{HeaderMap, HeaderName};
use http::request::Parts;

use crate::gate::refusal::Refusal;
use crate::gate::session::Session;
use crate::gate::{Door, Gate, Verdict};
use crate::id::{PersonId, Timestamp};
use crate::span::Span;

/// The longest that a request is parked.
pub const WAIT_MAX: Span = Span::minutes(1);
/// How many requests of one person are parked at once.
pub const PARKED_EACH: usize = 4;
/// How many requests are parked at once, unless said otherwise.
pub const PARKED: usize = 1024;

/// RFC 7240 §2.
const PREFER: HeaderName = HeaderName::from_static("prefer");

/// How much may be parked, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HoldSettings {
    longest: Span,
    total: usize,
    each: usize,
}

/// [`WAIT_MAX`], [`PARKED`] in all and [`PARKED_EACH`] for one person.
impl Default for HoldSettings {
    fn default() -> Self {
        Self {
            longest: WAIT_MAX,
            total: PARKED,
            each: PARKED_EACH,
        }
    }
}

impl HoldSettings {
    /// Parks nothing for longer than this, however long its sender would wait. More than [`WAIT_MAX`] is taken as that.
    #[must_use]
    pub fn with_longest(mut self, longest: Span) -> Self {
        self.longest = longest.min(WAIT_MAX);
        self
    }

    /// Parks at most so many requests at once, of all people together. With 0 nothing is parked.
    #[must_use]
    pub const fn with_total(mut self, total: usize) -> Self {
        self.total = total;
        self
    }

    /// Parks at most so many requests of one person at once. More than [`PARKED_EACH`] is taken as that.
    #[must_use]
    pub fn with_each(mut self, each: usize) -> Self {
        self.each = each.min(PARKED_EACH);
        self
    }
}

/// The places in which requests are parked.
#[derive(Debug)]
pub(super) struct Hold {
    settings: HoldSettings,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    each: HashMap<PersonId, usize>,
}

impl Hold {
    pub(super) fn new(settings: HoldSettings) -> Self {
        Self {
            settings,
            taken: Mutex::default(),
        }
    }

    /// How long a request with these fields is to be parked, if its sender prefers that at all.
    pub(super) fn preferred(&self, headers: &HeaderMap) -> Option<Duration> {
        let longest = self.settings.longest.as_std();
        Some(Duration::from_secs(preferred_wait(headers)?).min(longest))
    }

    fn enter<'h>(&'h self, person: &'h PersonId) -> Option<Place<'h>> {
        let mut taken = self.taken();
        let own = taken.each.get(person).copied().unwrap_or(0);
        if taken.all >= self.settings.total || own >= self.settings.each {
            return None;
        }
        taken.all = taken.all.saturating_add(1);
        taken.each.insert(person.clone(), own.saturating_add(1));
        Some(Place { hold: self, person })
    }

    pub(super) fn parked(&self) -> usize {
        self.taken().all
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        // Nothing that is done under this lock can end half-way, so a poisoned count is still right.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One place taken, given back when dropped.
#[derive(Debug)]
struct Place<'h> {
    hold: &'h Hold,
    person: &'h PersonId,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.hold.taken();
        taken.all = taken.all.saturating_sub(1);
        match taken.each.get_mut(self.person) {
            Some(own) if *own > 1 => *own -= 1,
            _ => {
                taken.each.remove(self.person);
            }
        }
    }
}

/// The seconds of the first `wait` among the preferences. One that makes no sense is none, as RFC 7240 §2 says of preferences; so is 0.
fn preferred_wait(headers: &HeaderMap) -> Option<u64> {
    let fields = headers.get_all(PREFER).iter();
    let texts = fields.filter_map(|value| value.to_str().ok());
    let mut preferences = texts
        .flat_map(|text| text.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='));
    let (_, value) = preferences.find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))?;
    let value = value.trim();
    let bare = value
        .strip_prefix('"')
        .and_then(|value| value.strip_suffix('"'))
        .unwrap_or(value);
    let digits = bare.bytes().all(|b| b.is_ascii_digit());
    bare.parse().ok().filter(|seconds| digits && *seconds > 0)
}

impl Gate {
    /// Parks the request of `session` for `wait` at most. `pending` is what it is refused with while nothing changes.
    pub(super) async fn park(
        &self,
        door: Door,
        head: &Parts,
        peer: Option<IpAddr>,
        session: &Session,
        wait: Duration,
        mut pending: Refusal,
    ) -> Verdict {
        let (Some(hold), Some(person)) = (&self.inner.hold, &session.person) else {
            return Verdict::Refuse(pending);
        };
        let Some(_place) = hold.enter(&person.id) else {
            return Verdict::Refuse(pending);
        };
        let watch = self.inner.enforcer.watch(&session.subject.principal);
        let waiting = async {
            loop {
                // Taken before the decision: what changes after it was made wakes this up.
                let changed = watch.changed();
                let verified = self.verify_anew(head, peer).await;
                match self.decide_on(door, head, peer, verified.as_ref()).await {
                    Verdict::Refuse(refusal @ Refusal::ApprovalPending { .. }) => pending = refusal,
                    verdict => return verdict,
                }
                let opening = until_open(&pending, self.now());
                tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep(opening.unwrap_or_default()), if opening.is_some() => {}
                }
            }
        };
        match tokio::time::timeout(wait, waiting).await {
            Ok(verdict) => verdict,
            Err(_) => Verdict::Refuse(pending),
        }
    }
}

/// How long until the window of what is approved already opens: nothing is published at that moment.
fn until_open(pending: &Refusal, now: Timestamp) -> Option<Duration> {
    let Refusal::ApprovalPending {
        opens_at: Some(at), ..
    } = pending
    else {
        return None;
    };
    let left = at.signed_duration_since(now).to_std().ok()?;
    // A timer may be a fraction of a millisecond early.
    (!left.is_zero()).then(|| left.saturating_add(Duration::from_millis(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fixtures::{at, seconds};

    #[test]
    fn places_are_bounded_and_given_back() {
        let people: [PersonId; 3] = ["ana", "ben", "cem"].map(|id| id.parse().unwrap());
        let [ana, ben, cem] = &people;
        let hold = Hold::new(HoldSettings::default().with_total(6).with_each(9));
        let mut hers: Vec<_> = (0..4).map(|_| hold.enter(ana).expect("one of four")).collect();
        assert!(hold.enter(ana).is_none(), "a fifth of one person");
        let his: Vec<_> = (0..2).map(|_| hold.enter(ben).expect("a place of all")).collect();
        assert!(hold.enter(cem).is_none(), "one more than there are");
        hers.pop();
        assert!(hold.enter(cem).is_some());
        assert!(hold.enter(ana).is_some());
        drop((hers, his));
        let taken = hold.taken();
        assert_eq!((taken.all, taken.each.len()), (0, 0), "somebody is remembered");
        let none = Hold::new(HoldSettings::default().with_total(0));
        assert!(none.enter(ana).is_none());
    }

    #[test]
    fn a_wait_is_read_as_the_standard_says() {
        for (fields, expected) in [
            (&[][..], None),
            (&["wait=30"], Some(30)),
            (&["respond-async, WAIT = \"10\" ; x=y"], Some(10)),
            (&["return=minimal", "wait=5"], Some(5)),
            (&["wait=5, wait=50"], Some(5)),
            (&["wait=x, wait=50"], None),
            (&["wait"], None),
            (&["wait="], None),
            (&["wait=0"], None),
            (&["wait=+5"], None),
            (&["wait=-1"], None),
            (&["wait=1.5"], None),
            (&["await=5"], None),
            (&["wait=99999999999999999999999"], None),
        ] {
            let mut headers = HeaderMap::new();
            for value in fields {
                headers.append(PREFER, value.parse().unwrap());
            }
            assert_eq!(preferred_wait(&headers), expected, "{fields:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(PREFER, "wait=3600".parse().unwrap());
        let hold = |settings| Hold::new(settings).preferred(&headers);
        assert_eq!(hold(HoldSettings::default()), Some(Duration::from_secs(60)));
        let longer = HoldSettings::default().with_longest(seconds(600));
        assert_eq!(hold(longer), Some(Duration::from_secs(60)));
        let shorter = HoldSettings::default().with_longest(seconds(5));
        assert_eq!(hold(shorter), Some(Duration::from_secs(5)));
    }

    #[test]
    fn a_window_that_opens_is_waited_for_and_one_that_should_be_open_is_not() {
        let pending = |opens_at| Refusal::ApprovalPending {
            resource: "admin".parse().unwrap(),
            request: crate::id::RequestId::from_u128(1),
            opens_at,
        };
        assert_eq!(until_open(&pending(None), at(0)), None);
        assert_eq!(
            until_open(&pending(Some(at(5))), at(0)),
            Some(Duration::from_millis(5001))
        );
        assert_eq!(until_open(&pending(Some(at(5))), at(5)), None);
        assert_eq!(until_open(&pending(Some(at(5))), at(6)), None);
        assert_eq!(until_open(&Refusal::LockedDown, at(0)), None);
    }
}
