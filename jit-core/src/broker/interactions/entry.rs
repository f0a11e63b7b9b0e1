//! One record, and the events that hold them.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::gate::cut::Cut;
use crate::gate::interactions::Note;
use crate::id::{GrantId, Principal, ResourceName, Timestamp};

/// Longest method that is recorded whole, in octets. It is the client's to choose where a grant has every method.
const METHOD_MAX: usize = 64;

/// What one admitted request did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a record is made here and only read elsewhere"
)]
pub struct Interaction {
    /// When it was admitted, in whole milliseconds.
    #[serde(with = "chrono::serde::ts_milliseconds")]
    pub began: Timestamp,
    /// How long it took, in milliseconds. `None` where the door does not see the end.
    #[serde(rename = "took", default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The method. One of more than 64 octets is cut there and ends with `…`.
    pub method: String,
    /// The canonical path, without the query. Characters that show as nothing or rewrite what stands around them are percent-encoded.
    pub path: String,
    /// The status that it was answered with. `None` where it was not, or the door does not see the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Octets of the body from the client, and of what came over an upgraded connection. `None` where the door does not see them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<u64>,
    /// Likewise to the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent: Option<u64>,
    /// How it ended.
    pub end: Ended,
    /// The grant that it was under before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_from: Option<GrantId>,
    /// The grant that it went on under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<GrantId>,
}

/// How a request ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Ended {
    /// By itself: it was answered in full, or one of the two sides went away.
    Completed,
    /// It was cut.
    Cut(Cut),
    /// The door that admitted it does not see how it ends.
    Unseen,
}

impl Ended {
    /// The name used in records: `completed`, `unseen`, or that of the cut.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Cut(cut) => cut.as_str(),
            Self::Unseen => "unseen",
        }
    }
}

impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Ended {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        let cuts = Cut::ALL.into_iter().map(Self::Cut);
        [Self::Completed, Self::Unseen]
            .into_iter()
            .chain(cuts)
            .find(|end| end.as_str() == name)
            .ok_or_else(|| serde::de::Error::custom("no way in which a request ends"))
    }
}

impl Interaction {
    pub(super) fn of(note: &Note) -> Self {
        let outcome = note.outcome();
        Self {
            began: note.began(),
            took_ms: outcome.map(|o| u64::try_from(o.took.num_milliseconds()).unwrap_or_default()),
            method: method(note.method()),
            path: note.path(),
            status: outcome.map(|o| o.status).filter(|status| *status != 0),
            received: outcome.map(|o| o.received),
            sent: outcome.map(|o| o.sent),
            end: match outcome {
                None => Ended::Unseen,
                Some(o) => o.cut.map_or(Ended::Completed, Ended::Cut),
            },
            moved_from: None,
            moved_to: None,
        }
    }
}

/// A method is a token, and that is ASCII (RFC 9110 §5.6.2).
fn method(text: &str) -> String {
    match text.get(..METHOD_MAX) {
        Some(start) if start.len() < text.len() => format!("{start}…"),
        _ => text.to_owned(),
    }
}

/// An event in the stream of a grant.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum InteractionEvent {
    /// Records. Written by [`opening`] and row by row, for its length is counted meanwhile.
    Interactions {
        #[serde(rename = "grant")]
        _grant: GrantId,
        #[serde(rename = "holder")]
        _holder: Principal,
        #[serde(rename = "resource")]
        _resource: ResourceName,
        items: Vec<Interaction>,
    },
    /// Records of this grant were lost.
    InteractionsLost {
        #[serde(rename = "grant")]
        _grant: GrantId,
        #[serde(rename = "count")]
        _count: u64,
    },
}

/// All of an event with records up to the first of them.
pub(super) fn opening(
    grant: GrantId,
    holder: &Principal,
    resource: &ResourceName,
) -> Result<Vec<u8>, serde_json::Error> {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "interactions")]
    struct Opening<'a> {
        grant: GrantId,
        holder: &'a Principal,
        resource: &'a ResourceName,
    }
    let opening = Opening {
        grant,
        holder,
        resource,
    };
    let mut text = serde_json::to_vec(&opening)?;
    text.pop();
    text.extend_from_slice(b",\"items\":[");
    Ok(text)
}

/// The event that says how many records of a grant were lost.
pub(super) fn loss(grant: GrantId, count: u64) -> Result<String, serde_json::Error> {
    #[derive(Serialize)]
    #[serde(tag = "type", rename = "interactions_lost")]
    struct Loss {
        grant: GrantId,
        count: u64,
    }
    serde_json::to_string(&Loss { grant, count })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_a_name_of_its_own() {
        let ends = [Ended::Completed, Ended::Unseen].into_iter();
        for end in ends.chain(Cut::ALL.map(Ended::Cut)) {
            let text = serde_json::to_string(&end).unwrap();
            assert_eq!(serde_json::from_str::<Ended>(&text).unwrap(), end, "{text}");
        }
        assert!(serde_json::from_str::<Ended>("\"well\"").is_err());
    }

    #[test]
    fn a_method_without_end_is_cut() {
        assert_eq!(method("PROPFIND"), "PROPFIND");
        assert_eq!(method(&"x".repeat(64)), "x".repeat(64));
        assert_eq!(method(&"x".repeat(65)), format!("{}…", "x".repeat(64)));
    }
}
