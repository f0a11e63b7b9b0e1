//! Whether the people of a people file can do what a policy wants of them.
//!
//! What nobody could ever fulfil is no error: the people may still come. But whoever asks for it waits in vain, and finds out last; and the
//! glass that can't be broken is found out in the emergency.
//!
//! A second factor can be had by a code, of a secret in the people file, and by whoever signs in elsewhere: at a provider, and with a passkey at
//! a console that they can sign in at. Who has no principal but the people file's own comes by a token alone, and a client certificate
//! proves one factor. Any other principal counts as one that could prove two: whether its issuer does is not looked into.

use std::collections::BTreeSet;

use jit_core::approval::ask::Assurance;
use jit_core::broker::directory::Person;
use jit_core::broker::people::PeopleFile;
use jit_core::id::{PersonId, Timestamp};
use jit_core::policy::terms::{MfaTerms, StageTerms, Terms};
use jit_core::policy::{Control, Policy};

/// Most names that a line tells.
const NAMES_MAX: usize = 5;
/// The issuer of who is known by the people file alone.
const OWN_ISSUER: &str = "people";
/// RFC 8176 §2, of a code.
const CODE: &str = "otp";

/// What second factors can be had beside codes.
#[derive(Debug, Default)]
pub(crate) struct Factors<'a> {
    /// The issuer of the principals that client certificates prove, and nothing else does.
    pub(crate) certificates: Option<&'a str>,
    /// Whether everybody can sign in at a console that takes passkeys.
    pub(crate) passkeys: bool,
}

/// A line for each thing that the people of `people` can't do, as far as `policy` wants it of them, with what would mend it. None where the
/// policy gives roles for claims as well: then there may be people whom nobody knows of.
pub(crate) fn unfulfilled(
    policy: &Policy,
    people: &PeopleFile,
    factors: &Factors<'_>,
    now: Timestamp,
) -> Vec<String> {
    if !policy.mappings().is_empty() {
        return Vec::new();
    }
    let persons = people.persons(now);
    let ids = persons.iter().map(|person| &person.id);
    let elsewhere = people.identities().into_iter().filter(|(principal, _)| {
        let issuer = principal.issuer();
        factors.passkeys || (issuer != OWN_ISSUER && factors.certificates != Some(issuer))
    });
    let crew = Crew {
        codes: ids
            .filter(|id| people.totp_secret(id).is_some())
            .cloned()
            .collect(),
        elsewhere: elsewhere.map(|(_, person)| person).collect(),
        persons,
    };
    let mut lines = crew.unheld(policy.control());
    lines.extend(policy.policies().flat_map(|terms| crew.lines(terms)));
    lines
}

struct Crew {
    persons: Vec<Person>,
    /// Who can enter a code.
    codes: BTreeSet<PersonId>,
    /// Who can sign in at a provider.
    elsewhere: BTreeSet<PersonId>,
}

impl Crew {
    /// What the policy lets some do whom it names, and nobody is one of them.
    fn unheld(&self, control: &Control) -> Vec<String> {
        let tasks = [
            ("auditors", &control.auditors, "read the audit log"),
            (
                "revokers",
                &control.revokers,
                "revoke what they may not decide about",
            ),
            ("lockdown", &control.lockdown, "declare a lockdown"),
        ];
        let unheld = tasks.iter().filter(|(_, named, _)| {
            let is_named = !(named.roles.is_empty() && named.persons.is_empty());
            is_named && !self.persons.iter().any(|person| named.includes(person))
        });
        unheld
            .map(|(key, _, task)| {
                format!("[control]: nobody can {task}; mend: give somebody a role of `{key}`")
            })
            .collect()
    }

    fn lines(&self, terms: &Terms) -> Vec<String> {
        let policy = terms.policy.as_str();
        let askers: Vec<&Person> = (self.persons.iter())
            .filter(|person| terms.requesters.includes(person))
            .collect();
        let mut lines = Vec::new();
        let users: Vec<&Person> = (self.persons.iter())
            .filter(|person| {
                (terms.break_glass.as_ref()).is_some_and(|glass| glass.requesters.includes(person))
            })
            .collect();
        if askers.is_empty() && users.is_empty() {
            lines.push("nobody can ask; mend: give somebody one of its roles, or name them in it".to_owned());
        }
        if let Some(line) = self.without(terms.mfa.as_ref(), &askers) {
            lines.push(format!(
                "asking wants a second factor, which can't be had by {line}"
            ));
        }
        let stages = terms.stages.iter();
        let unless = if terms.automatic.rules.is_empty() {
            ""
        } else {
            ", unless a condition under `automatic` holds"
        };
        lines.extend(stages.filter_map(|stage| self.vain(stage, &askers, unless)));
        let glass = terms.break_glass.as_ref().and_then(|glass| glass.mfa.as_ref());
        if let Some(line) = self.without(glass, &users) {
            lines.push(format!(
                "breaking the glass wants a second factor, which can't be had by {line}, or write mfa = {{ required = false }} into break_glass"
            ));
        }
        lines
            .into_iter()
            .map(|line| format!("policy {policy:?}: {line}"))
            .collect()
    }

    /// Who of them can't have the factor that is wanted, and what would mend that.
    fn without(&self, wanted: Option<&MfaTerms>, of: &[&Person]) -> Option<String> {
        let wanted = wanted?;
        let lacking: Vec<&str> = (of.iter())
            .filter(|person| !self.can_prove(person, wanted))
            .map(|person| person.id.as_str())
            .collect();
        let who = named(&lacking, of.len())?;
        Some(format!("{who}; mend: {}", factor(wanted)))
    }

    fn can_prove(&self, person: &Person, wanted: &MfaTerms) -> bool {
        self.elsewhere.contains(&person.id) || (self.codes.contains(&person.id) && is_code_enough(wanted))
    }

    /// A stage that can't be passed, now or after escalation, for some who ask: nobody approves their own.
    fn vain(&self, stage: &StageTerms, askers: &[&Person], unless: &str) -> Option<String> {
        let could = || self.persons.iter().filter(|person| stage.could_review(person));
        let (name, quorum) = (stage.name.as_str(), stage.quorum);
        if let Some(who) = short(could(), quorum, askers) {
            let lower = if quorum > 1 { ", or lower the quorum" } else { "" };
            return Some(format!(
                "what {who} may ask for can't be approved{unless}: stage {name:?} takes {quorum} who did not ask for it, and there are fewer; mend: let more people approve{lower}"
            ));
        }
        let wanted = stage.mfa.as_ref()?;
        let who = short(
            could().filter(|person| self.can_prove(person, wanted)),
            quorum,
            askers,
        )?;
        Some(format!(
            "what {who} may ask for can't be approved{unless}: stage {name:?} wants a second factor of {quorum} who did not ask for it, and fewer could have one; mend: {}",
            factor(wanted)
        ))
    }
}

fn is_code_enough(wanted: &MfaTerms) -> bool {
    let code = Assurance {
        methods: vec![CODE.to_owned()],
        context: None,
        authenticated_at: None,
    };
    code.is_strong(wanted)
}

fn factor(wanted: &MfaTerms) -> &'static str {
    if is_code_enough(wanted) {
        "give them totp_secret_file in the people file, or principals at the provider where they sign in"
    } else {
        "give them principals at a provider that proves the acr or amr that is wanted; no code does"
    }
}

/// For whom of those who ask there are too few others.
fn short<'p>(could: impl Iterator<Item = &'p Person>, quorum: u16, askers: &[&Person]) -> Option<String> {
    let could: BTreeSet<&PersonId> = could.map(|person| &person.id).collect();
    let in_vain: Vec<&str> = (askers.iter())
        .filter(|asker| could.len() - usize::from(could.contains(&asker.id)) < usize::from(quorum))
        .map(|asker| asker.id.as_str())
        .collect();
    named(&in_vain, askers.len())
}

fn named(some: &[&str], of: usize) -> Option<String> {
    match some {
        [] => None,
        all if all.len() == of && of > 1 => Some(format!("everybody ({of})")),
        few if few.len() <= NAMES_MAX => Some(few.join(", ")),
        many => Some(format!("{} of {of}", many.len())),
    }
}

#[cfg(test)]
mod tests {
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
    const SECRET: &str = "totp_secret = \"JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP\"\n";
    const GUARDS: [(&str, &str); 2] = [("gus", "[\"guard\"]"), ("gil", "[\"guard\"]")];

    fn told(source: &str, people: &[(&str, &str)], more: &str) -> Vec<String> {
        let policy = Policy::parse(source, Format::Toml, "policy.toml").unwrap();
        let file: String = people
            .iter()
            .map(|(name, roles)| format!("[[people]]\nname = \"{name}\"\nroles = {roles}\n"))
            .collect();
        let file = PeopleFile::parse(&format!("{file}{more}"), Format::Toml, "people.toml").unwrap();
        let factors = Factors {
            certificates: Some("https://ca.example.com"),
            passkeys: false,
        };
        unfulfilled(&policy, &file, &factors, Timestamp::UNIX_EPOCH)
    }

    #[test]
    fn what_nobody_could_approve_is_told() {
        let alone = [("ana", "[\"sre\", \"lead\"]"), ("bob", "[\"sre\"]")];
        let lines = told(POLICY, &[&alone[..], &GUARDS[..]].concat(), "");
        assert_eq!(
            lines,
            [
                "policy \"admin-for-sre\": what ana may ask for can't be approved: stage \"lead\" takes 1 who did not ask for it, \
              and there are fewer; mend: let more people approve"
            ]
        );
        let lines = told(POLICY, &[&alone[..], &GUARDS[..1]].concat(), "");
        assert_eq!(lines.len(), 2);
        assert!(lines[1].contains("what everybody (2) may ask for"), "{lines:?}");
        assert!(lines[1].contains("stage \"pair\" takes 2"), "{lines:?}");
        assert!(lines[1].ends_with(", or lower the quorum"), "{lines:?}");
        // Where claims give roles as well, there may be people whom nobody knows of.
        let mapping = "[[mappings]]\nissuer = \"https://ci.example.com\"\nroles = [\"lead\"]\nclaims = { repository = \"a/b\" }\n";
        assert_eq!(told(&format!("{POLICY}\n{mapping}"), &alone, ""), [""; 0]);
        let rule = "automatic = [ { when = 'subject.id == \"ana\"' } ]";
        let lines = told(&format!("{POLICY}\n{rule}"), &alone, "");
        assert!(
            lines[0].contains("can't be approved, unless a condition"),
            "{lines:?}"
        );
    }

    #[test]
    fn what_somebody_could_approve_is_not() {
        for other in ["[\"lead\"]", "[\"boss\"]"] {
            let people = [("ana", "[\"sre\", \"lead\"]"), ("bob", other)];
            let lines = told(POLICY, &[&people[..], &GUARDS[..]].concat(), "");
            assert_eq!(lines, [""; 0], "{other}");
        }
        let nobody = "policy \"admin-for-sre\": nobody can ask; mend: give somebody one of its roles, or name them in it";
        assert_eq!(told(POLICY, &GUARDS, ""), [nobody]);
        let glass = "break_glass = { requesters = { roles = [\"guard\"] }, max = \"5m\", mfa = { required = false } }";
        assert_eq!(told(&format!("{POLICY}\n{glass}"), &GUARDS, ""), [""; 0]);
    }

    #[test]
    fn a_task_that_nobody_has_is_told() {
        let control = "control = { auditors = [\"auditor\"], lockdown = [\"guard\"] }\n";
        let people = [("ana", "[\"sre\"]"), ("bob", "[\"lead\"]"), GUARDS[0], GUARDS[1]];
        let lines = told(&format!("{control}{POLICY}"), &people, "");
        assert_eq!(
            lines,
            ["[control]: nobody can read the audit log; mend: give somebody a role of `auditors`"]
        );
    }

    #[test]
    fn a_second_factor_that_nobody_could_have_is_told() {
        let people = [("ana", "[\"sre\"]"), ("bob", "[\"lead\"]"), GUARDS[0], GUARDS[1]];
        let stage = "approvers = { roles = [\"lead\"] }";
        let strict = POLICY.replace(stage, &format!("{stage}, mfa = {{ required = true }}"));
        let asking = format!("{POLICY}\nmfa = {{ required = true }}");
        let glass =
            format!("{POLICY}\nbreak_glass = {{ requesters = {{ roles = [\"sre\"] }}, max = \"5m\" }}");
        for (source, said) in [
            (
                &strict,
                "stage \"lead\" wants a second factor of 1 who did not ask",
            ),
            (&asking, "asking wants a second factor, which can't be had by ana"),
            (
                &glass,
                "breaking the glass wants a second factor, which can't be had by ana",
            ),
        ] {
            let lines = told(source, &people, "");
            assert_eq!(lines.len(), 1, "{lines:?}");
            assert!(lines[0].contains(said), "{lines:?}");
            assert!(lines[0].contains("totp_secret_file"), "{lines:?}");
        }
        // Whoever signs in elsewhere proves it there; a code is one, unless a class of sign-in is wanted that no code has.
        let lead = "[[people]]\nname = \"lea\"\nroles = [\"lead\"]\n";
        let elsewhere = format!("{lead}principals = [\"https://idp.example.com|1\"]\n");
        let code = format!("{lead}{SECRET}");
        for more in [&elsewhere, &code] {
            assert_eq!(told(&strict, &people, more), [""; 0], "{more}");
        }
        let certificate = format!("{lead}principals = [\"https://ca.example.com|dns:lea\"]\n");
        assert_eq!(
            told(&strict, &people, &certificate).len(),
            1,
            "a certificate is one factor"
        );
        let class = strict.replace("{ required = true }", "{ acr = [\"phr\"] }");
        assert_eq!(told(&class, &people, &elsewhere), [""; 0]);
        let lines = told(&class, &people, &code);
        assert!(
            matches!(&lines[..], [line] if line.contains("no code does") && !line.contains("totp_secret")),
            "{lines:?}"
        );
        let none = glass.replace("max = \"5m\"", "max = \"5m\", mfa = { required = false }");
        assert_eq!(told(&none, &people, ""), [""; 0]);
    }
}
