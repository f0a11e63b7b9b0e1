//! `[[resources]]` and `[[open]]`: places parsed one by one, then compared with each other.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use unicode_normalization::UnicodeNormalization;

use crate::id::ResourceName;
use crate::policy::lint::Lints;
use crate::policy::model;
use crate::policy::places::{Problem, check_host, check_method, check_path, host_patterns, path_prefixes};
use crate::policy::source::At;
use crate::policy::terms::{OpenDef, ResourceDef};
use crate::policy::text::is_unprintable;

/// Most resources in one file.
const RESOURCES_MAX: usize = 10_000;
/// Most `[[open]]` entries in one file.
const OPEN_MAX: usize = 1_000;
/// Most hosts, and most paths, of one resource or `[[open]]` entry.
const PLACES_MAX: usize = 256;
/// Most pairs of a host and a path in one file: what the gate's index grows with.
const PAIRS_MAX: usize = 200_000;
/// Most methods, and most tags, of one resource.
const LABELS_MAX: usize = 32;
/// Longest tag, in bytes.
const TAG_MAX: usize = 64;

/// The names that the file gives to resources, whether or not the rest of the resource is in order.
pub(super) fn names<'t>(
    resources: &[model::Resource],
    at: At<'t>,
    lints: &mut Lints,
) -> BTreeMap<String, At<'t>> {
    let mut names: BTreeMap<String, At<'t>> = BTreeMap::new();
    for (n, resource) in resources.iter().enumerate() {
        let here = at.item(n).key("name");
        match names.get(&resource.name) {
            Some(first) => lints.error(
                here,
                format!(
                    "there are two resources {:?}{}",
                    resource.name,
                    on_line(first.line())
                ),
                "give each a name of its own, or make them one",
            ),
            None => {
                names.insert(resource.name.clone(), here);
            }
        }
    }
    names
}

/// ` (the first is on line 3)`.
pub(super) fn on_line(line: Option<u32>) -> String {
    line.map_or_else(String::new, |line| format!(" (the first is on line {line})"))
}

/// The resources that are in order, each with where it stands.
pub(super) fn compile_all<'t>(
    resources: &[model::Resource],
    at: At<'t>,
    lints: &mut Lints,
) -> Vec<(ResourceDef, At<'t>)> {
    if resources.len() > RESOURCES_MAX {
        lints.error(
            at,
            format!(
                "there are {} resources; at most {RESOURCES_MAX} are read",
                resources.len()
            ),
            "give several hosts and paths to one resource",
        );
        return Vec::new();
    }
    let defs: Vec<_> = resources
        .iter()
        .enumerate()
        .filter_map(|(n, resource)| compile_one(resource, at.item(n), lints).map(|def| (def, at.item(n))))
        .collect();
    if few_pairs(defs.iter().map(|(def, _)| (&def.hosts, &def.paths)), at, lints) {
        find_overlaps(&defs, lints);
    }
    defs
}

fn few_pairs<'d>(
    places: impl Iterator<Item = (&'d BTreeSet<String>, &'d BTreeSet<String>)>,
    at: At<'_>,
    lints: &mut Lints,
) -> bool {
    let pairs: usize = places.map(|(hosts, paths)| hosts.len() * paths.len()).sum();
    if pairs > PAIRS_MAX {
        lints.error(
            at,
            format!("there are {pairs} pairs of a host and a path; at most {PAIRS_MAX} are read"),
            "use a parent such as \"*.example.com\" or a shorter prefix",
        );
    }
    pairs <= PAIRS_MAX
}

fn compile_one(resource: &model::Resource, at: At<'_>, lints: &mut Lints) -> Option<ResourceDef> {
    let owner = format!("resource {:?}", resource.name);
    let name = lints.take(
        at.key("name"),
        ResourceName::new(&resource.name),
        "name it like \"admin\"",
    );
    let places = places(
        &owner,
        &resource.hosts,
        &resource.paths,
        &resource.methods,
        at,
        lints,
    );
    for tag in &resource.tags {
        if tag.is_empty() || tag.len() > TAG_MAX || tag.trim() != tag || tag.chars().any(is_unprintable) {
            lints.error(
                at.key("tags"),
                format!(
                    "{owner}: tag {tag:?} is empty, longer than {TAG_MAX} bytes, padded, or not printable"
                ),
                "write it like \"tier-1\"",
            );
        }
    }
    bounded(&owner, "tags", resource.tags.len(), LABELS_MAX, at, lints);
    let (name, (hosts, paths, methods)) = (name?, places?);
    Some(ResourceDef {
        name,
        hosts,
        paths,
        methods,
        tags: resource.tags.iter().cloned().collect(),
    })
}

type Places = (BTreeSet<String>, BTreeSet<String>, BTreeSet<String>);

fn places(
    owner: &str,
    hosts: &[String],
    paths: &[String],
    methods: &[String],
    at: At<'_>,
    lints: &mut Lints,
) -> Option<Places> {
    for (key, listed, mend) in [
        ("hosts", hosts, "name at least one host"),
        ("paths", paths, "name at least one path; \"/\" is the whole host"),
    ] {
        if listed.is_empty() {
            lints.error(at.key(key), format!("{owner} has no {key}"), mend);
        }
    }
    let hosts = checked(owner, "host", hosts, check_host, at.key("hosts"), lints);
    let paths = checked(owner, "path", paths, check_path, at.key("paths"), lints);
    let methods = checked(owner, "method", methods, check_method, at.key("methods"), lints);
    let mut fits = true;
    for (key, len, most) in [
        ("hosts", hosts.as_ref().map_or(0, BTreeSet::len), PLACES_MAX),
        ("paths", paths.as_ref().map_or(0, BTreeSet::len), PLACES_MAX),
        ("methods", methods.as_ref().map_or(0, BTreeSet::len), LABELS_MAX),
    ] {
        fits &= bounded(owner, key, len, most, at, lints);
    }
    let (hosts, paths, methods) = (hosts?, paths?, methods?);
    (fits && !hosts.is_empty() && !paths.is_empty()).then_some((hosts, paths, methods))
}

fn bounded(owner: &str, key: &str, len: usize, most: usize, at: At<'_>, lints: &mut Lints) -> bool {
    if len > most {
        lints.error(
            at.key(key),
            format!("{owner} has {len} {key}; at most {most} are read"),
            "make it two",
        );
    }
    len <= most
}

fn checked(
    owner: &str,
    what: &str,
    listed: &[String],
    check: fn(&str) -> Result<(), Problem>,
    at: At<'_>,
    lints: &mut Lints,
) -> Option<BTreeSet<String>> {
    let mut fine = true;
    let mut kept = BTreeSet::new();
    for (n, text) in listed.iter().enumerate() {
        if let Err(problem) = check(text) {
            fine = false;
            lints.error(
                at.item(n),
                format!("{owner}: {what} {text:?} {}", problem.what),
                problem.mend,
            );
        } else if !kept.insert(text.clone()) {
            lints.warn(
                at.item(n),
                format!("{owner}: {what} {text:?} is there twice"),
                "take one out",
            );
        }
    }
    fine.then_some(kept)
}

/// The form in which prefixes clash: the gate protects every spelling of a path, so `/Admin` and `/admin` are one.
fn folded(path: &str) -> String {
    path.nfkc().collect::<String>().to_lowercase()
}

/// A gate answers HEAD where it answers GET (RFC 9110 §9.3.2).
fn same_method(a: &str, b: &str) -> bool {
    let get = |method| if method == "HEAD" { "GET" } else { method };
    get(a) == get(b)
}

fn overlap(a: &BTreeSet<String>, b: &BTreeSet<String>) -> bool {
    a.is_empty() || b.is_empty() || a.iter().any(|a| b.iter().any(|b| same_method(a, b)))
}

fn find_overlaps(defs: &[(ResourceDef, At<'_>)], lints: &mut Lints) {
    let mut taken: HashMap<(&str, String), Vec<&(ResourceDef, At<'_>)>> = HashMap::new();
    for here in defs {
        let (def, at) = here;
        let paths: BTreeSet<String> = def.paths.iter().map(|path| folded(path)).collect();
        for host in &def.hosts {
            for path in &paths {
                let owners = taken.entry((host.as_str(), path.clone())).or_default();
                let clash = owners
                    .iter()
                    .find(|(other, _)| overlap(&other.methods, &def.methods));
                if let Some((other, first)) = clash {
                    lints.error(
                        *at,
                        format!(
                            "resource {:?} protects {host}{path}, and so does resource {:?}{}",
                            def.name.as_str(),
                            other.name.as_str(),
                            on_line(first.line())
                        ),
                        "let one of them have it, or give them different methods",
                    );
                } else {
                    owners.push(here);
                }
            }
        }
    }
}

/// The `[[open]]` entries. What a resource covers as a whole can't be opened: the resource wins at the gate.
pub(super) fn compile_open(
    entries: &[model::Open],
    at: At<'_>,
    resources: &[(ResourceDef, At<'_>)],
    lints: &mut Lints,
) -> Vec<OpenDef> {
    if entries.len() > OPEN_MAX {
        lints.error(
            at,
            format!(
                "there are {} [[open]] entries; at most {OPEN_MAX} are read",
                entries.len()
            ),
            "give several hosts and paths to one entry",
        );
        return Vec::new();
    }
    let compiled: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(n, entry)| {
            let at = at.item(n);
            let (hosts, paths, methods) =
                places("[[open]]", &entry.hosts, &entry.paths, &entry.methods, at, lints)?;
            Some((
                OpenDef {
                    hosts,
                    paths,
                    methods,
                },
                at,
            ))
        })
        .collect();
    if few_pairs(
        compiled.iter().map(|(def, _)| (&def.hosts, &def.paths)),
        at,
        lints,
    ) {
        find_closed(&compiled, resources, lints);
    }
    compiled.into_iter().map(|(def, _)| def).collect()
}

fn find_closed(open: &[(OpenDef, At<'_>)], resources: &[(ResourceDef, At<'_>)], lints: &mut Lints) {
    let mut guarded: HashMap<&str, HashMap<String, Vec<&ResourceDef>>> = HashMap::new();
    for (def, _) in resources {
        for host in &def.hosts {
            let below = guarded.entry(host).or_default();
            for path in &def.paths {
                below.entry(folded(path)).or_default().push(def);
            }
        }
    }
    let covering = |host: &str, path: &str, methods: &BTreeSet<String>| {
        let path = folded(path);
        let whole = |def: &&&ResourceDef| {
            def.methods.is_empty() || !methods.is_empty() && methods.is_subset(&def.methods)
        };
        host_patterns(host).find_map(|pattern| {
            let below = guarded.get(pattern.as_str())?;
            let mut owners = path_prefixes(&path)
                .filter_map(|prefix| below.get(prefix))
                .flatten();
            owners.find(whole).copied()
        })
    };
    for (def, at) in open {
        for host in &def.hosts {
            for path in &def.paths {
                if let Some(owner) = covering(host, path, &def.methods) {
                    lints.error(
                        *at,
                        format!(
                            "[[open]] {host}{path} lies in resource {:?}, which protects it all the same",
                            owner.name.as_str()
                        ),
                        "take it out of [[open]], or out of the resource",
                    );
                }
            }
        }
    }
}
