//! Checks of a condition before it is ever evaluated: of its text, then of what the text means.

use ::cel::common::ast::{EntryExpr, Expr, IdedExpr};

use crate::policy::condition::BadCondition;
use crate::policy::condition::compiled::ITEMS_MAX;

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

/// What conditions of automatic rules see.
pub(super) const OF_REQUESTS: &[&str] = &["subject", "resource", "request", "now"];
/// What conditions of mappings see.
pub(super) const OF_CLAIMS: &[&str] = &["claims", "subject"];
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

/// Refuses a text that the parser might need too much stack for, whatever it may mean.
pub(super) fn check_text(source: &str) -> Result<(), BadCondition> {
    if source.len() > LENGTH_MAX {
        return Err(BadCondition::new(
            format!("the condition is longer than {LENGTH_MAX} bytes"),
            "make it two rules",
        ));
    }
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

/// Refuses names that don't exist, and what could take too long.
pub(super) fn check_steps(
    expression: &IdedExpr,
    variables: &'static [&'static str],
) -> Result<(), BadCondition> {
    let bound = Vec::new();
    let steps = Check { variables, bound }.visit(expression, 0)?;
    if steps > STEPS_MAX {
        return Err(BadCondition::new(
            format!("the condition could take {steps} steps; at most {STEPS_MAX} are allowed"),
            "nest fewer `exists`, `all`, `map` and `filter`",
        ));
    }
    Ok(())
}

/// Walks an expression once.
struct Check<'e> {
    variables: &'static [&'static str],
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
        if name.starts_with('@') || self.bound.contains(&name) || self.variables.contains(&name) {
            return Ok(());
        }
        Err(BadCondition::new(
            format!("the condition reads {name:?}, which does not exist"),
            if self.variables == OF_CLAIMS {
                "read `claims` or `subject`"
            } else {
                "read `subject`, `resource`, `request` or `now`"
            },
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
