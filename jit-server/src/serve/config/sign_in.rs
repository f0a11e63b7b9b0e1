//! Where people sign in at the console.

use std::sync::Arc;

use jit_auth::fetch::HttpsFetch;
use jit_auth::jwt::{Algorithm, JwtAuthenticator, KeyLocation, TokenType};
use jit_auth::oidc::Registration;
use toml::Spanned;

use super::check::Check;
use super::problem::text;
use super::written;

/// What is wrong with most of it is mended there.
const MEND: &str = "mend this [console.sign_in]";

/// An identity provider, and what the console is registered as there.
#[derive(Debug)]
pub(in crate::serve) struct SignIn {
    pub(in crate::serve) name: String,
    pub(in crate::serve) registration: Registration,
    pub(in crate::serve) proof: Arc<JwtAuthenticator>,
    pub(in crate::serve) fetch: HttpsFetch,
}

impl Check<'_> {
    /// `origin` is the console's, to which browsers come back.
    pub(super) fn sign_in(&mut self, given: &Spanned<written::SignIn>, origin: &str) -> Option<SignIn> {
        let sign_in = given.get_ref();
        let fetch = if sign_in.dangerous_http_on_loopback {
            HttpsFetch::dangerous_with_http_on_loopback()
        } else {
            HttpsFetch::new()
        };
        let fetch = self.take(
            given,
            fetch,
            "see that the system has certificates of authorities",
        )?;
        let mut algorithms = Vec::new();
        for name in &sign_in.algorithms {
            let read = name.get_ref().parse::<Algorithm>();
            algorithms.push(self.take(name, read, "name what the provider signs with")?);
        }
        if algorithms.is_empty() {
            algorithms.push(Algorithm::Rs256);
        }
        let (keys, client) = (KeyLocation::Discover, sign_in.client_id.as_str());
        let for_keys = Arc::new(fetch.clone());
        let proof = JwtAuthenticator::new(&sign_in.issuer, [client], algorithms, keys, for_keys);
        let proof = self.take(given, proof, MEND)?.with_token_type(TokenType::Jwt);
        let registration = Registration::new(&sign_in.issuer, client, &format!("{origin}/login/callback"));
        let mut registration = self.take(given, registration, MEND)?.with_scopes(&sign_in.scopes);
        if let Some(file) = &sign_in.secret_file {
            let path = self.folder.join(file.get_ref());
            match text(
                &path,
                0o027,
                "write the client's secret into it, and nothing else",
            ) {
                Ok(secret) => registration = registration.with_secret(secret.trim()),
                Err(problems) => self.problems.add(&problems),
            }
        }
        Some(SignIn {
            name: sign_in.name.clone(),
            registration,
            proof: Arc::new(proof),
            fetch,
        })
    }
}
