//! `cargo xtask openapi`: has schemathesis try the control API by its own description.
//!
//! What it sends is made from the OpenAPI file that the server hands out: valid and invalid, examples, boundaries, random input, and sequences in
//! which one answer's ids go into the next request. What fails is an answer of 500 or more, and one that the file does not describe: its status,
//! content type, headers or body. Every person of the demo sees another part of the API, so each has a turn, with a demo of their own in which
//! alice waits for access already.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};

use serde_json::json;

use crate::Result;
use crate::args::Args;
use crate::http::call;
use crate::workspace::{Workspace, cargo};

pub(crate) const COMMAND: crate::Command = crate::Command {
    name: "openapi",
    usage: "[--seconds N] [--seed S]",
    about: "Has schemathesis try a demo's control API by its OpenAPI file, as four people, N seconds (120) each; the first run installs it with pip.",
    in_test: None,
    run,
};

const SCHEMATHESIS: &str = "schemathesis==4.32.5";
/// One who asks, one who decides, one who also reads the log and locks down, and one who may do nothing.
const PEOPLE: [&str; 4] = ["alice", "bob", "carol", "mallory"];
/// Not looked for: what the file allows may still be refused, as a position in the log that nobody was given is.
const UNFIT: &str = "positive_data_acceptance";
/// In seconds. A client that waits for a change is answered after 30.
const TIMEOUT: &str = "45";

fn run(mut args: Args) -> Result<ExitCode> {
    let seconds = args.value::<u32>("--seconds")?.unwrap_or(120);
    let seed = args.value::<u64>("--seed")?.unwrap_or(1);
    args.finish()?;
    let workspace = Workspace::load()?;
    let folder = workspace.target.join("openapi");
    std::fs::create_dir_all(&folder)?;
    let schemathesis = install(&folder)?;
    let built = cargo().args(["build", "--quiet", "-p", "jit-server"]).status()?;
    if !built.success() {
        return Err("jit did not build".into());
    }
    let jit = workspace.target.join("debug").join("jit");

    let mut failed = false;
    for person in PEOPLE {
        let demo = Demo::start(&jit)?;
        demo.is_asked(person)?;
        let log = folder.join(format!("{person}.log"));
        let tried = Command::new(&schemathesis)
            .arg("run")
            .arg(format!("{}/_jit/openapi.json", demo.console))
            .args(["--header", &format!("Authorization: Bearer demo-{person}")])
            .args(["--exclude-checks", UNFIT, "--request-timeout", TIMEOUT])
            .args(["--max-time", &seconds.to_string(), "--seed", &seed.to_string()])
            .arg("--continue-on-failure")
            .current_dir(&folder)
            .stdout(File::create(&log)?)
            .status()?;
        let report = std::fs::read_to_string(&log)?;
        let cases = cases(&report);
        println!("openapi, as {person}: {}", cases.unwrap_or("no report"));
        if !tried.success() || cases.is_none() {
            failed = true;
            println!("{report}\nthat is {}", log.display());
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Where schemathesis is, once it is there.
fn install(folder: &Path) -> Result<PathBuf> {
    let place = folder.join(SCHEMATHESIS);
    let program = place.join("bin").join("schemathesis");
    if !program.exists() {
        let run = |command: &mut Command| command.status().is_ok_and(|status| status.success());
        let made = run(Command::new("python3").args(["-m", "venv"]).arg(&place))
            && run(Command::new(place.join("bin").join("pip")).args(["install", "--quiet", SCHEMATHESIS]));
        if !made {
            return Err(format!("schemathesis could not be installed: python3 with venv, and a package index for `pip install {SCHEMATHESIS}`, are needed").into());
        }
    }
    Ok(program)
}

/// What the report says of how many requests there were, and of those that failed.
fn cases(report: &str) -> Option<&str> {
    let mut lines = report.lines().skip_while(|line| line.trim() != "Test cases:");
    lines.nth(1).map(str::trim)
}

/// A demo that runs until it is dropped.
struct Demo {
    child: Child,
    /// Kept open: it writes to it.
    stdout: BufReader<ChildStdout>,
    application: String,
    /// The console's address, where the control API is too.
    console: String,
}

impl Demo {
    fn start(jit: &Path) -> Result<Self> {
        let mut child = Command::new(jit)
            .args([
                "demo",
                "--no-open",
                "--listen",
                "127.0.0.1:0",
                "--console",
                "127.0.0.1:0",
            ])
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let mut demo = Self {
            child,
            stdout: BufReader::new(stdout),
            application: String::new(),
            console: String::new(),
        };
        let mut line = String::new();
        while demo.stdout.read_line(&mut line)? > 0 {
            if let Some(application) = line.trim().strip_prefix("guarded application ") {
                demo.application = application.trim().to_owned();
            }
            if let Some(console) = line.trim().strip_prefix("console ") {
                demo.console = console.trim().to_owned();
                return Ok(demo);
            }
            line.clear();
        }
        Err("the demo did not start".into())
    }

    /// Has alice ask for what somebody has to agree to, and sees that this person is let in.
    fn is_asked(&self, person: &str) -> Result<()> {
        let at = self.application.trim_start_matches("http://").parse()?;
        for resource in ["admin", "payroll"] {
            let asking = json!({"resource": resource, "reason": "look into INC-42"});
            match call(at, "POST", "/_jit/v1/requests", "demo-alice", Some(&asking)) {
                Some((201, _)) => {}
                other => return Err(format!("alice could not ask for {resource}: {other:?}").into()),
            }
        }
        match call(at, "GET", "/_jit/v1/me", &format!("demo-{person}"), None) {
            Some((200, _)) => Ok(()),
            other => Err(format!("{person} was not let in: {other:?}").into()),
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_cases_is_found_in_a_report() {
        let report = "SUMMARY\n\nTest cases:\n  4936 generated, 12 found 12 unique failures\n\nSeed: 1\n";
        assert_eq!(cases(report), Some("4936 generated, 12 found 12 unique failures"));
        assert_eq!(cases("Network Error\n"), None);
    }
}
