use super::*;

#[test]
fn each_kind_of_lockdown_bars_whom_it_matches() {
    use lockdown::Target as On;
    for (n, (target, bars)) in [
        (On::All, true),
        (On::Principal(ANA.parse().unwrap()), true),
        (On::Principal("local|bo".parse().unwrap()), false),
        (On::Person("ana".parse().unwrap()), true),
        (On::Person("bo".parse().unwrap()), false),
        (On::Role("sre".parse().unwrap()), true),
        (On::Role("dev".parse().unwrap()), false),
        (On::Resource("admin".parse().unwrap()), true),
        (On::Resource("billing".parse().unwrap()), false),
    ]
    .into_iter()
    .enumerate()
    {
        let enforcer = enforcer();
        enforcer.publish(1, &active(1));
        enforcer.lock(&locked(n as u128, target.clone()));
        let expected = if bars { "locked-down" } else { "1" };
        assert_eq!(told(&ask(&enforcer, at(1))), expected, "{target:?}");
    }
}

#[test]
fn a_grant_that_met_a_lockdown_stays_dead_when_it_is_lifted() {
    let enforcer = enforcer();
    let lockdown = locked(1, lockdown::Target::Person("ana".parse().unwrap()));
    enforcer.publish(1, &active(1));
    enforcer.lock(&lockdown);
    // Not in the log yet: a view without it does not lift it.
    enforcer.set_lockdowns(1, &[]);
    check(&enforcer, 1, "locked-down");
    enforcer.set_lockdowns(2, std::slice::from_ref(&lockdown));
    // A grant that was on its way meets it as well.
    enforcer.publish(1, &active(2));
    enforcer.set_lockdowns(3, &[]);
    check(&enforcer, 1, "approval-required");
    enforcer.publish(1, &active(3));
    check(&enforcer, 1, "3");
    // An older view brings nothing back.
    enforcer.set_lockdowns(2, std::slice::from_ref(&lockdown));
    check(&enforcer, 1, "3");
    // One that another process declared, heard of from the log alone.
    enforcer.set_lockdowns(4, &[lockdown]);
    enforcer.set_lockdowns(5, &[]);
    check(&enforcer, 1, "approval-required");
}

#[test]
fn a_lift_that_is_heard_of_first_still_lifts() {
    let enforcer = enforcer();
    let lockdown = locked(1, lockdown::Target::All);
    enforcer.lock(&lockdown);
    enforcer.set_lockdowns(2, &[]);
    check(&enforcer, 1, "locked-down");
    enforcer.set_lockdowns(1, &[lockdown]);
    check(&enforcer, 1, "approval-required");
}
