//! A real OpenID Connect provider: the npm package `oauth2-mock-server`, installed once below the target directory.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

const FILES: [(&str, &str); 3] = [
    ("package.json", include_str!("package.json")),
    ("package-lock.json", include_str!("package-lock.json")),
    ("server.mjs", include_str!("server.mjs")),
];

/// A provider of its own for one test. It ends with its value.
pub(crate) struct Provider {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    pub(crate) issuer: String,
}

impl Provider {
    /// Starts one with a key `one` for RS256.
    pub(crate) fn start() -> Self {
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(installed())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| {
                panic!(
                    "node is missing ({error}): install Node.js 20 or newer; this test starts a real provider"
                )
            });
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        let mut provider = Self {
            child,
            input,
            output,
            issuer: String::new(),
        };
        provider.issuer = provider.answer()["issuer"].as_str().unwrap().to_owned();
        provider.generate("RS256", "one");
        provider
    }

    /// Publishes one more key.
    pub(crate) fn generate(&mut self, alg: &str, kid: &str) {
        self.command(&json!({"command": "key", "alg": alg, "kid": kid}));
    }

    /// A token with these claims for an hour, signed with that key.
    pub(crate) fn token(&mut self, kid: &str, claims: &Value) -> String {
        let command = json!({"command": "token", "kid": kid, "claims": claims, "seconds": 3600});
        self.command(&command)["token"].as_str().unwrap().to_owned()
    }

    /// Stops answering over the network.
    pub(crate) fn stop(&mut self) {
        self.command(&json!({"command": "stop"}));
    }

    /// Answers again, at the same place.
    pub(crate) fn start_again(&mut self) {
        self.command(&json!({"command": "start"}));
    }

    fn command(&mut self, command: &Value) -> Value {
        let input = self.input.as_mut().unwrap();
        writeln!(input, "{command}").unwrap();
        self.answer()
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("the provider ended: {line:?}"))
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        // Without its input it ends by itself; whatever became of it, it must not stay.
        self.input = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The folder that everything is installed in: below the target directory, by the versions in the lock file. One process installs, the
/// others wait for it.
fn installed() -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("oidc-provider");
    fs::create_dir_all(&folder).unwrap();
    let lock = File::create(folder.join(".lock")).unwrap();
    lock.lock().unwrap();
    let done = folder.join(".installed");
    let wanted: String = FILES.iter().map(|(_, text)| *text).collect();
    if fs::read_to_string(&done).is_ok_and(|text| text == wanted) {
        return folder;
    }
    for (name, text) in FILES {
        fs::write(folder.join(name), text).unwrap();
    }
    let install = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"])
        .current_dir(&folder)
        .output()
        .unwrap_or_else(|error| panic!("npm is missing ({error}): install Node.js 20 or newer with npm; this test installs a real provider"));
    assert!(
        install.status.success(),
        "npm could not install what tests/idp/package-lock.json names: {}",
        String::from_utf8_lossy(&install.stderr).trim()
    );
    fs::write(done, wanted).unwrap();
    folder
}
