//! Where a provider is, as its discovery document says (OpenID Connect Discovery §4), and the client that talks to it.

use std::future::Future;
use std::pin::Pin;

use jit_core::id::Timestamp;
use oauth2::{AsyncHttpClient, AuthUrl, HttpRequest, HttpResponse, TokenUrl};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{SignInError, unavailable};
use crate::fetch::{Fetch, FetchError, HttpsFetch};
use crate::jose::json;
use crate::jwt::{PAUSE, REFRESH};

/// What is known of the provider.
#[derive(Debug)]
pub(super) struct Provider {
    issuer: String,
    fetch: HttpsFetch,
    /// Held while it is read anew: all who need it meanwhile wait for the one answer.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    place: Option<Place>,
    read_at: Option<Timestamp>,
    tried_at: Option<Timestamp>,
}

/// Where the provider is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) authorization: AuthUrl,
    pub(super) token: TokenUrl,
    /// Whether a client's secret goes into the form, since the provider does not take it in the header.
    pub(super) by_form: bool,
    /// Whether it says in what comes back which provider it is (RFC 9207 §3).
    pub(super) names_itself: bool,
}

impl Provider {
    pub(super) fn new(issuer: &str, fetch: HttpsFetch) -> Self {
        Self {
            issuer: issuer.to_owned(),
            fetch,
            known: Mutex::default(),
        }
    }

    /// Where it is, read at most once in [`PAUSE`].
    pub(super) async fn place(&self, now: Timestamp) -> Result<Place, SignInError> {
        let mut known = self.known.lock().await;
        let younger = |at: Option<Timestamp>, than| at.is_some_and(|at| now.signed_duration_since(at) < than);
        if younger(known.read_at, REFRESH) || younger(known.tried_at, PAUSE) {
            let place = known.place.clone();
            return place
                .ok_or_else(|| unavailable("it did not answer a moment ago, and is not asked again yet"));
        }
        let discovered = self.discover().await;
        // Not before: whoever goes away meanwhile has tried nothing for the others.
        known.tried_at = Some(now);
        match discovered {
            Ok(place) => {
                known.place = Some(place.clone());
                known.read_at = Some(now);
                Ok(place)
            }
            Err(error) => match &known.place {
                Some(place) => {
                    tracing::warn!(%error, issuer = self.issuer, "the identity provider's configuration can't be read anew; the last one is used");
                    Ok(place.clone())
                }
                None => Err(error),
            },
        }
    }

    async fn discover(&self) -> Result<Place, SignInError> {
        let base = self.issuer.strip_suffix('/').unwrap_or(&self.issuer);
        let url = format!("{base}/.well-known/openid-configuration");
        let document = self.fetch.get(&url).await.map_err(unavailable)?;
        let unusable = |problem: &str| unavailable(format!("{url}: {problem}"));
        let document = json::object(&document)
            .ok_or_else(|| unusable("it is not a JSON object, or a name stands in it twice"))?;
        let text = |name: &str| document.get(name).and_then(Value::as_str);
        if text("issuer") != Some(&self.issuer) {
            return Err(unusable("it names another issuer"));
        }
        let endpoint = |name: &str| {
            let url = text(name).ok_or_else(|| unusable(&format!("it names no {name}")))?;
            self.fetch
                .check(url)
                .map_err(|why| unusable(&format!("its {name} can't be used: {why}")))?;
            Ok::<_, SignInError>(url.to_owned())
        };
        let lists = |name: &str, wanted: &str| {
            let list = document.get(name)?.as_array()?;
            Some(list.iter().any(|one| one.as_str() == Some(wanted)))
        };
        let methods = "token_endpoint_auth_methods_supported";
        // Left out, it is the header alone (OpenID Connect Discovery §3).
        let by_header = lists(methods, "client_secret_basic").unwrap_or(true);
        let by_form = lists(methods, "client_secret_post").unwrap_or(false);
        let named = "authorization_response_iss_parameter_supported";
        Ok(Place {
            authorization: AuthUrl::new(endpoint("authorization_endpoint")?).map_err(unavailable)?,
            token: TokenUrl::new(endpoint("token_endpoint")?).map_err(unavailable)?,
            by_form: by_form && !by_header,
            names_itself: document.get(named).and_then(Value::as_bool).unwrap_or(false),
        })
    }
}

/// Lets the flow call the provider through our own client: `https`, no redirects, bounded in time and size.
pub(super) struct Caller<'f>(pub(super) &'f HttpsFetch);

impl<'c> AsyncHttpClient<'c> for Caller<'_> {
    type Error = FetchError;
    type Future = Pin<Box<dyn Future<Output = Result<HttpResponse, FetchError>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(self.0.send(request))
    }
}
