//! The operator's listener: whether the process lives, whether it is ready, and its metrics.
//!
//! - `/livez`: 200 for as long as the process answers.
//! - `/readyz`: 200 when it can do its work; 503, with the reasons, while it stops, while the gate's view is stale, and while the store can't be
//!   written. Whether it can is tried by writing a small cell, at most every [`TRY_EVERY`].
//! - `/metrics`: see [`measures`](super::measures).
//!
//! Nothing here needs a credential: let only those reach it who may know. It says nothing about anyone.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use chrono::TimeDelta;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use jit_core::broker::Broker;
use jit_core::broker::store::{Put, Store, StoreError};
use jit_core::gate::Gate;
use jit_core::gate::interactions::Interactions;
use jit_core::id::Timestamp;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::{Mutex, watch};

use super::listener::Stage;
use crate::BoxError;
use crate::proxy::chain;

/// How often the store is tried at most.
const TRY_EVERY: TimeDelta = TimeDelta::seconds(5);
/// How long the store may take to be written.
const TRY_MAX: Duration = Duration::from_secs(2);
/// The cell that is written.
const CELL: &str = "server/ready";

/// What the operator is told about.
#[derive(Clone)]
pub(super) struct Operator(Arc<Inner>);

struct Inner {
    broker: Broker,
    gate: Gate,
    store: Arc<dyn Store>,
    interactions: Arc<Interactions>,
    metrics: PrometheusHandle,
    stage: watch::Receiver<Stage>,
    /// When the store was tried last, and how that went.
    tried: Mutex<Option<(Timestamp, bool)>>,
}

impl Operator {
    pub(super) fn new(
        broker: Broker,
        gate: Gate,
        store: Arc<dyn Store>,
        interactions: Arc<Interactions>,
        metrics: PrometheusHandle,
        stage: watch::Receiver<Stage>,
    ) -> Self {
        Self(Arc::new(Inner {
            broker,
            gate,
            store,
            interactions,
            metrics,
            stage,
            tried: Mutex::default(),
        }))
    }

    pub(super) fn router(self) -> Router {
        Router::new()
            .route("/livez", get(async || text(StatusCode::OK, "alive\n".to_owned())))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self)
    }

    fn is_stopping(&self) -> bool {
        *self.0.stage.borrow() != Stage::Serving
    }

    /// Whether the store takes a write.
    async fn writes(&self) -> bool {
        let mut tried = self.0.tried.lock().await;
        let now = self.0.broker.now();
        if let Some((at, writes)) = *tried
            && now.signed_duration_since(at) < TRY_EVERY
        {
            return writes;
        }
        let outcome = tokio::time::timeout(TRY_MAX, put(&*self.0.store, now)).await;
        let writes = match outcome.map_err(BoxError::from).and_then(|put| Ok(put?)) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(why = chain(&*error), "the store can't be written");
                false
            }
        };
        gauge!("jit_store_writable").set(f64::from(u8::from(writes)));
        *tried = Some((now, writes));
        writes
    }
}

async fn put(store: &dyn Store, now: Timestamp) -> Result<(), StoreError> {
    let expected = store.cell(CELL, None).await?.version;
    let value = now.to_rfc3339();
    match store.cell(CELL, Some(Put { expected, value })).await {
        // A put of before, which was given up, has been written meanwhile.
        Ok(_) | Err(StoreError::Conflict { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn ready(State(operator): State<Operator>) -> Response {
    let mut why = String::new();
    if operator.is_stopping() {
        why.push_str("stopping\n");
    }
    let broker = &operator.0.broker;
    if broker.enforcer().is_stale(broker.now()) {
        why.push_str("the gate's view of grants is stale: it admits nothing\n");
    }
    if !operator.writes().await {
        why.push_str("the store can't be written: nothing can be asked for or approved\n");
    }
    match why.is_empty() {
        true => text(StatusCode::OK, "ready\n".to_owned()),
        false => text(StatusCode::SERVICE_UNAVAILABLE, why),
    }
}

async fn metrics(State(operator): State<Operator>) -> Response {
    let Inner {
        broker,
        gate,
        interactions,
        ..
    } = &*operator.0;
    let count = |count: usize| u32::try_from(count).map_or(f64::INFINITY, f64::from);
    let position = *broker.changes().borrow();
    gauge!("jit_grants_live").set(count(broker.enforcer().live_count()));
    gauge!("jit_requests_pending").set(count(broker.pending_count()));
    gauge!("jit_requests_parked").set(count(gate.parked_count()));
    #[expect(
        clippy::cast_precision_loss,
        reason = "a position in the log does not reach 2^53"
    )]
    gauge!("jit_audit_position").set(position as f64);
    let stale = broker.enforcer().is_stale(broker.now());
    gauge!("jit_view_stale").set(f64::from(u8::from(stale)));
    gauge!("jit_stopping").set(f64::from(u8::from(operator.is_stopping())));
    gauge!("jit_interactions_waiting").set(count(interactions.waiting()));
    counter!("jit_interactions_lost_total").absolute(interactions.lost());
    let mut response = text(StatusCode::OK, operator.0.metrics.render());
    // The version of the format is part of its name.
    let kind = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn text(status: StatusCode, text: String) -> Response {
    let mut response = (status, text).into_response();
    let fresh = http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, fresh);
    response
}

#[cfg(test)]
mod tests {
    use http::Request;
    use jit_core::broker::people::PeopleFile;
    use jit_core::clock::Clock;
    use jit_core::gate::rules::RuleSet;
    use jit_core::gate::tokens::ApiTokens;
    use jit_core::memory::MemoryStore;
    use jit_core::policy::{Format, Policy};
    use jit_core::testing::ManualClock;
    use metrics_exporter_prometheus::PrometheusBuilder;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn it_is_ready_for_as_long_as_its_view_is_fresh_and_it_stays() {
        let clock = ManualClock::new(Timestamp::from_timestamp_millis(1_767_225_600_000).unwrap());
        let clock = Arc::new(clock);
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let people = PeopleFile::parse("", Format::Toml, "people.toml").unwrap();
        let people = Arc::new(people);
        let policy = Policy::parse("", Format::Toml, "policy.toml").unwrap();
        let told: Arc<dyn Clock> = clock.clone();
        let broker = Broker::builder(store.clone(), people.clone(), policy)
            .clock(told.clone())
            .build()
            .await
            .unwrap();
        let tokens = Arc::new(ApiTokens::new([]).unwrap());
        let enforcer = broker.enforcer().clone();
        let gate = Gate::builder(RuleSet::default(), enforcer, tokens, people, told).build();
        let (stage, stages) = watch::channel(Stage::Serving);
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let interactions = Arc::new(Interactions::with_places(1));
        let operator = Operator::new(broker.clone(), gate, store, interactions, metrics, stages);
        let ready = async || {
            let request = Request::get("/readyz").body(axum::body::Body::empty()).unwrap();
            let response = operator.clone().router().oneshot(request).await.unwrap();
            let ok = response.status() == StatusCode::OK;
            let text = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
            assert_eq!(ok, text == "ready\n");
            text
        };
        assert_eq!(ready().await, "ready\n");
        clock.advance(Duration::from_secs(60));
        assert!(ready().await.starts_with(b"the gate's view of grants is stale"));
        broker.follow().await.unwrap();
        assert_eq!(ready().await, "ready\n");
        stage.send_replace(Stage::Leaving);
        assert_eq!(ready().await, "stopping\n");
        stage.send_replace(Stage::Closing);
        assert_eq!(ready().await, "stopping\n");
    }
}
