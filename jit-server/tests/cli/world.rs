//! A running demo, and the program run by one of its people.

use std::net::SocketAddr;
use std::process::{Output, Stdio};
use std::time::Duration;

use jit_server::BoxError;
use jit_server::demo::{Demo, DemoArgs};
use serde_json::Value;
use tokio::process::Command;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Longer than anything here takes. What is not there by then is not coming.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A demo on free ports.
pub(crate) struct World {
    pub(crate) console: String,
    pub(crate) guarded: String,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<(), BoxError>>,
}

pub(crate) async fn start() -> World {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    let args = DemoArgs {
        listen: free,
        console: free,
        policy: None,
        people: None,
        no_open: true,
    };
    let demo = Demo::open(&args).await.unwrap();
    let (stop, stopped) = oneshot::channel();
    World {
        console: format!("http://{}", demo.console()),
        guarded: format!("http://{}", demo.guarded()),
        stop,
        served: tokio::spawn(demo.serve(async {
            let _ = stopped.await;
        })),
    }
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code().unwrap_or(-1),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// It ended with `code`, and said each of `parts` on standard error.
    pub(crate) fn ended(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, code, "{self:?}");
        for part in parts {
            assert!(self.err.contains(part), "no {part:?}: {self:?}");
        }
        self
    }

    /// It is done, and printed each of `parts`.
    pub(crate) fn done(self, parts: &[&str]) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        for part in parts {
            assert!(self.out.contains(part), "no {part:?}: {self:?}");
        }
        self
    }
}

/// The program, with nothing of this process's environment that it would listen to, and nobody to ask.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jit"));
    command
        .args(args)
        .env_remove("JIT_URL")
        .env_remove("JIT_TOKEN")
        .env_remove("JIT_CA_FILE")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

pub(crate) async fn ran(mut command: Command) -> Ran {
    let output = timeout(PATIENCE, command.output())
        .await
        .expect("it ends")
        .unwrap();
    Ran::of(output)
}

pub(crate) async fn jit(args: &[&str]) -> Ran {
    ran(program(args)).await
}

impl World {
    /// The program with somebody's token.
    pub(crate) fn program(&self, who: &str, args: &[&str]) -> Command {
        let mut command = program(args);
        command
            .env("JIT_URL", &self.console)
            .env("JIT_TOKEN", format!("demo-{who}"));
        command
    }

    pub(crate) async fn jit(&self, who: &str, args: &[&str]) -> Ran {
        ran(self.program(who, args)).await
    }

    /// Alice asks for admin; answers the request.
    pub(crate) async fn ask(&self) -> Value {
        let args = [
            "request",
            "-r",
            "admin",
            "--reason",
            "look into INC-42",
            "-d",
            "5m",
            "-o",
            "json",
        ];
        self.jit("alice", &args).await.done(&[]).json()
    }

    pub(crate) async fn approve(&self, id: &str) {
        let seen = self.jit("bob", &["show", id, "-o", "json"]).await.json();
        let digest = seen["digest"].as_str().unwrap();
        self.jit("bob", &["approve", id, "--digest", digest])
            .await
            .done(&["active"]);
    }

    pub(crate) async fn state(&self, id: &str) -> String {
        let seen = self.jit("alice", &["show", id, "-o", "json"]).await.json();
        seen["state"].as_str().unwrap().to_owned()
    }

    /// Stops it in order.
    pub(crate) async fn end(self) {
        self.stop.send(()).unwrap();
        timeout(PATIENCE, self.served)
            .await
            .expect("it stops")
            .unwrap()
            .unwrap();
    }
}

pub(crate) fn id(request: &Value) -> &str {
    request["id"].as_str().unwrap()
}
