//! A plain page for each problem type, for people who follow the `type` of a problem: those of this API and those of the gate.
//!
//! What is on a page is the same everywhere and for everyone.

use axum::extract::{RawPathParams, State};
use axum::response::{Html, IntoResponse, Response};

use crate::not_found;
use crate::problem::Problem;
use crate::settings::Shared;

/// A problem's name, what it means, and what to do.
type Entry = (&'static str, &'static str, &'static str);

const PAGES: [Entry; 34] = [
    (
        "already-decided",
        "The request is in a state in which this can't be done: it was decided, or has ended.",
        "Read the request again. If you still need access, ask anew.",
    ),
    (
        "approval-pending",
        "You have asked for access, and either nobody has agreed yet or the window has not opened.",
        "Wait, or follow the request that the problem names. Then try again.",
    ),
    (
        "approval-required",
        "What you want to reach is protected, and you have no grant for it.",
        "Ask for one where the problem says, with a reason. Then try again.",
    ),
    (
        "audit-unavailable",
        "What happens can't be written down at the moment, and what can't be written down is not done.",
        "Try again soon. If it stays, tell whoever runs this server.",
    ),
    (
        "authentication-unavailable",
        "Whatever verifies your credential does not answer at the moment.",
        "Try again soon. If it stays, tell whoever runs this server.",
    ),
    (
        "bad-request-headers",
        "The headers of the request contradict each other, or claim what only the gate may say.",
        "Send the request without the headers that the problem names, and each credential once.",
    ),
    (
        "bad-request-target",
        "The request's address can be read in more than one way.",
        "Use the plain spelling: no dot segments, no doubled slashes, no encoded slashes or control characters.",
    ),
    (
        "body-too-large",
        "The body of the request is longer than 64 KiB.",
        "Send less.",
    ),
    (
        "body-too-slow",
        "The body of the request did not arrive within 10 seconds.",
        "Try again over a better connection.",
    ),
    (
        "budget-spent",
        "The requests that your grant allows are used up.",
        "Ask for another grant.",
    ),
    (
        "budget-unavailable",
        "Your grant has requests left, but none could be reserved at the moment.",
        "Try again soon.",
    ),
    (
        "credential-required",
        "The grant for this is bound to a credential of its own; your identity does not open it.",
        "Send the grant's credential. Its holder can take one for the request.",
    ),
    (
        "cross-origin",
        "A page of another site sent this in your browser.",
        "Nothing was changed. Go on from this server's own pages. Programs leave Origin and Sec-Fetch-Site away.",
    ),
    (
        "directory-unavailable",
        "Who you are can't be looked up at the moment.",
        "Try again soon. If it stays, tell whoever runs this server.",
    ),
    (
        "grant-ended",
        "The grant ended while the request was under way, and the request was cut.",
        "What it has done by then may stay done. If you still need access, ask for another grant.",
    ),
    (
        "invalid",
        "Something that you sent is not right. The problem names the field and says what would be.",
        "Mend that field and send it again.",
    ),
    (
        "invalid-code",
        "The code of your second factor is not right, not right any more, or was used before.",
        "Wait for the next code and send that. After wrong ones the pauses grow. If none is right, set the clock of your device.",
    ),
    (
        "limit-not-enforceable",
        "Your grant has a limit that can't be counted here.",
        "Ask for a grant without that limit.",
    ),
    (
        "limit-reached",
        "A limit is reached: of requests that wait, of how fast they come, or of grants at once.",
        "Wait until the moment that the problem names, or bring the request to an end that stands in the way.",
    ),
    (
        "locked-down",
        "A lockdown is in force: nothing that it matches can be used or asked for.",
        "Wait until it is lifted. The reason says who knows more.",
    ),
    (
        "method-not-allowed",
        "This can't be done at this address.",
        "Use one of the methods in the Allow header.",
    ),
    (
        "no-second-factor",
        "This server takes no codes, or knows no second factor of yours.",
        "Ask whoever runs it to add the secret of your authenticator app, or sign in anew with your identity provider.",
    ),
    (
        "not-eligible",
        "You are known, but not as anyone who may do this. What does not exist is answered the same.",
        "Check the name. If you should have access, ask whoever writes the policy.",
    ),
    (
        "not-found",
        "There is no such thing, or none that you may see.",
        "Check the address.",
    ),
    (
        "not-open",
        "Nothing here is open, and nothing here can be asked for.",
        "Check the address.",
    ),
    (
        "self-review",
        "Nobody reviews a request of their own, under any of their identities.",
        "Ask somebody else who may review it.",
    ),
    (
        "stale-digest",
        "The request has changed since you saw it.",
        "Read it again, and review what it says now.",
    ),
    (
        "stale-view",
        "The gate has lost touch with its control plane, and stays shut until it is back.",
        "Try again soon. If it stays, tell whoever runs this server.",
    ),
    (
        "step-up-required",
        "You are signed in, but the policy wants a second factor, another class of sign-in, or a more recent one.",
        "Sign in anew as the WWW-Authenticate header says, or send a code of your authenticator app where the problem says. Then try again.",
    ),
    (
        "too-many-concurrent",
        "As many of your requests as your grant allows are under way.",
        "Wait for one to end, then try again.",
    ),
    (
        "unauthenticated",
        "Nothing that you sent proves who you are.",
        "Sign in, or send a valid credential. It may have ended or been revoked.",
    ),
    (
        "unknown-host",
        "Nothing is served under this host name.",
        "Check the address.",
    ),
    (
        "unsupported-media-type",
        "The body of the request is not JSON.",
        "Send it as Content-Type: application/json, in UTF-8, without a Content-Encoding.",
    ),
    (
        "upgrade-refused",
        "A connection that changes its protocol could not be cut when your grant ends.",
        "Use plain requests.",
    ),
];

/// What a problem type means.
pub(crate) async fn page(State(shared): State<Shared>, params: RawPathParams) -> Response {
    // By name: the router may be nested below parameters of the app's own.
    let name = params
        .iter()
        .find(|(key, _)| *key == "name")
        .map(|(_, value)| value);
    let entry = PAGES.iter().find(|(known, _, _)| Some(*known) == name);
    match entry {
        Some(entry) => Html(html(entry)).into_response(),
        None => Problem::into_response(not_found(State(shared)).await),
    }
}

fn html((name, means, mend): &Entry) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{name}</title>\n<h1>{name}</h1>\n<p>{means}</p>\n<p>{mend}</p>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use jit_core::gate::cut::Cut;
    use jit_core::gate::refusal::Refusal;

    use super::*;
    use crate::problem::Kind;

    #[test]
    fn every_problem_has_a_page() {
        let resource: jit_core::id::ResourceName = "admin".parse().unwrap();
        let terms = jit_core::policy::terms::MfaTerms::default();
        let refusals = [
            Refusal::BadTarget(jit_core::gate::target::BadTarget::Form),
            Refusal::UnknownHost,
            Refusal::Unauthenticated,
            Refusal::AuthenticationUnavailable,
            Refusal::NotOpen,
            Refusal::NotEligible {
                resource: resource.clone(),
            },
            Refusal::ApprovalRequired {
                resource: resource.clone(),
            },
            Refusal::ApprovalPending {
                resource: resource.clone(),
                request: jit_core::id::RequestId::from_u128(1),
                opens_at: None,
            },
            Refusal::StepUp {
                resource: resource.clone(),
                terms,
            },
            Refusal::LockedDown,
            Refusal::StaleView,
            Refusal::BudgetSpent {
                resource: resource.clone(),
            },
            Refusal::BudgetUnavailable,
            Refusal::TooManyConcurrent {
                resource: resource.clone(),
            },
            Refusal::LimitNotEnforceable {
                resource: resource.clone(),
            },
            Refusal::CredentialRequired {
                resource: resource.clone(),
            },
            Refusal::GrantEnded {
                resource: resource.clone(),
                cut: Cut::Revoked,
            },
            Refusal::UpgradeRefused { resource },
        ];
        let gates = refusals.iter().map(Refusal::kind).chain(["bad-request-headers"]);
        for name in Kind::ALL.iter().map(|kind| kind.name()).chain(gates) {
            assert!(PAGES.iter().any(|(known, _, _)| *known == name), "{name}");
        }
        assert!(PAGES.is_sorted_by_key(|(name, _, _)| *name));
    }

    #[test]
    fn a_page_is_plain() {
        for entry in &PAGES {
            let (name, means, mend) = entry;
            for text in [name, means, mend] {
                assert!(!text.is_empty() && !text.contains(['<', '>', '&', '"']), "{text}");
            }
            assert!(html(entry).contains(means));
        }
    }
}
