//! A whole proxy behind a gate.

use std::any::Any;
use std::borrow::Cow;
use std::fmt;
use std::os::unix::io::RawFd;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::cache::key::HashBinary;
use pingora::cache::{CacheKey, CacheMeta, ForcedFreshness, HitHandler, PurgeAction, RespCacheable};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::protocols::Digest;
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, PurgeStatus, RangeType, Session};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};

use crate::gate::JitGate;
use crate::ticket::Ticket;

/// A proxy behind a gate: what `P` does is done for requests that were let through.
///
/// The `CTX` stays that of `P`, which keeps the [`Ticket`] there and can read it in all of its filters but `early_request_filter`, the one
/// that comes before the decision.
pub struct Jit<P> {
    gate: JitGate,
    inner: P,
}

impl<P> Jit<P> {
    /// Puts `gate` before `inner`.
    pub const fn new(gate: JitGate, inner: P) -> Self {
        Self { gate, inner }
    }

    /// The proxy behind the gate.
    pub const fn inner(&self) -> &P {
        &self.inner
    }
}

impl<P: fmt::Debug> fmt::Debug for Jit<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jit")
            .field("gate", &self.gate)
            .field("inner", &self.inner)
            .finish()
    }
}

#[async_trait]
impl<P> ProxyHttp for Jit<P>
where
    P: ProxyHttp + Send + Sync,
    P::CTX: AsMut<Ticket> + AsRef<Ticket> + Send + Sync,
{
    type CTX = P::CTX;

    fn new_ctx(&self) -> P::CTX {
        self.inner.new_ctx()
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut P::CTX) -> Result<bool> {
        if self.gate.request_filter(session, ctx.as_mut()).await? {
            return Ok(true);
        }
        self.inner.request_filter(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        upstream: &mut RequestHeader,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.inner.upstream_request_filter(session, upstream, ctx).await?;
        self.gate.upstream_request_filter(upstream, ctx.as_ref())
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.gate.request_body_filter(body.as_ref(), ctx.as_ref()).await?;
        self.inner.request_body_filter(session, body, end, ctx).await
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.inner.response_filter(session, response, ctx).await?;
        self.gate.response_filter(response, ctx.as_mut())
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut P::CTX,
    ) -> Result<Option<Duration>> {
        let delay = self.inner.response_body_filter(session, body, end, ctx)?;
        self.gate.response_body_filter(body.as_ref(), ctx.as_mut())?;
        Ok(delay)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut P::CTX) -> FailToProxy {
        match self.gate.fail_to_proxy(session, ctx.as_ref()).await {
            Some(answered) => answered,
            None => self.inner.fail_to_proxy(session, error, ctx).await,
        }
    }

    // From here on everything is left to the proxy behind the gate.

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut P::CTX) -> Result<Box<HttpPeer>> {
        self.inner.upstream_peer(session, ctx).await
    }

    fn init_downstream_modules(&self, modules: &mut HttpModules) {
        self.inner.init_downstream_modules(modules);
    }

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut P::CTX) -> Result<()> {
        self.inner.early_request_filter(session, ctx).await
    }

    fn allow_spawning_subrequest(&self, session: &Session, ctx: &P::CTX) -> bool {
        self.inner.allow_spawning_subrequest(session, ctx)
    }

    fn request_cache_filter(&self, session: &mut Session, ctx: &mut P::CTX) -> Result<()> {
        self.inner.request_cache_filter(session, ctx)
    }

    fn cache_key_callback(&self, session: &Session, ctx: &mut P::CTX) -> Result<CacheKey> {
        self.inner.cache_key_callback(session, ctx)
    }

    fn cache_miss(&self, session: &mut Session, ctx: &mut P::CTX) {
        self.inner.cache_miss(session, ctx);
    }

    async fn cache_hit_filter(
        &self,
        session: &mut Session,
        meta: &CacheMeta,
        hit: &mut HitHandler,
        is_fresh: bool,
        ctx: &mut P::CTX,
    ) -> Result<Option<ForcedFreshness>> {
        self.inner
            .cache_hit_filter(session, meta, hit, is_fresh, ctx)
            .await
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut P::CTX) -> Result<bool> {
        self.inner.proxy_upstream_filter(session, ctx).await
    }

    fn response_cache_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut P::CTX,
    ) -> Result<RespCacheable> {
        self.inner.response_cache_filter(session, response, ctx)
    }

    fn cache_vary_filter(
        &self,
        meta: &CacheMeta,
        ctx: &mut P::CTX,
        request: &RequestHeader,
    ) -> Option<HashBinary> {
        self.inner.cache_vary_filter(meta, ctx, request)
    }

    fn cache_not_modified_filter(
        &self,
        session: &Session,
        response: &ResponseHeader,
        ctx: &mut P::CTX,
    ) -> Result<bool> {
        self.inner.cache_not_modified_filter(session, response, ctx)
    }

    fn range_header_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut P::CTX,
    ) -> RangeType {
        self.inner.range_header_filter(session, response, ctx)
    }

    async fn upstream_response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.inner.upstream_response_filter(session, response, ctx).await
    }

    fn upstream_response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        ctx: &mut P::CTX,
    ) -> Result<Option<Duration>> {
        self.inner.upstream_response_body_filter(session, body, end, ctx)
    }

    fn upstream_response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.inner
            .upstream_response_trailer_filter(session, trailers, ctx)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut P::CTX,
    ) -> Result<Option<Bytes>> {
        let body = self.inner.response_trailer_filter(session, trailers, ctx).await?;
        self.gate.response_body_filter(body.as_ref(), ctx.as_mut())?;
        Ok(body)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut P::CTX) {
        self.inner.logging(session, error, ctx).await;
    }

    fn persist_connection_context(
        &self,
        session: &Session,
        ctx: &P::CTX,
    ) -> Option<Box<dyn Any + Send + Sync>> {
        self.inner.persist_connection_context(session, ctx)
    }

    fn on_connection_reuse(
        &self,
        session: &mut Session,
        ctx: &mut P::CTX,
        before: Box<dyn Any + Send + Sync>,
    ) {
        self.inner.on_connection_reuse(session, ctx, before);
    }

    fn suppress_error_log(&self, session: &Session, ctx: &P::CTX, error: &Error) -> bool {
        self.inner.suppress_error_log(session, ctx, error)
    }

    fn suppress_proxy_warn_log(
        &self,
        session: &Session,
        ctx: &P::CTX,
        error: &Error,
        context: ProxyWarnLogContext,
    ) -> bool {
        self.inner.suppress_proxy_warn_log(session, ctx, error, context)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut P::CTX,
        reused: bool,
    ) -> Box<Error> {
        self.inner.error_while_proxy(peer, session, error, ctx, reused)
    }

    fn fail_to_connect(
        &self,
        session: &mut Session,
        peer: &HttpPeer,
        ctx: &mut P::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        self.inner.fail_to_connect(session, peer, ctx, error)
    }

    fn should_serve_stale(&self, session: &mut Session, ctx: &mut P::CTX, error: Option<&Error>) -> bool {
        self.inner.should_serve_stale(session, ctx, error)
    }

    async fn connected_to_upstream(
        &self,
        session: &mut Session,
        reused: bool,
        peer: &HttpPeer,
        fd: RawFd,
        digest: Option<&Digest>,
        ctx: &mut P::CTX,
    ) -> Result<()> {
        self.inner
            .connected_to_upstream(session, reused, peer, fd, digest, ctx)
            .await
    }

    fn request_summary(&self, session: &Session, ctx: &P::CTX) -> String {
        self.inner.request_summary(session, ctx)
    }

    fn is_purge(&self, session: &Session, ctx: &P::CTX) -> bool {
        self.inner.is_purge(session, ctx)
    }

    fn purge_action(&self, session: &Session, ctx: &P::CTX) -> PurgeAction {
        self.inner.purge_action(session, ctx)
    }

    fn purge_response_filter(
        &self,
        session: &Session,
        ctx: &mut P::CTX,
        status: PurgeStatus,
        response: &mut Cow<'static, ResponseHeader>,
    ) -> Result<()> {
        self.inner.purge_response_filter(session, ctx, status, response)
    }
}
