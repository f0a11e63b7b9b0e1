//! Building the index: everything that is not canonical, and every ambiguity, is found here and not at the first request.

use std::collections::BTreeSet;
use std::sync::Arc;

use http::Method;

use super::super::target::{BadTarget, canonical_host_pattern, canonical_prefix, fold_keys};
use super::{Guard, Map, Open, Place, Resource, RuleSet, Tree, is_or_reads_as, parents};
use crate::id::ResourceName;
use crate::policy::terms::{OpenDef, ResourceDef};

/// Why rules can't be indexed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRules {
    /// A host that is not in its one spelling.
    #[error("{owner}: host {host:?}: {problem}")]
    Host {
        /// The resource, or `[[open]]`.
        owner: String,
        /// The host as given.
        host: String,
        /// What to do about it.
        problem: String,
    },
    /// A path prefix that is not in its one spelling.
    #[error("{owner}: path {path:?}: {problem}")]
    Path {
        /// The resource, or `[[open]]`.
        owner: String,
        /// The path as given.
        path: String,
        /// What to do about it.
        problem: String,
    },
    /// A method that no request could have in upper case.
    #[error("{owner}: method {method:?} must be an HTTP method in upper case")]
    Method {
        /// The resource, or `[[open]]`.
        owner: String,
        /// The method as given.
        method: String,
    },
    /// A resource that protects nothing.
    #[error("resource {0} needs at least one host and one path")]
    Empty(ResourceName),
    /// Two resources would govern the same requests.
    #[error(
        "resources {first} and {second} both cover {host}{path} for the same method, or differ only in what folding removes (case, \
         dots or spaces at the end); make them one resource, or give one a longer path or other methods"
    )]
    Overlap {
        /// The one named first.
        first: ResourceName,
        /// The one named after it.
        second: ResourceName,
        /// The host of the second.
        host: String,
        /// The path prefix of the second.
        path: String,
    },
    /// More resources than a number can name.
    #[error("a policy can't hold more than {} resources", u32::MAX)]
    TooMany,
}

impl RuleSet {
    /// Indexes resources and open entries. They are numbered in the order given.
    ///
    /// # Errors
    /// [`BadRules`] when a host, path or method is not canonical, or two resources cover the same prefix for the same method.
    pub fn compile(resources: &[ResourceDef], open: &[OpenDef]) -> Result<Self, BadRules> {
        let mut set = Self::default();
        let mut roots: Map<u32> = Map::default();
        for def in resources {
            set.add_resource(&mut roots, def)?;
        }
        for def in open {
            set.add_open(&mut roots, def)?;
        }
        set.trees.iter_mut().for_each(Tree::close);
        for (host, own) in &roots {
            let (name, table) = match host.strip_prefix("*.") {
                Some(parent) => (parent, &mut set.parents),
                None => (&**host, &mut set.hosts),
            };
            let above = parents(name).filter_map(|parent| roots.get(&*format!("*.{parent}")));
            table.insert(name.into(), std::iter::once(own).chain(above).copied().collect());
        }
        Ok(set)
    }

    fn add_resource(&mut self, roots: &mut Map<u32>, def: &ResourceDef) -> Result<(), BadRules> {
        if def.hosts.is_empty() || def.paths.is_empty() {
            return Err(BadRules::Empty(def.name.clone()));
        }
        let owner = format!("resource {}", def.name);
        check_canonical(&owner, &def.hosts, &def.paths, &def.methods)?;
        let id = u32::try_from(self.resources.len()).map_err(|_| BadRules::TooMany)?;
        for host in &def.hosts {
            let root = self.root(roots, host)?;
            for path in &def.paths {
                for key in keys(&owner, path)? {
                    let guard = Guard {
                        resource: id,
                        any_method: def.methods.is_empty(),
                        plain: key == *path,
                        prefix: path.as_str().into(),
                    };
                    let place = self.place(root, &key)?;
                    let there: Vec<_> = place.guards.iter().map(|guard| guard.resource).collect();
                    if guard.any_method {
                        place.guards.push(guard);
                    } else {
                        place.guards.insert(0, guard);
                    }
                    self.check_overlap(&there, host, path, def)?;
                }
            }
        }
        self.resources.push(Resource {
            id,
            def: Arc::new(def.clone()),
        });
        Ok(())
    }

    fn add_open(&mut self, roots: &mut Map<u32>, def: &OpenDef) -> Result<(), BadRules> {
        let owner = "[[open]]";
        check_canonical(owner, &def.hosts, &def.paths, &def.methods)?;
        for host in &def.hosts {
            let root = self.root(roots, host)?;
            for path in &def.paths {
                for key in keys(owner, path)? {
                    self.place(root, &key)?.open.push(Open {
                        prefix: path.as_str().into(),
                        methods: def.methods.clone(),
                    });
                }
            }
        }
        Ok(())
    }

    fn check_overlap(
        &self,
        there: &[u32],
        host: &str,
        path: &str,
        def: &ResourceDef,
    ) -> Result<(), BadRules> {
        for other in there.iter().filter_map(|id| self.resources.get(*id as usize)) {
            if overlap(&other.def.methods, &def.methods) {
                return Err(BadRules::Overlap {
                    first: other.def.name.clone(),
                    second: def.name.clone(),
                    host: host.to_owned(),
                    path: path.to_owned(),
                });
            }
        }
        Ok(())
    }

    fn root(&mut self, roots: &mut Map<u32>, host: &str) -> Result<u32, BadRules> {
        if let Some(root) = roots.get(host) {
            return Ok(*root);
        }
        let root = u32::try_from(self.trees.len()).map_err(|_| BadRules::TooMany)?;
        self.trees.push(Tree::default());
        roots.insert(host.into(), root);
        Ok(root)
    }

    /// The place of a folded prefix.
    fn place(&mut self, root: u32, key: &str) -> Result<&mut Place, BadRules> {
        let tree = self.trees.get_mut(root as usize).ok_or(BadRules::TooMany)?;
        // As every folded form is written: one slash before each segment.
        let segments = key.split('/').filter(|segment| !segment.is_empty());
        let (mut depth, mut prefix) = (0, String::with_capacity(key.len()));
        for segment in segments {
            depth += 1;
            prefix.push('/');
            prefix.push_str(segment);
        }
        tree.depths |= Tree::bit(depth);
        tree.longest = tree.longest.max(prefix.len());
        Ok(if depth == 0 {
            &mut tree.root
        } else {
            tree.below.entry(prefix.into()).or_default()
        })
    }
}

impl Tree {
    /// Notes of each place whether there is one below it. Nothing is added after this.
    fn close(&mut self) {
        let keys: Vec<Box<str>> = self.below.keys().cloned().collect();
        self.root.goes_on = !keys.is_empty();
        for key in &keys {
            for (slash, _) in key.rmatch_indices('/') {
                if let Some(above) = key.get(..slash).and_then(|above| self.below.get_mut(above)) {
                    above.goes_on = true;
                }
            }
        }
    }
}

/// Whether two resources at one prefix govern some method with the same claim. One with methods goes before one without.
fn overlap(one: &BTreeSet<String>, other: &BTreeSet<String>) -> bool {
    let mut pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    (one.is_empty() && other.is_empty()) || pairs.any(|(a, b)| is_or_reads_as(a, b) || is_or_reads_as(b, a))
}

fn keys(owner: &str, path: &str) -> Result<Vec<String>, BadRules> {
    let mut keys = fold_keys(path).map_err(|bad| BadRules::Path {
        owner: owner.to_owned(),
        path: path.to_owned(),
        problem: bad.to_string(),
    })?;
    keys.dedup();
    Ok(keys)
}

fn check_canonical(
    owner: &str,
    hosts: &BTreeSet<String>,
    paths: &BTreeSet<String>,
    methods: &BTreeSet<String>,
) -> Result<(), BadRules> {
    let problem = |given: &str, canonical: Result<String, BadTarget>| match canonical {
        Ok(canonical) if canonical == given => None,
        Ok(canonical) => Some(format!("write {canonical:?}")),
        Err(bad) => Some(bad.to_string()),
    };
    for host in hosts {
        if let Some(problem) = problem(host, canonical_host_pattern(host)) {
            return Err(BadRules::Host {
                owner: owner.to_owned(),
                host: host.clone(),
                problem,
            });
        }
    }
    for path in paths {
        if let Some(problem) = problem(path, canonical_prefix(path)) {
            return Err(BadRules::Path {
                owner: owner.to_owned(),
                path: path.clone(),
                problem,
            });
        }
    }
    for method in methods {
        let known = Method::from_bytes(method.as_bytes()).is_ok();
        if !known || method.bytes().any(|b| b.is_ascii_lowercase()) {
            return Err(BadRules::Method {
                owner: owner.to_owned(),
                method: method.clone(),
            });
        }
    }
    Ok(())
}
