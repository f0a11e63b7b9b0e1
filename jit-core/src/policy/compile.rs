//! The compiled policy: a file that was read whole, checked against itself, and is immutable from then on.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::directory::Person;
use crate::id::{Digest, PolicyName, ResourceName};
use crate::policy::entry::{self, Entry};
use crate::policy::lint::{Lint, Lints, Report};
use crate::policy::mapping::{self, Mappings};
use crate::policy::model;
use crate::policy::resource;
use crate::policy::source::{self, At, Format};
use crate::policy::terms::{OnFull, OpenDef, People, ResourceDef, Terms};

/// A policy in force: what is protected, who may ask for it and who must agree.
///
/// Made by [`Policy::parse`] alone, so that whoever holds one holds one that passed every check.
#[derive(Debug)]
pub struct Policy {
    digest: Digest,
    control: Control,
    on_full: OnFull,
    resources: Vec<ResourceDef>,
    open: Vec<OpenDef>,
    entries: Vec<Entry>,
    governed: BTreeMap<ResourceName, Governed>,
    mappings: Mappings,
    warnings: Vec<Lint>,
}

/// One resource's place in the file, and the policies that govern it, in file order.
#[derive(Debug)]
struct Governed {
    resource: usize,
    entries: Vec<usize>,
}

/// Who may do what is nobody's by default. An empty set is nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Control {
    /// They may read every request and the whole audit log.
    pub auditors: People,
    /// They may revoke any grant.
    pub revokers: People,
    /// They may declare and lift lockdowns, and clear passkeys that others have lost.
    pub lockdown: People,
}

impl Control {
    /// Whether `person` may read every request and the whole audit log.
    pub fn is_auditor(&self, person: &Person) -> bool {
        self.auditors.includes(person)
    }

    /// Whether `person` may revoke any grant.
    pub fn is_revoker(&self, person: &Person) -> bool {
        self.revokers.includes(person)
    }

    /// Whether `person` may declare and lift lockdowns, and clear passkeys that others have lost.
    pub fn may_lock_down(&self, person: &Person) -> bool {
        self.lockdown.includes(person)
    }
}

impl Policy {
    /// Reads and checks a policy file. `file` is its name as reports shall show it; nothing is opened.
    ///
    /// # Errors
    /// A [`Report`] of everything that is wrong, warnings included. Text that is not of the format, and text that is but can't be
    /// a policy file (an unknown key, a number where text belongs), is reported without the checks that need a whole file.
    pub fn parse(source: &str, format: Format, file: &str) -> Result<Self, Report> {
        let mut lints = Lints::new(file);
        let compiled = source::parse(source, format, &mut lints)
            .map(|(model, tree)| compile(&model, At::root(&tree), &mut lints));
        let warnings = lints.finish()?;
        let parts = compiled.unwrap_or_default();
        Ok(Self {
            digest: Digest::plain(source.as_bytes()),
            control: parts.control,
            on_full: parts.on_full,
            governed: govern(&parts.resources, &parts.entries),
            resources: parts.resources,
            open: parts.open,
            entries: parts.entries,
            mappings: parts.mappings,
            warnings,
        })
    }

    /// SHA-256 of the source text, as `sha256sum` prints it.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Who may do what is nobody's by default.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// What happens to requests while too many records of earlier ones wait to be written down.
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// What is protected, in file order.
    pub fn resources(&self) -> &[ResourceDef] {
        &self.resources
    }

    /// What is open where nothing protects it, in file order.
    pub fn open(&self) -> &[OpenDef] {
        &self.open
    }

    /// The resource of that name.
    pub fn resource(&self, name: &ResourceName) -> Option<&ResourceDef> {
        self.resources.get(self.governed.get(name)?.resource)
    }

    /// The terms of every policy, in file order.
    pub fn policies(&self) -> impl Iterator<Item = &Terms> {
        self.entries.iter().map(|entry| &entry.terms)
    }

    /// The terms of the policies that govern `resource`, in file order: the order in which one is picked for a request that names none.
    pub fn policies_of(&self, resource: &ResourceName) -> impl Iterator<Item = &Terms> {
        self.entries_of(resource).map(|entry| &entry.terms)
    }

    /// The resources that the policy governs, by name. Empty for an unknown policy.
    pub fn resources_of(&self, policy: &PolicyName) -> impl Iterator<Item = &ResourceName> {
        let entry = self.entries.iter().find(|entry| entry.terms.policy == *policy);
        entry.into_iter().flat_map(|entry| &entry.resources)
    }

    /// Which claims give which roles, for a [`ClaimsDirectory`](crate::broker::claims::ClaimsDirectory).
    pub fn mappings(&self) -> &Mappings {
        &self.mappings
    }

    /// What its author can't have meant, by line. It is in force all the same.
    pub fn warnings(&self) -> &[Lint] {
        &self.warnings
    }

    pub(super) fn entries_of(&self, resource: &ResourceName) -> impl Iterator<Item = &Entry> {
        let governed = self.governed.get(resource).into_iter();
        governed
            .flat_map(|governed| &governed.entries)
            .filter_map(|n| self.entries.get(*n))
    }
}

#[derive(Default)]
struct Parts {
    control: Control,
    on_full: OnFull,
    resources: Vec<ResourceDef>,
    open: Vec<OpenDef>,
    entries: Vec<Entry>,
    mappings: Mappings,
}

fn govern(resources: &[ResourceDef], entries: &[Entry]) -> BTreeMap<ResourceName, Governed> {
    let mut governed: BTreeMap<_, _> = resources
        .iter()
        .enumerate()
        .map(|(resource, def)| {
            (
                def.name.clone(),
                Governed {
                    resource,
                    entries: Vec::new(),
                },
            )
        })
        .collect();
    for (n, entry) in entries.iter().enumerate() {
        for name in &entry.resources {
            if let Some(governed) = governed.get_mut(name) {
                governed.entries.push(n);
            }
        }
    }
    governed
}

fn compile(file: &model::File, root: At<'_>, lints: &mut Lints) -> Parts {
    let control = compile_control(&file.control, root.key("control"), lints);
    let on_full = compile_on_full(&file.interactions, root.key("interactions"), lints);
    let names = resource::names(&file.resources, root.key("resources"), lints);
    let resources = resource::compile_all(&file.resources, root.key("resources"), lints);
    let open = resource::compile_open(&file.open, root.key("open"), &resources, lints);
    let entries = entry::compile_all(&file.policies, root.key("policies"), &names, lints);

    let mappings = mapping::compile_all(file, root.key("mappings"), lints);

    let covered: BTreeSet<&str> = file
        .policies
        .iter()
        .flat_map(|policy| &policy.resources)
        .map(String::as_str)
        .collect();
    for (name, at) in &names {
        if !covered.contains(name.as_str()) {
            lints.warn(
                *at,
                format!("nobody can ask for resource {name:?}: no policy governs it"),
                "name it in the `resources` of a policy, or take it out",
            );
        }
    }
    // Such as one that was cut off on its way here.
    if file.resources.is_empty()
        && file.open.is_empty()
        && file.policies.is_empty()
        && file.mappings.is_empty()
    {
        lints.warn(
            root,
            "nothing is protected and nothing is open, so every request is refused",
            "add a [[resources]] entry, or an [[open]] one",
        );
    }
    Parts {
        control,
        on_full,
        resources: resources.into_iter().map(|(def, _)| def).collect(),
        open,
        entries,
        mappings,
    }
}

fn compile_control(control: &model::Control, at: At<'_>, lints: &mut Lints) -> Control {
    let mut roles = |names: &[String], key| People {
        roles: entry::texts(names, at.key(key), lints),
        persons: BTreeSet::new(),
    };
    Control {
        auditors: roles(&control.auditors, "auditors"),
        revokers: roles(&control.revokers, "revokers"),
        lockdown: roles(&control.lockdown, "lockdown"),
    }
}

fn compile_on_full(interactions: &model::Interactions, at: At<'_>, lints: &mut Lints) -> OnFull {
    match interactions.on_full.as_deref() {
        None | Some("count") => OnFull::Count,
        Some("refuse") => OnFull::Refuse,
        Some(other) => {
            lints.error(
                at.key("on_full"),
                format!("interactions.on_full is {other:?}, which means nothing"),
                "write \"count\", or \"refuse\"",
            );
            OnFull::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::EXAMPLE;
    use crate::policy::Severity;
    use crate::policy::terms::MfaTerms;
    use crate::span::Span;

    const BASE: &str = "[[resources]]\nname = \"a\"\nhosts = [\"h\"]\npaths = [\"/\"]\n";

    fn parse(source: &str) -> Result<Policy, Report> {
        Policy::parse(source, Format::Toml, "p.toml")
    }

    fn check(source: &str, expected: &[&str]) {
        let report = parse(source).expect_err(source);
        let lines: Vec<String> = report.lints().iter().map(Lint::to_string).collect();
        assert_eq!(lines, expected, "{source}");
    }

    /// A file whose one policy has these lines from line 5 on.
    fn with_policy(lines: &str) -> String {
        format!("{BASE}[[policies]]\nname = \"p\"\nresources = [\"a\"]\n{lines}\n")
    }

    fn check_policy(lines: &str, expected: &[&str]) {
        check(&with_policy(lines), expected);
    }

    fn check_warning(source: &str, expected: &str) {
        let policy = parse(source).unwrap_or_else(|report| panic!("{source}\n{report}"));
        let lines: Vec<String> = policy.warnings().iter().map(Lint::to_string).collect();
        assert_eq!(lines, [expected], "{source}");
    }

    #[test]
    fn the_example_is_a_policy_and_says_what_it_says() {
        let policy = parse(EXAMPLE).unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(policy.warnings(), []);
        assert_eq!(policy.digest(), Digest::plain(EXAMPLE.as_bytes()));
        let admin = ResourceName::new("admin").unwrap();
        assert_eq!(policy.resource(&admin), policy.resources().first());
        let [terms] = policy.policies_of(&admin).collect::<Vec<_>>()[..] else {
            panic!("one policy governs it")
        };
        assert_eq!(policy.resources_of(&terms.policy).collect::<Vec<_>>(), [&admin]);
        let expected = serde_json::json!({
            "policy": "admin-for-sre",
            "requesters": {"roles": ["sre"]},
            "duration": {"default": "30m", "max": "4h", "max_total": "8h"},
            "pending_timeout": "1h",
            "use_within": "15m",
            "idle_timeout": "10m",
            "cooldown": null,
            "reason": {"required": true, "min_length": 10},
            "ticket": {"required": false, "pattern": "^(INC|CHG)-\\d+$"},
            "mfa": {"max_age": "15m"},
            "limits": {"requests": 10000, "bytes": null, "concurrent": 8, "active_per_person": 1},
            "stages": [{
                "name": "lead", "approvers": {"roles": ["sre-lead"]}, "quorum": 1,
                "escalate_after": "10m", "escalate_to": {"roles": ["on-call-manager"]}, "mfa": null,
            }],
            "automatic": {
                "always": false,
                "rules": [{"when": "subject.roles.exists(r, r == \"on-call\")", "max": "20m"}],
            },
            "break_glass": {
                "requesters": {"roles": ["incident-commander"]}, "max": "30m", "review_within": "1d",
                "mfa": {"max_age": "15m"},
            },
        });
        assert_eq!(serde_json::to_value(terms).unwrap(), expected);
    }

    #[test]
    fn what_happens_when_the_record_is_full_is_one_of_two_words() {
        let on_full = |word: &str| parse(&format!("[interactions]\non_full = \"{word}\"\n"));
        assert_eq!(on_full("count").unwrap().on_full(), OnFull::Count);
        assert_eq!(on_full("refuse").unwrap().on_full(), OnFull::Refuse);
        assert_eq!(parse("[interactions]\n").unwrap().on_full(), OnFull::Count);
        assert_eq!(parse("").unwrap().on_full(), OnFull::Count);
        check(
            &format!("[interactions]\non_full = \"Refuse\"\n{BASE}"),
            &[
                "p.toml:2: error: interactions.on_full is \"Refuse\", which means nothing; mend: write \"count\", or \"refuse\"",
                "p.toml:4: warning: nobody can ask for resource \"a\": no policy governs it; mend: name it in the `resources` of a policy, or take it out",
            ],
        );
        assert!(parse("[interactions]\nwhen_full = \"count\"\n").is_err());
    }

    #[test]
    fn what_is_left_out_has_a_default() {
        let policy = parse(&with_policy(
            "requesters = { persons = [\"ann\"] }\nstages = [{ approvers = { roles = [\"r\"] } }]\n\
             break_glass = { requesters = { roles = [\"r\"] }, max = \"10m\" }",
        ))
        .unwrap();
        let terms = policy.policies().next().unwrap();
        assert_eq!(terms.duration.default, Span::minutes(30));
        assert_eq!(
            (terms.duration.max, terms.duration.max_total),
            (Span::minutes(240), Span::minutes(240))
        );
        assert_eq!(terms.pending_timeout, Span::minutes(60));
        assert_eq!((terms.reason.required, terms.reason.min_length), (false, 0));
        assert_eq!(terms.mfa, None);
        let stage = terms.stages.first().unwrap();
        assert_eq!((stage.name.as_str(), stage.quorum), ("stage-1", 1));
        let glass = terms.break_glass.as_ref().unwrap();
        assert_eq!(glass.mfa, Some(MfaTerms::default()));
        assert_eq!(glass.review_within, Span::minutes(24 * 60));
    }

    #[test]
    fn an_empty_file_protects_everything_from_everyone() {
        let policy = parse("").unwrap();
        assert!(policy.resources().is_empty() && policy.open().is_empty());
        let [warning] = policy.warnings() else {
            panic!("{:?}", policy.warnings())
        };
        assert!(warning.message.contains("every request is refused"), "{warning}");
    }

    #[test]
    fn three_formats_say_the_same() {
        let table: toml::Table = toml::from_str(EXAMPLE).unwrap();
        let json = serde_json::to_string_pretty(&table).unwrap();
        let from_toml = parse(EXAMPLE).unwrap();
        // JSON is YAML as well.
        for format in [Format::Json, Format::Yaml] {
            let policy =
                Policy::parse(&json, format, "p").unwrap_or_else(|report| panic!("{format:?}: {report}"));
            assert_eq!(policy.resources(), from_toml.resources());
            assert_eq!(policy.open(), from_toml.open());
            assert_eq!(policy.control(), from_toml.control());
            assert!(policy.policies().eq(from_toml.policies()));
        }
    }

    #[test]
    fn what_is_not_a_policy_file_is_told_by_line() {
        for (format, source, line, part) in [
            (Format::Toml, "a = \nb = 1\nc =", Some(1), "must be quoted"),
            (
                Format::Toml,
                "\n[[resources]]\nname = 5\nhosts = []\npaths = []",
                Some(3),
                "expected a text",
            ),
            (
                Format::Toml,
                "[control]\nauditor = []",
                Some(2),
                "unknown field `auditor`",
            ),
            (
                Format::Toml,
                "\n[[open]]\nhosts = []",
                Some(2),
                "missing field `paths`",
            ),
            (
                Format::Json,
                "{\n\"control\": {\"auditor\": []}}",
                Some(2),
                "unknown field `auditor`",
            ),
            (
                Format::Json,
                "{\n\"open\": [],\n\"open\": []}",
                Some(3),
                "duplicate field `open`",
            ),
            (Format::Json, "{", Some(1), "EOF"),
            (Format::Yaml, "control:\n  auditor: []\n", Some(2), "auditor"),
            (
                Format::Yaml,
                "control:\n  auditors: &a [x]\n  revokers: *a\n",
                Some(2),
                "Anchors",
            ),
            (Format::Yaml, "open: []\nopen: []\n", Some(2), "open"),
        ] {
            let report = Policy::parse(source, format, "p").expect_err(source);
            let lint = report.lints().first().unwrap();
            assert_eq!(
                (lint.severity, lint.line),
                (Severity::Error, line),
                "{format:?} {source}: {report}"
            );
            assert!(lint.message.contains(part), "{source}: {report}");
            assert!(!lint.message.contains('\n'), "{source}: {report}");
        }
        let long = " ".repeat(crate::policy::SOURCE_MAX + 1);
        assert!(parse(&long).is_err());
    }

    #[test]
    fn deep_files_overflow_nothing() {
        for n in [100, 100_000] {
            for (format, source) in [
                (Format::Toml, format!("a = {}", "[".repeat(n))),
                (Format::Toml, format!("a = {}", "{a=".repeat(n))),
                (Format::Toml, format!("a{} = 1", ".a".repeat(n))),
                (Format::Toml, format!("[a{}]", ".a".repeat(n))),
                (
                    Format::Toml,
                    format!("[a{}]\n[a{}]", ".a".repeat(n), ".a".repeat(n)),
                ),
                (Format::Json, "[".repeat(n)),
                (Format::Json, format!("{{\"open\": {}", "[".repeat(n))),
                (Format::Yaml, "[".repeat(n)),
                (Format::Yaml, "- ".repeat(n)),
                (Format::Yaml, "{a: ".repeat(n)),
            ] {
                assert!(Policy::parse(&source, format, "p").is_err(), "{format:?} {n}");
            }
        }
    }

    #[test]
    fn yaml_problems_have_lines() {
        let source = "resources:\n  - name: a\n    hosts: [h]\n    paths:\n      - /\n      - /b/\n";
        let report = Policy::parse(source, Format::Yaml, "p.yaml").unwrap_err();
        let lines: Vec<_> = report
            .lints()
            .iter()
            .map(|lint| (lint.severity, lint.line))
            .collect();
        assert_eq!(lines, [(Severity::Warning, Some(2)), (Severity::Error, Some(6))]);
    }

    #[test]
    fn every_problem_is_named_at_once() {
        check(
            "[[open]]\nhosts = [\"App.example.com\"]\npaths = [\"/a/../b\"]\n\
             [[resources]]\nname = \"a\"\nhosts = [\"h:443\"]\npaths = []\n\
             [[resources]]\nname = \"a\"\nhosts = [\"h\"]\npaths = [\"/x\"]\nmethods = [\"get\"]\n\
             [[policies]]\nname = \"p q\"\nresources = [\"a\", \"b\"]\nrequesters = {}\napproval = \"automatic\"\n",
            &[
                "p.toml:2: error: [[open]]: host \"App.example.com\" has upper-case letters; mend: write the host in lower case",
                "p.toml:3: error: [[open]]: path \"/a/../b\" has a dot segment; mend: write the path that it leads to",
                "p.toml:6: error: resource \"a\": host \"h:443\" has a port; mend: leave the port out; a resource is protected on every port",
                "p.toml:7: error: resource \"a\" has no paths; mend: name at least one path; \"/\" is the whole host",
                "p.toml:9: error: there are two resources \"a\" (the first is on line 5); mend: give each a name of its own, or make them one",
                "p.toml:12: error: resource \"a\": method \"get\" is in lower case; mend: write the method in upper case; methods are case-sensitive",
                "p.toml:14: error: policy \"p q\": policy name may hold only ASCII letters, digits, '-', '_' and '.'; mend: name it like \"admin-for-sre\"",
                "p.toml:15: error: policy \"p q\" names resource \"b\", which does not exist; mend: add a [[resources]] entry of that name, or correct the name",
                "p.toml:16: error: policy \"p q\" has no requesters; mend: give it roles or persons",
            ],
        );
    }

    #[test]
    fn who_must_agree_is_said_outright() {
        let who = "requesters = { roles = [\"r\"] }\n";
        for (lines, expected) in [
            (
                "",
                "p.toml:5: error: policy \"p\" does not say who must agree; mend: give it stages, or say approval = \"automatic\"",
            ),
            (
                "automatic = [{ when = \"true\" }]",
                "p.toml:9: error: policy \"p\" has automatic rules alone: what none of them answers could never be approved; mend: give it stages for the rest, or say approval = \"automatic\"",
            ),
            (
                "approval = \"automatic\"\nautomatic = [{ when = \"true\" }]",
                "p.toml:10: error: policy \"p\" has automatic rules and approval = \"automatic\", which approves everything; mend: take one of them out",
            ),
            (
                "approval = \"automatic\"\nstages = [{ approvers = { roles = [\"r\"] } }]",
                "p.toml:9: error: policy \"p\" has stages and approval = \"automatic\"; mend: take one of them out; `automatic` rules let some requests pass without the stages",
            ),
            (
                "stages = [{ name = \"lead\" }]",
                "p.toml:9: error: policy \"p\" has a stage \"lead\" without approvers; mend: give it roles or persons",
            ),
            (
                "stages = [{ approvers = { roles = [] } }]",
                "p.toml:9: error: policy \"p\" has a stage \"stage-1\" without approvers; mend: give it roles or persons",
            ),
            (
                "[[policies.stages]]\napprovers.roles = [\"r\"]\nquorum = 0",
                "p.toml:11: error: policy \"p\" has a stage \"stage-1\" with quorum 0, which nobody has to fill; mend: write at least 1, or say approval = \"automatic\" instead of stages",
            ),
            (
                "[[policies.stages]]\napprovers.persons = [\"x\", \"y\"]\nquorum = 3",
                "p.toml:11: error: policy \"p\" has a stage \"stage-1\" with quorum 3 and 2 persons; mend: name more persons or a role, or lower the quorum",
            ),
            (
                "[[policies.stages]]\napprovers.roles = [\"r\"]\nescalate_after = \"5m\"",
                "p.toml:11: error: policy \"p\" has a stage \"stage-1\" that escalates to nobody; mend: say escalate_to, or take escalate_after out",
            ),
            (
                "[[policies.stages]]\napprovers.roles = [\"r\"]\nescalate_to.roles = [\"r\"]",
                "p.toml:11: error: policy \"p\" has a stage \"stage-1\" that never escalates; mend: say escalate_after, or take escalate_to out",
            ),
            (
                "[[policies.stages]]\nname = \"x\"\napprovers.roles = [\"r\"]\n[[policies.stages]]\nname = \"x\"\napprovers.roles = [\"r\"]",
                "p.toml:13: error: policy \"p\" has two stages \"x\"; mend: give each a name of its own",
            ),
        ] {
            check_policy(&format!("{who}{lines}"), &[expected]);
        }
    }

    #[test]
    fn terms_that_contradict_themselves_are_refused() {
        let who = "requesters = { roles = [\"r\"] }\napproval = \"automatic\"\n";
        for (lines, expected) in [
            (
                "duration = { default = \"5h\" }",
                "p.toml:10: error: policy \"p\" has duration.default 5h over duration.max 4h; mend: raise duration.max, or lower duration.default",
            ),
            (
                "duration = { max = \"5h\", max_total = \"4h\" }",
                "p.toml:10: error: policy \"p\" has duration.max 5h over duration.max_total 4h; mend: raise duration.max_total, or leave it out to forbid extensions",
            ),
            (
                "use_within = \"0s\"",
                "p.toml:10: error: policy \"p\": \"0s\": duration must be longer than zero; mend: write a length of time such as \"30m\"",
            ),
            (
                "reason = { min_length = 501 }",
                "p.toml:10: error: policy \"p\" wants a reason of 501 characters, and takes at most 500; mend: lower reason.min_length",
            ),
            (
                "limits = { requests = 0 }",
                "p.toml:10: error: policy \"p\" has limits.requests 0, under which no grant is of use; mend: write at least 1, or take it out for no limit",
            ),
            (
                "mfa = { required = false, max_age = \"5m\" }",
                "p.toml:10: error: policy \"p\" has an mfa.max_age for an MFA that is not required; mend: say required = true, or take max_age out",
            ),
            (
                "mfa = { required = false, acr = [\"gold\"] }",
                "p.toml:10: error: policy \"p\" has an mfa.acr for an MFA that is not required; mend: say required = true, or take acr out",
            ),
            (
                "mfa = { max_age = \"999ms\" }",
                "p.toml:10: error: policy \"p\" has an mfa.max_age below a second, and a challenge tells it in whole seconds; mend: write at least \"1s\"",
            ),
            (
                "mfa = { acr = [] }",
                "p.toml:10: error: policy \"p\" has an mfa.acr of 0 names; mend: name 1 to 16, or take acr out",
            ),
            (
                "mfa = { amr = [\"hwk\", \"hwk\"] }",
                "p.toml:10: error: policy \"p\" has the mfa.amr \"hwk\" twice; mend: name it once",
            ),
            (
                "mfa = { acr = [\"a b\"] }",
                "p.toml:10: error: policy \"p\" has the mfa.acr \"a b\", which can't be told in a challenge; mend: write 1 to 128 visible ASCII characters without spaces, quotes and backslashes, as your issuer does",
            ),
            (
                "break_glass = { requesters = {}, max = \"5m\" }",
                "p.toml:10: error: policy \"p\" has a break_glass that nobody may use; mend: give break_glass.requesters roles or persons, or take break_glass out",
            ),
        ] {
            check_policy(&format!("{who}{lines}"), &[expected]);
        }
        for lines in [
            "ticket.pattern = \"(\"",
            "ticket.pattern = \"a)|(?:b\"",
            "cooldown = \"soon\"",
            "limits.bytes = -1",
        ] {
            let report = parse(&with_policy(&format!("{who}{lines}"))).expect_err(lines);
            assert_eq!(
                report.lints().iter().map(|lint| lint.line).collect::<Vec<_>>(),
                [Some(10)],
                "{report}"
            );
        }
    }

    #[test]
    fn conditions_are_checked_before_they_are_needed() {
        for (when, part) in [
            ("subject.roles.exists(", "does not parse"),
            (
                "sbject.roles.size() > 0",
                "reads \"sbject\", which does not exist",
            ),
            (
                "subject.roles.exists(r, s == r)",
                "reads \"s\", which does not exist",
            ),
            (
                "subject.name.matches(\"a\")",
                "calls \"matches\", which does not exist",
            ),
            ("Thing{a: 1}.a == 1", "makes a message"),
            (
                "subject.roles.all(a, subject.roles.all(b, subject.roles.all(c, a == c)))",
                "could take",
            ),
        ] {
            let stages = "stages = [{ approvers = { roles = [\"r\"] } }]";
            let rule = format!("requesters.roles = [\"r\"]\n{stages}\nautomatic = [{{ when = '{when}' }}]");
            let report = parse(&with_policy(&rule)).expect_err(when);
            let [lint] = report.lints() else {
                panic!("{report}")
            };
            assert_eq!(lint.line, Some(10), "{report}");
            assert!(lint.message.contains(part), "{report}");
        }
    }

    #[test]
    fn two_resources_never_share_a_place() {
        let two = |first: &str, second: &str| {
            let policy = "[[policies]]\nname = \"p\"\nresources = [\"a\", \"b\"]\nrequesters.roles = [\"r\"]\napproval = \"automatic\"\n";
            format!("[[resources]]\nname = \"a\"\n{first}\n[[resources]]\nname = \"b\"\n{second}\n{policy}")
        };
        let place = |host: &str, path: &str, methods: &str| {
            format!("hosts = [\"{host}\"]\npaths = [\"{path}\"]\nmethods = [{methods}]")
        };
        for (first, second, fine) in [
            (("h", "/x", ""), ("h", "/x", ""), false),
            (("h", "/x", ""), ("h", "/X", ""), false),
            (("h", "/x", "\"GET\""), ("h", "/x", "\"GET\", \"POST\""), false),
            (("h", "/x", "\"GET\""), ("h", "/x", "\"HEAD\""), false),
            (("h", "/x", "\"GET\""), ("h", "/x", ""), false),
            (("h", "/x", "\"GET\""), ("h", "/x", "\"POST\""), true),
            (("h", "/x", ""), ("h", "/x/y", ""), true),
            (("h", "/x", ""), ("g", "/x", ""), true),
            (("a.h", "/x", ""), ("*.h", "/x", ""), true),
        ] {
            let source = two(
                &place(first.0, first.1, first.2),
                &place(second.0, second.1, second.2),
            );
            match parse(&source) {
                Ok(_) => assert!(fine, "{first:?} {second:?}"),
                Err(report) => {
                    assert!(!fine, "{report}");
                    assert!(
                        report
                            .to_string()
                            .starts_with("p.toml:6: error: resource \"b\" protects h/"),
                        "{report}"
                    );
                }
            }
        }
    }

    #[test]
    fn nothing_protected_can_be_declared_open() {
        let file = |open: &str, resource: &str| {
            format!(
                "[[open]]\n{open}\n[[resources]]\nname = \"a\"\n{resource}\n[[policies]]\nname = \"p\"\nresources = [\"a\"]\n\
                 requesters.roles = [\"r\"]\napproval = \"automatic\"\n"
            )
        };
        let place = |host: &str, path: &str, methods: &str| {
            format!("hosts = [\"{host}\"]\npaths = [\"{path}\"]\nmethods = [{methods}]")
        };
        for (open, resource, fine) in [
            (("h", "/", ""), ("h", "/x", ""), true),
            (("h", "/x", ""), ("h", "/x", ""), false),
            (("h", "/x/y", ""), ("h", "/x", ""), false),
            (("h", "/X/y", ""), ("h", "/x", ""), false),
            (("h", "/xy", ""), ("h", "/x", ""), true),
            (("a.h", "/x", ""), ("*.h", "/", ""), false),
            (("*.h", "/x", ""), ("a.h", "/", ""), true),
            (("h", "/x", ""), ("h", "/", "\"POST\""), true),
            (("h", "/x", "\"GET\""), ("h", "/", "\"POST\""), true),
            (("h", "/x", "\"POST\""), ("h", "/", "\"POST\""), false),
        ] {
            let source = file(
                &place(open.0, open.1, open.2),
                &place(resource.0, resource.1, resource.2),
            );
            match parse(&source) {
                Ok(_) => assert!(fine, "{open:?} {resource:?}"),
                Err(report) => {
                    assert!(!fine, "{report}");
                    assert!(
                        report.to_string().starts_with("p.toml:1: error: [[open]] "),
                        "{report}"
                    );
                }
            }
        }
    }

    #[test]
    fn what_nobody_can_mean_is_a_warning() {
        check_warning(
            BASE,
            "p.toml:2: warning: nobody can ask for resource \"a\": no policy governs it; mend: name it in the `resources` of a policy, or take it out",
        );
        let who = "requesters = { roles = [\"r\"] }\n";
        for (lines, expected) in [
            (
                "approval = \"automatic\"\nidle_timeout = \"5h\"",
                "p.toml:10: warning: policy \"p\": idle_timeout is never reached: no grant lasts longer than 4h; mend: make it shorter than duration.max",
            ),
            (
                "approval = \"automatic\"\nbreak_glass = { requesters = { roles = [\"r\"] }, max = \"5h\" }",
                "p.toml:10: warning: policy \"p\": break_glass.max 5h is longer than duration.max 4h; mend: make an emergency shorter than what people agree to",
            ),
            (
                "approval = \"automatic\"\nmfa = {}\nbreak_glass = { requesters = { roles = [\"r\"] }, max = \"1h\", mfa = { required = false } }",
                "p.toml:11: warning: policy \"p\": breaking the glass needs no MFA, and asking does; mend: take `required = false` out of break_glass.mfa",
            ),
            (
                "approval = \"automatic\"\nmfa = { amr = [\"hwk\", \"pwd\"] }",
                "p.toml:10: warning: policy \"p\": mfa.amr is satisfied by \"pwd\", which is one thing that somebody knows; mend: take it out; a second factor is one of mfa, otp, hwk, swk, fpt, face",
            ),
            (
                "[[policies.stages]]\napprovers.roles = [\"r\"]\nescalate_after = \"2h\"\nescalate_to.roles = [\"s\"]",
                "p.toml:11: warning: policy \"p\": stage \"stage-1\" never escalates: the request times out after 1h; mend: make it shorter than pending_timeout",
            ),
        ] {
            check_warning(&with_policy(&format!("{who}{lines}")), expected);
        }
    }

    #[test]
    fn reports_stay_readable() {
        let hosts = "\"BAD\", ".repeat(250);
        let bad = format!("[[open]]\nhosts = [{hosts}]\npaths = [\"/\"]\n");
        let report = parse(&bad).unwrap_err();
        assert_eq!(report.lints().len(), 201);
        assert!(
            report
                .to_string()
                .ends_with("50 more problems are not listed; mend: mend these first")
        );
    }

    #[test]
    fn a_policy_can_be_shared() {
        fn shared<T: Send + Sync + 'static>() {}
        shared::<Policy>();
    }

    #[cfg(feature = "schema")]
    #[test]
    fn the_schema_knows_the_example() {
        let schema = crate::policy::json_schema();
        let keys = |value: &serde_json::Value| {
            value
                .as_object()
                .map(|map| map.keys().cloned().collect::<BTreeSet<_>>())
        };
        let example: serde_json::Value = toml::from_str(EXAMPLE).unwrap();
        assert_eq!(keys(&schema["properties"]), keys(&example));
        assert_eq!(schema["additionalProperties"], false);
        assert_eq!(
            schema["$defs"]["OnFull"]["oneOf"].as_array().map(Vec::len),
            Some(2),
            "{schema}"
        );
        let policy = &schema["$defs"]["Policy"];
        let known = keys(&policy["properties"]).unwrap();
        let used = keys(&example["policies"][0]).unwrap();
        assert!(known.is_superset(&used), "{known:?} {used:?}");
        assert_eq!(
            policy["required"],
            serde_json::json!(["name", "resources", "requesters"])
        );
        assert_eq!(policy["additionalProperties"], false);
    }
}
