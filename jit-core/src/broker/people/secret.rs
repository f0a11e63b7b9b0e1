//! The secrets of authenticator apps, as the people file gives them.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The secret that a person's authenticator app shares with this server. It is never printed.
///
/// Two are equal when their bytes are; this is asked of a file's own secrets only, never of something that a caller sent.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Arc<[u8]>);

impl TotpSecret {
    /// These bytes, unchecked.
    #[cfg(any(test, feature = "totp"))]
    pub(crate) fn new(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    #[cfg(feature = "totp")]
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(<redacted>)")
    }
}

/// What is wrong, without quoting the secret, and what mends it.
type Wrong = (String, String);

/// The secret of an entry, from itself or from the file that it names in `folder`.
pub(super) fn read(
    inline: Option<String>,
    file: Option<String>,
    folder: &Path,
) -> Result<Option<TotpSecret>, Wrong> {
    match (inline, file) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err((
            "there are both `totp_secret` and `totp_secret_file`".to_owned(),
            "keep `totp_secret_file`".to_owned(),
        )),
        (Some(text), None) => decoded("`totp_secret`", &text).map(Some),
        (None, Some(name)) => {
            let text = from_file(&folder.join(&name))?;
            decoded("`totp_secret_file`", &text).map(Some)
        }
    }
}

/// Most bytes of a file with a secret.
const FILE_MAX: u64 = 4096;

fn from_file(path: &Path) -> Result<String, Wrong> {
    use std::io::Read;
    let unread = |error: std::io::Error| {
        (
            format!("`totp_secret_file` can't be read: {error}"),
            "name a file of at most 4 KiB that holds the secret in base32, beside the people file".to_owned(),
        )
    };
    let file = std::fs::File::open(path).map_err(unread)?;
    // Of the file that is read, not of one that took its name meanwhile.
    guard(path, &file.metadata().map_err(unread)?)?;
    let mut text = String::new();
    file.take(FILE_MAX).read_to_string(&mut text).map_err(unread)?;
    Ok(text)
}

/// Refuses a file that its group or others have any right to: whoever read it once makes the same codes from then on.
#[cfg(unix)]
fn guard(path: &Path, found: &std::fs::Metadata) -> Result<(), Wrong> {
    use std::os::unix::fs::PermissionsExt;
    let mode = found.permissions().mode() & 0o7777;
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.display();
    Err((
        format!("`totp_secret_file` {path} has mode {mode:04o}, which gives others more than they may have"),
        format!("check who has used that, make a new secret if anyone has, then: chmod 600 {path}"),
    ))
}

/// Permissions are not read here.
#[cfg(not(unix))]
fn guard(_: &Path, _: &std::fs::Metadata) -> Result<(), Wrong> {
    Ok(())
}

#[cfg(not(feature = "totp"))]
fn decoded(key: &str, _: &str) -> Result<TotpSecret, Wrong> {
    Err((
        format!("{key} is there, and this build knows no TOTP"),
        "take it out, or build with the feature `totp`".to_owned(),
    ))
}

#[cfg(feature = "totp")]
fn decoded(key: &str, text: &str) -> Result<TotpSecret, Wrong> {
    const MEND: &str = "make one: head -c 20 /dev/urandom | base32";
    let plain: String = text
        .chars()
        .filter(|c| !c.is_ascii_whitespace() && *c != '-')
        .map(|c| c.to_ascii_uppercase())
        .collect();
    let wrong = |problem: String| (problem, MEND.to_owned());
    let secret = totp_rs::Secret::try_from_base32(plain.trim_end_matches('='))
        .map_err(|_| wrong(format!("{key} is not base32")))?;
    let bytes = secret.as_bytes();
    if bytes.len() < 16 {
        let bits = bytes.len() * 8;
        return Err(wrong(format!("{key} is {bits} bits long, and needs 128")));
    }
    if bytes.len() > 128 {
        return Err(wrong(format!("{key} is longer than 1024 bits")));
    }
    // Of 16 random bytes fewer than 9 differ about once in 10^9 secrets.
    let distinct = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < 9 || is_sequence(bytes) || bytes == b"12345678901234567890" {
        return Err(wrong(format!("{key} does not look random")));
    }
    Ok(TotpSecret::new(bytes))
}

/// Whether all bytes are as far from the one before.
#[cfg(feature = "totp")]
fn is_sequence(bytes: &[u8]) -> bool {
    let step = |pair: &[u8]| match pair {
        [a, b] => b.wrapping_sub(*a),
        _ => 0,
    };
    let mut steps = bytes.windows(2).map(step);
    let first = steps.next();
    steps.all(|step| Some(step) == first)
}
