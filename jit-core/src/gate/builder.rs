//! Putting a gate together.

use std::sync::Arc;

use crate::gate::hold::{Hold, HoldSettings};
use crate::gate::interactions::Interactions;
use crate::gate::session::Sessions;
use crate::gate::step_up::StepUps;
use crate::gate::target::{BadTarget, canonical_prefix};
use crate::gate::{Asking, Gate, Inner, Reserve};

/// Puts a [`Gate`] together.
#[derive(Debug)]
#[must_use = "a builder builds nothing until `build`"]
pub struct GateBuilder {
    pub(super) inner: Inner,
}

impl GateBuilder {
    /// Where the control API is, in place of [`CONTROL_PREFIX`](super::CONTROL_PREFIX): this path and everything below it, in this spelling
    /// alone, on every host that a rule names.
    ///
    /// # Errors
    /// [`BadTarget`] when it is not a path in its one spelling; the root is refused as well, for it would let everything pass.
    pub fn with_control_prefix(mut self, prefix: &str) -> Result<Self, BadTarget> {
        let prefix = canonical_prefix(prefix)?;
        if prefix == "/" {
            return Err(BadTarget::Form);
        }
        self.inner.control_prefix = prefix.into();
        Ok(self)
    }

    /// Serves the control API on hosts that no rule names as well: for a host of its own.
    pub fn with_control_on_any_host(mut self) -> Self {
        self.inner.control_on_any_host = true;
        self
    }

    /// Has no path of the control API here, where that is served elsewhere or not at all: below its prefix rules alone say what passes.
    /// Refusals still name the prefix as the place to ask.
    pub fn without_control_api(mut self) -> Self {
        self.inner.control_here = false;
        self
    }

    /// Reserves budgets here. Without, no grant with a limited number of requests admits any.
    pub fn with_reserve(mut self, reserve: Arc<dyn Reserve>) -> Self {
        self.inner.reserve = Some(reserve);
        self
    }

    /// Asks for access here, in the name of whoever sends a request that says why it needs it
    /// ([`REASON_HEADER`](super::hygiene::REASON_HEADER)). Without, such a request is refused like any other.
    pub fn with_asking(mut self, asking: Arc<dyn Asking>) -> Self {
        self.inner.asking = Some(asking);
        self
    }

    /// Parks requests that prefer to wait for approval: [`hold`](super::hold). Without, they are refused at once.
    pub fn with_hold(mut self, settings: HoldSettings) -> Self {
        self.inner.hold = Some(Hold::new(settings));
        self
    }

    /// Records what admitted requests do here. Hand the same to the broker. Without, nothing is recorded.
    pub fn with_interactions(mut self, interactions: Arc<Interactions>) -> Self {
        self.inner.interactions = Some(interactions);
        self
    }

    /// Counts what was proven here besides a credential. Hand the same to the control API.
    pub fn with_step_ups(mut self, step_ups: Arc<StepUps>) -> Self {
        self.inner.step_ups = Some(step_ups);
        self
    }

    /// Keeps at most this many verified sessions, in place of [`SESSIONS`](super::SESSIONS). With 0 every request is verified anew.
    pub fn with_sessions(mut self, limit: usize) -> Self {
        self.inner.sessions = Sessions::new(limit);
        self
    }

    /// The gate.
    pub fn build(self) -> Gate {
        Gate {
            inner: Arc::new(self.inner),
            at_once: false,
        }
    }
}
