//! A credential that was replaced opens nothing, and the one that replaced it opens the grant.

use shuttle::thread;

use super::*;
use crate::approval::ask::{Assurance, Selector};
use crate::approval::credential::GrantCredential;
use crate::gate::rules::RuleSet;
use crate::id::Digest;

/// Ana's grant, bound to the `number`-th credential.
fn bound(number: u32) -> Request {
    Request {
        credential: Some(GrantCredential {
            digest: digest(number),
            assurance: Assurance::default(),
            issued_at: at(0),
            number,
        }),
        ..active_with(1, |grant| grant.selector = Selector::Credential)
    }
}

fn digest(number: u32) -> Digest {
    Digest::of([number.to_be_bytes().as_slice()])
}

impl Asks {
    /// Asks as whoever presents the `number`-th credential.
    fn opens(&self, enforcer: &Enforcer, number: u32) -> bool {
        let Some(bearer) = enforcer.bearer(digest(number), at(1)) else {
            return false;
        };
        let asker = Asker {
            subject: &self.subject,
            hash: enforcer.hash(&self.subject.principal),
            person: &self.person,
            standing: None,
            bearer: Some(bearer),
            counts_bytes: false,
        };
        let target = Target::read(&self.head).unwrap();
        let rules = RuleSet::compile(std::slice::from_ref(&self.governing), &[]).unwrap();
        let governing = rules.resource(&self.governing.name).unwrap();
        let answer = enforcer.check_as(&asker, governing, &target, &Method::GET, at(1));
        matches!(answer, Answer::Admit(_))
    }
}

#[test]
fn the_last_credential_alone_opens_its_grant() {
    let (ana, first, second) = (ana(), bound(1), bound(2));
    explore("bearers that race the next credential", move || {
        let (enforcer, replaced, done) = (enforcer(), Returned::default(), Barrier::new(3));
        enforcer.publish(1, &first);
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..4 {
                        let after = replaced.yet();
                        assert!(!(ana.opens(&enforcer, 1) && after));
                    }
                    done.wait();
                    assert!(!ana.opens(&enforcer, 1) && ana.opens(&enforcer, 2));
                });
            }
            scope.spawn(|| {
                enforcer.publish(2, &second);
                replaced.note();
                done.wait();
            });
        });
        assert!(!ana.gets_in(&enforcer, at(1)), "an identity opens no bound grant");
    });
}
