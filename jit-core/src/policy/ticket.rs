//! The pattern that a ticket must match as a whole.

use regex_lite::{Regex, RegexBuilder};

/// Longest pattern, in bytes.
const PATTERN_MAX: usize = 512;
/// Most memory that a compiled pattern may take, in bytes: 1 MiB. Matching time grows with it and with the ticket's length, never
/// exponentially.
const COMPILED_MAX: usize = 1024 * 1024;
/// Longest ticket, in characters after cleaning.
pub(super) const TICKET_MAX: usize = 200;

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct TicketPattern(Regex);

impl TicketPattern {
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        if pattern.len() > PATTERN_MAX {
            return Err(format!("is longer than {PATTERN_MAX} bytes"));
        }
        let compile = |pattern: &str| {
            let regex = RegexBuilder::new(pattern).size_limit(COMPILED_MAX).build();
            regex.map_err(|problem| format!("{pattern:?} is not a regular expression: {problem}"))
        };
        // Alone first: `a)|(?:b` is one only between the brackets that anchor it, and would match less than the whole there.
        compile(pattern)?;
        compile(&format!("^(?:{pattern})$")).map(Self)
    }

    pub(super) fn matches(&self, ticket: &str) -> bool {
        self.0.is_match(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_ticket_must_match() {
        for (pattern, ticket, want) in [
            (r"^(INC|CHG)-\d+$", "INC-12", true),
            (r"(INC|CHG)-\d+", "CHG-7", true),
            (r"INC-\d+", "INC-12 and more", false),
            (r"INC-\d+", "not INC-12", false),
            (r"a|ab", "ab", true),
            (r"(?m)^a$", "a\nb", false),
        ] {
            assert_eq!(
                TicketPattern::new(pattern).unwrap().matches(ticket),
                want,
                "{pattern} {ticket}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for pattern in [
            "(",
            "a)|(?:b",
            "[",
            r"\d{1000}{1000}",
            "(?x)a #",
            &"a".repeat(PATTERN_MAX + 1),
        ] {
            assert!(TicketPattern::new(pattern).is_err(), "{pattern:?} was taken");
        }
    }
}
