//! Lockdowns: declaring, lifting, and what they end.

use crate::approval::ask::Actor;
use crate::approval::event::{EndCause, LockdownEvent};
use crate::approval::lockdown::{LOCKDOWNS_MAX, Lockdown, Target};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::acting::cleaned;
use crate::broker::change::Intent;
use crate::broker::directory::{DirectoryError, Members};
use crate::broker::loading::{Loaded, decode, encode};
use crate::broker::store::{Batch, Draft, Facets, PAGE_MAX, Position, StoreError, StreamId, Write};
use crate::broker::{Broker, Rejection};
use crate::id::LockdownId;

/// How often a lost compare-and-set on the lockdowns' stream is tried again.
const TRIES: usize = 64;

impl Broker {
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

    /// Whether policy and directory can tell that `target` is nobody and nothing: a slip more often than not. It can be locked down all the
    /// same, since another node may know more. Never of an identity: who has not come yet, or not for a while, is not nobody.
    ///
    /// # Errors
    /// The directory's.
    pub async fn is_unknown(&self, target: &Target) -> Result<bool, DirectoryError> {
        let (directory, now) = (&self.inner.directory, self.now());
        Ok(match target {
            Target::All | Target::Principal(_) => false,
            Target::Resource(name) => self.inner.policy.load().resource(name).is_none(),
            Target::Person(person) => directory.knows(person, now).await? == Some(false),
            Target::Role(role) => match directory.members(role, now).await? {
                Members::Known(members) => members.is_empty(),
                Members::Unknown => false,
            },
        })
    }
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
