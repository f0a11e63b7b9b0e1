//! A sweep forgets what ended long ago, and nothing else.

use shuttle::thread;

use super::*;

/// An hour and more after the end of [`active`].
const LATER: i64 = 4000;

#[test]
fn a_sweep_takes_nothing_that_was_extended() {
    let (ana, first) = (ana(), active(1));
    let longer = active_with(1, |grant| grant.not_after = at(9000));
    explore("an extension and checks that race a sweep", move || {
        let (enforcer, extended) = (enforcer(), Returned::default());
        enforcer.synced(at(LATER));
        enforcer.publish(1, &first);
        let check = || {
            for _ in 0..3 {
                let after = extended.yet();
                let got_in = ana.gets_in(&enforcer, at(LATER));
                assert!(got_in || !after);
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| enforcer.sweep(at(LATER)));
            scope.spawn(|| {
                enforcer.publish(2, &longer);
                extended.note();
                check();
            });
            scope.spawn(check);
        });
        assert!(ana.gets_in(&enforcer, at(LATER)));
        assert_eq!((enforcer.live_count(), enforcer.remembered_count()), (1, 1));
        enforcer.sweep(at(20_000));
        assert_eq!((enforcer.live_count(), enforcer.remembered_count()), (0, 0));
    });
}

#[test]
fn a_sweep_brings_nothing_back() {
    let (ana, revoked, live) = (ana(), in_state(1, State::Revoked), active(1));
    let other = active_with(2, |grant| grant.not_after = at(9000));
    explore("two sweeps, a shut and late publishes that race", move || {
        let (enforcer, shut) = (enforcer(), Returned::default());
        enforcer.synced(at(LATER));
        enforcer.publish(2, &revoked);
        enforcer.publish(1, &other);
        thread::scope(|scope| {
            scope.spawn(|| {
                enforcer.sweep(at(LATER));
                // Heard of when it was forgotten already: its window is over all the same.
                enforcer.publish(1, &live);
            });
            scope.spawn(|| {
                enforcer.shut(grant_id(2), Cut::Revoked);
                shut.note();
                enforcer.sweep(at(LATER));
            });
            scope.spawn(|| {
                enforcer.publish(2, &other);
                for _ in 0..3 {
                    let after = shut.yet();
                    assert!(!(ana.gets_in(&enforcer, at(LATER)) && after));
                }
            });
        });
        assert!(!ana.gets_in(&enforcer, at(LATER)));
        enforcer.sweep(at(20_000));
        assert_eq!((enforcer.live_count(), enforcer.remembered_count()), (0, 0));
    });
}
