//! JSON objects in which every name stands once, at every depth: of two readers of a doubled one, each may take another.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// The members of an object.
pub(crate) type Object = BTreeMap<String, Value>;

/// Reads a JSON object (RFC 8259). `None` for anything else, and for a doubled name anywhere in it.
pub(crate) fn object(bytes: &[u8]) -> Option<Object> {
    match serde_json::from_slice(bytes) {
        Ok(Strict(Value::Object(members))) => Some(members.into_iter().collect()),
        _ => None,
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a number"))?;
        Ok(number.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("a doubled name"));
            }
        }
        Ok(object.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_object_of_single_names_is_read() {
        let deep = |n: usize| format!("{{\"a\":{}1{}}}", "[".repeat(n), "]".repeat(n));
        for (text, expected) in [
            ("{}", true),
            ("{\"a\":1,\"A\":2}", true),
            (
                "{\"a\":{\"b\":1},\"b\":[{\"b\":null}, -1, 1.5, true, \"x\"]}",
                true,
            ),
            ("{\"a\":1,\"a\":1}", false),
            ("{\"a\":1,\"\\u0061\":1}", false),
            ("{\"a\":{\"b\":1,\"b\":1}}", false),
            ("{\"a\":[{\"b\":1,\"b\":1}]}", false),
            ("[]", false),
            ("\"a\"", false),
            ("{} {}", false),
            ("{}x", false),
            ("{\"a\":NaN}", false),
            ("{\"a\":1e999}", false),
            ("{'a':1}", false),
            ("{\"a\":\"\u{0}\"}", false),
            ("", false),
            (&*deep(100), true),
            (&*deep(100_000), false),
        ] {
            assert_eq!(object(text.as_bytes()).is_some(), expected, "{:.40}", text);
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), None);
        assert_eq!(object(b"\xef\xbb\xbf{}"), None);
    }
}
