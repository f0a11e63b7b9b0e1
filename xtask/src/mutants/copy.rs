//! The copy of the workspace that bugs are planted in.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// A copy of every file that git tracks or would track.
#[derive(Debug)]
pub(crate) struct Copy {
    root: PathBuf,
    files: BTreeSet<PathBuf>,
}

impl Copy {
    /// Makes the folder `to` the same as the workspace `from`. A file that is the same already is left alone, so that cargo sees
    /// what changed; a bug that an interrupted run left behind is undone.
    pub(crate) fn sync(from: &Path, to: PathBuf) -> Result<Self> {
        let mut files = BTreeSet::new();
        for file in listed(from)? {
            // What git lists and the work tree has not is deleted and not committed yet.
            if from.join(&file).is_file() {
                refresh(&from.join(&file), &to.join(&file))?;
                files.insert(file);
            }
        }
        remove_others(&to, Path::new(""), &files)?;
        Ok(Self { root: to, files })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the copy of `file` is.
    pub(crate) fn path(&self, file: &str) -> Result<PathBuf> {
        if !self.files.contains(Path::new(file)) {
            return Err(format!("{file} is no file of the workspace").into());
        }
        Ok(self.root.join(file))
    }
}

/// Tracked files, and untracked ones that are not ignored.
fn listed(root: &Path) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(root)
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("git ls-files: {error}"))?;
    if !output.status.success() {
        return Err("git ls-files failed; the mutants need a git checkout".into());
    }
    let list = String::from_utf8(output.stdout)?;
    Ok(list.split_terminator('\0').map(PathBuf::from).collect())
}

fn refresh(from: &Path, to: &Path) -> Result<()> {
    let wanted = fs::read(from).map_err(|error| format!("{}: {error}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(to, wanted).map_err(|error| format!("{}: {error}", to.display()).into())
}

/// Removes what is below `root`/`folder` and not among `files`.
fn remove_others(root: &Path, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            remove_others(root, &path, files)?;
        } else if !files.contains(&path) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let status = Command::new("git")
            .current_dir(folder)
            .args(arguments)
            // Set inside a git hook, and then of another repository.
            .env_remove("GIT_DIR")
            .env_remove("GIT_INDEX_FILE")
            .env_remove("GIT_WORK_TREE")
            .status()
            .unwrap();
        assert!(status.success(), "git {arguments:?}");
    }

    #[test]
    fn the_copy_follows_the_work_tree() {
        let home = tempfile::tempdir().unwrap();
        let (from, to) = (home.path().join("from"), home.path().join("to"));
        fs::create_dir_all(from.join("src")).unwrap();
        git(&from, &["init", "--quiet"]);
        for (file, text) in [
            (".gitignore", "/target\n"),
            ("src/tracked.rs", "1"),
            ("src/gone.rs", "1"),
            ("target", "ignored"),
        ] {
            fs::write(from.join(file), text).unwrap();
        }
        git(&from, &["add", "."]);
        fs::write(from.join("src/new.rs"), "untracked").unwrap();

        let copy = Copy::sync(&from, to.clone()).unwrap();
        assert_eq!(fs::read_to_string(to.join("src/new.rs")).unwrap(), "untracked");
        assert!(!to.join("target").exists());
        copy.path("src/gone.rs").unwrap();
        for stranger in ["target", "../from/src/new.rs", "src", "/etc/passwd"] {
            copy.path(stranger).unwrap_err();
        }

        let untouched = fs::metadata(to.join("src/new.rs")).unwrap().modified().unwrap();
        fs::write(to.join("src/tracked.rs"), "a bug left behind").unwrap();
        fs::remove_file(from.join("src/gone.rs")).unwrap();
        let copy = Copy::sync(&from, to.clone()).unwrap();
        assert_eq!(fs::read_to_string(to.join("src/tracked.rs")).unwrap(), "1");
        assert!(!to.join("src/gone.rs").exists());
        copy.path("src/gone.rs").unwrap_err();
        assert_eq!(
            fs::metadata(to.join("src/new.rs")).unwrap().modified().unwrap(),
            untouched
        );
    }
}
