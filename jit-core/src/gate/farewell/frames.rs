//! Where frames begin in what a server sends over an upgraded connection (RFC 6455 §5.2).

use crate::gate::cut::Cut;

/// The close code for an end that a policy wants (RFC 6455 §7.4.1).
const POLICY_VIOLATION: u16 = 1008;
/// The close code of a server that stops (RFC 6455 §7.4.1).
const GOING_AWAY: u16 = 1001;

/// Follows what a server sends over a WebSocket: between two frames there is room for the one that closes it.
#[derive(Debug)]
pub struct Frames {
    at: At,
}

#[derive(Debug)]
enum At {
    /// In the head of the response, with so much of its last four octets seen.
    Head(usize),
    /// In a frame's header, with so many octets of it seen.
    Header([u8; 10], usize),
    /// In the rest of a frame, with so many octets to go.
    Payload(u64),
}

const END_OF_HEAD: &[u8; 4] = b"\r\n\r\n";

impl Frames {
    /// Of a stream that begins with its first frame.
    pub const fn after_head() -> Self {
        Self {
            at: At::Header([0; 10], 0),
        }
    }

    /// Of a stream that begins with the head of the 101.
    pub const fn with_head() -> Self {
        Self { at: At::Head(0) }
    }

    /// Notes what is sent.
    pub fn sent(&mut self, mut data: &[u8]) {
        while let [first, rest @ ..] = data {
            match &mut self.at {
                At::Head(seen) => {
                    let next = END_OF_HEAD.get(*seen) == Some(first);
                    *seen = if next {
                        *seen + 1
                    } else {
                        usize::from(*first == b'\r')
                    };
                    if *seen == END_OF_HEAD.len() {
                        self.at = At::Header([0; 10], 0);
                    }
                    data = rest;
                }
                At::Header(header, seen) => {
                    if let Some(octet) = header.get_mut(*seen) {
                        *octet = *first;
                    }
                    *seen += 1;
                    if let Some(payload) = payload(header, *seen) {
                        self.at = match payload {
                            0 => At::Header([0; 10], 0),
                            octets => At::Payload(octets),
                        };
                    }
                    data = rest;
                }
                At::Payload(left) => {
                    let here = u64::try_from(data.len()).unwrap_or(u64::MAX).min(*left);
                    *left -= here;
                    if *left == 0 {
                        self.at = At::Header([0; 10], 0);
                    }
                    data = data
                        .get(usize::try_from(here).unwrap_or(usize::MAX)..)
                        .unwrap_or_default();
                }
            }
        }
    }

    /// The frame that closes the connection (code 1008, with the reason), if there is room for one here: between two frames.
    pub fn close(&self, cut: Cut) -> Option<Vec<u8>> {
        self.last(POLICY_VIOLATION, cut.sentence())
    }

    /// The frame that closes the connection because the server goes away (code 1001), if there is room for one here: between two frames.
    pub fn going_away(&self) -> Option<Vec<u8>> {
        self.last(GOING_AWAY, "the server is stopping")
    }

    fn last(&self, code: u16, reason: &str) -> Option<Vec<u8>> {
        let At::Header(_, 0) = self.at else { return None };
        let reason = reason.as_bytes();
        let length = u8::try_from(reason.len() + 2)
            .ok()
            .filter(|length| *length <= 125)?;
        let mut frame = vec![0x88, length];
        frame.extend_from_slice(&code.to_be_bytes());
        frame.extend_from_slice(reason);
        Some(frame)
    }
}

/// How many octets follow a frame's header, once enough of it was seen. A mask counts with them: servers don't send any.
fn payload(header: &[u8; 10], seen: usize) -> Option<u64> {
    let [_, second, rest @ ..] = header;
    let mask = u64::from(second >> 7) * 4;
    let length = match (second & 0x7f, seen) {
        (_, 0..=1) => return None,
        (126, 4) => {
            let [high, low, ..] = *rest;
            u64::from(u16::from_be_bytes([high, low]))
        }
        (127, 10) => u64::from_be_bytes(*rest),
        (126 | 127, _) => return None,
        (short, _) => u64::from(short),
    };
    Some(length.saturating_add(mask))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x82];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short), _) if short < 126 => frame.push(short),
            (_, Ok(medium)) => {
                frame.push(126);
                frame.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                frame.push(127);
                frame.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        frame.extend(std::iter::repeat_n(0xaa, length));
        frame
    }

    #[test]
    fn there_is_room_between_frames_alone() {
        let head = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n";
        let mut stream = head.to_vec();
        let mut ends = vec![head.len()];
        for length in [0, 1, 125, 126, 300, 0xffff, 0x1_0000, 5] {
            stream.extend(frame(length));
            ends.push(stream.len());
        }
        for step in [1, 2, 3, 7, 1000, 70_000] {
            let mut frames = Frames::with_head();
            let mut sent = 0;
            for part in stream.chunks(step) {
                frames.sent(part);
                sent += part.len();
                assert_eq!(
                    frames.close(Cut::Revoked).is_some(),
                    ends.contains(&sent),
                    "after {sent} in steps of {step}"
                );
            }
        }
        let mut frames = Frames::with_head();
        frames.sent(head);
        let close = frames.close(Cut::Revoked).unwrap();
        assert_eq!(&close[..4], [0x88, 23, 0x03, 0xf0]);
        assert_eq!(&close[4..], b"the grant was revoked");
        // Without a head it begins between two frames.
        assert_eq!(Frames::after_head().close(Cut::Revoked), Some(close));
        let away = frames.going_away().unwrap();
        assert_eq!(
            (&away[..4], &away[4..]),
            (&[0x88, 24, 0x03, 0xe9][..], &b"the server is stopping"[..])
        );
        frames.sent(&[0x81]);
        assert_eq!(frames.going_away(), None);
    }
}
