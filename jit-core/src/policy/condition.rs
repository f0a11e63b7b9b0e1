//! Conditions of automatic rules: expressions in CEL, the Common Expression Language.
//!
//! 1. An expression sees four variables and nothing else: `subject` {issuer, subject, person, name, roles, claims, amr}, `resource`
//!    {name, tags, hosts}, `request` {reason, ticket, duration (seconds), methods, paths, policy, break_glass} and `now` (seconds
//!    since 1970-01-01T00:00:00Z). A ticket that was not given is `""`. `methods` and `paths` are empty when the whole resource is
//!    asked for.
//! 2. It holds when it evaluates to `true`. An error, or any other value, is not `true`: the request goes to its stages.
//! 3. It is parsed once, when the policy is. Unknown variables and functions are refused then.
//! 4. Its work is bounded: at most 4 KiB long, 5 brackets deep, with 256 operators other than `&&` and `||`, and an estimate of its
//!    steps, which takes each list for 256 items long, stays under a million. Where a list or map that it would see is longer than
//!    that, or all of them together are larger than 64 KiB, no condition holds. The author of a policy is trusted and may be
//!    mistaken; the one who asks is not trusted, and chooses the reason, the ticket, and to a degree the claims.
//!
//! # Caveats
//! Claims are the issuer's word about the requester: test none that its subject can set. There are no regular expressions and no
//! timestamps in here; compare `now` as a number.

use std::fmt;

use crate::approval::ask::{Actor, Ruling};
use crate::id::Timestamp;

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

    pub(super) fn holds(&self, _: &Actor, _: &Ruling, _: Timestamp) -> bool {
        match *self {}
    }
}

#[cfg(feature = "cel")]
mod compiled {
    use std::collections::HashMap;
    use std::sync::Arc;

    use ::cel::common::ast::{EntryExpr, Expr, IdedExpr};
    use ::cel::objects::{Key, Map};
    use ::cel::{Context, Program, Value};

    use super::{Actor, BadCondition, Ruling, Timestamp};
    use crate::approval::ask::Route;

    /// Longest expression, in bytes.
    const LENGTH_MAX: usize = 4 * 1024;
    /// Deepest nesting of brackets. The parser takes up to 180 KB of stack for each in an unoptimised build, and an overflow aborts
    /// the process: they are counted before it sees the text.
    const BRACKETS_MAX: usize = 5;
    /// Most `?`. Each nests what follows it.
    const CHOICES_MAX: usize = 4;
    /// Most operators, `&&` and `||` aside, which alone don't nest.
    const OPERATORS_MAX: usize = 256;
    /// Deepest nesting of expressions once macros are expanded.
    const DEPTH_MAX: usize = 320;
    /// Most estimated steps of one evaluation.
    const STEPS_MAX: u64 = 1_000_000;
    /// Longest list or map that an expression is shown.
    const ITEMS_MAX: usize = 256;
    /// Most bytes that an expression is shown.
    const BYTES_MAX: usize = 64 * 1024;
    /// Deepest nesting of claims that an expression is shown.
    const CLAIMS_DEPTH_MAX: usize = 16;

    const VARIABLES: [&str; 4] = ["subject", "resource", "request", "now"];
    const FUNCTIONS: [&str; 13] = [
        "size",
        "contains",
        "startsWith",
        "endsWith",
        "string",
        "int",
        "uint",
        "double",
        "bytes",
        "bool",
        "type",
        "min",
        "max",
    ];

    /// One condition, parsed.
    #[derive(Debug)]
    pub(in super::super) struct Condition(Program);

    impl Condition {
        pub(in super::super) fn compile(source: &str) -> Result<Self, BadCondition> {
            if source.len() > LENGTH_MAX {
                return Err(BadCondition::new(
                    format!("the condition is longer than {LENGTH_MAX} bytes"),
                    "make it two rules",
                ));
            }
            measure(source)?;
            let program = Program::compile(source).map_err(|errors| {
                let first = errors.errors.first().map(|error| error.msg.trim().to_owned());
                BadCondition::new(
                    format!("the condition does not parse: {}", first.unwrap_or_default()),
                    "write a CEL expression such as 'subject.roles.exists(r, r == \"on-call\")'",
                )
            })?;
            let mut check = Check { bound: Vec::new() };
            let cost = check.visit(program.expression(), 0)?;
            if cost > STEPS_MAX {
                return Err(BadCondition::new(
                    format!("the condition could take {cost} steps; at most {STEPS_MAX} are allowed"),
                    "nest fewer `exists`, `all`, `map` and `filter`",
                ));
            }
            Ok(Self(program))
        }

        /// Whether it holds. What can't be evaluated does not.
        pub(in super::super) fn holds(&self, actor: &Actor, ruling: &Ruling, now: Timestamp) -> bool {
            let Some(variables) = variables(actor, ruling, now) else {
                return false;
            };
            let mut context = Context::default();
            for (name, value) in variables {
                context.add_variable_from_value(name, value);
            }
            matches!(self.0.execute(&context), Ok(Value::Bool(true)))
        }
    }

    /// Refuses a text that the parser might need too much stack for, whatever it may mean.
    fn measure(source: &str) -> Result<(), BadCondition> {
        let mut rest = source;
        let (mut depth, mut choices, mut operators) = (0_usize, 0_usize, 0_usize);
        while let Some(c) = rest.chars().next() {
            let after = rest.strip_prefix(c).unwrap_or_default();
            rest = match c {
                '"' | '\'' => skip_string(rest, false),
                'a'..='z' | 'A'..='Z' | '_' => skip_word(rest),
                '/' if after.starts_with('/') => after.split_once('\n').map_or("", |(_, next)| next),
                _ => after,
            };
            match c {
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth = depth.saturating_sub(1),
                '?' => choices += 1,
                _ => {}
            }
            if matches!(c, '.' | '[' | '+' | '-' | '*' | '/' | '%' | '<' | '>' | '=' | '!') {
                operators += 1;
                rest = rest.trim_start_matches('=');
            }
            if depth > BRACKETS_MAX || choices > CHOICES_MAX || operators > OPERATORS_MAX {
                return Err(BadCondition::new(
                    format!(
                        "the condition has more than {BRACKETS_MAX} brackets in each other, {CHOICES_MAX} `?` or \
                         {OPERATORS_MAX} operators"
                    ),
                    "make it several rules, or compare with `in [\"…\", \"…\"]`",
                ));
            }
        }
        Ok(())
    }

    /// What follows the word, or the string literal with a prefix (`r"…"`, `b"…"`), that `text` starts with.
    fn skip_word(text: &str) -> &str {
        let after = text.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let word = text.strip_suffix(after).unwrap_or_default();
        let prefix = matches!(word, "r" | "R" | "b" | "B")
            || word.eq_ignore_ascii_case("rb")
            || word.eq_ignore_ascii_case("br");
        if prefix && after.starts_with(['"', '\'']) {
            skip_string(after, word.contains(['r', 'R']))
        } else {
            after
        }
    }

    /// What follows the string literal that `text` starts with.
    fn skip_string(text: &str, raw: bool) -> &str {
        let quote = text.chars().next().unwrap_or_default();
        let long = String::from_iter([quote; 3]);
        let end = if text.starts_with(&long) {
            long
        } else {
            quote.to_string()
        };
        let mut rest = text.strip_prefix(&end).unwrap_or_default();
        loop {
            if let Some(after) = rest.strip_prefix(&end) {
                return after;
            }
            let mut chars = rest.chars();
            match chars.next() {
                None => return "",
                Some('\\') if !raw => {
                    chars.next();
                }
                Some(_) => {}
            }
            rest = chars.as_str();
        }
    }

    /// Walks an expression once, before it is ever evaluated.
    struct Check<'e> {
        /// Names that an enclosing `exists`, `map` and the like bind.
        bound: Vec<&'e str>,
    }

    impl<'e> Check<'e> {
        /// The estimated steps of evaluating `node`.
        fn visit(&mut self, node: &'e IdedExpr, depth: usize) -> Result<u64, BadCondition> {
            if depth > DEPTH_MAX {
                return Err(BadCondition::new(
                    format!("the condition is nested deeper than {DEPTH_MAX} expressions"),
                    "make it two rules",
                ));
            }
            let depth = depth + 1;
            let mut cost: u64 = 1;
            match &node.expr {
                Expr::Unspecified | Expr::Literal(_) => {}
                Expr::Ident(name) => self.variable(name)?,
                Expr::Select(select) => cost += self.visit(&select.operand, depth)?,
                Expr::Call(call) => {
                    let operator = call.func_name.starts_with(['_', '@', '!', '-']);
                    if !operator && !FUNCTIONS.contains(&call.func_name.as_str()) {
                        return Err(BadCondition::new(
                            format!("the condition calls {:?}, which does not exist", call.func_name),
                            "use `has`, `exists`, `all`, `map`, `filter`, `size`, `contains`, `startsWith` or `endsWith`",
                        ));
                    }
                    for part in call.target.iter().map(|target| &**target).chain(&call.args) {
                        cost = cost.saturating_add(self.visit(part, depth)?);
                    }
                }
                Expr::List(list) => {
                    for element in &list.elements {
                        cost = cost.saturating_add(self.visit(element, depth)?);
                    }
                }
                Expr::Map(map) => {
                    for entry in &map.entries {
                        cost = cost.saturating_add(self.entry(&entry.expr, depth)?);
                    }
                }
                Expr::Struct(_) => {
                    return Err(BadCondition::new(
                        "the condition makes a message",
                        "use a map such as {\"key\": 1}",
                    ));
                }
                Expr::Comprehension(loops) => {
                    cost = cost.saturating_add(self.visit(&loops.iter_range, depth)?);
                    cost = cost.saturating_add(self.visit(&loops.accu_init, depth)?);
                    let outside = self.bound.len();
                    self.bound.push(&loops.iter_var);
                    self.bound.extend(loops.iter_var2.as_deref());
                    self.bound.push(&loops.accu_var);
                    let once = self
                        .visit(&loops.loop_cond, depth)?
                        .saturating_add(self.visit(&loops.loop_step, depth)?);
                    let result = self.visit(&loops.result, depth)?;
                    self.bound.truncate(outside);
                    cost = cost.saturating_add(once.saturating_mul(items(&loops.iter_range)));
                    cost = cost.saturating_add(result);
                }
            }
            Ok(cost)
        }

        fn entry(&mut self, entry: &'e EntryExpr, depth: usize) -> Result<u64, BadCondition> {
            match entry {
                EntryExpr::StructField(field) => self.visit(&field.value, depth),
                EntryExpr::MapEntry(entry) => {
                    let key = self.visit(&entry.key, depth)?;
                    Ok(key.saturating_add(self.visit(&entry.value, depth)?))
                }
            }
        }

        fn variable(&self, name: &str) -> Result<(), BadCondition> {
            if name.starts_with('@') || self.bound.contains(&name) || VARIABLES.contains(&name) {
                return Ok(());
            }
            Err(BadCondition::new(
                format!("the condition reads {name:?}, which does not exist"),
                "read `subject`, `resource`, `request` or `now`",
            ))
        }
    }

    /// About how many items there are to go through.
    fn items(range: &IdedExpr) -> u64 {
        match &range.expr {
            Expr::List(list) => list.elements.len() as u64,
            Expr::Comprehension(loops) => items(&loops.iter_range),
            Expr::Call(call) => call.args.iter().map(items).sum::<u64>().max(ITEMS_MAX as u64),
            Expr::Unspecified
            | Expr::Ident(_)
            | Expr::Literal(_)
            | Expr::Map(_)
            | Expr::Select(_)
            | Expr::Struct(_) => ITEMS_MAX as u64,
        }
    }

    /// What an expression sees, or `None` if that is too much.
    fn variables(actor: &Actor, ruling: &Ruling, now: Timestamp) -> Option<[(&'static str, Value); 4]> {
        let mut room = Room { bytes: BYTES_MAX };
        let person = &actor.person;
        let subject = [
            ("issuer", room.text(actor.principal.issuer())?),
            ("subject", room.text(actor.principal.subject())?),
            ("person", room.text(person.id.as_str())?),
            ("name", room.text(&person.name)?),
            (
                "roles",
                room.texts(person.roles.iter().map(|role| role.as_str()))?,
            ),
            ("claims", room.map(&actor.claims, 0)?),
            (
                "amr",
                room.texts(actor.assurance.methods.iter().map(String::as_str))?,
            ),
        ];
        let resource = [
            ("name", room.text(ruling.resource.name.as_str())?),
            (
                "tags",
                room.texts(ruling.resource.tags.iter().map(String::as_str))?,
            ),
            (
                "hosts",
                room.texts(ruling.resource.hosts.iter().map(String::as_str))?,
            ),
        ];
        let seconds = i64::try_from(ruling.duration.as_millis() / 1000).ok()?;
        let request = [
            ("reason", room.text(&ruling.reason)?),
            ("ticket", room.text(ruling.ticket.as_deref().unwrap_or_default())?),
            ("duration", Value::Int(seconds)),
            (
                "methods",
                room.texts(ruling.scope.methods.iter().map(String::as_str))?,
            ),
            (
                "paths",
                room.texts(ruling.scope.paths.iter().map(String::as_str))?,
            ),
            ("policy", room.text(ruling.terms.policy.as_str())?),
            ("break_glass", Value::Bool(ruling.route == Route::BreakGlass)),
        ];
        Some([
            ("subject", object(subject)),
            ("resource", object(resource)),
            ("request", object(request)),
            ("now", Value::Int(now.timestamp())),
        ])
    }

    fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
        let fields = fields.into_iter().map(|(name, value)| (key(name), value));
        Value::Map(Map {
            map: Arc::new(fields.collect()),
        })
    }

    fn key(name: &str) -> Key {
        Key::String(Arc::new(name.to_owned()))
    }

    /// Counts down what may still be shown.
    struct Room {
        bytes: usize,
    }

    impl Room {
        fn spend(&mut self, bytes: usize) -> Option<()> {
            self.bytes = self.bytes.checked_sub(bytes)?;
            Some(())
        }

        fn text(&mut self, text: &str) -> Option<Value> {
            self.spend(text.len() + 1)?;
            Some(Value::String(Arc::new(text.to_owned())))
        }

        fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> Option<Value> {
            if texts.len() > ITEMS_MAX {
                return None;
            }
            let values: Option<Vec<Value>> = texts.map(|text| self.text(text)).collect();
            Some(Value::List(Arc::new(values?)))
        }

        fn map<'a, M>(&mut self, fields: M, depth: usize) -> Option<Value>
        where
            M: IntoIterator<Item = (&'a String, &'a serde_json::Value), IntoIter: ExactSizeIterator>,
        {
            let fields = fields.into_iter();
            if fields.len() > ITEMS_MAX {
                return None;
            }
            let mut map = HashMap::new();
            for (name, value) in fields {
                self.spend(name.len() + 1)?;
                map.insert(key(name), self.json(value, depth + 1)?);
            }
            Some(Value::Map(Map { map: Arc::new(map) }))
        }

        fn json(&mut self, value: &serde_json::Value, depth: usize) -> Option<Value> {
            if depth > CLAIMS_DEPTH_MAX {
                return None;
            }
            self.spend(1)?;
            match value {
                serde_json::Value::Null => Some(Value::Null),
                serde_json::Value::Bool(value) => Some(Value::Bool(*value)),
                serde_json::Value::Number(number) => number
                    .as_i64()
                    .map(Value::Int)
                    .or_else(|| number.as_u64().map(Value::UInt))
                    .or_else(|| number.as_f64().map(Value::Float)),
                serde_json::Value::String(text) => self.text(text),
                serde_json::Value::Array(items) if items.len() > ITEMS_MAX => None,
                serde_json::Value::Array(items) => {
                    let values: Option<Vec<Value>> =
                        items.iter().map(|item| self.json(item, depth + 1)).collect();
                    Some(Value::List(Arc::new(values?)))
                }
                serde_json::Value::Object(fields) => self.map(fields, depth),
            }
        }
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
