//! Why a request was not let through: a value, never an error and never a panic.
//!
//! A refusal holds nothing secret: no credential, nobody's name, no text of the request. Every door says it in its own
//! protocol; [`Refusal::status`] and [`Refusal::kind`] are the same at all of them. A status is never a 2xx: NGINX's
//! `auth_request` takes any 2xx for "allow".

use std::borrow::Cow;

use http::{HeaderValue, StatusCode};

use crate::gate::challenge;
use crate::gate::cut::Cut;
use crate::gate::hygiene::BadHeaders;
use crate::gate::target::BadTarget;
use crate::id::{RequestId, ResourceName, Timestamp};
use crate::policy::terms::MfaTerms;

/// Why not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The target can't be decided on.
    BadTarget(BadTarget),
    /// The headers can't be trusted.
    BadHeaders(BadHeaders),
    /// No resource has this host.
    UnknownHost,
    /// Nothing that proves who is asking. Says nothing of what is behind it.
    Unauthenticated,
    /// Who is asking could not be verified just now.
    AuthenticationUnavailable,
    /// No resource and no open route matches.
    NotOpen,
    /// Proven, but nobody that the Directory knows, or disabled.
    NotEligible {
        /// What was wanted.
        resource: ResourceName,
    },
    /// No grant covers this, and nothing was asked for.
    ApprovalRequired {
        /// What was wanted.
        resource: ResourceName,
    },
    /// No grant covers this yet, and one has been asked for.
    ApprovalPending {
        /// What was wanted.
        resource: ResourceName,
        /// The asking.
        request: RequestId,
        /// When the window opens, if it is approved already.
        opens_at: Option<Timestamp>,
    },
    /// No grant covers this, and what the request asked for in the same step does not fit a limit.
    LimitReached {
        /// What was wanted.
        resource: ResourceName,
        /// Which limit, in words.
        limit: String,
        /// When trying again can help.
        retry_at: Option<Timestamp>,
        /// The asking that stands in the way.
        request: Option<RequestId>,
    },
    /// No grant covers this, and the policy does not take what the request asked for in the same step as it is.
    AskingInvalid {
        /// What was wanted.
        resource: ResourceName,
        /// What is wrong, and what would be right.
        problem: String,
    },
    /// No grant covers this, and what the request asked for in the same step could not be written down just now.
    AskingUnavailable,
    /// A grant covers this, and it is bound to a credential that was not presented.
    CredentialRequired {
        /// What was wanted.
        resource: ResourceName,
    },
    /// The grant's first use needs a stronger or fresher sign-in (RFC 9470).
    StepUp {
        /// What was wanted.
        resource: ResourceName,
        /// What the sign-in must be like.
        terms: MfaTerms,
    },
    /// A lockdown is in force.
    LockedDown,
    /// This gate has not heard from the control plane for too long to know which grants still hold.
    StaleView,
    /// The grant's requests are used up.
    BudgetSpent {
        /// What was wanted.
        resource: ResourceName,
    },
    /// The grant has requests left, but none could be reserved just now.
    BudgetUnavailable,
    /// What the request does could not be recorded: too much waits to be written down.
    LogFull,
    /// As many requests under the grant as it allows are in flight.
    TooManyConcurrent {
        /// What was wanted.
        resource: ResourceName,
    },
    /// The grant has a limit that this gate can't count.
    LimitNotEnforceable {
        /// What was wanted.
        resource: ResourceName,
    },
    /// The grant ended before the answer began.
    GrantEnded {
        /// What was wanted.
        resource: ResourceName,
        /// Why.
        cut: Cut,
    },
    /// A connection that changes its protocol could not be cut when the grant ends.
    UpgradeRefused {
        /// What was wanted.
        resource: ResourceName,
    },
}

impl Refusal {
    /// The HTTP status: 4xx or 5xx.
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadTarget(bad) => bad.status(),
            Self::BadHeaders(bad) => bad.status(),
            Self::UnknownHost => StatusCode::MISDIRECTED_REQUEST,
            // RFC 9470 §3 answers a sign-in that is too weak with a challenge, as one that is missing.
            Self::Unauthenticated | Self::StepUp { .. } => StatusCode::UNAUTHORIZED,
            Self::AuthenticationUnavailable
            | Self::StaleView
            | Self::BudgetUnavailable
            | Self::AskingUnavailable
            | Self::LogFull => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyConcurrent { .. } | Self::LimitReached { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::AskingInvalid { .. } => StatusCode::BAD_REQUEST,
            Self::NotOpen
            | Self::NotEligible { .. }
            | Self::ApprovalRequired { .. }
            | Self::ApprovalPending { .. }
            | Self::CredentialRequired { .. }
            | Self::LockedDown
            | Self::BudgetSpent { .. }
            | Self::LimitNotEnforceable { .. }
            | Self::GrantEnded { .. }
            | Self::UpgradeRefused { .. } => StatusCode::FORBIDDEN,
        }
    }

    /// The stable name of the kind of refusal: the end of the problem type (RFC 9457 §3.1.1).
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::BadTarget(_) => "bad-request-target",
            Self::BadHeaders(_) => "bad-request-headers",
            Self::UnknownHost => "unknown-host",
            Self::Unauthenticated => "unauthenticated",
            Self::AuthenticationUnavailable => "authentication-unavailable",
            Self::NotOpen => "not-open",
            Self::NotEligible { .. } => "not-eligible",
            Self::ApprovalRequired { .. } => "approval-required",
            Self::ApprovalPending { .. } => "approval-pending",
            Self::LimitReached { .. } => "limit-reached",
            Self::AskingInvalid { .. } => "invalid",
            Self::AskingUnavailable => "audit-unavailable",
            Self::CredentialRequired { .. } => "credential-required",
            Self::StepUp { .. } => "step-up-required",
            Self::LockedDown => "locked-down",
            Self::StaleView => "stale-view",
            Self::BudgetSpent { .. } => "budget-spent",
            Self::BudgetUnavailable => "budget-unavailable",
            Self::LogFull => "log-full",
            Self::TooManyConcurrent { .. } => "too-many-concurrent",
            Self::LimitNotEnforceable { .. } => "limit-not-enforceable",
            Self::GrantEnded { .. } => "grant-ended",
            Self::UpgradeRefused { .. } => "upgrade-refused",
        }
    }

    /// What happened, in a few words that are the same for every refusal of this kind.
    pub const fn title(&self) -> &'static str {
        match self {
            Self::BadTarget(_) => "Bad request target",
            Self::BadHeaders(_) => "Bad request headers",
            Self::UnknownHost => "Unknown host",
            Self::Unauthenticated => "Sign-in required",
            Self::AuthenticationUnavailable => "Sign-in could not be verified",
            Self::NotOpen => "Not open",
            Self::NotEligible { .. } => "Not eligible",
            Self::ApprovalRequired { .. } => "Approval required",
            Self::ApprovalPending { .. } => "Approval pending",
            Self::LimitReached { .. } => "Limit reached",
            Self::AskingInvalid { .. } => "Asking not valid",
            Self::AskingUnavailable => "Asking could not be written down",
            Self::CredentialRequired { .. } => "Credential required",
            Self::StepUp { .. } => "Stronger sign-in required",
            Self::LockedDown => "Locked down",
            Self::StaleView => "Temporarily closed",
            Self::BudgetSpent { .. } => "Budget spent",
            Self::BudgetUnavailable => "Budget could not be reserved",
            Self::LogFull => "Log full",
            Self::TooManyConcurrent { .. } => "Too many requests at once",
            Self::LimitNotEnforceable { .. } => "Limit not enforceable here",
            Self::GrantEnded { .. } => "Grant ended",
            Self::UpgradeRefused { .. } => "Protocol change refused",
        }
    }

    /// What to do next, in a sentence.
    pub fn detail(&self) -> Cow<'static, str> {
        Cow::Borrowed(match self {
            Self::BadTarget(bad) => return Cow::Owned(bad.to_string()),
            Self::BadHeaders(bad) => return Cow::Owned(bad.to_string()),
            Self::LimitReached { limit, .. } => {
                return Cow::Owned(format!("Nothing was asked for: {limit}."));
            }
            Self::AskingInvalid { problem, .. } => {
                return Cow::Owned(format!("Nothing was asked for: {problem}."));
            }
            Self::UnknownHost => "Nothing is served under this host name. Check the address.",
            Self::Unauthenticated => "Sign in, or send a valid credential, and try again.",
            Self::AuthenticationUnavailable => {
                "Your credential could not be verified just now. Try again shortly."
            }
            Self::NotOpen => "Nothing here is open, and nothing here can be asked for. Check the address.",
            Self::NotEligible { .. } => {
                "You are signed in, but not as anyone who may use this or ask for it."
            }
            Self::ApprovalRequired { .. } => {
                "You need a grant for this resource. If you may ask for one, ask, then try again."
            }
            Self::ApprovalPending { .. } => {
                "You have asked for this resource. Wait until the request is approved and its window opens, then try again."
            }
            Self::AskingUnavailable => {
                "Your asking could not be written down just now, and does not count. Try again shortly."
            }
            Self::CredentialRequired { .. } => {
                "Your grant for this resource is bound to a credential. Take one for it, and send that in the Jit-Credential header."
            }
            Self::StepUp { .. } => "Sign in again with a second factor, then try again.",
            Self::LockedDown => "A lockdown is in force. Nothing can be used until it is lifted.",
            Self::StaleView => {
                "The gate has lost touch with its control plane and stays shut until it is back. Try again shortly."
            }
            Self::BudgetSpent { .. } => "Your grant has no requests left. Ask for another one.",
            Self::BudgetUnavailable => {
                "Your grant's budget could not be reserved just now. Try again shortly."
            }
            Self::LogFull => {
                "What you do here is recorded, and the record has no room just now. Try again shortly."
            }
            Self::TooManyConcurrent { .. } => {
                "As many of your requests as your grant allows are in flight. Wait for one to end, then try again."
            }
            Self::LimitNotEnforceable { .. } => {
                "Your grant has a limit that can't be counted here. Ask for a grant without that limit."
            }
            Self::GrantEnded { cut, .. } => {
                return Cow::Owned(format!(
                    "The request was cut: {cut}. What it has done by then may stay done. Ask for another grant."
                ));
            }
            Self::UpgradeRefused { .. } => {
                "This resource can't be used over a connection that changes its protocol. Use plain requests."
            }
        })
    }

    /// How to sign in, for the `WWW-Authenticate` of a 401.
    pub fn challenge(&self) -> Option<HeaderValue> {
        match self {
            Self::Unauthenticated => Some(challenge::unauthenticated()),
            Self::StepUp { terms, .. } => Some(challenge::step_up(terms)),
            _ => None,
        }
    }

    /// The resource that was wanted, where the caller may learn its name.
    pub const fn resource(&self) -> Option<&ResourceName> {
        match self {
            Self::NotEligible { resource }
            | Self::ApprovalRequired { resource }
            | Self::ApprovalPending { resource, .. }
            | Self::LimitReached { resource, .. }
            | Self::AskingInvalid { resource, .. }
            | Self::CredentialRequired { resource }
            | Self::StepUp { resource, .. }
            | Self::BudgetSpent { resource }
            | Self::TooManyConcurrent { resource }
            | Self::LimitNotEnforceable { resource }
            | Self::GrantEnded { resource, .. }
            | Self::UpgradeRefused { resource } => Some(resource),
            Self::BadTarget(_)
            | Self::BadHeaders(_)
            | Self::UnknownHost
            | Self::Unauthenticated
            | Self::AuthenticationUnavailable
            | Self::NotOpen
            | Self::LockedDown
            | Self::StaleView
            | Self::BudgetUnavailable
            | Self::AskingUnavailable
            | Self::LogFull => None,
        }
    }

    /// The asking that waits for an answer or for its window, or stands in the way of another.
    pub const fn request(&self) -> Option<RequestId> {
        match self {
            Self::ApprovalPending { request, .. } => Some(*request),
            Self::LimitReached { request, .. } => *request,
            _ => None,
        }
    }

    /// Whether asking for a grant would help.
    pub const fn can_ask(&self) -> bool {
        matches!(
            self,
            Self::ApprovalRequired { .. }
                | Self::AskingInvalid { .. }
                | Self::BudgetSpent { .. }
                | Self::GrantEnded { .. }
        )
    }

    /// In how many seconds to try again, where that is likely to help (RFC 9110 §10.2.3).
    pub fn retry_after(&self, now: Timestamp) -> Option<u64> {
        match self {
            Self::AuthenticationUnavailable
            | Self::StaleView
            | Self::BudgetUnavailable
            | Self::AskingUnavailable
            | Self::LogFull => Some(5),
            Self::TooManyConcurrent { .. } => Some(1),
            Self::ApprovalPending {
                opens_at: Some(at), ..
            }
            | Self::LimitReached {
                retry_at: Some(at), ..
            } => {
                let seconds = at.signed_duration_since(now).num_seconds().saturating_add(1);
                Some(u64::try_from(seconds).unwrap_or(0).clamp(1, 3600))
            }
            Self::ApprovalPending { opens_at: None, .. } => Some(10),
            _ => None,
        }
    }
}
