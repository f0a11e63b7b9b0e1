//! Whoever asks often: what they hold is looked up once, and again when it has changed.
//!
//! For those who call the [`Enforcer`] by hand: a balancer that knows its peers by its own means, a service that is asked for many
//! decisions about one user. A [`Gate`](crate::gate::Gate) does the same for its sessions by itself.

use std::sync::Arc;

use super::check::{Answer, Asker};
use super::{Enforcer, Standing};
use crate::broker::directory::Person;
use crate::gate::authenticate::Subject;
use crate::gate::rules::Matched;
use crate::id::Timestamp;

/// Someone who asks an [`Enforcer`] more than once, with a copy of what they hold.
///
/// A check by it answers what [`Enforcer::check`] does at that moment. It is cheaper while nothing about the subject's grants changes: then it
/// reads nothing that another thread writes but a few numbers. A clone has a copy of its own, for another thread.
///
/// Who the subject is, and which roles and locks their person has, is not looked up again: make a new one as often as a credential is to be
/// verified again ([`SESSION_MAX`](crate::gate::SESSION_MAX) in a gate).
///
/// ```
/// use http::Request;
/// use jit_core::broker::directory::Person;
/// use jit_core::gate::authenticate::Subject;
/// use jit_core::gate::enforcer::{Answer, Caller, Enforcer};
/// use jit_core::gate::rules::RuleSet;
/// use jit_core::gate::target::Target;
/// use jit_core::id::Timestamp;
///
/// # fn main() {}
/// /// Whether they may, by a grant that is live at `now`.
/// fn may(caller: &mut Caller, rules: &RuleSet, request: &Request<()>, now: Timestamp) -> bool {
///     let (head, ()) = request.clone().into_parts();
///     let Ok(target) = Target::read(&head) else {
///         return false;
///     };
///     rules
///         .matched(&target, &head.method)
///         .is_some_and(|matched| matches!(caller.check(&matched, now), Answer::Admit(_)))
/// }
/// ```
#[derive(Debug)]
pub struct Caller {
    enforcer: Arc<Enforcer>,
    subject: Arc<Subject>,
    hash: u64,
    person: Person,
    standing: Option<Standing>,
}

impl Caller {
    /// `subject`, who is `person`, as `enforcer` knows them. That they are has to be proven before.
    pub fn new(enforcer: Arc<Enforcer>, subject: impl Into<Arc<Subject>>, person: Person) -> Self {
        let subject = subject.into();
        let hash = enforcer.hash(&subject.principal);
        let mut caller = Self {
            enforcer,
            subject,
            hash,
            person,
            standing: None,
        };
        caller.renew();
        caller
    }

    /// Who asks.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    /// Their person, as given.
    pub fn person(&self) -> &Person {
        &self.person
    }

    /// Whether a live grant of theirs admits the request: the same as [`Enforcer::check`] says of what governs it.
    pub fn check(&mut self, request: &Matched<'_>, now: Timestamp) -> Answer {
        let enforcer = &self.enforcer;
        let standing = self.standing.as_ref();
        if standing.is_none_or(|standing| !enforcer.is_present(standing, self.hash)) {
            self.renew();
        }
        let asker = Asker {
            subject: &self.subject,
            hash: self.hash,
            person: &self.person,
            standing: self.standing.as_ref(),
            bearer: None,
            counts_bytes: false,
        };
        self.enforcer.check_as(
            &asker,
            request.resource(),
            request.target(),
            request.method(),
            now,
        )
    }

    fn renew(&mut self) {
        let standing = self.enforcer.standing(&self.subject, self.hash, &self.person);
        self.standing = standing.map(|standing| standing.copy());
    }
}

impl Clone for Caller {
    fn clone(&self) -> Self {
        Self {
            enforcer: Arc::clone(&self.enforcer),
            subject: Arc::clone(&self.subject),
            hash: self.hash,
            person: self.person.clone(),
            standing: self.standing.as_ref().map(Standing::copy),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::approval::grant::Grant;
    use crate::approval::lockdown::{Lockdown, Target as Whom};
    use crate::approval::state::State;
    use crate::gate::cut::Cut;
    use crate::gate::enforcer::EnforcerSettings;
    use crate::gate::fixtures::{
        ANA, active_with, at, grant_id, in_state, person, resource, scope, seconds, subject,
    };
    use crate::gate::rules::RuleSet;
    use crate::gate::target::Target;
    use crate::id::LockdownId;

    /// The number of the grant that admitted, or the kind of refusal.
    fn told(answer: &Answer) -> String {
        match answer {
            Answer::Admit(permit) => permit.grant_id().as_u128().to_string(),
            Answer::Refuse(refusal) => refusal.kind().to_owned(),
            Answer::Reserve(grant, of) => format!("reserve {} {of}", grant.as_u128()),
        }
    }

    /// An enforcer, and one caller who was there from the start and another whose rules are not the enforcer's own.
    struct Room {
        enforcer: Arc<Enforcer>,
        caller: Caller,
        rules: [RuleSet; 2],
    }

    impl Room {
        fn new() -> Self {
            let settings = EnforcerSettings::default().with_stale_after(seconds(300));
            let enforcer = Arc::new(Enforcer::new(settings.unwrap()));
            enforcer.synced(at(0));
            let caller = Caller::new(Arc::clone(&enforcer), subject(ANA), person("ana"));
            let rules = RuleSet::compile(&[resource("admin", "/admin")], &[]).unwrap();
            let rules = [rules.clone().shared_by(&enforcer), rules];
            Self {
                enforcer,
                caller,
                rules,
            }
        }

        /// What `path` is answered: the same whoever is asked.
        #[track_caller]
        fn ask(&mut self, path: &str, now: i64) -> String {
            let request = http::Request::builder().uri(path).header("host", "app.example");
            let (head, ()) = request.body(()).unwrap().into_parts();
            let target = Target::read(&head).unwrap();
            let def = resource("admin", "/admin");
            let (subject, person) = (subject(ANA), person("ana"));
            let by_name = self
                .enforcer
                .check(&subject, &person, &def, &target, &Method::GET, at(now));
            let by_name = told(&by_name);
            for rules in &self.rules {
                let matched = rules.matched(&target, &Method::GET).unwrap();
                for _ in 0..2 {
                    assert_eq!(
                        told(&self.caller.check(&matched, at(now))),
                        by_name,
                        "{path} {now}"
                    );
                }
                assert_eq!(
                    told(&self.caller.clone().check(&matched, at(now))),
                    by_name,
                    "{path} {now}"
                );
            }
            by_name
        }
    }

    #[test]
    fn a_caller_is_answered_as_whoever_asks_by_name() {
        let mut room = Room::new();
        assert_eq!(room.ask("/admin/a", 1), "approval-required");
        let publish = |room: &Room, version, n, change: fn(&mut Grant)| {
            room.enforcer.publish(version, &active_with(n, change));
        };
        publish(&room, 1, 1, |_| {});
        assert_eq!(room.ask("/admin/a", 1), "1");
        publish(&room, 2, 1, |grant| grant.scope = scope([], ["/admin/a"]));
        assert_eq!(
            (room.ask("/admin/a", 1), room.ask("/admin/b", 1)),
            ("1".to_owned(), "approval-required".to_owned())
        );
        publish(&room, 1, 2, |grant| grant.not_after = at(200));
        assert_eq!(room.ask("/admin/a", 1), "2");
        publish(&room, 1, 3, |grant| {
            grant.person = "someone-else".parse().unwrap();
        });
        room.enforcer.shut(grant_id(2), Cut::Revoked);
        assert_eq!(
            (room.ask("/admin/a", 1), room.ask("/admin/b", 1)),
            ("1".to_owned(), "approval-required".to_owned())
        );
        assert_eq!(
            (room.ask("/admin/a", 99), room.ask("/admin/a", 100)),
            ("1".to_owned(), "approval-required".to_owned())
        );
        room.enforcer.publish(3, &in_state(1, State::Revoked));
        assert_eq!(room.ask("/admin/a", 1), "approval-required");
        publish(&room, 1, 4, |grant| grant.max_requests = Some(1));
        assert!(room.ask("/admin/a", 1).starts_with("reserve 4"));
        publish(&room, 1, 5, |_| {});
        assert_eq!(room.ask("/admin/a", 1), "5");
        assert_eq!(room.ask("/admin/a", 301), "stale-view");
        room.enforcer.lock(&Lockdown {
            id: LockdownId::from_u128(1),
            target: Whom::Person("ana".parse().unwrap()),
            reason: String::new(),
            principal: "local|boss".parse().unwrap(),
            person: "boss".parse().unwrap(),
            at: at(0),
        });
        assert_eq!(room.ask("/admin/a", 1), "locked-down");
    }

    /// What no rule protects, or only a folded form of the path does, is nothing to ask for.
    #[test]
    fn only_what_a_grant_can_admit_is_matched() {
        let room = Room::new();
        for (path, method, expected) in [
            ("/admin/a", "GET", true),
            ("/ADMIN/a", "GET", false),
            ("/public", "GET", false),
        ] {
            let request = http::Request::builder().method(method).uri(path);
            let (head, ()) = request
                .header("host", "app.example")
                .body(())
                .unwrap()
                .into_parts();
            let target = Target::read(&head).unwrap();
            assert_eq!(
                room.rules[0].matched(&target, &head.method).is_some(),
                expected,
                "{path}"
            );
        }
    }
}
