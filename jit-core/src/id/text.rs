//! The grammars of names and texts, and how what has a grammar is read and written.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::de::{self, Visitor};

/// Why a text is not a name, an id or a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} {problem}")]
pub struct ParseError {
    pub(super) what: &'static str,
    pub(super) problem: &'static str,
}

impl ParseError {
    pub(crate) const fn new(what: &'static str, problem: &'static str) -> Self {
        Self { what, problem }
    }

    /// What is wrong with it, in words that go on after its name: "is empty".
    pub const fn problem(&self) -> &'static str {
        self.problem
    }

    pub(crate) const fn span(problem: &'static str) -> Self {
        Self::new("duration", problem)
    }
}

/// Longest name, in bytes.
pub const NAME_MAX: usize = 128;
/// Longest issuer, subject, role or person id, in bytes.
pub const TEXT_MAX: usize = 256;

pub(super) fn check_name(what: &'static str, text: &str) -> Result<(), ParseError> {
    let mut bytes = text.bytes();
    match bytes.next() {
        None => return Err(ParseError::new(what, "is empty")),
        Some(first) if !first.is_ascii_alphanumeric() => {
            return Err(ParseError::new(what, "must start with an ASCII letter or digit"));
        }
        Some(_) => {}
    }
    if text.len() > NAME_MAX {
        return Err(ParseError::new(what, "is longer than 128 bytes"));
    }
    if bytes.all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.')) {
        Ok(())
    } else {
        Err(ParseError::new(
            what,
            "may hold only ASCII letters, digits, '-', '_' and '.'",
        ))
    }
}

pub(super) fn check_text(what: &'static str, text: &str) -> Result<(), ParseError> {
    if text.is_empty() {
        Err(ParseError::new(what, "is empty"))
    } else if text.len() > TEXT_MAX {
        Err(ParseError::new(what, "is longer than 256 bytes"))
    } else if text.trim() != text {
        Err(ParseError::new(what, "starts or ends with white space"))
    } else if text.chars().any(crate::policy::text::is_unprintable) {
        Err(ParseError::new(
            what,
            "holds a control, format or bidirectional character",
        ))
    } else {
        Ok(())
    }
}

/// Written as text and read from it. By hand: serde's own way through `String` would make a copy of every name of every request that
/// is read or written, only to drop it.
macro_rules! as_text {
    ($name:ident, |$value:ident, $to:ident| $write:expr) => {
        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, $to: S) -> Result<S::Ok, S::Error> {
                let $value = self;
                $write
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_string($crate::id::FromText(std::marker::PhantomData))
            }
        }
    };
}
pub(crate) use as_text;

/// Reads what has a grammar out of a text.
pub(crate) struct FromText<T>(pub(crate) PhantomData<T>);

impl<T: FromStr<Err = ParseError>> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

/// In lower case, into `text`, which has room for two digits of each byte. By hand: a record of the log holds several digests, and
/// formatting each byte would cost more than hashing it.
pub(super) fn hex(bytes: &[u8], text: &mut [u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + (n - 10) };
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    f.write_str(std::str::from_utf8(text).map_err(|_| fmt::Error)?)
}
