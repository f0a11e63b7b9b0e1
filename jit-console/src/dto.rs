//! What callers send: read strictly, turned into the core's types, refused with the field's name and what would be right.
//!
//! 1. Unknown and doubled fields are refused. An optional field that is `null` counts as absent.
//! 2. Values arrive as text and numbers and are parsed here, so that each refusal can name its field.
//! 3. What a policy says about a value is the broker's to check.
//! 4. Prose is measured as it will be kept, cleaned. JSON Schema has no word for that, so its length is told in the description.

mod values;

use jit_core::approval::ask::{Ask, Selector};
use jit_core::approval::event::Finding;
use jit_core::approval::lockdown::Target;
use jit_core::approval::review::{Decision, Narrowing, Opinion};
use jit_core::id::{PersonId, Principal};
use serde::Deserialize;
use utoipa::ToSchema;

pub(crate) use values::{Count, ObjectOnly};
use values::{field, list, moment, optional, prose, said, set};

use crate::problem::Problem;

/// An asking for access.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Ask)]
pub(crate) struct AskBody {
    /// The resource's name.
    #[schema(example = "admin")]
    pub(crate) resource: String,
    /// Why, for the people who decide. The policy says whether there must be one. At most 500 characters, once trimmed and cleaned.
    #[schema(example = "INC-4711: reset the stuck import")]
    pub(crate) reason: Option<String>,
    /// How long, such as `30m`; the policy's default if absent.
    #[schema(example = "30m")]
    pub(crate) duration: Option<String>,
    /// Under which policy; the first that you are eligible for if absent.
    pub(crate) policy: Option<String>,
    /// A ticket. At most 500 characters, once trimmed and cleaned.
    pub(crate) ticket: Option<String>,
    /// When the window opens; as soon as approved if absent.
    #[schema(format = DateTime)]
    pub(crate) start: Option<String>,
    /// Only these methods; all if absent.
    #[schema(max_items = 64)]
    pub(crate) methods: Option<Vec<String>>,
    /// Only these paths and what is below them; the whole resource if absent.
    #[schema(max_items = 64)]
    pub(crate) paths: Option<Vec<String>>,
    /// At most this many HTTP requests.
    pub(crate) max_requests: Option<Count>,
    /// At most this many bytes sent to the client.
    pub(crate) max_bytes: Option<Count>,
    /// How a gate recognises the holder.
    pub(crate) selector: Option<SelectorName>,
    /// The id of the request whose grant this one continues.
    pub(crate) extends: Option<String>,
    /// Immediate access in an emergency, reviewed afterwards.
    pub(crate) break_glass: Option<bool>,
}

/// How a gate recognises the holder of a grant.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Selector)]
pub(crate) enum SelectorName {
    /// By the proven principal.
    Principal,
    /// By a credential that the holder takes for this one grant.
    Credential,
}

impl TryFrom<AskBody> for Ask {
    type Error = Problem;

    fn try_from(body: AskBody) -> Result<Self, Problem> {
        Ok(Self {
            resource: field("resource", &body.resource)?,
            reason: prose("reason", body.reason)?,
            duration: optional("duration", body.duration.as_deref())?,
            policy: optional("policy", body.policy.as_deref())?,
            ticket: body
                .ticket
                .map(|ticket| prose("ticket", Some(ticket)))
                .transpose()?,
            start: body.start.map(|at| moment("start", &at)).transpose()?,
            methods: list("methods", body.methods)?,
            paths: list("paths", body.paths)?,
            max_requests: body.max_requests.map(|count| count.0),
            max_bytes: body.max_bytes.map(|count| count.0),
            selector: match body.selector {
                None | Some(SelectorName::Principal) => Selector::Principal,
                Some(SelectorName::Credential) => Selector::Credential,
            },
            extends: optional("extends", body.extends.as_deref())?,
            break_glass: body.break_glass.unwrap_or(false),
        })
    }
}

/// A review of one exact version of a request.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ReviewRequest)]
pub(crate) struct ReviewBody {
    pub(crate) decision: DecisionName,
    /// The digest of the request as you saw it.
    pub(crate) digest: String,
    /// In words, for the requester and the log. At most 500 characters, once trimmed and cleaned.
    pub(crate) comment: Option<String>,
    /// Approve a shorter window.
    #[schema(example = "15m")]
    pub(crate) duration: Option<String>,
    /// Approve fewer methods.
    #[schema(max_items = 64)]
    pub(crate) methods: Option<Vec<String>>,
    /// Approve fewer or deeper paths.
    #[schema(max_items = 64)]
    pub(crate) paths: Option<Vec<String>>,
    /// Approve fewer HTTP requests.
    pub(crate) max_requests: Option<Count>,
}

/// Approve or deny.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Decision)]
pub(crate) enum DecisionName {
    /// Yes, perhaps to less than was asked.
    Approve,
    /// No.
    Deny,
}

impl TryFrom<ReviewBody> for Opinion {
    type Error = Problem;

    fn try_from(body: ReviewBody) -> Result<Self, Problem> {
        let narrowing = Narrowing {
            duration: optional("duration", body.duration.as_deref())?,
            methods: set("methods", body.methods)?,
            paths: set("paths", body.paths)?,
            max_requests: body.max_requests.map(|count| count.0),
        };
        let decision = match body.decision {
            DecisionName::Approve => Decision::Approve,
            DecisionName::Deny if narrowing == Narrowing::default() => Decision::Deny,
            DecisionName::Deny => {
                return Err(Problem::invalid(
                    "decision",
                    "is `deny`, which leaves nothing to narrow: send no duration, methods, paths or max_requests with it",
                ));
            }
        };
        Ok(Self {
            decision,
            digest: field("digest", &body.digest)?,
            comment: prose("comment", body.comment)?,
            narrowing,
        })
    }
}

/// Words that may go with taking back or giving back.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OptionalReason)]
pub(crate) struct NoteBody {
    /// Why. At most 500 characters, once trimmed and cleaned.
    pub(crate) reason: Option<String>,
}

impl NoteBody {
    pub(crate) fn reason(self) -> Result<String, Problem> {
        prose("reason", self.reason)
    }
}

/// Nothing: an empty object.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Nothing)]
pub(crate) struct NothingBody {}

/// Words that must go with taking something from others.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Reason)]
pub(crate) struct ReasonBody {
    /// Why. At most 500 characters, once trimmed and cleaned.
    #[schema(min_length = 1)]
    pub(crate) reason: String,
}

impl ReasonBody {
    pub(crate) fn reason(self) -> Result<String, Problem> {
        said("reason", Some(self.reason))
    }
}

/// Whose passkeys are to be cleared.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ClearPasskeysRequest)]
pub(crate) struct ClearBody {
    /// The id of the person who has lost theirs.
    #[schema(min_length = 1, max_length = 256)]
    pub(crate) person: String,
    /// Why, for the log. At most 500 characters, once trimmed and cleaned.
    #[schema(min_length = 1)]
    pub(crate) reason: String,
}

impl ClearBody {
    pub(crate) fn read(self) -> Result<(PersonId, String), Problem> {
        let person =
            PersonId::new(self.person).map_err(|error| Problem::invalid("person", error.to_string()))?;
        Ok((person, said("reason", Some(self.reason))?))
    }
}

/// What you found when you looked into a break-glass.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = AfterReviewRequest)]
pub(crate) struct AfterReviewBody {
    pub(crate) finding: FindingName,
    /// In words. At most 500 characters, once trimmed and cleaned.
    pub(crate) comment: Option<String>,
}

/// The outcome of an after-review.
#[derive(Debug, Clone, Copy, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = Finding)]
pub(crate) enum FindingName {
    /// It was called for.
    Justified,
    /// It was not.
    Unjustified,
}

impl AfterReviewBody {
    pub(crate) fn read(self) -> Result<(Finding, String), Problem> {
        let finding = match self.finding {
            FindingName::Justified => Finding::Justified,
            FindingName::Unjustified => Finding::Unjustified,
        };
        Ok((finding, prose("comment", self.comment)?))
    }
}

/// Proof of a second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = StepUpRequest)]
pub(crate) struct StepUpBody {
    /// The six digits that your authenticator app shows.
    #[schema(pattern = "^[0-9]{6}$", example = "123456")]
    code: String,
}

impl StepUpBody {
    pub(crate) fn read(self) -> Result<String, Problem> {
        if self.code.len() == 6 && self.code.bytes().all(|b| b.is_ascii_digit()) {
            Ok(self.code)
        } else {
            Err(Problem::invalid("code", "must be six digits"))
        }
    }
}

/// A lockdown to be declared. Exactly one of `principal`, `person`, `role`, `resource` and `all` says what it matches.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = LockdownRequest)]
pub(crate) struct LockdownBody {
    /// One identity.
    pub(crate) principal: Option<PrincipalBody>,
    /// One person, under every identity.
    pub(crate) person: Option<String>,
    /// Everyone with this role.
    pub(crate) role: Option<String>,
    /// One resource.
    pub(crate) resource: Option<String>,
    /// `true`: everything and everyone.
    pub(crate) all: Option<bool>,
    /// Why. Shown to those who are locked out. At most 500 characters, once trimmed and cleaned.
    #[schema(min_length = 1)]
    pub(crate) reason: String,
}

/// One identity.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = PrincipalRequest)]
pub(crate) struct PrincipalBody {
    /// Who vouches for the subject.
    pub(crate) issuer: String,
    /// The issuer's lasting name for it.
    pub(crate) subject: String,
}

impl LockdownBody {
    pub(crate) fn read(self) -> Result<(Target, String), Problem> {
        const ONE: &str = "must be named exactly once: as `principal`, `person`, `role`, `resource` or `all`";
        let principal = self.principal.map(|raw| {
            Principal::new(&raw.issuer, &raw.subject)
                .map(Target::Principal)
                .map_err(|error| Problem::invalid("principal", format!("can't be taken: {error}")))
        });
        let all = self.all.map(|all| {
            all.then_some(Target::All).ok_or_else(|| {
                Problem::invalid("all", "can only be true; name something else or leave it away")
            })
        });
        let named = [
            principal,
            self.person.map(|text| field("person", &text).map(Target::Person)),
            self.role.map(|text| field("role", &text).map(Target::Role)),
            self.resource
                .map(|text| field("resource", &text).map(Target::Resource)),
            all,
        ];
        let mut targets = named.into_iter().flatten();
        match (targets.next(), targets.next()) {
            (Some(target), None) => Ok((target?, said("reason", Some(self.reason))?)),
            _ => Err(Problem::invalid("target", ONE)),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `base` with the fields of `more` put in.
    fn with(base: Value, more: Value) -> Value {
        let (Value::Object(mut base), Value::Object(more)) = (base, more) else {
            panic!("objects")
        };
        base.extend(more);
        Value::Object(base)
    }

    fn refused<T>(read: Result<T, Problem>) -> Option<String> {
        read.err().and_then(|problem| problem.field().map(str::to_owned))
    }

    #[test]
    fn an_asking_names_the_field_that_is_wrong() {
        let read = |more| {
            let body = with(json!({"resource": "admin"}), more);
            Ask::try_from(serde_json::from_value::<AskBody>(body).unwrap())
        };
        for (more, field) in [
            (json!({"duration": "1h 30m"}), None),
            (json!({"duration": "0s"}), Some("duration")),
            (json!({"duration": "-5m"}), Some("duration")),
            (json!({"duration": "99999999999999999999h"}), Some("duration")),
            (json!({"duration": "367days"}), Some("duration")),
            (json!({"duration": ""}), Some("duration")),
            (json!({"resource": ""}), Some("resource")),
            (json!({"resource": "../etc"}), Some("resource")),
            (json!({"policy": "a b"}), Some("policy")),
            (json!({"start": "2026-03-01T10:00:00+01:00"}), None),
            (json!({"start": "tomorrow"}), Some("start")),
            (json!({"start": "2026-03-01T10:00:00"}), Some("start")),
            (json!({"extends": "req_1"}), Some("extends")),
            (json!({"reason": "x".repeat(500)}), None),
            (json!({"reason": "x".repeat(501)}), Some("reason")),
            (json!({"reason": format!("{}\u{202e}  ", "x".repeat(500))}), None),
            (json!({"ticket": "x".repeat(501)}), Some("ticket")),
            (json!({"paths": vec!["/a"; 65]}), Some("paths")),
            (json!({"methods": vec!["GET"; 65]}), Some("methods")),
        ] {
            let shown = more.to_string();
            assert_eq!(refused(read(more)).as_deref(), field, "{shown:.80}");
        }
        let start = read(json!({"start": "2026-03-01T10:00:00+01:00"})).unwrap().start;
        assert_eq!(start, Some(crate::sample::at(0)));
        let long = read(json!({"reason": "x".repeat(501)})).unwrap_err();
        assert_eq!(
            long.detail(),
            "`reason` may hold at most 500 characters, and holds 501"
        );
    }

    #[test]
    fn a_review_names_the_digest_and_a_denial_narrows_nothing() {
        let digest = "0".repeat(64);
        for (more, field) in [
            (
                json!({"decision": "approve", "duration": "5m", "max_requests": 1}),
                None,
            ),
            (json!({"decision": "deny", "comment": "no"}), None),
            (json!({"decision": "deny", "methods": []}), None),
            (json!({"decision": "deny", "duration": "5m"}), Some("decision")),
            (json!({"decision": "approve", "digest": ""}), Some("digest")),
            (
                json!({"decision": "approve", "digest": "A".repeat(64)}),
                Some("digest"),
            ),
            (json!({"decision": "approve", "duration": "0m"}), Some("duration")),
            (
                json!({"decision": "approve", "comment": "x".repeat(501)}),
                Some("comment"),
            ),
        ] {
            let shown = more.to_string();
            let body = with(json!({"digest": digest}), more);
            let read = Opinion::try_from(serde_json::from_value::<ReviewBody>(body).unwrap());
            assert_eq!(refused(read).as_deref(), field, "{shown:.80}");
        }
    }

    #[test]
    fn a_lockdown_matches_exactly_one_thing() {
        for (more, field) in [
            (json!({"all": true}), None),
            (json!({"role": "sre", "person": null}), None),
            (json!({"principal": {"issuer": "i", "subject": "s"}}), None),
            (json!({}), Some("target")),
            (json!({"all": false}), Some("all")),
            (json!({"all": false, "role": "sre"}), Some("target")),
            (json!({"person": "alice", "role": "sre"}), Some("target")),
            (json!({"person": ""}), Some("person")),
            (json!({"role": " sre"}), Some("role")),
            (json!({"resource": "a/b"}), Some("resource")),
            (
                json!({"principal": {"issuer": "i|j", "subject": "s"}}),
                Some("principal"),
            ),
            (json!({"all": true, "reason": " \u{200b}"}), Some("reason")),
        ] {
            let shown = more.to_string();
            let body = with(json!({"reason": "INC-1"}), more);
            let read = serde_json::from_value::<LockdownBody>(body).unwrap().read();
            assert_eq!(refused(read).as_deref(), field, "{shown}");
        }
    }

    #[test]
    fn taking_away_needs_a_reason_and_giving_back_does_not() {
        let said = |reason: &str| {
            ReasonBody {
                reason: reason.to_owned(),
            }
            .reason()
        };
        assert_eq!(refused(said("  \n")).as_deref(), Some("reason"));
        assert_eq!(said("INC-1").unwrap(), "INC-1");
        assert_eq!(NoteBody { reason: None }.reason().unwrap(), "");
    }
}
