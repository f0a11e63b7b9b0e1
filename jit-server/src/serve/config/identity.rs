//! What proves who somebody is, besides the tokens of the people file.

use std::collections::HashSet;
use std::sync::Arc;

use jit_auth::fetch::{Fetch, HttpsFetch};
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation, TokenType};
use jit_auth::mtls::{MtlsAuthenticator, NameKind};
use toml::Spanned;

use super::check::Check;
use super::written;

impl Check<'_> {
    pub(super) fn issuers(&mut self, given: &[Spanned<written::Jwt>]) -> Vec<Arc<JwtAuthenticator>> {
        let Some(first) = given.first() else {
            return Vec::new();
        };
        let mend = "see that the system has certificates of authorities";
        let Some(fetch) = self.take(first, HttpsFetch::new(), mend) else {
            return Vec::new();
        };
        let fetch: Arc<dyn Fetch> = Arc::new(fetch);
        let mut names = HashSet::new();
        let issuers = given.iter().filter_map(|issuer| {
            if !names.insert(&issuer.get_ref().issuer) {
                self.wrong(
                    issuer,
                    "this issuer stands above already",
                    "name each issuer once",
                );
            }
            self.issuer(issuer, Arc::clone(&fetch))
        });
        issuers.map(Arc::new).collect()
    }

    fn issuer(&mut self, given: &Spanned<written::Jwt>, fetch: Arc<dyn Fetch>) -> Option<JwtAuthenticator> {
        let jwt = given.get_ref();
        let mut algorithms = Vec::new();
        for name in &jwt.algorithms {
            let read = name.get_ref().parse::<Algorithm>();
            algorithms.push(self.take(name, read, "name what the issuer signs with")?);
        }
        let keys = match &jwt.keys {
            Some(url) => KeyLocation::Url(url.clone()),
            None => KeyLocation::Discover,
        };
        let audiences = jwt.audiences.iter().cloned();
        let read = JwtAuthenticator::new(&jwt.issuer, audiences, algorithms, keys, fetch);
        let kind = match jwt.kind {
            written::Kind::Any => TokenType::Any,
            written::Kind::AccessToken => TokenType::AccessToken,
            written::Kind::Jwt => TokenType::Jwt,
        };
        let read = read.map(|issuer| issuer.with_token_type(kind));
        self.take(given, read, "mend this [[identity.jwt]]")
    }

    /// `shown` says whether there is a listener to which clients show certificates.
    pub(super) fn mtls(
        &mut self,
        given: &Spanned<written::Mtls>,
        shown: bool,
    ) -> Option<Arc<MtlsAuthenticator>> {
        if !shown {
            self.wrong(
                given,
                "no listener asks clients for certificates",
                "give a `tls` the `client_ca_file` of the authorities that vouch for them",
            );
        }
        let mtls = given.get_ref();
        let spiffe = mtls
            .names
            .iter()
            .any(|name| *name.get_ref() == written::CertificateName::Spiffe);
        match (&mtls.trust_domains, spiffe) {
            (Some(domains), false) => self.wrong(
                domains,
                "there are trust domains, and SPIFFE ids don't count",
                "add \"spiffe\" to `names`, or leave them out",
            ),
            (None, true) => self.wrong(
                given,
                "SPIFFE ids count, and it is not said in which trust domains",
                "list them as `trust_domains`",
            ),
            _ => {}
        }
        let mut kinds = Vec::new();
        for name in &mtls.names {
            kinds.push(match name.get_ref() {
                written::CertificateName::Spiffe => {
                    let domains = mtls.trust_domains.as_ref()?;
                    let kind = NameKind::spiffe(domains.get_ref().iter().map(String::as_str));
                    self.take(domains, kind, "list the trust domains of `client_ca_file`")?
                }
                written::CertificateName::Dns => NameKind::Dns,
                written::CertificateName::Email => NameKind::Email,
                written::CertificateName::CommonName => NameKind::CommonName,
            });
        }
        let read = MtlsAuthenticator::new(&mtls.issuer, kinds);
        self.take(given, read, "mend this [identity.mtls]").map(Arc::new)
    }
}
