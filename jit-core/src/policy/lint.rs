//! What is wrong with a policy file, where, and what mends it.

use std::fmt;

use crate::policy::source::At;

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a policy is refused or it is not")]
pub enum Severity {
    /// The policy is refused.
    Error,
    /// The policy is taken, and says something that its author can't have meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// One problem of a policy file.
///
/// Reads `policy.toml:12: error: stage "lead" has no approvers; mend: give it roles or persons`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Lint {
    /// How bad it is.
    pub severity: Severity,
    /// The file's name, as the caller gave it.
    pub file: String,
    /// The line, counted from 1. `None` where the format's parser does not tell.
    pub line: Option<u32>,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub mend: String,
}

impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}; mend: {}", self.severity, self.message, self.mend)
    }
}

/// Everything that is wrong with a policy file that was refused, by line: at least one error, and the warnings besides.
#[derive(Clone, PartialEq, Eq)]
pub struct Report {
    lints: Vec<Lint>,
}

impl Report {
    /// The problems, by line.
    pub fn lints(&self) -> &[Lint] {
        &self.lints
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, lint) in self.lints.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            lint.fmt(f)?;
        }
        Ok(())
    }
}

/// As it is displayed: what a program's `main` returns is shown so.
impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Report {}

/// Most problems that are listed: a file of a megabyte can hold more than anyone reads.
const LINTS_MAX: usize = 200;

/// Collects problems while a policy file is compiled.
#[derive(Debug)]
pub(super) struct Lints {
    file: String,
    found: Vec<Lint>,
    errors: usize,
    left_out: usize,
}

impl Lints {
    pub(super) fn new(file: &str) -> Self {
        Self {
            file: file.to_owned(),
            found: Vec::new(),
            errors: 0,
            left_out: 0,
        }
    }

    pub(super) fn error(&mut self, at: At<'_>, message: impl Into<String>, mend: impl Into<String>) {
        self.error_on(at.line(), message, mend);
    }

    pub(super) fn error_on(
        &mut self,
        line: Option<u32>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.errors += 1;
        self.push(Severity::Error, line, message.into(), mend.into());
    }

    pub(super) fn warn(&mut self, at: At<'_>, message: impl Into<String>, mend: impl Into<String>) {
        self.push(Severity::Warning, at.line(), message.into(), mend.into());
    }

    /// Takes the value, or notes why there is none.
    pub(super) fn take<T, E: fmt::Display>(
        &mut self,
        at: At<'_>,
        parsed: Result<T, E>,
        mend: &str,
    ) -> Option<T> {
        parsed
            .map_err(|problem| self.error(at, problem.to_string(), mend))
            .ok()
    }

    fn push(&mut self, severity: Severity, line: Option<u32>, message: String, mend: String) {
        if self.found.len() >= LINTS_MAX {
            self.left_out += 1;
            return;
        }
        self.found.push(Lint {
            severity,
            file: self.file.clone(),
            line,
            message,
            mend,
        });
    }

    /// The warnings, if they are all there is.
    pub(super) fn finish(mut self) -> Result<Vec<Lint>, Report> {
        self.found.sort_by_key(|lint| lint.line);
        if self.left_out > 0 {
            let left_out = self.left_out;
            self.found.push(Lint {
                severity: if self.errors > 0 {
                    Severity::Error
                } else {
                    Severity::Warning
                },
                file: self.file,
                line: None,
                message: format!("{left_out} more problems are not listed"),
                mend: "mend these first".to_owned(),
            });
        }
        if self.errors > 0 {
            Err(Report { lints: self.found })
        } else {
            Ok(self.found)
        }
    }
}
