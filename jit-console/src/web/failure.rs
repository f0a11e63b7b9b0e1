//! What a page says when something can't be done.

use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use http::{HeaderValue, StatusCode};
use jit_core::broker::Rejection;

use super::frame::Frame;
use crate::problem::{Kind, Problem};

/// A page that says why not, and what to do next.
#[derive(Debug)]
pub(super) struct Failure {
    status: StatusCode,
    title: String,
    detail: String,
    sign_in: bool,
}

#[derive(Template)]
#[template(path = "failure.html")]
struct FailurePage {
    frame: Frame,
    detail: String,
    sign_in: bool,
}

impl Failure {
    pub(super) fn new(status: StatusCode, title: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            status,
            title: title.into(),
            detail: detail.into(),
            sign_in: false,
        }
    }

    /// The same, with a way to sign in as somebody else: whom the directory does not know can do nothing else here.
    #[must_use]
    pub(super) fn with_sign_in(self) -> Self {
        Self {
            sign_in: true,
            ..self
        }
    }

    pub(super) fn signed_out() -> Self {
        Self {
            sign_in: true,
            ..Self::new(
                StatusCode::UNAUTHORIZED,
                "You are signed out",
                "Nothing was changed. Sign in, and do it again.",
            )
        }
    }

    /// A sign-in that came to nothing.
    #[cfg(feature = "oidc")]
    pub(super) fn not_signed_in(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            sign_in: true,
            ..Self::new(status, "You are not signed in", detail)
        }
    }

    /// A form that does not carry what it must: of another session, or of what has changed since.
    pub(super) fn stale_form() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "This form is out of date",
            "Nothing was changed. Go back, load the page again, and look at what it says now.",
        )
    }

    pub(super) fn header(value: &str) -> Result<HeaderValue, Self> {
        HeaderValue::from_str(value).map_err(|_| {
            Self::new(
                StatusCode::BAD_REQUEST,
                "This address can't be gone to",
                "It holds characters that an address can't have.",
            )
        })
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        // Programs know the other title; below this one it would say the same twice.
        let title = match problem.kind() {
            Kind::NotFound => "Not found",
            kind => kind.title(),
        };
        Self::new(problem.kind().status(), title, problem.detail())
    }
}

impl From<Rejection> for Failure {
    fn from(rejection: Rejection) -> Self {
        Problem::from(rejection).into()
    }
}

impl From<getrandom::Error> for Failure {
    fn from(error: getrandom::Error) -> Self {
        Rejection::from(error).into()
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        tracing::error!(%error, "a page could not be made");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "This page could not be made",
            "Try again soon. If it stays, tell whoever runs this server.",
        )
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let page = FailurePage {
            frame: Frame::bare(self.title.clone()),
            detail: self.detail.clone(),
            sign_in: self.sign_in,
        };
        match page.render() {
            Ok(html) => (self.status, Html(html)).into_response(),
            Err(_) => (self.status, format!("{}. {}\n", self.title, self.detail)).into_response(),
        }
    }
}
