//! Loading what a change rests on, and the texts that streams are kept as.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::approval::ask::Actor;
use crate::approval::event::EndCause;
use crate::approval::lockdown::Lockdowns;
use crate::approval::person::PersonState;
use crate::approval::refused::Refused;
use crate::approval::request::Request;
use crate::approval::{Command, Panel};
use crate::broker::change::Part;
use crate::broker::store::{Facets, StoreError, StreamId, Version};
use crate::broker::{Broker, Rejection};
use crate::gate::cut::Cut;
use crate::id::{GrantId, PersonId, RequestId, Timestamp};

/// A stream's folded state with its version; the default state at version 0 if it was never written.
#[derive(Debug, Clone, Default)]
pub(super) struct Loaded<T> {
    pub(super) state: T,
    pub(super) version: Version,
}

impl Broker {
    /// A request as written down.
    pub(super) async fn request(&self, id: RequestId) -> Result<Loaded<Request>, Rejection> {
        let snapshot = self.inner.store.load(&StreamId::Request(id)).await?;
        let snapshot = snapshot.ok_or(Refused::NotFound)?;
        Ok(Loaded {
            state: decode(&snapshot.state)?,
            version: snapshot.version,
        })
    }

    pub(super) async fn person(&self, id: &PersonId) -> Result<Loaded<PersonState>, Rejection> {
        self.folded(&StreamId::Person(id.clone())).await
    }

    pub(super) async fn lockdown_state(&self) -> Result<Loaded<Lockdowns>, Rejection> {
        self.folded(&StreamId::Lockdowns).await
    }

    async fn folded<T: Default + DeserializeOwned>(&self, stream: &StreamId) -> Result<Loaded<T>, Rejection> {
        match self.inner.store.load(stream).await? {
            None => Ok(Loaded::default()),
            Some(snapshot) => Ok(Loaded {
                state: decode(&snapshot.state)?,
                version: snapshot.version,
            }),
        }
    }

    /// The lockdowns in force, none of which keeps `by` from doing anything.
    pub(super) async fn unlocked(&self, by: &Actor) -> Result<Lockdowns, Rejection> {
        let lockdowns = self.lockdown_state().await?.state;
        match lockdowns.person(&by.principal, &by.person) {
            None => Ok(lockdowns),
            Some(lockdown) => Err(Refused::LockedDown {
                reason: lockdown.reason.clone(),
            }
            .into()),
        }
    }

    /// Everyone in a request, as the Directory knows them now. A reviewer who is locked down by name or role is nobody.
    pub(super) async fn panel(
        &self,
        request: &Request,
        lockdowns: &Lockdowns,
        now: Timestamp,
    ) -> Result<Panel, Rejection> {
        let directory = &self.inner.directory;
        let mut reviewers = BTreeMap::new();
        for review in &request.reviews {
            if let Some(person) = directory.resolve(&review.principal, now).await?
                && !lockdowns.singles_out(&review.principal, &person)
            {
                reviewers.insert(review.person.clone(), person);
            }
        }
        let requester = directory.resolve(&request.requester.principal, now).await?;
        Ok(Panel { requester, reviewers })
    }

    /// Shuts everything that continues `request`, however far on, and says what ends it in the log: what continues comes after what it
    /// continues.
    pub(super) async fn kill_descendants(
        &self,
        request: &Request,
        now: Timestamp,
    ) -> Result<Vec<Part>, Rejection> {
        let kill = Command::Kill {
            cause: EndCause::Parent(request.id),
            reason: "the grant that it continues was revoked",
        };
        let mut kills = Vec::new();
        let mut seen: BTreeSet<RequestId> = BTreeSet::from([request.id]);
        let mut next = request.extended_by.clone();
        while let Some(id) = next.pop() {
            if !seen.insert(id) {
                continue;
            }
            let child = self.request(id).await?;
            next.extend(child.state.extended_by.iter().copied());
            if child.state.state.is_terminal() {
                continue;
            }
            let used = self.last_use(&child.state).await?;
            if let Ok(events) = child.state.decide(&kill, used, now) {
                self.inner.enforcer.shut(GrantId::from(id), Cut::Revoked);
                kills.push(Part {
                    version: child.version,
                    before: Some(child.state),
                    events,
                });
            }
        }
        Ok(kills)
    }
}

pub(super) fn facets(request: &Request) -> Facets {
    Facets {
        state: Some(request.state),
        resource: Some(request.ruling.resource.name.clone()),
        requester: Some(request.requester.person.clone()),
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::Invalid {
        problem: error.to_string(),
    })
}

pub(super) fn decode<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| StoreError::Damaged {
        what: error.to_string(),
    })
}
