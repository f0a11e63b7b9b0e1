use super::*;

#[test]
fn an_unused_grant_closes() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.use_within = Some(seconds(10))));
    check(&enforcer, 10, "approval-required");
    check(&enforcer, 9, "1");
    check(&enforcer, 50, "1");
}

#[test]
fn an_idle_grant_closes_wherever_it_was_used() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.idle_timeout = Some(seconds(10))));
    check(&enforcer, 0, "1");
    check(&enforcer, 9, "1");
    check(&enforcer, 19, "approval-required");
    enforcer.note_use(grant_id(1), at(15));
    check(&enforcer, 24, "1");
    check(&enforcer, 34, "approval-required");
}

#[test]
fn uses_are_told_once_and_only_if_nobody_knows_a_later_one() {
    let enforcer = enforcer();
    enforcer.publish(1, &active(1));
    assert_eq!(enforcer.drain_uses(), []);
    check(&enforcer, 5, "1");
    check(&enforcer, 7, "1");
    assert_eq!(enforcer.drain_uses(), [(grant_id(1), at(7))]);
    assert_eq!(enforcer.drain_uses(), []);
    check(&enforcer, 9, "1");
    enforcer.note_use(grant_id(1), at(12));
    assert_eq!(enforcer.drain_uses(), []);
    // A later version of the request keeps what is known.
    enforcer.publish(2, &active(1));
    check(&enforcer, 20, "1");
    assert_eq!(enforcer.drain_uses(), [(grant_id(1), at(20))]);
}

#[test]
fn the_first_use_needs_the_sign_in_that_the_grant_names() {
    let enforcer = enforcer();
    let terms = MfaTerms {
        max_age: Some(seconds(60)),
        ..MfaTerms::default()
    };
    enforcer.publish(1, &active_with(1, |grant| grant.mfa = Some(terms.clone())));
    let Answer::Refuse(Refusal::StepUp {
        terms: told_terms, ..
    }) = ask(&enforcer, at(1))
    else {
        panic!("no step-up");
    };
    assert_eq!(told_terms, terms);
    let mut strong = subject(ANA);
    strong.assurance.methods = vec!["mfa".to_owned()];
    strong.assurance.authenticated_at = Some(at(-10));
    let answer = ask_as(&enforcer, &strong, &person("ana"), &Method::GET, "/admin", at(1));
    assert_eq!(told(&answer), "1");
    // Later it may be as old as it likes, and no weaker.
    let answer = ask_as(&enforcer, &strong, &person("ana"), &Method::GET, "/admin", at(80));
    assert_eq!(told(&answer), "1");
    check(&enforcer, 80, "step-up-required");
}

#[test]
fn a_limit_of_concurrent_requests_holds_until_the_last_clone_is_gone() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.max_concurrent = Some(2)));
    let first = ask(&enforcer, at(1));
    let second = ask(&enforcer, at(1));
    check(&enforcer, 1, "too-many-concurrent");
    let clone = second.clone();
    drop(second);
    check(&enforcer, 1, "too-many-concurrent");
    // The count is the grant's, not the version's.
    enforcer.publish(2, &active_with(1, |grant| grant.max_concurrent = Some(2)));
    check(&enforcer, 1, "too-many-concurrent");
    drop(clone);
    check(&enforcer, 1, "1");
    drop(first);
}

#[test]
fn a_budget_is_used_exactly() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.max_requests = Some(1000)));
    check(&enforcer, 1, "reserve 1 requests");
    enforcer.allow(grant_id(1), Budgeted::Requests, 1000);
    let admitted = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..200 {
                    if matches!(ask(&enforcer, at(1)), Answer::Admit(_)) {
                        admitted.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1000);
    check(&enforcer, 1, "reserve 1 requests");
    enforcer.allow(grant_id(1), Budgeted::Requests, 0);
    check(&enforcer, 1, "budget-spent");
}

#[test]
fn a_refusal_for_want_of_a_place_costs_no_budget() {
    let enforcer = enforcer();
    enforcer.publish(
        1,
        &active_with(1, |grant| {
            grant.max_concurrent = Some(1);
            grant.max_requests = Some(2);
        }),
    );
    enforcer.allow(grant_id(1), Budgeted::Requests, 2);
    let first = ask(&enforcer, at(1));
    check(&enforcer, 1, "too-many-concurrent");
    drop(first);
    check(&enforcer, 1, "1");
    check(&enforcer, 1, "reserve 1 requests");
    // The place taken for a draw that came to nothing was given back.
    enforcer.allow(grant_id(1), Budgeted::Requests, 1);
    check(&enforcer, 1, "1");
}

#[test]
fn a_grant_that_admits_at_once_comes_before_one_that_must_reserve() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.max_requests = Some(5)));
    enforcer.publish(1, &active_with(2, |grant| grant.not_after = at(50)));
    check(&enforcer, 1, "2");
    enforcer.allow(grant_id(1), Budgeted::Requests, 1);
    check(&enforcer, 1, "1");
    check(&enforcer, 60, "reserve 1 requests");
}

#[test]
fn a_limit_that_nobody_counts_admits_nothing() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.max_bytes = Some(1_000_000)));
    check(&enforcer, 1, "limit-not-enforceable");
}
