//! The rows of a corpus file.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;

use crate::house::Grants;

/// The group whose rows ask an authorization endpoint about a request, instead of being one.
pub const FORWARD_AUTH: &str = "fwdauth";

/// One raw request, or several on one connection, and what the last of them must come to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Row {
    /// Unlike all others of the file.
    pub id: String,
    /// What it is about. `fwdauth` and `baseline` mean something, see the README.
    pub group: String,
    /// What is sent: each character is one byte (Latin-1), but for the placeholders.
    pub raw: String,
    /// The grant that there is.
    pub grant: Grants,
    /// What must come of it.
    pub expect: Expect,
    /// Why.
    pub why: String,
    /// Where the case is from.
    pub source: String,
}

/// What must come of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "the corpus has these and no others")]
pub enum Expect {
    /// The protected handler answers.
    Allow,
    /// The open handler answers.
    AllowPublic,
    /// No handler: 401, 403, 404, 405, 421, or a redirect to where access is asked for.
    Deny,
    /// No handler: 400 and the like, or the connection ends, or what answers is not HTTP/1.
    Reject400,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allow => "allow",
            Self::AllowPublic => "allow_public",
            Self::Deny => "deny",
            Self::Reject400 => "reject400",
        })
    }
}

/// Why a file is no corpus.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
#[non_exhaustive]
pub struct RowError {
    /// The name of the file, as given.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// Reads a corpus: one JSON object a line; empty lines are skipped. `file` is what errors call it.
///
/// # Errors
/// A [`RowError`] for the first line with an unknown field or value, a missing one, a character that is no byte, an unknown
/// placeholder, or an id that was there before.
pub fn parse(file: &str, text: &str) -> Result<Vec<Row>, RowError> {
    let mut rows = Vec::new();
    let mut ids: HashMap<String, usize> = HashMap::new();
    for (line, text) in (1..).zip(text.lines()) {
        if text.trim().is_empty() {
            continue;
        }
        let fail = |problem| RowError {
            file: file.to_owned(),
            line,
            problem,
        };
        let row: Row = serde_json::from_str(text).map_err(|error| fail(told(&error)))?;
        if let Some(problem) = problem(&row) {
            return Err(fail(problem));
        }
        if let Some(before) = ids.insert(row.id.clone(), line) {
            return Err(fail(format!(
                "the id {:?} stands in line {before} already",
                row.id
            )));
        }
        rows.push(row);
    }
    Ok(rows)
}

/// The message without serde_json's own line, which is always 1.
fn told(error: &serde_json::Error) -> String {
    let message = error.to_string();
    match message.rsplit_once(" at line 1 column ") {
        Some((message, column)) => format!("{message}, at column {column}"),
        None => message,
    }
}

fn problem(row: &Row) -> Option<String> {
    if row.id.is_empty() || row.group.is_empty() {
        return Some("`id` and `group` must not be empty".to_owned());
    }
    if let Some(c) = row.raw.chars().find(|c| u32::from(*c) > 0xff) {
        return Some(format!(
            "`raw` holds {c:?}, which is more than one byte; write its UTF-8 bytes as \\u00XX"
        ));
    }
    let forward_auth = row.group == FORWARD_AUTH;
    let bare = row.raw.replace("{{TOKEN}}", "");
    let bare = if forward_auth {
        bare.replace("{{FWD}}", "")
    } else {
        bare
    };
    bare.contains("{{").then(|| {
        "`raw` holds a placeholder that is none of {{TOKEN}} and, in the group fwdauth, {{FWD}}".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"id":"a-1","group":"a","raw":"GET / HTTP/1.1\r\nX: {{TOKEN}}\u00ff\r\n\r\n","grant":"none","expect":"reject400","why":"w","source":"s"}"#;

    #[test]
    fn a_row_is_read() {
        let rows = parse("f", &format!("{GOOD}\n\n")).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].grant, rows[0].expect), (Grants::None, Expect::Reject400));
        assert!(rows[0].raw.ends_with("\u{ff}\r\n\r\n"));
    }

    #[test]
    fn what_is_not_known_is_an_error_with_its_line() {
        for (from, to, problem) in [
            (
                "\"none\"",
                "\"all\"",
                "unknown variant `all`, expected one of `none`, `admin`",
            ),
            ("reject400", "reject", "unknown variant `reject`"),
            ("\"why\":", "\"wyh\":", "unknown field `wyh`"),
            (",\"source\":\"s\"", "", "missing field `source`"),
            ("a-1", "", "must not be empty"),
            ("\\u00ff", "\\u0100", "more than one byte"),
            ("{{TOKEN}}", "{{FWD}}", "a placeholder that is none of"),
            ("a-1", "b", "the id \"b\" stands in line 1 already"),
            ("{\"id\"", "\"id\"", "at column"),
        ] {
            let text = format!("{}\n\n{}", GOOD.replace("a-1", "b"), GOOD.replace(from, to));
            let error = parse("f.jsonl", &text).unwrap_err().to_string();
            assert!(
                error.starts_with("f.jsonl:3: ") && error.contains(problem),
                "{to}: {error}"
            );
        }
        let forward = GOOD
            .replace("{{TOKEN}}", "{{FWD}}")
            .replace("\"group\":\"a\"", "\"group\":\"fwdauth\"");
        parse("f", &forward).unwrap();
    }
}
