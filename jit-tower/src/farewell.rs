//! The last words on a stream of events that is cut.

use bytes::Bytes;
use http::{HeaderMap, header};
use jit_core::gate::cut::Cut;

/// A stream of events (WHATWG HTML §9.2): between two of them there is room for one more.
pub(crate) struct Farewell {
    /// What the stream ended with so far, its last two octets.
    tail: [u8; 2],
}

impl Farewell {
    /// For an answer with this head, if it is a stream of plain events.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let essence = kind.split(|b| *b == b';').next()?.trim_ascii();
        let plain = essence.eq_ignore_ascii_case(b"text/event-stream")
            && !headers.contains_key(header::CONTENT_ENCODING)
            && !headers.contains_key(header::CONTENT_LENGTH);
        plain.then_some(Self { tail: *b"\n\n" })
    }

    pub(crate) fn saw(&mut self, data: &[u8]) {
        match data {
            [] => {}
            [one] => self.tail = [self.tail[1], *one],
            [.., before, last] => self.tail = [*before, *last],
        }
    }

    /// One more event. In the middle of another one there is nothing to say: it would be taken for whole.
    pub(crate) fn say(&self, cut: Cut) -> Option<Bytes> {
        (self.tail == *b"\n\n").then(|| {
            let (cause, detail) = (cut.as_str(), cut.sentence());
            let event = format!(
                "event: jit-grant-ended\ndata: {{\"cause\":\"{cause}\",\"detail\":\"{detail}\"}}\n\n"
            );
            Bytes::from(event)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_between_events_alone() {
        let mut headers = HeaderMap::new();
        assert!(Farewell::of(&headers).is_none());
        headers.insert(
            header::CONTENT_TYPE,
            "Text/Event-Stream; charset=utf-8".parse().unwrap(),
        );
        let mut farewell = Farewell::of(&headers).unwrap();
        let words = farewell.say(Cut::Revoked).unwrap();
        let expected =
            "event: jit-grant-ended\ndata: {\"cause\":\"revoked\",\"detail\":\"the grant was revoked\"}\n\n";
        assert_eq!(words, expected);
        for (data, says) in [
            ("data: 1\n\n", true),
            ("data: 2", false),
            ("\n", false),
            ("\n", true),
            ("", true),
            ("data: 3\n", false),
        ] {
            farewell.saw(data.as_bytes());
            assert_eq!(farewell.say(Cut::Expired).is_some(), says, "after {data:?}");
        }
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Farewell::of(&headers).is_none());
    }
}
