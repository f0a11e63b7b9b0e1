//! One server of an application, and whether it is well.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use http::uri::Authority;
use jit_core::id::Timestamp;

use crate::serve::measures;

/// It takes requests.
const WELL: i64 = i64::MIN;
/// It takes none until its health check has passed.
const UNTIL_CHECKED: i64 = i64::MAX;

/// A server. All its counts are of what happened in a row.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) at: Authority,
    upstream: String,
    /// Failures that make it unwell.
    failures_max: u32,
    /// Passed checks that make it well again.
    passes_min: u32,
    /// How long it rests when nothing checks it.
    rest: Option<Duration>,
    failures: AtomicU32,
    passes: AtomicU32,
    /// [`WELL`], [`UNTIL_CHECKED`], or when to try it again, in milliseconds since the beginning of 1970.
    resumes: AtomicI64,
}

impl Server {
    pub(super) fn new(
        upstream: &str,
        at: Authority,
        failures_max: u32,
        passes_min: u32,
        rest: Option<Duration>,
    ) -> Self {
        measures::server_is_well(upstream, at.as_str(), true);
        Self {
            at,
            upstream: upstream.to_owned(),
            failures_max,
            passes_min,
            rest,
            failures: AtomicU32::new(0),
            passes: AtomicU32::new(0),
            resumes: AtomicI64::new(WELL),
        }
    }

    pub(super) fn is_well(&self, now: Timestamp) -> bool {
        self.resumes.load(Ordering::Acquire) <= now.timestamp_millis()
    }

    /// It has answered a request.
    pub(super) fn did_well(&self) {
        // Written only where it changes something: every request comes by.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        let resumes = self.resumes.load(Ordering::Acquire);
        if resumes != WELL && resumes != UNTIL_CHECKED {
            self.recover();
        }
    }

    /// It has passed its health check.
    pub(super) fn passed(&self) {
        self.failures.store(0, Ordering::Relaxed);
        let passes = self.passes.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if passes >= self.passes_min && self.resumes.load(Ordering::Acquire) != WELL {
            self.recover();
        }
    }

    fn recover(&self) {
        if self.resumes.swap(WELL, Ordering::AcqRel) != WELL {
            tracing::info!(upstream = %self.upstream, server = %self.at, "a server is well again");
            measures::server_is_well(&self.upstream, self.at.as_str(), true);
        }
    }

    /// It has failed a request or its health check.
    pub(super) fn failed(&self, now: Timestamp, why: &str) {
        self.passes.store(0, Ordering::Relaxed);
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures < self.failures_max {
            return;
        }
        let resumes = match self.rest {
            None => UNTIL_CHECKED,
            Some(rest) => {
                let rest = i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
                now.timestamp_millis().saturating_add(rest)
            }
        };
        if self.resumes.swap(resumes, Ordering::AcqRel) == WELL {
            tracing::warn!(upstream = %self.upstream, server = %self.at, why, "a server is left out");
            measures::server_is_well(&self.upstream, self.at.as_str(), false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_timestamp_millis(1_767_225_600_000 + millis).unwrap()
    }

    fn server(failures: u32, passes: u32, rest: Option<u64>) -> Server {
        let rest = rest.map(Duration::from_millis);
        Server::new("app", "127.0.0.1:1".parse().unwrap(), failures, passes, rest)
    }

    #[test]
    fn only_failures_in_a_row_leave_a_server_out() {
        let server = server(2, 1, Some(1000));
        server.failed(at(0), "x");
        server.did_well();
        server.failed(at(0), "x");
        assert!(server.is_well(at(0)));
        server.failed(at(0), "x");
        assert!(!server.is_well(at(0)) && !server.is_well(at(999)));
        // After its rest it is tried, and the first failure is enough.
        assert!(server.is_well(at(1000)));
        server.failed(at(1000), "x");
        assert!(!server.is_well(at(1999)) && server.is_well(at(2000)));
        server.did_well();
        server.failed(at(2000), "x");
        assert!(server.is_well(at(2000)));
    }

    #[test]
    fn what_is_checked_is_left_out_until_enough_checks_have_passed() {
        let server = server(1, 2, None);
        server.failed(at(0), "x");
        assert!(!server.is_well(at(1_000_000_000)));
        // A request that was under way says nothing about new ones.
        server.did_well();
        assert!(!server.is_well(at(0)));
        server.passed();
        assert!(!server.is_well(at(0)));
        server.failed(at(0), "x");
        server.passed();
        assert!(!server.is_well(at(0)), "not in a row");
        server.passed();
        assert!(server.is_well(at(0)));
    }
}
