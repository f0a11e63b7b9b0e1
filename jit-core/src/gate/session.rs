//! The verified-session cache: who was behind a credential when it was last verified.
//!
//! 1. The key is the credential's place in the request, who reads it, and a keyed hash of its bytes ([`mark`](crate::gate::mark)):
//!    verification depends on nothing else. Of several credentials in one request the key holds all.
//! 2. A session lives until its credential ends, at most 60 s. Whatever the authenticator that proved it revokes is refused before that.
//! 3. A thread that sees a user often keeps a copy of their session ([`local`](crate::gate::local)), which ends with the session: two
//!    cores that serve one user share nothing that either writes. With a session goes what its user holds
//!    ([`Standing`](crate::gate::enforcer::Standing)), which counts while that is the same.
//! 4. Only what was proven gets in: a stranger can't fill the cache. When it is full of sessions that are still good, further
//!    ones are verified on every request. Those of several credentials fill half of it at most: one good credential goes with any number
//!    of others that prove nothing.

use std::cell::RefCell;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::sync::Arc;

use chrono::TimeDelta;

use crate::approval::ask::Assurance;
use crate::broker::directory::Person;
use crate::gate::authenticate::{CredentialSource, Subject};
use crate::gate::authenticators::Proof;
use crate::gate::enforcer::Standing;
use crate::gate::local::{self, Local, Wanted};
use crate::gate::mark::{Mark, Marks};
use crate::gate::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use crate::gate::sync::dashmap::DashMap;
use crate::gate::sync::thread_local;
use crate::id::{Digest, Timestamp};

/// The longest that a session is used without being verified again.
pub const SESSION_MAX: TimeDelta = TimeDelta::seconds(60);
/// The longest that "the Directory knows nobody of that name" is believed.
const NOBODY_MAX: TimeDelta = TimeDelta::seconds(5);
/// How long a full cache waits before it looks for ended sessions again, in milliseconds.
const EVICTION_PAUSE: i64 = 1000;

/// Everything that verification depended on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct SessionKey {
    /// Where the credential stood, or the first of several.
    pub(in crate::gate) source: CredentialSource,
    /// Who read any: one bit for each authenticator.
    pub(in crate::gate) readers: u64,
    /// Whether `credential` is over several.
    pub(in crate::gate) several: bool,
    pub(in crate::gate) credential: Mark,
}

impl Hash for SessionKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.credential.hash());
    }
}

/// Takes the one number that a [`SessionKey`] hashes to as it is: a part of a mark is as good as random, whoever chose the credential.
#[derive(Debug, Clone, Copy, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn write(&mut self, bytes: &[u8]) {
        // Nothing that is kept here hashes bytes.
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, n: u64) {
        self.0 = n;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Someone proven, and the person that the Directory said they are.
#[derive(Debug)]
pub(in crate::gate) struct Session {
    key: SessionKey,
    pub(in crate::gate) subject: Arc<Subject>,
    /// The enforcer's hash of the subject's principal.
    pub(in crate::gate) hash: u64,
    /// `None`: nobody that the Directory knows, or disabled.
    pub(in crate::gate) person: Option<Person>,
    /// What proved it.
    pub(in crate::gate) proof: Proof,
    /// What they held when that was last looked up.
    pub(in crate::gate) standing: Option<Standing>,
    ends: Timestamp,
    /// What it was before a second factor raised it.
    base: Option<Arc<Self>>,
}

impl Session {
    /// Verified at `now`. `None` when the credential has ended.
    pub(in crate::gate) fn new(
        key: SessionKey,
        subject: Subject,
        hash: u64,
        proof: Proof,
        person: Option<Person>,
        now: Timestamp,
    ) -> Option<Self> {
        let person = person.filter(|person| !person.disabled);
        let longest = if person.is_some() { SESSION_MAX } else { NOBODY_MAX };
        let longest = now.checked_add_signed(longest).unwrap_or(now);
        let ends = subject.expires_at.map_or(longest, |end| end.min(longest));
        (now < ends).then(|| Self {
            key,
            subject: Arc::new(subject),
            hash,
            person,
            proof,
            standing: None,
            ends,
            base: None,
        })
    }

    /// The same, raised by a second factor for as long as that counts.
    pub(in crate::gate) fn raised(self: &Arc<Self>, assurance: Assurance) -> Self {
        Self {
            base: Some(Arc::clone(self)),
            ..self.with_assurance(assurance)
        }
    }

    /// What the credential proves by itself.
    pub(in crate::gate) fn base(self: &Arc<Self>) -> &Arc<Self> {
        self.base.as_ref().unwrap_or(self)
    }

    fn with_assurance(&self, assurance: Assurance) -> Self {
        Self {
            subject: Arc::new(Subject {
                assurance,
                ..Subject::clone(&self.subject)
            }),
            ..self.with_standing(self.standing.clone())
        }
    }

    fn with_standing(&self, standing: Option<Standing>) -> Self {
        Self {
            key: self.key,
            subject: Arc::clone(&self.subject),
            hash: self.hash,
            person: self.person.clone(),
            proof: self.proof,
            standing,
            ends: self.ends,
            base: None,
        }
    }

    pub(in crate::gate) fn is_good(&self, now: Timestamp) -> bool {
        now < self.ends
    }

    /// The same, in memory of its own.
    fn copy(&self) -> Self {
        Self {
            subject: Arc::new(Subject::clone(&self.subject)),
            ..self.with_standing(self.standing.as_ref().map(Standing::copy))
        }
    }
}

thread_local! {
    static COPIES: RefCell<Local<SessionKey, Arc<Session>>> = const { RefCell::new(Local::new()) };
}

/// A session, and the epoch in which its verification began: it counts in no other.
#[derive(Debug)]
struct Entry {
    epoch: u64,
    session: Arc<Session>,
}

/// The sessions of one gate.
#[derive(Debug)]
pub(in crate::gate) struct Sessions {
    sessions: DashMap<SessionKey, Entry, BuildHasherDefault<AsItIs>>,
    marks: Marks,
    owner: u64,
    limit: usize,
    /// Counts the calls of [`Sessions::clear`].
    epoch: AtomicU64,
    /// Counted up after every removal that a copy must not outlive.
    version: AtomicU64,
    evicted: AtomicI64,
}

impl Sessions {
    pub(in crate::gate) fn new(limit: usize) -> Self {
        Self {
            sessions: DashMap::default(),
            marks: Marks::new(),
            owner: local::owner(),
            limit,
            epoch: AtomicU64::new(0),
            version: AtomicU64::new(0),
            evicted: AtomicI64::new(i64::MIN),
        }
    }

    /// What this gate's session keys are made with.
    pub(in crate::gate) const fn marks(&self) -> &Marks {
        &self.marks
    }

    /// The key of a credential that is bound to a grant. No authenticator reads it.
    pub(in crate::gate) fn bearer(&self, credential: &Digest) -> SessionKey {
        SessionKey {
            source: CredentialSource::Grant,
            readers: 0,
            several: false,
            credential: self.marks.of(credential.as_bytes()),
        }
    }

    pub(in crate::gate) fn get(&self, key: &SessionKey, now: Timestamp) -> Option<Arc<Session>> {
        let wanted = self.wanted(key);
        let copy = local::with_copy(&COPIES, &wanted, |session: &Arc<Session>| {
            session.is_good(now).then(|| Arc::clone(session))
        });
        if let Some(Some(session)) = copy {
            return Some(session);
        }
        let session = {
            let entry = self.sessions.get(key)?;
            let good = entry.epoch == self.epoch() && entry.session.is_good(now);
            good.then(|| Arc::clone(&entry.session))?
        };
        local::keep(&COPIES, &wanted, || Some(Arc::new(session.copy())));
        Some(session)
    }

    fn wanted<'k>(&self, key: &'k SessionKey) -> Wanted<'k, SessionKey> {
        Wanted {
            owner: self.owner,
            hash: key.credential.hash(),
            key,
            version: self.version.load(Ordering::Acquire),
        }
    }

    /// Keeps what a session's user holds with it: with this thread's copy, or with the session that all threads share, whichever it is.
    pub(in crate::gate) fn stand(&self, session: &Arc<Session>, standing: Standing) {
        let own = local::with_copy_mut(&COPIES, &self.wanted(&session.key), |kept| {
            let same = Arc::ptr_eq(kept, session);
            if same {
                *kept = Arc::new(session.with_standing(Some(standing.copy())));
            }
            same
        });
        if own != Some(true)
            && let Some(mut entry) = self.sessions.get_mut(&session.key)
            && Arc::ptr_eq(&entry.session, session)
        {
            entry.session = Arc::new(session.with_standing(Some(standing)));
        }
    }

    /// To be read before a verification starts, and given back with its outcome.
    pub(in crate::gate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Keeps a session, unless the cache was cleared since `epoch` or is full.
    pub(in crate::gate) fn put(&self, epoch: u64, key: SessionKey, session: Arc<Session>, now: Timestamp) {
        let limit = if key.several { self.limit / 2 } else { self.limit };
        if self.sessions.len() >= limit {
            self.evict(now);
            if self.sessions.len() >= limit {
                return;
            }
        }
        // Counts for nothing, should the cache be cleared meanwhile.
        if self.epoch() == epoch {
            self.sessions.insert(key, Entry { epoch, session });
        }
    }

    fn evict(&self, now: Timestamp) {
        let at = now.timestamp_millis();
        let last = self.evicted.load(Ordering::Relaxed);
        let due = last == i64::MIN || at.saturating_sub(last) >= EVICTION_PAUSE;
        let swap = |last, at| {
            self.evicted
                .compare_exchange(last, at, Ordering::Relaxed, Ordering::Relaxed)
        };
        if due && swap(last, at).is_ok() {
            let epoch = self.epoch();
            self.sessions
                .retain(|_, entry| entry.epoch == epoch && entry.session.is_good(now));
        }
    }

    pub(in crate::gate) fn forget(&self, key: &SessionKey) {
        self.sessions.remove(key);
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(in crate::gate) fn clear(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.sessions.clear();
        self.version.fetch_add(1, Ordering::AcqRel);
    }

    pub(in crate::gate) fn len(&self) -> usize {
        self.sessions.len()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::gate::fixtures::{ANA, at, person, subject};

    const PROOF: Proof = Proof {
        by: 0,
        source: CredentialSource::Authorization,
        credential: Digest::ZERO,
        revocations: None,
    };

    /// Of one gate: its marks are the same in every test.
    fn key(n: u8) -> SessionKey {
        static MARKS: LazyLock<Marks> = LazyLock::new(Marks::new);
        SessionKey {
            source: CredentialSource::Authorization,
            readers: 1,
            several: false,
            credential: MARKS.of(&[n]),
        }
    }

    fn session(now: i64) -> Arc<Session> {
        Arc::new(Session::new(key(0), subject(ANA), 0, PROOF, Some(person("ana")), at(now)).unwrap())
    }

    #[test]
    fn a_session_ends_with_its_credential_and_after_a_minute_at_most() {
        let mut disabled = person("ana");
        disabled.disabled = true;
        for (expires, person, last, first_out) in [
            (None, Some(person("ana")), 59, 60),
            (Some(at(10)), Some(person("ana")), 9, 10),
            (Some(at(1000)), Some(person("ana")), 59, 60),
            (None, None, 4, 5),
            (None, Some(disabled), 4, 5),
        ] {
            let subject = Subject {
                expires_at: expires,
                ..subject(ANA)
            };
            let session = Session::new(key(0), subject, 0, PROOF, person, at(0)).unwrap();
            assert!(
                session.is_good(at(last)) && !session.is_good(at(first_out)),
                "{session:?}"
            );
        }
        let ended = Subject {
            expires_at: Some(at(0)),
            ..subject(ANA)
        };
        assert!(Session::new(key(0), ended, 0, PROOF, Some(person("ana")), at(0)).is_none());
    }

    #[test]
    fn the_same_bytes_elsewhere_are_another_credential() {
        let sessions = Sessions::new(10);
        sessions.put(0, key(1), session(0), at(0));
        assert!(sessions.get(&key(1), at(1)).is_some());
        for other in [
            SessionKey {
                source: CredentialSource::Cookie,
                ..key(1)
            },
            SessionKey { readers: 2, ..key(1) },
            SessionKey {
                several: true,
                ..key(1)
            },
        ] {
            assert!(sessions.get(&other, at(1)).is_none(), "{other:?}");
        }
    }

    #[test]
    fn a_full_cache_gives_up_only_what_has_ended() {
        let sessions = Sessions::new(2);
        for n in 1..=3 {
            sessions.put(0, key(n), session(0), at(0));
        }
        assert!(sessions.get(&key(3), at(1)).is_none());
        sessions.put(0, key(4), session(61), at(61));
        assert_eq!(sessions.len(), 1);
        assert!(sessions.get(&key(4), at(61)).is_some());
    }

    #[test]
    fn one_credential_among_many_others_fills_half_the_cache_at_most() {
        let sessions = Sessions::new(8);
        for n in 0..8 {
            let several = SessionKey {
                several: true,
                ..key(n)
            };
            sessions.put(0, several, session(0), at(0));
        }
        assert_eq!(sessions.len(), 4);
        sessions.put(0, key(9), session(0), at(0));
        assert!(sessions.get(&key(9), at(1)).is_some(), "there is room for others");
    }

    #[test]
    fn what_was_verified_before_a_clear_is_not_kept_after_it() {
        let sessions = Sessions::new(10);
        let epoch = sessions.epoch();
        sessions.clear();
        sessions.put(epoch, key(1), session(0), at(0));
        assert!(sessions.get(&key(1), at(1)).is_none());
    }

    #[test]
    fn a_session_of_another_epoch_counts_for_nothing() {
        let sessions = Sessions::new(10);
        sessions.clear();
        let stale = Entry {
            epoch: 0,
            session: session(0),
        };
        sessions.sessions.insert(key(1), stale);
        assert!(sessions.get(&key(1), at(1)).is_none());
    }

    #[test]
    fn a_thread_keeps_its_own_copy_until_the_session_goes() {
        for by in ["forget", "clear"] {
            let sessions = Sessions::new(10);
            sessions.put(0, key(1), session(0), at(0));
            let got = || sessions.get(&key(1), at(1)).map(|session| Arc::as_ptr(&session));
            let (first, second, third, fourth) = (got(), got(), got(), got());
            assert!(first.is_some() && first == second, "shared until it comes again");
            assert!(third != first && third == fourth, "its own from then on");
            match by {
                "forget" => sessions.forget(&key(1)),
                _ => sessions.clear(),
            }
            assert_eq!(got(), None, "{by}");
        }
        let sessions = Sessions::new(10);
        sessions.put(0, key(1), session(0), at(0));
        for _ in 0..4 {
            assert!(sessions.get(&key(1), at(59)).is_some());
        }
        assert!(sessions.get(&key(1), at(60)).is_none());
    }
}
