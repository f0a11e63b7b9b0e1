//! What an operator decides about the endpoints.

use std::time::Duration;

use jit_core::gate::hygiene::TrustedProxies;

/// Longest address of the request page or the control API, in bytes.
const URL_MAX: usize = 512;

/// What an operator decides about the endpoints.
#[derive(Debug, Clone)]
pub struct AuthzSettings {
    pub(crate) proxies: TrustedProxies,
    pub(crate) page: Option<String>,
    pub(crate) control: Option<String>,
    pub(crate) passes_control: bool,
    pub(crate) checks: usize,
    pub(crate) connections: usize,
    pub(crate) patience: Duration,
}

/// Why settings can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// No proxy is trusted.
    #[error(
        "no proxy is trusted, so that nobody could ask; list the addresses that the balancers ask from, such as 127.0.0.1 or 10.0.0.0/8"
    )]
    NobodyTrusted,
    /// Text that can't be an address to send people to.
    #[error(
        "{0:?} is no address to send people to; write a path such as /_jit/ask, or a URL such as https://access.example.com/ask, without a fragment"
    )]
    Url(String),
    /// A limit of nothing.
    #[error("{0} must be at least 1")]
    Zero(&'static str),
}

impl AuthzSettings {
    /// Answers the balancers that ask from `proxies`, and nobody else. Who can ask can choose what is asked about: list balancers
    /// alone, and let no client reach the listener through one of them.
    ///
    /// # Errors
    /// [`SettingsError::NobodyTrusted`] when the list is empty.
    pub fn new(proxies: TrustedProxies) -> Result<Self, SettingsError> {
        if proxies.is_empty() {
            return Err(SettingsError::NobodyTrusted);
        }
        Ok(Self {
            proxies,
            page: None,
            control: None,
            passes_control: false,
            checks: 1024,
            connections: 4096,
            patience: Duration::from_secs(5),
        })
    }

    /// Sends browsers here when a sign-in or a grant is missing: a path of the guarded host, or a URL. It gets the parameters
    /// `reason` (the kind of refusal), `resource` and `request` where the caller may learn them, and `return`, the address that was
    /// wanted. Without, browsers get a plain page.
    ///
    /// The page must treat `return` as text of a stranger: it is an address on a guarded host, but who follows a link has not chosen it.
    ///
    /// # Errors
    /// [`SettingsError::Url`].
    pub fn with_page(mut self, url: &str) -> Result<Self, SettingsError> {
        self.page = Some(checked(url)?);
        Ok(self)
    }

    /// Tells programs that the control API is here, in place of the gate's own prefix on the guarded host: for a control API on a
    /// host of its own.
    ///
    /// # Errors
    /// [`SettingsError::Url`].
    pub fn with_control(mut self, url: &str) -> Result<Self, SettingsError> {
        self.control = Some(checked(url.trim_end_matches('/'))?);
        Ok(self)
    }

    /// Lets the control API's own paths through without a grant: for a balancer that routes them to the control API, which makes
    /// decisions of its own. Without, they are refused like everything that is not open.
    #[must_use]
    pub fn with_control_passage(mut self) -> Self {
        self.passes_control = true;
        self
    }

    /// Lets at most so many questions at once wait for a credential to be verified or a budget to be reserved, 1024 unless said otherwise;
    /// one more is refused. What is known already is answered at once and needs no place.
    ///
    /// # Errors
    /// [`SettingsError::Zero`].
    pub fn with_checks(mut self, limit: usize) -> Result<Self, SettingsError> {
        self.checks = some(limit, "the number of questions at once")?;
        Ok(self)
    }

    /// Keeps at most so many connections, 4096 unless said otherwise; one more is closed.
    ///
    /// # Errors
    /// [`SettingsError::Zero`].
    pub fn with_connections(mut self, limit: usize) -> Result<Self, SettingsError> {
        self.connections = some(limit, "the number of connections")?;
        Ok(self)
    }

    /// Waits at most so long for a credential to be verified or a budget to be reserved, 5 s unless said otherwise. Longer than the
    /// balancer's own patience is of no use.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }
}

fn some(limit: usize, what: &'static str) -> Result<usize, SettingsError> {
    if limit == 0 {
        return Err(SettingsError::Zero(what));
    }
    Ok(limit.min(tokio::sync::Semaphore::MAX_PERMITS))
}

/// A path or an http URL that can stand in a Location field and in JSON as it is.
fn checked(url: &str) -> Result<String, SettingsError> {
    let rest = ["https://", "http://", "/"]
        .iter()
        .find_map(|start| url.strip_prefix(start));
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/:?=&%+@!$'()*,;[]".contains(&b);
    match rest {
        Some(rest)
            if !rest.is_empty()
                && !rest.starts_with('/')
                && url.len() <= URL_MAX
                && rest.bytes().all(plain) =>
        {
            Ok(url.to_owned())
        }
        _ => Err(SettingsError::Url(url.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_not_work_is_said_at_the_start() {
        let nobody = AuthzSettings::new(TrustedProxies::default()).unwrap_err();
        assert_eq!(nobody, SettingsError::NobodyTrusted);
        let settings = AuthzSettings::new(TrustedProxies::parse(["127.0.0.1"]).unwrap()).unwrap();
        assert!(settings.clone().with_checks(0).is_err());
        assert!(settings.clone().with_connections(0).is_err());
        for (url, good) in [
            ("/_jit/ask", true),
            ("https://access.example.com/ask?from=gate", true),
            ("http://[::1]:8080/ask", true),
            ("", false),
            ("/", false),
            ("//evil.example/ask", false),
            ("https:///ask", false),
            ("javascript:alert(1)", false),
            ("https://a.example/#x", false),
            ("/ask\r\nSet-Cookie: a=b", false),
            ("/\\evil.example", false),
        ] {
            assert_eq!(settings.clone().with_page(url).is_ok(), good, "{url:?}");
            assert_eq!(settings.clone().with_control(url).is_ok(), good, "{url:?}");
        }
    }
}
