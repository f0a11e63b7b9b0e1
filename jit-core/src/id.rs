//! Names and identifiers: parsed once, trusted after.
//!
//! A value of one of these types has passed its grammar; nothing behind the edge checks it again. Public ids are 128 random
//! bits, so that knowing one id says nothing about any other (RFC 9562 §6.9 asks the same of unguessable UUIDs).

mod digest;
mod text;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::ser::SerializeStruct;
use serde::{Deserialize, Serialize, Serializer};

pub use digest::Digest;
pub(crate) use text::{FromText, as_text};
pub use text::{NAME_MAX, ParseError, TEXT_MAX};
use text::{check_name, check_text, hex};

/// A moment on the UTC time line. The core never reads a clock: see [`crate::clock`].
pub type Timestamp = chrono::DateTime<chrono::Utc>;

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $check:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        as_text!($name, |name, to| to.serialize_str(name.as_str()));

        impl $name {
            /// Parses the name.
            ///
            /// # Errors
            /// [`ParseError`] says which rule of the grammar it breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, ParseError> {
                let text = text.as_ref();
                $check($what, text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), &*self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.as_ref().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
                String::json_schema(generator)
            }
        }
    };
}

name_type!(
    /// The name of a protected resource.
    ResourceName, "resource name", check_name
);
name_type!(
    /// The name of a policy.
    PolicyName, "policy name", check_name
);
name_type!(
    /// The name of an approval stage, unique within its policy.
    StageName, "stage name", check_name
);
name_type!(
    /// A role or group as the Directory names it, compared whole: `/tenant/admin` is not `admin`.
    Role, "role", check_text
);
name_type!(
    /// The Directory's lasting id for one human or machine. Quorum and self-review compare these, never principals.
    PersonId, "person id", check_text
);

/// (issuer, subject): the only identity. An e-mail address is display text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "RawPrincipal")]
pub struct Principal {
    issuer: Arc<str>,
    subject: Arc<str>,
}

impl Serialize for Principal {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut fields = to.serialize_struct("Principal", 2)?;
        fields.serialize_field("issuer", self.issuer())?;
        fields.serialize_field("subject", self.subject())?;
        fields.end()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPrincipal {
    issuer: String,
    subject: String,
}

impl TryFrom<RawPrincipal> for Principal {
    type Error = ParseError;
    fn try_from(raw: RawPrincipal) -> Result<Self, ParseError> {
        Self::new(&raw.issuer, &raw.subject)
    }
}

impl Principal {
    /// Parses an issuer and the subject that this issuer vouches for; both are compared byte for byte (OpenID Connect Core §5.7).
    ///
    /// # Errors
    /// [`ParseError`] when either is empty, longer than 256 bytes, padded, or holds control characters.
    pub fn new(issuer: &str, subject: &str) -> Result<Self, ParseError> {
        check_text("issuer", issuer)?;
        check_text("subject", subject)?;
        if issuer.contains('|') {
            return Err(ParseError::new(
                "issuer",
                "may not hold '|', which separates it from the subject in text",
            ));
        }
        Ok(Self {
            issuer: issuer.into(),
            subject: subject.into(),
        })
    }

    /// Who vouches for the subject.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The issuer's lasting name for the one who was proven.
    pub fn subject(&self) -> &str {
        &self.subject
    }
}

/// `issuer|subject`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}|{}", self.issuer, self.subject)
    }
}

impl fmt::Debug for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Principal({self})")
    }
}

/// Parses `issuer|subject`.
impl FromStr for Principal {
    type Err = ParseError;
    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (issuer, subject) = text
            .split_once('|')
            .ok_or(ParseError::new("principal", "must read issuer|subject"))?;
        Self::new(issuer, subject)
    }
}

macro_rules! random_id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(u128);

        as_text!($name, |id, to| to.collect_str(id));

        impl $name {
            /// 128 bits from the operating system.
            ///
            /// # Errors
            /// The operating system's, when it has no randomness to give.
            pub fn random() -> Result<Self, getrandom::Error> {
                let mut bytes = [0; 16];
                getrandom::fill(&mut bytes)?;
                Ok(Self(u128::from_be_bytes(bytes)))
            }

            /// An id of the caller's own choosing: for tests and imports. Anything guessable is not for production.
            pub const fn from_u128(bits: u128) -> Self {
                Self(bits)
            }

            /// The bits.
            pub const fn as_u128(self) -> u128 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!($prefix, "_"))?;
                hex(&self.0.to_be_bytes(), &mut [0; 32], f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }

        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                const WRONG: ParseError =
                    ParseError { what: "id", problem: concat!("must read ", $prefix, "_ and 32 lower-case hex digits") };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or(WRONG)?;
                let lower = hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
                if hex.len() != 32 || !lower {
                    return Err(WRONG);
                }
                u128::from_str_radix(hex, 16).map(Self).map_err(|_| WRONG)
            }
        }

        impl TryFrom<String> for $name {
            type Error = ParseError;
            fn try_from(text: String) -> Result<Self, ParseError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    };
}

random_id!(
    /// One asking.
    RequestId, "req"
);
random_id!(
    /// The grant that a request became. It carries its request's bits: one request makes one grant at most.
    GrantId, "grt"
);
random_id!(
    /// One lockdown.
    LockdownId, "lck"
);

impl From<RequestId> for GrantId {
    fn from(id: RequestId) -> Self {
        Self(id.0)
    }
}

impl From<GrantId> for RequestId {
    fn from(id: GrantId) -> Self {
        Self(id.0)
    }
}
