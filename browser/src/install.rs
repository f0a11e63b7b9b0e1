//! Finding what drives a browser, or installing it.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::BoxError;

const AXE: &str = include_str!("../axe/package.json");

/// Whether tests must do with a browser: `JIT_TEST_WITHOUT` does not name chromium.
pub fn wanted() -> bool {
    let without = std::env::var("JIT_TEST_WITHOUT").unwrap_or_default();
    !without.split(',').any(|name| name.trim() == "chromium")
}

/// The programs chromium and chromedriver, installed where they are missing.
pub(crate) fn chromium() -> Result<(PathBuf, PathBuf), BoxError> {
    let find = || Some((program("chromium")?, program("chromedriver")?));
    let _lock = lock("chromium")?;
    if let Some(found) = find() {
        return Ok(found);
    }
    if !Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|id| id.stdout == b"0\n")
    {
        return Err("chromium or chromedriver is not installed; install them, run this as root, or set JIT_TEST_WITHOUT=chromium".into());
    }
    println!("Installing the Debian packages chromium and chromium-driver.");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .args([
            "install",
            "-y",
            "-qq",
            "--no-install-recommends",
            "chromium",
            "chromium-driver",
        ])
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    find().ok_or_else(|| "chromium or chromedriver is not on the PATH after their installation".into())
}

/// The script of axe-core, installed below the target folder where it is missing.
pub(crate) fn axe() -> Result<String, BoxError> {
    let _lock = lock("axe")?;
    let folder = target().join("axe");
    let script = folder.join("node_modules/axe-core/axe.min.js");
    let stamp = folder.join("package.json");
    if !(script.is_file() && fs::read_to_string(&stamp).is_ok_and(|text| text == AXE)) {
        println!("Installing axe-core by npm into {}.", folder.display());
        fs::create_dir_all(&folder)?;
        fs::write(&stamp, AXE)?;
        run(Command::new("npm")
            .args([
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
            ])
            .current_dir(&folder))?;
    }
    Ok(fs::read_to_string(script)?)
}

fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// The target folder of cargo.
fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let target = || workspace.unwrap_or(Path::new("")).join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, PathBuf::from)
}

/// One process installs, the others wait for it.
fn lock(name: &str) -> Result<File, BoxError> {
    fs::create_dir_all(target())?;
    let lock = File::create(target().join(format!("{name}.lock")))?;
    lock.lock()?;
    Ok(lock)
}

fn run(command: &mut Command) -> Result<(), BoxError> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{name} can't be run ({error}); install it"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{command:?} failed: {said}").into())
}
