//! What a parser says of a value of the wrong kind, in the words of whoever wrote the file.
//!
//! serde names Rust's types ("expected u16", "expected struct Listen"), and can't say what to write instead. Most of what is wrong in
//! files written by hand is one of the few things here.

/// A complaint in words, and what to write instead if that can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "a complaint and its mend")]
pub struct Shape {
    /// What is wrong.
    pub problem: String,
    /// What to write instead.
    pub mend: Option<String>,
}

/// Longest line that a mend repeats a part of, in bytes.
const LINE_MAX: usize = 120;

/// The text of a line of `source`, counted from 1; empty if there is none.
pub fn line_of(source: &str, number: usize) -> &str {
    number
        .checked_sub(1)
        .and_then(|skip| source.lines().nth(skip))
        .unwrap_or_default()
}

/// Reads a parser's `message` about what stands in `line`, the line's text; empty if it is not known.
pub fn shape(message: &str, line: &str) -> Shape {
    let line = Some(line.trim())
        .filter(|line| line.len() <= LINE_MAX)
        .unwrap_or_default();
    let told = |problem: String, mend: String| Shape {
        problem,
        mend: Some(mend),
    };
    // A table inside another one can stand for many things; what stands at the top is plain.
    if let Some((name, is_list)) = header(line).filter(|(name, _)| !name.contains('.')) {
        if is_list && message.starts_with("invalid type: map, expected ") {
            return told(
                format!("[[{name}]] is a list of tables, and there is only one"),
                format!("write [{name}], in one pair of brackets"),
            );
        }
        if !is_list && message == "invalid type: map, expected a sequence" {
            return told(
                format!("[{name}] is one table, and there may be several"),
                format!("write [[{name}]], in two pairs of brackets"),
            );
        }
    }
    let (found, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    // What stands in a table inside the line has a key of its own, which is not the first one.
    let (key, value) = line
        .split_once('=')
        .filter(|(_, value)| !value.contains('='))
        .unwrap_or_default();
    let (key, value) = (key.trim(), value.trim());
    match expected {
        "a sequence" => Shape {
            problem: format!("{found}, expected a list"),
            mend: is_text(value).then(|| {
                if TABLES.contains(&key) {
                    format!("write {key} = [ {{ … }} ], with its keys and values in the braces")
                } else {
                    format!("write {key} = [{value}]")
                }
            }),
        },
        _ if message.starts_with("invalid type: map, expected ")
            && let Some((name, true)) = header(line) =>
        {
            Shape {
                problem: format!("[[{name}]] is a list of tables"),
                mend: Some(format!("write [{name}] if there is only one")),
            }
        }
        "a string" | "path string" => {
            let unit = if found.contains("integer") {
                "; if it is a length of time, with its unit, such as \"30m\""
            } else {
                ""
            };
            told(
                format!("{found}, expected a text"),
                format!("write it in quotes{unit}"),
            )
        }
        "a boolean" => told(
            message.to_owned(),
            "write true or false, without quotes".to_owned(),
        ),
        "u16" => number(found, "from 0 to 65535"),
        "u32" => number(found, "from 0 to 4294967295"),
        "u64" | "usize" => number(found, "not below 0"),
        "literal string" => told(found.to_owned(), "write it in quotes".to_owned()),
        "socket address" => told(format!("{found}, expected an address"), ADDRESS.to_owned()),
        _ if message.starts_with("invalid socket address") => {
            told("it is no address with a port".to_owned(), ADDRESS.to_owned())
        }
        _ if expected.starts_with("a table, such as ") => {
            let example = expected.trim_start_matches("a table, such as ");
            let problem = format!("{found}, expected a table");
            match header(line) {
                Some((name, true)) => told(problem, format!("write [{name}], in one pair of brackets")),
                _ if line.is_empty() => Shape { problem, mend: None },
                _ if key.is_empty() => told(problem, format!("write it like {example}")),
                _ if value == "false" => told(problem, format!("leave {key} out")),
                _ => told(problem, format!("write it like {key} = {example}")),
            }
        }
        _ if expected.starts_with("struct ") => Shape {
            problem: format!("{found}, expected a table"),
            mend: (!key.is_empty() && !value.starts_with('['))
                .then(|| format!("write {key} = {{ … }}, with its keys and values in the braces")),
        },
        _ => Shape {
            problem: message.to_owned(),
            mend: None,
        },
    }
}

fn number(found: &str, which: &str) -> Shape {
    Shape {
        problem: format!("{found}, expected a whole number, {which}"),
        mend: Some("write one, in digits and without quotes".to_owned()),
    }
}

/// Keys whose values are lists of tables.
const TABLES: [&str; 9] = [
    "automatic",
    "jwt",
    "mappings",
    "open",
    "people",
    "policies",
    "resources",
    "stages",
    "upstreams",
];
const ADDRESS: &str =
    "write an IP address and a port, such as \"127.0.0.1:8080\"; names such as localhost are not looked up";

/// The name of a TOML table's header, and whether it begins another one of several.
fn header(line: &str) -> Option<(&str, bool)> {
    let inner = line.strip_prefix('[')?;
    let (inner, is_list) = inner
        .strip_prefix('[')
        .map_or((inner, false), |inner| (inner, true));
    let name = inner.split(']').next()?.trim();
    (!name.is_empty()).then_some((name, is_list))
}

/// Whether it is one text in quotes, and nothing more.
fn is_text(value: &str) -> bool {
    let inner = value.strip_prefix('"').and_then(|inner| inner.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.contains('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_is_told_with_what_to_write() {
        for (message, line, problem, mend) in [
            (
                "invalid type: map, expected a sequence",
                "[upstreams]",
                "[upstreams] is one table, and there may be several",
                "write [[upstreams]], in two pairs of brackets",
            ),
            (
                "invalid type: map, expected socket address",
                " [[listen]] # here",
                "[[listen]] is a list of tables, and there is only one",
                "write [listen], in one pair of brackets",
            ),
            (
                "invalid type: string \"/admin\", expected a sequence",
                "paths = \"/admin\"",
                "invalid type: string \"/admin\", expected a list",
                "write paths = [\"/admin\"]",
            ),
            (
                "invalid type: string \"sre\", expected a sequence",
                "requesters = [\"sre\"]",
                "invalid type: string \"sre\", expected a list",
                "",
            ),
            (
                "invalid type: integer `30`, expected a string",
                "default = 30",
                "invalid type: integer `30`, expected a text",
                "write it in quotes; if it is a length of time, with its unit, such as \"30m\"",
            ),
            (
                "invalid type: boolean `true`, expected path string",
                "database = true",
                "invalid type: boolean `true`, expected a text",
                "write it in quotes",
            ),
            (
                "invalid type: string \"yes\", expected a boolean",
                "required = \"yes\"",
                "invalid type: string \"yes\", expected a boolean",
                "write true or false, without quotes",
            ),
            (
                "invalid value: integer `-1`, expected u16",
                "quorum = -1",
                "invalid value: integer `-1`, expected a whole number, from 0 to 65535",
                "write one, in digits and without quotes",
            ),
            (
                "string values must be quoted, expected literal string",
                "name = app",
                "string values must be quoted",
                "write it in quotes",
            ),
            (
                "invalid socket address syntax",
                "addr = \"localhost:8080\"",
                "it is no address with a port",
                ADDRESS,
            ),
            (
                "invalid type: integer `8080`, expected socket address",
                "addr = 8080",
                "invalid type: integer `8080`, expected an address",
                ADDRESS,
            ),
            (
                "invalid type: string \"x\", expected struct Listen",
                "listen = \"x\"",
                "invalid type: string \"x\", expected a table",
                "write listen = { … }, with its keys and values in the braces",
            ),
            (
                "invalid type: boolean `true`, expected a table, such as { required = true }",
                "reason = true",
                "invalid type: boolean `true`, expected a table",
                "write it like reason = { required = true }",
            ),
            (
                "invalid type: null, expected struct Listen",
                "",
                "invalid type: null, expected a table",
                "",
            ),
            (
                "invalid type: map, expected a sequence",
                "stages = { name = \"lead\" }",
                "invalid type: map, expected a list",
                "",
            ),
            (
                "invalid type: map, expected a sequence",
                "[[control]]",
                "[[control]] is a list of tables, and there is only one",
                "write [control], in one pair of brackets",
            ),
            (
                "invalid type: sequence, expected a table, such as { roles = [\"sre\"] }",
                "stages = [ { approvers = [\"sre-lead\"] } ]",
                "invalid type: sequence, expected a table",
                "write it like { roles = [\"sre\"] }",
            ),
            (
                "invalid type: map, expected a string",
                "[[listen.tls]]",
                "[[listen.tls]] is a list of tables",
                "write [listen.tls] if there is only one",
            ),
            (
                "invalid type: string \"lead\", expected a sequence",
                "stages = \"lead\"",
                "invalid type: string \"lead\", expected a list",
                "write stages = [ { … } ], with its keys and values in the braces",
            ),
            (
                "invalid type: boolean `false`, expected a table, such as { required = true }",
                "mfa = false",
                "invalid type: boolean `false`, expected a table",
                "leave mfa out",
            ),
            (
                "invalid type: map, expected a sequence",
                "[upstreams.servers]",
                "invalid type: map, expected a list",
                "",
            ),
            (
                "invalid type: sequence, expected a table, such as { roles = [\"sre\"] }",
                "[[policies.requesters]]",
                "invalid type: sequence, expected a table",
                "write [policies.requesters], in one pair of brackets",
            ),
            (
                "invalid type: string \"x\", expected struct RawPerson",
                "people = [\"x\"]",
                "invalid type: string \"x\", expected a table",
                "",
            ),
            (
                "invalid type: sequence, expected a table, such as { roles = [\"sre\"] }",
                "",
                "invalid type: sequence, expected a table",
                "",
            ),
            ("missing field `name`", "[[people]]", "missing field `name`", ""),
            ("", "[", "", ""),
        ] {
            let shape = shape(message, line);
            assert_eq!(
                (&*shape.problem, shape.mend.as_deref().unwrap_or_default()),
                (problem, mend),
                "{line}"
            );
        }
    }
}
