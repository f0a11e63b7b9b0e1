//! What an app decides about its console.

use std::sync::Arc;

#[cfg(feature = "oidc")]
use jit_auth::oidc::CodeFlow;
#[cfg(feature = "passkeys")]
use jit_core::broker::passkeys::PasskeyStore;
use jit_core::gate::step_up::StepUps;
use jit_core::id::Principal;

/// What an app decides about its console.
#[derive(Debug, Clone)]
pub struct ConsoleSettings {
    pub(super) origin: String,
    pub(super) guarded: Vec<String>,
    pub(super) entrance: String,
    pub(super) demo_people: Vec<DemoPerson>,
    pub(super) step_ups: Option<Arc<StepUps>>,
    aliases: Vec<String>,
    strict_transport: bool,
    #[cfg(feature = "passkeys")]
    pub(super) passkeys: Option<(webauthn_rs::Webauthn, Arc<dyn PasskeyStore>)>,
    #[cfg(feature = "oidc")]
    pub(super) provider: Option<Provider>,
}

/// Where people sign in.
#[cfg(feature = "oidc")]
#[derive(Debug, Clone)]
pub(super) struct Provider {
    pub(super) name: String,
    pub(super) flow: Arc<CodeFlow>,
}

/// Someone whom a visitor of a demonstration may be, without any proof.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "an identity and what to call it")]
pub struct DemoPerson {
    /// Who the visitor then is.
    pub principal: Principal,
    /// What the button says.
    pub name: String,
    /// What they may do, in a few words.
    pub about: String,
}

/// Why a text is no origin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the origin {origin:?} must read like \"https://access.example.com\" or \"http://127.0.0.1:8081\", with nothing after the host and port"
)]
pub struct OriginError {
    origin: String,
}

/// Why a console can't take passkeys.
#[cfg(feature = "passkeys")]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "at the origin {origin:?} browsers take no passkeys: it must read like \"https://access.example.com\" or \"http://localhost:8081\", with a host name instead of an address"
)]
pub struct PasskeysError {
    origin: String,
}

impl ConsoleSettings {
    /// A console that browsers reach at `origin`.
    ///
    /// # Errors
    /// [`OriginError`] unless it is `http://` or `https://`, a host and maybe a port.
    pub fn new(origin: impl Into<String>) -> Result<Self, OriginError> {
        let origin = origin.into();
        let host = ["https://", "http://"]
            .iter()
            .find_map(|scheme| origin.strip_prefix(scheme));
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        match host {
            Some(host) if !host.is_empty() && host.len() <= 255 && host.bytes().all(plain) => Ok(Self {
                origin,
                guarded: Vec::new(),
                entrance: "/_jit/enter".to_owned(),
                demo_people: Vec::new(),
                step_ups: None,
                aliases: Vec::new(),
                strict_transport: true,
                #[cfg(feature = "passkeys")]
                passkeys: None,
                #[cfg(feature = "oidc")]
                provider: None,
            }),
            _ => Err(OriginError { origin }),
        }
    }

    /// Sends browsers to and from the guarded application at `origin`, scheme, host and port as its users have them in their address bars.
    /// A browser that was refused at any other gets a plain refusal: whoever listens on another port of the same host would be handed its
    /// sign-in.
    ///
    /// # Errors
    /// [`OriginError`] unless it is `http://` or `https://`, a host and maybe a port.
    pub fn with_guarded(mut self, origin: impl Into<String>) -> Result<Self, OriginError> {
        let guarded = Self::new(origin)?;
        self.guarded.push(guarded.origin);
        Ok(self)
    }

    /// The guarded origin of a request with this `Host`.
    pub(super) fn guarded_origin(&self, asked: &str) -> Option<&str> {
        let mut origins = self.guarded.iter();
        origins
            .find(|origin| is_host_of(origin, asked))
            .map(String::as_str)
    }

    /// Takes codes of a second factor, where a policy or a stage wants one. Give it what the control API has
    /// ([`ApiSettings::with_step_ups`](crate::ApiSettings::with_step_ups)): a person's tries are counted in one place then.
    #[must_use]
    pub fn with_step_ups(mut self, step_ups: Arc<StepUps>) -> Self {
        self.step_ups = Some(step_ups);
        self
    }

    /// Takes passkeys, and keeps them in `store`.
    ///
    /// # Errors
    /// [`PasskeysError`] unless the origin is `https://` or `http://localhost`, with a host name: browsers take no passkeys at any other.
    #[cfg(feature = "passkeys")]
    pub fn with_passkeys(mut self, store: Arc<dyn PasskeyStore>) -> Result<Self, PasskeysError> {
        use webauthn_rs::WebauthnBuilder;
        use webauthn_rs::prelude::Url;
        let unfit = || PasskeysError {
            origin: self.origin.clone(),
        };
        let origin = Url::parse(&self.origin).map_err(|_| unfit())?;
        let host = origin.domain().ok_or_else(unfit)?;
        let local = host == "localhost" || host.ends_with(".localhost");
        if origin.scheme() != "https" && !local {
            return Err(unfit());
        }
        let webauthn =
            WebauthnBuilder::new(host, &origin).and_then(|builder| builder.rp_name("Access").build());
        self.passkeys = Some((webauthn.map_err(|_| unfit())?, store));
        Ok(self)
    }

    /// Sends browsers that come by the address `origin` on to the console's own: another name of the same listener, such as its IP
    /// address.
    ///
    /// # Errors
    /// [`OriginError`] unless it is `http://` or `https://`, a host and maybe a port.
    pub fn with_alias(mut self, origin: impl Into<String>) -> Result<Self, OriginError> {
        let alias = Self::new(origin)?;
        self.aliases.push(alias.origin);
        Ok(self)
    }

    /// Whether answers tell browsers to come by HTTPS alone for a year (`Strict-Transport-Security`, RFC 6797). They do where the origin is
    /// `https://`. Switch it off where something on the same host name, on any port, is still reached without TLS.
    #[must_use]
    pub fn with_strict_transport(mut self, on: bool) -> Self {
        self.strict_transport = on;
        self
    }

    /// Whether a request's answer says so, by the `Host` that it was sent to.
    pub(super) fn is_strict_at(&self, asked: &str) -> bool {
        self.strict_transport && self.origin.starts_with("https://") && self.is_own_host(asked)
    }

    /// Whether a request's `Host` is one from which browsers are sent on.
    pub(super) fn is_alias(&self, asked: &str) -> bool {
        self.aliases.iter().any(|origin| is_host_of(origin, asked))
    }

    /// Has people sign in at an OpenID Connect provider, which the button calls by `name`. Register `{origin}/login/callback` there as the
    /// one redirect URI.
    #[cfg(feature = "oidc")]
    #[cfg_attr(docsrs, doc(cfg(feature = "oidc")))]
    #[must_use]
    pub fn with_provider(mut self, name: impl Into<String>, flow: CodeFlow) -> Self {
        self.provider = Some(Provider {
            name: name.into(),
            flow: Arc::new(flow),
        });
        self
    }

    /// What to call the provider that people sign in at, if there is one.
    pub(super) fn provider_name(&self) -> Option<&str> {
        #[cfg(feature = "oidc")]
        let name = self.provider.as_ref().map(|provider| provider.name.as_str());
        #[cfg(not(feature = "oidc"))]
        let name = None;
        name
    }

    /// Lets every visitor be one of these people, without any proof. For demonstrations and tests on one machine.
    #[must_use]
    pub fn dangerous_with_demo_people(mut self, people: impl IntoIterator<Item = DemoPerson>) -> Self {
        self.demo_people = people.into_iter().collect();
        self
    }

    /// Whether a request's `Host` is the console's: the origin's host and port, the scheme's own port left out or not.
    pub(super) fn is_own_host(&self, asked: &str) -> bool {
        is_host_of(&self.origin, asked)
    }

    /// Where browsers reach the console, without a slash at its end.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// Whether a `Host` is that of an origin, the scheme's own port left out or not.
fn is_host_of(origin: &str, asked: &str) -> bool {
    let (scheme, own) = origin.split_once("://").unwrap_or_default();
    let port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(port).unwrap_or(host).to_ascii_lowercase();
    bare(asked) == bare(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_console_has_one_host() {
        for (origin, asked, own) in [
            ("https://access.example.com", "access.example.com", true),
            ("https://access.example.com", "Access.Example.com:443", true),
            ("https://access.example.com", "access.example.com:80", false),
            (
                "https://access.example.com",
                "access.example.com.evil.example",
                false,
            ),
            ("http://127.0.0.1:8081", "127.0.0.1:8081", true),
            ("http://127.0.0.1:8081", "localhost:8081", false),
            ("http://127.0.0.1:8081", "127.0.0.1:8080", false),
            ("http://127.0.0.1:8081", "127.0.0.1", false),
            ("http://[::1]:8081", "[::1]:8081", true),
            ("http://127.0.0.1:8081", "", false),
        ] {
            let settings = ConsoleSettings::new(origin).unwrap();
            assert_eq!(settings.is_own_host(asked), own, "{origin} {asked}");
        }
    }

    #[cfg(feature = "passkeys")]
    #[test]
    fn passkeys_need_a_host_name_and_a_safe_way_to_it() {
        let store: Arc<dyn PasskeyStore> = Arc::new(jit_core::broker::passkeys::StoredPasskeys::new(
            Arc::new(jit_core::memory::MemoryStore::new()),
        ));
        for (origin, good) in [
            ("https://access.example.com", true),
            ("https://access.example.com:8443", true),
            ("http://localhost:8081", true),
            ("http://access.example.com", false),
            ("http://127.0.0.1:8081", false),
            ("https://10.0.0.1", false),
            ("https://[::1]:8081", false),
        ] {
            let settings = ConsoleSettings::new(origin).unwrap();
            assert_eq!(settings.with_passkeys(store.clone()).is_ok(), good, "{origin}");
        }
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (origin, good) in [
            ("https://access.example.com", true),
            ("http://127.0.0.1:8081", true),
            ("http://[::1]:8081", true),
            ("https://access.example.com/", false),
            ("https://access.example.com/console", false),
            ("https://user@access.example.com", false),
            ("https://", false),
            ("access.example.com", false),
            ("javascript:alert(1)", false),
            ("https://a\r\nb", false),
        ] {
            assert_eq!(ConsoleSettings::new(origin).is_ok(), good, "{origin:?}");
        }
    }
}
