//! One question, one ruling: the same gate as at every other door.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use http::header::{AUTHORIZATION, COOKIE, HeaderMap, HeaderName, HeaderValue, TE};
use jit_core::gate::authenticate::CredentialSource;
use jit_core::gate::hygiene::reserved::{is_forwarding, is_reserved};
use jit_core::gate::introduce::{self, EXPIRES, GRANT, GROUPS, USER};
use jit_core::gate::refusal::Refusal;
use jit_core::gate::{Gate, Verdict, hygiene};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::metadata::{BadMetadata, Question, Unread};
use crate::settings::AuthzSettings;

/// All that an upstream learns from the gate, and the two fields that the gate's credential may stand in.
pub(crate) static TOLD: [HeaderName; 6] = [USER, GROUPS, GRANT, EXPIRES, AUTHORIZATION, COOKIE];

/// How often one kind of mistake of a balancer is written into the log, in milliseconds.
const COMPLAINT_PAUSE: i64 = 60_000;

/// Answers balancers that ask whether a request may pass. Clones share everything.
#[derive(Debug, Clone)]
pub struct Authz(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) gate: Gate,
    pub(crate) settings: AuthzSettings,
    slots: Semaphore,
    complained: AtomicI64,
}

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reason {
    Refused(Refusal),
    Metadata(BadMetadata),
    /// An offer of h2c. A door that forwards by itself drops it; a balancer may hand it on, and whatever comes through that tunnel
    /// is asked about by nobody, on open paths as well.
    H2c,
    /// As many questions as may wait for a look-up do so.
    Busy,
}

/// The answer to a question.
#[derive(Debug)]
pub(crate) enum Ruling {
    /// It may pass.
    Allow {
        /// What the upstream is to be told of [`TOLD`]; what is missing here must not reach it.
        told: HeaderMap,
        /// What the client sent.
        came: HeaderMap,
    },
    Deny {
        reason: Reason,
        /// The address that was wanted, for browsers that may be sent elsewhere.
        wanted: Option<String>,
    },
}

impl Ruling {
    pub(crate) const fn deny(reason: Reason) -> Self {
        Self::Deny { reason, wanted: None }
    }
}

impl Authz {
    /// Decides with `gate`, at once: whatever that gate was built to do, nobody asks for access through these endpoints and nobody waits
    /// for it.
    pub fn new(gate: Gate, settings: AuthzSettings) -> Self {
        Self(Arc::new(Inner {
            slots: Semaphore::new(settings.checks),
            complained: AtomicI64::new(i64::MIN),
            gate: gate.at_once(),
            settings,
        }))
    }

    pub(crate) async fn rule(&self, question: Result<Question, Unread>) -> Ruling {
        let question = match question {
            Ok(question) => question,
            Err(Unread::Refused(refusal)) => return Ruling::deny(Reason::Refused(refusal)),
            Err(Unread::Metadata(bad)) => {
                self.complain(bad);
                return Ruling::deny(Reason::Metadata(bad));
            }
        };
        // The gate ignores the offer, and a door of its own drops it. Here the balancer forwards, and one that let it through would open a
        // tunnel whose requests nobody decides on.
        if hygiene::upgrades(&question.head.headers).any(hygiene::is_h2c) {
            return Ruling::deny(Reason::H2c);
        }
        let Some(verdict) = self.verdict(&question).await else {
            return Ruling::deny(Reason::Busy);
        };
        match self.carry_out(&question, verdict) {
            Ok(told) => Ruling::Allow {
                told,
                came: question.head.headers,
            },
            Err(refusal) => Ruling::Deny {
                reason: Reason::Refused(refusal),
                wanted: wanted(&question),
            },
        }
    }

    /// What the gate decides; `None` when as many questions as may wait for a look-up do so.
    async fn verdict(&self, question: &Question) -> Option<Verdict> {
        let Inner { gate, settings, .. } = &*self.0;
        let Question { head, client, .. } = question;
        // The client's address and never the balancer's: an authenticator that believes a listed proxy must not take
        // what a client wrote for that proxy's word.
        let lookup = match gate.decide(head, *client) {
            Verdict::Lookup(lookup) => lookup,
            verdict => return Some(verdict),
        };
        // Refused rather than queued: balancers have no patience, and what waits here would be answered to nobody. What memory answers
        // needs no place: strangers whose credentials take long to verify keep nobody out who is known.
        let _slot = self.0.slots.try_acquire().ok()?;
        let resolved = timeout(settings.patience, gate.resolve(head, *client, lookup)).await;
        Some(resolved.unwrap_or(Verdict::Refuse(Refusal::AuthenticationUnavailable)))
    }

    fn carry_out(&self, question: &Question, verdict: Verdict) -> Result<HeaderMap, Refusal> {
        let settings = &self.0.settings;
        let head = &question.head;
        match verdict {
            Verdict::Admit(admission) => {
                let permit = &admission.permit;
                if permit.is_counted() {
                    // When the request ends is known to the balancer alone.
                    let resource = permit.resource().clone();
                    return Err(Refusal::LimitNotEnforceable { resource });
                }
                self.0.gate.record_admitted(&admission, head);
                let mut told = told(&head.headers, Some(admission.credential));
                told.extend(introduce::caller(&admission.subject, admission.person()));
                told.extend(introduce::grant(permit));
                Ok(told)
            }
            Verdict::Open(passage) => {
                let mut told = told(&head.headers, passage.credential);
                if let Some(subject) = &passage.subject {
                    told.extend(introduce::caller(subject, passage.person()));
                }
                Ok(told)
            }
            // The control API reads the credential by itself.
            Verdict::Control { subject, .. } if settings.passes_control => {
                let mut told = told(&head.headers, None);
                if let Some(subject) = &subject {
                    told.extend(introduce::caller(subject, None));
                }
                Ok(told)
            }
            Verdict::Control { .. } => Err(Refusal::NotOpen),
            Verdict::Refuse(refusal) => Err(refusal),
            // `Gate::resolve` settles every look-up; if one were left, nothing is known of who asks.
            Verdict::Lookup(_) => Err(Refusal::AuthenticationUnavailable),
        }
    }

    /// Tells the operator of a balancer's mistake, at most once a minute: clients can cause some of them.
    pub(crate) fn complain(&self, bad: BadMetadata) {
        let now = self.0.gate.now().timestamp_millis();
        let before = self.0.complained.load(Ordering::Relaxed);
        let due = now.saturating_sub(before) >= COMPLAINT_PAUSE || now < before;
        let mine = || {
            self.0
                .complained
                .compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed)
        };
        if due && mine().is_ok() {
            tracing::warn!(problem = bad.kind(), "{bad}");
        } else {
            tracing::debug!(problem = bad.kind(), "{bad}");
        }
    }
}

/// The credentials as the upstream may see them: without the gate's own.
fn told(headers: &HeaderMap, credential: Option<CredentialSource>) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in [AUTHORIZATION, COOKIE] {
        for value in headers.get_all(&name) {
            kept.append(name.clone(), value.clone());
        }
    }
    // A credential of a grant, whatever came of it.
    hygiene::strip(&mut kept);
    if let Some(source) = credential {
        hygiene::strip_credential(&mut kept, source);
    }
    // Balancers copy one field each; several Cookie fields may be one (RFC 9113 §8.2.3).
    let cookies: Vec<&[u8]> = kept.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if cookies.len() > 1 {
        let joined = HeaderValue::from_bytes(&cookies.join(&b"; "[..]));
        kept.remove(COOKIE);
        if let Ok(joined) = joined {
            kept.insert(COOKIE, joined);
        }
    }
    for value in kept.values_mut() {
        value.set_sensitive(true);
    }
    kept
}

/// The fields that a balancer must take away before it sets `told`: what a client could pose as a gateway with, and what is not told.
pub(crate) fn to_remove(told: &HeaderMap, came: &HeaderMap) -> Vec<String> {
    let trailers =
        |name: &HeaderName| *name == TE && came.get_all(name).iter().all(|value| value == "trailers");
    let doomed = |name: &&HeaderName| {
        let text = name.as_str();
        is_reserved(text) && !is_forwarding(text) && !TOLD.contains(name) && !trailers(name)
    };
    let forged = came.keys().filter(doomed).map(HeaderName::to_string);
    let missing = TOLD.iter().filter(|name| !told.contains_key(*name));
    forged.chain(missing.map(HeaderName::to_string)).collect()
}

fn wanted(question: &Question) -> Option<String> {
    let scheme = question.scheme?;
    let host = question.head.headers.get(http::header::HOST)?.to_str().ok()?;
    let path = question.head.uri.path_and_query()?.as_str();
    Some(format!("{scheme}://{host}{path}"))
}
