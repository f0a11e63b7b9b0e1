//! Who may prove who they are, by what, and what is known of them.
//!
//! 1. The people file first: whoever it lists has the roles that it says, by a token of the file or by one of an issuer that it names among
//!    their `principals`.
//! 2. A client's certificate proves a principal of the issuer that `[identity.mtls]` gives; what else a request shows comes before it.
//!    At the control API it proves nothing for a page.
//! 3. Others have the roles that the policy's `[[mappings]]` give to what their issuer says of them. That is kept in the database, and counts
//!    for half a day after it was last proven; what they hold or wait for then ends with it.

use std::sync::Arc;

use chrono::TimeDelta;
use jit_auth::jwt::JwtAuthenticator;
use jit_auth::mtls::MtlsAuthenticator;
use jit_core::broker::claims::{ClaimsDirectory, Learning};
use jit_core::broker::directories::Directories;
use jit_core::broker::directory::Directory;
use jit_core::broker::people::PeopleFile;
use jit_core::broker::store::Store;
use jit_core::gate::authenticate::Authenticator;
use jit_core::gate::tokens::{ApiTokens, SharedToken};
use jit_core::policy::Mappings;

use super::papers::tokens;
use crate::BoxError;

/// How long a proof counts: as long as a sign-in at the console does.
const AGE: TimeDelta = TimeDelta::hours(12);

/// Everyone that there is.
pub(super) struct Identity {
    people: Arc<PeopleFile>,
    tokens: Arc<ApiTokens>,
    claims: Arc<ClaimsDirectory>,
    issuers: Vec<Arc<dyn Authenticator>>,
    clients: Option<Arc<dyn Authenticator>>,
    /// Whether people sign in whose issuer says who they are.
    signs_in: bool,
}

impl Identity {
    pub(super) fn new(
        people: PeopleFile,
        issuers: &[Arc<JwtAuthenticator>],
        mtls: Option<Arc<MtlsAuthenticator>>,
        mappings: Mappings,
        signs_in: bool,
        store: Arc<dyn Store>,
    ) -> Result<Self, BoxError> {
        let claims = ClaimsDirectory::new(mappings).with_store(store).with_age(AGE)?;
        let claims = Arc::new(claims);
        let learning = |inner: Arc<dyn Authenticator>| -> Arc<dyn Authenticator> {
            Arc::new(Learning::new(inner, claims.clone()))
        };
        let issuers = issuers.iter().map(|issuer| learning(issuer.clone()));
        Ok(Self {
            clients: mtls.map(|mtls| learning(mtls)),
            tokens: Arc::new(ApiTokens::new(tokens(&people))?),
            issuers: issuers.collect(),
            people: Arc::new(people),
            claims,
            signs_in,
        })
    }

    pub(super) fn people(&self) -> &Arc<PeopleFile> {
        &self.people
    }

    pub(super) fn directory(&self) -> Arc<dyn Directory> {
        if self.issuers.is_empty() && self.clients.is_none() && !self.signs_in {
            return self.people.clone();
        }
        let both: [Arc<dyn Directory>; 2] = [self.people.clone(), self.claims.clone()];
        Arc::new(Directories::new(both))
    }

    /// What proves those who sign in at the console. Not for a gate: a sign-in is no credential.
    pub(super) fn sign_in(&self, proof: Arc<JwtAuthenticator>) -> Arc<dyn Authenticator> {
        Arc::new(Learning::new(proof, self.claims.clone()))
    }

    /// What programs prove themselves by.
    pub(super) fn authenticators(&self) -> Vec<Arc<dyn Authenticator>> {
        let tokens: Arc<dyn Authenticator> = self.tokens.clone();
        std::iter::once(tokens)
            .chain(self.issuers.iter().cloned())
            .collect()
    }

    /// What the certificates of clients prove. It belongs to the connection, so it is for the end of a list.
    pub(super) fn clients(&self) -> Option<Arc<dyn Authenticator>> {
        self.clients.clone()
    }

    /// Knows these people and mappings from now on. Gates have to forget their sessions after that.
    pub(super) fn replace(&self, people: PeopleFile, mappings: Mappings) -> Result<(), SharedToken> {
        self.tokens.replace(tokens(&people))?;
        self.people.replace(people);
        self.claims.set_mappings(mappings);
        Ok(())
    }
}
