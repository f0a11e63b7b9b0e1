//! Tables that nothing else is taken for: those that stand at a key. The entries of lists are what serde derives.
//!
//! What it derives takes a list for a table as well, by the order of its fields: `requesters = ["sre"]` would be told as a text where a list
//! belongs, and `mfa = [true]` would be right.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

/// What can be written as a table.
pub(super) trait Table {
    /// How, for whoever wrote something else.
    const EXAMPLE: &'static str;
}

/// A table.
pub(super) fn only<'de, T: Deserialize<'de> + Table, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    from.deserialize_map(Only(PhantomData))
}

/// A table, or none.
pub(super) fn any<'de, T: Deserialize<'de> + Table, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    from.deserialize_option(Any(PhantomData))
}

struct Only<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Table> Visitor<'de> for Only<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a table, such as {}", T::EXAMPLE)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

struct Any<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de> + Table> Visitor<'de> for Any<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Only::<T>(PhantomData).expecting(f)
    }

    fn visit_none<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Option<T>, D::Error> {
        only(from).map(Some)
    }
}
