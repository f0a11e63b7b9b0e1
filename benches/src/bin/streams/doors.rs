//! The doors that are made of the layer.

use std::convert::Infallible;

use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use jit_core::gate::Gate;
use jit_tower::connection::{Accepted, Severable, SeverableListener};
use jit_tower::{JitLayer, PeerAddr};
use tokio::net::TcpListener;
use tower_layer::Layer as _;

use crate::application::answer;

pub(crate) async fn over_axum(listener: TcpListener, gate: Gate) {
    let answer = |request: axum::extract::Request| async { answer(request).await.map(axum::body::Body::new) };
    let app = Router::new().fallback(answer).layer(JitLayer::new(gate));
    let app = app.into_make_service_with_connect_info::<Accepted>();
    if let Err(error) = axum::serve(SeverableListener::new(listener), app).await {
        eprintln!("axum: {error}");
    }
}

pub(crate) async fn over_hyper(listener: TcpListener, gate: Gate) {
    let app = tower::service_fn(|request| async { Ok::<_, Infallible>(answer(request).await) });
    let guarded = JitLayer::new(gate).layer(app);
    while let Ok((stream, peer)) = listener.accept().await {
        let (guarded, stream) = (guarded.clone(), Severable::new(stream));
        let connection = stream.connection();
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer.ip()));
            request.extensions_mut().insert(connection.clone());
            tower::ServiceExt::oneshot(guarded.clone(), request)
        });
        tokio::spawn(async move {
            let server = auto::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service);
            // A connection that fails concerns nobody but its client.
            let _ = server
                .serve_connection_with_upgrades(TokioIo::new(stream), service)
                .await;
        });
    }
}
