//! Asking servers whether they are well.
//!
//! A check is a GET on a connection of its own, so that it says what a new connection would meet, TLS included. A 2xx in time passes.

use futures_util::future::join_all;
use http::header::{HOST, HeaderMap, HeaderValue, USER_AGENT};
use tokio::time::MissedTickBehavior;

use super::server::Server;
use super::{Upstream, Upstreams};
use crate::BoxError;
use crate::proxy::chain;
use crate::serve::config::Health;

pub(super) async fn watch(upstreams: &Upstreams) {
    let checked = upstreams.all.iter().filter_map(|upstream| {
        let health = upstream.health.as_ref()?;
        Some((&**upstream, health))
    });
    let each = checked.flat_map(|(upstream, health)| {
        let servers = upstream.servers.iter();
        servers.map(move |server| watch_one(upstreams, upstream, server, health))
    });
    join_all(each).await;
    // Where nothing is to be watched, nothing ends.
    std::future::pending::<()>().await;
}

async fn watch_one(upstreams: &Upstreams, upstream: &Upstream, server: &Server, health: &Health) {
    let mut tick = tokio::time::interval(health.interval);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let checked = tokio::time::timeout(health.timeout, check(upstream, server, health));
        let why = match checked.await {
            Ok(Ok(())) => {
                server.passed();
                continue;
            }
            Ok(Err(error)) => chain(&*error),
            Err(_) => "the health check took too long".to_owned(),
        };
        tracing::debug!(upstream = %upstream.name, server = %server.at, why, "a health check failed");
        server.failed(upstreams.clock.now(), &why);
    }
}

async fn check(upstream: &Upstream, server: &Server, health: &Health) -> Result<(), BoxError> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static("jit-health"));
    if let Some(host) = &health.host {
        headers.insert(HOST, HeaderValue::from_str(host)?);
    }
    let hop = upstream.hop.load_full();
    let status = hop.ask(&server.at, &health.path, headers).await?;
    if status.is_success() {
        return Ok(());
    }
    Err(format!("the health check was answered with {}", status.as_u16()).into())
}
