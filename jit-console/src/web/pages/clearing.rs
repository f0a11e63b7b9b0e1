//! Clearing the passkeys of somebody who has lost theirs.
//!
//! For those who may declare lockdowns, and never for themselves. What it takes besides is the broker's to say: a second factor that they
//! proved within the last 5 minutes, to which they are led from here. It ends what the other has proven, and signs them out.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use jit_core::approval::refused::Refused;
use jit_core::policy::text::clean;
use serde::Deserialize;

use super::form::{Errors, Posted, shown};
use super::passkeys::passkeys;
use super::words::encoded;
use crate::dto::ClearBody;
use crate::extract::Params;
use crate::problem::Problem;
use crate::web::Console;
use crate::web::failure::Failure;
use crate::web::frame::{Frame, page};
use crate::web::visitor::Visitor;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClearParams {
    person: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ClearForm {
    csrf: String,
    person: String,
    reason: String,
}

#[derive(Template)]
#[template(path = "clearing.html")]
struct ClearPage {
    frame: Frame,
    csrf: String,
    typed: ClearForm,
    errors: Errors,
    /// What was done.
    done: Option<String>,
}

fn may_clear(visitor: &Visitor) -> Result<(), Problem> {
    if visitor.powers.lockdown {
        Ok(())
    } else {
        Err(Refused::NotEligible.into())
    }
}

/// Whose, and why?
pub(super) async fn form(
    State(console): State<Console>,
    visitor: Visitor,
    params: Params,
) -> Result<Response, Failure> {
    may_clear(&visitor)?;
    passkeys(&console)?;
    let ClearParams { person } = params.read()?;
    let typed = ClearForm {
        person: shown(&person),
        ..ClearForm::default()
    };
    show(&visitor, typed, Errors::default(), None)
}

fn show(
    visitor: &Visitor,
    typed: ClearForm,
    errors: Errors,
    done: Option<String>,
) -> Result<Response, Failure> {
    page(&ClearPage {
        frame: visitor.frame("grants", "A lost passkey"),
        csrf: visitor.session.token("clear-passkeys", "").to_string(),
        typed,
        errors,
        done,
    })
}

/// Clears them.
pub(super) async fn clear(
    State(console): State<Console>,
    visitor: Visitor,
    form: Result<Posted<ClearForm>, Failure>,
) -> Result<Response, Failure> {
    may_clear(&visitor)?;
    let passkeys = passkeys(&console)?;
    let Posted(form) = form?;
    visitor.check(&form.csrf, "clear-passkeys", "")?;
    let cleared = async {
        let body = ClearBody {
            person: form.person.trim().to_owned(),
            reason: form.reason.clone(),
        };
        let (person, reason) = body.read()?;
        let count = (passkeys.clear(&console.0.broker, &visitor.actor, &person, &reason)).await?;
        Ok::<_, Problem>((person, count))
    };
    match cleared.await {
        Ok((person, count)) => {
            let many = if count == 1 { "One passkey" } else { "All passkeys" };
            let done = format!(
                "{many} of {} {} cleared, and they are signed out here and of guarded pages. Have them sign in and add a new one within 5 minutes of that.",
                clean(person.as_str()),
                if count == 1 { "was" } else { "were" }
            );
            show(&visitor, ClearForm::default(), Errors::default(), Some(done))
        }
        Err(problem) => {
            if let Some(wanted) = console.mend(&visitor, &problem).await {
                let way = format!("/security/clear?person={}", encoded(form.person.trim()));
                let step_up = console.step_up(&visitor, way, Some(wanted), None)?;
                return Ok(axum::response::Redirect::to(&step_up).into_response());
            }
            let status: StatusCode = problem.kind().status();
            let typed = ClearForm {
                person: shown(&form.person),
                reason: shown(&form.reason),
                ..ClearForm::default()
            };
            let errors = Errors::new(&problem, &["person", "reason"]);
            Ok((status, show(&visitor, typed, errors, None)?).into_response())
        }
    }
}
