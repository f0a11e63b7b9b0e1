//! What `jit.toml` names and SIGHUP reads again: policy, people, certificates and authorities. Read whole and checked before any of it counts.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use jit_core::broker::people::PeopleFile;
use jit_core::clock::Clock;
use jit_core::gate::rules::RuleSet;
use jit_core::id::{Digest, Principal};
use jit_core::policy::{Format, Policy};
use tokio_rustls::rustls::ServerConfig;

use super::config::{Files, Problems, text};
use super::tls;
use super::upstreams::trust;
use crate::proxy::Trust;
use crate::seats::{self, Factors};

/// Everything that was read.
#[derive(Debug)]
pub(super) struct Papers {
    pub(super) policy: Policy,
    /// As it is shown.
    policy_name: String,
    pub(super) rules: RuleSet,
    pub(super) people: PeopleFile,
    pub(super) gate_tls: Option<Arc<ServerConfig>>,
    pub(super) console_tls: Option<Arc<ServerConfig>>,
    /// Whom to believe on the way to upstreams, by their names.
    pub(super) trusts: HashMap<String, Trust>,
    /// Who names those whom client certificates prove.
    mtls_issuer: Option<String>,
}

impl Papers {
    /// Reads all of it; the errors of every file at once. Certificates of clients will be judged by `clock`.
    pub(super) fn read(files: &Files, clock: &Arc<dyn Clock>) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let mut tls = |files: &Option<_>| {
            let read = files.as_ref().map(|files| tls::read(files, clock)).transpose();
            read.map_err(|wrong| problems.add(&wrong)).ok().flatten()
        };
        let (gate_tls, console_tls) = (tls(&files.gate_tls), tls(&files.console_tls));
        let mut trusts = HashMap::new();
        for upstream in &files.upstreams_tls {
            match trust::read(upstream) {
                Ok(trust) => drop(trusts.insert(upstream.name.clone(), trust)),
                Err(wrong) => problems.add(&wrong),
            }
        }
        let policy = policy(&files.policy).map_err(|wrong| problems.add(&wrong)).ok();
        let people = people(&files.people).map_err(|wrong| problems.add(&wrong)).ok();
        match (policy, people) {
            (Some((policy, rules)), Some(people)) if problems.is_empty() => Ok(Self {
                policy,
                policy_name: name(&files.policy.0),
                rules,
                people,
                gate_tls,
                console_tls,
                trusts,
                mtls_issuer: files.mtls_issuer.clone(),
            }),
            _ => Err(problems),
        }
    }
}

impl Papers {
    /// What is right, and still not what anybody would want.
    pub(super) fn warnings(&self, clock: &dyn Clock) -> Vec<String> {
        let lints = self.policy.warnings().iter().map(ToString::to_string);
        let mut warnings: Vec<String> = lints.collect();
        let file = &self.policy_name;
        let factors = Factors {
            certificates: self.mtls_issuer.as_deref(),
            passkeys: false,
        };
        let unfulfilled = seats::unfulfilled(&self.policy, &self.people, &factors, clock.now());
        warnings.extend(
            unfulfilled
                .iter()
                .map(|problem| format!("{file}: warning: {problem}")),
        );
        warnings
    }
}

/// The tokens of people, as the gate knows them.
pub(super) fn tokens(people: &PeopleFile) -> impl Iterator<Item = (Digest, Principal)> {
    let tokens = people.tokens().into_iter();
    tokens.map(|token| (token.sha256, token.principal))
}

fn policy((path, format): &(std::path::PathBuf, Format)) -> Result<(Policy, RuleSet), Problems> {
    let source = text(path, 0, "write the policy file, and name it as `policy`")?;
    let name = path.display().to_string();
    let policy = Policy::parse(&source, *format, &name).map_err(|report| all(&report))?;
    let rules = RuleSet::compile(policy.resources(), policy.open())
        .map_err(|error| Problems::one(&name, None, &error.to_string(), "mend the resources"))?;
    Ok((policy, rules))
}

fn people((path, format): &(std::path::PathBuf, Format)) -> Result<PeopleFile, Problems> {
    let source = text(
        path,
        0o007,
        "write it, as [[people]] with id, name, roles and token_sha256 (see `jit token`), and name it as `people`",
    )?;
    let people = PeopleFile::parse(&source, *format, &name(path)).map_err(|errors| all(&errors))?;
    let mut problems = Problems::default();
    for token in people.tokens() {
        if token.is_demo {
            let wrong = format!("{} has a demo's token, which everybody knows", token.person);
            let mend = "make a token of 256 random bits, and write its `token_sha256`";
            problems.add(&Problems::one(&name(path), None, &wrong, mend));
        }
    }
    if problems.is_empty() {
        Ok(people)
    } else {
        Err(problems)
    }
}

fn name(path: &Path) -> String {
    path.display().to_string()
}

fn all(found: &impl std::fmt::Display) -> Problems {
    let mut problems = Problems::default();
    problems.add(found);
    problems
}
