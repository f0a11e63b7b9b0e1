//! A lockdown shuts what it matches, for good: what was published before it, and what is published while it is in force.

use shuttle::thread;

use super::*;

fn lockdown_of_ana() -> Lockdown {
    Lockdown {
        id: LockdownId::from_u128(1),
        target: lockdown::Target::Person("ana".parse().unwrap()),
        reason: String::new(),
        principal: "local|boss".parse().unwrap(),
        person: "boss".parse().unwrap(),
        at: at(0),
    }
}

/// Puts the lockdown in force by `lock` while Ana's grants are published and asked for, lifts it by `lift`, and asks again.
fn locked_meanwhile(what: &str, lock: fn(&Enforcer, &Lockdown), lift: fn(&Enforcer, &Lockdown)) {
    let (ana, bo, lockdown) = (ana(), bo(), lockdown_of_ana());
    let (before, meanwhile, bos) = (active(1), active(2), of_bo(3));
    explore(what, move || {
        let (enforcer, locked) = (enforcer(), Returned::default());
        enforcer.publish(1, &before);
        let check = || {
            for _ in 0..3 {
                let after = locked.yet();
                assert!(!(ana.gets_in(&enforcer, at(1)) && after));
            }
        };
        thread::scope(|scope| {
            scope.spawn(|| {
                lock(&enforcer, &lockdown);
                locked.note();
                assert!(!ana.gets_in(&enforcer, at(1)));
            });
            scope.spawn(|| {
                enforcer.publish(1, &meanwhile);
                check();
                enforcer.publish(2, &before);
            });
            scope.spawn(|| {
                enforcer.publish(1, &bos);
                ana.warm(&enforcer, at(1));
                assert!(bo.gets_in(&enforcer, at(1)), "nobody locked Bo out");
                check();
            });
        });
        assert!(
            enforcer.is_shut(grant_id(1)) && enforcer.is_shut(grant_id(2)),
            "what is in flight goes on"
        );
        lift(&enforcer, &lockdown);
        assert!(!ana.gets_in(&enforcer, at(1)), "lifted, and her grants are dead");
        enforcer.publish(3, &before);
        enforcer.publish(3, &meanwhile);
        assert!(!ana.gets_in(&enforcer, at(1)) && bo.gets_in(&enforcer, at(1)));
    });
}

#[test]
fn what_is_published_during_a_lockdown_stays_dead() {
    locked_meanwhile(
        "publishes that race a lockdown",
        Enforcer::lock,
        |enforcer, lockdown| {
            enforcer.set_lockdowns(1, std::slice::from_ref(lockdown));
            enforcer.set_lockdowns(2, &[]);
        },
    );
}

#[test]
fn what_is_published_during_a_lockdown_from_the_log_stays_dead() {
    locked_meanwhile(
        "publishes that race a lockdown from the log",
        |enforcer, lockdown| enforcer.set_lockdowns(1, std::slice::from_ref(lockdown)),
        |enforcer, _| enforcer.set_lockdowns(2, &[]),
    );
}

#[test]
fn an_older_view_lifts_no_lockdown() {
    let (ana, lockdown, request) = (ana(), lockdown_of_ana(), active(1));
    explore("lockdowns that race older views and each other", move || {
        let enforcer = enforcer();
        let other = Lockdown {
            id: LockdownId::from_u128(2),
            target: lockdown::Target::Person("bo".parse().unwrap()),
            ..lockdown.clone()
        };
        thread::scope(|scope| {
            scope.spawn(|| enforcer.set_lockdowns(2, std::slice::from_ref(&lockdown)));
            scope.spawn(|| enforcer.set_lockdowns(1, &[]));
            scope.spawn(|| enforcer.lock(&other));
        });
        enforcer.publish(1, &request);
        enforcer.publish(1, &of_bo(2));
        assert!(!ana.gets_in(&enforcer, at(1)) && !bo().gets_in(&enforcer, at(1)));
    });
}
