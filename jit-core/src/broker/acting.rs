//! Reviews, withdrawals, revocations and lockdowns: what people do to what was asked.

use crate::approval::ask::Actor;
use crate::approval::credential::CredentialToken;
use crate::approval::event::{EndCause, Finding, LockdownEvent};
use crate::approval::evidence::Evidence;
use crate::approval::lockdown::{LOCKDOWNS_MAX, Lockdown, Target};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::review::Opinion;
use crate::approval::state::State;
use crate::broker::change::Intent;
use crate::broker::loading::{Loaded, decode, encode};
use crate::broker::store::{Batch, Draft, Facets, PAGE_MAX, Position, StoreError, StreamId, Write};
use crate::broker::{Broker, Rejection, View};
use crate::gate::target::canonical_prefix;
use crate::id::{LockdownId, RequestId};
use crate::policy::text::{REASON_MAX, clean};

/// How often a lost compare-and-set on the lockdowns' stream is tried again.
const TRIES: usize = 64;

impl Broker {
    /// Approves or denies.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn review(&self, by: &Actor, id: RequestId, opinion: Opinion) -> Result<View, Rejection> {
        self.review_with(by, id, opinion, None).await
    }

    /// Approves or denies, with the assertion of a passkey over it, which is kept in the record. Its signature has been verified; whether
    /// it is about this review is checked here.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn review_signed(
        &self,
        by: &Actor,
        id: RequestId,
        opinion: Opinion,
        evidence: &Evidence,
    ) -> Result<View, Rejection> {
        self.review_with(by, id, opinion, Some(evidence)).await
    }

    /// An opinion as it is kept: its paths canonical, its comment cleaned. What a passkey signs is this.
    ///
    /// # Errors
    /// [`Refused::Invalid`] when a path has no canonical form, or there are too many.
    pub fn canonical(mut opinion: Opinion) -> Result<Opinion, Refused> {
        let paths = &mut opinion.narrowing.paths;
        if paths.len() > 32 || opinion.narrowing.methods.len() > 32 {
            return Err(Refused::invalid("paths", "and methods may be at most 32 each"));
        }
        *paths = std::mem::take(paths)
            .iter()
            .map(|path| canonical_prefix(path))
            .collect::<Result<_, _>>()
            .map_err(|problem| Refused::invalid("paths", problem.to_string()))?;
        opinion.comment = clean(&opinion.comment);
        Ok(opinion)
    }

    async fn review_with(
        &self,
        by: &Actor,
        id: RequestId,
        opinion: Opinion,
        evidence: Option<&Evidence>,
    ) -> Result<View, Rejection> {
        let opinion = Self::canonical(opinion)?;
        self.act(
            id,
            &Intent::Review {
                by,
                opinion: &opinion,
                evidence,
            },
        )
        .await
    }

    /// Takes back what the actor asked for, while it is pending.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn withdraw(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Withdraw { by, reason }).await
    }

    /// Gives a grant back before its end.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: the gate is shut all the same.
    pub async fn release(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Release { by, reason }).await
    }

    /// Takes a grant away: for revokers and for those who may review it.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: the gate is shut all the same, and the write is
    /// tried again until it succeeds.
    pub async fn revoke(&self, by: &Actor, id: RequestId, reason: &str) -> Result<View, Rejection> {
        let reason = &cleaned(reason)?;
        self.act(id, &Intent::Revoke { by, reason }).await
    }

    /// Takes a credential for a grant whose selector is `credential`: for its holder, while it is scheduled or active. The one before
    /// ends with this.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: whether there is a new credential is then not known,
    /// and taking another one is safe.
    pub async fn issue_credential(&self, by: &Actor, id: RequestId) -> Result<Issued, Rejection> {
        let token = CredentialToken::random()?;
        let credential = token.digest();
        let view = self.act(id, &Intent::Issue { by, credential }).await?;
        Ok(Issued { view, token })
    }

    /// Records what another person found when they looked into a break-glass; settles the requester's debt.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn after_review(
        &self,
        by: &Actor,
        id: RequestId,
        finding: Finding,
        comment: &str,
    ) -> Result<View, Rejection> {
        self.act(id, &Intent::AfterReview { by, finding, comment }).await
    }

    /// The lockdowns in force: for those who may declare them, auditors and revokers.
    ///
    /// # Errors
    /// [`Refused::NotEligible`] for everyone else; the store's.
    pub async fn lockdowns(&self, by: &Actor) -> Result<Vec<Lockdown>, Rejection> {
        let powers = self.powers(by);
        if !(powers.lockdown || powers.auditor || powers.revoker) {
            return Err(Refused::NotEligible.into());
        }
        Ok(self.lockdown_state().await?.state.iter().cloned().collect())
    }

    /// Declares a lockdown: this gate is shut at once, then it is written, then every grant that it matches is revoked.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port: this gate stays locked, and the write is tried again
    /// until it succeeds or the process ends.
    pub async fn lock_down(&self, by: &Actor, target: Target, reason: &str) -> Result<Lockdown, Rejection> {
        if !self.powers(by).lockdown {
            return Err(Refused::NotEligible.into());
        }
        let reason = cleaned(reason)?;
        if reason.is_empty() {
            return Err(
                Refused::invalid("reason", "must say why; everyone who is refused will read it").into(),
            );
        }
        let lockdown = Lockdown {
            id: LockdownId::random()?,
            target,
            reason,
            principal: by.principal.clone(),
            person: by.person.id.clone(),
            at: self.now(),
        };
        let in_force = self.lockdown_state().await;
        if in_force
            .as_ref()
            .is_ok_and(|known| known.state.len() >= LOCKDOWNS_MAX)
        {
            let limit = format!("{LOCKDOWNS_MAX} lockdowns are in force; lift some");
            return Err(Refused::LimitReached {
                limit,
                retry_at: None,
                request: None,
            }
            .into());
        }
        let mut owing = Owing {
            broker: self,
            lockdown: Some(lockdown.clone()),
        };
        self.inner.enforcer.lock(&lockdown);
        in_force?;
        let event = LockdownEvent::LockedDown {
            lockdown: lockdown.clone(),
        };
        self.record_lockdown(&event).await?;
        owing.lockdown = None;
        // What can't be revoked at once is locked out by the lockdown itself, and every sweep tries again while it is in force.
        self.revoke_matching(&lockdown).await?;
        Ok(lockdown)
    }

    /// Lifts a lockdown. What it ended stays ended: it is lifted only when every grant that it matches has been revoked.
    ///
    /// # Errors
    /// [`Refused`], and nothing has changed; otherwise the failure of a port.
    pub async fn lift(&self, by: &Actor, id: LockdownId, reason: &str) -> Result<(), Rejection> {
        if !self.powers(by).lockdown {
            return Err(Refused::NotEligible.into());
        }
        let reason = cleaned(reason)?;
        let lockdowns = self.lockdown_state().await?.state;
        let lockdown = lockdowns.get(id).ok_or(Refused::NotFound)?;
        // Whoever is locked lifts nothing, unless everyone is.
        if lockdowns.singles_out(&by.principal, &by.person) {
            return Err(Refused::NotEligible.into());
        }
        self.revoke_matching(lockdown).await?;
        let event = LockdownEvent::LockdownLifted {
            id,
            principal: by.principal.clone(),
            person: by.person.id.clone(),
            reason,
        };
        self.record_lockdown(&event).await
    }

    /// Writes a lockdown that shut the gate and is not known to be written.
    pub(super) async fn pay_lockdown(&self, lockdown: Lockdown) -> Result<(), Rejection> {
        let id = lockdown.id;
        let event = LockdownEvent::LockedDown {
            lockdown: lockdown.clone(),
        };
        self.record_lockdown(&event).await?;
        self.inner.agenda.settle_lockdown(id);
        self.revoke_matching(&lockdown).await
    }

    async fn record_lockdown(&self, event: &LockdownEvent) -> Result<(), Rejection> {
        for _ in 0..TRIES {
            let before = self.lockdown_state().await?;
            if let LockdownEvent::LockdownLifted { id, .. } = event
                && before.state.get(*id).is_none()
            {
                return Err(Refused::NotFound.into());
            }
            if let LockdownEvent::LockedDown { lockdown } = event
                && before.state.get(lockdown.id).is_some()
            {
                // Written by a call that did not hear the answer.
                let all: Vec<Lockdown> = before.state.iter().cloned().collect();
                self.inner.enforcer.set_lockdowns(before.version, &all);
                return Ok(());
            }
            let after = Loaded {
                state: before.state.fold(event),
                version: before.version + 1,
            };
            let write = Write {
                stream: StreamId::Lockdowns,
                expected: before.version,
                events: vec![Draft {
                    at: self.now(),
                    body: encode(event)?,
                }],
                state: encode(&after.state)?,
                facets: Facets::default(),
            };
            match self
                .inner
                .store
                .append(Batch {
                    writes: vec![write],
                    unchanged: Vec::new(),
                })
                .await
            {
                Err(StoreError::Conflict { .. }) => {}
                Err(failure) => return Err(failure.into()),
                Ok(records) => {
                    let all: Vec<Lockdown> = after.state.iter().cloned().collect();
                    self.inner.enforcer.set_lockdowns(after.version, &all);
                    if let Some(last) = records.last() {
                        self.announce(last.position);
                    }
                    return Ok(());
                }
            }
        }
        Err(StoreError::unavailable("too many lockdowns at once; try again").into())
    }

    /// Revokes every live grant that `lockdown` matches. It goes by the store: another process may have granted something that was not
    /// heard of here. What can't be revoked keeps nothing else from being revoked.
    pub(super) async fn revoke_matching(&self, lockdown: &Lockdown) -> Result<(), Rejection> {
        let mut failed = None;
        let mut after: Position = 0;
        loop {
            let page = self.inner.store.live(after, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.created;
            for snapshot in &page {
                if let Err(failure) = self.revoke_if_matching(lockdown, &snapshot.state).await {
                    failed = Some(failure);
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn revoke_if_matching(&self, lockdown: &Lockdown, state: &str) -> Result<(), Rejection> {
        let request: Request = decode(state)?;
        if request.state == State::Pending || !self.matches(lockdown, &request).await? {
            return Ok(());
        }
        let kill = Intent::Kill {
            cause: EndCause::Lockdown(lockdown.id),
            reason: &lockdown.reason,
        };
        match self.act(request.id, &kill).await {
            Ok(_) | Err(Rejection::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn matches(&self, lockdown: &Lockdown, request: &Request) -> Result<bool, Rejection> {
        let requester = &request.requester;
        Ok(match &lockdown.target {
            Target::All => true,
            Target::Resource(resource) => *resource == request.ruling.resource.name,
            Target::Principal(principal) => *principal == requester.principal,
            Target::Person(person) => *person == requester.person,
            // Whoever the Directory no longer knows has every role that is being locked.
            Target::Role(role) => self
                .inner
                .directory
                .resolve(&requester.principal, self.now())
                .await?
                .is_none_or(|person| person.roles.contains(role)),
        })
    }
}

/// What issuing a credential came to.
#[derive(Debug)]
#[non_exhaustive]
pub struct Issued {
    /// The request as it stands.
    pub view: View,
    /// The credential. Nobody can read it again.
    pub token: CredentialToken,
}

/// A lockdown that has shut the gate. Dropped while it is not known to be written, the sweeper tries again; the gate stays shut.
struct Owing<'a> {
    broker: &'a Broker,
    lockdown: Option<Lockdown>,
}

impl Drop for Owing<'_> {
    fn drop(&mut self) {
        if let Some(lockdown) = self.lockdown.take() {
            tracing::error!(lockdown = %lockdown.id, "a lockdown was not written; this gate stays locked and it is tried again");
            self.broker.inner.agenda.owe_lockdown(lockdown);
        }
    }
}

pub(super) fn cleaned(reason: &str) -> Result<String, Refused> {
    let reason = clean(reason);
    if reason.chars().count() > REASON_MAX {
        return Err(Refused::invalid(
            "reason",
            format!("must be at most {REASON_MAX} characters"),
        ));
    }
    Ok(reason)
}
