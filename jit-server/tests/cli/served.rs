//! `jit serve` with a policy of a test's own, and the program run by one of its people.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use axum::Router;
use jit_core::clock::{Clock, SystemClock};
use jit_core::id::Digest;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::world::{PATIENCE, Ran, program, ran};

/// The secret of Bob's and of Erin's authenticator apps.
pub(crate) const SECRETS: [&str; 2] = [
    "JF4C2SLQGE3TCNJXGBYXOZLSOR4XK2LP",
    "MFZWIZTHNBVGW3DROVSXE5DZOVUW64DB",
];

const POLICY: &str = r#"
[[resources]]
name = "admin"
hosts = ["app.example.com"]
paths = ["/admin"]

[[resources]]
name = "vault"
hosts = ["app.example.com"]
paths = ["/vault"]

[[policies]]
name = "admin-for-sre"
resources = ["admin"]
requesters = { roles = ["sre"] }
duration = { default = "5m", max = "1h" }
reason = { required = true }
stages = [ { name = "lead", approvers = { roles = ["sre-lead"] } } ]
break_glass = { requesters = { roles = ["sre"] }, max = "20m", review_within = "24h", mfa = { required = false } }

[[policies]]
name = "vault-for-sre"
resources = ["vault"]
requesters = { roles = ["sre"] }
duration = { default = "10m", max = "1h" }
mfa = { max_age = "5m" }
approval = "automatic"
"#;

const CONFIG: &str = r#"
policy = "policy.toml"
people = "people.toml"
database = "jit.db"
operator = { addr = "127.0.0.1:0" }

[listen]
addr = "127.0.0.1:0"

[[upstreams]]
name = "app"
servers = ["APP"]

[console]
addr = "127.0.0.1:0"
origin = "https://access.example.com"
guarded = ["https://app.example.com"]
"#;

/// The program, serving.
pub(crate) struct Served {
    _folder: TempDir,
    process: Child,
    log: JoinHandle<String>,
    gate: String,
    console: String,
}

pub(crate) fn token(who: &str) -> String {
    format!("{who}-has-a-token-of-enough-bits-Zr7Kq0wX2m")
}

pub(crate) async fn serve() -> Served {
    let folder = tempfile::tempdir().unwrap();
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = CONFIG.replace("APP", &app.local_addr().unwrap().to_string());
    tokio::spawn(axum::serve(app, Router::new().fallback(async || "in")).into_future());
    let people: String = [
        ("alice", "sre", ""),
        ("erin", "sre", SECRETS[1]),
        ("bob", "sre-lead", SECRETS[0]),
        ("carol", "sre-lead", ""),
    ]
    .iter()
    .map(|(who, role, secret)| {
        let secret = match *secret {
            "" => String::new(),
            secret => format!("totp_secret = \"{secret}\"\n"),
        };
        let digest = Digest::plain(token(who).as_bytes());
        format!("[[people]]\nname = \"{who}\"\nroles = [\"{role}\"]\ntoken_sha256 = \"{digest}\"\n{secret}")
    })
    .collect();
    for (name, text) in [
        ("policy.toml", POLICY),
        ("people.toml", &people),
        ("jit.toml", &config),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    let mut process = Command::new(env!("CARGO_BIN_EXE_jit"))
        .args(["serve", "--log-format", "json", "--config"])
        .arg(folder.path().join("jit.toml"))
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JIT_LOG")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let (mut gate, mut console) = (String::new(), String::new());
    timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            let event: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line}"));
            let at = || format!("http://{}", event["addr"].as_str().unwrap());
            match (event["message"].as_str().unwrap(), event["listener"].as_str()) {
                ("listening", Some("gate")) => gate = at(),
                ("listening", Some("console")) => console = at(),
                ("ready", _) => return,
                _ => {}
            }
        }
        panic!("it ends before it is ready");
    })
    .await
    .expect("it is ready");
    let rest = tokio::spawn(async move {
        let mut rest = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            rest += &line;
        }
        rest
    });
    Served {
        _folder: folder,
        process,
        log: rest,
        gate,
        console,
    }
}

impl Served {
    /// The program with somebody's token, at the console.
    pub(crate) fn program(&self, who: &str, args: &[&str]) -> Command {
        let mut command = program(args);
        command.env("JIT_URL", &self.console).env("JIT_TOKEN", token(who));
        command
    }

    pub(crate) async fn jit(&self, who: &str, args: &[&str]) -> Ran {
        ran(self.program(who, args)).await
    }

    /// What the gate, or the application behind it, answers to a GET with these headers.
    pub(crate) async fn open(&self, path: &str, fields: &[(&str, &str)]) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client
            .get(format!("{}{path}", self.gate))
            .header("host", "app.example.com");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = timeout(PATIENCE, request.send())
            .await
            .expect("an answer")
            .unwrap();
        answer.status().as_u16()
    }

    /// Stops it in order; answers what it logged since it was ready.
    pub(crate) async fn stop(mut self) -> String {
        let pid = self.process.id().unwrap().to_string();
        let told = Command::new("kill").arg(&pid).status().await.unwrap();
        assert!(told.success());
        let ended = timeout(PATIENCE, self.process.wait()).await.expect("it stops");
        assert_eq!(ended.unwrap().code(), Some(0));
        self.log.await.unwrap()
    }

    /// Sends a code of an app on standard input; answers how `jit step-up` ended.
    pub(crate) async fn step_up(&self, who: &str, code: &str, more: &[&str]) -> Ran {
        use tokio::io::AsyncWriteExt;

        let mut command = self.program(who, &[&["step-up"], more].concat());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(code.as_bytes()).await.unwrap();
        drop(stdin);
        Ran::of(
            timeout(PATIENCE, child.wait_with_output())
                .await
                .expect("it ends")
                .unwrap(),
        )
    }
}

/// The code that an app with this secret shows now.
pub(crate) fn code(secret: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build().unwrap();
    let now = u64::try_from(SystemClock::new().now().timestamp()).unwrap();
    app.generate(now).to_string()
}
