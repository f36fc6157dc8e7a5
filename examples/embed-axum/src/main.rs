//! An axum program of one's own with the product inside: `cargo run -p embed-axum`.
//!
//! It has a table of its own, `profiles`, and a route of its own, `POST /signup`, which registers somebody and writes their profile in
//! one transaction. The product's routes stand beside it.

use std::{error::Error, net::SocketAddr};

use axum::{
    Json, Router,
    extract::{ConnectInfo, State},
    http::{Extensions, HeaderMap, StatusCode, header::USER_AGENT},
    response::{IntoResponse, Response},
    routing::post,
};
use saas_core::{Actor, Client, Email, Reach, Secret, Storage, TenantName};
use saas_http::Problem;
use saas_kit::Saas;
use saas_sql::sqlx;
use saas_tenancy::{Register, RegisterInError};
use serde::Deserialize;
use serde_json::json;

#[derive(Deserialize)]
struct Signup {
    email: String,
    password: Secret<String>,
    company: String,
    favourite_colour: String,
}

/// Registers, and writes our own row, together or not at all.
async fn signup(
    State(saas): State<Saas>,
    extensions: Extensions,
    headers: HeaderMap,
    Json(form): Json<Signup>,
) -> Result<Response, Problem> {
    let refused = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_signup", detail);
    let email = Email::parse(&form.email).map_err(|error| refused(error.to_string()))?;
    let company = TenantName::parse(&form.company).map_err(|error| refused(error.to_string()))?;
    // Whom the session shows as the one that opened it.
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok());
    let actor = Actor::anonymous(None, Client::new(peer, agent));
    // Hashing is slow: it comes before the transaction.
    let command = Register::new(email, form.password, company);
    let prepared = saas.tenancy().prepare_registration(&actor, command).await?;

    let mut tx = saas.storage().begin(Reach::Platform("signup with a profile")).await?;
    let registered = saas.tenancy().register_in(&mut tx, &actor, prepared).await?;
    sqlx::query("INSERT INTO profiles (user_id, favourite_colour) VALUES ($1, $2)")
        .bind(registered.user.id.as_uuid())
        .bind(&form.favourite_colour)
        .execute(saas_sql::sqlite(tx.conn())?)
        .await
        .map_err(saas_sql::SqlError::from)
        .map_err(saas_core::StoreError::from)?;
    tx.commit().await?;

    let tokens = saas.auth().tokens_for(&registered.session).map_err(RegisterInError::from)?;
    let body = json!({ "user_id": tokens.user, "access_token": tokens.access_token.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Our table, beside the product's, whose names all begin with `saas_`.
async fn create_table(saas: &Saas) -> Result<(), Box<dyn Error>> {
    let mut tx = saas.storage().begin(Reach::Platform("own schema")).await?;
    sqlx::query("CREATE TABLE IF NOT EXISTS profiles (user_id BLOB PRIMARY KEY REFERENCES saas_users (id), favourite_colour TEXT NOT NULL)")
        .execute(saas_sql::sqlite(tx.conn())?)
        .await?;
    tx.commit().await?;
    Ok(())
}

fn router(saas: &Saas) -> Router {
    let own = Router::new().route("/signup", post(signup)).with_state(saas.clone());
    own.merge(saas_http::api_router(saas)).merge(saas_http::ops_router(saas))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let blueprint = Saas::from_env()?.build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    create_table(&saas).await?;

    let listener = tokio::net::TcpListener::bind((saas.settings().host, saas.settings().port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let stop = || async { drop(tokio::signal::ctrl_c().await) };
    let service = router(&saas).into_make_service_with_connect_info::<SocketAddr>();
    let server = axum::serve(listener, service).with_graceful_shutdown(stop());
    let (done, ()) = tokio::join!(server.into_future(), saas.run_workers(stop()));
    Ok(done?)
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use http_body_util::BodyExt;
    use saas_kit::testing::{TestEngine, TestSaas};
    use serde_json::Value;
    use tower::ServiceExt;

    use super::*;

    async fn post_signup(saas: &Saas, email: &str, colour: &str) -> (StatusCode, Value) {
        let body = json!({ "email": email, "password": "correct horse battery", "company": "Engines", "favourite_colour": colour });
        let request = Request::post("/signup")
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()));
        let answer = router(saas).oneshot(request.expect("a request")).await.expect("an answer");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a whole body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn a_signup_writes_both_rows_and_its_token_opens_the_products_routes() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        create_table(&test.saas).await.expect("the table is made");
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let token = body["access_token"].as_str().expect("a token");
        let me = Request::get("/api/v1/auth/me")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty());
        let answer = router(&test.saas).oneshot(me.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_signup_whose_own_row_fails_registers_nobody() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        // The table is missing: our own statement fails, and takes the registration with it.
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!((status, &body["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
        create_table(&test.saas).await.expect("the table is made");
        let (status, _) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!(status, StatusCode::CREATED, "the address is still free");
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("email_taken")));
    }
}
