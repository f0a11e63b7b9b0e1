//! The Permit: proof that one HTTP request was admitted under one grant.

use std::fmt;
use std::sync::Arc;

use http::HeaderValue;

use crate::gate::live::{Live, Slot};
use crate::id::{GrantId, PersonId, PolicyName, Principal, RequestId, ResourceName, Timestamp};

/// Proof that one HTTP request was admitted under one grant.
///
/// There is no public constructor: a function that takes a `Permit` can't be reached by a request that the
/// [`Enforcer`](crate::gate::enforcer::Enforcer) did not admit. It says what was true when the request was admitted;
/// [`Permit::holds`] says whether it still is.
///
/// Clones share one place in the grant's limit of concurrent requests. The place is free again when the last clone is dropped:
/// whoever keeps a `Permit` beyond its request keeps the place taken.
#[derive(Clone)]
pub struct Permit {
    live: Arc<Live>,
    slot: Option<Arc<Slot>>,
}

impl Permit {
    /// The only constructor, with one caller: the enforcer's `admit`.
    pub(in crate::gate) fn admitted(live: Arc<Live>, slot: Option<Arc<Slot>>) -> Self {
        Self { live, slot }
    }

    /// The grant.
    pub fn grant_id(&self) -> GrantId {
        self.live.grant().id
    }

    /// The request that became this grant.
    pub fn request_id(&self) -> RequestId {
        self.live.grant().id.into()
    }

    /// The identity that was admitted: the grant's holder.
    pub fn holder(&self) -> &Principal {
        &self.live.grant().holder
    }

    /// The holder's person.
    pub fn person(&self) -> &PersonId {
        &self.live.grant().person
    }

    /// The resource that governs the request.
    pub fn resource(&self) -> &ResourceName {
        &self.live.grant().resource.name
    }

    /// The policy of the grant.
    pub fn policy(&self) -> &PolicyName {
        &self.live.grant().policy
    }

    /// The first moment after the grant's window, less the enforcer's clock lag: what goes on longer than this is to be cut. As it was
    /// at admission: a grant that was shortened since ends before, as [`Permit::holds`] says.
    pub fn not_after(&self) -> Timestamp {
        self.live.until()
    }

    /// [`Permit::not_after`] as a header field's value: RFC 3339, in whole seconds, rounded down.
    pub fn expires(&self) -> &HeaderValue {
        self.live.expires()
    }

    /// Whether this permit keeps a place in its grant's limit of concurrent requests. A door that can't tell when the request ends
    /// must not admit under such a permit.
    pub fn is_counted(&self) -> bool {
        self.slot.is_some()
    }

    /// Whether its grant limits the octets that pass. A door that can't count them must not admit under such a permit.
    pub fn limits_bytes(&self) -> bool {
        self.live.grant().max_bytes.is_some()
    }

    /// Whether the grant still admits what it admitted: its window, as it is now, is open at `now`, nobody shut it, and it has not lain
    /// idle for too long. The number of requests is not asked: one in flight is not another one.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.live.over(now).is_none()
    }

    /// The same, under another version of its grant.
    pub(in crate::gate) fn under(&self, live: Arc<Live>) -> Self {
        Self {
            live,
            slot: self.slot.clone(),
        }
    }

    pub(in crate::gate) fn live(&self) -> &Arc<Live> {
        &self.live
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("grant", &self.grant_id())
            .field("holder", self.holder())
            .field("resource", self.resource())
            .field("not_after", &self.not_after())
            .field("counted", &self.is_counted())
            .finish()
    }
}
