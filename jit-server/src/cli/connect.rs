//! Which control API, and as whom.
//!
//! 1. Options come first, then the environment.
//! 2. The token is never an argument: other users of the machine see those. It comes from `JIT_TOKEN` or a file.
//! 3. A token is a password: it goes over TLS, or to this very machine, unless it is said outright that it may go in clear.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use reqwest::Url;
use reqwest::header::HeaderValue;

use super::client::Client;
use super::exit::Failure;
use super::inert::inert;

/// What these stand under in a command's help; the command's own options stand under `Options`.
const HEADING: &str = "Control API";
/// Where the control API's URL is, if no option names it.
const URL_VARIABLE: &str = "JIT_URL";
/// Where the token is, if no file is named.
const TOKEN_VARIABLE: &str = "JIT_TOKEN";
/// Where the file of certificate authorities is, if no option names it.
const CA_VARIABLE: &str = "JIT_CA_FILE";
/// Longest token, in bytes; an identity provider's are long.
const TOKEN_MAX: u64 = 16 * 1024;
/// Most bytes of certificates.
const CA_MAX: u64 = 1024 * 1024;

/// What every command that talks to a control API is told.
#[derive(Debug, Clone, Args)]
#[expect(clippy::exhaustive_structs, reason = "a command line is its options")]
pub struct Connect {
    /// Where the control API is, without its /_jit: scheme, host and port. Without it the environment's JIT_URL.
    #[arg(long, value_name = "URL", help_heading = HEADING)]
    pub url: Option<String>,
    /// The file that holds your token. Without it the environment's JIT_TOKEN is the token.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub token_file: Option<PathBuf>,
    /// More certificate authorities to trust, in PEM. Without it the file that the environment's JIT_CA_FILE names.
    #[arg(long, value_name = "FILE", help_heading = HEADING)]
    pub ca_file: Option<PathBuf>,
    /// Send the token in clear to another machine: whoever is on the way can then act as you.
    #[arg(long, help_heading = HEADING)]
    pub dangerous_plain_http: bool,
}

impl Connect {
    /// Reads what it needs; nothing is sent yet.
    pub(super) fn client(&self) -> Result<Client, Failure> {
        let url = self
            .url
            .clone()
            .or_else(|| Some(said(URL_VARIABLE)?.to_string_lossy().into_owned()));
        let url = url.ok_or_else(|| {
            Failure::usage(format!(
                "there is no control API to ask; put its URL into {URL_VARIABLE}, or say --url, as in https://jit.example.com"
            ))
        })?;
        let (base, local) = base(&url, self.dangerous_plain_http)?;
        let token = match &self.token_file {
            Some(file) => read(file, TOKEN_MAX, "--token-file")?,
            None => std::env::var(TOKEN_VARIABLE).map_err(|_| {
                Failure::usage(format!(
                    "there is no token; put yours into {TOKEN_VARIABLE}, or name its file with --token-file"
                ))
            })?,
        };
        let bearer = bearer(&token)?;
        let authorities = self.ca_file.clone().or_else(|| said(CA_VARIABLE).map(Into::into));
        let authorities = authorities.map(|file| read(&file, CA_MAX, "--ca-file or JIT_CA_FILE"));
        let authorities = authorities.transpose()?;
        Client::new(base, local, bearer, authorities.as_deref())
    }
}

/// What the environment says, unless that is empty. Read here and not by the parser of the command line, whose usage lines would show
/// whatever the environment sets as if it had been typed, and had to be.
fn said(variable: &str) -> Option<OsString> {
    std::env::var_os(variable).filter(|value| !value.is_empty())
}

/// The base of the control API's endpoints, and whether it is on this machine.
fn base(text: &str, plain: bool) -> Result<(Url, bool), Failure> {
    let wrong = |why: &str| {
        let shown = inert(text);
        Failure::usage(format!(
            "the control API's URL, --url or {URL_VARIABLE}, {shown:?}, {why}; write something like https://jit.example.com or http://localhost:8081"
        ))
    };
    let mut url = Url::parse(text).map_err(|error| wrong(&format!("is no URL ({error})")))?;
    if !url.username().is_empty() || url.password().is_some() {
        // What it holds must not be repeated.
        return Err(Failure::usage(
            "the control API's URL, --url or JIT_URL, holds a password; leave it out: the token says who you are",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("has a query or a fragment"));
    }
    let host = url.host_str().unwrap_or_default();
    let address = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if local || plain => {}
        "http" => {
            return Err(wrong(
                "would send your token in clear to another machine; use https, or say --dangerous-plain-http",
            ));
        }
        _ => return Err(wrong("is neither https nor http")),
    }
    let path = url.path().trim_end_matches('/');
    let path = format!("{}/_jit/", path.strip_suffix("/_jit").unwrap_or(path));
    url.set_path(&path);
    Ok((url, local))
}

fn bearer(token: &str) -> Result<HeaderValue, Failure> {
    let token = token.trim();
    let fits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    let value = fits
        .then(|| HeaderValue::try_from(format!("Bearer {token}")).ok())
        .flatten();
    let mut value = value.ok_or_else(|| {
        Failure::usage("the token is empty, or not one line of visible ASCII characters; copy it anew")
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn read(file: &Path, max: u64, option: &str) -> Result<String, Failure> {
    let mut text = String::new();
    let read = File::open(file).and_then(|opened| opened.take(max + 1).read_to_string(&mut text));
    let shown = inert(&file.display().to_string());
    match read {
        Ok(length) if length as u64 <= max => Ok(text),
        Ok(_) => Err(Failure::usage(format!(
            "{option} {shown}: longer than {max} bytes; name the right file"
        ))),
        Err(error) => Err(Failure::usage(format!("{option} {shown}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_goes_over_tls_or_stays_on_this_machine() {
        for (url, plain, expected) in [
            (
                "https://jit.example.com",
                false,
                Ok("https://jit.example.com/_jit/"),
            ),
            (
                "https://jit.example.com/_jit/",
                false,
                Ok("https://jit.example.com/_jit/"),
            ),
            ("https://example.com/a/", false, Ok("https://example.com/a/_jit/")),
            ("http://127.0.0.1:8081", false, Ok("http://127.0.0.1:8081/_jit/")),
            ("http://[::1]:8081/", false, Ok("http://[::1]:8081/_jit/")),
            ("http://localhost", false, Ok("http://localhost/_jit/")),
            ("http://jit.example.com", true, Ok("http://jit.example.com/_jit/")),
            ("http://jit.example.com", false, Err("in clear")),
            ("http://localhost.example.com", false, Err("in clear")),
            ("http://127.0.0.1.example.com", false, Err("in clear")),
            ("http://a:secret@127.0.0.1", false, Err("password")),
            ("http://127.0.0.1/?x", false, Err("query")),
            ("ftp://127.0.0.1", false, Err("neither")),
            ("127.0.0.1:8081", false, Err("")),
        ] {
            match (base(url, plain), expected) {
                (Ok((base, _)), Ok(expected)) => assert_eq!(base.as_str(), expected),
                (Err(failure), Err(part)) => {
                    assert!(failure.text.contains(part), "{failure:?}");
                    assert!(!failure.text.contains("secret"), "{failure:?}");
                }
                (got, expected) => panic!("{url}: {got:?}, not {expected:?}"),
            }
        }
    }

    #[test]
    fn a_token_is_one_visible_word() {
        for (token, fits) in [
            ("demo-alice\n", true),
            ("", false),
            (" \n", false),
            ("a b", false),
            ("a\nb", false),
            ("ä", false),
        ] {
            assert_eq!(bearer(token).is_ok(), fits, "{token:?}");
        }
        assert!(!format!("{:?}", bearer("secret").unwrap()).contains("secret"));
    }
}
