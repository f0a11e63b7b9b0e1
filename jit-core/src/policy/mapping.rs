//! `[[mappings]]`: which claims give which roles.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::id::{Principal, Role};
use crate::policy::condition::{Claims, Condition};
use crate::policy::entry::texts;
use crate::policy::lint::Lints;
use crate::policy::model::{self, Plain, Wanted};
use crate::policy::source::At;

/// Most mappings in one file.
const MAPPINGS_MAX: usize = 1_000;
/// Most claims that one mapping names, and most values for one claim.
const CLAIMS_MAX: usize = 64;

/// Which claims give which roles: the `[[mappings]]` of a policy file. Clones share them.
///
/// ```toml
/// [[mappings]]                        # people: a group of the identity provider
/// issuer = "https://idp.example.com"
/// claims = { groups = ["sre", "sre-emea"] }
/// roles = ["sre"]
///
/// [[mappings]]                        # a CI job: this repository, on this branch, in this environment
/// issuer = "https://token.actions.githubusercontent.com"
/// claims = { repository = "acme/app", ref = "refs/heads/main", environment = "production" }
/// roles = ["deployer"]
///
/// [[mappings]]                        # the same in CEL, with the feature `cel`
/// issuer = "https://gitlab.com"
/// when = 'claims.project_path == "acme/app" && claims.ref_protected == "true"'
/// roles = ["deployer"]
/// ```
///
/// # Rules
/// 1. Everything that a mapping names must hold: the issuer, each of `claims`, and `when`. Somebody has the roles of all mappings that hold
///    for them, and no others.
/// 2. Texts are compared whole and byte for byte: the group `/tenant/admin` is not `admin`. A claim that is a list holds if one of its
///    items does.
/// 3. A claim that is not there, or an expression that can't be evaluated, does not hold.
/// 4. A mapping with neither `claims` nor `when` would give its roles to everyone of the issuer, and is an error. For GitHub and GitLab.com,
///    where everyone in the world has jobs, so is one that pins no repository or organisation.
///
/// # Caveats
/// - Map nothing to what the subject can choose: a display name, an unverified e-mail address, a branch that anyone may push.
/// - The audience is the authenticator's to check; a job asks for a token with any audience it likes.
/// - Everybody's jobs may call a reusable workflow of a public repository: `job_workflow_ref` says what runs, not for whom. Pin the
///   repository or its owner besides.
/// - A job of a pull request runs what its author wrote. `ref` and `environment` with protection rules keep those out.
#[derive(Clone, Default)]
pub struct Mappings(Arc<[Mapping]>);

struct Mapping {
    issuer: String,
    claims: BTreeMap<String, Vec<Plain>>,
    when: Option<Condition>,
    roles: BTreeSet<Role>,
}

impl Mappings {
    /// The roles of somebody with these claims, as far as mappings go.
    pub fn roles(&self, principal: &Principal, claims: &BTreeMap<String, Value>) -> BTreeSet<Role> {
        let held = self.0.iter().filter(|mapping| mapping.holds(principal, claims));
        held.flat_map(|mapping| &mapping.roles).cloned().collect()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Mappings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mappings({})", self.len())
    }
}

impl Mapping {
    fn holds(&self, principal: &Principal, claims: &Claims) -> bool {
        let held = |(name, wanted): (&String, &Vec<Plain>)| {
            let claim = claims.get(name);
            claim.is_some_and(|claim| wanted.iter().any(|wanted| is_or_holds(claim, wanted)))
        };
        principal.issuer() == self.issuer
            && self.claims.iter().all(held)
            && self
                .when
                .as_ref()
                .is_none_or(|when| when.holds_for(principal, claims))
    }
}

fn is_or_holds(claim: &Value, wanted: &Plain) -> bool {
    match claim {
        Value::Array(items) => items.iter().any(|item| is(item, wanted)),
        one => is(one, wanted),
    }
}

fn is(value: &Value, wanted: &Plain) -> bool {
    match (value, wanted) {
        (Value::String(value), Plain::Text(wanted)) => value == wanted,
        (Value::Number(value), Plain::Number(wanted)) => value.as_i64() == Some(*wanted),
        (Value::Bool(value), Plain::Bool(wanted)) => value == wanted,
        _ => false,
    }
}

/// Issuers whose tokens anybody in the world can get, and the claims that say for whom they are.
const OPEN_TO_ALL: [(&str, &[&str]); 2] = [
    (
        "https://token.actions.githubusercontent.com",
        &[
            "repository",
            "repository_id",
            "repository_owner",
            "repository_owner_id",
            "enterprise",
            "enterprise_id",
            "sub",
        ],
    ),
    (
        "https://gitlab.com",
        &[
            "project_path",
            "project_id",
            "namespace_path",
            "namespace_id",
            "user_id",
            "user_login",
            "sub",
        ],
    ),
];

/// The mappings, if all are in order.
pub(super) fn compile_all(file: &model::File, at: At<'_>, lints: &mut Lints) -> Mappings {
    let mappings = &file.mappings;
    if mappings.len() > MAPPINGS_MAX {
        lints.error(
            at,
            format!(
                "there are {} mappings; at most {MAPPINGS_MAX} are read",
                mappings.len()
            ),
            "name several values in one mapping",
        );
        return Mappings::default();
    }
    let used = used_roles(file);
    let mut compiled = Vec::new();
    for (n, mapping) in mappings.iter().enumerate() {
        let at = at.item(n);
        compiled.extend(compile_one(mapping, at, lints));
        for (n, role) in mapping.roles.iter().enumerate() {
            if !used.contains(role) {
                lints.warn(
                    at.key("roles").item(n),
                    format!("the mapping gives role {role:?}, which nothing in this file names"),
                    "name it in a policy, or correct its name",
                );
            }
        }
    }
    Mappings(compiled.into())
}

/// Every role that the file names; `None` for what only an expression may name.
fn used_roles(file: &model::File) -> Used<'_> {
    let mut named = BTreeSet::new();
    let control = &file.control;
    for roles in [&control.auditors, &control.revokers, &control.lockdown] {
        named.extend(roles.iter().map(String::as_str));
    }
    let mut expressions = Vec::new();
    for policy in &file.policies {
        let stages = policy.stages.iter();
        let people = stages
            .flat_map(|stage| std::iter::once(&stage.approvers).chain(&stage.escalate_to))
            .chain(policy.break_glass.as_ref().map(|glass| &glass.requesters))
            .chain(std::iter::once(&policy.requesters));
        named.extend(people.flat_map(|people| &people.roles).map(String::as_str));
        expressions.extend(policy.automatic.iter().map(|rule| rule.when.as_str()));
    }
    Used { named, expressions }
}

struct Used<'f> {
    named: BTreeSet<&'f str>,
    expressions: Vec<&'f str>,
}

impl Used<'_> {
    fn contains(&self, role: &str) -> bool {
        self.named.contains(role) || self.expressions.iter().any(|text| text.contains(role))
    }
}

fn compile_one(mapping: &model::Mapping, at: At<'_>, lints: &mut Lints) -> Option<Mapping> {
    let issuer = Principal::new(&mapping.issuer, "somebody").map(|_| mapping.issuer.clone());
    let issuer = lints.take(
        at.key("issuer"),
        issuer.map_err(|problem| format!("the mapping's {problem}")),
        "write it exactly as tokens have it in `iss`, such as \"https://idp.example.com\"",
    );
    if mapping.roles.is_empty() {
        lints.error(
            at,
            "the mapping gives no roles",
            "name at least one, or take the mapping out",
        );
    }
    let roles = texts(&mapping.roles, at.key("roles"), lints);
    if mapping.claims.is_empty() && mapping.when.is_none() {
        lints.error(
            at,
            format!("the mapping gives its roles to everyone of {:?}", mapping.issuer),
            "name `claims`; if everyone is meant, say when = \"true\"",
        );
    } else {
        check_pinned(mapping, at, lints);
    }
    let claims = compile_claims(mapping, at.key("claims"), lints);
    let when = match &mapping.when {
        None => None,
        Some(source) => match Condition::compile_over_claims(source) {
            Ok(condition) => Some(condition),
            Err(bad) => {
                lints.error(at.key("when"), format!("the mapping: {bad}"), bad.mend());
                return None;
            }
        },
    };
    Some(Mapping {
        issuer: issuer?,
        claims,
        when,
        roles,
    })
}

fn compile_claims(mapping: &model::Mapping, at: At<'_>, lints: &mut Lints) -> BTreeMap<String, Vec<Plain>> {
    if mapping.claims.len() > CLAIMS_MAX {
        lints.error(
            at,
            format!(
                "the mapping names {} claims; at most {CLAIMS_MAX} are read",
                mapping.claims.len()
            ),
            "name those that tell its holders apart",
        );
    }
    let mut claims = BTreeMap::new();
    for (name, wanted) in &mapping.claims {
        let values = match wanted {
            Wanted::One(value) => vec![value.clone()],
            Wanted::Any(values) => values.clone(),
        };
        let problem = match values.len() {
            0 => Some("no value, so that it never holds".to_owned()),
            1..=CLAIMS_MAX => None,
            more => Some(format!("{more} values; at most {CLAIMS_MAX} are read")),
        };
        if let Some(problem) = problem {
            lints.error(
                at.key(name),
                format!("the mapping has for the claim {name:?} {problem}"),
                "write a value, or several of which one is enough",
            );
        }
        claims.insert(name.clone(), values);
    }
    claims
}

fn check_pinned(mapping: &model::Mapping, at: At<'_>, lints: &mut Lints) {
    let Some((_, pins)) = OPEN_TO_ALL.iter().find(|(issuer, _)| *issuer == mapping.issuer) else {
        return;
    };
    let when = mapping.when.as_deref().unwrap_or_default();
    let pinned = pins.iter().any(|pin| {
        let read = reads(when, &format!("claims.{pin}")) || when.contains(&format!("claims[\"{pin}\"]"));
        mapping.claims.contains_key(*pin) || read || (*pin == "sub" && when.contains("subject.subject"))
    });
    if !pinned {
        let mend = format!("name one of the claims {}", pins.join(", "));
        lints.error(
            at,
            format!(
                "the mapping says not whose jobs are meant; everybody has some at {:?}",
                mapping.issuer
            ),
            mend,
        );
    }
}

/// Whether an expression has this name in it, and not only as the start of a longer one.
fn reads(when: &str, name: &str) -> bool {
    let goes_on = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    when.split(name).skip(1).any(|rest| !goes_on(rest))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::{Format, Lint, Policy};

    const ISSUER: &str = "https://idp.example";
    const BASE: &str = "[control]\nauditors = [\"a\", \"b\"]\n\n[[mappings]]\n";

    fn parse(mapping: &str) -> Policy {
        let source = format!("{BASE}{mapping}");
        Policy::parse(&source, Format::Toml, "p.toml").unwrap_or_else(|report| panic!("{source}\n{report}"))
    }

    fn roles(policy: &Policy, issuer: &str, claims: Value) -> String {
        let claims = serde_json::from_value(claims).unwrap();
        let roles = policy
            .mappings()
            .roles(&Principal::new(issuer, "ana").unwrap(), &claims);
        roles.iter().map(Role::as_str).collect::<Vec<_>>().join(",")
    }

    #[test]
    fn values_are_compared_whole_and_by_issuer() {
        let policy = parse(
            "issuer = \"https://idp.example\"\nclaims = { groups = \"admin\" }\nroles = [\"a\"]\n\
             [[mappings]]\nissuer = \"https://idp.example\"\n\
             claims = { groups = [\"sre\", \"ops\"], verified = true, level = 3 }\nroles = [\"b\"]",
        );
        for (issuer, claims, expected) in [
            (ISSUER, json!({"groups": "admin"}), "a"),
            (ISSUER, json!({"groups": ["x", "admin"]}), "a"),
            (
                ISSUER,
                json!({"groups": ["admin", "ops"], "verified": true, "level": 3}),
                "a,b",
            ),
            (
                ISSUER,
                json!({"groups": "sre", "verified": [true], "level": 3}),
                "b",
            ),
            (ISSUER, json!({"groups": "/tenant/admin"}), ""),
            (ISSUER, json!({"groups": "Admin"}), ""),
            (ISSUER, json!({"groups": "admin "}), ""),
            (ISSUER, json!({"groups": "admin,sre"}), ""),
            (ISSUER, json!({"groups": [["admin"]]}), ""),
            (ISSUER, json!({"groups": {"admin": true}}), ""),
            (
                ISSUER,
                json!({"groups": "sre", "verified": "true", "level": 3}),
                "",
            ),
            (
                ISSUER,
                json!({"groups": "sre", "verified": true, "level": "3"}),
                "",
            ),
            (
                ISSUER,
                json!({"groups": "sre", "verified": true, "level": 3.5}),
                "",
            ),
            (ISSUER, json!({"groups": "sre", "verified": true}), ""),
            (ISSUER, json!({"group": "admin"}), ""),
            (ISSUER, json!({}), ""),
            ("https://idp.example/", json!({"groups": "admin"}), ""),
            ("https://other.example", json!({"groups": "admin"}), ""),
        ] {
            assert_eq!(
                roles(&policy, issuer, claims.clone()),
                expected,
                "{issuer} {claims}"
            );
        }
        assert_eq!(policy.mappings().len(), 2);
        assert!(policy.warnings().is_empty());
    }

    #[cfg(feature = "cel")]
    #[test]
    fn a_job_has_a_role_in_its_repository_on_its_branch() {
        const GITHUB: &str = "https://token.actions.githubusercontent.com";
        let exact = "issuer = \"https://token.actions.githubusercontent.com\"\n\
            claims = { repository = \"acme/app\", ref = \"refs/heads/main\" }\nroles = [\"a\"]";
        let cel = "issuer = \"https://token.actions.githubusercontent.com\"\n\
            when = 'claims.repository == \"acme/app\" && claims.ref == \"refs/heads/main\"'\nroles = [\"a\"]";
        for policy in [parse(exact), parse(cel)] {
            for (claims, expected) in [
                (json!({"repository": "acme/app", "ref": "refs/heads/main"}), "a"),
                (json!({"repository": "acme/app", "ref": "refs/heads/main2"}), ""),
                (json!({"repository": "acme/app", "ref": "refs/pull/1/merge"}), ""),
                (json!({"repository": "evil/app", "ref": "refs/heads/main"}), ""),
                (json!({"repository": "acme/app"}), ""),
                (json!({"ref": "refs/heads/main"}), ""),
            ] {
                assert_eq!(roles(&policy, GITHUB, claims.clone()), expected, "{claims}");
                assert_eq!(roles(&policy, ISSUER, claims.clone()), "", "{claims}");
            }
        }
        let subject =
            parse("issuer = \"https://idp.example\"\nwhen = 'subject.subject == \"ana\"'\nroles = [\"b\"]");
        assert_eq!(roles(&subject, ISSUER, json!({})), "b");
    }

    #[test]
    fn what_is_wrong_is_told_by_line_with_its_mend() {
        let issuer = "issuer = \"https://idp.example\"\n";
        let github = "issuer = \"https://token.actions.githubusercontent.com\"\n";
        for (mapping, line, part) in [
            (format!("{issuer}roles = [\"a\"]"), 4, "everyone of"),
            (
                format!("{issuer}claims = {{}}\nroles = [\"a\"]"),
                4,
                "everyone of",
            ),
            (
                format!("{issuer}claims = {{ g = \"x\" }}\nroles = []"),
                4,
                "gives no roles",
            ),
            (
                format!("{issuer}claims = {{ g = \"x\" }}\nroles = [\" \"]"),
                7,
                "white space",
            ),
            (
                format!("{issuer}claims = {{ g = [] }}\nroles = [\"a\"]"),
                6,
                "never holds",
            ),
            (
                "issuer = \"\"\nclaims = { g = \"x\" }\nroles = [\"a\"]".to_owned(),
                5,
                "the mapping's issuer",
            ),
            (
                "issuer = \"a|b\"\nclaims = { g = \"x\" }\nroles = [\"a\"]".to_owned(),
                5,
                "'|'",
            ),
            (
                format!("{github}claims = {{ ref = \"refs/heads/main\" }}\nroles = [\"a\"]"),
                4,
                "everybody has some",
            ),
            (
                format!(
                    "{github}claims = {{ job_workflow_ref = \"acme/ci/.github/workflows/a.yml@v1\" }}\nroles = [\"a\"]"
                ),
                4,
                "everybody has some",
            ),
            (
                format!("{github}when = 'claims.repository_visibility == \"private\"'\nroles = [\"a\"]"),
                4,
                "everybody has some",
            ),
            (
                format!("{issuer}claim = {{ g = \"x\" }}\nroles = [\"a\"]"),
                6,
                "unknown field `claim`",
            ),
            (
                format!("{issuer}claims = {{ g = 1.5 }}\nroles = [\"a\"]"),
                6,
                "a claim is compared with",
            ),
        ] {
            let source = format!("{BASE}{mapping}");
            let report = Policy::parse(&source, Format::Toml, "p.toml").expect_err(&source);
            let lint = report.lints().first().unwrap();
            assert!(
                lint.line == Some(line) && lint.message.contains(part) && !lint.mend.is_empty(),
                "{source}\n{report}"
            );
        }
        let many = format!("{issuer}claims = {{ g = \"x\" }}\nroles = [\"a\"]\n[[mappings]]\n").repeat(1001);
        assert!(Policy::parse(&format!("{BASE}{many}"), Format::Toml, "p").is_err());
    }

    #[cfg(feature = "cel")]
    #[test]
    fn a_bad_expression_is_told() {
        for (when, part) in [
            ("claims.", "does not parse"),
            ("resource.name == \"x\"", "reads \"resource\""),
            ("now > 1", "reads \"now\""),
            ("matches(claims.x, \"y\")", "does not exist"),
        ] {
            let source = format!("{BASE}issuer = \"i\"\nwhen = '{when}'\nroles = [\"a\"]");
            let report = Policy::parse(&source, Format::Toml, "p.toml").expect_err(&source);
            let lint = report.lints().first().unwrap();
            assert!(lint.line == Some(6) && lint.message.contains(part), "{report}");
        }
    }

    #[test]
    fn a_role_that_nothing_names_is_a_warning() {
        let policy = parse("issuer = \"i\"\nclaims = { g = \"x\" }\nroles = [\"a\", \"sre-leed\"]");
        let lines: Vec<String> = policy.warnings().iter().map(Lint::to_string).collect();
        assert_eq!(
            lines,
            [
                "p.toml:7: warning: the mapping gives role \"sre-leed\", which nothing in this file names; mend: name it in a policy, or correct its name"
            ]
        );
    }
}
