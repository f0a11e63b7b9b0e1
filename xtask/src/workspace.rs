//! What cargo says about the workspace, and how to call cargo.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde::Deserialize;

use crate::Result;

/// The workspace as `cargo metadata` tells it.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of the root Cargo.toml.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
    /// The members.
    pub(crate) packages: Vec<Package>,
}

/// One member of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Every feature, the implicit ones of optional dependencies too.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    targets: Vec<Target>,
    /// The registries that it may go to: all if `None`, none if empty.
    publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
}

impl Workspace {
    /// Asks cargo about the workspace that this command is part of.
    pub(crate) fn load() -> Result<Self> {
        let output = cargo()
            .args(["metadata", "--no-deps", "--format-version=1"])
            .stderr(Stdio::inherit())
            .output()?;
        if !output.status.success() {
            return Err("cargo metadata failed".into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The library crates that the project publishes, without examples, benches and tools.
    pub(crate) fn libraries(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| {
            let library = package
                .targets
                .iter()
                .any(|target| target.kind.iter().any(|kind| kind == "lib"));
            library && package.publish != Some(Vec::new())
        })
    }
}

/// The cargo that runs this command, in the workspace that it belongs to.
pub(crate) fn cargo() -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Starts to measure how long something takes.
#[expect(
    clippy::disallowed_methods,
    reason = "a report's timing; nothing is decided by it"
)]
pub(crate) fn stopwatch() -> Instant {
    Instant::now()
}
