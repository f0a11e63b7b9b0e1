//! The people file as it is written, in each of its formats, with the line of each entry.

use std::fmt;

use serde::Deserialize;

use crate::policy::Format;
use crate::policy::shape::{Shape, line_of, shape};
use crate::policy::text::clean;

/// One thing that is wrong with a people file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem}; {mend}")]
#[non_exhaustive]
pub struct PeopleError {
    /// The line of the entry, from 1; 0 if it has none.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub mend: String,
}

impl PeopleError {
    pub(super) fn new(line: usize, problem: String, mend: &str) -> Self {
        let mend = mend.to_owned();
        Self { line, problem, mend }
    }

    /// Goes from the entry's line to that of the key which the problem names, if the entry, as TOML, has it on a line of its own.
    pub(super) fn find_key(&mut self, source: &str) {
        let Some(key) = self.problem.split('`').nth(1) else {
            return;
        };
        let lines = source.lines().enumerate().skip(self.line);
        let mut entry = lines.take_while(|(_, text)| !text.trim_start().starts_with('['));
        let found = entry.find(|(_, text)| {
            let rest = text.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        });
        if let Some((before, _)) = found {
            self.line = before + 1;
        }
    }
}

/// Everything that is wrong with a people file; prints as one line for each: `file:line: problem; mend`.
#[derive(Clone, PartialEq, Eq)]
pub struct PeopleErrors {
    file: String,
    errors: Vec<PeopleError>,
}

impl PeopleErrors {
    pub(super) fn new(file: &str, errors: Vec<PeopleError>) -> Self {
        let file = file.to_owned();
        Self { file, errors }
    }

    /// One by one, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &PeopleError> {
        self.errors.iter()
    }
}

impl fmt::Display for PeopleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.errors.iter().enumerate() {
            let end = if n == 0 { "" } else { "\n" };
            write!(f, "{end}{}:{}: {error}", self.file, error.line)?;
        }
        Ok(())
    }
}

/// As it is displayed: what a program's `main` returns is shown so.
impl fmt::Debug for PeopleErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for PeopleErrors {}

/// An entry as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawPerson {
    pub(super) name: String,
    pub(super) id: Option<String>,
    pub(super) principals: Option<Vec<RawPrincipal>>,
    #[serde(default)]
    pub(super) roles: Vec<String>,
    pub(super) token_sha256: Option<String>,
    pub(super) token: Option<String>,
    pub(super) totp_secret: Option<String>,
    pub(super) totp_secret_file: Option<String>,
    #[serde(default)]
    pub(super) disabled: bool,
}

/// `"issuer|subject"` or a table of both.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a principal is \"issuer|subject\", or { issuer = \"…\", subject = \"…\" }"
)]
pub(super) enum RawPrincipal {
    Text(String),
    Table(RawNames),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawNames {
    pub(super) issuer: String,
    pub(super) subject: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFile<T> {
    #[serde(default = "Vec::new")]
    people: Vec<T>,
}

const MEND: &str = "an entry has name, id, principals, roles, token_sha256, totp_secret or totp_secret_file, disabled, and for demos token";

/// The entries with the line that each starts on.
pub(super) fn read(source: &str, format: Format) -> Result<Vec<(usize, RawPerson)>, PeopleError> {
    match format {
        Format::Toml => toml(source),
        Format::Yaml => yaml(source),
        Format::Json => json(source),
    }
}

fn line_at(source: &str, offset: usize) -> usize {
    1 + source.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

fn toml(source: &str) -> Result<Vec<(usize, RawPerson)>, PeopleError> {
    // The error's own `Display` quotes the line, which may hold a token; its message does not.
    let file: RawFile<toml::Spanned<RawPerson>> = toml::from_str(source).map_err(|error| {
        let line = error.span().map_or(0, |span| line_at(source, span.start));
        let Shape { problem, mend } = shape(error.message().trim_end(), line_of(source, line));
        let mend = mend.map(|mend| clean(&mend));
        PeopleError::new(line, problem.replace('\n', ", "), mend.as_deref().unwrap_or(MEND))
    })?;
    let people = file.people.into_iter();
    Ok(people
        .map(|person| (line_at(source, person.span().start), person.into_inner()))
        .collect())
}

#[cfg(feature = "yaml")]
fn yaml(source: &str) -> Result<Vec<(usize, RawPerson)>, PeopleError> {
    let line = |location: serde_saphyr::Location| usize::try_from(location.line()).unwrap_or(0);
    let file: RawFile<serde_saphyr::Spanned<RawPerson>> =
        serde_saphyr::from_str(source).map_err(|error| {
            let at = error.location().map_or(0, line);
            let message = error.without_snippet().to_string();
            PeopleError::new(at, message.trim_end().replace('\n', ", "), MEND)
        })?;
    let people = file.people.into_iter();
    Ok(people
        .map(|person| (line(person.referenced), person.value))
        .collect())
}

#[cfg(not(feature = "yaml"))]
fn yaml(_source: &str) -> Result<Vec<(usize, RawPerson)>, PeopleError> {
    Err(PeopleError::new(
        0,
        "this build does not read YAML".to_owned(),
        "write TOML or JSON, or build with the feature `yaml`",
    ))
}

fn json(source: &str) -> Result<Vec<(usize, RawPerson)>, PeopleError> {
    let wrong = |before: usize, error: &serde_json::Error| {
        let message = error.to_string();
        // The message ends in a line of its own count, which for an entry starts at the entry.
        let message = message
            .rsplit_once(" at line ")
            .map_or(&*message, |(message, _)| message);
        PeopleError::new(before + error.line(), shape(message, "").problem, MEND)
    };
    let file: RawFile<&serde_json::value::RawValue> =
        serde_json::from_str(source).map_err(|error| wrong(0, &error))?;
    let entries = file.people.into_iter().map(|entry| {
        let offset = entry.get().as_ptr().addr().saturating_sub(source.as_ptr().addr());
        let line = line_at(source, offset);
        let person = serde_json::from_str(entry.get()).map_err(|error| wrong(line - 1, &error))?;
        Ok((line, person))
    });
    entries.collect()
}
