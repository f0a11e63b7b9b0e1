//! A record as it is exported: one line, in JSON or as CSV (RFC 4180), with the very text that its hash is over.

use chrono::SecondsFormat;
use jit_core::broker::store::{Position, Record, StreamId, Version};
use jit_core::id::{Digest, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::inert::json_line;

/// The first line of an export as CSV.
pub(super) const CSV_HEAD: &str = "position,at,type,stream,version,body,previous,hash";

/// A record as the control API and exports have it.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    position: Position,
    at: Timestamp,
    stream: StreamId,
    version: Version,
    body: String,
    previous: Digest,
    hash: Digest,
    /// Read from `body`, for people: no hash is over it.
    #[serde(rename = "type", default)]
    kind: Option<String>,
    /// The same.
    #[serde(default)]
    event: Option<Value>,
}

impl Line {
    /// The record, if what stands beside its body is what the body says.
    pub(super) fn record(self) -> Result<Record, String> {
        let event: Value = serde_json::from_str(&self.body).unwrap_or_default();
        let kind = event.get("type").and_then(Value::as_str);
        if self.kind.as_deref().is_some_and(|said| Some(said) != kind)
            || self.event.is_some_and(|said| said != event)
        {
            return Err(format!(
                "position {}: its type or event is not what its body says",
                self.position
            ));
        }
        Ok(Record {
            position: self.position,
            stream: self.stream,
            version: self.version,
            at: self.at,
            body: self.body,
            previous: self.previous,
            hash: self.hash,
        })
    }
}

fn kind(record: &Record) -> Option<String> {
    let event: Value = serde_json::from_str(&record.body).ok()?;
    event.get("type")?.as_str().map(str::to_owned)
}

fn time(record: &Record) -> String {
    record.at.to_rfc3339_opts(SecondsFormat::AutoSi, true)
}

/// One line of JSON.
pub(super) fn to_json(record: &Record) -> String {
    json_line(&json!({
        "position": record.position,
        "at": time(record),
        "type": kind(record),
        "stream": record.stream.to_string(),
        "version": record.version,
        "body": record.body,
        "previous": record.previous.to_string(),
        "hash": record.hash.to_string(),
    }))
}

/// One line of CSV.
///
/// # Errors
/// For a body that is no JSON object on one line: a spreadsheet could take it for a formula, or for two rows.
pub(super) fn to_csv(record: &Record) -> Result<String, String> {
    if !record.body.starts_with('{') || record.body.contains(['\n', '\r']) {
        return Err(format!(
            "position {} can't be written as CSV; use -o json",
            record.position
        ));
    }
    let kind = kind(record).unwrap_or_default();
    if !kind
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(format!(
            "position {} has a type that is no name; use -o json",
            record.position
        ));
    }
    let cells = [
        record.position.to_string(),
        time(record),
        kind,
        record.stream.to_string(),
        record.version.to_string(),
        record.body.clone(),
        record.previous.to_string(),
        record.hash.to_string(),
    ];
    Ok(cells.map(cell).join(","))
}

fn cell(text: String) -> String {
    if text.contains([',', '"']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}

pub(super) fn from_json(line: &str) -> Result<Record, String> {
    let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
    line.record()
}

pub(super) fn from_csv(line: &str) -> Result<Record, String> {
    fn parsed<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
        text.parse().map_err(|_| format!("{name} is not right"))
    }
    let cells = cells(line).ok_or("a quote is not closed")?;
    let [position, at, kind, stream, version, body, previous, hash] = &cells[..] else {
        return Err(format!("it has {} cells instead of 8", cells.len()));
    };
    let line = Line {
        position: parsed("position", position)?,
        at: parsed("at", at)?,
        stream: parsed("stream", stream)?,
        version: parsed("version", version)?,
        body: body.clone(),
        previous: parsed("previous", previous)?,
        hash: parsed("hash", hash)?,
        kind: (!kind.is_empty()).then(|| kind.clone()),
        event: None,
    };
    line.record()
}

/// The cells of one line.
fn cells(line: &str) -> Option<Vec<String>> {
    let mut cells = vec![String::new()];
    let mut chars = line.chars().peekable();
    let mut quoted = false;
    while let Some(c) = chars.next() {
        let cell = cells.last_mut()?;
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(String::new()),
            c => cell.push(c),
        }
    }
    (!quoted).then_some(cells)
}

#[cfg(test)]
mod tests {
    use jit_core::approval::audit::{Tail, link};
    use jit_core::broker::store::Draft;

    use super::*;

    fn record(body: &str) -> Record {
        let at = Timestamp::from_timestamp_micros(1_767_225_600_123_456).unwrap();
        let draft = Draft {
            at,
            body: body.to_owned(),
        };
        link(&mut Tail::START.clone(), &StreamId::Control, 1, draft)
    }

    #[test]
    fn a_record_comes_back_as_it_was() {
        for body in [
            r#"{"type":"asked","reason":"a, \"b\"\u001b, c"}"#,
            "{\"type\":\"asked\",\"reason\":\"\u{202e}\u{9b}31m\"}",
            "{ \"type\" : \"x\" }",
            "{\"no\":1}",
        ] {
            let record = record(body);
            assert_eq!(from_json(&to_json(&record)).as_ref(), Ok(&record), "{body}");
            assert_eq!(
                from_csv(&to_csv(&record).unwrap()).as_ref(),
                Ok(&record),
                "{body}"
            );
            assert!(
                !to_json(&record)
                    .chars()
                    .any(jit_core::policy::text::is_unprintable),
                "{body}"
            );
        }
    }

    #[test]
    fn a_spreadsheet_gets_no_formula() {
        for body in ["=1+1", "{}\n=1+1", "{}\r", "@x", "", "{\"type\":\"=1+1\"}"] {
            let record = record(body);
            assert!(to_csv(&record).is_err(), "{body}");
            assert_eq!(from_json(&to_json(&record)), Ok(record), "{body}");
        }
    }

    #[test]
    fn what_no_hash_is_over_must_agree_with_what_one_is_over() {
        let record = record(r#"{"type":"denied"}"#);
        let told = to_json(&record);
        for (from, to) in [
            (r#""type":"denied""#, r#""type":"approved""#),
            (r#""position""#, r#""event":{},"position""#),
        ] {
            let forged = told.replacen(from, to, 1);
            assert_ne!(forged, told);
            assert!(
                from_json(&forged).unwrap_err().contains("not what its body says"),
                "{forged}"
            );
        }
        let told = to_csv(&record).unwrap();
        assert!(
            from_csv(&told.replacen(",denied,", ",approved,", 1)).is_err(),
            "{told}"
        );
    }
}
