//! Whether the people that there are could agree to what the policy lets them ask for.
//!
//! What nobody could ever approve is no error: the people may still come. But whoever asks for it waits in vain, and finds out last.

use jit_core::broker::directory::Person;
use jit_core::policy::Policy;
use jit_core::policy::terms::StageTerms;

/// Most names that a line tells.
const NAMES_MAX: usize = 5;

/// A line for each stage of a policy that `people` can't fill, for somebody or for everybody who may ask. None where the policy gives roles for
/// claims as well: then there may be people that nobody knows of.
pub(super) fn short(policy: &Policy, people: &[Person]) -> Vec<String> {
    if !policy.mappings().is_empty() {
        return Vec::new();
    }
    let mut lines = Vec::new();
    for terms in policy.policies() {
        let askers: Vec<&Person> = (people.iter())
            .filter(|person| terms.requesters.includes(person))
            .collect();
        for stage in &terms.stages {
            let in_vain: Vec<&str> = (askers.iter())
                .filter(|asker| approvers_of(stage, asker, people) < usize::from(stage.quorum))
                .map(|asker| asker.id.as_str())
                .collect();
            if let Some(who) = named(&in_vain, askers.len()) {
                lines.push(format!(
                    "what {who} may ask for under the policy `{}` can't be approved: the stage `{}` takes {} who may approve and don't ask, \
                     and the people file has fewer; give more people its roles",
                    terms.policy,
                    stage.name,
                    stage.quorum,
                ));
            }
        }
    }
    lines
}

/// How many could approve what `asker` asks for, now or after escalation: nobody approves their own.
fn approvers_of(stage: &StageTerms, asker: &Person, people: &[Person]) -> usize {
    let could = |person: &&Person| person.id != asker.id && stage.could_review(person);
    people.iter().filter(could).count()
}

fn named(in_vain: &[&str], askers: usize) -> Option<String> {
    match in_vain {
        [] => None,
        all if all.len() == askers && askers > 1 => Some(format!("everybody ({askers})")),
        few if few.len() <= NAMES_MAX => Some(few.join(", ")),
        many => Some(format!("{} of {askers}", many.len())),
    }
}

#[cfg(test)]
mod tests {
    use jit_core::broker::people::PeopleFile;
    use jit_core::id::Timestamp;
    use jit_core::policy::Format;

    use super::*;

    const POLICY: &str = r#"
        [[resources]]
        name = "admin"
        hosts = ["app.example.com"]
        paths = ["/"]
        [[policies]]
        name = "admin-for-sre"
        resources = ["admin"]
        requesters = { roles = ["sre"] }
        duration = { default = "5m", max = "1h" }
        stages = [
            { name = "lead", approvers = { roles = ["lead"] }, escalate_after = "10m", escalate_to = { roles = ["boss"] } },
            { name = "pair", approvers = { roles = ["guard"] }, quorum = 2 },
        ]
    "#;

    fn told(people: &[(&str, &str)], more: &str) -> Vec<String> {
        let policy = Policy::parse(&format!("{POLICY}{more}"), Format::Toml, "policy.toml").unwrap();
        let file: String = people
            .iter()
            .map(|(name, roles)| {
                format!("[[people]]\nname = \"{name}\"\nroles = {roles}\nprincipals = [\"local|{name}\"]\n")
            })
            .collect();
        let file = PeopleFile::parse(&file, Format::Toml, "people.toml").unwrap();
        short(&policy, &file.persons(Timestamp::UNIX_EPOCH))
    }

    #[test]
    fn what_nobody_could_approve_is_told() {
        let guards = [("gus", "[\"guard\"]"), ("gil", "[\"guard\"]")];
        let alone = [("ana", "[\"sre\", \"lead\"]"), ("bob", "[\"sre\"]")];
        let lines = told(&[&alone[..], &guards[..]].concat(), "");
        assert_eq!(
            lines,
            [
                "what ana may ask for under the policy `admin-for-sre` can't be approved: the stage `lead` takes 1 who may approve and don't ask, \
              and the people file has fewer; give more people its roles"
            ]
        );
        let lines = told(&[&alone[..], &guards[..1]].concat(), "");
        assert_eq!(lines.len(), 2);
        assert!(
            lines[1].starts_with("what everybody (2) may ask for"),
            "{lines:?}"
        );
        assert!(lines[1].contains("stage `pair` takes 2"), "{lines:?}");
    }

    #[test]
    fn what_somebody_could_approve_is_not() {
        let guards = [("gus", "[\"guard\"]"), ("gil", "[\"guard\"]")];
        for other in ["[\"lead\"]", "[\"boss\"]"] {
            let people = [("ana", "[\"sre\", \"lead\"]"), ("bob", other)];
            assert_eq!(told(&[&people[..], &guards[..]].concat(), ""), [""; 0], "{other}");
        }
        // Nobody asks, so nobody waits; and who comes with claims is not known.
        assert_eq!(told(&guards, ""), [""; 0]);
        let mapping = "[[mappings]]\nissuer = \"https://ci.example.com\"\nroles = [\"lead\"]\nclaims = { repository = \"a/b\" }\n";
        assert_eq!(told(&[("ana", "[\"sre\"]")], mapping), [""; 0]);
    }
}
