//! Single values: read as text and numbers, refused with the field's name and what would be right.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use jit_core::id::{ParseError, Timestamp};
use jit_core::policy::text::{self, REASON_MAX};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};
use utoipa::ToSchema;

use crate::problem::Problem;

/// Most methods or paths in one body.
const LIST_MAX: usize = 64;
/// The largest whole number that every JSON reader keeps exact (RFC 8259 §6).
const COUNT_MAX: u64 = (1 << 53) - 1;

/// A `T` written as a JSON object. Derived readers also take an array of the fields in order, which nobody means.
pub(crate) struct ObjectOnly<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for ObjectOnly<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
            type Value = T;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map))
            }
        }
        deserializer.deserialize_map(Object(PhantomData)).map(Self)
    }
}

/// How many: a whole number from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ToSchema)]
#[schema(value_type = u64, minimum = 1, maximum = 9_007_199_254_740_991_u64)]
pub(crate) struct Count(pub(super) u64);

#[cfg(feature = "web")]
impl Count {
    /// As typed into a form.
    pub(crate) fn typed(name: &str, text: &str) -> Result<Self, Problem> {
        match text.parse() {
            Ok(value) if (1..=COUNT_MAX).contains(&value) => Ok(Self(value)),
            _ => Err(Problem::invalid(
                name,
                format!("must be a whole number from 1 to {COUNT_MAX}"),
            )),
        }
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl Visitor<'_> for Whole {
            type Value = Count;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from 1 to {COUNT_MAX}")
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Count, E> {
                if (1..=COUNT_MAX).contains(&value) {
                    Ok(Count(value))
                } else {
                    Err(E::invalid_value(serde::de::Unexpected::Unsigned(value), &self))
                }
            }
        }
        deserializer.deserialize_u64(Whole)
    }
}

pub(super) fn field<T: FromStr<Err = ParseError>>(name: &str, value: &str) -> Result<T, Problem> {
    value
        .parse()
        .map_err(|error: ParseError| Problem::invalid(name, error.problem()))
}

pub(super) fn optional<T: FromStr<Err = ParseError>>(
    name: &str,
    value: Option<&str>,
) -> Result<Option<T>, Problem> {
    value.map(|value| field(name, value)).transpose()
}

/// Text for people; measured as it will be kept.
pub(super) fn prose(name: &str, value: Option<String>) -> Result<String, Problem> {
    let value = value.unwrap_or_default();
    let length = text::clean(&value).chars().count();
    if length > REASON_MAX {
        return Err(Problem::invalid(
            name,
            format!("may hold at most {REASON_MAX} characters, and holds {length}"),
        ));
    }
    Ok(value)
}

/// Text for people that must say something.
pub(super) fn said(name: &str, value: Option<String>) -> Result<String, Problem> {
    let value = prose(name, value)?;
    if text::clean(&value).is_empty() {
        return Err(Problem::invalid(name, "must say why"));
    }
    Ok(value)
}

pub(super) fn list(name: &str, value: Option<Vec<String>>) -> Result<Vec<String>, Problem> {
    let value = value.unwrap_or_default();
    if value.len() > LIST_MAX {
        return Err(Problem::invalid(
            name,
            format!("may hold at most {LIST_MAX} entries"),
        ));
    }
    Ok(value)
}

pub(super) fn set(name: &str, value: Option<Vec<String>>) -> Result<BTreeSet<String>, Problem> {
    list(name, value).map(|entries| entries.into_iter().collect())
}

pub(super) fn moment(name: &str, value: &str) -> Result<Timestamp, Problem> {
    DateTime::parse_from_rfc3339(value)
        .map(|at| at.with_timezone(&Utc))
        .map_err(|_| {
            Problem::invalid(
                name,
                "must be a time as in RFC 3339, such as \"2026-03-01T09:00:00Z\"",
            )
        })
}
