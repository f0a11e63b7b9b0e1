//! What an AWS Application Load Balancer says about who signed in: the signed field `x-amzn-oidc-data`.
//!
//! A listener rule with `authenticate-oidc` or `authenticate-cognito` signs people in and adds the field to each request.
//!
//! # Rules
//! 1. The field counts from listed proxies only, once, under its own name.
//! 2. The signature is ES256, by the key that AWS publishes for the load balancer's region under the token's `kid`. A `kid` that is not
//!    written like a UUID is refused before it becomes part of a URL.
//! 3. `signer` must be one of the load balancers given: AWS signs for every customer's with the same keys. `client` must be the client
//!    given, `iss` the issuer, and `exp` ahead.
//! 4. The principal is (`iss`, `sub`). The claims are what the issuer's user info endpoint said when the session began.
//! 5. A key is used for [`KEEP`] at most before it is read again. An unknown one is asked for at most once in [`PAUSE`].
//!
//! # Deployment caveats
//! - A rule without an `authenticate` action passes a client's own `x-amzn-oidc-data` on. It would have to be signed for this load balancer
//!   to count here, so that a client could replay only its own; still, let no such rule reach this gate.
//! - The security group of this gate must admit the load balancer alone.
//! - Partitions `aws` and `aws-us-gov`: where the others publish their keys is not known here, so their load balancers are refused.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};

use async_trait::async_trait;
use chrono::TimeDelta;
use http::HeaderName;
use http::request::Parts;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::id::{Digest, Principal, Timestamp};
use serde_json::Value;
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::fetch::{BODY_MAX, Fetch};
use crate::fields::{Field, single};
use crate::jose::Algorithm;
use crate::jose::claims::{assurance, time};
use crate::jose::json::Object;
use crate::jose::key::PublicKey;
use crate::jose::token::{BadToken, Padding, Token};

/// The field.
pub const DATA: HeaderName = HeaderName::from_static("x-amzn-oidc-data");
/// Longest token, in bytes: what the load balancer sends at most.
pub const TOKEN_MAX: usize = 16 * 1024;
/// How long a key is used before it is read again.
pub const KEEP: TimeDelta = TimeDelta::hours(24);
/// How long after a key was asked for the next may be.
pub const PAUSE: TimeDelta = TimeDelta::seconds(1);
/// Most keys that are kept.
const KEYS_MAX: usize = 16;

/// Why an authenticator for a load balancer can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// Nobody could vouch.
    #[error("the issuer {0:?} can't be one: write it exactly as in the listener rule")]
    Issuer(String),
    /// Every client of the issuer would do.
    #[error("the client id is empty; write the one in the listener rule")]
    Client,
    /// Every load balancer at AWS would do.
    #[error("no load balancer is given; name each by its ARN")]
    NoLoadBalancer,
    /// Not the ARN of an Application Load Balancer in a partition whose keys are known.
    #[error(
        "{0:?} is not the ARN of an Application Load Balancer in the partition aws or aws-us-gov, such as \
         arn:aws:elasticloadbalancing:eu-west-1:123456789012:loadbalancer/app/web/50dc6c495c0c9188"
    )]
    LoadBalancer(String),
    /// Nobody would be believed.
    #[error("no proxy is listed, so nobody would be believed; list the subnets of the load balancer")]
    Proxies,
}

/// One load balancer, and where the keys of its region are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LoadBalancer {
    arn: String,
    keys: String,
}

impl LoadBalancer {
    fn parse(arn: &str) -> Option<Self> {
        let mut parts = arn.splitn(6, ':');
        let (
            Some("arn"),
            Some(partition),
            Some("elasticloadbalancing"),
            Some(region),
            Some(account),
            Some(name),
        ) = (
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
            parts.next(),
        )
        else {
            return None;
        };
        let is_region = !region.is_empty()
            && region.len() <= 32
            && region
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
        if !is_region || !is_account || !name.starts_with("loadbalancer/app/") {
            return None;
        }
        let keys = match partition {
            "aws" => format!("https://public-keys.auth.elb.{region}.amazonaws.com"),
            "aws-us-gov" => format!("https://s3-{region}.amazonaws.com/aws-elb-public-keys-prod-{region}"),
            _ => return None,
        };
        Some(Self {
            arn: arn.to_owned(),
            keys,
        })
    }
}

/// An [`Authenticator`] for people whom an Application Load Balancer has signed in.
#[derive(Debug)]
pub struct AlbAuthenticator {
    issuer: String,
    client: String,
    load_balancers: Vec<LoadBalancer>,
    proxies: TrustedProxies,
    keys: Arc<Keys>,
}

impl AlbAuthenticator {
    /// Takes what one of `load_balancers`, given by their ARNs, signed for `client` of `issuer`, from `proxies`, which are their subnets.
    /// `fetch` gets the keys that AWS publishes.
    ///
    /// # Errors
    /// [`BadSettings`] when one of them is missing or can't be.
    pub fn new(
        issuer: &str,
        client: &str,
        load_balancers: impl IntoIterator<Item = impl AsRef<str>>,
        proxies: TrustedProxies,
        fetch: Arc<dyn Fetch>,
    ) -> Result<Self, BadSettings> {
        if Principal::new(issuer, "somebody").is_err() {
            return Err(BadSettings::Issuer(issuer.to_owned()));
        }
        if client.is_empty() {
            return Err(BadSettings::Client);
        }
        let load_balancers = load_balancers
            .into_iter()
            .map(|arn| {
                let arn = arn.as_ref();
                LoadBalancer::parse(arn).ok_or_else(|| BadSettings::LoadBalancer(arn.to_owned()))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if load_balancers.is_empty() {
            return Err(BadSettings::NoLoadBalancer);
        }
        if proxies.is_empty() {
            return Err(BadSettings::Proxies);
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            client: client.to_owned(),
            load_balancers,
            proxies,
            keys: Arc::new(Keys {
                fetch,
                kept: SyncMutex::default(),
                turn: Arc::default(),
            }),
        })
    }

    async fn prove(&self, credential: &[u8], now: Timestamp) -> Result<Subject, Failed> {
        let token = Token::read(credential, Padding::Accepted)?;
        if token.algorithm != Algorithm::Es256 {
            return Err(BadToken::Algorithm.into());
        }
        let load_balancer = self.signer(&token.header)?;
        let kid = token
            .kid
            .as_deref()
            .filter(|kid| is_uuid(kid))
            .ok_or(BadToken::Key)?;
        let expires_at = self.check_header(&token.header, now)?;
        let url = format!("{}/{kid}", load_balancer.keys);
        let key = self.keys.find(&url, now).await?;
        let claims = token.verify(&key)?;
        // Both may stand in the claims as well. If so they must say the same.
        if claims.get("iss").is_some_and(|iss| *iss != *self.issuer) {
            return Err(BadToken::Issuer.into());
        }
        if time(&claims, "exp")?.is_some_and(|end| end <= now) {
            return Err(BadToken::Expired.into());
        }
        let subject = claims
            .get("sub")
            .and_then(Value::as_str)
            .ok_or(BadToken::Subject)?;
        Ok(Subject {
            principal: Principal::new(&self.issuer, subject).map_err(|_| BadToken::Subject)?,
            assurance: assurance(&claims)?,
            claims,
            expires_at: Some(expires_at),
        })
    }

    fn signer(&self, header: &Object) -> Result<&LoadBalancer, BadToken> {
        let signer = header.get("signer").and_then(Value::as_str);
        let mut all = self.load_balancers.iter();
        all.find(|known| Some(&*known.arn) == signer)
            .ok_or(BadToken::Signer)
    }

    fn check_header(&self, header: &Object, now: Timestamp) -> Result<Timestamp, BadToken> {
        let text = |name| header.get(name).and_then(Value::as_str);
        if text("client") != Some(&self.client) {
            return Err(BadToken::Signer);
        }
        if text("iss") != Some(&self.issuer) {
            return Err(BadToken::Issuer);
        }
        let end = time(header, "exp")?.ok_or(BadToken::Expired)?;
        if end <= now {
            Err(BadToken::Expired)
        } else {
            Ok(end)
        }
    }
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(kid: &str) -> bool {
    let groups: Vec<_> = kid.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|b| b.is_ascii_hexdigit()))
}

enum Failed {
    Refused(BadToken),
    Unavailable(Unavailable),
}

impl From<BadToken> for Failed {
    fn from(bad: BadToken) -> Self {
        Self::Refused(bad)
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the load balancer's key could not be read")]
struct Unavailable;

/// The keys of the regions, by their URLs.
struct Keys {
    fetch: Arc<dyn Fetch>,
    kept: SyncMutex<HashMap<String, (PublicKey, Timestamp)>>,
    /// When a key was last asked for. Whoever holds it is the one who asks.
    turn: Arc<Mutex<Option<Timestamp>>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("fetch", &self.fetch)
            .finish_non_exhaustive()
    }
}

impl Keys {
    async fn find(self: &Arc<Self>, url: &str, now: Timestamp) -> Result<PublicKey, Failed> {
        if let Some(key) = self.known(url, now) {
            return Ok(key);
        }
        let turn = Arc::clone(&self.turn).lock_owned().await;
        // Somebody may have read it while this waited.
        match self.known(url, now) {
            Some(key) => Ok(key),
            None => self.read(turn, url, now).await,
        }
    }

    fn known(&self, url: &str, now: Timestamp) -> Option<PublicKey> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, at) = kept.get(url)?;
        (*at <= now && now - *at < KEEP).then(|| key.clone())
    }

    async fn read(
        self: &Arc<Self>,
        mut turn: OwnedMutexGuard<Option<Timestamp>>,
        url: &str,
        now: Timestamp,
    ) -> Result<PublicKey, Failed> {
        if turn.is_some_and(|last| last <= now && now - last < PAUSE) {
            return Err(Failed::Unavailable(Unavailable));
        }
        let (keys, url) = (Arc::clone(self), url.to_owned());
        // A task of its own: a client that hangs up must not use up the turn.
        let reading = tokio::spawn(async move {
            *turn = Some(now);
            let body = keys.fetch.get(&url).await.map_err(|error| {
                tracing::warn!(%error, "the load balancer's key could not be read");
                Failed::Unavailable(Unavailable)
            })?;
            let body = Some(body).filter(|body| body.len() <= BODY_MAX);
            let key = body
                .and_then(|body| PublicKey::es256_from_pem(&body))
                .ok_or_else(|| {
                    tracing::warn!(%url, "what stands there is no public key for ES256");
                    Failed::Unavailable(Unavailable)
                })?;
            keys.keep(url, key.clone(), now);
            Ok(key)
        });
        reading.await.unwrap_or(Err(Failed::Unavailable(Unavailable)))
    }

    fn keep(&self, url: String, key: PublicKey, now: Timestamp) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= KEYS_MAX && !kept.contains_key(&url) {
            let oldest = kept.iter().min_by_key(|(_, (_, at))| *at);
            if let Some(oldest) = oldest.map(|(url, _)| url.clone()) {
                kept.remove(&oldest);
            }
        }
        kept.insert(url, (key, now));
    }
}

#[async_trait]
impl Authenticator for AlbAuthenticator {
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r> {
        if !peer.is_some_and(|peer| self.proxies.trusts(peer)) {
            return Presented::Nothing;
        }
        match single(&head.headers, &DATA) {
            Field::None => Presented::Nothing,
            Field::One(bytes) if !bytes.is_empty() && bytes.len() <= TOKEN_MAX => Presented::Credential {
                bytes: bytes.into(),
                source: CredentialSource::Proxy,
            },
            Field::One(_) | Field::Doubled => Presented::Malformed,
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if source != CredentialSource::Proxy {
            return Err(AuthError::Invalid);
        }
        self.prove(credential, now).await.map_err(|failed| match failed {
            Failed::Refused(reason) => {
                tracing::debug!(issuer = %self.issuer, %reason, "a load balancer's token was refused");
                AuthError::Invalid
            }
            Failed::Unavailable(error) => AuthError::Unavailable { source: error.into() },
        })
    }

    /// Never: the load balancer signs anew with every request.
    fn revoked(&self, _credential: &Digest) -> bool {
        false
    }

    fn revocations(&self) -> Option<u64> {
        Some(0)
    }
}

#[cfg(test)]
mod tests;
