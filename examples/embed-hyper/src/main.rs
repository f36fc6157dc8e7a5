//! A hyper program of one's own that hands some paths to the product: `cargo run -p embed-hyper`.
//!
//! It answers `/hello` itself, to whoever is signed in; everything else is the product's. No router of axum's is written here: what
//! `saas_http::app` gives is a `tower::Service`.

use std::{convert::Infallible, error::Error};

use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, combinators::UnsyncBoxBody};
use hyper::body::{Body, Bytes};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use saas_kit::{
    Saas,
    settings::{Settings, Sources},
};
use tower::{ServiceExt, service_fn};

type BoxError = Box<dyn Error + Send + Sync>;
type Answer = Response<UnsyncBoxBody<Bytes, BoxError>>;

/// Our own path, decided by the product's sessions.
async fn hello(saas: &Saas, request: &http::request::Parts) -> Answer {
    let header = request.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = header.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    let (status, text) = match saas.auth().authenticate(token, None, saas_kit::Client::default()).await {
        Ok(authenticated) => match saas.auth().me(&authenticated.actor).await {
            Ok(user) => (StatusCode::OK, format!("Hello, {}!", user.email.shown())),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "Try again.".to_owned()),
        },
        Err(_) => (StatusCode::UNAUTHORIZED, "Sign in first.".to_owned()),
    };
    let mut answer = Response::new(Full::from(text).map_err(|never| match never {}).boxed_unsync());
    *answer.status_mut() = status;
    answer
}

async fn serve<B>(saas: Saas, request: Request<B>) -> Result<Answer, Infallible>
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    if request.uri().path() == "/hello" {
        return Ok(hello(&saas, &request.into_parts().0).await);
    }
    let answer = saas_http::app(&saas).oneshot(request.map(saas_http::Body::new)).await?;
    Ok(answer.map(|body| body.map_err(BoxError::from).boxed_unsync()))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let settings = Settings::load(&Sources::from_process_env())?;
    let address = (settings.host, settings.port);
    let blueprint = Saas::builder(settings).build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    tokio::spawn({
        let saas = saas.clone();
        async move { saas.run_workers(std::future::pending()).await }
    });
    loop {
        let (stream, _) = tokio::select! {
            accepted = listener.accept() => accepted?,
            _ = tokio::signal::ctrl_c() => return Ok(()),
        };
        let saas = saas.clone();
        let service = service_fn(move |request: Request<hyper::body::Incoming>| serve(saas.clone(), request));
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            if let Err(error) = connection.await {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
}
