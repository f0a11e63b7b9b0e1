//! Several ways to prove who asks, as one.
//!
//! 1. Every authenticator is shown the request. The credentials that they find are tried in the order of the authenticators, and the
//!    first that proves somebody decides. Two that read the same field, API tokens and JWTs for one, don't get in each other's way.
//! 2. What one of them finds malformed proves nothing there, and takes no other proof away.
//! 3. One that can't answer counts only where no other proves: then the request is refused as unverifiable, not as invalid.
//! 4. The session remembers which one proved it, by which credential and from where: only that one is asked whether it has been revoked,
//!    and only that place is stripped before forwarding, besides the gate's own cookie.
//!
//! # Caveats
//! The order decides who somebody is when a request proves two identities at once. Put what belongs to the caller (a cookie, a bearer
//! token) before what belongs to the connection (a client certificate of a proxy).

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;

use crate::gate::authenticate::{AuthError, Authenticator, CredentialSource, Presented, Subject};
use crate::gate::mark::Marks;
use crate::gate::session::SessionKey;
use crate::id::{Digest, Timestamp};

/// Most authenticators of one gate.
pub const AUTHENTICATORS_MAX: usize = 64;

/// One or several authenticators. Clones share them.
#[derive(Debug, Clone)]
pub struct Authenticators {
    members: Arc<[Arc<dyn Authenticator>]>,
}

/// Why authenticators can't be combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadAuthenticators {
    /// There is none.
    #[error("there is no authenticator, so nobody could ever pass; name at least one")]
    Empty,
    /// More than [`AUTHENTICATORS_MAX`].
    #[error("there are {0} authenticators; at most 64 fit")]
    TooMany(usize),
}

impl Authenticators {
    /// Tries these, in this order.
    ///
    /// # Errors
    /// [`BadAuthenticators`] when there is none, or more than [`AUTHENTICATORS_MAX`].
    pub fn new(members: impl IntoIterator<Item = Arc<dyn Authenticator>>) -> Result<Self, BadAuthenticators> {
        let members: Arc<[_]> = members.into_iter().collect();
        match members.len() {
            0 => Err(BadAuthenticators::Empty),
            1..=AUTHENTICATORS_MAX => Ok(Self { members }),
            more => Err(BadAuthenticators::TooMany(more)),
        }
    }

    /// What a request shows to them; `None` is nothing that could be a credential. Allocates only for several different credentials.
    pub(in crate::gate) fn present<'r>(&self, head: &'r Parts, peer: Option<IpAddr>) -> Option<Shown<'r>> {
        let mut shown: Option<Shown<'r>> = None;
        for (n, member) in self.members.iter().enumerate() {
            let Presented::Credential { bytes, source } = member.present(head, peer) else {
                continue;
            };
            let credential = Credential {
                readers: bit(n),
                source,
                bytes,
            };
            match &mut shown {
                None => {
                    shown = Some(Shown {
                        first: credential,
                        more: Vec::new(),
                    });
                }
                Some(shown) => shown.add(credential),
            }
        }
        shown
    }

    /// The first proof. Without one, whether that is for certain.
    pub(in crate::gate) async fn verify(
        &self,
        shown: &Shown<'_>,
        now: Timestamp,
    ) -> Result<(Subject, Proof), AuthError> {
        let mut failure = AuthError::Invalid;
        for (by, member) in self.members.iter().enumerate() {
            let Some(credential) = shown.all().find(|one| one.readers & bit(by) != 0) else {
                continue;
            };
            let source = credential.source;
            let revocations = member.revocations();
            match member.verify(&credential.bytes, source, now).await {
                Ok(subject) => {
                    let credential = Digest::plain(&credential.bytes);
                    return Ok((
                        subject,
                        Proof {
                            by,
                            source,
                            credential,
                            revocations,
                        },
                    ));
                }
                Err(AuthError::Invalid) => {}
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Whether what proved a session has been revoked since.
    pub(in crate::gate) fn revoked(&self, proof: &Proof) -> bool {
        let Some(member) = self.members.get(proof.by) else {
            return true;
        };
        let none_since = proof.revocations.is_some() && member.revocations() == proof.revocations;
        !none_since && member.revoked(&proof.credential)
    }
}

impl<A: Authenticator> From<Arc<A>> for Authenticators {
    fn from(one: Arc<A>) -> Self {
        Self {
            members: Arc::new([one]),
        }
    }
}

impl From<Arc<dyn Authenticator>> for Authenticators {
    fn from(one: Arc<dyn Authenticator>) -> Self {
        Self {
            members: Arc::new([one]),
        }
    }
}

fn bit(n: usize) -> u64 {
    u32::try_from(n)
        .ok()
        .and_then(|n| 1_u64.checked_shl(n))
        .unwrap_or(0)
}

/// What proved a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gate) struct Proof {
    /// Which authenticator.
    pub(in crate::gate) by: usize,
    /// Where the credential stood.
    pub(in crate::gate) source: CredentialSource,
    /// The SHA-256 of the credential.
    pub(in crate::gate) credential: Digest,
    /// [`Authenticator::revocations`] before it was verified.
    pub(in crate::gate) revocations: Option<u64>,
}

impl Proof {
    /// A credential that is bound to a grant: the enforcer knows whether it is still good, and no authenticator is asked.
    pub(in crate::gate) const fn bearer(credential: Digest) -> Self {
        Self {
            by: usize::MAX,
            source: CredentialSource::Grant,
            credential,
            revocations: None,
        }
    }
}

/// The credentials of one request, one at least.
#[derive(Clone)]
pub(in crate::gate) struct Shown<'r> {
    first: Credential<'r>,
    more: Vec<Credential<'r>>,
}

#[derive(Clone)]
struct Credential<'r> {
    /// One bit for each authenticator that reads it.
    readers: u64,
    source: CredentialSource,
    bytes: Cow<'r, [u8]>,
}

impl<'r> Shown<'r> {
    fn all(&self) -> impl Iterator<Item = &Credential<'r>> {
        std::iter::once(&self.first).chain(&self.more)
    }

    fn add(&mut self, credential: Credential<'r>) {
        let mut all = std::iter::once(&mut self.first).chain(&mut self.more);
        match all.find(|known| known.source == credential.source && known.bytes == credential.bytes) {
            Some(known) => known.readers |= credential.readers,
            None => self.more.push(credential),
        }
    }

    /// Everything that verification depends on.
    pub(in crate::gate) fn key(&self, marks: &Marks) -> SessionKey {
        let Credential {
            readers,
            source,
            bytes,
        } = &self.first;
        if self.more.is_empty() {
            return SessionKey {
                source: *source,
                readers: *readers,
                several: false,
                credential: marks.of(bytes),
            };
        }
        // Each part is led by its length, so that no two lists of credentials make the same bytes.
        let mut all = Vec::new();
        for one in self.all() {
            all.extend_from_slice(&one.readers.to_be_bytes());
            all.push(place(one.source));
            all.extend_from_slice(&(one.bytes.len() as u64).to_be_bytes());
            all.extend_from_slice(&one.bytes);
        }
        SessionKey {
            source: *source,
            readers: self.all().fold(0, |all, one| all | one.readers),
            several: true,
            credential: marks.of(&all),
        }
    }

    /// The gate's own cookie if that is among them: nobody else has a use for it, good or not.
    pub(in crate::gate) fn own_source(&self) -> CredentialSource {
        self.source_in(CredentialSource::Cookie)
    }

    /// The field that the application could read too, if that is among them: what can't be verified may be good.
    pub(in crate::gate) fn likely_source(&self) -> CredentialSource {
        self.source_in(CredentialSource::Authorization)
    }

    fn source_in(&self, wanted: CredentialSource) -> CredentialSource {
        let mut all = self.all();
        if all.any(|one| one.source == wanted) {
            wanted
        } else {
            self.first.source
        }
    }

    pub(in crate::gate) fn into_owned(self) -> Shown<'static> {
        let owned = |one: Credential<'_>| Credential {
            readers: one.readers,
            source: one.source,
            bytes: one.bytes.into_owned().into(),
        };
        Shown {
            first: owned(self.first),
            more: self.more.into_iter().map(owned).collect(),
        }
    }
}

/// Nothing of a credential is ever printed.
impl fmt::Debug for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sources = self.all().map(|one| one.source);
        f.debug_list().entries(sources).finish()
    }
}

fn place(source: CredentialSource) -> u8 {
    match source {
        CredentialSource::Authorization => 0,
        CredentialSource::Cookie => 1,
        CredentialSource::Proxy => 2,
        CredentialSource::Connection => 3,
        CredentialSource::Grant => 4,
    }
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use http::header::{AUTHORIZATION, COOKIE};

    use super::*;
    use crate::gate::fixtures::{at, subject};

    /// Reads one field as it stands, and answers as told.
    #[derive(Debug)]
    struct Scripted {
        source: CredentialSource,
        answer: &'static str,
    }

    #[async_trait]
    impl Authenticator for Scripted {
        fn present<'r>(&self, head: &'r Parts, _: Option<IpAddr>) -> Presented<'r> {
            let name = match self.source {
                CredentialSource::Authorization => AUTHORIZATION,
                _ => COOKIE,
            };
            match head.headers.get(name) {
                None => Presented::Nothing,
                Some(_) if self.answer == "malformed" => Presented::Malformed,
                Some(value) => Presented::Credential {
                    bytes: value.as_bytes().into(),
                    source: self.source,
                },
            }
        }

        async fn verify(
            &self,
            _: &[u8],
            source: CredentialSource,
            _: Timestamp,
        ) -> Result<Subject, AuthError> {
            assert_eq!(source, self.source);
            match self.answer {
                "invalid" => Err(AuthError::Invalid),
                "unavailable" => Err(AuthError::Unavailable {
                    source: "away".into(),
                }),
                who => Ok(subject(who)),
            }
        }

        fn revoked(&self, credential: &Digest) -> bool {
            *credential == Digest::plain(b"gone")
        }
    }

    const BEARER: CredentialSource = CredentialSource::Authorization;
    const COOKIES: CredentialSource = CredentialSource::Cookie;

    fn combined(members: &[(CredentialSource, &'static str)]) -> Authenticators {
        let members = members.iter().map(|&(source, answer)| {
            let member: Arc<dyn Authenticator> = Arc::new(Scripted { source, answer });
            member
        });
        Authenticators::new(members).unwrap()
    }

    fn head(fields: &[(http::HeaderName, &str)]) -> Parts {
        let mut request = http::Request::builder();
        for (name, value) in fields {
            request = request.header(name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[tokio::test]
    async fn the_first_proof_decides_and_only_doubt_makes_it_unavailable() {
        let both = head(&[(AUTHORIZATION, "x"), (COOKIE, "y")]);
        for (members, expected) in [
            (&[(BEARER, "a|1")][..], "a|1 by 0 from Authorization"),
            (
                &[(BEARER, "invalid"), (BEARER, "a|1")],
                "a|1 by 1 from Authorization",
            ),
            (
                &[(BEARER, "malformed"), (BEARER, "a|1")],
                "a|1 by 1 from Authorization",
            ),
            (
                &[(BEARER, "unavailable"), (BEARER, "a|1")],
                "a|1 by 1 from Authorization",
            ),
            (
                &[(BEARER, "a|1"), (COOKIES, "a|2")],
                "a|1 by 0 from Authorization",
            ),
            (&[(COOKIES, "a|2"), (BEARER, "a|1")], "a|2 by 0 from Cookie"),
            (
                &[(BEARER, "invalid"), (COOKIES, "a|2"), (BEARER, "a|1")],
                "a|2 by 1 from Cookie",
            ),
            (&[(BEARER, "invalid"), (COOKIES, "invalid")], "invalid"),
            (&[(BEARER, "unavailable"), (COOKIES, "invalid")], "unavailable"),
            (&[(BEARER, "invalid"), (COOKIES, "unavailable")], "unavailable"),
        ] {
            let authenticators = combined(members);
            let shown = authenticators.present(&both, None).unwrap().into_owned();
            let got = match authenticators.verify(&shown, at(0)).await {
                Ok((subject, proof)) => {
                    format!("{} by {} from {:?}", subject.principal, proof.by, proof.source)
                }
                Err(AuthError::Invalid) => "invalid".to_owned(),
                Err(_) => "unavailable".to_owned(),
            };
            assert_eq!(got, expected, "{members:?}");
        }
    }

    #[test]
    fn what_is_malformed_or_missing_is_nothing() {
        let authenticators = combined(&[(BEARER, "malformed"), (COOKIES, "a|1")]);
        assert!(authenticators.present(&head(&[]), None).is_none());
        assert!(
            authenticators
                .present(&head(&[(AUTHORIZATION, "x")]), None)
                .is_none()
        );
        assert!(authenticators.present(&head(&[(COOKIE, "x")]), None).is_some());
    }

    #[test]
    fn the_key_holds_everything_and_the_common_case_copies_nothing() {
        let marks = Marks::new();
        let bearer = head(&[(AUTHORIZATION, "x")]);
        let cookie = head(&[(COOKIE, "x")]);
        let both = head(&[(AUTHORIZATION, "x"), (COOKIE, "y")]);
        let other = head(&[(AUTHORIZATION, "x"), (COOKIE, "z")]);
        let two = combined(&[(BEARER, "a|1"), (BEARER, "a|2"), (COOKIES, "a|3")]);
        let keys = [&bearer, &cookie, &both, &other].map(|head| two.present(head, None).unwrap().key(&marks));
        for (n, key) in keys.iter().enumerate() {
            assert!(keys.iter().skip(n + 1).all(|next| next != key), "{keys:?}");
        }
        let shown = two.present(&bearer, None).unwrap();
        assert!(shown.more.capacity() == 0 && matches!(shown.first.bytes, Cow::Borrowed(_)));
        assert_eq!((shown.first.readers, shown.key(&marks).several), (0b11, false));
        assert_eq!(shown.key(&marks), shown.clone().into_owned().key(&marks));
        let fewer = combined(&[(BEARER, "a|1"), (BEARER, "malformed"), (COOKIES, "a|3")]);
        assert_ne!(
            fewer.present(&bearer, None).unwrap().key(&marks),
            shown.key(&marks)
        );
    }

    #[tokio::test]
    async fn only_the_one_that_proved_it_is_asked_about_revocation() {
        let authenticators = combined(&[(BEARER, "invalid"), (COOKIES, "a|2")]);
        for (bearer, cookie, revoked) in [("gone", "here", false), ("here", "gone", true)] {
            let head = head(&[(AUTHORIZATION, bearer), (COOKIE, cookie)]);
            let shown = authenticators.present(&head, None).unwrap();
            let (_, proof) = authenticators.verify(&shown, at(0)).await.unwrap();
            assert_eq!(authenticators.revoked(&proof), revoked);
        }
    }

    #[test]
    fn what_must_be_stripped_is_found_among_several() {
        let authenticators = combined(&[(BEARER, "invalid"), (COOKIES, "invalid")]);
        let both = head(&[(AUTHORIZATION, "x"), (COOKIE, "y")]);
        let shown = authenticators.present(&both, None).unwrap();
        assert_eq!((shown.own_source(), shown.likely_source()), (COOKIES, BEARER));
        assert_eq!(format!("{shown:?}"), "[Authorization, Cookie]");
    }

    #[test]
    fn there_must_be_one_and_not_too_many() {
        let many = |n| {
            let one = Scripted {
                source: BEARER,
                answer: "invalid",
            };
            let one: Arc<dyn Authenticator> = Arc::new(one);
            Authenticators::new(std::iter::repeat_n(one, n)).map(|_| ())
        };
        assert_eq!(many(0), Err(BadAuthenticators::Empty));
        assert_eq!(many(AUTHENTICATORS_MAX), Ok(()));
        assert_eq!(many(AUTHENTICATORS_MAX + 1), Err(BadAuthenticators::TooMany(65)));
    }
}
