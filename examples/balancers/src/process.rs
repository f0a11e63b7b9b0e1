//! A balancer that runs.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::install::{InstallError, program};
use crate::product::Product;

/// How long a product may take until it answers.
const START_MAX: Duration = Duration::from_secs(30);
/// Pause between two looks whether it does.
const POLL: Duration = Duration::from_millis(20);
/// How often another port is tried, because someone took the first one in between.
const TRIES: usize = 3;

/// Where on this machine a balancer finds what it needs.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::exhaustive_structs,
    reason = "a configuration names these and no others"
)]
pub struct Ports {
    /// jit-authz: HTTP, and gRPC as well.
    pub authz: u16,
    /// The application behind the balancer.
    pub application: u16,
}

/// Why a balancer does not run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BalancerError {
    /// There is none.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// Its folder or process could not be made.
    #[error("{product} could not be started: {source}")]
    Start {
        /// Which.
        product: Product,
        /// What went wrong.
        source: io::Error,
    },
    /// It ended, or does not answer.
    #[error("{product} {what}; it said: {said}")]
    NotReady {
        /// Which.
        product: Product,
        /// What it did instead.
        what: String,
        /// The end of its log.
        said: String,
    },
}

/// A balancer that runs. It is killed when this is dropped.
#[derive(Debug)]
pub struct Running {
    product: Product,
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Running {
    /// Starts `product` with its configuration of this folder, and waits until it answers with what jit-authz says of a host that
    /// nobody knows, 421: then every part of the chain is up.
    ///
    /// # Errors
    /// [`BalancerError`] when the product can't be had, or does not get so far within 30 s.
    pub async fn start(product: Product, ports: Ports) -> Result<Self, BalancerError> {
        let program = program(product)?;
        let mut last = None;
        for _ in 0..TRIES {
            let mut running = Self::spawn(product, &program, ports)
                .map_err(|source| BalancerError::Start { product, source })?;
            match timeout(START_MAX, running.ready()).await {
                Ok(Ok(())) => return Ok(running),
                Ok(Err(what)) => last = Some((what, running.said())),
                Err(_) => {
                    last = Some((
                        "does not answer 421 for a host that nobody knows".to_owned(),
                        running.said(),
                    ));
                    break;
                }
            }
        }
        let (what, said) = last.unwrap_or_default();
        Err(BalancerError::NotReady { product, what, said })
    }

    /// Where it answers.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its number in the system. It is one process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The end of its log.
    pub fn said(&self) -> String {
        let text = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<_> = text.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn spawn(product: Product, program: &Path, ports: Ports) -> io::Result<Self> {
        let folder = TempDir::new()?;
        let [listen, admin] = [free_port()?, free_port()?];
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(product.folder());
        for entry in fs::read_dir(source)? {
            let path = entry?.path();
            let text = fs::read_to_string(&path)?;
            let text = [
                ("8080", listen),
                ("9000", ports.authz),
                ("3000", ports.application),
                ("2019", admin),
            ]
            .into_iter()
            .fold(text, |text, (from, to)| replace_port(&text, from, to));
            fs::write(folder.path().join(path.file_name().unwrap_or_default()), text)?;
        }
        let log = File::create(folder.path().join("log"))?;
        let child = product
            .command(program, folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, listen));
        Ok(Self {
            product,
            child,
            address,
            folder,
        })
    }

    async fn ready(&mut self) -> Result<(), String> {
        loop {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("ended with {status}"));
            }
            if status_of_nobody(self.address)
                .await
                .is_some_and(|status| status == "421")
            {
                return Ok(());
            }
            sleep(POLL).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // One that has ended already can't be killed, and need not be.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl std::fmt::Display for Running {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.product, self.address)
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Puts another port in place of `from`, where it is a number by itself.
fn replace_port(text: &str, from: &str, to: u16) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(from) {
        out.push_str(before);
        let digit = |c: Option<char>| c.is_some_and(|c| c.is_ascii_digit());
        if digit(before.chars().last()) || digit(after.chars().next()) {
            out.push_str(from);
        } else {
            out.push_str(&to.to_string());
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

async fn status_of_nobody(address: SocketAddr) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        let text = b"GET / HTTP/1.1\r\nHost: nobody.invalid\r\nConnection: close\r\n\r\n";
        stream.write_all(text).await.ok()?;
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.ok()?;
        let status = head.get(9..12)?;
        String::from_utf8(status.to_vec()).ok()
    };
    timeout(Duration::from_secs(2), ask).await.ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_a_number_by_itself() {
        for (text, want) in [
            ("listen 127.0.0.1:8080;", "listen 127.0.0.1:5;"),
            ("port_value: 8080 }, 8080", "port_value: 5 }, 5"),
            ("18080 80801", "18080 80801"),
            ("8080", "5"),
        ] {
            assert_eq!(replace_port(text, "8080", 5), want);
        }
    }
}
