//! What a policy still permits of a grant that was made under another.

use crate::approval::ask::{Route, Ruling};
use crate::broker::directory::Person;
use crate::policy::compile::Policy;
use crate::policy::ruling::eligible;
use crate::policy::terms::Terms;
use crate::span::Span;

/// How long a grant that a policy still permits may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// From the start of its window.
    pub longest: Span,
    /// From the start of the first grant of its chain.
    pub total: Span,
}

impl Policy {
    /// Whether this policy permits the grant that `ruling` led to, and for how long. `None`: it does not.
    ///
    /// The resource and the policy of that name must be there still, and `person` among those who may ask under it. More reviewers or
    /// another condition on the asking are for new requests; but where nobody agreed, what stood for their agreement must stand: the
    /// break-glass section, `approval = "automatic"`, or the automatic rule with the same condition. Conditions are not tried again.
    pub fn stands(&self, ruling: &Ruling, person: &Person) -> Option<Standing> {
        let breaking = ruling.route == Route::BreakGlass;
        let terms = self
            .policies_of(&ruling.resource.name)
            .find(|terms| terms.policy == ruling.terms.policy)
            .filter(|terms| eligible(terms, person, breaking))?;
        let longest = match &ruling.route {
            Route::Stages => terms.duration.max,
            Route::Automatic { rule } => longest_automatic(ruling, *rule, terms)?,
            Route::BreakGlass => terms.break_glass.as_ref()?.max,
        };
        Some(Standing {
            longest,
            total: terms.duration.max_total,
        })
    }
}

fn longest_automatic(ruling: &Ruling, rule: Option<u16>, terms: &Terms) -> Option<Span> {
    let most = terms.duration.max;
    if terms.automatic.always {
        return Some(most);
    }
    let held = ruling.terms.automatic.rules.get(usize::from(rule?))?;
    let same = terms.automatic.rules.iter().filter(|rule| rule.when == held.when);
    same.map(|rule| rule.max.map_or(most, |max| max.min(most))).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::source::Format;

    const POLICY: &str = r#"
        [[resources]]
        name = "admin"
        hosts = ["h"]
        paths = ["/admin"]
        [[policies]]
        name = "p"
        resources = ["admin"]
        requesters = { roles = ["sre"] }
        duration = { default = "5m", max = "1h", max_total = "2h" }
        stages = [{ approvers = { roles = ["lead"] } }]
        automatic = [{ when = "now > 0", max = "20m" }, { when = "now > 1" }]
        break_glass = { requesters = { roles = ["sre"] }, max = "10m", review_within = "1h", mfa = { required = false } }
    "#;

    #[test]
    fn what_stood_for_agreement_must_stand() {
        let policy = |source: &str| Policy::parse(source, Format::Toml, "p.toml").unwrap();
        let ann = Person {
            id: "ann".parse().unwrap(),
            name: "ann".to_owned(),
            roles: std::iter::once("sre".parse().unwrap()).collect(),
            disabled: false,
            as_of: "2026-01-01T12:00:00Z".parse().unwrap(),
        };
        let old = policy(POLICY);
        let terms = old.policies_of(&"admin".parse().unwrap()).next().unwrap();
        let ruling = |route| Ruling {
            terms: terms.clone(),
            resource: old.resources().first().unwrap().clone(),
            route,
            scope: crate::policy::terms::Scope::default(),
            duration: Span::minutes(5),
            start: None,
            reason: String::new(),
            ticket: None,
            max_requests: None,
            max_bytes: None,
            selector: crate::approval::ask::Selector::Principal,
        };
        let first = Route::Automatic { rule: Some(0) };
        let second = Route::Automatic { rule: Some(1) };
        let unknown = Route::Automatic { rule: Some(9) };
        let always = Route::Automatic { rule: None };
        let asks_nobody = r#"approval = "automatic""#;
        let stages = r#"stages = [{ approvers = { roles = ["lead"] } }]"#;
        let rules = r#"automatic = [{ when = "now > 0", max = "20m" }, { when = "now > 1" }]"#;
        let glass = POLICY.lines().find(|line| line.contains("break_glass")).unwrap();
        for (route, from, to, want) in [
            (&Route::Stages, "", "", Some(60)),
            (&Route::Stages, rules, "", Some(60)),
            (&Route::Stages, "max = \"1h\"", "max = \"30m\"", Some(30)),
            (
                &Route::Stages,
                "requesters = { roles = [\"sre\"] }\n",
                "requesters = { roles = [\"x\"] }\n",
                None,
            ),
            (&Route::Stages, "name = \"p\"", "name = \"q\"", None),
            (&first, "", "", Some(20)),
            (&first, rules, "", None),
            (&first, "{ when = \"now > 0\", max = \"20m\" }, ", "", None),
            (&first, "now > 0", "now > 2", None),
            (&first, "max = \"20m\"", "max = \"15m\"", Some(15)),
            (
                &first,
                "{ when = \"now > 1\" }",
                "{ when = \"now > 0\", max = \"25m\" }",
                Some(25),
            ),
            (&first, "max = \"1h\"", "max = \"10m\"", Some(10)),
            (&second, "{ when = \"now > 0\", max = \"20m\" }, ", "", Some(60)),
            (&unknown, "", "", None),
            (&always, "", "", None),
            (&Route::BreakGlass, "", "", Some(10)),
            (&Route::BreakGlass, glass, "", None),
        ] {
            let now = policy(&POLICY.replace(from, to));
            let longest = now
                .stands(&ruling(route.clone()), &ann)
                .map(|standing| standing.longest);
            assert_eq!(longest, want.map(Span::minutes), "{route:?}: {from} becomes {to}");
        }
        let open = policy(&POLICY.replace(stages, asks_nobody).replace(rules, ""));
        for route in [&first, &always] {
            let standing = open.stands(&ruling(route.clone()), &ann).unwrap();
            let (longest, total) = (Span::minutes(60), Span::minutes(120));
            assert_eq!(standing, Standing { longest, total }, "{route:?}");
        }
    }
}
