//! One record as the gate keeps it: what it takes no time to keep. Words are made of it off the request path.

use std::sync::Arc;

use chrono::TimeDelta;
use http::{Method, Uri};
use smallvec::SmallVec;

use crate::gate::cut::Cut;
use crate::gate::live::Live;
use crate::gate::target::CanonicalPath;
use crate::id::{GrantId, Principal, ResourceName, Timestamp};
use crate::policy::text::is_unprintable;

/// One admitted request.
#[derive(Debug)]
pub(crate) struct Note {
    /// The grant that it ended under. Not the permit: that would keep its place among the grant's concurrent requests.
    pub(in crate::gate) live: Arc<Live>,
    /// The grants that it was under before, in order.
    pub(in crate::gate) before: Vec<GrantId>,
    pub(in crate::gate) method: Method,
    pub(in crate::gate) path: Path,
    pub(in crate::gate) began: Timestamp,
    pub(in crate::gate) outcome: Option<Outcome>,
}

/// The path of a request as it came, without the query. A copy: an `http::Uri` may keep all of what a connection has read in memory.
/// Most paths fit in here and take no memory besides.
#[derive(Debug)]
pub(in crate::gate) struct Path(SmallVec<[u8; 64]>);

impl Path {
    pub(in crate::gate) fn of(uri: &Uri) -> Self {
        Self(SmallVec::from_slice(uri.path().as_bytes()))
    }

    pub(in crate::gate) fn as_str(&self) -> &str {
        // It was text.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What became of it, where the door sees that.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// 0: none.
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) took: TimeDelta,
    pub(crate) cut: Option<Cut>,
}

impl Note {
    pub(crate) fn grant(&self) -> GrantId {
        self.live.grant().id
    }

    pub(crate) fn before(&self) -> &[GrantId] {
        &self.before
    }

    pub(crate) fn holder(&self) -> &Principal {
        &self.live.grant().holder
    }

    pub(crate) fn resource(&self) -> &ResourceName {
        &self.live.grant().resource.name
    }

    pub(crate) fn method(&self) -> &str {
        self.method.as_str()
    }

    pub(crate) fn began(&self) -> Timestamp {
        self.began
    }

    pub(crate) fn outcome(&self) -> Option<Outcome> {
        self.outcome
    }

    /// When it ended, or was admitted if that is all that is known.
    pub(crate) fn ended(&self) -> Timestamp {
        let took = self.outcome.map(|outcome| outcome.took).unwrap_or_default();
        self.began.checked_add_signed(took).unwrap_or(self.began)
    }

    /// The canonical path, without the query. What could rewrite the text around it is percent-encoded; a canonical path has no `%` of
    /// its own, so that no two paths are written alike.
    pub(crate) fn path(&self) -> String {
        let came = self.path.as_str();
        match CanonicalPath::read(came) {
            Ok(path) => printable(path.as_str()),
            // It was admitted, so this can't be. It is shown as it came.
            Err(_) => printable(came),
        }
    }
}

fn printable(text: &str) -> String {
    if !text.chars().any(is_unprintable) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unprintable(c) {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("%{byte:02X}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}
