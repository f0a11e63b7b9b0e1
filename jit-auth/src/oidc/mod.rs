//! Sign-in of people at an OpenID Connect provider: the authorization code flow with PKCE (OpenID Connect Core §3.1, RFC 7636).
//!
//! ```text
//! depart() ──► url() ──► the browser goes to the provider, and comes back with ?code&state ──► arrive() ──► Subject
//! ```
//!
//! # Rules
//! 1. Each departure has a nonce and a code verifier of its own. Whoever keeps it gives it up for one arrival, and has the browser that comes
//!    back prove that it is the one that left: the state in the address says only which departure is meant. It can be kept by the browser
//!    itself, encrypted and authenticated: whoever reads it could spend a code that was sent to somebody else.
//! 2. PKCE with S256, whatever the provider says of it, with a client secret and without.
//! 3. Where the provider is comes from its discovery document, whose issuer must be the one that was given, and is read again every
//!    [`REFRESH`](crate::jwt::REFRESH). While it can't be, the last one is used. All of it is `https`.
//! 4. `iss` in what comes back must be the issuer, and must be there if the provider says that it sends it (RFC 9207).
//! 5. The ID token is proven by an [`Authenticator`] as any bearer token is: signature by a published key, issuer, audience, time. Then its
//!    nonce must be the departure's, and `azp`, where it is there, the client.
//! 6. The access token and what else comes along is dropped. Nothing is asked of the provider again before the next sign-in.
//!
//! # Deployment caveats
//! - Register exactly one redirect URI with the provider: the one given here. Whoever may register another with it can be handed codes.
//! - Ending the session at the provider ends none here, and the other way round. To put somebody out at once, lock them down.
//! - Give the sign-in an authenticator of its own, with the client's id as its audience: ID tokens are no credentials for the gate.

mod provider;

use std::fmt;
use std::sync::Arc;

use jit_core::gate::authenticate::{AuthError, Authenticator, CredentialSource, Subject};
use jit_core::id::{Digest, Timestamp};
use oauth2::basic::{
    BasicErrorResponse, BasicRevocationErrorResponse, BasicTokenIntrospectionResponse, BasicTokenType,
};
use oauth2::{
    AuthType, AuthorizationCode, Client, ClientId, ClientSecret, CsrfToken, EndpointNotSet, EndpointSet,
    ExtraTokenFields, PkceCodeChallenge, PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope,
    StandardRevocableToken, StandardTokenResponse,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::fetch::HttpsFetch;
use crate::jwt::TOKEN_MAX;
use provider::{Caller, Place, Provider};

/// How long ago the person may have signed in at the provider, in seconds: half a day. It must say when that was then (OpenID Connect Core
/// §3.1.2.1), which a policy that wants a fresh sign-in needs to know.
const SIGN_IN_AGE: &str = "43200";
/// Longest code that is sent on to the provider, in bytes.
pub const CODE_MAX: usize = 4096;

/// What is registered with a provider.
#[derive(Clone)]
pub struct Registration {
    issuer: String,
    client: ClientId,
    secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    scopes: Vec<Scope>,
}

/// Why a registration can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadRegistration {
    /// Browsers could not come back.
    #[error(
        "the redirect URI {0:?} can't be one: write it as registered, such as https://access.example.com/login/callback"
    )]
    Redirect(String),
    /// The provider would not know who asks.
    #[error("no client id is given: it is what the provider called this console when it was registered")]
    Client,
}

impl Registration {
    /// The client `client_id` of `issuer`, to which browsers come back at `redirect_uri`. Without a secret it is a public client, which PKCE
    /// alone protects.
    ///
    /// # Errors
    /// [`BadRegistration`] says what is missing.
    pub fn new(issuer: &str, client_id: &str, redirect_uri: &str) -> Result<Self, BadRegistration> {
        if client_id.is_empty() {
            return Err(BadRegistration::Client);
        }
        let redirect = RedirectUrl::new(redirect_uri.to_owned())
            .ok()
            .filter(|url| matches!(url.url().scheme(), "https" | "http") && url.url().fragment().is_none())
            .ok_or_else(|| BadRegistration::Redirect(redirect_uri.to_owned()))?;
        Ok(Self {
            issuer: issuer.to_owned(),
            client: ClientId::new(client_id.to_owned()),
            secret: None,
            redirect,
            scopes: vec![Scope::new("openid".to_owned())],
        })
    }

    /// With the secret that the provider gave the client.
    #[must_use]
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(ClientSecret::new(secret.into()));
        self
    }

    /// Asks for these scopes besides `openid`: what the provider puts into ID tokens may depend on them, `profile` and `groups` for example.
    #[must_use]
    pub fn with_scopes(mut self, scopes: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.scopes
            .extend(scopes.into_iter().map(|scope| Scope::new(scope.into())));
        self
    }
}

/// Nothing secret is printed.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("issuer", &self.issuer)
            .field("client", &self.client.as_str())
            .field("redirect", &self.redirect.as_str())
            .finish_non_exhaustive()
    }
}

/// One visitor who was sent away to sign in: what their coming back is checked against. Serialised it is as secret as before.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Departure {
    nonce: String,
    verifier: String,
    anew: bool,
}

impl Departure {
    /// Has the provider ask the person to sign in even if it remembers them (`prompt=login`, OpenID Connect Core §3.1.2.1). Whether it did
    /// is told by when the [`Subject`] signed in: whoever rests on it compares that.
    #[must_use]
    pub fn anew(mut self) -> Self {
        self.anew = true;
        self
    }
}

impl fmt::Debug for Departure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Departure(<redacted>)")
    }
}

/// What a browser brings back (OpenID Connect Core §3.1.2.5, RFC 9207 §2). Other parameters are not read.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Arrival {
    /// Which departure it comes from.
    pub state: String,
    code: Option<String>,
    error: Option<String>,
    iss: Option<String>,
}

impl fmt::Debug for Arrival {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arrival")
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

/// Why nobody was signed in.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SignInError {
    /// The provider does not answer, or not as it should.
    #[error("the identity provider can't be reached: {source}")]
    Unavailable {
        /// What went wrong.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The person or the provider declined: an error code of RFC 6749 §4.1.2.1 or OpenID Connect Core §3.1.2.6.
    #[error("the identity provider declined: {0}")]
    Declined(String),
    /// What came back is not what was asked for: of another provider, another sign-in, or forged.
    #[error("the answer of the identity provider does not hold: {0}")]
    Invalid(&'static str),
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> SignInError {
    SignInError::Unavailable { source: error.into() }
}

/// What a token endpoint answers besides OAuth's own (OpenID Connect Core §3.1.3.3).
#[derive(Debug, Clone, Serialize, Deserialize)]
struct IdToken {
    id_token: Option<String>,
}

impl ExtraTokenFields for IdToken {}

/// A client whose two endpoints are known, or are not yet.
type OidcClient<Endpoint> = Client<
    BasicErrorResponse,
    StandardTokenResponse<IdToken, BasicTokenType>,
    BasicTokenIntrospectionResponse,
    StandardRevocableToken,
    BasicRevocationErrorResponse,
    Endpoint,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    Endpoint,
>;

/// The flow, for one registration.
#[derive(Debug)]
pub struct CodeFlow {
    registration: Registration,
    provider: Provider,
    proof: Arc<dyn Authenticator>,
    fetch: HttpsFetch,
}

impl CodeFlow {
    /// `proof` verifies ID tokens: a [`JwtAuthenticator`](crate::jwt::JwtAuthenticator) for the same issuer with the client's id as its only
    /// audience, in a [`Learning`](jit_core::broker::claims::Learning) where claims give roles.
    pub fn new(registration: Registration, proof: Arc<dyn Authenticator>, fetch: HttpsFetch) -> Self {
        Self {
            provider: Provider::new(&registration.issuer, fetch.clone()),
            registration,
            proof,
            fetch,
        }
    }

    /// A new departure, with a nonce of 128 random bits and a code verifier of 256.
    pub fn depart(&self) -> Departure {
        let (_, verifier) = PkceCodeChallenge::new_random_sha256();
        Departure {
            nonce: CsrfToken::new_random().into_secret(),
            verifier: verifier.into_secret(),
            anew: false,
        }
    }

    /// Where the browser goes. `state` names the departure when it comes back, and must tell nobody else anything.
    ///
    /// # Errors
    /// [`SignInError::Unavailable`] when it is not known where the provider is.
    pub async fn url(
        &self,
        departure: &Departure,
        state: &str,
        now: Timestamp,
    ) -> Result<String, SignInError> {
        let place = self.provider.place(now).await?;
        let verifier = PkceCodeVerifier::new(departure.verifier.clone());
        let client = self.client(&place);
        let mut asked = client
            .authorize_url(|| CsrfToken::new(state.to_owned()))
            .add_scopes(self.registration.scopes.iter().cloned())
            .add_extra_param("nonce", &departure.nonce)
            .add_extra_param("max_age", SIGN_IN_AGE)
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if departure.anew {
            asked = asked.add_extra_param("prompt", "login");
        }
        let (url, _) = asked.url();
        Ok(url.into())
    }

    /// Who came back. The departure is used up, whatever comes of it.
    ///
    /// # Errors
    /// [`SignInError`] says what does not hold.
    pub async fn arrive(
        &self,
        departure: Departure,
        arrival: Arrival,
        now: Timestamp,
    ) -> Result<Subject, SignInError> {
        let place = self.provider.place(now).await?;
        match &arrival.iss {
            Some(issuer) if *issuer != self.registration.issuer => {
                return Err(SignInError::Invalid("it is of another provider"));
            }
            None if place.names_itself => return Err(SignInError::Invalid("it does not say whose it is")),
            Some(_) | None => {}
        }
        if let Some(error) = arrival.error {
            return Err(SignInError::Declined(code_of(&error)));
        }
        let code = arrival
            .code
            .filter(|code| !code.is_empty() && code.len() <= CODE_MAX);
        let code = code.ok_or(SignInError::Invalid("it brings no code"))?;
        let token = self.exchange(&place, code, departure.verifier).await?;
        let subject = self
            .proof
            .verify(token.as_bytes(), CredentialSource::Authorization, now)
            .await;
        let subject = subject.map_err(|error| match error {
            AuthError::Unavailable { source } => SignInError::Unavailable { source },
            _ => SignInError::Invalid("its ID token is not good"),
        })?;
        let said = |claim: &str| subject.claims.get(claim).and_then(Value::as_str);
        // Hashed on both sides, so that how long it takes to compare them says nothing.
        let hashed = |text: &str| Digest::plain(text.as_bytes());
        if said("nonce").map(hashed) != Some(hashed(&departure.nonce)) {
            return Err(SignInError::Invalid("its ID token is of another sign-in"));
        }
        if subject.principal.issuer() != self.registration.issuer {
            return Err(SignInError::Invalid("its ID token is of another provider"));
        }
        if subject.claims.contains_key("azp") && said("azp") != Some(self.registration.client.as_str()) {
            return Err(SignInError::Invalid("its ID token is for another client"));
        }
        Ok(subject)
    }

    /// Swaps the code for the ID token.
    async fn exchange(&self, place: &Place, code: String, verifier: String) -> Result<String, SignInError> {
        let client = self.client(place);
        let answer = client
            .exchange_code(AuthorizationCode::new(code))
            .set_pkce_verifier(PkceCodeVerifier::new(verifier))
            .request_async(&Caller(&self.fetch))
            .await;
        let answer = answer.map_err(|error| match error {
            RequestTokenError::ServerResponse(said) => SignInError::Declined(code_of(said.error().as_ref())),
            RequestTokenError::Request(error) => unavailable(error),
            // What could not be read may hold a token.
            RequestTokenError::Parse(..) | RequestTokenError::Other(_) => {
                unavailable("the answer to the code is not what it should be")
            }
        })?;
        let token = answer.extra_fields().id_token.clone();
        token
            .filter(|token| token.len() <= TOKEN_MAX)
            .ok_or(SignInError::Invalid(
                "it has no ID token, or one that is too long",
            ))
    }

    fn client(&self, place: &Place) -> OidcClient<EndpointSet> {
        let registration = &self.registration;
        let client = OidcClient::<EndpointNotSet>::new(registration.client.clone())
            .set_redirect_uri(registration.redirect.clone())
            .set_auth_type(if place.by_form {
                AuthType::RequestBody
            } else {
                AuthType::BasicAuth
            })
            .set_auth_uri(place.authorization.clone())
            .set_token_uri(place.token.clone());
        match &registration.secret {
            Some(secret) => client.set_client_secret(secret.clone()),
            None => client,
        }
    }
}

/// An error code as it may be shown: what is none is not repeated, since anybody can write it into an address.
fn code_of(error: &str) -> String {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    if !error.is_empty() && error.len() <= 64 && error.bytes().all(plain) {
        error.to_owned()
    } else {
        "unknown_error".to_owned()
    }
}
