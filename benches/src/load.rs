//! Load over HTTP on loopback, and what it costs the processes that serve it.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::house::BoxError;
use crate::timing::{Stopwatch, micros};

pub use crate::house::HOST;

/// How many connections send at once.
pub const CONNECTIONS: usize = 16;

/// Another process of the running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Part {
    child: Child,
    port: u16,
}

impl Part {
    /// Starts the running program with `role` as its argument, and waits until it says on which port of loopback it listens.
    ///
    /// # Errors
    /// When it can't be started, or says something else.
    pub fn start(role: &str) -> Result<Self, BoxError> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(role)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        let port = line.trim().parse();
        let mut part = Self { child, port: 0 };
        part.port = port.map_err(|_| format!("{role} did not start"))?;
        Ok(part)
    }

    /// Its number in the system.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Where it listens.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Seconds of processor time so far.
    ///
    /// # Errors
    /// Where `/proc` does not tell.
    pub fn processor_time(&self) -> Result<f64, BoxError> {
        processor_time(self.id())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Seconds of processor time that all threads of a process have used so far, to the nanosecond (proc(5), `schedstat`).
///
/// # Errors
/// Where `/proc` does not tell.
pub fn processor_time(process: u32) -> Result<f64, BoxError> {
    let mut nanoseconds = 0.0;
    for thread in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
        let first = text.split_whitespace().next();
        nanoseconds += first
            .and_then(|n| n.parse::<f64>().ok())
            .ok_or("schedstat has another form")?;
    }
    Ok(nanoseconds / 1e9)
}

/// What a load came to.
#[derive(Debug, Clone)]
#[expect(clippy::exhaustive_structs, reason = "these two are all that is measured")]
pub struct Done {
    /// Requests a second.
    pub per_second: f64,
    /// Of each request, in microseconds.
    pub latencies: Vec<f64>,
}

/// Sends `requests` requests for `/admin/users` over [`CONNECTIONS`] connections, with one of `tokens` each and `fields` header fields
/// besides. Ends with the last answer.
///
/// # Errors
/// Any answer but the protected handler's own.
pub async fn load(
    address: SocketAddr,
    tokens: &[String],
    requests: usize,
    fields: usize,
) -> Result<Done, BoxError> {
    let watch = Stopwatch::start();
    let mut connections = JoinSet::new();
    let each = requests / CONNECTIONS;
    for n in 0..CONNECTIONS {
        let token = tokens.get(n % tokens.len().max(1)).cloned().unwrap_or_default();
        connections.spawn(async move {
            let done = one_connection(address, &token, each, fields).await;
            done.map_err(|error| error.to_string())
        });
    }
    let mut latencies = Vec::with_capacity(requests);
    while let Some(done) = connections.join_next().await {
        latencies.append(&mut done??);
    }
    Ok(Done {
        per_second: latencies.len() as f64 / watch.elapsed().as_secs_f64(),
        latencies,
    })
}

async fn one_connection(
    address: SocketAddr,
    token: &str,
    requests: usize,
    fields: usize,
) -> Result<Vec<f64>, BoxError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake::<_, Empty<Bytes>>(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let mut headers = HeaderMap::new();
    headers.insert("host", HOST.parse()?);
    headers.insert("authorization", format!("Bearer {token}").parse()?);
    for n in 0..fields {
        let name: http::HeaderName = format!("x-field-{n}").parse()?;
        headers.insert(name, "a value of some length, as they come".parse()?);
    }
    let mut latencies = Vec::with_capacity(requests);
    for _ in 0..requests {
        let mut request = Request::get("/admin/users").body(Empty::new())?;
        *request.headers_mut() = headers.clone();
        let watch = Stopwatch::start();
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        let admitted = response
            .headers()
            .get("x-handler")
            .is_some_and(|by| by == "admin");
        if response.status() != StatusCode::OK || !admitted {
            return Err(format!("answered {}", response.status()).into());
        }
        response.into_body().collect().await?;
        latencies.push(micros(watch.elapsed()));
    }
    Ok(latencies)
}
