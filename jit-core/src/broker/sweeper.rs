//! Sweeping: writes down what time has done, activates what is due, checks holders again, and pays what is owed.

use std::time::Duration;

use crate::approval::event::EndCause;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::change::Intent;
use crate::broker::{Broker, Rejection};
use crate::id::{GrantId, RequestId, Timestamp};
use crate::span::Span;

/// Most requests that one sweep touches: the next goes on.
const SWEEP_MAX: usize = 1000;
/// A request that could not be swept is looked at again after this.
const RETRY: Span = match Span::seconds(1) {
    Ok(span) => span,
    Err(_) => Span::MAX,
};
/// Holders are checked again this often.
pub(super) const RECHECK_EVERY: Duration = Duration::from_secs(30);

impl Broker {
    /// Does what is due now. Answers how many requests it touched.
    ///
    /// # Errors
    /// The store's or the directory's, after everything else has been tried.
    pub async fn sweep(&self) -> Result<usize, Rejection> {
        let mut failed = self.flush_uses().await.err();
        let now = self.now();
        let mut touched = 0;
        for lockdown in self.inner.agenda.owed_lockdowns() {
            failed = self.pay_lockdown(lockdown).await.err().or(failed);
            touched += 1;
        }
        for (id, cause, reason) in self.inner.agenda.owed() {
            match self
                .act(
                    id,
                    &Intent::Kill {
                        cause,
                        reason: &reason,
                    },
                )
                .await
            {
                Ok(_) | Err(Rejection::Refused(_)) => self.inner.agenda.settle(id),
                Err(failure) => failed = Some(failure),
            }
            touched += 1;
        }
        for id in self.inner.agenda.due(now, SWEEP_MAX) {
            if let Err(failure) = self.sweep_one(id, now).await {
                tracing::warn!(request = %id, error = %failure, "could not be swept; it is tried again");
                self.inner.agenda.postpone(id, RETRY.after(now));
                failed = Some(failure);
            }
            touched += 1;
        }
        self.inner.enforcer.sweep(now);
        failed.map_or(Ok(touched), Err)
    }

    async fn sweep_one(&self, id: RequestId, now: Timestamp) -> Result<(), Rejection> {
        let loaded = match self.request(id).await {
            Ok(loaded) => loaded,
            Err(Rejection::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        let used = self.last_use(&loaded.state).await?;
        if let Some(used) = used {
            // Another gate may have seen it: this one must not take the grant for idle.
            self.inner.agenda.used(id, used);
            self.inner.enforcer.note_use(GrantId::from(id), used);
        }
        let state = loaded.state.state_at(used, now);
        let done = if state == State::Scheduled {
            self.act(id, &Intent::Activate).await
        } else {
            self.act(id, &Intent::Lapse).await
        };
        match done {
            Ok(view) => {
                // A use that another gate has seen moves the deadline without a write.
                self.publish(view.version, &view.request);
                if let Some(next) = view.request.next_deadline(used).filter(|next| *next > now) {
                    self.inner.agenda.postpone(id, next);
                } else if !view.request.state.is_terminal() {
                    self.inner.agenda.postpone(id, RETRY.after(now));
                }
                Ok(())
            }
            // A scheduled grant that a lockdown or a cap keeps from being activated waits: the window may still come.
            Err(Rejection::Refused(_)) => {
                self.inner.agenda.postpone(id, RETRY.after(now));
                Ok(())
            }
            Err(failure) => Err(failure),
        }
    }

    /// Checks every holder again: whoever is disabled, unknown or no longer among the requesters loses what they hold; so does whoever
    /// is locked down.
    ///
    /// # Errors
    /// The store's or the directory's, after everything else has been tried.
    pub async fn recheck(&self) -> Result<(), Rejection> {
        let lockdowns = self.lockdown_state().await?.state;
        let mut failed = None;
        for lockdown in lockdowns.iter() {
            failed = self.revoke_matching(lockdown).await.err().or(failed);
        }
        for id in self.inner.agenda.live() {
            if let Err(failure) = self.recheck_one(id).await {
                failed = Some(failure);
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn recheck_one(&self, id: RequestId) -> Result<(), Rejection> {
        let request = match self.request(id).await {
            Ok(loaded) => loaded.state,
            Err(Rejection::Refused(_)) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        if request.state == State::Pending || self.stands(&request).await? {
            return Ok(());
        }
        let reason = "the holder is no longer eligible";
        match self
            .act(
                id,
                &Intent::Kill {
                    cause: EndCause::Recheck,
                    reason,
                },
            )
            .await
        {
            Ok(_) | Err(Rejection::Refused(_)) => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    async fn stands(&self, request: &Request) -> Result<bool, Rejection> {
        let person = self
            .inner
            .directory
            .resolve(&request.requester.principal, self.now())
            .await?;
        Ok(person.is_some_and(|person| request.may_hold(&person)))
    }

    /// Runs until the future is dropped: follows the log, sweeps, rechecks, delivers and writes down interactions, each at its own pace.
    pub async fn run(&self) {
        tokio::join!(
            self.follow_forever(),
            self.sweep_forever(),
            self.recheck_forever(),
            self.deliver_forever(),
            self.record_forever()
        );
    }

    async fn follow_forever(&self) {
        let mut changes = self.changes();
        let mut tick = every(Duration::from_secs(1));
        loop {
            if let Err(error) = self.follow().await {
                tracing::warn!(%error, "the log can't be followed; the gate's view ages");
            }
            // A wake-up is a hint; the tick is what freshness rests on. Under many writes one read serves all of a moment.
            tokio::select! {
                _ = tick.tick() => {}
                _ = changes.changed() => tokio::time::sleep(Duration::from_millis(25)).await,
            }
        }
    }

    async fn sweep_forever(&self) {
        let mut tick = every(Duration::from_millis(250));
        loop {
            tick.tick().await;
            if let Err(error) = self.sweep().await {
                tracing::warn!(%error, "the sweep is not complete; it goes on");
            }
        }
    }

    async fn recheck_forever(&self) {
        let mut tick = every(RECHECK_EVERY);
        loop {
            tick.tick().await;
            if let Err(error) = self.recheck().await {
                tracing::warn!(%error, "holders could not all be checked again; it goes on");
            }
        }
    }

    async fn deliver_forever(&self) {
        if self.inner.notifier.is_none() {
            return;
        }
        let mut changes = self.changes();
        let mut tick = every(Duration::from_secs(5));
        loop {
            if let Err(error) = self.deliver().await {
                tracing::warn!(%error, "messages could not be delivered; they are tried again");
            }
            tokio::select! {
                _ = tick.tick() => {}
                _ = changes.changed() => {}
            }
        }
    }
}

pub(super) fn every(period: Duration) -> tokio::time::Interval {
    let mut interval = tokio::time::interval(period);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    interval
}
