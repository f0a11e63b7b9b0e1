//! What is counted, for Prometheus.
//!
//! | metric | labels | |
//! |---|---|---|
//! | `jit_build_info` | `version` | 1 |
//! | `jit_requests_total` | `door`, `outcome`: `admitted`, `open`, `control`, `refused` | requests decided on |
//! | `jit_refusals_total` | `door`, `reason`: the kinds of refusal | refusals; a request that was cut before its answer began counts here as well |
//! | `jit_grants_live` | | grants that admit now |
//! | `jit_requests_pending` | | requests that wait for a decision |
//! | `jit_requests_parked` | | HTTP requests that wait for a grant |
//! | `jit_audit_position` | | the newest record of the audit log that this process has seen |
//! | `jit_view_stale`, `jit_store_writable`, `jit_stopping` | | 0 or 1; whether the store can be written is as of the last `/readyz` |
//! | `jit_interactions_waiting` | | records that wait to be written down |
//! | `jit_interactions_lost_total` | | records lost for want of room |
//! | `jit_connections` | `listener` | connections that are open |
//! | `jit_connections_refused_total` | `listener`, `reason`: `limit`, `peer` | connections that were closed at once |
//! | `jit_upstream_responses_total` | `upstream`, `outcome`: `1xx` to `5xx`, `failed`, `no-server`, `client` | what became of requests that were let through |
//! | `jit_upstream_server_up` | `upstream`, `server` | 1 if it takes requests |
//! | `jit_reloads_total` | `outcome`: `done`, `refused`, `failed` | SIGHUPs |
//!
//! Every label's values come from this program or from `jit.toml`: no client can make one more.

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::StatusCode;
use jit_authz::BadMetadata;
use jit_core::gate::refusal::Refusal;
use jit_tower::Permit;
use metrics::{counter, describe_counter, describe_gauge, gauge};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};

/// Begins to count.
///
/// # Errors
/// Where this process counts elsewhere already.
pub(super) fn begin() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new().install_recorder()?;
    describe_counter!("jit_requests_total", "Requests decided on");
    describe_counter!("jit_refusals_total", "Refusals by their kind");
    describe_counter!(
        "jit_interactions_lost_total",
        "Records of admitted requests lost for want of room"
    );
    describe_counter!(
        "jit_connections_refused_total",
        "Connections that were closed at once"
    );
    describe_counter!(
        "jit_upstream_responses_total",
        "What became of requests that were let through"
    );
    describe_counter!("jit_reloads_total", "Reloads of policy, people and certificates");
    describe_gauge!("jit_build_info", "The version that runs");
    describe_gauge!("jit_grants_live", "Grants that admit now");
    describe_gauge!(
        "jit_requests_pending",
        "Requests for access that wait for a decision"
    );
    describe_gauge!("jit_requests_parked", "HTTP requests that wait for a grant");
    describe_gauge!(
        "jit_audit_position",
        "The newest record of the audit log that was seen"
    );
    describe_gauge!(
        "jit_view_stale",
        "Whether the gate's view of grants is too old to admit anything"
    );
    describe_gauge!(
        "jit_store_writable",
        "Whether the last trial write of the store succeeded"
    );
    describe_gauge!("jit_stopping", "Whether this process is stopping");
    describe_gauge!(
        "jit_interactions_waiting",
        "Records of admitted requests that wait to be written down"
    );
    describe_gauge!("jit_connections", "Open connections");
    describe_gauge!("jit_upstream_server_up", "Whether a server takes requests");
    gauge!("jit_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    for outcome in ["done", "refused", "failed"] {
        counter!("jit_reloads_total", "outcome" => outcome).absolute(0);
    }
    Ok(handle)
}

pub(super) fn class(status: StatusCode) -> &'static str {
    match status.as_u16() / 100 {
        1 => "1xx",
        2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
    }
}

pub(super) fn upstream_answered(upstream: &str, outcome: &'static str) {
    counter!("jit_upstream_responses_total", "upstream" => upstream.to_owned(), "outcome" => outcome)
        .increment(1);
}

pub(super) fn server_is_well(upstream: &str, server: &str, well: bool) {
    gauge!("jit_upstream_server_up", "upstream" => upstream.to_owned(), "server" => server.to_owned())
        .set(if well { 1.0 } else { 0.0 });
}

pub(super) fn reloaded(outcome: &'static str) {
    counter!("jit_reloads_total", "outcome" => outcome).increment(1);
}

pub(super) fn connection_refused(listener: &'static str, reason: &'static str) {
    counter!("jit_connections_refused_total", "listener" => listener, "reason" => reason).increment(1);
}

/// Counts a connection as open until dropped.
pub(super) fn connection_opened(listener: &'static str) -> Open {
    gauge!("jit_connections", "listener" => listener).increment(1.0);
    Open(listener)
}

/// A connection that is open.
pub(super) struct Open(&'static str);

impl Drop for Open {
    fn drop(&mut self) {
        gauge!("jit_connections", "listener" => self.0).decrement(1.0);
    }
}

fn decided(door: &'static str, outcome: &'static str) {
    counter!("jit_requests_total", "door" => door, "outcome" => outcome).increment(1);
}

/// Outside a gate: counts what it refuses, by the extension that each refusal leaves.
pub(super) async fn refusals(State(door): State<&'static str>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let known = response.extensions();
    let reason = match known.get::<Refusal>() {
        Some(refusal) => Some(refusal.kind()),
        None => known.get::<BadMetadata>().map(|_| "bad-metadata"),
    };
    if let Some(reason) = reason {
        decided(door, "refused");
        counter!("jit_refusals_total", "door" => door, "reason" => reason).increment(1);
    }
    response
}

/// Inside a gate: counts what passes to applications.
pub(super) async fn passages(request: Request, next: Next) -> Response {
    let admitted = request.extensions().get::<Permit>().is_some();
    decided("gate", if admitted { "admitted" } else { "open" });
    next.run(request).await
}

/// Inside a gate: counts what passes to the control API and to the console's entrance.
pub(super) async fn control(State(door): State<&'static str>, request: Request, next: Next) -> Response {
    decided(door, "control");
    next.run(request).await
}

/// Around the authorization endpoints: counts what they allow. What they refuse leaves its mark.
pub(super) async fn questions(request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    if response.status().is_success() {
        decided("authz", "admitted");
    }
    response
}
