//! A check that starts after a shut has returned admits nothing under that grant.

use shuttle::thread;

use super::*;

fn shut_races(warm: bool) {
    let (ana, first, second) = (ana(), active(1), active(1));
    explore("checks and a publish that race a shut", move || {
        let (enforcer, shut) = (enforcer(), Returned::default());
        enforcer.publish(1, &first);
        let check = || {
            if warm {
                ana.warm(&enforcer, at(1));
            }
            for _ in 0..3 {
                let after = shut.yet();
                assert!(!(ana.gets_in(&enforcer, at(1)) && after));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                if warm {
                    ana.warm(&enforcer, at(1));
                }
                enforcer.shut(grant_id(1), Cut::Revoked);
                shut.note();
                check();
            });
            scope.spawn(check);
            scope.spawn(|| {
                enforcer.publish(2, &second);
                check();
            });
        });
        assert!(enforcer.is_shut(grant_id(1)));
        enforcer.publish(3, &first);
        assert!(!ana.gets_in(&enforcer, at(1)));
    });
}

#[test]
fn what_is_shut_admits_nothing() {
    shut_races(false);
}

#[test]
fn what_is_shut_admits_nothing_from_a_copy() {
    shut_races(true);
}

#[test]
fn a_shut_that_comes_before_its_grant_holds() {
    let (ana, first) = (ana(), active(1));
    explore("a shut that races the first publish", move || {
        let (enforcer, shut) = (enforcer(), Returned::default());
        thread::scope(|scope| {
            scope.spawn(|| {
                enforcer.shut(grant_id(1), Cut::Revoked);
                shut.note();
            });
            scope.spawn(|| enforcer.publish(1, &first));
            scope.spawn(|| {
                for _ in 0..4 {
                    let after = shut.yet();
                    assert!(!(ana.gets_in(&enforcer, at(1)) && after));
                }
            });
        });
        assert!(!ana.gets_in(&enforcer, at(1)));
    });
}

#[test]
fn a_permit_holds_no_longer_than_its_grant() {
    let (ana, first) = (ana(), active(1));
    explore("permits that race a shut", move || {
        let (enforcer, shut) = (enforcer(), Returned::default());
        enforcer.publish(1, &first);
        thread::scope(|scope| {
            scope.spawn(|| {
                enforcer.shut(grant_id(1), Cut::Revoked);
                shut.note();
            });
            for _ in 0..2 {
                scope.spawn(|| {
                    ana.warm(&enforcer, at(1));
                    let Answer::Admit(permit) = ana.ask(&enforcer, at(1)) else {
                        return;
                    };
                    let after = shut.yet();
                    assert!(!(permit.holds(at(1)) && after));
                });
            }
        });
    });
}
