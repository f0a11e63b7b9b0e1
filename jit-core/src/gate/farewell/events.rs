//! The last event of a stream that is cut.

use http::{HeaderMap, header};

use crate::gate::cut::Cut;

/// Follows a stream of events (WHATWG HTML §9.2): between two of them there is room for one more.
#[derive(Debug)]
pub struct Events {
    /// What the stream ended with so far, its last two octets.
    tail: [u8; 2],
}

impl Events {
    /// For an answer with this header, if it is a stream of plain events.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let kind = headers.get(header::CONTENT_TYPE)?.as_bytes();
        let essence = kind.split(|b| *b == b';').next()?.trim_ascii();
        let plain = essence.eq_ignore_ascii_case(b"text/event-stream")
            && !headers.contains_key(header::CONTENT_ENCODING)
            && !headers.contains_key(header::CONTENT_LENGTH);
        plain.then_some(Self { tail: *b"\n\n" })
    }

    /// Notes what is sent.
    pub fn sent(&mut self, data: &[u8]) {
        match data {
            [] => {}
            [one] => {
                let [_, before] = self.tail;
                self.tail = [before, *one];
            }
            [.., before, last] => self.tail = [*before, *last],
        }
    }

    /// The last event, `jit-grant-ended`. In the middle of another one there is nothing to say: it would be taken for whole.
    pub fn last(&self, cut: Cut) -> Option<String> {
        (self.tail == *b"\n\n").then(|| {
            let (cause, detail) = (cut.as_str(), cut.sentence());
            format!("event: jit-grant-ended\ndata: {{\"cause\":\"{cause}\",\"detail\":\"{detail}\"}}\n\n")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_come_between_events_alone() {
        let mut headers = HeaderMap::new();
        assert!(Events::of(&headers).is_none());
        headers.insert(
            header::CONTENT_TYPE,
            "Text/Event-Stream; charset=utf-8".parse().unwrap(),
        );
        let mut events = Events::of(&headers).unwrap();
        let words = events.last(Cut::Revoked).unwrap();
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
            events.sent(data.as_bytes());
            assert_eq!(events.last(Cut::Expired).is_some(), says, "after {data:?}");
        }
        headers.insert(header::CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(Events::of(&headers).is_none());
    }
}
