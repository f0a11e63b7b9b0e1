//! A folder with everything that `jit serve` reads, and the program that runs from it.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CertifiedKey, DnType, IsCa, KeyPair,
    KeyUsagePurpose, generate_simple_self_signed,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::client::{Client, client};

/// Longer than anything here takes. What is not there by then is not coming.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const ALICE: &str = "wUfBZyCHDBqVQ3xkQ0p7mJrB0zS1iX2n";
pub(crate) const BOB: &str = "0yTnZlq6JrD1nq4Kp9c7TjvR8sY5uW3e";
pub(crate) const HOST: &str = "app.example.com";
pub(crate) const CONSOLE: &str = "access.example.com";

const POLICY: &str = r#"
[control]
revokers = ["sre-lead"]

[[open]]
hosts = ["app.example.com"]
paths = ["/"]

[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "5m", max = "1h" }
reason = { required = true }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] }, quorum = 1 } ]
"#;

/// Ends with what is awaited, or the test.
pub(crate) async fn in_time<T>(what: &str, awaited: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, awaited).await;
    ended.unwrap_or_else(|_| panic!("{what} does not come"))
}

pub(crate) fn people(alice: &str) -> String {
    let digest = |token: &str| jit_core::id::Digest::plain(token.as_bytes());
    format!(
        "[[people]]\nname = \"Alice\"\nroles = [{alice}]\ntoken_sha256 = \"{}\"\n\n\
         [[people]]\nname = \"Bob\"\nroles = [\"sre-lead\"]\ntoken_sha256 = \"{}\"\n",
        digest(ALICE),
        digest(BOB)
    )
}

pub(crate) type Authority = CertifiedIssuer<'static, KeyPair>;

/// A folder to serve from.
pub(crate) struct World {
    folder: TempDir,
}

impl World {
    /// With policy and people, and a `jit.toml` of this text after what every one needs.
    pub(crate) fn new(rest: &str) -> Self {
        let world = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        world.write("policy.toml", POLICY);
        world.write("people.toml", &people("\"sre\""));
        world.write(
            "jit.toml",
            &format!("policy = \"policy.toml\"\npeople = \"people.toml\"\ndatabase = \"jit.db\"\n{rest}"),
        );
        world
    }

    /// The usual: a guarded listener before these servers, and the operator's.
    pub(crate) fn before(servers: &[SocketAddr], rest: &str) -> Self {
        let servers: Vec<String> = servers.iter().map(|at| format!("\"{at}\"")).collect();
        Self::new(&format!(
            "listen = {{ addr = \"127.0.0.1:0\" }}\noperator = {{ addr = \"127.0.0.1:0\" }}\n\
             [[upstreams]]\nname = \"app\"\nservers = [{}]\n{rest}",
            servers.join(", ")
        ))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        use std::os::unix::fs::PermissionsExt;

        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Makes a certificate for these names; answers it in PEM.
    pub(crate) fn certify(&self, name: &str, hosts: &[&str]) -> String {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(hosts).unwrap();
        self.write(&format!("{name}.pem"), &cert.pem());
        self.write(&format!("{name}.key"), &signing_key.serialize_pem());
        cert.pem()
    }

    /// Makes an authority, whose certificate is in `{name}.pem`.
    pub(crate) fn authority(&self, name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        self.write(&format!("{name}.pem"), &authority.pem());
        authority
    }

    /// Has an authority make a certificate, into `{name}.pem` and `{name}.key`.
    pub(crate) fn certify_by(&self, authority: &Authority, name: &str, params: &CertificateParams) {
        let key = KeyPair::generate().unwrap();
        self.write(
            &format!("{name}.pem"),
            &params.signed_by(&key, authority).unwrap().pem(),
        );
        self.write(&format!("{name}.key"), &key.serialize_pem());
    }

    /// The command, as it is called.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_jit"));
        command
            .args(["serve", "--log-format", "json", "--config"])
            .arg(self.path("jit.toml"))
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JIT_LOG")
            .kill_on_drop(true);
        command
    }

    /// Runs it until it ends by itself: its exit code, standard output and standard error.
    pub(crate) async fn run(&self, more: &[&str]) -> (Option<i32>, String, String) {
        let output = in_time("the end", self.command().args(more).output())
            .await
            .unwrap();
        let text = |octets: Vec<u8>| String::from_utf8(octets).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// Starts it, and waits until it is ready.
    pub(crate) async fn serve(&self) -> Served {
        self.serve_by(self.command()).await
    }

    pub(crate) async fn serve_by(&self, mut command: Command) -> Served {
        let mut process = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let (log, events) = watch::channel(Vec::new());
        tokio::spawn(async move {
            while let Some(line) = lines.next_line().await.unwrap() {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                log.send_modify(|log| log.push(event));
            }
        });
        let served = Served { process, events };
        served.event("ready").await;
        served
    }
}

/// The program, running.
pub(crate) struct Served {
    process: Child,
    events: watch::Receiver<Vec<Value>>,
}

impl Served {
    /// The first event of the log that says this.
    pub(crate) async fn event(&self, message: &str) -> Value {
        self.nth_event(0, message).await
    }

    /// The nth event of the log that says this, from 0.
    pub(crate) async fn nth_event(&self, n: usize, message: &str) -> Value {
        let mut events = self.events.clone();
        let find = |events: &Vec<Value>| {
            let mut said = events.iter().filter(|event| event["message"] == message);
            said.nth(n).cloned()
        };
        in_time(message, async {
            let seen = events.wait_for(|events| find(events).is_some()).await;
            match seen {
                Ok(events) => find(&events).unwrap(),
                Err(_) => panic!("{message:?} is not in the log: {:#?}", self.log()),
            }
        })
        .await
    }

    pub(crate) fn log(&self) -> Vec<Value> {
        self.events.borrow().clone()
    }

    /// Where a listener is.
    pub(crate) fn at(&self, listener: &str) -> SocketAddr {
        let log = self.log();
        let mut events = log.iter();
        let event = events.find(|event| event["message"] == "listening" && event["listener"] == listener);
        let event = event.unwrap_or_else(|| panic!("{listener} is not in {log:#?}"));
        event["addr"].as_str().unwrap().parse().unwrap()
    }

    pub(crate) fn gate(&self) -> Client {
        client(self.at("gate"), HOST)
    }

    pub(crate) fn operator(&self) -> Client {
        client(self.at("operator"), "127.0.0.1")
    }

    /// The value of a metric, with its labels as they stand there; 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let metrics = self.operator().get("/metrics").await;
        let mut lines = metrics.text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    pub(crate) async fn signal(&self, signal: &str) {
        let pid = self.process.id().unwrap().to_string();
        let mut kill = Command::new("kill");
        let told = kill.args([&format!("-{signal}"), &pid]).status().await.unwrap();
        assert!(told.success());
    }

    /// Waits for the end; answers the exit code and what was logged.
    pub(crate) async fn ended(mut self) -> (Option<i32>, Vec<Value>) {
        let ended = in_time("the end", self.process.wait()).await.unwrap();
        // The log has ended with the process.
        let mut events = self.events.clone();
        in_time("the end of the log", async {
            while events.changed().await.is_ok() {}
        })
        .await;
        (ended.code(), self.log())
    }

    /// Stops it in order.
    pub(crate) async fn stop(self) -> Vec<Value> {
        self.signal("TERM").await;
        let (code, log) = self.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        log
    }

    /// Alice asks for admin, and Bob approves; answers the request.
    pub(crate) async fn grant(&self, gate: &Client) -> Value {
        let ask = json!({"resource": "admin", "reason": "look into INC-42", "duration": "5m"});
        let asked = gate.clone().by(ALICE).post("/_jit/v1/requests", &ask).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        let asked = asked.json();
        let approval = json!({"decision": "approve", "digest": asked["digest"]});
        let url = format!("{}/review", asked["url"].as_str().unwrap());
        let approved = gate.clone().by(BOB).post(&url, &approval).await;
        assert_eq!(approved.json()["state"], "active", "{approved:?}");
        asked
    }
}

/// Tries until a listener refuses connections.
pub(crate) async fn refused(at: SocketAddr) {
    in_time("a refused connection", async {
        while tokio::net::TcpStream::connect(at).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) fn shown(path: &Path) -> String {
    path.display().to_string()
}
