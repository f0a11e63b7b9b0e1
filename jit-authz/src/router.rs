//! The endpoints as a router.

use std::net::SocketAddr;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use http::Response;

use crate::answer::Audience;
use crate::check::{Authz, Reason, Ruling};
use crate::dialect::Dialect;
use crate::metadata::{BadMetadata, Unread};

impl Authz {
    /// The endpoints, for a server of the caller's own. The peer's address has to be in each request's extensions, as
    /// [`ConnectInfo`]`<SocketAddr>`; without it nobody is trusted. [`Authz::serve`] does that, and bounds connections as well.
    pub fn router(&self) -> Router {
        let router = Router::new();
        #[cfg(feature = "grpc")]
        let router = self.grpc(router);
        router
            .fallback(check)
            .with_state(self.clone())
            .layer(from_fn_with_state(self.clone(), only_proxies))
    }
}

async fn check(State(authz): State<Authz>, request: Request) -> Response<Body> {
    // A question has no body that counts: what there is stays unread.
    let (asked, _) = request.into_parts();
    let audience = Audience::of(&asked.headers);
    let Some(dialect) = Dialect::at(asked.uri.path()) else {
        let ruling = authz.rule(Err(Unread::Metadata(BadMetadata::NoEndpoint))).await;
        let mut response = authz.answer(None, ruling, audience);
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return response;
    };
    let question = dialect.read(asked, &authz.0.settings.proxies);
    let audience = match &question {
        Ok(question) => audience.asks_with(&question.head.method),
        Err(_) => audience,
    };
    let ruling = authz.rule(question).await;
    authz.answer(Some(dialect), ruling, audience)
}

/// Answers listed proxies alone, whatever they ask for.
async fn only_proxies(State(authz): State<Authz>, request: Request, next: Next) -> Response<Body> {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_some_and(|peer| authz.trusts(peer.0)) {
        return next.run(request).await;
    }
    let ruling = Ruling::deny(Reason::Metadata(BadMetadata::UntrustedPeer));
    let audience = Audience::of(request.headers());
    let mut response = authz.answer(None, ruling, audience);
    *response.status_mut() = http::StatusCode::FORBIDDEN;
    response
}
