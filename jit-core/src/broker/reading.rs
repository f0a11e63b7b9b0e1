//! Reading: what stands now, for those who may see it.

use crate::approval::ask::Actor;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::state::State;
use crate::broker::loading::decode;
use crate::broker::store::{PAGE_MAX, Position, Query, Record, Version};
use crate::broker::{Broker, Rejection, View};
use crate::id::{RequestId, ResourceName, Timestamp};
use crate::policy::Offer;

/// Most stored streams that one listing looks through before it answers with what it has and where to go on.
const SCAN_MAX: usize = 10_000;

/// Which requests to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// In one of these states now. Empty: in any.
    pub states: Vec<State>,
    /// For this resource.
    pub resource: Option<ResourceName>,
    /// Only the actor's own.
    pub mine: bool,
    /// Only those whose open stage has a seat that the actor may fill now.
    pub reviewable: bool,
    /// Only break-glass that nobody has looked into yet, and that the actor may look into.
    pub after_reviewable: bool,
    /// Where the page before ended.
    pub before: Option<Position>,
    /// At most this many; 0 is taken as 50, more than [`PAGE_MAX`] as that.
    pub limit: usize,
}

/// One page of requests, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// The requests.
    pub items: Vec<View>,
    /// Where the next page begins, if there may be one.
    pub next: Option<Position>,
}

impl Broker {
    /// A request as it stands now.
    ///
    /// # Errors
    /// [`Refused::NotFound`] when there is none, or none that `actor` may see.
    pub async fn view(&self, actor: &Actor, id: RequestId) -> Result<View, Rejection> {
        let view = self.view_unchecked(id).await?;
        if self.may_see(actor, &view.request) {
            Ok(view)
        } else {
            Err(Refused::NotFound.into())
        }
    }

    /// A request is visible to its requester, to whoever may review it in some stage, to auditors and to revokers.
    pub(super) fn may_see(&self, actor: &Actor, request: &Request) -> bool {
        let powers = self.powers(actor);
        actor.person.id == request.requester.person
            || request.may_review(&actor.person)
            || powers.auditor
            || powers.revoker
    }

    pub(super) async fn view_unchecked(&self, id: RequestId) -> Result<View, Rejection> {
        let loaded = self.request(id).await?;
        let used = self.last_use(&loaded.state).await?;
        Ok(View {
            request: loaded.state.effective(used, self.now()),
            version: loaded.version,
            used,
        })
    }

    /// Requests that `actor` may see, as they stand now.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self, actor: &Actor, filter: &Filter) -> Result<Listing, Rejection> {
        let limit = match filter.limit {
            0 => 50,
            n => n.min(PAGE_MAX),
        };
        let mut query = Query {
            states: stored_as(&filter.states, filter.reviewable),
            resource: filter.resource.clone(),
            requester: filter.mine.then(|| actor.person.id.clone()),
            before: filter.before,
            limit: PAGE_MAX,
        };
        let mut listing = Listing::default();
        let mut scanned = 0;
        loop {
            let page = self.inner.store.find(&query).await?;
            let last = page.len() < PAGE_MAX;
            scanned += page.len();
            for snapshot in page {
                query.before = Some(snapshot.created);
                let request: Request = decode(&snapshot.state)?;
                // Before anything is read for it: who may see nothing costs little.
                if !self.may_see(actor, &request) {
                    continue;
                }
                let view = self.effective(request, snapshot.version).await?;
                if self.wanted(actor, filter, &view.request) {
                    listing.items.push(view);
                    if listing.items.len() == limit {
                        listing.next = query.before;
                        return Ok(listing);
                    }
                }
            }
            if last {
                return Ok(listing);
            }
            if scanned >= SCAN_MAX {
                listing.next = query.before;
                return Ok(listing);
            }
        }
    }

    fn wanted(&self, actor: &Actor, filter: &Filter, request: &Request) -> bool {
        let state = filter.states.is_empty() || filter.states.contains(&request.state);
        let reviewable = !filter.reviewable
            || (request.state == State::Pending
                && request.may_fill(request.stage, &actor.person, self.now()));
        let after_reviewable = !filter.after_reviewable
            || ((request.break_glass.as_ref()).is_some_and(|debt| debt.review.is_none())
                && actor.person.id != request.requester.person
                && actor.principal != request.requester.principal
                && (request.may_review(&actor.person) || self.powers(actor).revoker));
        state && reviewable && after_reviewable
    }

    async fn effective(&self, request: Request, version: Version) -> Result<View, Rejection> {
        let used = self.last_use(&request).await?;
        Ok(View {
            request: request.effective(used, self.now()),
            version,
            used,
        })
    }

    /// Scheduled and active grants that `actor` may see, newest first: one page, from where the page `before` ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn grants(
        &self,
        actor: &Actor,
        before: Option<Position>,
        limit: usize,
    ) -> Result<Listing, Rejection> {
        let filter = Filter {
            states: vec![State::Scheduled, State::Active],
            before,
            limit,
            ..Filter::default()
        };
        self.list(actor, &filter).await
    }

    /// The audit log after a position, at most `limit` records. For auditors.
    ///
    /// # Errors
    /// [`Refused::NotEligible`] for everyone else; the store's.
    pub async fn events(
        &self,
        actor: &Actor,
        after: Position,
        limit: usize,
    ) -> Result<Vec<Record>, Rejection> {
        if !self.powers(actor).auditor {
            return Err(Refused::NotEligible.into());
        }
        Ok(self.inner.store.feed(after, limit.clamp(1, PAGE_MAX)).await?)
    }

    /// What `actor` may ask for, and under which terms.
    pub fn offers(&self, actor: &Actor) -> Vec<Offer> {
        self.policy().offers(&actor.person)
    }

    /// The latest use of a request's grant that any gate has told of; only asked where it can end the grant.
    pub(super) async fn last_use(&self, request: &Request) -> Result<Option<Timestamp>, Rejection> {
        let Some(grant) = request.grant.as_ref().filter(|_| request.state == State::Active) else {
            return Ok(None);
        };
        if grant.use_within.is_none() && grant.idle_timeout.is_none() {
            return Ok(None);
        }
        let here = self.inner.agenda.last_use(request.id);
        Ok(here.max(self.shared_use(grant.id).await?))
    }
}

/// The states that a request which is now in one of `states` may have been written down in: time moves a request on without a write.
fn stored_as(states: &[State], reviewable: bool) -> Vec<State> {
    if reviewable {
        return vec![State::Pending];
    }
    let mut stored = states.to_vec();
    for state in states {
        match state {
            State::TimedOut => stored.push(State::Pending),
            State::Expired => stored.extend([State::Scheduled, State::Active]),
            State::IdleExpired | State::Unused => stored.push(State::Active),
            _ => {}
        }
    }
    stored.sort_unstable();
    stored.dedup();
    stored
}
