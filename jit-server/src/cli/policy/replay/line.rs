//! One line of an access log: what was requested, where, and by whom.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde_json::{Map, Value};

use super::LogFormat;

/// Longest line that is read, in bytes. Servers bound the head of a request well below.
pub(super) const LINE_MAX: usize = 64 * 1024;

/// The lines of a log, none of them held for longer than it takes.
pub(super) struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
        }
    }

    /// The number of the line that was read last, from 1.
    pub(super) const fn number(&self) -> u64 {
        self.number
    }

    /// The next line, without its end; `Some(None)` for one that is too long or no text.
    pub(super) fn next(&mut self) -> io::Result<Option<Option<&str>>> {
        self.line.clear();
        let mut whole = true;
        let mut any = false;
        loop {
            let read = self.source.fill_buf()?;
            if read.is_empty() {
                break;
            }
            any = true;
            let end = read.iter().position(|byte| *byte == b'\n');
            let part = read.get(..end.unwrap_or(read.len())).unwrap_or_default();
            whole &= self.line.len() + part.len() <= LINE_MAX;
            if whole {
                self.line.extend_from_slice(part);
            }
            let used = part.len() + usize::from(end.is_some());
            self.source.consume(used);
            if end.is_some() {
                break;
            }
        }
        if !any {
            return Ok(None);
        }
        self.number += 1;
        let text = std::str::from_utf8(&self.line).ok().filter(|_| whole);
        Ok(Some(text.map(|text| text.strip_suffix('\r').unwrap_or(text))))
    }
}

/// A request of the log.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Entry<'l> {
    pub(super) host: Option<Cow<'l, str>>,
    pub(super) method: Cow<'l, str>,
    pub(super) target: Cow<'l, str>,
    pub(super) user: Option<Cow<'l, str>>,
}

/// What the line says; `None` if it says nothing about a request.
pub(super) fn entry(line: &str, format: LogFormat) -> Option<Entry<'_>> {
    match format {
        LogFormat::Clf => common(line),
        LogFormat::Json => json(line),
        LogFormat::Auto if line.starts_with('{') => json(line),
        LogFormat::Auto => common(line),
    }
}

/// `[vhost[:port]] client ident user [time] "METHOD target HTTP/1.1" …`
fn common(line: &str) -> Option<Entry<'_>> {
    let (before, rest) = line.split_once(" [")?;
    let (_, rest) = rest.split_once("] \"")?;
    let words: Vec<&str> = before
        .split(' ')
        .filter(|word| !word.is_empty())
        .take(6)
        .collect();
    let (host, user) = match words[..] {
        [_, _, user] => (None, user),
        [host, _, _, user] => (Some(Cow::Borrowed(host)), user),
        _ => return None,
    };
    let (method, target) = request_line(unescaped(quoted(rest)?)?)?;
    Some(Entry {
        host,
        method,
        target,
        user: (user != "-").then_some(Cow::Borrowed(user)),
    })
}

/// What stands before the closing quote.
fn quoted(text: &str) -> Option<&str> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })?;
    text.get(..end)
}

/// Undoes what Apache and NGINX write for what is not printable: `\"`, `\\`, `\xHH`.
fn unescaped(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('\\') {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = text.bytes();
    let mut plain = Vec::with_capacity(text.len());
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        plain.push(match bytes.next()? {
            b'x' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            other => other,
        });
    }
    String::from_utf8(plain).ok().map(Cow::Owned)
}

fn request_line(line: Cow<'_, str>) -> Option<(Cow<'_, str>, Cow<'_, str>)> {
    fn split(line: &str) -> Option<(&str, &str)> {
        let (method, rest) = line.split_once(' ')?;
        let (target, version) = rest.rsplit_once(' ')?;
        version.starts_with("HTTP/").then_some((method, target))
    }
    match line {
        Cow::Borrowed(line) => split(line).map(|(method, target)| (method.into(), target.into())),
        Cow::Owned(line) => {
            split(&line).map(|(method, target)| (method.to_owned().into(), target.to_owned().into()))
        }
    }
}

/// Members by the names that NGINX's examples, Caddy, Traefik and Envoy's give them.
fn json(line: &str) -> Option<Entry<'static>> {
    let Value::Object(members) = serde_json::from_str(line).ok()? else {
        return None;
    };
    let inner = match members.get("request") {
        Some(Value::Object(inner)) => inner,
        _ => &members,
    };
    let find = |names: &[&str]| text(inner, names).or_else(|| text(&members, names));
    let host = find(&[
        "host",
        "http_host",
        "RequestHost",
        ":authority",
        "authority",
        "server_name",
        "vhost",
    ]);
    let user = find(&[
        "user",
        "remote_user",
        "user_id",
        "username",
        "ClientUsername",
        "sub",
    ]);
    let parts = find(&[
        "method",
        "request_method",
        "RequestMethod",
        ":method",
        "http_method",
    ])
    .zip(find(&[
        "uri",
        "request_uri",
        "RequestPath",
        ":path",
        "path",
        "url",
        "target",
    ]));
    let (method, target) = match parts {
        Some((method, target)) => (method.into(), target.into()),
        None => request_line(Cow::Owned(find(&["request"])?))?,
    };
    Some(Entry {
        host: host.map(Cow::Owned),
        method,
        target,
        user: user.map(Cow::Owned),
    })
}

fn text(members: &Map<String, Value>, names: &[&str]) -> Option<String> {
    let texts = names.iter().filter_map(|name| members.get(*name)?.as_str());
    let mut texts = texts.filter(|text| !text.is_empty() && *text != "-");
    texts.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(line: &str, expected: Option<[&str; 4]>) {
        let entry = entry(line, LogFormat::Auto);
        let entry = entry.as_ref().map(|entry| {
            let host = entry.host.as_deref().unwrap_or("-");
            [
                host,
                &entry.method,
                &entry.target,
                entry.user.as_deref().unwrap_or("-"),
            ]
        });
        assert_eq!(entry, expected, "{line}");
    }

    #[test]
    fn a_request_is_found_in_what_servers_write() {
        for (line, expected) in [
            (
                r#"10.0.0.1 - alice [01/Mar/2026:09:00:00 +0000] "GET /admin?x=1 HTTP/1.1" 200 12"#,
                Some(["-", "GET", "/admin?x=1", "alice"]),
            ),
            (
                r#"app.example.com:443 10.0.0.1 - - [01/Mar/2026:09:00:00 +0000] "POST /a HTTP/2.0" 200 12 "-" "curl \"x\"""#,
                Some(["app.example.com:443", "POST", "/a", "-"]),
            ),
            (
                r#"::1 - - [x] "GET /a\"b\x5Cc\\ HTTP/1.1" 400 0"#,
                Some(["-", "GET", "/a\"b\\c\\", "-"]),
            ),
            (r#"::1 - - [x] "\x16\x03\x01" 400 0"#, None),
            (r#"::1 - - [x] "-" 408 0"#, None),
            (r#"::1 - - [x] "GET /a HTTP/1.1"#, None),
            (r#"::1 - - [x] "GET /a\xZZ HTTP/1.1" 400 0"#, None),
            ("", None),
            ("anything else", None),
            (
                r#"{"host":"a.example","request_method":"PUT","request_uri":"/x","remote_user":"-"}"#,
                Some(["a.example", "PUT", "/x", "-"]),
            ),
            (
                r#"{"request":{"host":"a.example","method":"GET","uri":"/x"},"user_id":"bob"}"#,
                Some(["a.example", "GET", "/x", "bob"]),
            ),
            (
                r#"{"RequestHost":"a.example","RequestMethod":"GET","RequestPath":"/x","ClientUsername":"bob"}"#,
                Some(["a.example", "GET", "/x", "bob"]),
            ),
            (r#"{"request":"GET /x HTTP/1.1"}"#, Some(["-", "GET", "/x", "-"])),
            (r#"{"level":"info"}"#, None),
            (r#"{"request":"#, None),
        ] {
            check(line, expected);
        }
    }

    #[test]
    fn lines_are_bounded() {
        let long = "x".repeat(LINE_MAX + 1);
        let text = format!("one\r\n{long}\n{}\n\nlast", "y".repeat(LINE_MAX));
        let mut lines = Lines::new(io::BufReader::with_capacity(7, text.as_bytes()));
        let mut seen = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            seen.push(line.map(str::len));
        }
        assert_eq!(seen, [Some(3), None, Some(LINE_MAX), Some(0), Some(4)]);
        assert_eq!(lines.number(), 5);
        assert!(lines.line.capacity() <= 2 * LINE_MAX);
        let mut lines = Lines::new(&b"\xff\n"[..]);
        assert_eq!(lines.next().unwrap(), Some(None));
    }
}
