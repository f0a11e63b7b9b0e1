//! Putting a policy in force: what waits is asked anew under it, and what is live and no longer permitted is cut back or revoked.

use crate::approval::Command;
use crate::approval::digest::digest;
use crate::approval::event::{ControlEvent, EndCause, Event};
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::change::{Intent, Part};
use crate::broker::loading::{Loaded, encode};
use crate::broker::store::{Batch, Draft, Facets, PAGE_MAX, Position, StoreError, StreamId, Version, Write};
use crate::broker::{Broker, Rejection};
use crate::id::{Digest, GrantId, RequestId};
use crate::policy::Policy;

/// How often a lost compare-and-set is tried again.
const TRIES: usize = 64;
/// Why a grant was revoked, in the log.
pub(super) const NOT_PERMITTED: &str = "the policy no longer permits this grant";

impl Broker {
    /// Puts `policy` in force. Pending requests are put to its terms (their reviews are void where anything changed); live grants that it
    /// no longer permits are shortened or revoked. The gate's rules are the gate's own: hand them the same policy first, so that
    /// nothing new is open before what it protects is known.
    ///
    /// # Errors
    /// The store's or the directory's. The policy is in force all the same; [`Broker::reconsider`] goes on where this stopped.
    pub async fn set_policy(&self, policy: Policy) -> Result<(), Rejection> {
        let digest = policy.digest();
        self.inner.policy.store(std::sync::Arc::new(policy));
        self.rule_interactions();
        self.policy_loaded(digest).await?;
        self.reconsider().await
    }

    /// Records which policy is in force, if it is not the one recorded last. The stream moves on either way: an asking that was ruled on
    /// by the policy before can't be written after this.
    pub(super) async fn policy_loaded(&self, digest: Digest) -> Result<(), Rejection> {
        for _ in 0..TRIES {
            let before = self.inner.store.load(&StreamId::Control).await?;
            let state = encode(&digest)?;
            let known = before.as_ref().is_some_and(|snapshot| snapshot.state == state);
            let news = Draft {
                at: self.now(),
                body: encode(&ControlEvent::PolicyLoaded { digest })?,
            };
            let write = Write {
                stream: StreamId::Control,
                expected: before.map_or(0, |snapshot| snapshot.version),
                events: if known { Vec::new() } else { vec![news] },
                state,
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
                other => return other.map(|_| ()).map_err(Rejection::from),
            }
        }
        Err(StoreError::unavailable("too many policies at once; try again").into())
    }

    /// Holds everything that is live, as the store has it, against the policy in force.
    ///
    /// # Errors
    /// The store's or the directory's, after everything else has been tried.
    pub async fn reconsider(&self) -> Result<(), Rejection> {
        let mut failed = None;
        let mut after: Position = 0;
        loop {
            let page = self.inner.store.live(after, PAGE_MAX).await?;
            let Some(last) = page.last() else { break };
            after = last.created;
            for snapshot in &page {
                let StreamId::Request(id) = &snapshot.stream else {
                    continue;
                };
                match self.reconsider_one(*id).await {
                    Ok(()) | Err(Rejection::Refused(_)) => {}
                    Err(failure) => failed = Some(failure),
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    pub(super) async fn control_version(&self) -> Result<Version, Rejection> {
        let control = self.inner.store.load(&StreamId::Control).await?;
        Ok(control.map_or(0, |snapshot| snapshot.version))
    }

    async fn reconsider_one(&self, id: RequestId) -> Result<(), Rejection> {
        for _ in 0..TRIES {
            let loaded = self.request(id).await?;
            let done = if loaded.state.state == State::Pending {
                self.restate(loaded).await
            } else {
                self.cut_back(loaded).await
            };
            match done {
                Err(Rejection::Store(StoreError::Conflict { .. })) => {}
                other => return other,
            }
        }
        Err(StoreError::unavailable("too many others are changing the same request").into())
    }

    async fn restate(&self, loaded: Loaded<Request>) -> Result<(), Rejection> {
        let request = &loaded.state;
        let now = self.now();
        let person = self
            .inner
            .directory
            .resolve(&request.requester.principal, now)
            .await?;
        let ruling = match person {
            Some(person) => self.policy().restate(&request.ruling, &person, now),
            None => Err(Refused::NotEligible),
        };
        let ruling = match (ruling, request.extends, request.ruling.start) {
            (Ok(ruling), Some(_), Some(start)) => {
                let latest = ruling
                    .terms
                    .duration
                    .max_total
                    .after(self.chain_begins(request).await?);
                Some(ruling).filter(|ruling| ruling.duration.after(start) <= latest)
            }
            (ruling, _, _) => ruling.ok(),
        };
        let Some(mut ruling) = ruling else {
            let reason = "the policy no longer permits this request";
            return self
                .act(
                    request.id,
                    &Intent::Kill {
                        cause: EndCause::Policy,
                        reason,
                    },
                )
                .await
                .map(|_| ());
        };
        ruling.start = request.ruling.start;
        let fresh = digest(request.id, &request.requester, &ruling, request.extends).map_err(|error| {
            StoreError::Invalid {
                problem: error.to_string(),
            }
        })?;
        let approvers = self.approvers(&ruling.terms, now).await?;
        let command = Command::Restate {
            ruling: &ruling,
            digest: fresh,
            approvers: &approvers,
        };
        let events = request.decide(&command, None, now)?;
        self.write(loaded, events).await
    }

    async fn cut_back(&self, loaded: Loaded<Request>) -> Result<(), Rejection> {
        let request = &loaded.state;
        let Some(grant) = &request.grant else {
            return Ok(());
        };
        let now = self.now();
        let kill = Intent::Kill {
            cause: EndCause::Policy,
            reason: NOT_PERMITTED,
        };
        let holder = &request.requester.principal;
        let person = self.inner.directory.resolve(holder, now).await?;
        let Some(standing) = person.and_then(|person| self.policy().stands(&request.ruling, &person)) else {
            return self.act(request.id, &kill).await.map(|_| ());
        };
        let total = standing.total.after(self.chain_begins(request).await?);
        let not_after = standing.longest.after(grant.not_before).min(total);
        if not_after <= now.max(grant.not_before) {
            return self.act(request.id, &kill).await.map(|_| ());
        }
        let reason = "the policy now allows less time";
        let command = Command::Narrow {
            not_after,
            scope: &grant.scope,
            reason,
        };
        let used = self.last_use(request).await?;
        let events = request.decide(&command, used, now)?;
        self.write(loaded, events).await
    }

    async fn write(&self, loaded: Loaded<Request>, events: Vec<Event>) -> Result<(), Rejection> {
        if events.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut person = self.person(&loaded.state.requester.person).await?;
        let id = loaded.state.id;
        let part = Part {
            version: loaded.version,
            before: Some(loaded.state),
            events,
        };
        self.commit(vec![part], &mut person, Vec::new(), now).await.map(|_| ()).inspect_err(|error| {
            tracing::debug!(grant = %GrantId::from(id), %error, "a policy change could not be applied yet");
        })
    }
}
