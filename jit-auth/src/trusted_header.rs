//! What a proxy in front says about who asks: `Remote-User`, `Remote-Groups` and the like.
//!
//! # Rules
//! 1. Only peers in the list of proxies are believed. The list is never empty, and never everybody
//!    ([`TrustedProxies`]). From anyone else the fields are nothing, and dropped.
//! 2. A field that is there twice, or under an alias (`Remote_User`), proves nothing.
//! 3. The field must have a name that the gate drops before it forwards a request, so that an upstream that reads it can't be told
//!    something that the gate has not seen.
//! 4. The principal is (the issuer given, the field's text). Groups are the claim `groups`, a list compared whole. There is no
//!    assurance: the proxy does not say how somebody signed in.
//!
//! # Deployment caveats
//! - The proxy must drop what its clients send under these names, and its authentication must cover every route to this gate. Prefer what
//!   is signed ([`jwt`](crate::jwt), [`alb`](crate::alb)) where the proxy can sign.
//! - What the proxy says is the same for all sessions of a user: a step-up in one of them counts in all.
//! - Everything that runs on a listed address can be anybody. List single addresses, not the network that applications run in.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use async_trait::async_trait;
use http::HeaderName;
use http::request::Parts;
use jit_core::approval::ask::Assurance;
use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use jit_core::gate::hygiene::TrustedProxies;
use jit_core::gate::hygiene::reserved::{is_forwarding, is_reserved};
use jit_core::id::{Digest, Principal, TEXT_MAX, Timestamp};

use crate::fields::{Field, single};

/// Longest list of groups, in bytes.
pub const GROUPS_MAX: usize = 8 * 1024;

/// Why an authenticator for trusted headers can't be built.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadSettings {
    /// Nobody could vouch.
    #[error("the issuer {0:?} can't be one: give the proxy a name, such as https://sso.example.com")]
    Issuer(String),
    /// Nobody would be believed.
    #[error("no proxy is listed, so nobody would be believed; list the proxy's address")]
    Proxies,
    /// A client's own value could reach the upstream.
    #[error(
        "the gate does not drop {0} before it forwards a request; use a reserved name such as remote-user"
    )]
    Name(HeaderName),
}

/// An [`Authenticator`] that believes what listed proxies say in header fields.
#[derive(Debug)]
pub struct TrustedHeaderAuthenticator {
    issuer: String,
    proxies: TrustedProxies,
    user: HeaderName,
    groups: Option<HeaderName>,
}

impl TrustedHeaderAuthenticator {
    /// Believes `proxies` about the field `user`. `issuer` is the name that the proxy vouches under: half of every principal.
    ///
    /// # Errors
    /// [`BadSettings`] when the list is empty, the issuer can't be one, or the field is not dropped in any case.
    pub fn new(issuer: &str, proxies: TrustedProxies, user: HeaderName) -> Result<Self, BadSettings> {
        if Principal::new(issuer, "somebody").is_err() {
            return Err(BadSettings::Issuer(issuer.to_owned()));
        }
        if proxies.is_empty() {
            return Err(BadSettings::Proxies);
        }
        if !is_always_dropped(&user) {
            return Err(BadSettings::Name(user));
        }
        Ok(Self {
            issuer: issuer.to_owned(),
            proxies,
            user,
            groups: None,
        })
    }

    /// Reads groups from this field as well, separated by commas.
    ///
    /// # Errors
    /// [`BadSettings::Name`] when the field is not dropped in any case, or is the user's.
    pub fn with_groups(mut self, groups: HeaderName) -> Result<Self, BadSettings> {
        if !is_always_dropped(&groups) || groups == self.user {
            return Err(BadSettings::Name(groups));
        }
        self.groups = Some(groups);
        Ok(self)
    }
}

/// Whether the gate drops fields of that name before it forwards a request, whatever else it does.
fn is_always_dropped(name: &HeaderName) -> bool {
    is_reserved(name.as_str()) && !is_forwarding(name.as_str())
}

/// Both fields as one credential: the length of the user in two bytes, the user, the groups.
fn join(user: &[u8], groups: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(user.len()).ok()?;
    Some([&length.to_be_bytes(), user, groups].concat())
}

fn split(credential: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = credential.split_first_chunk()?;
    rest.split_at_checked(u16::from_be_bytes(*length).into())
}

#[async_trait]
impl Authenticator for TrustedHeaderAuthenticator {
    fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Presented<'r> {
        if !peer.is_some_and(|peer| self.proxies.trusts(peer)) {
            return Presented::Nothing;
        }
        let groups = match &self.groups {
            Some(name) => single(&head.headers, name),
            None => Field::None,
        };
        let (user, groups) = match (single(&head.headers, &self.user), groups) {
            (Field::None, Field::None | Field::One(_)) => return Presented::Nothing,
            (Field::One(user), Field::None) => (user, [].as_slice()),
            (Field::One(user), Field::One(groups)) => (user, groups),
            (Field::Doubled, _) | (_, Field::Doubled) => return Presented::Malformed,
        };
        if user.is_empty() || user.len() > TEXT_MAX || groups.len() > GROUPS_MAX {
            return Presented::Malformed;
        }
        let bytes = match &self.groups {
            None => Some(Cow::Borrowed(user)),
            Some(_) => join(user, groups).map(Cow::Owned),
        };
        match bytes {
            Some(bytes) => Presented::Credential {
                bytes,
                source: CredentialSource::Proxy,
            },
            None => Presented::Malformed,
        }
    }

    async fn verify(
        &self,
        credential: &[u8],
        source: CredentialSource,
        _now: Timestamp,
    ) -> Result<Subject, AuthError> {
        if source != CredentialSource::Proxy {
            return Err(AuthError::Invalid);
        }
        let (user, groups) = match &self.groups {
            None => (credential, [].as_slice()),
            Some(_) => split(credential).ok_or(AuthError::Invalid)?,
        };
        let text = |bytes| std::str::from_utf8(bytes).map_err(|_| AuthError::Invalid);
        let principal = Principal::new(&self.issuer, text(user)?).map_err(|_| AuthError::Invalid)?;
        let mut claims = BTreeMap::new();
        if self.groups.is_some() {
            let names = text(groups)?.split(',').map(str::trim);
            let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
            claims.insert("groups".to_owned(), names.into());
        }
        Ok(Subject {
            principal,
            assurance: Assurance::default(),
            claims,
            expires_at: None,
        })
    }

    /// Never by itself: the proxy says it anew with every request.
    fn revoked(&self, _credential: &Digest) -> bool {
        false
    }

    fn revocations(&self) -> Option<u64> {
        Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: HeaderName = HeaderName::from_static("remote-user");
    const GROUPS: HeaderName = HeaderName::from_static("remote-groups");

    fn proxies() -> TrustedProxies {
        TrustedProxies::parse(["10.0.0.7"]).unwrap()
    }

    fn plain() -> TrustedHeaderAuthenticator {
        TrustedHeaderAuthenticator::new("sso", proxies(), USER).unwrap()
    }

    async fn prove(
        authenticator: &TrustedHeaderAuthenticator,
        peer: Option<&str>,
        fields: &[(&str, &str)],
    ) -> String {
        let mut request = http::Request::builder();
        for (name, value) in fields {
            request = request.header(*name, value.as_bytes());
        }
        let head = request.body(()).unwrap().into_parts().0;
        let peer = peer.map(|peer| peer.parse().unwrap());
        let (bytes, source) = match authenticator.present(&head, peer) {
            Presented::Nothing => return "nothing".to_owned(),
            Presented::Malformed => return "malformed".to_owned(),
            Presented::Credential { bytes, source } => (bytes, source),
        };
        match authenticator.verify(&bytes, source, Timestamp::UNIX_EPOCH).await {
            Ok(subject) => {
                let groups = subject.claims.get("groups");
                format!("{} {}", subject.principal, groups.cloned().unwrap_or_default())
            }
            Err(_) => "invalid".to_owned(),
        }
    }

    const PROXY: Option<&str> = Some("10.0.0.7");

    #[tokio::test]
    async fn a_listed_proxy_is_believed_and_nobody_else() {
        let long = "x".repeat(TEXT_MAX + 1);
        for (peer, fields, expected) in [
            (PROXY, &[("remote-user", "ana")][..], "sso|ana null"),
            (
                PROXY,
                &[("Remote-User", "ana"), ("remote-groups", "sre")],
                "sso|ana null",
            ),
            (Some("::ffff:10.0.0.7"), &[("remote-user", "ana")], "sso|ana null"),
            (Some("10.0.0.8"), &[("remote-user", "ana")], "nothing"),
            (Some("127.0.0.1"), &[("remote-user", "ana")], "nothing"),
            (None, &[("remote-user", "ana")], "nothing"),
            (PROXY, &[], "nothing"),
            (
                PROXY,
                &[("remote-user", "ana"), ("remote-user", "bo")],
                "malformed",
            ),
            (
                PROXY,
                &[("remote-user", "ana"), ("remote_user", "bo")],
                "malformed",
            ),
            (PROXY, &[("remote.user", "bo")], "malformed"),
            (PROXY, &[("remote-user", "")], "malformed"),
            (PROXY, &[("remote-user", &long)], "malformed"),
            (PROXY, &[("remote-user", "ana|x")], "sso|ana|x null"),
            (PROXY, &[("remote-user", "zo\u{eb}")], "sso|zo\u{eb} null"),
        ] {
            assert_eq!(
                prove(&plain(), peer, fields).await,
                expected,
                "{peer:?} {fields:?}"
            );
        }
        let head = http::Request::builder()
            .header("remote-user", &b"\xff"[..])
            .body(())
            .unwrap();
        let (head, ()) = head.into_parts();
        let Presented::Credential { bytes, source } = plain().present(&head, Some([10, 0, 0, 7].into()))
        else {
            panic!("it is one field");
        };
        assert!(
            plain()
                .verify(&bytes, source, Timestamp::UNIX_EPOCH)
                .await
                .is_err()
        );
        assert!(
            plain()
                .verify(b"ana", CredentialSource::Cookie, Timestamp::UNIX_EPOCH)
                .await
                .is_err()
        );
    }

    #[tokio::test]
    async fn groups_are_listed_whole() {
        let authenticator = plain().with_groups(GROUPS).unwrap();
        for (fields, expected) in [
            (&[("remote-user", "ana")][..], "sso|ana []"),
            (
                &[("remote-user", "ana"), ("remote-groups", "sre, /tenant/admin,,x")],
                "sso|ana [\"sre\",\"/tenant/admin\",\"x\"]",
            ),
            (&[("remote-groups", "sre")], "nothing"),
            (
                &[
                    ("remote-user", "ana"),
                    ("remote-groups", "a"),
                    ("remote-groups", "b"),
                ],
                "malformed",
            ),
            (&[("remote-user", "ana"), ("remote_groups", "b")], "malformed"),
        ] {
            assert_eq!(prove(&authenticator, PROXY, fields).await, expected, "{fields:?}");
        }
    }

    #[test]
    fn no_two_pairs_of_fields_are_one_credential() {
        let pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ("", "abc")];
        for (n, (user, groups)) in pairs.iter().enumerate() {
            let one = join(user.as_bytes(), groups.as_bytes()).unwrap();
            assert_eq!(split(&one), Some((user.as_bytes(), groups.as_bytes())));
            for (user, groups) in pairs.iter().skip(n + 1) {
                assert_ne!(join(user.as_bytes(), groups.as_bytes()).unwrap(), one);
            }
        }
        assert_eq!(split(&[0]), None);
        assert_eq!(split(&[0, 9, b'a']), None);
    }

    #[test]
    fn what_must_be_given_must_be_given() {
        let new = |issuer, proxies, user| TrustedHeaderAuthenticator::new(issuer, proxies, user).map(|_| ());
        let forwarded = HeaderName::from_static("x-forwarded-for");
        let own = HeaderName::from_static("x-my-user");
        for (got, expected) in [
            (new("sso", proxies(), USER), Ok(())),
            (
                new("sso", TrustedProxies::default(), USER),
                Err(BadSettings::Proxies),
            ),
            (new("", proxies(), USER), Err(BadSettings::Issuer(String::new()))),
            (
                new("a|b", proxies(), USER),
                Err(BadSettings::Issuer("a|b".to_owned())),
            ),
            (
                new("sso", proxies(), own.clone()),
                Err(BadSettings::Name(own.clone())),
            ),
            (
                new("sso", proxies(), forwarded.clone()),
                Err(BadSettings::Name(forwarded)),
            ),
            (
                plain().with_groups(own.clone()).map(|_| ()),
                Err(BadSettings::Name(own)),
            ),
            (
                plain().with_groups(USER).map(|_| ()),
                Err(BadSettings::Name(USER)),
            ),
        ] {
            assert_eq!(got, expected);
        }
    }
}
