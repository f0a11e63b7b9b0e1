//! Of the versions of a request the newest counts, whoever publishes which first; and none counts once it has been replaced.

use std::sync::atomic::AtomicI64;

use shuttle::thread;

use super::*;

/// Two threads ask, and make copies, while `second` replaces what let Ana in. It does not.
fn replaced(what: &str, second: Request) {
    let (ana, first) = (ana(), active(1));
    explore(what, move || {
        let (enforcer, replaced) = (enforcer(), Returned::default());
        // Whoever made a copy asks once more.
        let done = Barrier::new(3);
        enforcer.publish(1, &first);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let after = replaced.yet();
                        assert!(!(ana.gets_in(&enforcer, at(1)) && after));
                    }
                    done.wait();
                    assert!(!ana.gets_in(&enforcer, at(1)));
                });
            }
            scope.spawn(|| {
                enforcer.publish(2, &second);
                replaced.note();
                done.wait();
            });
        });
    });
}

#[test]
fn a_grant_that_was_narrowed_admits_no_more() {
    let narrow = active_with(1, |grant| grant.scope = scope([], ["/admin/reports"]));
    replaced("checks that race a narrower version", narrow);
}

#[test]
fn a_grant_that_was_moved_leaves_nothing_behind() {
    replaced("checks that race a new holder", of_bo(1));
}

#[test]
fn a_grant_that_goes_on_is_never_missing() {
    let longer = active_with(1, |grant| grant.not_after = at(200));
    let (ana, first) = (ana(), active(1));
    explore("checks that race an extension", move || {
        let enforcer = enforcer();
        enforcer.publish(1, &first);
        thread::scope(|scope| {
            scope.spawn(|| enforcer.publish(2, &longer));
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        assert!(ana.gets_in(&enforcer, at(1)));
                    }
                });
            }
        });
        assert!(ana.gets_in(&enforcer, at(150)));
    });
}

#[test]
fn a_grant_is_with_its_last_holder_alone() {
    let (ana, bo) = (ana(), bo());
    let (anas, bos) = (active(1), of_bo(1));
    explore("two moves of a grant that race", move || {
        let (enforcer, moved) = (enforcer(), Returned::default());
        enforcer.publish(1, &anas);
        thread::scope(|scope| {
            scope.spawn(|| {
                enforcer.publish(2, &bos);
                moved.note();
            });
            scope.spawn(|| enforcer.publish(3, &anas));
            scope.spawn(|| {
                ana.warm(&enforcer, at(1));
                bo.warm(&enforcer, at(1));
            });
        });
        assert!(moved.yet());
        assert!(ana.gets_in(&enforcer, at(1)) && !bo.gets_in(&enforcer, at(1)));
        assert_eq!((enforcer.live_count(), enforcer.remembered_count()), (1, 1));
    });
}

#[test]
fn what_has_ended_never_comes_back() {
    let (ana, live, end) = (ana(), active(1), in_state(1, State::Revoked));
    explore("versions that race the last one", move || {
        let (enforcer, ended) = (enforcer(), Returned::default());
        enforcer.publish(1, &live);
        let check = || {
            for _ in 0..3 {
                let after = ended.yet();
                assert!(!(ana.gets_in(&enforcer, at(1)) && after));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                enforcer.publish(2, &live);
                check();
            });
            scope.spawn(|| {
                enforcer.publish(3, &end);
                ended.note();
                check();
            });
            scope.spawn(|| {
                ana.warm(&enforcer, at(1));
                check();
            });
        });
        enforcer.publish(4, &live);
        assert!(!ana.gets_in(&enforcer, at(1)));
        assert_eq!(enforcer.live_count(), 0);
    });
}

#[test]
fn the_newest_version_wins() {
    let ana = ana();
    // Each later one ends earlier.
    let ends = [80, 40, 20];
    let versions = ends.map(|end| active_with(1, |grant| grant.not_after = at(end)));
    explore("three versions that race", move || {
        let (enforcer, end) = (enforcer(), AtomicI64::new(i64::MAX));
        thread::scope(|scope| {
            for (n, request) in (1..).zip(&versions) {
                let (enforcer, end, ana) = (&enforcer, &end, &ana);
                scope.spawn(move || {
                    enforcer.publish(n, request);
                    let until = request.grant.as_ref().unwrap().not_after;
                    end.fetch_min(until.timestamp(), Ordering::SeqCst);
                    for second in [19, 39, 79, 19, 39, 79] {
                        let ended = end.load(Ordering::SeqCst);
                        let now = at(second);
                        assert!(!ana.gets_in(enforcer, now) || now.timestamp() < ended);
                    }
                });
            }
        });
        assert!(ana.gets_in(&enforcer, at(19)) && !ana.gets_in(&enforcer, at(20)));
    });
}
