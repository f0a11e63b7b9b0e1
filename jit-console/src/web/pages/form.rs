//! Forms: read strictly, and shown again with what was typed and what was wrong with it.

use std::time::Duration;

use axum::Form;
use axum::extract::{FromRequest, Request};
use axum::response::IntoResponse;
use jit_core::policy::text::is_unprintable;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::problem::Problem;
use crate::web::Console;
use crate::web::failure::Failure;

/// A form must have arrived within this.
const FORM_TIME: Duration = Duration::from_secs(10);

/// A form as it was sent: no field twice, none that `T` does not know.
#[derive(Debug)]
pub(super) struct Posted<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Console> for Posted<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, console: &Console) -> Result<Self, Failure> {
        let refused = |status| {
            Failure::new(
                status,
                "This form can't be read",
                "Nothing was changed. Go back, load the page again, and send what it asks for.",
            )
        };
        match timeout(FORM_TIME, Form::<T>::from_request(request, console)).await {
            Ok(Ok(Form(form))) => Ok(Self(form)),
            Ok(Err(rejection)) => Err(refused(rejection.into_response().status())),
            Err(_) => Err(refused(http::StatusCode::REQUEST_TIMEOUT)),
        }
    }
}

/// What was typed, to be shown again: without characters that rewrite what stands around them.
pub(super) fn shown(text: &str) -> String {
    text.chars()
        .filter(|c| *c == '\n' || !is_unprintable(*c))
        .collect()
}

/// A field that was filled in.
pub(super) fn filled(text: &str) -> Option<String> {
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

/// The entries of a field that takes several, by white space or commas.
pub(super) fn several(text: &str) -> Option<Vec<String>> {
    let entries = text.split(|c: char| c.is_whitespace() || c == ',');
    some(
        entries
            .filter(|entry| !entry.is_empty())
            .map(str::to_owned)
            .collect(),
    )
}

/// The lines of a field that takes several.
pub(super) fn lines(text: &str) -> Option<Vec<String>> {
    some(text.lines().filter_map(filled).collect())
}

fn some(entries: Vec<String>) -> Option<Vec<String>> {
    (!entries.is_empty()).then_some(entries)
}

/// What was wrong with a form.
#[derive(Debug, Default)]
pub(super) struct Errors {
    field: Option<String>,
    text: Option<String>,
    /// Where the request is shown that stands in the way.
    pub(super) see: Option<String>,
}

impl Errors {
    /// `fields` are those that the form shows; what is wrong with anything else is said above all of them.
    pub(super) fn new(problem: &Problem, fields: &[&str]) -> Self {
        let field = problem.field().filter(|field| fields.contains(field));
        let detail = problem.detail();
        let told = field.and_then(|field| detail.strip_prefix(&format!("`{field}` ")));
        Self {
            field: field.map(str::to_owned),
            text: Some(match told {
                Some(told) => format!("This {told}."),
                None => format!("{}: {detail}", problem.kind().title()),
            }),
            see: problem.request().map(|id| format!("/requests/{id}")),
        }
    }

    /// What was wrong with one field.
    pub(super) fn of(&self, field: &str) -> Option<&str> {
        self.text
            .as_deref()
            .filter(|_| self.field.as_deref() == Some(field))
    }

    /// What was wrong with the whole.
    pub(super) fn general(&self) -> Option<&str> {
        self.text.as_deref().filter(|_| self.field.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_said_where_it_is() {
        let errors = Errors::new(&Problem::invalid("duration", "is too long"), &["duration"]);
        assert_eq!(errors.of("duration"), Some("This is too long."));
        assert_eq!(errors.of("reason"), None);
        assert_eq!(errors.general(), None);
        let errors = Errors::new(&Problem::invalid("policy", "is wrong"), &["duration"]);
        assert_eq!(
            errors.general(),
            Some("The input is not valid: `policy` is wrong")
        );
        assert_eq!(Errors::default().general(), None);
    }

    #[test]
    fn entries_are_taken_apart() {
        assert_eq!(several(" GET, HEAD\nPOST "), several("GET HEAD POST"));
        assert_eq!(several(" , "), None);
        assert_eq!(
            lines("/a b\r\n\r\n /c"),
            Some(vec!["/a b".to_owned(), "/c".to_owned()])
        );
        assert_eq!(filled("  "), None);
    }
}
