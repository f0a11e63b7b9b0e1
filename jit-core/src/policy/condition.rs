//! Conditions of automatic rules: expressions in CEL, the Common Expression Language.
//!
//! 1. An expression sees four variables and nothing else: `subject` {issuer, subject, person, name, roles, claims, amr}, `resource`
//!    {name, tags, hosts}, `request` {reason, ticket, duration (seconds), methods, paths, policy, break_glass} and `now` (seconds
//!    since 1970-01-01T00:00:00Z). A ticket that was not given is `""`. `methods` and `paths` are what is asked for in effect: where none
//!    are named, those of the resource, and for a resource that has every method the usual ones and `"*"`. So
//!    `request.methods.all(m, m == "GET")` does not hold for who names no method and would get them all.
//! 2. It holds when it evaluates to `true`. An error, or any other value, is not `true`: the request goes to its stages.
//! 3. It is parsed once, when the policy is. Unknown variables and functions are refused then.
//! 4. Its work is bounded: at most 4 KiB long, 5 brackets deep, with 256 operators other than `&&` and `||`, and an estimate of its
//!    steps, which takes each list for 256 items long, stays under a million. Where a list or map that it would see is longer than
//!    that, or all of them together are larger than 64 KiB, no condition holds. The author of a policy is trusted and may be
//!    mistaken; the one who asks is not trusted, and chooses the reason, the ticket, and to a degree the claims.
//!
//! Conditions of `[[mappings]]` see `claims`, as the issuer gave them, and `subject` {issuer, subject}; the rest holds for them as well.
//!
//! # Caveats
//! Claims are the issuer's word about the requester: test none that its subject can set. There are no regular expressions and no
//! timestamps in here; compare `now` as a number.

#[cfg(feature = "cel")]
mod check;
#[cfg(feature = "cel")]
mod compiled;

use std::collections::BTreeMap;
use std::fmt;

#[cfg(not(feature = "cel"))]
use crate::approval::ask::{Actor, Ruling};
#[cfg(not(feature = "cel"))]
use crate::id::{Principal, Timestamp};

/// What an issuer says about somebody.
pub(super) type Claims = BTreeMap<String, serde_json::Value>;

/// Why an expression is not a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadCondition {
    what: String,
    mend: &'static str,
}

impl BadCondition {
    fn new(what: impl Into<String>, mend: &'static str) -> Self {
        Self {
            what: what.into(),
            mend,
        }
    }

    pub(super) fn mend(&self) -> &'static str {
        self.mend
    }
}

impl fmt::Display for BadCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

#[cfg(feature = "cel")]
pub(super) use compiled::Condition;

/// There are none in this build.
#[cfg(not(feature = "cel"))]
#[derive(Debug)]
pub(super) enum Condition {}

#[cfg(not(feature = "cel"))]
impl Condition {
    pub(super) fn compile(_: &str) -> Result<Self, BadCondition> {
        Err(BadCondition::new(
            "this build evaluates no conditions",
            "build with the feature `cel`, or take the rule out",
        ))
    }

    pub(super) fn compile_over_claims(source: &str) -> Result<Self, BadCondition> {
        Self::compile(source)
    }

    pub(super) fn holds(&self, _: &Actor, _: &Ruling, _: Timestamp) -> bool {
        match *self {}
    }

    pub(super) fn holds_for(&self, _: &Principal, _: &Claims) -> bool {
        match *self {}
    }
}

#[cfg(all(test, feature = "cel"))]
mod tests {
    use super::*;

    #[test]
    fn deep_and_long_expressions_are_refused_and_overflow_nothing() {
        let repeat = |open: &str, middle: &str, close: &str, n: usize| {
            format!("{}{middle}{}", open.repeat(n), close.repeat(n))
        };
        for source in [
            repeat("(", "true", ")", 6),
            repeat("(", "true", ")", 2000),
            repeat("[", "", "]", 2000),
            repeat("", "1", "+1", 1500),
            repeat("", "now", ".a", 1500),
            repeat("", "now", "[0]", 1300),
            repeat("", "1", "==1", 1300),
            repeat("true ? true : ", "true", "", 200),
            repeat("size(", "1", ")", 600),
            repeat("{1:", "1", "}", 1000),
            repeat("!(", "true", ")", 1000),
            "x".repeat(5000),
            "(".repeat(4000),
            "\"".to_owned(),
            // Brackets in strings and comments close nothing.
            "(\")\" + ".repeat(1000),
            r"('\')' + ".repeat(400),
            r"(r'\' + ')' + ".repeat(250),
            r"(br'\' + ')' + ".repeat(250),
            "('''')''' + ".repeat(300),
            "(\"\"\"\")\"\"\" + ".repeat(300),
            "( // )\n".repeat(500),
        ] {
            let start: String = source.chars().take(20).collect();
            assert!(Condition::compile(&source).is_err(), "{start} was taken");
        }
    }

    #[test]
    fn the_largest_expression_fits_a_small_stack() {
        let chain = ".a".repeat(249);
        let source = format!("[[[[[true ? 1 : true ? 2 : true ? 3 : true ? 4 : now{chain}]]]]] == []");
        // The stack that std gives a thread, and tokio a worker.
        let small = std::thread::Builder::new().stack_size(2 * 1024 * 1024);
        let compiled = small
            .spawn(move || Condition::compile(&source).map(|_| ()))
            .unwrap();
        assert_eq!(compiled.join().unwrap(), Ok(()));
    }

    #[test]
    fn usual_expressions_are_taken() {
        for source in [
            "true",
            "subject.roles.all(a, subject.roles.exists(b, a == b))",
            "[1, 2, 3].exists(n, n == size(subject.roles))",
            "request.methods.map(m, m + \"x\").filter(m, m != \"\").size() > 0",
            "subject.roles.exists_one(r, r.startsWith(\"team-\"))",
            "subject.name == \"((((((\" || subject.name == r'((((((\\' // ((((((",
            "int(\"5\") < now && string(now) != \"\" && double(1) < 2.0 && max([1, 2]) == 2",
        ] {
            let compiled = Condition::compile(source);
            assert!(compiled.is_ok(), "{source}: {compiled:?}");
        }
        let many = vec!["subject.name == \"someone\""; 120].join(" || ");
        assert!(
            Condition::compile(&many).is_ok(),
            "alternatives are balanced, not deep"
        );
    }
}
