//! The description as it is served, and the page that shows it.

use axum::{Router, body::Body};
use http::{Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use saas_kit::testing::{TestEngine, TestSaas};
use tower::ServiceExt;

use crate::harness::{Answer, Api, Call, get, on_both_engines};

on_both_engines! {
    the_description_is_served_as_it_is_generated,
    who_has_the_description_gets_a_304,
    the_page_and_all_that_it_loads_is_there_and_may_load_nothing_else,
    the_page_works_behind_a_prefix,
    an_api_without_the_docs_router_has_no_page,
    the_page_takes_no_other_method,
}

async fn the_description_is_served_as_it_is_generated(engine: TestEngine) {
    let api = Api::start(engine).await;
    let answer = api.send(get("/openapi.json")).await;
    assert_eq!((answer.status, answer.header("content-type")), (StatusCode::OK, "application/json"));
    assert_eq!(answer.body, serde_json::to_vec(&saas_http::openapi()).expect("the description is JSON"));
    let json = answer.json();
    assert_eq!(
        (&json["openapi"], &json["info"]["version"]),
        (&"3.1.0".into(), &env!("CARGO_PKG_VERSION").into())
    );
}

async fn who_has_the_description_gets_a_304(engine: TestEngine) {
    let api = Api::start(engine).await;
    let full = api.send(get("/openapi.json")).await;
    let etag = full.header("etag");
    assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() == 66, "{etag}");
    for list in [etag, &format!("W/{etag}"), &format!("\"a,b\",\t{etag}"), "*"] {
        let answer = api.send(get("/openapi.json").header(header::IF_NONE_MATCH, list)).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body.len(), answer.header("etag")),
            (304, 0, etag),
            "{list}"
        );
    }
    for list in ["", "\"a\"", etag.trim_matches('"'), &format!("\"x{}", &etag[1..])] {
        let answer = api.send(get("/openapi.json").header(header::IF_NONE_MATCH, list)).await;
        assert_eq!((answer.status.as_u16(), &answer.body), (200, &full.body), "{list}");
    }
}

/// What a document of the page loads: the values of `href` and `src`, and the modules that it imports.
fn loads(text: &str) -> Vec<&str> {
    let after = |mark: &'static str| text.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    after("href=\"")
        .chain(after("src=\""))
        .chain(after("} from \""))
        .chain(after("* as token from \""))
        .collect()
}

async fn the_page_and_all_that_it_loads_is_there_and_may_load_nothing_else(engine: TestEngine) {
    let api = Api::start(engine).await;
    let mut asked = vec!["/docs".to_owned()];
    let mut at = 0;
    while let Some(path) = asked.get(at).cloned() {
        at += 1;
        let answer = api.send(get(&path)).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}");
        if path == "/openapi.json" {
            continue;
        }
        assert_page(&path, &answer);
        let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for link in loads(&answer.text()) {
            if link.starts_with('#') || link.starts_with("data:image/svg+xml,") {
                continue;
            }
            assert!(
                !link.contains(':') && !link.starts_with('/'),
                "{path} loads {link}, which is not relative"
            );
            let target = format!("{folder}/{}", link.trim_start_matches("./"));
            if !asked.contains(&target) {
                asked.push(target);
            }
        }
    }
    asked.sort();
    assert_eq!(
        asked,
        [
            "/docs",
            "/docs/element.js",
            "/docs/page.css",
            "/docs/page.js",
            "/docs/request.js",
            "/docs/schema.js",
            "/docs/token.js",
            "/docs/words.js",
            "/openapi.json",
        ]
    );
}

fn assert_page(path: &str, answer: &Answer) {
    let kind = match path.rsplit_once('.') {
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, "css")) => "text/css; charset=utf-8",
        _ => "text/html; charset=utf-8",
    };
    assert_eq!(answer.header("content-type"), kind, "{path}");
    assert_eq!(
        answer.header("content-security-policy"),
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'"
    );
    assert_eq!(
        (answer.header("referrer-policy"), answer.header("cache-control")),
        ("no-referrer", "no-cache")
    );
    let text = answer.text();
    for forbidden in [
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "eval(",
        "localStorage",
        "sessionStorage",
        "cookie =",
        " style=\"",
    ] {
        assert!(!text.contains(forbidden), "{path} has {forbidden}");
    }
}

async fn status_and_type(router: &Router, path: &str) -> (u16, String) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let kind = response
        .headers()
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str().unwrap_or_default().to_owned());
    let status = response.status().as_u16();
    response.into_body().collect().await.expect("the body is whole");
    (status, kind.unwrap_or_default())
}

async fn the_page_works_behind_a_prefix(engine: TestEngine) {
    let test = TestSaas::start(engine).await;
    let inner =
        Router::new().merge(saas_http::api_router(&test.saas)).merge(saas_http::docs_router(&test.saas));
    let router = Router::new().nest("/backend", inner);
    // Beside `/backend/docs`, `docs/page.js` and `openapi.json` lead here, and `.` as seen from the description to the API.
    for (path, kind) in [
        ("/backend/docs", "text/html; charset=utf-8"),
        ("/backend/docs/page.js", "text/javascript; charset=utf-8"),
        ("/backend/openapi.json", "application/json"),
    ] {
        assert_eq!(status_and_type(&router, path).await, (200, kind.to_owned()), "{path}");
    }
    assert_eq!(status_and_type(&router, "/backend/api/v1/auth/me").await.0, 401);
    assert_eq!(crate::described::DESCRIPTION["servers"][0]["url"], ".");
}

async fn an_api_without_the_docs_router_has_no_page(engine: TestEngine) {
    let test = TestSaas::start(engine).await;
    let router =
        Router::new().merge(saas_http::api_router(&test.saas)).merge(saas_http::ops_router(&test.saas));
    for path in ["/docs", "/docs/page.js", "/openapi.json"] {
        assert_eq!(status_and_type(&router, path).await.0, 404, "{path}");
    }
}

async fn the_page_takes_no_other_method(engine: TestEngine) {
    let api = Api::start(engine).await;
    for path in ["/docs", "/docs/page.js", "/openapi.json"] {
        let answer = api.send(Call::new(Method::POST, path)).await;
        assert_eq!(answer.problem(), (405, "method_not_allowed".into()), "{path}");
        assert_eq!(api.send(Call::new(Method::HEAD, path)).await.status, StatusCode::OK, "{path}");
    }
}
