//! Builds a package's tests and runs some of them, within a time limit.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::Deserialize;

use crate::Result;
use crate::schedules;
use crate::tally::Tally;
use crate::workspace::{cargo, stopwatch};

/// The longest that one test binary may run: long enough for slow machines, short enough that a planted deadlock does not stop
/// the run.
const TIME_LIMIT: Duration = Duration::from_secs(300);

/// What the table calls the unit tests that are built for `cargo xtask schedules`.
const SCHEDULES: &str = "schedules";

/// Where the copy is built and tested.
#[derive(Debug)]
pub(crate) struct Bench {
    root: PathBuf,
    target: PathBuf,
}

/// What building and running came to.
#[derive(Debug)]
pub(crate) enum Run {
    /// The compiler's errors.
    DidNotCompile(String),
    /// Stopped after the time limit.
    TimedOut,
    /// All test binaries came to an end.
    Ended(Tally),
}

/// One line of cargo's JSON messages; all that is of interest here.
#[derive(Debug, Deserialize)]
struct Message {
    manifest_path: Option<PathBuf>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    test: bool,
}

/// A built test binary and the folder of its package.
#[derive(Debug, PartialEq, Eq)]
struct TestBinary {
    executable: PathBuf,
    folder: PathBuf,
}

impl Bench {
    pub(crate) fn new(root: &Path, target: PathBuf) -> Self {
        Self {
            root: root.to_owned(),
            target,
        }
    }

    /// Builds one test binary of `package` and runs those of its tests that one of `filters` names.
    pub(crate) fn run(&self, package: &str, target: &str, filters: &[&str]) -> Result<Run> {
        let mut command = cargo();
        command
            .current_dir(&self.root)
            .args(["test", "--no-run", "--quiet", "-p", package])
            .arg("--message-format=json-render-diagnostics")
            .env("CARGO_TARGET_DIR", &self.target)
            .env("CARGO_PROFILE_DEV_DEBUG", "0");
        match target {
            "lib" => command.args(["--all-features", "--lib"]),
            SCHEDULES => {
                schedules::instrument(&mut command, &self.target.join(SCHEDULES));
                command.args(["--features", schedules::FEATURES, "--lib"])
            }
            name => command.args(["--all-features", "--test", name]),
        };
        let output = command.output()?;
        if !output.status.success() {
            return Ok(Run::DidNotCompile(
                String::from_utf8_lossy(&output.stderr).into_owned(),
            ));
        }
        let mut tally = Tally::default();
        for binary in test_binaries(&String::from_utf8_lossy(&output.stdout)) {
            match binary.run(filters, TIME_LIMIT)? {
                Some(of_this) => tally.add(of_this),
                None => return Ok(Run::TimedOut),
            }
        }
        Ok(Run::Ended(tally))
    }
}

fn test_binaries(messages: &str) -> Vec<TestBinary> {
    messages
        .lines()
        .filter_map(|line| {
            let message: Message = serde_json::from_str(line).ok()?;
            message.profile.filter(|profile| profile.test)?;
            Some(TestBinary {
                executable: message.executable?,
                folder: message.manifest_path?.parent()?.to_owned(),
            })
        })
        .collect()
}

impl TestBinary {
    /// What it printed, read; `None` if it did not end within `limit` and was killed.
    fn run(&self, filters: &[&str], limit: Duration) -> Result<Option<Tally>> {
        let mut child = Command::new(&self.executable)
            .args(filters)
            .current_dir(&self.folder)
            .env("CARGO_MANIFEST_DIR", &self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("{}: {error}", self.executable.display()))?;
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let mut output = Vec::new();
            // A pipe that breaks leaves a run without a result, which counts as a binary that died.
            let _ = stdout.map(|mut stdout| stdout.read_to_end(&mut output));
            output
        });
        if !ends_within(&mut child, limit)? {
            return Ok(None);
        }
        let output = reader
            .join()
            .map_err(|_| "the reader of a test's output panicked")?;
        Ok(Some(Tally::of(&String::from_utf8_lossy(&output))))
    }
}

/// Waits; kills the child if it takes longer than `limit`.
fn ends_within(child: &mut Child, limit: Duration) -> Result<bool> {
    let started = stopwatch();
    while child.try_wait()?.is_none() {
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(false);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_test_binaries_are_run() {
        let messages = r#"
{"reason":"compiler-artifact","manifest_path":"/w/p/Cargo.toml","profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","manifest_path":"/w/p/Cargo.toml","profile":{"test":false},"executable":"/t/p"}
{"reason":"compiler-artifact","manifest_path":"/w/p/Cargo.toml","profile":{"test":true},"executable":"/t/p-1"}
{"reason":"build-finished","success":true}
"#;
        let binary = TestBinary {
            executable: "/t/p-1".into(),
            folder: "/w/p".into(),
        };
        assert_eq!(test_binaries(messages), [binary]);
    }

    #[cfg(unix)]
    #[test]
    fn a_binary_that_hangs_is_stopped() {
        let binary = |name: &str| TestBinary {
            executable: name.into(),
            folder: "/".into(),
        };
        assert_eq!(binary("sleep").run(&["600"], Duration::ZERO).unwrap(), None);
        let tally = binary("echo")
            .run(&["test", "a", "...", "ok"], TIME_LIMIT)
            .unwrap();
        assert_eq!(tally.unwrap().passes, ["a"]);
    }
}
