//! Sessions of browsers: who is signed in, at the console and at the guarded origins.
//!
//! 1. A session is known by the SHA-256 of the 256 random bits in its cookie, and only for the place that it was made for: the
//!    console's session opens nothing guarded, and a guarded origin's nothing at the console or at another guarded origin, whose
//!    application may be another's. The host, with its port, is hashed with the cookie.
//! 2. It ends [`IDLE`] after its last use, [`LIFE`] after the sign-in, or when the sign-in that it belongs to is ended. At a guarded origin
//!    its uses are counted when the gate verifies it again, which is within a minute. What an open page asks for by itself is no use
//!    ([`Sessions::look`]).
//! 3. A person has [`EACH_MAX`] at most: one more ends the one that was not used for longest.
//! 4. A second factor that is proven in it makes it stronger for a while ([`Sessions::raise`]), under a new cookie. Sessions that are
//!    carried to a guarded origin from then on have that too; those that are there already have not.
//! 5. When its person's passkeys are cleared, all their sign-ins are ended: somebody else may have proven something in them ([`Proofs`]).
//! 6. [`Session::token`] binds a form to the session and to what the form is about.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use chrono::TimeDelta;
use jit_core::approval::ask::Assurance;
use jit_core::broker::passkeys::Proofs;
use jit_core::gate::authenticate::Subject;
use jit_core::id::{Digest, PersonId, Timestamp};
use tokio::sync::watch;

use super::handoff::Return;
use super::slips::random;

/// How long a session lives without being used.
pub(super) const IDLE: TimeDelta = TimeDelta::minutes(30);
/// How long a session lives at most.
pub(super) const LIFE: TimeDelta = TimeDelta::hours(12);
/// Most sessions of one person, at all places.
const EACH_MAX: usize = 20;
/// Most ways back that one session keeps.
const RETURNS_MAX: usize = 32;
/// The length of a session's cookie: 32 bytes in base64url without padding (RFC 4648 §5).
pub(super) const COOKIE_LEN: usize = 43;

/// Where a session counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// At the console.
    Console,
    /// At guarded origins.
    Guarded,
}

/// A second factor that was proven in a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proof {
    /// The methods (RFC 8176).
    pub(super) methods: Vec<&'static str>,
    pub(super) at: Timestamp,
    /// The first moment at which it counts no more.
    pub(super) until: Timestamp,
}

/// Who is signed in.
#[derive(Debug, Clone)]
pub(super) struct Session {
    /// With all that counted when the session was found.
    pub(super) subject: Subject,
    /// As the sign-in was, without what was proven since.
    signed_in: Assurance,
    /// What was proven since.
    proofs: Vec<Proof>,
    place: Place,
    /// The same for all sessions that came from one sign-in.
    sign_in: Digest,
    /// Whose it is, as the Directory said last. `None`: it was not asked yet.
    person: Option<PersonId>,
    /// What forms are bound to the session with.
    secret: Digest,
    used_at: Timestamp,
    ends_at: Timestamp,
    /// Where its person came from, the latest last.
    returns: VecDeque<(String, Arc<Return>)>,
}

impl Session {
    /// Where its person came from, by the name of the slip.
    pub(super) fn way_back(&self, name: &str) -> Option<&Return> {
        let mut returns = self.returns.iter();
        returns.find(|(known, _)| known == name).map(|(_, way)| &**way)
    }

    /// What a form must carry that does `action` to `what`.
    pub(super) fn token(&self, action: &str, what: &str) -> Digest {
        let secret = self.secret.to_string();
        Digest::of([secret.as_bytes(), action.as_bytes(), what.as_bytes()])
    }

    /// Whether a form carries what it must.
    pub(super) fn expects(&self, token: &str, action: &str, what: &str) -> bool {
        // Hashed on both sides, so that how long it takes to compare them says nothing.
        let expected = self.token(action, what).to_string();
        Digest::plain(token.as_bytes()) == Digest::plain(expected.as_bytes())
    }

    /// Names the sign-in, without opening anything.
    pub(super) const fn sign_in(&self) -> Digest {
        self.sign_in
    }

    /// How long it lives from `now` on, unless it is used or ended.
    pub(super) fn left(&self, now: Timestamp) -> Duration {
        let end = self.ends_at.min(self.used_at + IDLE);
        end.signed_duration_since(now).to_std().unwrap_or_default()
    }

    /// What was proven since the sign-in and still counts.
    pub(super) fn proofs(&self, now: Timestamp) -> impl Iterator<Item = &Proof> {
        self.proofs.iter().filter(move |proof| now < proof.until)
    }

    /// How the person is signed in at `now`, with what they proved since. That only ever adds.
    fn assurance(&self, now: Timestamp) -> Assurance {
        let mut assurance = self.signed_in.clone();
        for proof in self.proofs(now) {
            for method in &proof.methods {
                if !assurance.methods.iter().any(|known| known == method) {
                    assurance.methods.push((*method).to_owned());
                }
            }
            assurance.authenticated_at = assurance.authenticated_at.max(Some(proof.at));
        }
        assurance
    }

    fn is_live(&self, now: Timestamp) -> bool {
        now < self.ends_at && now.signed_duration_since(self.used_at) < IDLE
    }
}

/// What a new session begins with.
struct Begun {
    subject: Subject,
    proofs: Vec<Proof>,
    sign_in: Digest,
    person: Option<PersonId>,
    ends_at: Timestamp,
}

/// Every session there is.
#[derive(Default)]
pub(super) struct Sessions {
    all: Mutex<HashMap<Digest, Session>>,
    /// Those of guarded origins: a gate asks at every request whether one of them was ended, and waits for nobody to learn it.
    guarded: ArcSwap<HashSet<Digest>>,
    /// Moves when any was ended.
    ended: watch::Sender<()>,
}

impl Sessions {
    /// Signs somebody in at the console, as they were proven; answers the cookie's value. How long the proof itself lasts is not asked:
    /// the session has an end of its own.
    pub(super) fn sign_in(&self, subject: Subject, now: Timestamp) -> Result<String, getrandom::Error> {
        let ends_at = now + LIFE;
        let sign_in = Digest::plain(random(32)?.as_bytes());
        let subject = Subject {
            expires_at: Some(ends_at),
            ..subject
        };
        let begun = Begun {
            subject,
            proofs: Vec::new(),
            sign_in,
            person: None,
            ends_at,
        };
        self.begin(&mut self.lock(), begun, None, now)
    }

    /// Carries a console's session to the guarded origin of this host; answers the cookie's value there. `None` when it has ended meanwhile.
    pub(super) fn carry(
        &self,
        session: &Session,
        host: &str,
        now: Timestamp,
    ) -> Result<Option<String>, getrandom::Error> {
        // One lock for both: whoever signs out in between would leave a session behind.
        let mut sessions = self.lock();
        let lives = sessions.values().any(|other| other.sign_in == session.sign_in);
        if !lives || !session.is_live(now) {
            return Ok(None);
        }
        let mut subject = session.subject.clone();
        // What was proven since the sign-in ends there when it ends here.
        subject.assurance = session.signed_in.clone();
        let begun = Begun {
            subject,
            proofs: session.proofs.clone(),
            sign_in: session.sign_in,
            person: session.person.clone(),
            ends_at: session.ends_at,
        };
        self.begin(&mut sessions, begun, Some(host), now).map(Some)
    }

    /// Adds `proof` to the console's session of `cookie`; answers its new cookie. The one before opens nothing any more, nor does a form
    /// that was made under it count: whoever has read them gains nothing by what the person proves. `None` when the session has ended
    /// meanwhile.
    pub(super) fn raise(
        &self,
        cookie: &str,
        proof: Proof,
        now: Timestamp,
    ) -> Result<Option<String>, getrandom::Error> {
        let (fresh, secret) = (random(32)?, Digest::plain(random(32)?.as_bytes()));
        let mut sessions = self.lock();
        let old = Digest::plain(cookie.as_bytes());
        let counts = |session: &Session| session.place == Place::Console && session.is_live(now);
        let Some(mut session) = sessions.get(&old).filter(|session| counts(session)).cloned() else {
            return Ok(None);
        };
        session
            .proofs
            .retain(|known| now < known.until && known.methods != proof.methods);
        session.proofs.push(proof);
        session.secret = secret;
        sessions.remove(&old);
        sessions.insert(Digest::plain(fresh.as_bytes()), session);
        Ok(Some(fresh))
    }

    /// The session of this credential at `place`, which is thereby used. At the console that is the cookie, elsewhere [`bound`].
    pub(super) fn find(&self, credential: impl AsRef<[u8]>, place: Place, now: Timestamp) -> Option<Session> {
        self.at(credential.as_ref(), place, now, true)
    }

    /// As [`Sessions::find`], without using it: for what no person asks for.
    pub(super) fn look(&self, credential: impl AsRef<[u8]>, place: Place, now: Timestamp) -> Option<Session> {
        self.at(credential.as_ref(), place, now, false)
    }

    fn at(&self, credential: &[u8], place: Place, now: Timestamp, uses: bool) -> Option<Session> {
        let mut sessions = self.lock();
        let session = sessions.get_mut(&Digest::plain(credential))?;
        if session.place != place || !session.is_live(now) {
            return None;
        }
        if uses {
            session.used_at = session.used_at.max(now);
        }
        let mut session = session.clone();
        session.subject.assurance = session.assurance(now);
        Some(session)
    }

    /// Notes whose the console's session of this cookie is.
    pub(super) fn belongs(&self, cookie: &str, session: &mut Session, person: &PersonId) {
        if session.person.as_ref() == Some(person) {
            return;
        }
        session.person = Some(person.clone());
        if let Some(kept) = self.lock().get_mut(&Digest::plain(cookie.as_bytes())) {
            kept.person.clone_from(&session.person);
        }
    }

    /// Waits until there is no session of this cookie any more. That one lies idle for too long or is too old wakes nobody.
    pub(super) async fn ended(&self, cookie: &str) {
        let key = Digest::plain(cookie.as_bytes());
        let mut ended = self.ended.subscribe();
        while self.has(&key) {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }

    /// Whether there is such a session at a guarded origin. Never waits.
    pub(super) fn is_guarded(&self, key: &Digest) -> bool {
        self.guarded.load().contains(key)
    }

    /// Whether somebody is still signed in at the console by the sign-in that this session is of, under whichever cookie.
    #[cfg(feature = "passkeys")]
    pub(super) fn has_not_ended(&self, session: &Session) -> bool {
        let same = |other: &Session| other.place == Place::Console && other.sign_in == session.sign_in;
        self.lock().values().any(same)
    }

    fn has(&self, key: &Digest) -> bool {
        self.lock().contains_key(key)
    }

    /// Keeps where the person came from for as long as the session lives.
    pub(super) fn remember(&self, cookie: &str, name: &str, way: Return) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.get_mut(&Digest::plain(cookie.as_bytes()))
            && session.way_back(name).is_none()
        {
            if session.returns.len() >= RETURNS_MAX {
                session.returns.pop_front();
            }
            session.returns.push_back((name.to_owned(), Arc::new(way)));
        }
    }

    /// Ends every session that came from the sign-in that this cookie of the console's is of, whether it is used or lies idle.
    pub(super) fn end(&self, cookie: &str) {
        let mut sessions = self.lock();
        let before = sessions.get(&Digest::plain(cookie.as_bytes()));
        if let Some(sign_in) = before.map(|before| before.sign_in) {
            sessions.retain(|_, other| other.sign_in != sign_in);
            self.publish(&sessions);
            self.ended.send_replace(());
        }
    }

    fn begin(
        &self,
        sessions: &mut HashMap<Digest, Session>,
        begun: Begun,
        host: Option<&str>,
        now: Timestamp,
    ) -> Result<String, getrandom::Error> {
        let cookie = random(32)?;
        let (place, key) = match host {
            None => (Place::Console, Digest::plain(cookie.as_bytes())),
            Some(host) => (Place::Guarded, Digest::plain(&bound(&cookie, host))),
        };
        let secret = Digest::plain(random(32)?.as_bytes());
        // One that lies idle stays while another of the same sign-in is used: whoever signs in next in that browser ends them all.
        let used: HashSet<Digest> = (sessions.values().filter(|session| session.is_live(now)))
            .map(|session| session.sign_in)
            .collect();
        sessions.retain(|_, session| used.contains(&session.sign_in));
        let own = || {
            let all = sessions.iter();
            all.filter(|(_, session)| session.subject.principal == begun.subject.principal)
        };
        if own().count() >= EACH_MAX {
            let oldest = own()
                .min_by_key(|(_, session)| session.used_at)
                .map(|(key, _)| *key);
            if let Some(key) = oldest {
                sessions.remove(&key);
                self.ended.send_replace(());
            }
        }
        sessions.insert(
            key,
            Session {
                signed_in: begun.subject.assurance.clone(),
                subject: begun.subject,
                proofs: begun.proofs,
                place,
                sign_in: begun.sign_in,
                person: begun.person,
                secret,
                used_at: now,
                ends_at: begun.ends_at,
                returns: VecDeque::new(),
            },
        );
        self.publish(sessions);
        Ok(cookie)
    }

    /// Lets the gates know which sessions there are.
    fn publish(&self, sessions: &HashMap<Digest, Session>) {
        let guarded = sessions
            .iter()
            .filter(|(_, session)| session.place == Place::Guarded);
        self.guarded
            .store(Arc::new(guarded.map(|(key, _)| *key).collect()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Session>> {
        // Nothing in here can panic half-way.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Proofs for Sessions {
    fn end_of(&self, person: &PersonId) {
        let mut sessions = self.lock();
        // Whose a sign-in is that has shown no page yet is not known: it may be theirs.
        let theirs = sessions
            .values()
            .filter(|session| session.person.as_ref().is_none_or(|whose| whose == person));
        let theirs: HashSet<Digest> = theirs.map(|session| session.sign_in).collect();
        sessions.retain(|_, session| !theirs.contains(&session.sign_in));
        self.publish(&sessions);
        self.ended.send_replace(());
    }
}

/// What proves a session at a guarded origin: the cookie, and the host and port that it was sent to.
pub(super) fn bound(cookie: &str, host: &str) -> Vec<u8> {
    let host = host.to_ascii_lowercase();
    [cookie.as_bytes(), b"\0", host.as_bytes()].concat()
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sessions({})", self.lock().len())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::pin::pin;

    use futures_util::FutureExt as _;
    use jit_core::gate::authenticate::{Authenticator as _, CredentialSource};
    use jit_core::id::Principal;

    use super::*;
    use crate::sample;
    use crate::web::guarded::GuardedSessions;

    /// So many seconds on.
    fn at(seconds: i64) -> Timestamp {
        sample::at(0) + TimeDelta::seconds(seconds)
    }

    fn alice() -> Subject {
        Subject {
            principal: Principal::new("demo", "alice").unwrap(),
            assurance: Assurance::default(),
            claims: BTreeMap::new(),
            expires_at: None,
        }
    }

    fn signed_in(sessions: &Sessions, now: Timestamp) -> (String, Session) {
        let cookie = sessions.sign_in(alice(), now).unwrap();
        let session = sessions.find(&cookie, Place::Console, now).unwrap();
        (cookie, session)
    }

    #[test]
    fn a_session_ends_idle_or_old() {
        let sessions = Sessions::default();
        let (cookie, _) = signed_in(&sessions, at(0));
        assert_eq!(cookie.len(), COOKIE_LEN, "256 bits");
        assert!(sessions.find(&cookie, Place::Console, at(1799)).is_some());
        assert!(
            sessions.find(&cookie, Place::Console, at(1799 + 1800)).is_none(),
            "idle"
        );

        let (cookie, _) = signed_in(&sessions, at(0));
        for minute in (0..12 * 60).step_by(20) {
            assert!(
                sessions.find(&cookie, Place::Console, at(minute * 60)).is_some(),
                "{minute}"
            );
        }
        assert!(
            sessions.find(&cookie, Place::Console, at(12 * 3600)).is_none(),
            "old"
        );
    }

    #[test]
    fn a_session_counts_at_its_own_place_until_the_sign_in_ends() {
        let sessions = Arc::new(Sessions::default());
        let (console, session) = signed_in(&sessions, at(0));
        let guarded = sessions
            .carry(&session, "app.example.com", at(1))
            .unwrap()
            .unwrap();
        for (host, good) in [
            ("App.example.com", true),
            ("app.example.com:8443", false),
            ("b.example.com", false),
        ] {
            let found = sessions.find(bound(&guarded, host), Place::Guarded, at(2));
            assert_eq!(found.is_some(), good, "{host}");
        }
        assert!(
            sessions.find(&guarded, Place::Guarded, at(2)).is_none(),
            "without its host"
        );
        let guarded = bound(&guarded, "app.example.com");
        assert!(sessions.find(&console, Place::Guarded, at(2)).is_none());
        assert!(sessions.find(&guarded, Place::Console, at(2)).is_none());
        assert!(sessions.find(&guarded, Place::Guarded, at(2)).is_some());
        let (other, _) = signed_in(&sessions, at(3));
        let (gate, key) = (GuardedSessions::new(sessions.clone()), Digest::plain(&guarded));
        assert!(!gate.revoked(&key));
        sessions.end(&console);
        assert!(sessions.find(&console, Place::Console, at(4)).is_none());
        assert!(sessions.find(&guarded, Place::Guarded, at(4)).is_none());
        assert!(gate.revoked(&key), "the gate is told");
        assert_eq!(
            sessions.carry(&session, "app.example.com", at(4)).unwrap(),
            None,
            "nothing begins after"
        );
        assert!(
            sessions.find(&other, Place::Console, at(4)).is_some(),
            "another browser's"
        );
    }

    #[test]
    fn a_look_is_no_use() {
        let sessions = Sessions::default();
        let (cookie, session) = signed_in(&sessions, at(0));
        assert_eq!(session.left(at(1790)), Duration::from_secs(10));
        assert!(sessions.look(&cookie, Place::Console, at(1799)).is_some());
        assert!(sessions.look(&cookie, Place::Console, at(1800)).is_none());
    }

    #[tokio::test]
    async fn all_that_somebody_is_signed_in_by_ends_when_their_passkeys_are_cleared() {
        let sessions = Arc::new(Sessions::default());
        let (alice, bob) = (sample::person("alice"), sample::person("bob"));
        let ((cookie, mut session), (again, mut other)) =
            (signed_in(&sessions, at(0)), signed_in(&sessions, at(0)));
        let (bobs, mut his) = signed_in(&sessions, at(0));
        sessions.belongs(&cookie, &mut session, &alice);
        sessions.belongs(&again, &mut other, &alice);
        sessions.belongs(&bobs, &mut his, &bob);
        let host = "app.example.com";
        let guarded = sessions.carry(&session, host, at(1)).unwrap().unwrap();
        let gate = GuardedSessions::new(sessions.clone());
        let (unseen, _) = signed_in(&sessions, at(0));
        let mut waiting = pin!(sessions.ended(&cookie));
        assert!((&mut waiting).now_or_never().is_none());
        sessions.end_of(&alice);
        waiting.await;
        for cookie in [&cookie, &again, &unseen] {
            assert!(sessions.find(cookie, Place::Console, at(2)).is_none());
        }
        assert!(gate.revoked(&Digest::plain(&bound(&guarded, host))));
        let proof = Proof {
            methods: vec!["swk"],
            at: at(2),
            until: at(902),
        };
        assert_eq!(sessions.raise(&cookie, proof, at(2)).unwrap(), None);
        assert_eq!(sessions.carry(&session, host, at(2)).unwrap(), None);
        assert!(
            sessions.find(&bobs, Place::Console, at(2)).is_some(),
            "another's stays"
        );
    }

    #[test]
    fn one_person_has_a_bounded_number() {
        let sessions = Sessions::default();
        let (first, _) = signed_in(&sessions, at(0));
        let (second, _) = signed_in(&sessions, at(1));
        for second in 2..=EACH_MAX {
            signed_in(&sessions, at(i64::try_from(second).unwrap()));
        }
        assert_eq!(sessions.lock().len(), EACH_MAX);
        assert!(sessions.find(&first, Place::Console, at(30)).is_none());
        assert!(sessions.find(&second, Place::Console, at(30)).is_some());
    }

    #[test]
    fn a_copy_of_a_session_shares_where_its_person_came_from() {
        let sessions = Sessions::default();
        let (cookie, _) = signed_in(&sessions, at(0));
        sessions.remember(&cookie, "slip", Return::Console("/requests".to_owned()));
        let [one, other] = [1, 2].map(|second| sessions.find(&cookie, Place::Console, at(second)).unwrap());
        let of = |session: &Session| std::ptr::from_ref(session.way_back("slip").unwrap());
        assert_eq!(of(&one), of(&other), "each code that is on its way holds a copy");
    }

    #[tokio::test]
    async fn what_is_proven_counts_for_a_while_under_another_cookie() {
        let sessions = Arc::new(Sessions::default());
        let (cookie, session) = signed_in(&sessions, at(0));
        let host = "app.example.com";
        let before = sessions.carry(&session, host, at(0)).unwrap().unwrap();
        let proof = |methods: &[&'static str], seconds| Proof {
            methods: methods.to_vec(),
            at: at(seconds),
            until: at(seconds + 900),
        };
        let fresh = sessions
            .raise(&cookie, proof(&["otp"], 10), at(10))
            .unwrap()
            .unwrap();
        assert!(sessions.find(&cookie, Place::Console, at(10)).is_none());
        assert_eq!(
            sessions.raise(&cookie, proof(&["otp"], 10), at(10)).unwrap(),
            None
        );
        let raised = sessions.find(&fresh, Place::Console, at(10)).unwrap();
        assert_eq!(raised.subject.assurance.methods, ["otp"]);
        assert_eq!(raised.subject.assurance.authenticated_at, Some(at(10)));
        assert_ne!(raised.token("review", ""), session.token("review", ""));
        assert_eq!(raised.sign_in(), session.sign_in());

        // At a guarded origin it counts in what is carried there from then on, and ends when it does here.
        let after = sessions.carry(&raised, host, at(20)).unwrap().unwrap();
        let guarded = GuardedSessions::new(sessions.clone());
        for (cookie, now, methods) in [
            (&before, 20, &[][..]),
            (&after, 20, &["otp"]),
            (&after, 909, &["otp"]),
            (&after, 910, &[]),
        ] {
            let subject = guarded
                .verify(&bound(cookie, host), CredentialSource::Cookie, at(now))
                .await
                .unwrap();
            assert_eq!(subject.assurance.methods, methods, "{now}");
            let end = if methods.is_empty() {
                session.ends_at
            } else {
                at(910)
            };
            assert_eq!(subject.expires_at, Some(end), "{now}");
        }
        // The same again is one proof, and another is another.
        let fresh = sessions
            .raise(&fresh, proof(&["otp"], 30), at(30))
            .unwrap()
            .unwrap();
        let fresh = sessions
            .raise(&fresh, proof(&["swk"], 40), at(40))
            .unwrap()
            .unwrap();
        let both = sessions.find(&fresh, Place::Console, at(929)).unwrap();
        assert_eq!(both.proofs.len(), 2);
        assert_eq!(both.subject.assurance.methods, ["otp", "swk"]);
        let one = sessions.find(&fresh, Place::Console, at(930)).unwrap();
        assert_eq!(one.subject.assurance.methods, ["swk"]);
        let none = sessions.find(&fresh, Place::Console, at(940)).unwrap();
        assert_eq!(none.subject.assurance, Assurance::default());
    }

    #[test]
    fn a_form_is_bound_to_its_session_and_its_matter() {
        let sessions = Sessions::default();
        let (_, session) = signed_in(&sessions, at(0));
        let (_, other) = signed_in(&sessions, at(0));
        let token = session.token("review", "digest-1").to_string();
        assert!(session.expects(&token, "review", "digest-1"));
        for (session, action, what) in [
            (&other, "review", "digest-1"),
            (&session, "revoke", "digest-1"),
            (&session, "review", "digest-2"),
        ] {
            assert!(!session.expects(&token, action, what), "{action} {what}");
        }
        assert!(!session.expects("", "review", "digest-1"));
    }
}
