//! The keys that an issuer publishes, kept and kept up to date.
//!
//! 1. Keys are read again every [`REFRESH`], and when a token names a key that is not among them: at most once in [`PAUSE`], whatever
//!    strangers send, and by one reader at a time.
//! 2. What the issuer publishes replaces what it published: a key that is gone is believed no more.
//! 3. While the issuer can't be reached the last keys stay, for [`KEEP`] at most, and nothing new is believed.
//! 4. A reading that has begun is finished, also when whoever asked for it hangs up.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use chrono::TimeDelta;
use jit_core::id::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::fetch::{BODY_MAX, Fetch};
use crate::jose::Algorithm;
use crate::jose::json;
use crate::jose::key::{KeySet, PublicKey};

/// How long keys are used before they are read again.
pub const REFRESH: TimeDelta = TimeDelta::minutes(10);
/// How long after a reading began the next may, successful or not.
pub const PAUSE: TimeDelta = TimeDelta::seconds(10);
/// How long keys are used that can't be read again.
pub const KEEP: TimeDelta = TimeDelta::hours(24);

/// Where an issuer publishes its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyLocation {
    /// At this URL: a JWK Set (RFC 7517 §5).
    Url(String),
    /// Where the issuer's configuration says, below `/.well-known/openid-configuration` (OpenID Connect Discovery §4). The issuer named
    /// there must be exactly the one expected.
    Discover,
}

/// Why there is no key for a token.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoKey {
    #[error("the issuer publishes no such key")]
    Unknown,
    #[error("the issuer's keys could not be read")]
    Unavailable,
}

/// Why what was read can't be used.
#[derive(Debug, thiserror::Error)]
#[error("what stands at {url} can't be used: {problem}")]
struct Unusable {
    url: String,
    problem: String,
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, Clone)]
pub(super) struct Published(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    issuer: String,
    location: KeyLocation,
    fetch: Arc<dyn Fetch>,
    kept: ArcSwapOption<Kept>,
    /// The last reading. Whoever holds it is the one who reads.
    turn: Arc<Mutex<Option<Reading>>>,
}

#[derive(Debug)]
struct Kept {
    keys: KeySet,
    at: Timestamp,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        // Keys from the future were read before the clock was set back.
        self.at <= now && now - self.at < REFRESH
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        now - self.at < KEEP
    }
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Timestamp,
    failed: bool,
}

impl Published {
    pub(super) fn new(issuer: String, location: KeyLocation, fetch: Arc<dyn Fetch>) -> Self {
        Self(Arc::new(Inner {
            issuer,
            location,
            fetch,
            kept: ArcSwapOption::empty(),
            turn: Arc::default(),
        }))
    }

    /// The issuer's key of that name for that algorithm.
    pub(super) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        now: Timestamp,
    ) -> Result<PublicKey, NoKey> {
        let kept = self.0.kept.load_full();
        let fresh = kept.as_ref().is_some_and(|kept| kept.is_fresh(now));
        let turn = match self.0.known(kid, algorithm, now) {
            Some(key) if fresh => return Ok(key),
            // Whoever has a usable key does not wait for someone else's reading.
            Some(key) => match Arc::clone(&self.0.turn).try_lock_owned() {
                Ok(turn) => turn,
                Err(_) => return Ok(key),
            },
            None => Arc::clone(&self.0.turn).lock_owned().await,
        };
        // Somebody may have read them while this waited.
        let newer = self.0.kept.load_full();
        let seen = |kept: &Option<Arc<Kept>>| kept.as_ref().map(Arc::as_ptr);
        let failed = if seen(&newer) == seen(&kept) {
            self.read(turn, now).await
        } else {
            false
        };
        self.0.known(kid, algorithm, now).ok_or(if failed {
            NoKey::Unavailable
        } else {
            NoKey::Unknown
        })
    }

    /// Reads the keys unless that was done just now. Whether the last reading failed.
    async fn read(&self, mut turn: OwnedMutexGuard<Option<Reading>>, now: Timestamp) -> bool {
        if let Some(last) = *turn
            && last.at <= now
            && now - last.at < PAUSE
        {
            return last.failed;
        }
        let inner = Arc::clone(&self.0);
        let reading = tokio::spawn(async move {
            *turn = Some(Reading {
                at: now,
                failed: true,
            });
            match inner.load().await {
                Ok(keys) => {
                    inner.kept.store(Some(Arc::new(Kept { keys, at: now })));
                    *turn = Some(Reading {
                        at: now,
                        failed: false,
                    });
                    false
                }
                Err(error) => {
                    tracing::warn!(issuer = %inner.issuer, %error, "the issuer's keys could not be read");
                    true
                }
            }
        });
        reading.await.unwrap_or(true)
    }
}

impl Inner {
    fn known(&self, kid: Option<&str>, algorithm: Algorithm, now: Timestamp) -> Option<PublicKey> {
        let kept = self.kept.load();
        let kept = kept.as_ref().filter(|kept| kept.is_usable(now))?;
        kept.keys.find(kid, algorithm).cloned()
    }

    async fn load(&self) -> Result<KeySet, Failure> {
        let url = match &self.location {
            KeyLocation::Url(url) => url.clone(),
            KeyLocation::Discover => self.discover().await?,
        };
        let document = self.get(&url).await?;
        KeySet::read(&document).map_err(|problem| unusable(&url, &problem.to_string()))
    }

    async fn discover(&self) -> Result<String, Failure> {
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.get(&url).await?;
        let mut document = json::object(&document)
            .ok_or_else(|| unusable(&url, "it is not a JSON object, or a name stands in it twice"))?;
        if document.get("issuer").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(unusable(&url, "it names another issuer"));
        }
        match document.remove("jwks_uri") {
            Some(Value::String(keys)) => Ok(keys),
            _ => Err(unusable(&url, "it names no jwks_uri")),
        }
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, Failure> {
        let body = self.fetch.get(url).await?;
        if body.len() > BODY_MAX {
            return Err(unusable(url, "it is larger than 1 MiB"));
        }
        Ok(body)
    }
}

fn unusable(url: &str, problem: &str) -> Failure {
    Unusable {
        url: url.to_owned(),
        problem: problem.to_owned(),
    }
    .into()
}
