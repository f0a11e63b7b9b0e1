//! A condition that was parsed, and what it is shown.

use std::collections::{BTreeSet, HashMap};

use ::cel::{Context, Program, Value};

use crate::approval::ask::{Actor, Route, Ruling};
use crate::id::{Principal, Timestamp};
use crate::policy::condition::check::{OF_CLAIMS, OF_REQUESTS, check_steps, check_text};
use crate::policy::condition::{BadCondition, Claims};
use crate::policy::text::clean;

/// Longest list or map that an expression is shown.
pub(super) const ITEMS_MAX: usize = 256;
/// Most bytes that an expression is shown.
const BYTES_MAX: usize = 64 * 1024;
/// Deepest nesting of claims that an expression is shown.
const CLAIMS_DEPTH_MAX: usize = 16;

/// What every method reads as: those of RFC 9110 §9.1 and RFC 5789, and what stands for all others.
const EVERY_METHOD: [&str; 10] = [
    "*", "CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE",
];

/// One condition, parsed.
#[derive(Debug)]
pub(in crate::policy) struct Condition(Program);

impl Condition {
    /// One over a request.
    pub(in crate::policy) fn compile(source: &str) -> Result<Self, BadCondition> {
        Self::compile_over(source, OF_REQUESTS)
    }

    /// One over claims.
    pub(in crate::policy) fn compile_over_claims(source: &str) -> Result<Self, BadCondition> {
        Self::compile_over(source, OF_CLAIMS)
    }

    fn compile_over(source: &str, variables: &'static [&'static str]) -> Result<Self, BadCondition> {
        check_text(source)?;
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.first().map(|error| clean(&error.msg));
            BadCondition::new(
                format!("the condition does not parse: {}", first.unwrap_or_default()),
                "write a CEL expression such as 'subject.roles.exists(r, r == \"on-call\")'",
            )
        })?;
        check_steps(program.expression(), variables)?;
        Ok(Self(program))
    }

    /// Whether it holds. What can't be evaluated does not.
    pub(in crate::policy) fn holds(&self, actor: &Actor, ruling: &Ruling, now: Timestamp) -> bool {
        variables(actor, ruling, now).is_some_and(|variables| self.is_true(variables))
    }

    /// Whether it holds for who has these claims. What can't be evaluated does not.
    pub(in crate::policy) fn holds_for(&self, principal: &Principal, claims: &Claims) -> bool {
        claims_variables(principal, claims).is_some_and(|variables| self.is_true(variables))
    }

    fn is_true<const N: usize>(&self, variables: [(&'static str, Value); N]) -> bool {
        let mut context = Context::default();
        for (name, value) in variables {
            context.add_variable_from_value(name, value);
        }
        matches!(self.0.execute(&context), Ok(Value::Bool(true)))
    }
}

/// What an expression over claims sees, or `None` if that is too much.
fn claims_variables(principal: &Principal, claims: &Claims) -> Option<[(&'static str, Value); 2]> {
    let mut room = Room { bytes: BYTES_MAX };
    let subject = [
        ("issuer", room.text(principal.issuer())?),
        ("subject", room.text(principal.subject())?),
    ];
    Some([("claims", room.map(claims, 0)?), ("subject", object(subject))])
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
            match named(&ruling.scope.methods, &ruling.resource.methods) {
                Some(methods) => room.texts(methods.iter().map(String::as_str))?,
                None => room.texts(EVERY_METHOD.into_iter())?,
            },
        ),
        (
            "paths",
            // A resource has paths; without any nothing would be shown, and nothing is covered.
            room.texts(
                named(&ruling.scope.paths, &ruling.resource.paths)
                    .unwrap_or(&ruling.scope.paths)
                    .iter()
                    .map(String::as_str),
            )?,
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

/// What is asked for in effect; `None` where neither the asking nor the resource names any.
fn named<'a>(asked: &'a BTreeSet<String>, all: &'a BTreeSet<String>) -> Option<&'a BTreeSet<String>> {
    [asked, all].into_iter().find(|set| !set.is_empty())
}

fn object<const N: usize>(fields: [(&'static str, Value); N]) -> Value {
    HashMap::from(fields).into()
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
        Some(text.into())
    }

    fn texts<'a>(&mut self, texts: impl ExactSizeIterator<Item = &'a str>) -> Option<Value> {
        if texts.len() > ITEMS_MAX {
            return None;
        }
        let values: Option<Vec<Value>> = texts.map(|text| self.text(text)).collect();
        Some(values?.into())
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
            map.insert(name.as_str(), self.json(value, depth + 1)?);
        }
        Some(map.into())
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
                Some(values?.into())
            }
            serde_json::Value::Object(fields) => self.map(fields, depth),
        }
    }
}
