//! What is wrong with a file, where, and what would be right.

use std::fmt;
use std::fs;
use std::path::Path;

use jit_core::policy::text::clean;

use crate::serve::log::inert;

/// The mend for what is no key or no value.
pub(super) const SEE_EXAMPLE: &str = "`jit serve --example` shows every key with its type";
/// Largest file that is read, in bytes: 1 MiB.
const SIZE_MAX: u64 = 1024 * 1024;

/// Everything that is wrong; prints as one line for each: `file:line: problem; mend`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::serve) struct Problems(Vec<String>);

impl Problems {
    pub(in crate::serve) fn one(file: &str, line: Option<usize>, problem: &str, mend: &str) -> Self {
        let mut problems = Self::default();
        problems.push(file, line, problem, mend);
        problems
    }

    pub(super) fn push(&mut self, file: &str, line: Option<usize>, problem: &str, mend: &str) {
        let place = line.map(|line| format!(":{line}")).unwrap_or_default();
        self.0.push(format!("{file}{place}: {}; {mend}", clean(problem)));
    }

    /// Adds what others have found, one line for each.
    pub(in crate::serve) fn add(&mut self, found: &impl fmt::Display) {
        self.0.extend(found.to_string().lines().map(inert));
    }

    pub(in crate::serve) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(in crate::serve) fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for Problems {}

/// The line, counted from 1, that holds the byte at `offset`.
pub(super) fn line(source: &str, offset: usize) -> usize {
    1 + source.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

/// The text of a file that nobody but its owner and group may change. `forbidden` are further permission bits that it must not have.
pub(in crate::serve) fn text(path: &Path, forbidden: u32, mend: &str) -> Result<String, Problems> {
    let name = path.display().to_string();
    let wrong = |problem: &str, mend: &str| Problems::one(&name, None, problem, mend);
    let found = fs::metadata(path).map_err(|error| wrong(&error.to_string(), mend))?;
    if !found.is_file() {
        return Err(wrong("it is no file", mend));
    }
    if found.len() > SIZE_MAX {
        return Err(wrong("it is larger than 1 MiB", "name the right file"));
    }
    guard(path, 0o002 | forbidden)?;
    fs::read_to_string(path).map_err(|error| wrong(&error.to_string(), mend))
}

/// Refuses a file that has one of these permission bits. One that is not there has none.
#[cfg(unix)]
pub(in crate::serve) fn guard(path: &Path, forbidden: u32) -> Result<(), Problems> {
    use std::os::unix::fs::PermissionsExt;

    let mode = fs::metadata(path).map_or(0, |found| found.permissions().mode() & 0o7777);
    if mode & forbidden == 0 {
        return Ok(());
    }
    let problem = format!("its mode {mode:04o} gives others more than they may have");
    let right = mode & !forbidden;
    let mend = format!(
        "check who has used that, then: chmod {right:o} {}",
        path.display()
    );
    Err(Problems::one(&path.display().to_string(), None, &problem, &mend))
}

/// Permissions are not read here.
#[cfg(not(unix))]
pub(in crate::serve) fn guard(_path: &Path, _forbidden: u32) -> Result<(), Problems> {
    Ok(())
}
