//! What the control API refused, in the words of a command: why, and what can be done about it.
//!
//! Programs are told the problem as it came ([`Failure::of`]).

use std::fmt::Write as _;

use jit_core::id::RequestId;
use reqwest::{Method, StatusCode, Url};
use serde::Deserialize;
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::inert::Text;

/// A problem (RFC 9457), as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    title: Option<Text>,
    detail: Option<Text>,
    request_id: Option<RequestId>,
    retry_at: Option<Text>,
    step_up_url: Option<Text>,
    console_url: Option<Text>,
    amr_values: Option<Vec<Text>>,
}

impl Problem {
    /// What whoever falls short of a policy's second factor can do.
    fn factors(&self) -> Vec<String> {
        let takes_codes = self.step_up_url.is_some()
            && (self.amr_values.as_ref())
                .is_none_or(|methods| methods.iter().any(|method| method.as_str() == "otp"));
        let code = takes_codes.then(|| "With an authenticator app: jit step-up, then this again.".to_owned());
        let passkey = self.console_url.as_ref().map(|url| {
            format!(
                "With a passkey: do this in the web console, {url}; a passkey can't be used in a terminal."
            )
        });
        let mends: Vec<String> = code.into_iter().chain(passkey).collect();
        if mends.is_empty() {
            return vec!["Sign in anew with your identity provider, and use the new token.".to_owned()];
        }
        mends
    }
}

/// What was asked of the control API.
#[derive(Debug, Default)]
pub(super) struct Endpoint {
    /// The request that it is about.
    request: Option<RequestId>,
    /// The last part of its path that is no id.
    action: String,
    /// Whether it was only read.
    reads: bool,
}

impl Endpoint {
    pub(super) fn of(method: &Method, url: &Url) -> Self {
        let mut endpoint = Self {
            reads: *method == Method::GET,
            ..Self::default()
        };
        for part in url.path_segments().into_iter().flatten() {
            match part.parse() {
                Ok(id) => endpoint.request = Some(id),
                Err(_) => endpoint.action = part.to_owned(),
            }
        }
        endpoint
    }

    /// Who could have done it.
    fn who(&self) -> Option<String> {
        let role = |roles: &str| format!("The roles under {roles} in [control] of the policy file may.");
        let who = match &*self.action {
            // To ask.
            "requests" => "It is not yours to ask for, or there is none of that name. What you may ask for: jit policies".to_owned(),
            "review" | "revoke" | "after-review" => {
                let id = self.request?;
                let others = if self.action == "review" {
                    ""
                } else {
                    ", and the roles under revokers in [control] of the policy file"
                };
                format!("Who may decide about it (jit show {id}) may{others}.")
            }
            "withdraw" | "release" | "credential" => "Only who asked for it may.".to_owned(),
            "lockdowns" if self.reads => role("auditors, revokers and lockdown"),
            "lockdowns" | "lift" | "clear" => role("lockdown"),
            "events" => role("auditors"),
            _ => return None,
        };
        Some(who)
    }
}

pub(super) fn problem(status: StatusCode, value: Value, endpoint: &Endpoint) -> Failure {
    let problem: Problem = Problem::deserialize(&value).unwrap_or_default();
    let kind = problem
        .kind
        .as_deref()
        .and_then(|kind| kind.rsplit('/').next())
        .unwrap_or_default();
    let exit = match kind {
        "stale-digest" | "already-decided" => Exit::Changed,
        "audit-unavailable" | "directory-unavailable" => Exit::Unreachable,
        _ if status.is_server_error() => Exit::Unreachable,
        _ if status.is_client_error() => Exit::Refused,
        _ => Exit::Failed,
    };
    let mut text = match (&problem.title, &problem.detail) {
        (Some(title), Some(detail)) => match rest(detail, title) {
            Some(rest) => format!("{title}{rest}"),
            None => format!("{title}\n  {detail}"),
        },
        (Some(text), None) | (None, Some(text)) => text.to_string(),
        (None, None) => format!("the control API answers {status}"),
    };
    let mut mend = |mend: String| {
        let _ = write!(text, "\n  {mend}");
    };
    match kind {
        "unauthenticated" => {
            mend("Check JIT_TOKEN or --token-file: the server does not know this token.".to_owned());
        }
        "stale-digest" | "already-decided" => {
            let id = endpoint
                .request
                .map_or_else(|| "ID".to_owned(), |id| id.to_string());
            mend(format!("Read it again: jit show {id}"));
        }
        "not-eligible" => endpoint.who().into_iter().for_each(&mut mend),
        "not-found" if endpoint.action == "lift" => {
            mend("It is in force no more, or never was. What is: jit lockdown list".to_owned());
        }
        "step-up-required" => problem.factors().into_iter().for_each(&mut mend),
        "no-second-factor" => {
            if let Some(url) = &problem.console_url {
                mend(format!(
                    "With a passkey: act in the web console, {url}; a passkey can't be used in a terminal."
                ));
            }
        }
        _ => {}
    }
    if let Some(id) = problem.request_id {
        mend(format!("The request in the way: jit show {id}"));
    }
    if let Some(at) = problem.retry_at {
        mend(format!("Trying again can help from {at}."));
    }
    Failure::new(exit, text).of(value)
}

/// What a detail says after the title, if it begins by saying that again.
fn rest<'t>(detail: &'t Text, title: &Text) -> Option<&'t str> {
    let (start, rest) = detail.as_str().split_at_checked(title.as_str().len())?;
    start.eq_ignore_ascii_case(title.as_str()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_the_title_says_is_not_said_twice() {
        for (title, detail, said) in [
            (
                "You are not eligible",
                "you are not eligible for this",
                "You are not eligible for this",
            ),
            (
                "There is no such thing",
                "There is no such thing, or none",
                "There is no such thing, or none",
            ),
            (
                "The request's state does not allow that",
                "the request is denied",
                "The request's state does not allow that\n  the request is denied",
            ),
            ("Né", "N", "Né\n  N"),
        ] {
            let (title, detail) = (json!(title), json!(detail));
            let value = json!({"type": "/_jit/problems/x", "title": title, "detail": detail});
            assert_eq!(
                problem(StatusCode::CONFLICT, value, &Endpoint::default()).text,
                said
            );
        }
    }

    #[test]
    fn each_kind_of_problem_has_its_exit_code() {
        for (status, kind, exit) in [
            (403, "not-eligible", Exit::Refused),
            (401, "unauthenticated", Exit::Refused),
            (429, "limit-reached", Exit::Refused),
            (400, "invalid", Exit::Refused),
            (404, "not-found", Exit::Refused),
            (409, "stale-digest", Exit::Changed),
            (409, "already-decided", Exit::Changed),
            (503, "audit-unavailable", Exit::Unreachable),
            (502, "", Exit::Unreachable),
            (301, "", Exit::Failed),
        ] {
            let value = json!({"type": format!("/_jit/problems/{kind}"), "title": "T", "detail": "d\u{1b}[2J\r\nerror: x"});
            let failure = problem(StatusCode::from_u16(status).unwrap(), value, &Endpoint::default());
            assert_eq!(failure.exit, exit, "{status} {kind}");
            assert!(
                failure.text.starts_with("T\n  d\\u{1b}[2J\\r\\nerror: x"),
                "{failure:?}"
            );
        }
    }

    #[test]
    fn who_falls_short_is_told_what_they_can_prove() {
        let (code, passkey, anew) = (
            "jit step-up",
            "https://access.example.com; a passkey",
            "Sign in anew",
        );
        for (more, told) in [
            (
                json!({"step_up_url": "/_jit/v1/me/step-up", "console_url": "https://access.example.com"}),
                [true, true, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk", "otp"]}),
                [true, false, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk"], "console_url": "https://access.example.com"}),
                [false, true, false],
            ),
            (
                json!({"step_up_url": "/x", "amr_values": ["hwk"]}),
                [false, false, true],
            ),
            (json!({}), [false, false, true]),
        ] {
            let mut value = json!({"type": "/_jit/problems/step-up-required", "title": "T"});
            value
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            let text = problem(StatusCode::UNAUTHORIZED, value, &Endpoint::default()).text;
            assert_eq!(
                [code, passkey, anew].map(|part| text.contains(part)),
                told,
                "{more}: {text}"
            );
        }
    }

    #[test]
    fn who_may_not_is_told_who_may() {
        let id = "req_00000000000000000000000000000001";
        for (path, told) in [
            ("v1/requests".to_owned(), "jit policies"),
            (
                format!("v1/requests/{id}/review"),
                "Who may decide about it (jit show req_00000000000000000000000000000001) may.",
            ),
            (
                format!("v1/requests/{id}/revoke"),
                "may, and the roles under revokers",
            ),
            (
                format!("v1/requests/{id}/after-review"),
                "may, and the roles under revokers",
            ),
            (format!("v1/requests/{id}/release"), "Only who asked"),
            ("v1/lockdowns".to_owned(), "roles under lockdown"),
            (
                "v1/lockdowns/lkd_00000000000000000000000000000001/lift".to_owned(),
                "roles under lockdown",
            ),
            ("v1/passkeys/clear".to_owned(), "roles under lockdown"),
            ("v1/events".to_owned(), "roles under auditors"),
        ] {
            let url = Url::parse(&format!("https://a.example/_jit/{path}")).unwrap();
            let value = json!({"type": "/_jit/problems/not-eligible", "title": "T"});
            let failure = problem(
                StatusCode::FORBIDDEN,
                value.clone(),
                &Endpoint::of(&Method::POST, &url),
            );
            assert!(failure.text.contains(told), "{path}: {failure:?}");
            assert_eq!(failure.problem.as_deref(), Some(&value));
        }
        let list = Url::parse("https://a.example/_jit/v1/lockdowns").unwrap();
        let value = json!({"type": "/_jit/problems/not-eligible", "title": "T"});
        let failure = problem(StatusCode::FORBIDDEN, value, &Endpoint::of(&Method::GET, &list));
        assert!(
            failure
                .text
                .contains("roles under auditors, revokers and lockdown"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_problem_that_is_none_is_still_a_refusal() {
        for value in [json!(null), json!([]), json!("x"), json!({"title": 7}), json!({})] {
            assert_eq!(
                problem(StatusCode::FORBIDDEN, value, &Endpoint::default()).exit,
                Exit::Refused
            );
        }
    }
}
