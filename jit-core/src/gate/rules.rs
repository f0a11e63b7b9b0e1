//! Which rule governs a request: an immutable index over the resources and `[[open]]` entries of a policy.
//!
//! 1. A host is looked up whole, then by its `*.` parents. Every entry that covers it counts: a rule for one host never hides the
//!    rules of a wildcard.
//! 2. A request is protected when any folded form of its path lies in a resource; the longest prefix over all forms governs.
//! 3. A resource with methods governs those alone, compared without regard to case; HEAD counts as GET, because servers answer it
//!    with GET's handler (RFC 9110 §9.3.2). A method that it lacks falls to the next shorter covering resource, then to what is open,
//!    then to nothing, which is denied.
//! 4. Only the exact form can be admitted or open. What is protected in a folded form alone can't be admitted by any grant.
//!
//! The index is a table of folded prefixes for each host entry, asked once for each number of segments that some prefix in it has, and
//! no further than a prefix with nothing below it or than the longest one. Keys come from the operator; a stranger can look up but never insert, so that a fast hash is enough. It
//! is seeded all the same.

mod compile;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::Method;
use smallvec::SmallVec;

pub use compile::BadRules;

use super::target::{Target, host_matches};
use crate::gate::enforcer::Enforcer;
use crate::id::ResourceName;
use crate::policy::terms::{ResourceDef, Scope, covers};

/// A resource of the current policy, with the number under which indexes can hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    id: u32,
    def: Arc<ResourceDef>,
}

impl Resource {
    /// Its place in this [`RuleSet`]. Another set may number the same resource differently.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// What it protects.
    pub fn def(&self) -> &ResourceDef {
        &self.def
    }

    /// The same, for whoever has to know later that it was this one: no other has its place in memory meanwhile.
    pub(in crate::gate) fn rule(&self) -> &Arc<ResourceDef> {
        &self.def
    }
}

/// What governs a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Governed<'r> {
    /// The host is in no resource and no `[[open]]` entry: 421.
    UnknownHost,
    /// A grant is needed.
    Protected {
        /// The one governing resource.
        resource: &'r Resource,
        /// Whether the exact form and the exact method lie in the resource. If not, only a folded form does, and no grant admits it.
        exact: bool,
    },
    /// Everyone may.
    Open,
    /// No rule speaks of it: denied.
    Nothing,
}

/// A request that a resource governs and a grant can admit. Only [`RuleSet::matched`] makes one.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'r> {
    resource: &'r Resource,
    target: &'r Target<'r>,
    method: &'r Method,
}

impl<'r> Matched<'r> {
    /// What governs it.
    pub fn resource(&self) -> &'r Resource {
        self.resource
    }

    /// What it asks for.
    pub fn target(&self) -> &'r Target<'r> {
        self.target
    }

    /// How.
    pub fn method(&self) -> &'r Method {
        self.method
    }
}

type Map<T> = HashMap<Box<str>, T, foldhash::fast::RandomState>;

/// The trees that cover a host, the most specific first.
type Trees = SmallVec<[u32; 2]>;

/// The rules of one policy, compiled.
#[derive(Debug, Clone, Default)]
pub struct RuleSet {
    resources: Vec<Resource>,
    /// Exact hosts.
    hosts: Map<Trees>,
    /// The same for what stands after `*.`.
    parents: Map<Trees>,
    trees: Vec<Tree>,
}

/// The rules of one host entry.
#[derive(Debug, Clone, Default)]
struct Tree {
    /// At which depths (numbers of segments) there is a place: one bit for each, the last for all from there on.
    depths: u64,
    /// The length of the longest key.
    longest: usize,
    /// What is said of `/`.
    root: Place,
    /// By folded prefix, from its first slash and without one at the end.
    below: Map<Place>,
}

/// What is said of one prefix.
#[derive(Debug, Clone, Default)]
struct Place {
    /// Those with methods before the one without.
    guards: SmallVec<[Guard; 1]>,
    open: Vec<Open>,
    /// Whether anything is said of what is below.
    goes_on: bool,
}

#[derive(Debug, Clone)]
struct Guard {
    resource: u32,
    /// Whether the resource has no methods, and so protects against all.
    any_method: bool,
    /// Whether the prefix is its own folded form.
    plain: bool,
    prefix: Box<str>,
}

#[derive(Debug, Clone)]
struct Open {
    prefix: Box<str>,
    methods: BTreeSet<String>,
}

/// The deepest governing rule so far.
#[derive(Clone, Copy)]
struct Hit<'r> {
    depth: usize,
    guard: &'r Guard,
}

impl RuleSet {
    /// The resources in the order of their numbers.
    pub fn resources(&self) -> &[Resource] {
        &self.resources
    }

    /// The resource of that name.
    pub fn resource(&self, name: &ResourceName) -> Option<&Resource> {
        self.resources.iter().find(|resource| resource.def.name == *name)
    }

    /// The same rules, with what `enforcer` holds in place of each definition: it knows its grants by where that is in memory, and need not
    /// compare them. A [`Gate`](crate::gate::Gate) does this by itself.
    #[must_use]
    pub fn shared_by(mut self, enforcer: &Enforcer) -> Self {
        for resource in &mut self.resources {
            resource.def = enforcer.shared(&resource.def);
        }
        self
    }

    /// `method` on `target` with the resource that governs it. `None`: nothing protects it, or no grant can admit it.
    pub fn matched<'r>(&'r self, target: &'r Target<'r>, method: &'r Method) -> Option<Matched<'r>> {
        match self.govern(target, method) {
            Governed::Protected {
                resource,
                exact: true,
            } => Some(Matched {
                resource,
                target,
                method,
            }),
            _ => None,
        }
    }

    /// Which rule governs `method` on `target`.
    pub fn govern(&self, target: &Target<'_>, method: &Method) -> Governed<'_> {
        let Some(trees) = self.trees(target.host().as_str()) else {
            return Governed::UnknownHost;
        };
        let exact_path = target.path().as_str();
        let mut hit: Option<Hit<'_>> = None;
        let mut agreed = true;
        for form in target.path().folded() {
            let mut deepest: Option<Hit<'_>> = None;
            for tree in trees {
                self.walk(*tree, form, |depth, here| {
                    if deepest.is_none_or(|hit| hit.depth < depth)
                        && let Some(guard) = self.guard(here, method)
                    {
                        deepest = Some(Hit { depth, guard });
                    }
                });
            }
            match (hit, deepest) {
                (Some(before), Some(now)) if now.depth == before.depth => {
                    agreed &= now.guard.resource == before.guard.resource;
                }
                (Some(before), Some(now)) if now.depth < before.depth => {}
                (_, Some(_)) => hit = deepest,
                (_, None) => {}
            }
        }
        let Some(Hit { guard, .. }) = hit else {
            return if self.opens(trees, target, method) {
                Governed::Open
            } else {
                Governed::Nothing
            };
        };
        let Some(resource) = self.resource_of(guard) else {
            return Governed::Nothing;
        };
        let inside = || {
            // It was found by the exact form, cut at a slash, among prefixes that are their own folded form.
            (guard.plain && target.path().is_plain())
                || covers(&guard.prefix, exact_path)
                || resource.def.paths.iter().any(|prefix| covers(prefix, exact_path))
        };
        Governed::Protected {
            resource,
            exact: agreed && (guard.any_method || allows(&resource.def.methods, method)) && inside(),
        }
    }

    fn trees(&self, host: &str) -> Option<&[u32]> {
        if let Some(trees) = self.hosts.get(host) {
            return Some(trees);
        }
        if self.parents.is_empty() {
            return None;
        }
        let known = parents(host).find_map(|parent| self.parents.get(parent));
        known.map(|trees| &**trees)
    }

    /// Whether an `[[open]]` entry covers the exact form.
    fn opens(&self, trees: &[u32], target: &Target<'_>, method: &Method) -> bool {
        let path = target.path().as_str();
        let mut open = false;
        for form in target.path().folded() {
            for tree in trees {
                self.walk(*tree, form, |_, here| {
                    open = open
                        || here
                            .open
                            .iter()
                            .any(|rule| allows(&rule.methods, method) && covers(&rule.prefix, path));
                });
            }
        }
        open
    }

    /// Hands out every place that covers `form`, with its depth, from the shortest prefix to the longest.
    fn walk<'r>(&'r self, root: u32, form: &str, mut each: impl FnMut(usize, &'r Place)) {
        let Some(tree) = self.tree(root) else {
            return;
        };
        let (mut end, mut depth) = (0, 0);
        loop {
            if let Some(here) = tree.place(depth, form, end) {
                each(depth, here);
                if !here.goes_on {
                    break;
                }
            } else if !tree.goes_below(depth) {
                break;
            }
            let Some(rest) = form.as_bytes().get(end + 1..) else {
                break;
            };
            let length = rest.iter().position(|byte| *byte == b'/');
            end += 1 + length.unwrap_or(rest.len());
            depth += 1;
            if end > tree.longest {
                break;
            }
        }
    }

    fn tree(&self, id: u32) -> Option<&Tree> {
        self.trees.get(id as usize)
    }

    fn resource_of(&self, guard: &Guard) -> Option<&Resource> {
        self.resources.get(guard.resource as usize)
    }

    fn guard<'r>(&self, place: &'r Place, method: &Method) -> Option<&'r Guard> {
        let protects = |guard: &&Guard| {
            let methods = || Some(&self.resource_of(guard)?.def.methods);
            guard.any_method || methods().is_some_and(|methods| governs(methods, method))
        };
        place.guards.iter().find(protects)
    }
}

impl Tree {
    /// The bit of a depth.
    fn bit(depth: usize) -> u64 {
        1 << depth.min(63)
    }

    /// Whether some place is deeper.
    fn goes_below(&self, depth: usize) -> bool {
        self.depths >> depth.min(62) > 1
    }

    /// What is said of the first `end` bytes of `form`, which are `depth` segments.
    fn place(&self, depth: usize, form: &str, end: usize) -> Option<&Place> {
        if self.depths & Self::bit(depth) == 0 {
            return None;
        }
        if depth == 0 {
            return Some(&self.root);
        }
        self.below.get(form.get(..end)?)
    }
}

/// What stands after each dot of a host, the longest first.
fn parents(host: &str) -> impl Iterator<Item = &str> {
    fn after(name: &str) -> Option<&str> {
        name.split_once('.').map(|(_, parent)| parent)
    }
    std::iter::successors(after(host), |name| after(name))
}

/// Whether a grant of `scope` on `def` admits `method` on `target`: the exact path lies in the resource and in the scope, the host is
/// the resource's, and both allow the method. Whether the resource is the governing one is [`RuleSet::govern`]'s to say.
pub fn admits(def: &ResourceDef, scope: &Scope, target: &Target<'_>, method: &Method) -> bool {
    let path = target.path().as_str();
    def.hosts
        .iter()
        .any(|host| host_matches(host, target.host().as_str()))
        && under(&def.paths, path)
        && allows(&def.methods, method)
        && within(scope, target, method)
}

/// Whether a scope leaves in what its resource admits.
pub(in crate::gate) fn within(scope: &Scope, target: &Target<'_>, method: &Method) -> bool {
    (scope.paths.is_empty() || under(&scope.paths, target.path().as_str())) && allows(&scope.methods, method)
}

fn under(prefixes: &BTreeSet<String>, path: &str) -> bool {
    prefixes.iter().any(|prefix| covers(prefix, path))
}

/// Whether the exact method may pass. GET lets HEAD pass, which asks for less.
fn allows(methods: &BTreeSet<String>, method: &Method) -> bool {
    methods.is_empty()
        || methods.contains(method.as_str())
        || (*method == Method::HEAD && methods.contains(Method::GET.as_str()))
}

/// Whether a resource with these methods protects against the method, in whatever case it is written.
fn governs(methods: &BTreeSet<String>, method: &Method) -> bool {
    methods.is_empty()
        || methods
            .iter()
            .any(|listed| is_or_reads_as(listed, method.as_str()))
}

fn is_or_reads_as(listed: &str, method: &str) -> bool {
    listed.eq_ignore_ascii_case(method)
        || (listed == Method::GET.as_str() && method.eq_ignore_ascii_case(Method::HEAD.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::target::BadTarget;
    use crate::policy::terms::OpenDef;
    use http::{Request, Version, header, request};
    use proptest::prelude::*;

    fn texts(list: &[&str]) -> BTreeSet<String> {
        list.iter().map(|&text| text.to_owned()).collect()
    }

    fn resource(name: &str, hosts: &[&str], paths: &[&str], methods: &[&str]) -> ResourceDef {
        ResourceDef {
            name: ResourceName::new(name).expect("a name"),
            hosts: texts(hosts),
            paths: texts(paths),
            methods: texts(methods),
            tags: BTreeSet::new(),
        }
    }

    fn open(hosts: &[&str], paths: &[&str], methods: &[&str]) -> OpenDef {
        OpenDef {
            hosts: texts(hosts),
            paths: texts(paths),
            methods: texts(methods),
        }
    }

    fn parts(version: Version, method: &str, uri: &str, hosts: &[&str]) -> request::Parts {
        let mut request = Request::builder().version(version).method(method).uri(uri);
        for host in hosts {
            request = request.header(header::HOST, host.replace('~', " "));
        }
        request.body(()).expect(uri).into_parts().0
    }

    fn get(host: &str, path: &str) -> request::Parts {
        parts(Version::HTTP_11, "GET", path, &[host])
    }

    fn verdict(rules: &RuleSet, parts: &request::Parts) -> String {
        let target = match Target::read(parts) {
            Ok(target) => target,
            Err(bad) => return bad.kind().to_owned(),
        };
        match rules.govern(&target, &parts.method) {
            Governed::UnknownHost => "unknown-host".to_owned(),
            Governed::Open => "open".to_owned(),
            Governed::Nothing => "nothing".to_owned(),
            Governed::Protected { resource, exact } => {
                let admitted = admits(resource.def(), &Scope::default(), &target, &parts.method);
                assert!(admitted || !exact, "what is exact is admitted: {}", parts.uri);
                format!("{}{}", if exact { "" } else { "no-" }, resource.def().name)
            }
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let resources = [
            resource("admin", &["app.example.com"], &["/admin"], &[]),
            resource("billing", &["app.example.com"], &["/billing"], &[]),
            resource("menu", &["app.example.com"], &["/billing/Caf\u{e9} Menu"], &[]),
            resource("keys", &["app.example.com"], &["/admin/keys"], &[]),
            resource("read", &["api.example.com"], &["/v1"], &["GET"]),
            resource("wild", &["*.example.com"], &["/internal"], &[]),
        ];
        let opened = [
            open(&["app.example.com", "api.example.com"], &["/"], &[]),
            open(&["*.example.com"], &["/assets"], &[]),
        ];
        let rules = RuleSet::compile(&resources, &opened).expect("good rules");
        let table = include_str!("../../tests/data/targets.txt");
        let mut rows = 0;
        let mut wrong = Vec::new();
        for line in table
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            let columns: Vec<_> = line.split_ascii_whitespace().collect();
            let &[version, method, target, hosts, want] = columns.as_slice() else {
                panic!("five columns: {line}");
            };
            let version = match version {
                "1.0" => Version::HTTP_10,
                "1.1" => Version::HTTP_11,
                "2" => Version::HTTP_2,
                "3" => Version::HTTP_3,
                other => panic!("version {other}"),
            };
            let hosts: Vec<_> = hosts.split('&').filter(|host| *host != "-").collect();
            let got = verdict(&rules, &parts(version, method, target, &hosts));
            if got != want {
                wrong.push(format!("{line}\n  got {got}"));
            }
            rows += 1;
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        assert!(rows > 150, "the table is there");
    }

    #[test]
    fn methods_fall_through_to_the_shorter_prefix() {
        let resources = [
            resource("all", &["a.com"], &["/x"], &[]),
            resource("write", &["a.com"], &["/x"], &["POST", "PUT"]),
            resource("purge", &["a.com"], &["/x/y"], &["PURGE"]),
        ];
        let opened = [open(&["a.com"], &["/free"], &["GET"])];
        let rules = RuleSet::compile(&resources, &opened).expect("good rules");
        for (method, path, want) in [
            ("GET", "/x/y", "all"),
            ("POST", "/x/y", "write"),
            ("post", "/x/y", "no-write"),
            ("PURGE", "/x/y", "purge"),
            ("purge", "/x/y", "no-purge"),
            ("PURGE", "/x", "all"),
            ("GET", "/free", "open"),
            ("HEAD", "/free", "open"),
            ("get", "/free", "nothing"),
            ("POST", "/free", "nothing"),
            ("GET", "/Free", "nothing"),
            ("GET", "/free;x", "nothing"),
            ("GET", "/free/x;y", "open"),
        ] {
            let parts = parts(Version::HTTP_11, method, path, &["a.com"]);
            assert_eq!(verdict(&rules, &parts), want, "{method} {path}");
        }
    }

    #[test]
    fn a_prefix_may_have_any_number_of_segments() {
        let deep = |depth: usize| "/a".repeat(depth);
        for depth in [1, 2, 61, 62, 63, 64, 65, 100] {
            let resources = [
                resource("shallow", &["a.com"], &["/a"], &["POST"]),
                resource("deep", &["a.com"], &[&deep(depth)], &[]),
            ];
            let rules = RuleSet::compile(&resources, &[open(&["a.com"], &["/"], &[])]).expect("good rules");
            for (path, want) in [
                (deep(depth - 1) + "/", "open"),
                (deep(depth), "deep"),
                (deep(depth) + "/", "deep"),
                (deep(depth) + "a", "open"),
                (deep(depth + 1), "deep"),
                (deep(depth + 70), "deep"),
            ] {
                assert_eq!(verdict(&rules, &get("a.com", &path)), want, "{depth} {path}");
            }
            let longer = parts(Version::HTTP_11, "POST", &deep(depth + 1), &["a.com"]);
            let governing = if depth == 1 { "shallow" } else { "deep" };
            assert_eq!(verdict(&rules, &longer), governing, "{depth}");
        }
    }

    #[test]
    fn one_host_does_not_hide_a_wildcard() {
        let resources = [
            resource("near", &["a.b.com"], &["/x"], &[]),
            resource("wide", &["*.com"], &["/x", "/wide"], &[]),
            resource("mid", &["*.b.com"], &["/mid", "/x/deep"], &[]),
        ];
        let rules = RuleSet::compile(&resources, &[open(&["a.b.com"], &["/"], &[])]).expect("good rules");
        for (host, path, want) in [
            ("a.b.com", "/x", "near"),
            ("a.b.com", "/x/deep", "mid"),
            ("a.b.com", "/wide", "wide"),
            ("a.b.com", "/mid", "mid"),
            ("a.b.com", "/free", "open"),
            ("z.b.com", "/x", "wide"),
            ("z.b.com", "/mid", "mid"),
            ("b.com", "/mid", "nothing"),
            ("b.com", "/x", "wide"),
            ("com", "/x", "unknown-host"),
            ("a.b.com.net", "/x", "unknown-host"),
        ] {
            assert_eq!(verdict(&rules, &get(host, path)), want, "{host} {path}");
        }
    }

    #[test]
    fn a_grant_admits_resource_and_scope_alone() {
        let def = resource("r", &["a.com", "*.b.com"], &["/x"], &["GET", "PUT"]);
        let scope = |methods: &[&str], paths: &[&str]| Scope {
            methods: texts(methods),
            paths: texts(paths),
        };
        for (host, path, method, scope, want) in [
            ("a.com", "/x/y", "GET", scope(&[], &[]), true),
            ("a.com", "/x/y", "HEAD", scope(&[], &[]), true),
            ("a.com", "/x/y", "get", scope(&[], &[]), false),
            ("a.com", "/x/y", "POST", scope(&[], &[]), false),
            ("a.com", "/x/y", "POST", scope(&["POST"], &[]), false),
            ("a.com", "/x/y", "PUT", scope(&["GET"], &[]), false),
            ("a.com", "/x/y", "GET", scope(&[], &["/x/y"]), true),
            ("a.com", "/x/yy", "GET", scope(&[], &["/x/y"]), false),
            ("a.com", "/x", "GET", scope(&[], &["/x/y"]), false),
            ("a.com", "/z", "GET", scope(&[], &["/z"]), false),
            ("a.com", "/X/y", "GET", scope(&[], &[]), false),
            ("a.com", "/x;p/y", "GET", scope(&[], &[]), false),
            ("c.b.com", "/x", "GET", scope(&[], &[]), true),
            ("b.com", "/x", "GET", scope(&[], &[]), false),
        ] {
            let parts = parts(Version::HTTP_11, method, path, &[host]);
            let target = Target::read(&parts).expect("good");
            assert_eq!(
                admits(&def, &scope, &target, &parts.method),
                want,
                "{host} {path} {method} {scope:?}"
            );
        }
    }

    #[test]
    fn what_is_not_canonical_is_not_compiled() {
        let one = |hosts: &[&str], paths: &[&str], methods: &[&str]| {
            let compiled = RuleSet::compile(&[resource("r", hosts, paths, methods)], &[]);
            compiled.map(|_| ()).map_err(|bad| bad.to_string())
        };
        for (hosts, paths, methods, says) in [
            (&["A.com"], &["/x"], &[][..], "write \"a.com\""),
            (&["a.com:80"], &["/x"], &[], "without a port"),
            (&["*"], &["/x"], &[], "not a valid name"),
            (&["a.com"], &["/x/"], &[], "write \"/x\""),
            (&["a.com"], &["x"], &[], "starts with '/'"),
            (&["a.com"], &["/%78"], &[], "only text may stand"),
            (&["a.com"], &["/..."], &[], "name another path"),
            (&["a.com"], &["/x"], &["get"], "upper case"),
            (&["a.com"], &["/x"], &["G T"], "upper case"),
            (&["a.com"], &["/x"], &[""], "upper case"),
        ] {
            let got = one(hosts, paths, methods).expect_err("not canonical");
            assert!(got.contains(says) && got.contains("resource r"), "{got}");
        }
        assert!(one(&[], &["/x"], &[]).is_err());
        assert!(one(&["a.com"], &[], &[]).is_err());
        let bad_open = RuleSet::compile(&[], &[open(&["a.com"], &["x"], &[])]);
        assert!(matches!(bad_open, Err(BadRules::Path { .. })));
    }

    #[test]
    fn two_resources_never_claim_the_same_request() {
        let clash = |one: (&str, &[&str]), other: (&str, &[&str])| {
            let resources = [
                resource("one", &["a.com"], &[one.0], one.1),
                resource("other", &["a.com"], &[other.0], other.1),
            ];
            matches!(RuleSet::compile(&resources, &[]), Err(BadRules::Overlap { .. }))
        };
        for (one, other, want) in [
            (("/x", &[][..]), ("/x", &[][..]), true),
            (("/x", &[]), ("/X", &[]), true),
            (("/caf\u{e9}", &[]), ("/cafe\u{301}", &[]), true),
            (("/x", &["GET"]), ("/x", &["GET", "POST"]), true),
            (("/x", &["GET"]), ("/x", &["HEAD"]), true),
            (("/x", &["GET"]), ("/x", &["POST"]), false),
            (("/x", &["GET"]), ("/x", &[]), false),
            (("/x", &[]), ("/x/y", &[]), false),
        ] {
            assert_eq!(clash(one, other), want, "{one:?} {other:?}");
        }
    }

    #[test]
    fn spellings_that_fold_alike_live_in_one_resource() {
        let rules =
            RuleSet::compile(&[resource("r", &["a.com"], &["/x", "/X"], &[])], &[]).expect("good rules");
        for (path, want) in [("/x", "r"), ("/X", "r"), ("/X/y", "r"), ("/x.", "no-r")] {
            assert_eq!(verdict(&rules, &get("a.com", path)), want, "{path}");
        }
        let rules = RuleSet::compile(&[resource("r", &["a.com"], &["/X"], &[])], &[]).expect("good rules");
        for (path, want) in [("/x", "no-r"), ("/x/", "no-r"), ("/X", "r"), ("/X/", "r")] {
            assert_eq!(verdict(&rules, &get("a.com", path)), want, "{path}");
        }
    }

    #[test]
    fn resources_keep_their_numbers() {
        let defs = [
            resource("b", &["a.com"], &["/b"], &[]),
            resource("a", &["a.com"], &["/a"], &[]),
        ];
        let rules = RuleSet::compile(&defs, &[]).expect("good rules");
        for (id, def) in (0..).zip(&defs) {
            let found = rules.resource(&def.name).expect("there");
            assert_eq!((found.id(), found.def()), (id, def));
        }
        assert_eq!(rules.resources().len(), 2);
    }

    fn small_path() -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(&["a", "b", "A", "c"][..]), 0..4)
            .prop_map(|segments| format!("/{}", segments.join("/")))
    }

    fn small_resource() -> impl Strategy<Value = ResourceDef> {
        let host = proptest::sample::select(&["h.x.com", "*.x.com", "*.com"][..]);
        let methods = proptest::sample::select(vec![vec![], vec!["GET"], vec!["POST"]]);
        (host, small_path(), methods, 0..1_000_000u32)
            .prop_map(|(host, path, methods, n)| resource(&format!("r{n}"), &[host], &[&path], &methods))
    }

    /// `path` in another spelling that some upstream takes for the same.
    fn decorated(path: &str, choices: &[u8]) -> String {
        let mut choices = choices.iter().copied().cycle();
        let mut choose = || choices.next().unwrap_or(0);
        let mut out = String::new();
        for segment in path.split('/').skip(1) {
            out.push('/');
            for c in segment.chars() {
                match choose() % 5 {
                    0 => out.push(c.to_ascii_uppercase()),
                    1 => out.extend(c.to_string().bytes().map(|b| format!("%{b:02x}"))),
                    2 => out.extend(["%E2%80%8B", &c.to_string()]),
                    3 if c.is_ascii_lowercase() => {
                        let wide = char::from_u32(u32::from(c) - 0x61 + 0xff41).expect("fullwidth");
                        out.extend(wide.to_string().bytes().map(|b| format!("%{b:02X}")));
                    }
                    _ => out.push(c),
                }
            }
            out.push_str(
                ["", ".", "%20", ";x=1", ".%20;", "%E2%80%A6", "%C2%A0", "/", "/."]
                    [usize::from(choose() % 9)],
            );
        }
        out
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn one_more_resource_never_opens(
            resources in proptest::collection::vec(small_resource(), 0..5),
            more in small_resource(),
            opened in proptest::collection::vec(small_path(), 0..3),
            path in small_path(),
            method in proptest::sample::select(&["GET", "HEAD", "POST", "get"][..]),
            host in proptest::sample::select(&["h.x.com", "i.x.com", "y.com"][..]),
        ) {
            let paths: Vec<_> = opened.iter().map(String::as_str).collect();
            let opened = [open(&["h.x.com"], &paths, &[])];
            let mut grown = resources.clone();
            grown.push(more);
            if let (Ok(before), Ok(after)) = (RuleSet::compile(&resources, &opened), RuleSet::compile(&grown, &opened)) {
                let parts = parts(Version::HTTP_11, method, &path, &[host]);
                let target = Target::read(&parts).expect("good");
                let protected = |rules: &RuleSet| matches!(rules.govern(&target, &parts.method), Governed::Protected { .. });
                prop_assert!(!protected(&before) || protected(&after));
                if after.govern(&target, &parts.method) == Governed::Open {
                    prop_assert_eq!(before.govern(&target, &parts.method), Governed::Open);
                }
            }
        }

        #[test]
        fn the_index_agrees_with_a_plain_search(
            resources in proptest::collection::vec(small_resource(), 0..6),
            path in small_path(),
            method in proptest::sample::select(&["GET", "HEAD", "POST", "get"][..]),
        ) {
            if let Ok(rules) = RuleSet::compile(&resources, &[]) {
                let parts = parts(Version::HTTP_11, method, &path, &["h.x.com"]);
                let target = Target::read(&parts).expect("good");
                let lower = path.to_ascii_lowercase();
                let longest = resources
                    .iter()
                    .filter(|def| governs(&def.methods, &parts.method))
                    .flat_map(|def| &def.paths)
                    .filter(|prefix| covers(&prefix.to_ascii_lowercase(), &lower))
                    .map(String::len)
                    .max();
                match rules.govern(&target, &parts.method) {
                    Governed::Protected { resource, exact } => {
                        let of = |wanted: &str| resource.def.paths.iter().any(|p| covers(&p.to_ascii_lowercase(), wanted));
                        prop_assert!(of(&lower));
                        prop_assert_eq!(resource.def.paths.iter().map(String::len).max(), longest);
                        let admitted = admits(&resource.def, &Scope::default(), &target, &parts.method);
                        prop_assert_eq!(exact, admitted);
                    }
                    _ => prop_assert_eq!(longest, None),
                }
            }
        }

        #[test]
        fn what_is_admitted_lies_under_its_prefix(prefix in small_path(), path in small_path(), tail in "[.;a-cA%20]{0,3}") {
            let def = resource("r", &["a.com"], &[&prefix], &[]);
            let parts = get("a.com", &format!("{path}{tail}").replace('%', "%20"));
            if let Ok(target) = Target::read(&parts) {
                let path = target.path().as_str();
                if admits(&def, &Scope::default(), &target, &Method::GET) {
                    let under = prefix == "/" || path == prefix || path.starts_with(&format!("{prefix}/"));
                    prop_assert!(under, "{} {}", prefix, path);
                }
            }
        }

        #[test]
        fn no_spelling_loses_protection(
            segments in proptest::collection::vec("[a-z]{1,5}", 1..4),
            below in proptest::collection::vec("[a-z0-9]{1,3}", 0..3),
            choices in proptest::collection::vec(any::<u8>(), 1..24),
        ) {
            let prefix = format!("/{}", segments.join("/"));
            let resources = [resource("r", &["a.com"], &[&prefix], &[])];
            let rules = RuleSet::compile(&resources, &[open(&["a.com"], &["/"], &[])]).expect("good rules");
            let whole = std::iter::once(prefix.as_str()).chain(below.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
            let parts = get("a.com", &decorated(&whole, &choices));
            match Target::read(&parts) {
                Ok(target) => {
                    let governed = rules.govern(&target, &parts.method);
                    prop_assert!(matches!(governed, Governed::Protected { .. }), "{} {:?}", parts.uri, governed);
                }
                Err(bad) => prop_assert!(matches!(bad, BadTarget::DotSegment | BadTarget::EmptySegment), "{bad}"),
            }
        }
    }
}
