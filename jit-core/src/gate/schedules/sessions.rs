//! A session that was verified before the cache was cleared is served to nobody afterwards, nor one that was forgotten.

use std::sync::{Arc, LazyLock};

use shuttle::thread;

use super::*;
use crate::gate::authenticate::CredentialSource;
use crate::gate::authenticators::Proof;
use crate::gate::mark::{Mark, Marks};
use crate::gate::session::{Session, SessionKey, Sessions};
use crate::gate::sync::dashmap::SHARDS;
use crate::id::Digest;

const PROOF: Proof = Proof {
    by: 0,
    source: CredentialSource::Authorization,
    credential: Digest::ZERO,
    revocations: None,
};

/// The `n`-th key. All are in the first shard, whatever marks are made with: a schedule can be replayed.
fn key(n: u64) -> SessionKey {
    static MARK: LazyLock<Mark> = LazyLock::new(|| {
        let marks = Marks::new();
        let mut all = (0..=u8::MAX).map(|n| marks.of(&[n]));
        all.find(|mark| mark.hash().is_multiple_of(SHARDS as u64))
            .unwrap()
    });
    SessionKey {
        source: CredentialSource::Authorization,
        readers: n,
        several: false,
        credential: *MARK,
    }
}

fn session(of: &str) -> Arc<Session> {
    Arc::new(Session::new(key(1), subject(of), 0, PROOF, Some(person("ana")), at(0)).unwrap())
}

/// Whether Ana's session, which was verified at first, is served.
fn is_anas(sessions: &Sessions) -> bool {
    let session = sessions.get(&key(1), at(1));
    session.is_some_and(|session| session.subject.principal.to_string() == ANA)
}

#[test]
fn what_was_verified_before_a_clear_is_never_served_after_it() {
    let (anas, bos) = (session(ANA), session("local|bo"));
    explore("puts and gets that race a clear", move || {
        let (sessions, cleared, done) = (Sessions::new(10), Returned::default(), Barrier::new(3));
        let epoch = sessions.epoch();
        let check = || {
            for _ in 0..4 {
                let after = cleared.yet();
                assert!(!(is_anas(&sessions) && after));
            }
            done.wait();
            assert!(!is_anas(&sessions));
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                sessions.put(epoch, key(1), Arc::clone(&anas), at(0));
                check();
            });
            scope.spawn(|| {
                sessions.clear();
                cleared.note();
                sessions.put(sessions.epoch(), key(1), Arc::clone(&bos), at(0));
                check();
            });
            scope.spawn(check);
        });
    });
}

#[test]
fn a_copy_of_a_session_ends_with_a_clear() {
    gone("copies of sessions that race a clear", Sessions::clear);
}

#[test]
fn a_copy_of_a_session_ends_when_it_is_forgotten() {
    gone("copies of sessions that race a forget", |sessions| {
        sessions.forget(&key(1));
    });
}

/// Two threads with copies of a session ask for it while `forget` has it go.
fn gone(what: &str, forget: impl Fn(&Sessions) + Send + Sync + Clone + 'static) {
    let (anas, bos) = (session(ANA), session("local|bo"));
    explore(what, move || {
        let (sessions, gone, done) = (Sessions::new(10), Returned::default(), Barrier::new(3));
        sessions.put(sessions.epoch(), key(1), Arc::clone(&anas), at(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let after = gone.yet();
                        assert!(!(is_anas(&sessions) && after));
                    }
                    done.wait();
                    assert!(!is_anas(&sessions));
                });
            }
            scope.spawn(|| {
                sessions.put(sessions.epoch(), key(2), Arc::clone(&bos), at(0));
                forget(&sessions);
                gone.note();
                done.wait();
            });
        });
    });
}

#[test]
fn two_clears_leave_nothing_of_before() {
    let anas = session(ANA);
    explore("two clears that race a put", move || {
        let (sessions, cleared) = (Sessions::new(1), Returned::default());
        let epoch = sessions.epoch();
        sessions.put(epoch, key(2), Arc::clone(&anas), at(-60));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    sessions.clear();
                    cleared.note();
                    assert!(!is_anas(&sessions));
                });
            }
            scope.spawn(|| {
                // Full of one that has ended, it makes room.
                sessions.put(epoch, key(1), Arc::clone(&anas), at(0));
                for _ in 0..3 {
                    let after = cleared.yet();
                    assert!(!(is_anas(&sessions) && after));
                }
            });
        });
        assert!(!is_anas(&sessions) && sessions.len() <= 1);
    });
}
