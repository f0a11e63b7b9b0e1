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
type Wrong = (String, &'static str);

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
            "keep `totp_secret_file`",
        )),
        (Some(text), None) => decoded("`totp_secret`", &text).map(Some),
        (None, Some(name)) => {
            let text = from_file(&folder.join(&name)).map_err(|error| {
                (
                    format!("`totp_secret_file` can't be read: {error}"),
                    "name a file of at most 4 KiB that holds the secret in base32, beside the people file",
                )
            })?;
            decoded("`totp_secret_file`", &text).map(Some)
        }
    }
}

/// Most bytes of a file with a secret.
const FILE_MAX: u64 = 4096;

fn from_file(path: &Path) -> std::io::Result<String> {
    use std::io::Read;
    let mut text = String::new();
    std::fs::File::open(path)?
        .take(FILE_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(not(feature = "totp"))]
fn decoded(key: &str, _: &str) -> Result<TotpSecret, Wrong> {
    Err((
        format!("{key} is there, and this build knows no TOTP"),
        "take it out, or build with the feature `totp`",
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
    let secret = totp_rs::Secret::try_from_base32(plain.trim_end_matches('='))
        .map_err(|_| (format!("{key} is not base32"), MEND))?;
    let bytes = secret.as_bytes();
    if bytes.len() < 16 {
        let bits = bytes.len() * 8;
        return Err((format!("{key} is {bits} bits long, and needs 128"), MEND));
    }
    if bytes.len() > 128 {
        return Err((format!("{key} is longer than 1024 bits"), MEND));
    }
    // Of 16 random bytes fewer than 9 differ about once in 10^9 secrets.
    let distinct = bytes.iter().collect::<std::collections::BTreeSet<_>>().len();
    if distinct < 9 || is_sequence(bytes) || bytes == b"12345678901234567890" {
        return Err((format!("{key} does not look random"), MEND));
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
