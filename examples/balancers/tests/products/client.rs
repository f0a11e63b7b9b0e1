//! A small HTTP/1.1 client that sends exactly what it is told, and keeps its connection.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

pub(crate) type Fields<'a> = &'a [(&'a str, &'a str)];

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    fields: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn field(&self, name: &str) -> Option<&str> {
        let mut found = self
            .fields
            .iter()
            .filter(|(other, _)| other.eq_ignore_ascii_case(name));
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} twice: {self:?}");
        value
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    host: String,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, host: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self {
            stream: BufReader::new(stream),
            host: host.to_owned(),
        }
    }

    pub(crate) async fn get(&mut self, path: &str, fields: Fields<'_>) -> Answer {
        self.send("GET", path, fields, None).await.unwrap()
    }

    /// A GET on a connection of its own. RFC 9110 §9.2.2: one whose connection ends before there was an answer may be sent
    /// again. A Caddy that has just taken a new configuration answers before its former servers are shut down, and a
    /// connection that one of those still accepts is closed without a word.
    pub(crate) async fn get_anew(address: SocketAddr, host: &str, path: &str, fields: Fields<'_>) -> Answer {
        for _ in 0..5 {
            let mut client = Self::connect(address, host).await;
            if let Some(answer) = client.send("GET", path, fields, None).await {
                return answer;
            }
        }
        panic!("five connections ended without an answer to GET {path}")
    }

    /// `None` when the connection ended before there was an answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        fields: Fields<'_>,
        body: Option<&Value>,
    ) -> Option<Answer> {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for (name, value) in fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        if method == "POST" {
            text.push_str(&format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\n",
                body.len()
            ));
        }
        text.push_str("\r\n");
        text.push_str(&body);
        self.stream.write_all(text.as_bytes()).await.ok()?;
        self.read(method).await
    }

    async fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.stream.read_line(&mut line).await {
            Ok(0) | Err(_) => None,
            Ok(_) => Some(line.trim_end().to_owned()),
        }
    }

    async fn read(&mut self, method: &str) -> Option<Answer> {
        let status = self.line().await?.split(' ').nth(1)?.parse().ok()?;
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else {
                break;
            };
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer {
            status,
            fields,
            body: String::new(),
        };
        if method == "HEAD" || matches!(status, 100..200 | 204 | 304) {
            return Some(answer);
        }
        let mut body = Vec::new();
        if let Some(length) = answer.field("content-length") {
            body.resize(length.parse().ok()?, 0);
            self.stream.read_exact(&mut body).await.ok()?;
        } else if answer.field("transfer-encoding") == Some("chunked") {
            loop {
                let length = usize::from_str_radix(self.line().await?.split(';').next()?, 16).ok()?;
                let mut piece = vec![0; length];
                self.stream.read_exact(&mut piece).await.ok()?;
                body.extend(piece);
                self.line().await?;
                if length == 0 {
                    break;
                }
            }
        } else {
            self.stream.read_to_end(&mut body).await.ok()?;
        }
        answer.body = String::from_utf8_lossy(&body).into_owned();
        Some(answer)
    }
}

/// Sends a POST over HTTP/2 without TLS whose trailers name a user, and answers what comes back to the end of a body.
pub(crate) async fn http2_with_trailers(address: SocketAddr, host: &str) -> String {
    const SETTINGS: u8 = 4;
    const HEADERS: u8 = 1;
    const DATA: u8 = 0;
    const END_STREAM: u8 = 1;
    const END_HEADERS: u8 = 4;
    let mut sent = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    let head = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/public"),
        (":authority", host),
    ];
    sent.extend(frame(SETTINGS, 0, 0, &[]));
    sent.extend(frame(HEADERS, END_HEADERS, 1, &literals(&head)));
    sent.extend(frame(DATA, 0, 1, b"body"));
    let trailers = literals(&[("remote-user", "demo|root")]);
    sent.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &trailers));
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&sent).await.unwrap();
    let mut reader = BufReader::new(stream);
    let mut came = Vec::new();
    loop {
        let mut head = [0; 9];
        if reader.read_exact(&mut head).await.is_err() {
            break;
        }
        let mut body = vec![0; usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2])];
        reader.read_exact(&mut body).await.unwrap();
        came.extend(body);
        if head[3] == DATA && head[4] & END_STREAM != 0 {
            break;
        }
    }
    String::from_utf8_lossy(&came).into_owned()
}

/// RFC 9113 §4.1.
fn frame(kind: u8, flags: u8, stream: u8, body: &[u8]) -> Vec<u8> {
    let length = u8::try_from(body.len()).unwrap();
    [&[0, 0, length, kind, flags, 0, 0, 0, stream], body].concat()
}

/// RFC 7541 §6.2.2: literal fields without indexing, in plain text.
fn literals(fields: &[(&str, &str)]) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    fields
        .iter()
        .flat_map(|(name, value)| [vec![0], text(name), text(value)].concat())
        .collect()
}
