//! An axum program of one's own with the product inside: `cargo run -p embed-axum`.
//!
//! It has a table of its own, `profiles`, and a route of its own, `POST /signup`, which registers somebody and writes their profile in
//! one transaction, and leaves a job behind in it. The product's routes stand beside it.

use std::{error::Error, net::SocketAddr, time::Duration};

use axum::{
    Json, Router,
    extract::{ConnectInfo, State},
    http::{Extensions, HeaderMap, StatusCode, header::USER_AGENT},
    response::{IntoResponse, Response},
    routing::post,
};
use saas_core::{
    Actor, Client, Email, Reach, Secret, Storage, StoreError, TenantName, Tx, UserId, jobs::Job,
};
use saas_http::Problem;
use saas_kit::{
    Saas, SaasBuilder,
    jobs::{Attempt, JobError, handler},
};
use saas_sql::sqlx;
use saas_tenancy::{Register, RegisterInError};
use serde::{Deserialize, Serialize};
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
    let user = registered.user.id;
    let insert = sqlx::query("INSERT INTO profiles (user_id, favourite_colour) VALUES ($1, $2)");
    run(&mut tx, insert.bind(user.as_uuid()).bind(&form.favourite_colour)).await?;
    saas.jobs().enqueue(&mut tx, &Greet { user }).await?;
    tx.commit().await?;

    let tokens = saas.auth().tokens_for(&registered.session).map_err(RegisterInError::from)?;
    let body = json!({ "user_id": tokens.user, "access_token": tokens.access_token.expose() });
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

/// Greets whoever has signed up.
#[derive(Serialize, Deserialize)]
struct Greet {
    user: UserId,
}

impl Job for Greet {
    const KIND: &'static str = "embed-axum.greet";
}

async fn greet(job: Greet, attempt: Attempt) -> Result<(), JobError> {
    // What is sent to others here is sent under `attempt.id()` as idempotency key.
    let mut tx = attempt.begin().await?;
    run(
        &mut tx,
        sqlx::query("UPDATE profiles SET greetings = greetings + 1 WHERE user_id = $1")
            .bind(job.user.as_uuid()),
    )
    .await?;
    attempt.complete_in(&mut tx).await?;
    Ok(tx.commit().await?)
}

/// Counts the profiles once a day.
#[derive(Serialize, Deserialize)]
struct Census;

impl Job for Census {
    const KIND: &'static str = "embed-axum.census";
}

async fn census(_: Census, attempt: Attempt) -> Result<(), JobError> {
    let mut tx = attempt.begin().await?;
    run(&mut tx, sqlx::query("INSERT INTO censuses SELECT COUNT(*) FROM profiles")).await?;
    attempt.complete_in(&mut tx).await?;
    Ok(tx.commit().await?)
}

fn with_jobs(builder: SaasBuilder) -> SaasBuilder {
    builder.job_handler(4, handler(greet)).job_handler(1, handler(census)).periodic(
        "census",
        Duration::from_hours(24),
        Census,
    )
}

/// One statement on our own tables, in a transaction of the product's storage.
async fn run(
    tx: &mut Tx,
    query: sqlx::query::Query<'_, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>,
) -> Result<(), StoreError> {
    query.execute(saas_sql::sqlite(tx.conn())?).await.map_err(saas_sql::SqlError::from)?;
    Ok(())
}

/// Our tables, beside the product's, whose names all begin with `saas_`.
async fn create_tables(saas: &Saas) -> Result<(), Box<dyn Error>> {
    let mut tx = saas.storage().begin(Reach::Platform("own schema")).await?;
    for table in [
        "profiles (user_id BLOB PRIMARY KEY REFERENCES saas_users (id), favourite_colour TEXT NOT NULL, greetings INTEGER NOT NULL DEFAULT 0)",
        "censuses (profiles INTEGER NOT NULL)",
    ] {
        let create = sqlx::AssertSqlSafe(format!("CREATE TABLE IF NOT EXISTS {table}"));
        run(&mut tx, sqlx::query(create)).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn router(saas: &Saas) -> Router {
    let own = Router::new().route("/signup", post(signup)).with_state(saas.clone());
    own.merge(saas_http::api_router(saas)).merge(saas_http::ops_router(saas))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let blueprint = with_jobs(Saas::from_env()?).build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    create_tables(&saas).await?;

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
        let test = TestSaas::with_ports(TestEngine::Sqlite, [], with_jobs).await;
        create_tables(&test.saas).await.expect("the tables are made");
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let token = body["access_token"].as_str().expect("a token");
        let me = Request::get("/api/v1/auth/me")
            .header("authorization", format!("Bearer {token}"))
            .body(Body::empty());
        let answer = router(&test.saas).oneshot(me.expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        test.drain_jobs().await;
    }

    #[tokio::test]
    async fn a_signup_whose_own_row_fails_registers_nobody() {
        let test = TestSaas::with_ports(TestEngine::Sqlite, [], with_jobs).await;
        // The table is missing: our own statement fails, and takes the registration with it.
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!((status, &body["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
        create_tables(&test.saas).await.expect("the tables are made");
        let (status, _) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!(status, StatusCode::CREATED, "the address is still free");
        let (status, body) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("email_taken")));
        test.drain_jobs().await;
    }

    async fn number(saas: &Saas, query: &'static str) -> i64 {
        let mut conn = saas.storage().read(Reach::Platform("test")).await.expect("a connection");
        let row = sqlx::query_scalar(query).fetch_one(saas_sql::sqlite(&mut conn).expect("it is SQLite's"));
        row.await.expect("a number")
    }

    #[tokio::test]
    async fn who_signs_up_is_greeted_once_and_the_profiles_are_counted() {
        let test = TestSaas::with_ports(TestEngine::Sqlite, [], with_jobs).await;
        create_tables(&test.saas).await.expect("the tables are made");
        let (status, _) = post_signup(&test.saas, "ada@example.com", "green").await;
        assert_eq!(status, StatusCode::CREATED);
        for query in ["SELECT SUM(greetings) FROM profiles", "SELECT COUNT(*) FROM censuses"] {
            while number(&test.saas, query).await == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
                test.clock.advance(Duration::from_secs(1));
            }
            assert_eq!(number(&test.saas, query).await, 1, "{query}");
        }
        while number(&test.saas, "SELECT COUNT(*) FROM saas_jobs").await > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        test.drain_jobs().await;
    }
}
