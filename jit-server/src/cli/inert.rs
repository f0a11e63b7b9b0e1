//! What came from people, files and servers, made so that it can't do anything to the terminal that shows it.
//!
//! 1. A control, format or bidirectional character is shown as an escape, such as `\u{1b}`, a line end as `\n`: it neither moves the
//!    cursor nor forges a line, and whoever decides sees that it is there.
//! 2. A [`Text`] is inert from the moment it was read. What is printed of an answer is made of these, of numbers, and of ids that were
//!    parsed.
//! 3. All output passes [`lines`] as well, which lets nothing but line ends through. Colours come after it.
//! 4. JSON keeps its meaning: there the escapes are JSON's own.

use std::fmt::{self, Write as _};

use jit_core::policy::text::is_unprintable;
use serde::{Deserialize, Deserializer};

/// `raw` on one line, with everything that would not print escaped.
pub(super) fn inert(raw: &str) -> String {
    escaped(raw, |_| false)
}

/// `raw` as lines.
pub(super) fn lines(raw: &str) -> String {
    escaped(raw, |c| c == '\n')
}

fn escaped(raw: &str, passes: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in raw.chars() {
        if passes(c) || !is_unprintable(c) {
            shown.push(c);
        } else {
            shown.extend(c.escape_default());
        }
    }
    shown
}

/// A JSON document over several lines, as [`json_line`] otherwise.
pub(super) fn json(value: &serde_json::Value) -> String {
    // Alternate form is pretty; a line end in it can only stand between values.
    json_escaped(&format!("{value:#}"), |c| c == '\n')
}

/// A JSON document on one line, with everything unprintable in its strings escaped.
pub(super) fn json_line(value: &serde_json::Value) -> String {
    json_escaped(&value.to_string(), |_| false)
}

fn json_escaped(document: &str, passes: impl Fn(char) -> bool) -> String {
    let mut shown = String::with_capacity(document.len());
    for c in document.chars() {
        if passes(c) || !is_unprintable(c) {
            shown.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to a String does not fail.
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown
}

/// Text of somebody else's, inert.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn new(raw: &str) -> Self {
        Self(inert(raw))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|raw| Self::new(&raw))
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_would_act_on_a_terminal_is_shown() {
        for (raw, shown) in [
            ("INC-42: Straße 日本 e\u{301}", "INC-42: Straße 日本 e\u{301}"),
            ("\u{1b}[2J\u{1b}]0;x\u{7}", "\\u{1b}[2J\\u{1b}]0;x\\u{7}"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\r\nstate: approved", "a\\r\\nstate: approved"),
            ("a\tb\u{8}\u{7f}\0", "a\\tb\\u{8}\\u{7f}\\u{0}"),
            ("\u{202e}nimda\u{202c}", "\\u{202e}nimda\\u{202c}"),
            (
                "\u{2066}x\u{2069}\u{200f}\u{200b}",
                "\\u{2066}x\\u{2069}\\u{200f}\\u{200b}",
            ),
            ("\u{2028}\u{2029}\u{feff}", "\\u{2028}\\u{2029}\\u{feff}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(inert(raw), shown, "{raw:?}");
            assert_eq!(
                lines(&format!("{raw}\n")).matches('\n').count(),
                1 + raw.matches('\n').count()
            );
            assert!(
                !lines(raw).chars().any(|c| c != '\n' && is_unprintable(c)),
                "{raw:?}"
            );
            let value = json!({"reason": raw, (raw): [raw]});
            for document in [json(&value), json_line(&value)] {
                let acts = |c: char| c != '\n' && is_unprintable(c);
                assert!(!document.chars().any(acts), "{document}");
                let read: serde_json::Value = serde_json::from_str(&document).unwrap();
                assert_eq!(read, value, "the meaning stays");
            }
            assert!(!json_line(&value).contains('\n'));
        }
    }
}
