//! What an app decides about the API, and what all handlers share.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use jit_core::broker::Broker;
use jit_core::broker::passkeys::{PasskeyStore, Proofs};
use jit_core::gate::step_up::StepUps;
use jit_core::id::RequestId;

use crate::openapi;
use crate::wait::Seats;

/// Longest prefix, in bytes.
const PREFIX_MAX: usize = 256;
/// Long polls that wait at once, in all and for one person.
const WAITERS: (usize, usize) = (1024, 16);
/// Streams that follow the audit log at once, in all and for one person.
const FOLLOWERS: (usize, usize) = (64, 4);

/// What an app decides about the API.
#[derive(Debug, Clone)]
pub struct ApiSettings {
    prefix: String,
    step_ups: Option<Arc<StepUps>>,
    console: Option<String>,
    passkeys: Option<Arc<dyn PasskeyStore>>,
}

impl ApiSettings {
    /// The API as it is reached from outside under `prefix`: where the router is nested, and what links and problem types begin with.
    ///
    /// A path such as `/_jit` makes links that begin with a slash; a prefix with its origin, such as
    /// `https://access.example.com/_jit`, makes links that work in a mail or a chat.
    ///
    /// # Errors
    /// [`PrefixError`] unless it begins with `/`, `https://` or `http://`, does not end with `/`, is at most 256 bytes long and
    /// holds only ASCII letters, digits and `-._~/:`.
    pub fn new(prefix: impl Into<String>) -> Result<Self, PrefixError> {
        let prefix = prefix.into();
        let path = ["https://", "http://"]
            .iter()
            .find_map(|scheme| prefix.strip_prefix(scheme))
            .or_else(|| prefix.strip_prefix('/'));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:".contains(&b);
        match path {
            Some(rest)
                if !rest.is_empty()
                    && !rest.starts_with('/')
                    && !rest.ends_with('/')
                    && prefix.len() <= PREFIX_MAX
                    && rest.bytes().all(plain) =>
            {
                Ok(Self {
                    prefix,
                    step_ups: None,
                    console: None,
                    passkeys: None,
                })
            }
            _ => Err(PrefixError { prefix }),
        }
    }

    /// Takes codes of a second factor at `/v1/me/step-up`, and raises the caller's credential by them. The gate in front must have the
    /// same ([`GateBuilder::with_step_ups`](jit_core::gate::GateBuilder::with_step_ups)).
    #[must_use]
    pub fn with_step_ups(mut self, step_ups: Arc<StepUps>) -> Self {
        self.step_ups = Some(step_ups);
        self
    }

    /// Where people reach the web console, for whoever needs a browser to prove who they are: `https://access.example.com`.
    #[must_use]
    pub fn with_console(mut self, url: impl Into<String>) -> Self {
        self.console = Some(url.into());
        self
    }

    /// Where the web console is, if there is one.
    pub(crate) fn console(&self) -> Option<&str> {
        self.console.as_deref()
    }

    /// Has passkeys that people have lost cleared at `/v1/passkeys/clear`. Give it the store that the console has, and the same broker: what
    /// was proven by them ends at both then.
    #[must_use]
    pub fn with_passkeys(mut self, store: Arc<dyn PasskeyStore>) -> Self {
        self.passkeys = Some(store);
        self
    }

    pub(crate) fn passkeys(&self) -> Option<&dyn PasskeyStore> {
        self.passkeys.as_deref()
    }

    pub(crate) fn step_ups(&self) -> Option<&StepUps> {
        self.step_ups.as_deref()
    }

    /// Where a code of a second factor is sent, if any is taken.
    pub(crate) fn step_up_url(&self) -> Option<String> {
        self.step_ups
            .as_ref()
            .map(|_| format!("{}/v1/me/step-up", self.prefix))
    }

    /// What links begin with. Never ends with a slash.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The prefix without its origin: `/_jit`. Empty where the API has an origin of its own.
    pub(crate) fn path(&self) -> &str {
        let origin = ["https://", "http://"]
            .iter()
            .find_map(|scheme| self.prefix.strip_prefix(scheme));
        match origin {
            None => &self.prefix,
            Some(rest) => rest.find('/').and_then(|at| rest.get(at..)).unwrap_or_default(),
        }
    }

    /// Where a request is read.
    pub(crate) fn request_url(&self, id: RequestId) -> String {
        format!("{}/v1/requests/{id}", self.prefix)
    }

    /// The `type` of a problem (RFC 9457 §3.1.1).
    pub(crate) fn problem_type(&self, name: &str) -> String {
        format!("{}/problems/{name}", self.prefix)
    }
}

/// Under `/_jit`.
impl Default for ApiSettings {
    fn default() -> Self {
        Self {
            prefix: "/_jit".to_owned(),
            step_ups: None,
            console: None,
            passkeys: None,
        }
    }
}

/// Why a text can't be what links begin with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the prefix {prefix:?} must read like \"/_jit\" or \"https://access.example.com/_jit\", without a slash at its end"
)]
pub struct PrefixError {
    prefix: String,
}

/// What all handlers share; cheap to clone.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) broker: Broker,
    pub(crate) settings: ApiSettings,
    pub(crate) waiters: Seats,
    pub(crate) followers: Seats,
    /// The OpenAPI document, made once.
    pub(crate) openapi: Bytes,
}

impl Shared {
    pub(crate) fn new(broker: Broker, settings: ApiSettings) -> Self {
        if let Some(step_ups) = settings.step_ups.clone() {
            let proofs: Arc<dyn Proofs> = step_ups;
            broker.end_with_passkeys(&proofs);
        }
        let openapi = openapi::json(&settings);
        Self(Arc::new(Inner {
            broker,
            settings,
            waiters: Seats::new(WAITERS.0, WAITERS.1),
            followers: Seats::new(FOLLOWERS.0, FOLLOWERS.1),
            openapi,
        }))
    }
}

impl Deref for Shared {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_links_and_nothing_else() {
        for (prefix, good) in [
            ("/_jit", true),
            ("/tools/access", true),
            ("https://access.example.com/_jit", true),
            ("http://127.0.0.1:8080/_jit", true),
            ("", false),
            ("/", false),
            ("/_jit/", false),
            ("//evil.example/_jit", false),
            ("https:///_jit", false),
            ("_jit", false),
            ("javascript:alert(1)", false),
            ("/a\"b", false),
            ("/a\r\nb", false),
        ] {
            assert_eq!(ApiSettings::new(prefix).is_ok(), good, "{prefix:?}");
        }
        for (prefix, path) in [
            ("/_jit", "/_jit"),
            ("https://access.example.com/tools/_jit", "/tools/_jit"),
            ("https://access.example.com", ""),
        ] {
            assert_eq!(ApiSettings::new(prefix).unwrap().path(), path, "{prefix}");
        }
        assert_eq!(
            ApiSettings::default().request_url(RequestId::from_u128(1)),
            "/_jit/v1/requests/req_00000000000000000000000000000001"
        );
    }
}
