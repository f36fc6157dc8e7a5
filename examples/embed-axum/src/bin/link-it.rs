//! A program of one's own with the product inside.

use axum::{Router, routing::get};
use saas_kit::Saas;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // What SAAS_<NAME> says; DATABASE_URL, PORT and .env stay yours.
    let blueprint = Saas::from_env()?.build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;

    let app = Router::new().route("/mine", get(|| async { "mine" })).merge(saas_http::api_router(&saas));
    let address = (saas.settings().host, saas.settings().port);
    let listener = tokio::net::TcpListener::bind(address).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    // Sessions remember the address that they were opened from.
    let app = app.into_make_service_with_connect_info::<std::net::SocketAddr>();
    // Chats are answered by the workers, which run as long as you serve; Ctrl-C stops both.
    let stop = || async { drop(tokio::signal::ctrl_c().await) };
    let server = axum::serve(listener, app).with_graceful_shutdown(stop());
    let (done, ()) = tokio::join!(server.into_future(), saas.run_workers(stop()));
    Ok(done?)
}
