//! The kinds of problems, each with its name, status and title.

use http::StatusCode;
use jit_core::gate::challenge;

/// What kind of problem: its name is part of the API and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Unauthenticated,
    NotFound,
    MethodNotAllowed,
    NotEligible,
    SelfReview,
    StaleDigest,
    AlreadyDecided,
    LimitReached,
    LockedDown,
    StepUpRequired,
    InvalidCode,
    NoSecondFactor,
    Invalid,
    BodyTooLarge,
    BodyTooSlow,
    UnsupportedMediaType,
    CrossOrigin,
    AuditUnavailable,
    DirectoryUnavailable,
}

impl Kind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 19] = [
        Self::Unauthenticated,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotEligible,
        Self::SelfReview,
        Self::StaleDigest,
        Self::AlreadyDecided,
        Self::LimitReached,
        Self::LockedDown,
        Self::StepUpRequired,
        Self::InvalidCode,
        Self::NoSecondFactor,
        Self::Invalid,
        Self::BodyTooLarge,
        Self::BodyTooSlow,
        Self::UnsupportedMediaType,
        Self::CrossOrigin,
        Self::AuditUnavailable,
        Self::DirectoryUnavailable,
    ];

    /// The last part of `type`.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated",
            Self::NotFound => "not-found",
            Self::MethodNotAllowed => "method-not-allowed",
            Self::NotEligible => "not-eligible",
            Self::SelfReview => "self-review",
            Self::StaleDigest => "stale-digest",
            Self::AlreadyDecided => "already-decided",
            Self::LimitReached => "limit-reached",
            Self::LockedDown => "locked-down",
            Self::StepUpRequired => "step-up-required",
            Self::InvalidCode => "invalid-code",
            Self::NoSecondFactor => "no-second-factor",
            Self::Invalid => "invalid",
            Self::BodyTooLarge => "body-too-large",
            Self::BodyTooSlow => "body-too-slow",
            Self::UnsupportedMediaType => "unsupported-media-type",
            Self::CrossOrigin => "cross-origin",
            Self::AuditUnavailable => "audit-unavailable",
            Self::DirectoryUnavailable => "directory-unavailable",
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::Invalid => StatusCode::BAD_REQUEST,
            Self::Unauthenticated | Self::StepUpRequired => StatusCode::UNAUTHORIZED,
            Self::NotEligible
            | Self::SelfReview
            | Self::LockedDown
            | Self::InvalidCode
            | Self::NoSecondFactor
            | Self::CrossOrigin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::StaleDigest | Self::AlreadyDecided => StatusCode::CONFLICT,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::LimitReached => StatusCode::TOO_MANY_REQUESTS,
            Self::AuditUnavailable | Self::DirectoryUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    pub(crate) const fn title(self) -> &'static str {
        match self {
            Self::Unauthenticated => "Nobody is signed in",
            Self::NotFound => "There is no such thing",
            Self::MethodNotAllowed => "This can't be done here",
            Self::NotEligible => "You are not eligible",
            Self::SelfReview => "Nobody reviews a request of their own",
            Self::StaleDigest => "The request has changed",
            Self::AlreadyDecided => "The request's state does not allow that",
            Self::LimitReached => "A limit is reached",
            Self::LockedDown => "A lockdown is in force",
            Self::StepUpRequired => challenge::STEP_UP_DESCRIPTION,
            Self::InvalidCode => "The code is not right",
            Self::NoSecondFactor => "No second factor of yours is known here",
            Self::Invalid => "The input is not valid",
            Self::BodyTooLarge => "The body is too large",
            Self::BodyTooSlow => "The body did not arrive in time",
            Self::UnsupportedMediaType => "The body is not JSON",
            Self::CrossOrigin => "Another site's page sent this",
            Self::AuditUnavailable => "What happens can't be written down now",
            Self::DirectoryUnavailable => "Who you are can't be looked up now",
        }
    }
}
