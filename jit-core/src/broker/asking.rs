//! Asking: policy, limits, lockdowns, and the first events of a request in one transaction.

use std::collections::BTreeSet;

use async_trait::async_trait;

use crate::approval::ask::{Actor, Ask, Ruling};
use crate::approval::event::{Event, IdempotencyKey};
use crate::approval::person::PersonState;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::approval::{Command, open};
use crate::broker::change::Part;
use crate::broker::directory::Members;
use crate::broker::loading::Loaded;
use crate::broker::store::{StoreError, StreamId};
use crate::broker::{Broker, Rejection, View};
use crate::gate::authenticate::Subject;
use crate::gate::{Asking, NotAsked};
use crate::id::{Digest, PersonId, RequestId, Timestamp};
use crate::policy::terms::{People, Terms};
use crate::span::Span;

/// How often a lost compare-and-set is tried again.
const TRIES: usize = 64;
/// How many grants a chain of extensions may have.
const CHAIN_MAX: usize = 64;

/// How often one grant may be asked to be continued: each revocation of it looks at all of these.
const EXTENSIONS_MAX: usize = 64;

/// What an asking became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The request.
    pub view: View,
    /// Whether it is new. If not, an earlier asking with the same idempotency key made it.
    pub created: bool,
}

impl Broker {
    /// Asks for access. `key` is the caller's own name for this asking: the same asking with the same key finds the same request,
    /// however often it is repeated.
    ///
    /// # Errors
    /// [`Refused`] when the policy, a limit or a lockdown says no, and nothing has changed; otherwise the failure of a port.
    pub async fn ask(&self, actor: &Actor, ask: Ask, key: Option<&str>) -> Result<Asked, Rejection> {
        let key = match key {
            Some(key) => Some(idempotency_key(actor, &ask, key)?),
            None => None,
        };
        let id = RequestId::random()?;
        for _ in 0..TRIES {
            let now = self.now();
            let mut person = self.person(&actor.person.id).await?;
            if let Some(key) = &key
                && let Some(earlier) = person.state.seen(key)?
            {
                return Ok(Asked {
                    view: self.view(actor, earlier).await?,
                    created: false,
                });
            }
            match self.ask_once(actor, &ask, key, id, &mut person, now).await {
                Err(Rejection::Store(StoreError::Conflict { .. })) => {}
                other => return other.map(|view| Asked { view, created: true }),
            }
        }
        Err(StoreError::unavailable("too many askings of the same person at once; try again").into())
    }

    async fn ask_once(
        &self,
        actor: &Actor,
        ask: &Ask,
        key: Option<IdempotencyKey>,
        id: RequestId,
        person: &mut Loaded<PersonState>,
        now: Timestamp,
    ) -> Result<View, Rejection> {
        let lockdowns = self.lockdown_state().await?;
        // Read before the policy: a policy that comes in force meanwhile makes the write lose, or finds what was written.
        let control = self.control_version().await?;
        let policy = self.policy();
        let mut ruling = policy.rule(ask, actor, now)?;
        if let Some(l) = lockdowns
            .state
            .access(&actor.principal, &actor.person, &ruling.resource.name)
        {
            return Err(Refused::LockedDown {
                reason: l.reason.clone(),
            }
            .into());
        }
        let parent = match ask.extends {
            None => None,
            Some(parent) => Some(self.extend(actor, parent, &mut ruling, now).await?),
        };
        let approvers = self.approvers(&ruling.terms, now).await?;
        let request = Request::new(id, actor, ruling, ask.extends, approvers, now).map_err(|error| {
            StoreError::Invalid {
                problem: error.to_string(),
            }
        })?;
        person.state.admits(&request, &self.inner.limits, now)?;
        let events: Vec<Event> = open(request, key, now)?;
        let mut parts = vec![Part {
            version: 0,
            before: None,
            events,
        }];
        if let Some(parent) = parent {
            let used = self.last_use(&parent.state).await?;
            let events = parent.state.decide(&Command::Extend { by: id }, used, now)?;
            parts.push(Part {
                version: parent.version,
                before: Some(parent.state),
                events,
            });
        }
        let unchanged = vec![
            (StreamId::Lockdowns, lockdowns.version),
            (StreamId::Control, control),
        ];
        let mut views = self.commit(parts, person, unchanged, now).await?;
        if views.is_empty() {
            return Err(StoreError::Invalid {
                problem: "an asking without a request".to_owned(),
            }
            .into());
        }
        Ok(views.swap_remove(0))
    }

    /// Puts the window of an extension where its parent's ends, if the parent may be extended that far.
    async fn extend(
        &self,
        actor: &Actor,
        parent: RequestId,
        ruling: &mut Ruling,
        now: Timestamp,
    ) -> Result<Loaded<Request>, Rejection> {
        let parent = self.request(parent).await?;
        let before = &parent.state;
        if before.requester.principal != actor.principal || before.requester.person != actor.person.id {
            return Err(Refused::NotFound.into());
        }
        let used = self.last_use(before).await?;
        let state = before.state_at(used, now);
        let Some(grant) = before
            .grant
            .as_ref()
            .filter(|_| matches!(state, State::Scheduled | State::Active))
        else {
            return Err(Refused::AlreadyDecided { state }.into());
        };
        let invalid = |problem: String| Refused::Invalid {
            field: "extends",
            problem,
        };
        if before.break_glass.is_some() {
            return Err(
                invalid("a break-glass is never extended; ask for a grant of its own".to_owned()).into(),
            );
        }
        if before.ruling.resource.name != ruling.resource.name
            || before.ruling.terms.policy != ruling.terms.policy
        {
            return Err(invalid("must name a grant of the same resource and policy".to_owned()).into());
        }
        if before.extended_by.len() >= EXTENSIONS_MAX {
            return Err(Refused::LimitReached {
                limit: format!("this grant was asked to be extended {EXTENSIONS_MAX} times already"),
                retry_at: None,
                request: None,
            }
            .into());
        }
        for child in &before.extended_by {
            if !self.view_unchecked(*child).await?.request.state.is_terminal() {
                return Err(Refused::LimitReached {
                    limit: "this grant has an extension already".to_owned(),
                    retry_at: None,
                    request: Some(*child),
                }
                .into());
            }
        }
        let begins = self.chain_begins(before).await?;
        let ends = ruling.duration.after(grant.not_after);
        let total = Span::between(begins, ends).unwrap_or(Span::MAX);
        if total > ruling.terms.duration.max_total {
            let most = ruling.terms.duration.max_total;
            return Err(Refused::invalid(
                "duration",
                format!(
                    "would make the grant and its extensions last {total} in all; this policy allows {most}"
                ),
            )
            .into());
        }
        ruling.start = Some(grant.not_after);
        Ok(parent)
    }

    /// When the first grant of a chain of extensions began.
    pub(super) async fn chain_begins(&self, last: &Request) -> Result<Timestamp, Rejection> {
        let mut request = last.clone();
        for _ in 0..CHAIN_MAX {
            match request.extends {
                None => {
                    return Ok(request
                        .grant
                        .as_ref()
                        .map_or(request.asked_at, |grant| grant.not_before));
                }
                Some(parent) => request = self.request(parent).await?.state,
            }
        }
        Err(Refused::invalid(
            "extends",
            "continues a chain of too many grants; ask for a new one",
        )
        .into())
    }

    /// Who can fill a seat in each stage, where the Directory can list them.
    pub(super) async fn approvers(
        &self,
        terms: &Terms,
        now: Timestamp,
    ) -> Result<Vec<Option<BTreeSet<PersonId>>>, Rejection> {
        let mut all = Vec::with_capacity(terms.stages.len());
        for stage in &terms.stages {
            let mut listed = self.members(&stage.approvers, now).await?;
            if let Some(people) = &stage.escalate_to {
                let more = self.members(people, now).await?;
                listed = listed.zip(more).map(|(a, b)| a.into_iter().chain(b).collect());
            }
            all.push(listed);
        }
        Ok(all)
    }

    async fn members(
        &self,
        people: &People,
        now: Timestamp,
    ) -> Result<Option<BTreeSet<PersonId>>, Rejection> {
        let mut listed = people.persons.clone();
        for role in &people.roles {
            match self.inner.directory.members(role, now).await? {
                Members::Known(members) => listed.extend(members),
                Members::Unknown => return Ok(None),
            }
        }
        Ok(Some(listed))
    }
}

/// For requests that ask in the same step. The gate hears of what was asked before the answer: [`Broker::ask`] publishes what it wrote.
#[async_trait]
impl Asking for Broker {
    async fn ask(&self, subject: &Subject, ask: Ask) -> Result<RequestId, NotAsked> {
        let asked = async {
            let actor = self.identify(subject).await?;
            Self::ask(self, &actor, ask, None).await
        };
        match asked.await {
            Ok(asked) => Ok(asked.view.request.id),
            Err(Rejection::Refused(refused)) => Err(refused.into()),
            Err(failure) => Err(NotAsked::Unavailable {
                source: failure.into(),
            }),
        }
    }
}

/// Longest idempotency key, in bytes.
const KEY_MAX: usize = 128;

fn idempotency_key(actor: &Actor, ask: &Ask, key: &str) -> Result<IdempotencyKey, Rejection> {
    if key.is_empty() || key.len() > KEY_MAX || !key.bytes().all(|b| b.is_ascii_graphic()) {
        let problem = format!("must be 1 to {KEY_MAX} visible ASCII characters");
        return Err(Refused::Invalid {
            field: "Idempotency-Key",
            problem,
        }
        .into());
    }
    let ask = serde_json::to_vec(ask).map_err(|error| StoreError::Invalid {
        problem: error.to_string(),
    })?;
    Ok(IdempotencyKey {
        key: Digest::of([
            b"jit-key-1".as_slice(),
            actor.person.id.as_str().as_bytes(),
            key.as_bytes(),
        ]),
        ask: Digest::plain(&ask),
    })
}
