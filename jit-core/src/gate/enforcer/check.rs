//! Whether a live grant admits a request.

use std::sync::Arc;

use http::Method;

use super::{Enforcer, Holder, Standing};
use crate::approval::ask::Selector;
use crate::broker::directory::Person;
use crate::gate::authenticate::Subject;
use crate::gate::budget::{Budgeted, Draw};
use crate::gate::live::{Held, Live, Slot};
use crate::gate::permit::Permit;
use crate::gate::refusal::Refusal;
use crate::gate::rules::{Resource, admits, within};
use crate::gate::target::Target;
use crate::id::{Digest, GrantId, RequestId, ResourceName, Timestamp};
use crate::policy::terms::{ResourceDef, Scope};

impl Enforcer {
    /// Whether a live grant of `subject` admits `method` on `target`, which `governing` (as it is now) governs.
    ///
    /// A grant admits what its own resource, its scope and the governing resource all cover, and only under the name of the
    /// governing resource: a parent's grant never opens a stricter child.
    ///
    /// A grant that is bound to a credential does not count here: its holder's identity does not open it.
    pub fn check(
        &self,
        subject: &Subject,
        person: &Person,
        governing: &ResourceDef,
        target: &Target<'_>,
        method: &Method,
        now: Timestamp,
    ) -> Answer {
        let asker = Asker {
            subject,
            hash: self.hash(&subject.principal),
            person,
            standing: None,
            bearer: None,
            counts_bytes: false,
        };
        self.check_knowing(&asker, governing, target, method, now)
    }

    /// The same, by what is known of what they hold.
    pub(in crate::gate) fn check_knowing(
        &self,
        asker: &Asker<'_>,
        governing: &ResourceDef,
        target: &Target<'_>,
        method: &Method,
        now: Timestamp,
    ) -> Answer {
        let (whole, name) = (Scope::default(), &governing.name);
        let covers = |live: &Live| {
            let grant = live.grant();
            grant.resource.name == *name
                && covers(grant, target, method)
                && admits(governing, &whole, target, method)
        };
        self.admit(asker, name, covers, now)
    }

    /// As [`Enforcer::check`], for whoever `asker` is: with a credential, only the grant that is bound to it counts. The caller has it from
    /// [`RuleSet::govern`](crate::gate::rules::RuleSet::govern) that `governing` covers the request's exact form.
    pub(in crate::gate) fn check_as(
        &self,
        asker: &Asker<'_>,
        governing: &Resource,
        target: &Target<'_>,
        method: &Method,
        now: Timestamp,
    ) -> Answer {
        let (rule, name) = (governing.rule(), &governing.def().name);
        let covers = |live: &Live| {
            let grant = live.grant();
            if live.is_of(rule) {
                let scope = grant.scope.as_deref();
                scope.is_none_or(|scope| within(scope, target, method))
            } else {
                grant.resource.name == *name && covers(grant, target, method)
            }
        };
        self.admit(asker, name, covers, now)
    }

    /// Whether one of the holder's live grants admits a request for `resource`. `covers` says which grants are for that and cover the request.
    fn admit(
        &self,
        asker: &Asker<'_>,
        resource: &ResourceName,
        covers: impl Fn(&Live) -> bool,
        now: Timestamp,
    ) -> Answer {
        let &Asker {
            subject,
            person,
            standing,
            ..
        } = asker;
        if self.is_stale(now) {
            return Answer::Refuse(Refusal::StaleView);
        }
        if self.bars(&subject.principal, person, resource) {
            return Answer::Refuse(Refusal::LockedDown);
        }
        if person.disabled {
            return Answer::Refuse(Refusal::NotEligible {
                resource: resource.clone(),
            });
        }
        let known = standing.filter(|standing| self.is_present(standing, asker.hash));
        if let Some(Ok(permit)) = known.map(|known| Self::pick(&known.live, asker, &covers, now)) {
            return Answer::Admit(permit);
        }
        let Some(holder) = self.holders.get(&subject.principal) else {
            return Answer::Refuse(Refusal::ApprovalRequired {
                resource: resource.clone(),
            });
        };
        let theirs = |live: &Live| live.is_held_by(&subject.principal, &person.id) && covers(live);
        let hindrance = match Self::pick(&holder.live, asker, &theirs, now) {
            Ok(permit) => return Answer::Admit(permit),
            Err(hindrance) => hindrance,
        };
        let resource = resource.clone();
        Answer::Refuse(match hindrance {
            Some(Hindrance::Reserve(grant, of)) => return Answer::Reserve(grant, of),
            Some(Hindrance::Concurrent) => Refusal::TooManyConcurrent { resource },
            Some(Hindrance::StepUp(live)) => match live.grant().mfa.clone() {
                Some(terms) => Refusal::StepUp {
                    resource,
                    terms: *terms,
                },
                None => Refusal::ApprovalRequired { resource },
            },
            Some(Hindrance::Spent) => Refusal::BudgetSpent { resource },
            Some(Hindrance::Bytes) => Refusal::LimitNotEnforceable { resource },
            None => {
                let bound = |live: &&Arc<Live>| {
                    live.grant().selector == Selector::Credential && live.is_open(now) && covers(live)
                };
                if asker.bearer.is_none() && holder.live.iter().any(|live| bound(&live)) {
                    Refusal::CredentialRequired { resource }
                } else {
                    holder.waits_for(asker, &resource, now)
                }
            }
        })
    }

    /// The permit of the one among `live` that the request is attributed to, or what keeps the best of them from admitting it.
    fn pick(
        live: &[Arc<Live>],
        asker: &Asker<'_>,
        covers: &impl Fn(&Live) -> bool,
        now: Timestamp,
    ) -> Result<Permit, Option<Hindrance>> {
        let candidate = |live: &&Arc<Live>| asker.opens(live) && live.is_open(now) && covers(live);
        // Most have one, and need no order.
        if let [only] = live {
            return if candidate(&only) {
                Self::take(only, asker, now).map_err(Some)
            } else {
                Err(None)
            };
        }
        let order = |live: &Arc<Live>| (live.until(), live.grant().id);
        let mut hindrance: Option<Hindrance> = None;
        let mut tried = None;
        // From the latest end to the earliest, without a list: a holder has few live grants.
        while let Some(live) = live
            .iter()
            .filter(|live| tried.is_none_or(|tried| order(live) < tried))
            .filter(candidate)
            .max_by_key(|live| order(live))
        {
            tried = Some(order(live));
            match Self::take(live, asker, now) {
                Ok(permit) => return Ok(permit),
                Err(found) => hindrance = Some(hindrance.map_or(found.clone(), |first| first.or(found))),
            }
        }
        Err(hindrance)
    }

    /// Takes one request from a grant that covers it: the one place that makes a [`Permit`].
    fn take(live: &Arc<Live>, asker: &Asker<'_>, now: Timestamp) -> Result<Permit, Hindrance> {
        let slot = if live.is_unlimited() {
            None
        } else {
            Self::draw(live, asker, now)?
        };
        live.used(now);
        Ok(Permit::admitted(Arc::clone(live), slot))
    }

    /// What a request takes from a grant that has limits: of its budgets, and a place if they are counted.
    fn draw(live: &Arc<Live>, asker: &Asker<'_>, now: Timestamp) -> Result<Option<Arc<Slot>>, Hindrance> {
        let (grant, usage, subject) = (live.grant(), live.usage(), asker.subject);
        if grant.max_bytes.is_some() {
            if !asker.counts_bytes {
                return Err(Hindrance::Bytes);
            }
            // They are taken as they pass. There has to be one at least.
            match usage.budget(Budgeted::Bytes).look() {
                Draw::Drawn(_) => {}
                Draw::Empty => return Err(Hindrance::Reserve(grant.id, Budgeted::Bytes)),
                Draw::Spent => return Err(Hindrance::Spent),
            }
        }
        if let Some(terms) = &grant.mfa {
            // How strong the sign-in is counts for every request: another, weaker credential of the holder does not ride along. How
            // old it is counts once.
            let enough = match usage.last_use() {
                None => subject.assurance.satisfies(terms, now),
                Some(_) => subject.assurance.is_strong(terms),
            };
            if !enough {
                return Err(Hindrance::StepUp(Arc::clone(live)));
            }
        }
        let slot = match grant.max_concurrent {
            None => None,
            Some(limit) => Some(Arc::new(usage.enter(limit).ok_or(Hindrance::Concurrent)?)),
        };
        if grant.max_requests.is_some() {
            match usage.budget(Budgeted::Requests).draw(1) {
                Draw::Drawn(_) => {}
                Draw::Empty => return Err(Hindrance::Reserve(grant.id, Budgeted::Requests)),
                Draw::Spent => return Err(Hindrance::Spent),
            }
        }
        Ok(slot)
    }
}

/// Whether the grant's own resource and its scope cover a request.
pub(in crate::gate) fn covers(grant: &Held, target: &Target<'_>, method: &Method) -> bool {
    let whole = Scope::default();
    let scope = grant.scope.as_deref().unwrap_or(&whole);
    admits(&grant.resource, scope, target, method)
}

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub(in crate::gate) struct Asker<'a> {
    pub(in crate::gate) subject: &'a Subject,
    /// [`Enforcer::hash`] of the subject's principal.
    pub(in crate::gate) hash: u64,
    pub(in crate::gate) person: &'a Person,
    /// What they held when that was last looked up.
    pub(in crate::gate) standing: Option<&'a Standing>,
    /// The credential that named them, where it was one that is bound to a grant.
    pub(in crate::gate) bearer: Option<Bearer>,
    /// Whether what passes is counted by the octet.
    pub(in crate::gate) counts_bytes: bool,
}

/// A credential that was presented, and the grant that it is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Bearer {
    pub(super) grant: GrantId,
    pub(super) credential: Digest,
}

impl Bearer {
    pub(in crate::gate) const fn credential(&self) -> Digest {
        self.credential
    }
}

impl Asker<'_> {
    /// Whether what they present opens this grant of theirs, as its selector says.
    fn opens(&self, live: &Live) -> bool {
        let grant = live.grant();
        match (grant.selector, &self.bearer) {
            (Selector::Principal, None) => true,
            (Selector::Credential, Some(bearer)) => {
                let bound = live.credential().map(|bound| bound.digest);
                grant.id == bearer.grant && bound == Some(bearer.credential)
            }
            (Selector::Principal, Some(_)) | (Selector::Credential, None) => false,
        }
    }

    /// Whether a refusal may name this request of the holder's: whoever bears a credential learns of its grant alone.
    fn may_know(&self, request: RequestId) -> bool {
        self.bearer.is_none_or(|bearer| bearer.grant == request.into())
    }
}

/// What a check came to.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_enums, reason = "whoever asks must handle every answer")]
pub enum Answer {
    /// Admitted.
    Admit(Permit),
    /// Not admitted.
    Refuse(Refusal),
    /// It may be, once more of this grant's budget has been reserved.
    Reserve(GrantId, Budgeted),
}

/// Why a grant that covers a request does not admit it.
#[derive(Debug, Clone)]
enum Hindrance {
    Reserve(GrantId, Budgeted),
    Concurrent,
    StepUp(Arc<Live>),
    Spent,
    Bytes,
}

impl Hindrance {
    /// The one of two that is easier to mend.
    fn or(self, other: Self) -> Self {
        let rank = |hindrance: &Self| match hindrance {
            Self::Reserve(..) => 0,
            Self::Concurrent => 1,
            Self::StepUp(_) => 2,
            Self::Spent => 3,
            Self::Bytes => 4,
        };
        if rank(&other) < rank(&self) { other } else { self }
    }
}

impl Holder {
    /// The refusal for someone whom no grant covers: it names what they wait for, if they do.
    fn waits_for(&self, asker: &Asker<'_>, resource: &ResourceName, now: Timestamp) -> Refusal {
        let resource = resource.clone();
        let asked = self
            .waiting
            .iter()
            .filter(|waiting| waiting.resource == resource)
            .map(|waiting| (waiting.request, waiting.opens_at));
        let ahead = self
            .live
            .iter()
            .map(|live| live.grant())
            .filter(|grant| grant.resource.name == resource && now < grant.not_before)
            .map(|grant| (RequestId::from(grant.id), Some(grant.not_before)));
        // The one that opens first; those that are not approved come last.
        let known = asked.chain(ahead).filter(|(request, _)| asker.may_know(*request));
        match known.min_by_key(|(_, at)| (at.is_none(), *at)) {
            Some((request, opens_at)) => Refusal::ApprovalPending {
                resource,
                request,
                opens_at,
            },
            None => Refusal::ApprovalRequired { resource },
        }
    }
}
