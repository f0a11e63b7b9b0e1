//! Limits hold among threads, to the last place and the last request.

use std::sync::atomic::AtomicU32;

use shuttle::thread;

use super::*;
use crate::gate::budget::Budgeted;

#[test]
fn never_more_at_once_than_the_limit() {
    let ana = ana();
    let request = active_with(1, |grant| grant.max_concurrent = Some(2));
    explore("four threads for two places", move || {
        let (enforcer, inside) = (enforcer(), AtomicU32::new(0));
        enforcer.publish(1, &request);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3 {
                        let Answer::Admit(permit) = ana.ask(&enforcer, at(1)) else {
                            continue;
                        };
                        assert!(inside.fetch_add(1, Ordering::SeqCst) < 2);
                        thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                });
            }
            // The count is the grant's, not the version's.
            scope.spawn(|| enforcer.publish(2, &request));
        });
        let [first, second, third] = std::array::from_fn(|_| ana.ask(&enforcer, at(1)));
        assert!(matches!((&first, &second), (Answer::Admit(_), Answer::Admit(_))));
        assert!(!matches!(third, Answer::Admit(_)));
    });
}

fn draw_thrice(ana: &Asks, enforcer: &Enforcer, admitted: &AtomicU32) {
    for _ in 0..3 {
        if ana.gets_in(enforcer, at(1)) {
            admitted.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_budget_is_used_exactly() {
    let ana = ana();
    let request = active_with(1, |grant| grant.max_requests = Some(5));
    explore("threads that draw what others reserve", move || {
        let (enforcer, admitted) = (enforcer(), AtomicU32::new(0));
        enforcer.publish(1, &request);
        enforcer.allow(grant_id(1), Budgeted::Requests, 3);
        let draw = || draw_thrice(&ana, &enforcer, &admitted);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(draw);
            }
            scope.spawn(|| {
                enforcer.allow(grant_id(1), Budgeted::Requests, 2);
                enforcer.allow(grant_id(1), Budgeted::Requests, 0);
            });
        });
        draw();
        draw();
        assert_eq!(admitted.into_inner(), 5);
    });
}

#[test]
fn a_place_is_given_back_when_the_budget_is_empty() {
    let ana = ana();
    let request = active_with(1, |grant| {
        grant.max_concurrent = Some(1);
        grant.max_requests = Some(9);
    });
    explore("threads for one place and two requests", move || {
        let (enforcer, admitted) = (enforcer(), AtomicU32::new(0));
        enforcer.publish(1, &request);
        enforcer.allow(grant_id(1), Budgeted::Requests, 2);
        let draw = || draw_thrice(&ana, &enforcer, &admitted);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(draw);
            }
        });
        draw();
        assert_eq!(admitted.load(Ordering::SeqCst), 2);
        enforcer.allow(grant_id(1), Budgeted::Requests, 1);
        assert!(ana.gets_in(&enforcer, at(1)), "the place is free");
    });
}
