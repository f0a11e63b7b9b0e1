//! Responses as they lie in the bytes of a connection, and the requests that they answer.

/// One response, without interim ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The header fields, names in lower case.
    pub fields: Vec<(String, String)>,
}

impl Reply {
    /// The first field of that lower-case name.
    pub fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The methods of the requests that `raw` holds for a server that reads it as RFC 9112 §6.3 says. Where the framing is broken, what
/// follows is taken for the body.
pub fn requests(raw: &[u8]) -> Vec<String> {
    let mut methods = Vec::new();
    let mut rest = raw;
    loop {
        while let Some(after) = rest.strip_prefix(b"\r\n") {
            rest = after;
        }
        let Some(head) = Head::read(rest) else {
            // A piece of a request after whole ones is none: nothing will answer it.
            if methods.is_empty() && !rest.is_empty() {
                methods.push(method(rest));
            }
            return methods;
        };
        methods.push(method(rest));
        match head.body_end(false) {
            Some(end) => rest = rest.get(end..).unwrap_or_default(),
            None => return methods,
        }
    }
}

/// The final responses in `bytes`, which answer requests of these methods. Reading ends at the first byte that is no HTTP/1 response.
pub fn read_replies(bytes: &[u8], methods: &[String]) -> Vec<Reply> {
    let mut replies = Vec::new();
    let mut rest = bytes;
    while let Some(head) = Head::read(rest) {
        let Some(status) = status(&head.first) else { break };
        if (100..200).contains(&status) && status != 101 {
            rest = rest.get(head.length..).unwrap_or_default();
            continue;
        }
        let empty = methods.get(replies.len()).is_some_and(|method| method == "HEAD")
            || matches!(status, 101 | 204 | 304);
        let end = if empty {
            Some(head.length)
        } else {
            head.body_end(true)
        };
        replies.push(Reply {
            status,
            fields: head.fields,
        });
        match end {
            Some(end) => rest = rest.get(end..).unwrap_or_default(),
            None => break,
        }
    }
    replies
}

fn method(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(bytes.get(..end).unwrap_or_default()).into_owned()
}

fn status(line: &str) -> Option<u16> {
    let (version, rest) = line.split_once(' ')?;
    let code = rest.split(' ').next()?;
    (version.starts_with("HTTP/1.") && code.len() == 3).then(|| code.parse().ok())?
}

/// A head, and where in the bytes it and its body end.
struct Head<'b> {
    first: String,
    fields: Vec<(String, String)>,
    length: usize,
    bytes: &'b [u8],
}

impl<'b> Head<'b> {
    fn read(bytes: &'b [u8]) -> Option<Self> {
        let length = find(bytes, b"\r\n\r\n")? + 4;
        let text: String = bytes.get(..length)?.iter().map(|b| char::from(*b)).collect();
        let mut lines = text.split("\r\n");
        let first = lines.next()?.to_owned();
        let fields = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Some(Self {
            first,
            fields,
            length,
            bytes,
        })
    }

    /// Where what follows begins. `None`: nothing can follow, or the framing is broken.
    fn body_end(&self, response: bool) -> Option<usize> {
        let field = |name: &str| self.fields.iter().find(|(other, _)| other == name);
        if let Some((_, coding)) = field("transfer-encoding") {
            let chunked = coding.eq_ignore_ascii_case("chunked");
            return chunked.then(|| chunks_end(self.bytes, self.length)).flatten();
        }
        match field("content-length") {
            Some((_, digits)) => {
                let length: usize = digits.parse().ok()?;
                let end = self.length.checked_add(length)?;
                (end <= self.bytes.len()).then_some(end)
            }
            None if response => None,
            None => Some(self.length),
        }
    }
}

fn chunks_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let line = bytes.get(at..)?;
        let end = find(line, b"\r\n")?;
        let size = str::from_utf8(line.get(..end)?).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        at += end + 2;
        if size == 0 {
            loop {
                let end = find(bytes.get(at..)?, b"\r\n")?;
                at += end + 2;
                if end == 0 {
                    return Some(at);
                }
            }
        }
        at = at.checked_add(size)?.checked_add(2)?;
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_told_apart() {
        for (raw, expected) in [
            ("GET / HTTP/1.1\r\nA: b\r\n\r\n", &["GET"][..]),
            (
                "\r\n\r\nGET / HTTP/1.1\r\n\r\nHEAD /x HTTP/1.1\r\n\r\n",
                &["GET", "HEAD"],
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nGETPUT / HTTP/1.1\r\n\r\n",
                &["POST", "PUT"],
            ),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n1f;x\r\nGET /admin/ HTTP/1.1\r\nHost: a\r\n\r\n0\r\nT: u\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                &["POST", "GET"],
            ),
            (
                "POST / HTTP/1.1\r\nContent-Length: 3, 4\r\n\r\nGET / HTTP/1.1\r\n\r\n",
                &["POST"],
            ),
            ("POST / HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc", &["POST"]),
            ("GET / HTTP/1.1\r\nA: b", &["GET"]),
            ("GET / HTTP/1.1\r\n\r\nG", &["GET"]),
            ("", &[]),
        ] {
            assert_eq!(requests(raw.as_bytes()), expected, "{raw:?}");
        }
    }

    #[test]
    fn replies_are_told_apart() {
        let get = || vec!["GET".to_owned(); 3];
        for (bytes, methods, expected) in [
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n",
                get(),
                &[200, 403][..],
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 X\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
                get(),
                &[404],
            ),
            ("HTTP/1.1 101 X\r\n\r\n\u{1}\u{2}", get(), &[101]),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nHTTP/1.1 400 B\r\n\r\n",
                vec!["HEAD".to_owned(), "GET".to_owned()],
                &[200, 400],
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\nHTTP/1.1 400 B\r\n\r\n",
                get(),
                &[200, 400],
            ),
            ("HTTP/2.0 200 OK\r\n\r\n", get(), &[]),
            ("HTTP/1.1 2x0 OK\r\n\r\n", get(), &[]),
            ("\u{0}\u{0}\u{6}", get(), &[]),
        ] {
            let bytes: Vec<u8> = bytes
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap())
                .collect();
            let statuses: Vec<_> = read_replies(&bytes, &methods).iter().map(|r| r.status).collect();
            assert_eq!(statuses, expected, "{bytes:?}");
        }
    }
}
