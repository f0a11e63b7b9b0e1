//! The files that the tools read, each up to a limit, with everything that is wrong with them.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use jit_core::broker::people::PeopleFile;
use jit_core::clock::{Clock as _, SystemClock};
use jit_core::gate::rules::RuleSet;
use jit_core::id::Timestamp;
use jit_core::policy::{Format, Policy, SOURCE_MAX};

use super::super::exit::Failure;
use super::super::inert::{inert, lines};

/// A policy, and the rules that a gate makes of it.
#[derive(Debug)]
pub(super) struct Ruled {
    pub(super) policy: Policy,
    pub(super) rules: RuleSet,
}

/// As text that can be shown.
pub(super) fn name(path: &Path) -> String {
    inert(&path.display().to_string())
}

/// A whole text file.
pub(super) fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(SOURCE_MAX as u64 + 1).read_to_string(&mut text));
    match read {
        Ok(length) if length <= SOURCE_MAX => Ok(text),
        Ok(_) => Err(Failure::failed(format!(
            "{}: longer than {SOURCE_MAX} bytes; name the right file",
            name(path)
        ))),
        Err(error) => Err(Failure::failed(format!("{}: {error}", name(path)))),
    }
}

fn format(path: &Path) -> Result<Format, Failure> {
    Format::of_path(path).ok_or_else(|| {
        let name = name(path);
        Failure::failed(format!(
            "{name}: the name does not tell the format; end it in .toml, .yaml or .json"
        ))
    })
}

pub(super) fn policy(path: &Path) -> Result<Ruled, Failure> {
    let (source, name) = (text(path)?, name(path));
    let policy = Policy::parse(&source, format(path)?, &name)
        .map_err(|report| Failure::report(lines(&report.to_string())))?;
    let rules = RuleSet::compile(policy.resources(), policy.open());
    let rules = rules.map_err(|error| Failure::failed(format!("{name}: {error}")))?;
    Ok(Ruled { policy, rules })
}

pub(super) fn people(path: &Path) -> Result<PeopleFile, Failure> {
    // Its own name, not the shown one: the files that it names are looked for beside it.
    let parsed = PeopleFile::parse(&text(path)?, format(path)?, &path.to_string_lossy());
    parsed.map_err(|errors| Failure::failed(lines(&errors.to_string())))
}

pub(super) fn now() -> Timestamp {
    SystemClock::new().now()
}
