use std::sync::atomic::{AtomicU64, Ordering};

use http::Method;
use http::request::Parts;

use super::*;
use crate::approval::lockdown;
use crate::broker::directory::Person;
use crate::gate::fixtures::{
    ANA, active, active_with, at, grant_id, in_state, person, resource, scope, seconds, subject,
};
use crate::gate::refusal::Refusal;
use crate::gate::rules::RuleSet;
use crate::gate::target::Target;
use crate::id::{LockdownId, RequestId};
use crate::policy::terms::MfaTerms;

mod limits;
mod locks;

fn enforcer() -> Enforcer {
    let enforcer = Enforcer::new(
        EnforcerSettings::default()
            .with_stale_after(seconds(300))
            .unwrap(),
    );
    enforcer.synced(at(0));
    enforcer
}

fn head(method: &Method, path: &str) -> Parts {
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header("host", "app.example");
    request.body(()).unwrap().into_parts().0
}

fn ask_as(
    enforcer: &Enforcer,
    who: &Subject,
    person: &Person,
    method: &Method,
    path: &str,
    now: Timestamp,
) -> Answer {
    let head = head(method, path);
    let target = Target::read(&head).unwrap();
    enforcer.check(who, person, &resource("admin", "/admin"), &target, method, now)
}

fn ask(enforcer: &Enforcer, now: Timestamp) -> Answer {
    ask_as(
        enforcer,
        &subject(ANA),
        &person("ana"),
        &Method::GET,
        "/admin/users",
        now,
    )
}

/// The number of the grant that admitted, or the kind of refusal.
fn told(answer: &Answer) -> String {
    match answer {
        Answer::Admit(permit) => permit.grant_id().as_u128().to_string(),
        Answer::Refuse(refusal) => refusal.kind().to_owned(),
        Answer::Reserve(grant, of) => format!("reserve {} {of}", grant.as_u128()),
    }
}

#[track_caller]
fn check(enforcer: &Enforcer, now: i64, expected: &str) {
    assert_eq!(told(&ask(enforcer, at(now))), expected, "at {now} s");
}

fn locked(n: u128, target: lockdown::Target) -> Lockdown {
    Lockdown {
        id: LockdownId::from_u128(n),
        target,
        reason: String::new(),
        principal: "local|boss".parse().unwrap(),
        person: "boss".parse().unwrap(),
        at: at(0),
    }
}

#[test]
fn a_window_is_half_open() {
    let enforcer = enforcer();
    enforcer.publish(1, &active(1));
    check(&enforcer, -1, "approval-pending");
    check(&enforcer, 0, "1");
    let millis = TimeDelta::milliseconds;
    assert_eq!(told(&ask(&enforcer, at(100) - millis(1))), "1");
    check(&enforcer, 100, "approval-required");
    check(&enforcer, 101, "approval-required");
}

#[test]
fn what_is_the_same_is_known_by_where_it_is() {
    let enforcer = enforcer();
    let compiled = |path| RuleSet::compile(&[resource("admin", path)], &[]).unwrap();
    // Whichever comes first, and whoever publishes a later version.
    enforcer.publish(1, &active(1));
    let (rules, stricter) = (
        compiled("/admin").shared_by(&enforcer),
        compiled("/admin/x").shared_by(&enforcer),
    );
    enforcer.publish(1, &active(2));
    enforcer.publish(2, &active(1));
    let (rule, other) = (rules.resources()[0].rule(), stricter.resources()[0].rule());
    let ana = ANA.parse().unwrap();
    let (principal, person) = enforcer.names(&ana).unwrap();
    let held = enforcer.holders.get(&ana).unwrap();
    assert_eq!(held.live.len(), 2);
    for live in &held.live {
        assert!(live.is_of(rule) && !live.is_of(other));
        let grant = live.grant();
        assert_eq!(grant.holder.subject().as_ptr(), principal.subject().as_ptr());
        assert_eq!(
            grant.person.as_str().as_ptr(),
            person.as_ref().unwrap().as_str().as_ptr()
        );
    }
}

#[test]
fn a_lagging_clock_ends_windows_early() {
    let settings = EnforcerSettings::default().with_clock_lag(seconds(2)).unwrap();
    let enforcer = Enforcer::new(settings.with_stale_after(seconds(300)).unwrap());
    enforcer.synced(at(0));
    enforcer.publish(1, &active(1));
    check(&enforcer, 97, "1");
    check(&enforcer, 98, "approval-required");
}

#[test]
fn settings_have_bounds() {
    let settings = EnforcerSettings::default();
    assert!(settings.with_stale_after(Span::millis(999).unwrap()).is_err());
    assert!(settings.with_stale_after(seconds(301)).is_err());
    assert!(settings.with_clock_lag(seconds(61)).is_err());
    assert!(settings.with_stale_after(seconds(1)).is_ok());
}

#[test]
fn a_view_that_is_too_old_admits_nothing() {
    let enforcer = Enforcer::new(EnforcerSettings::default());
    enforcer.publish(1, &active(1));
    check(&enforcer, 1, "stale-view");
    enforcer.synced(at(1));
    check(&enforcer, 11, "1");
    check(&enforcer, 12, "stale-view");
    enforcer.synced(at(12));
    check(&enforcer, 12, "1");
    // A sync that was overtaken does not make the view older.
    enforcer.synced(at(2));
    check(&enforcer, 20, "1");
}

#[test]
fn a_refusal_names_what_is_waited_for() {
    let enforcer = enforcer();
    check(&enforcer, 0, "approval-required");
    enforcer.publish(1, &in_state(1, State::Pending));
    let Answer::Refuse(Refusal::ApprovalPending {
        request, opens_at, ..
    }) = ask(&enforcer, at(0))
    else {
        panic!("not pending");
    };
    assert_eq!((request, opens_at), (RequestId::from_u128(1), None));
    enforcer.publish(2, &in_state(1, State::Scheduled));
    let Answer::Refuse(refusal) = ask(&enforcer, at(0)) else {
        panic!("a grant that was not activated admits");
    };
    assert_eq!(refusal.request(), Some(RequestId::from_u128(1)));
    enforcer.publish(3, &active(1));
    check(&enforcer, 0, "1");
}

#[test]
fn every_terminal_state_is_final() {
    for state in State::ALL.into_iter().filter(|state| state.is_terminal()) {
        let enforcer = enforcer();
        enforcer.publish(1, &active(1));
        let Answer::Admit(permit) = ask(&enforcer, at(1)) else {
            panic!("{state}: not admitted before");
        };
        assert!(permit.holds(at(1)));
        enforcer.publish(2, &in_state(1, state));
        check(&enforcer, 1, "approval-required");
        assert!(!permit.holds(at(1)), "{state}: the permit outlives its grant");
        enforcer.publish(3, &active(1));
        check(&enforcer, 1, "approval-required");
        assert_eq!(enforcer.live_count(), 0, "{state}");
    }
}

#[test]
fn an_older_version_changes_nothing() {
    let enforcer = enforcer();
    enforcer.publish(3, &active_with(1, |grant| grant.not_after = at(10)));
    for version in [1, 2, 3] {
        enforcer.publish(version, &active(1));
    }
    check(&enforcer, 10, "approval-required");
}

#[test]
fn what_is_shut_stays_shut() {
    let enforcer = enforcer();
    enforcer.publish(1, &active(1));
    check(&enforcer, 1, "1");
    enforcer.shut(grant_id(1), Cut::Revoked);
    check(&enforcer, 1, "approval-required");
    enforcer.publish(2, &active(1));
    check(&enforcer, 1, "approval-required");
    // Before the grant was heard of, too.
    enforcer.shut(grant_id(2), Cut::Revoked);
    enforcer.publish(1, &active(2));
    check(&enforcer, 1, "approval-required");
    assert!(enforcer.is_shut(grant_id(2)));
}

#[test]
fn nothing_is_admitted_once_shut_has_returned() {
    let enforcer = enforcer();
    for n in 0..200 {
        enforcer.publish(1, &active(n));
        std::thread::scope(|scope| {
            scope.spawn(|| enforcer.publish(2, &active(n)));
            scope.spawn(|| {
                enforcer.shut(grant_id(n), Cut::Revoked);
                assert_eq!(told(&ask(&enforcer, at(1))), "approval-required", "grant {n}");
            });
        });
        assert_eq!(told(&ask(&enforcer, at(1))), "approval-required", "grant {n}");
    }
}

#[test]
fn access_is_the_union_and_the_latest_end_is_named() {
    let enforcer = enforcer();
    enforcer.publish(1, &active_with(1, |grant| grant.not_after = at(50)));
    enforcer.publish(1, &active_with(2, |grant| grant.not_after = at(90)));
    enforcer.publish(1, &active_with(3, |grant| grant.not_after = at(70)));
    check(&enforcer, 1, "2");
    enforcer.shut(grant_id(2), Cut::Revoked);
    check(&enforcer, 1, "3");
    check(&enforcer, 69, "3");
    check(&enforcer, 70, "approval-required");
}

#[test]
fn a_grant_admits_what_its_snapshot_scope_and_the_present_resource_cover() {
    let enforcer = enforcer();
    let (ana, who) = (subject(ANA), person("ana"));
    enforcer.publish(
        1,
        &active_with(1, |grant| grant.scope = scope(["GET"], ["/admin/users"])),
    );
    for (method, path, expected) in [
        (Method::GET, "/admin/users", "1"),
        (Method::GET, "/admin/users/7", "1"),
        (Method::POST, "/admin/users", "approval-required"),
        (Method::GET, "/admin", "approval-required"),
        (Method::GET, "/admin/usersearch", "approval-required"),
    ] {
        let answer = ask_as(&enforcer, &ana, &who, &method, path, at(1));
        assert_eq!(told(&answer), expected, "{method} {path}");
    }
    // The resource has become smaller since.
    let head = head(&Method::GET, "/admin/users");
    let target = Target::read(&head).unwrap();
    let smaller = resource("admin", "/admin/reports");
    let answer = enforcer.check(&ana, &who, &smaller, &target, &Method::GET, at(1));
    assert_eq!(told(&answer), "approval-required");
    // A parent's grant does not open a child with a name of its own.
    let child = resource("users", "/admin/users");
    let answer = enforcer.check(&ana, &who, &child, &target, &Method::GET, at(1));
    assert_eq!(told(&answer), "approval-required");
}

#[test]
fn only_the_holder_is_the_holder() {
    let enforcer = enforcer();
    enforcer.publish(1, &active(1));
    let mut disabled = person("ana");
    disabled.disabled = true;
    for (principal, person, expected) in [
        (ANA, person("ana"), "1"),
        ("other|ana", person("ana"), "approval-required"),
        (ANA, person("someone-else"), "approval-required"),
        (ANA, disabled, "not-eligible"),
    ] {
        let answer = ask_as(
            &enforcer,
            &subject(principal),
            &person,
            &Method::GET,
            "/admin",
            at(1),
        );
        assert_eq!(told(&answer), expected, "{principal} {person:?}");
    }
}

#[test]
fn memory_is_given_back_some_minutes_after_the_end() {
    let enforcer = enforcer();
    enforcer.publish(1, &active(1));
    enforcer.publish(1, &in_state(2, State::Pending));
    enforcer.publish(2, &in_state(3, State::Revoked));
    enforcer.sweep(at(300));
    assert_eq!(enforcer.remembered_count(), 3);
    enforcer.sweep(at(360));
    assert_eq!(enforcer.remembered_count(), 2);
    enforcer.sweep(at(400));
    assert_eq!((enforcer.remembered_count(), enforcer.live_count()), (0, 0));
    assert_eq!(enforcer.holders.len(), 0);
}
