//! An asking, as it comes in and as the policy answers it.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use crate::broker::directory::Person;
use crate::id::{PolicyName, Principal, RequestId, ResourceName, Timestamp};
use crate::policy::terms::{MfaTerms, ResourceDef, Scope, Terms};
use crate::span::Span;

/// What someone asks for, not yet checked against any policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// The resource.
    pub resource: ResourceName,
    /// Why. Cleaned by [`crate::policy::text::clean`] before it is kept.
    #[serde(default)]
    pub reason: String,
    /// How long; the policy's default if absent.
    #[serde(default)]
    pub duration: Option<Span>,
    /// Under which policy; the first that the requester is eligible for if absent.
    #[serde(default)]
    pub policy: Option<PolicyName>,
    /// A ticket.
    #[serde(default)]
    pub ticket: Option<String>,
    /// When the window opens; as soon as approved if absent.
    #[serde(default)]
    pub start: Option<Timestamp>,
    /// Only these methods.
    #[serde(default)]
    pub methods: Vec<String>,
    /// Only these paths and what is below them.
    #[serde(default)]
    pub paths: Vec<String>,
    /// At most this many requests.
    #[serde(default)]
    pub max_requests: Option<u64>,
    /// At most this many bytes sent to the client.
    #[serde(default)]
    pub max_bytes: Option<u64>,
    /// How the gate shall recognise the holder.
    #[serde(default)]
    pub selector: Selector,
    /// The request whose grant this one continues.
    #[serde(default)]
    pub extends: Option<RequestId>,
    /// Immediate access in an emergency.
    #[serde(default)]
    pub break_glass: bool,
}

/// How a gate recognises the holder of a grant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Selector {
    /// By the proven principal.
    #[default]
    Principal,
    /// By a credential that its holder has issued for this one grant: [`crate::approval::credential`]. The holder's own identity does
    /// not open such a grant.
    Credential,
}

/// How strongly and how recently someone signed in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assurance {
    /// Authentication methods (RFC 8176 `amr` values).
    pub methods: Vec<String>,
    /// The authentication context class (OpenID Connect Core §2 `acr`).
    pub context: Option<String>,
    /// When the person actively signed in (`auth_time`).
    pub authenticated_at: Option<Timestamp>,
}

/// How far ahead of ours an issuer's clock may be.
const SKEW: TimeDelta = TimeDelta::seconds(30);

impl Assurance {
    /// Whether this satisfies `terms` at `now`: strong enough, and fresh enough. What is not known does not satisfy.
    pub fn satisfies(&self, terms: &MfaTerms, now: Timestamp) -> bool {
        self.is_strong(terms) && self.is_fresh(terms, now)
    }

    /// Whether the sign-in is of a class and by a method that `terms` name. Where they name neither, a method must be among those
    /// that stand for several factors, or for one that is bound to a device.
    pub fn is_strong(&self, terms: &MfaTerms) -> bool {
        let mut methods = self.methods.iter().map(String::as_str);
        let class = (self.context.as_ref()).is_some_and(|context| terms.acr.contains(context));
        match (terms.acr.is_empty(), terms.amr.is_empty()) {
            // RFC 8176 §2: `mfa` says that several factors were used; the others are single strong factors bound to a device.
            (true, true) => methods.any(|m| matches!(m, "mfa" | "hwk" | "swk" | "otp" | "fpt" | "face")),
            (true, false) => methods.any(|m| terms.amr.contains(m)),
            (false, true) => class,
            (false, false) => class && methods.any(|m| terms.amr.contains(m)),
        }
    }

    /// Whether the sign-in is young enough for `terms` at `now`. One in the future, by more than clocks differ, is not believed.
    fn is_fresh(&self, terms: &MfaTerms, now: Timestamp) -> bool {
        let future = |at: Timestamp| at.signed_duration_since(now) > SKEW;
        if self.authenticated_at.is_some_and(future) {
            return false;
        }
        terms
            .max_age
            .is_none_or(|max_age| self.authenticated_at.is_some_and(|at| now <= max_age.after(at)))
    }
}

/// Someone as proven on the call at hand, and the person the Directory says that is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// The identity proven.
    pub principal: Principal,
    /// Who that is.
    pub person: Person,
    /// How.
    pub assurance: Assurance,
    /// What the issuer said besides, for conditions.
    #[serde(default)]
    pub claims: BTreeMap<String, serde_json::Value>,
}

/// What a policy makes of an asking: every word of it decided, nothing left to look up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ruling {
    /// The governing policy's terms.
    pub terms: Terms,
    /// The resource as it is now.
    pub resource: ResourceDef,
    /// The part of it asked for, canonical, inside the resource.
    pub scope: Scope,
    /// How long, within the terms.
    pub duration: Span,
    /// When the window opens. `None`: as soon as approved.
    pub start: Option<Timestamp>,
    /// The reason, cleaned.
    pub reason: String,
    /// The ticket, cleaned.
    pub ticket: Option<String>,
    /// At most this many requests: the smaller of what was asked and the terms' limit.
    pub max_requests: Option<u64>,
    /// At most this many bytes: likewise.
    pub max_bytes: Option<u64>,
    /// How the gate recognises the holder.
    pub selector: Selector,
    /// Who must agree.
    pub route: Route,
}

/// Who must agree to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    clippy::exhaustive_enums,
    reason = "whoever handles routes must handle all of them"
)]
pub enum Route {
    /// The stages, in order.
    Stages,
    /// Nobody: the policy is automatic (`rule` is `None`), or the rule of this number held.
    Automatic {
        /// Which of the terms' automatic rules, counted from 0.
        rule: Option<u16>,
    },
    /// Nobody now, another person afterwards.
    BreakGlass,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_in_is_as_strong_and_as_fresh_as_the_terms_say_or_it_is_not_enough() {
        let now = Timestamp::from_timestamp(1_800_000_000, 0).unwrap();
        let check = |methods: &[&str],
                     context: Option<&str>,
                     age: Option<i64>,
                     terms: (&[&str], &[&str], Option<u64>),
                     expected| {
            let assurance = Assurance {
                methods: methods.iter().map(|m| (*m).to_owned()).collect(),
                context: context.map(str::to_owned),
                authenticated_at: age.map(|age| now - TimeDelta::seconds(age)),
            };
            let (acr, amr, max_age) = terms;
            let terms = MfaTerms {
                acr: acr.iter().map(|v| (*v).to_owned()).collect(),
                amr: amr.iter().map(|v| (*v).to_owned()).collect(),
                max_age: max_age.map(|s| Span::seconds(s).unwrap()),
            };
            assert_eq!(
                assurance.satisfies(&terms, now),
                expected,
                "{assurance:?} for {terms:?}"
            );
        };
        let any = (&[][..], &[][..], None);
        let gold = (&["gold", "silver"][..], &[][..], None);
        let keys = (&[][..], &["hwk", "swk"][..], None);
        let both = (&["gold"][..], &["hwk"][..], None);
        let young = (&[][..], &[][..], Some(60));
        for (methods, context, age, terms, expected) in [
            (&[][..], None, None, any, false),
            (&["pwd"], None, None, any, false),
            (&["pwd", "otp"], None, None, any, true),
            (&["MFA"], None, None, any, false),
            (&[], Some("mfa"), None, any, false),
            (&["mfa"], Some("gold"), Some(0), any, true),
            // A class.
            (&[], Some("silver"), None, gold, true),
            (&["mfa"], Some("bronze"), None, gold, false),
            (&["mfa"], Some("Gold"), None, gold, false),
            (&["mfa", "gold"], None, None, gold, false),
            // A method.
            (&["swk"], None, None, keys, true),
            (&["mfa", "otp"], None, None, keys, false),
            // Both.
            (&["hwk"], Some("gold"), None, both, true),
            (&["hwk"], Some("silver"), None, both, false),
            (&["mfa"], Some("gold"), None, both, false),
            // How old.
            (&["mfa"], None, None, young, false),
            (&["mfa"], None, Some(60), young, true),
            (&["mfa"], None, Some(61), young, false),
            (&["pwd"], None, Some(0), young, false),
            (&["mfa"], None, Some(-30), young, true),
            (&["mfa"], None, Some(-31), young, false),
            (&["mfa"], None, Some(-31), any, false),
        ] {
            check(methods, context, age, terms, expected);
        }
    }
}
