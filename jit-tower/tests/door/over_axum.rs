use axum::Router;
use axum::body::Body;
use axum::routing::get;
use http::StatusCode;
use http_body_util::BodyExt as _;
use jit_tower::{JitLayer, Permitted, Proven};
use tower::ServiceExt as _;

use crate::ANA;
use crate::world::{Fields, World, http_request};

fn app(world: &World) -> Router {
    Router::new()
        .route(
            "/admin",
            get(
                |Permitted(permit): Permitted, Proven(subject): Proven| async move {
                    assert_eq!(*permit.holder(), subject.principal);
                    permit.resource().to_string()
                },
            ),
        )
        .route(
            "/public",
            get(|permit: Option<Permitted>| async move { format!("{}", permit.is_some()) }),
        )
        .route("/public/wrong", get(|_: Permitted| async {}))
        .fallback(|| async { "fallback" })
        .layer(JitLayer::new(world.gate.clone()))
}

#[tokio::test]
async fn every_route_and_the_fallback_are_behind_the_layer() {
    let world = World::granted();
    for (method, path, fields, status, text) in [
        ("GET", "/admin", &[ANA][..], StatusCode::OK, "admin"),
        ("GET", "/admin/deeper", &[ANA], StatusCode::OK, "fallback"),
        ("GET", "/public", &[ANA], StatusCode::OK, "false"),
        ("GET", "/public", &[], StatusCode::OK, "false"),
        (
            "GET",
            "/public/wrong",
            &[ANA],
            StatusCode::INTERNAL_SERVER_ERROR,
            "",
        ),
        ("HEAD", "/elsewhere", &[ANA], StatusCode::FORBIDDEN, ""),
        ("HEAD", "/admin", &[], StatusCode::UNAUTHORIZED, ""),
    ] {
        let fields: Fields<'_> = fields;
        let request = http_request::<String>(method, path, fields).map(Body::from);
        let response = app(&world).oneshot(request).await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(body, text, "{method} {path}");
    }
}
