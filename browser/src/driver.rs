//! Chromedriver, and the browsers that it starts.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::Stdio;
use std::time::Duration;

use fantoccini::ClientBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::window::{Look, Window};
use crate::{BoxError, install};

/// How long chromedriver may take until it listens.
const START_MAX: Duration = Duration::from_secs(30);

/// How long it may take to end its browsers.
const END_MAX: Duration = Duration::from_secs(10);

/// Chromedriver on a free port. It ends with this, and so does every browser that it started.
#[derive(Debug)]
pub struct Driver {
    chromium: String,
    port: u16,
    _child: Child,
    profiles: TempDir,
}

impl Driver {
    /// Starts it; installs it before where it is missing.
    ///
    /// # Errors
    /// What was in the way.
    pub async fn start() -> Result<Self, BoxError> {
        let (chromium, chromedriver) = tokio::task::spawn_blocking(install::chromium).await??;
        let mut child = Command::new(chromedriver)
            .arg("--port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().ok_or("chromedriver says nothing")?).lines();
        let port = async {
            // "ChromeDriver was started successfully on port 41789."
            while let Some(line) = lines.next_line().await? {
                let port = line.split_once("successfully on port ").map(|(_, port)| port);
                if let Some(port) = port.and_then(|port| port.trim_end_matches('.').parse::<u16>().ok()) {
                    return Ok::<_, BoxError>(port);
                }
            }
            Err("chromedriver ended before it listened".into())
        };
        let port = timeout(START_MAX, port).await??;
        // What it says later is not wanted; a full pipe would stop it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self {
            chromium: chromium.to_string_lossy().into_owned(),
            port,
            _child: child,
            profiles: TempDir::new()?,
        })
    }

    /// A browser of its own: no cookie is shared with any other.
    ///
    /// # Errors
    /// What was in the way.
    pub async fn browser(&self, look: Look) -> Result<Window, BoxError> {
        let profile = tempfile::Builder::new()
            .tempdir_in(self.profiles.path())?
            .keep()
            .display()
            .to_string();
        let mut arguments = vec![
            "--headless".to_owned(),
            "--no-sandbox".to_owned(),
            "--disable-gpu".to_owned(),
            "--disable-quic".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--no-first-run".to_owned(),
            // Nothing but the demo is asked for anything.
            "--disable-background-networking".to_owned(),
            "--disable-component-update".to_owned(),
            "--disable-sync".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--user-data-dir={profile}"),
        ];
        let (width, height) = look.size();
        arguments.push(format!("--window-size={width},{height}"));
        let mut capabilities = serde_json::Map::new();
        capabilities.insert(
            "goog:chromeOptions".to_owned(),
            json!({"binary": self.chromium, "args": arguments}),
        );
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{}", self.port))
            .await?;
        Window::new(client, look).await
    }
}

impl Drop for Driver {
    /// A browser outlives a chromedriver that is killed: it is told to end them first. Whatever became of that, it is killed then.
    fn drop(&mut self) {
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).and_then(|mut stream| {
            stream.set_read_timeout(Some(END_MAX))?;
            write!(
                stream,
                "GET /shutdown HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nConnection: close\r\n\r\n",
                self.port
            )?;
            stream.read_to_end(&mut Vec::new())
        });
    }
}
