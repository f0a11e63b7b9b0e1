//! The compiled policy: a file that was read whole, checked against itself, and is immutable from then on.

use std::collections::{BTreeMap, BTreeSet};

use crate::broker::directory::Person;
use crate::id::{Digest, PolicyName, ResourceName};
use crate::policy::entry::{self, Entry};
use crate::policy::lint::{Lint, Lints, Report};
use crate::policy::model;
use crate::policy::resource;
use crate::policy::source::{self, At, Format};
use crate::policy::terms::{OpenDef, People, ResourceDef, Terms};

/// A policy in force: what is protected, who may ask for it and who must agree.
///
/// Made by [`Policy::parse`] alone, so that whoever holds one holds one that passed every check.
#[derive(Debug)]
pub struct Policy {
    digest: Digest,
    control: Control,
    resources: Vec<ResourceDef>,
    open: Vec<OpenDef>,
    entries: Vec<Entry>,
    governed: BTreeMap<ResourceName, Governed>,
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
    /// They may declare and lift lockdowns.
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

    /// Whether `person` may declare and lift lockdowns.
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
            governed: govern(&parts.resources, &parts.entries),
            resources: parts.resources,
            open: parts.open,
            entries: parts.entries,
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
    resources: Vec<ResourceDef>,
    open: Vec<OpenDef>,
    entries: Vec<Entry>,
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
    let names = resource::names(&file.resources, root.key("resources"), lints);
    let resources = resource::compile_all(&file.resources, root.key("resources"), lints);
    let open = resource::compile_open(&file.open, root.key("open"), &resources, lints);
    let entries = entry::compile_all(&file.policies, root.key("policies"), &names, lints);

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
    Parts {
        control,
        resources: resources.into_iter().map(|(def, _)| def).collect(),
        open,
        entries,
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
