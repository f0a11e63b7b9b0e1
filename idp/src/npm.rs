//! Installing what the providers are made of.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

const FILES: [(&str, &str); 4] = [
    ("package.json", include_str!("../npm/package.json")),
    ("package-lock.json", include_str!("../npm/package-lock.json")),
    ("tokens.mjs", include_str!("../npm/tokens.mjs")),
    ("sign-in.mjs", include_str!("../npm/sign-in.mjs")),
];

/// The folder that everything is installed in: below the target folder, by the versions in the lock file. One process installs, the
/// others wait for it.
pub(crate) fn installed() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    let target = || workspace.unwrap_or(Path::new("")).join("target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(target, PathBuf::from);
    let folder = target.join("idp");
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
        "npm could not install what idp/npm/package-lock.json names: {}",
        String::from_utf8_lossy(&install.stderr).trim()
    );
    fs::write(done, wanted).unwrap();
    folder
}
