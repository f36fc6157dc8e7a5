//! The routers inside somebody else's program.

use axum::{Router, body::Body, routing};
use http::Request;
use http_body_util::BodyExt;
use saas_http::Problem;
use saas_kit::testing::{TestEngine, TestSaas};
use tower::ServiceExt;

use crate::harness::on_both_engines;

on_both_engines! {
    the_routers_merge_into_an_embedders_own,
}

async fn status_and_body(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("the body is whole").to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

async fn the_routers_merge_into_an_embedders_own(engine: TestEngine) {
    let test = TestSaas::start(engine).await;
    let router = Router::new()
        .route("/mine", routing::get(|| async { "mine" }))
        .route(
            "/refused",
            routing::get(|| async { Problem::new(http::StatusCode::CONFLICT, "mine_too", "not now") }),
        )
        .fallback(|| async { (http::StatusCode::IM_A_TEAPOT, "not mine either") })
        .merge(saas_http::api_router(&test.saas))
        .nest("/ops", saas_http::ops_router(&test.saas));
    assert_eq!(status_and_body(&router, "/mine").await, (200, "mine".into()));
    assert_eq!(status_and_body(&router, "/nothing").await, (418, "not mine either".into()));
    assert_eq!(status_and_body(&router, "/ops/health/ready").await.0, 200);
    let (status, body) = status_and_body(&router, "/refused").await;
    assert!(
        status == 409 && body.contains("\"code\":\"mine_too\""),
        "a problem is one outside our routers, too: {body}"
    );
    let (status, body) = status_and_body(&router, "/api/v1/auth/me").await;
    assert!(status == 401 && body.contains("\"code\":\"unauthenticated\""), "{body}");
    let (status, body) = status_and_body(&router, "/api/v1/auth/token").await;
    assert!(status == 405 && body.contains("\"code\":\"method_not_allowed\""), "{body}");
}
