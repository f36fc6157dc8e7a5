//! A program on bare hyper with the product inside: `cargo run -p embed-hyper`.
//!
//! It has a table of its own, `profiles`, and a route of its own, `POST /signup`, which registers somebody and writes their profile in
//! one transaction. Every other path goes to the product: its router is a tower service that takes hyper's request as it is.

use std::{convert::Infallible, error::Error, net::SocketAddr, pin::pin, time::Duration};

use axum::{Router, extract::ConnectInfo, response::IntoResponse};
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Incoming},
    header::{CONTENT_TYPE, HeaderValue, USER_AGENT},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
};
use saas_core::{Actor, Client, Email, Reach, Secret, Storage, StoreError, TenantName};
use saas_http::Problem;
use saas_kit::Saas;
use saas_tenancy::{Register, RegisterInError};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time};
use tower::ServiceExt;

/// What the product's router answers; our own answers are made to fit.
type Answer = Response<axum::body::Body>;

/// The largest form that we read.
const FORM_LIMIT: usize = 64 * 1024;

#[derive(Deserialize)]
struct Signup {
    email: String,
    password: Secret<String>,
    company: String,
    favourite_colour: String,
}

/// Our own route, or the product's.
async fn answer<B>(saas: &Saas, product: Router, request: Request<B>) -> Answer
where
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    match (request.method(), request.uri().path()) {
        (&Method::POST, "/signup") => match signup(saas, request).await {
            Ok(created) => own(StatusCode::CREATED, &created),
            Err(problem) => problem.into_response(),
        },
        _ => product.oneshot(request).await.unwrap_or_else(|never| match never {}),
    }
}

fn own(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(body.to_string().into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

/// Registers, and writes our own row, together or not at all.
async fn signup<B>(saas: &Saas, request: Request<B>) -> Result<Value, Problem>
where
    B: Body<Error: Into<Box<dyn Error + Send + Sync>>>,
{
    let refused = |detail: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_signup", detail);
    let actor = Actor::anonymous(None, client(&request));
    let body = Limited::new(request.into_body(), FORM_LIMIT).collect();
    let Ok(Ok(body)) = time::timeout(saas.settings().request_timeout.duration(), body).await else {
        return Err(refused("the form is too large, or did not arrive".to_owned()));
    };
    let form: Signup = serde_json::from_slice(&body.to_bytes())
        .map_err(|_| refused("send email, password, company and favourite_colour as JSON".to_owned()))?;
    let email = Email::parse(&form.email).map_err(|error| refused(error.to_string()))?;
    let company = TenantName::parse(&form.company).map_err(|error| refused(error.to_string()))?;
    // Hashing is slow: it comes before the transaction.
    let command = Register::new(email, form.password, company);
    let prepared = saas.tenancy().prepare_registration(&actor, command).await?;

    let mut tx = saas.storage().begin(Reach::Platform("signup with a profile")).await?;
    let registered = saas.tenancy().register_in(&mut tx, &actor, prepared).await?;
    saas_sql::execute!(
        tx.conn(),
        "INSERT INTO profiles (user_id, favourite_colour) VALUES ($1, $2)",
        registered.user.id.as_uuid(),
        form.favourite_colour,
    )
    .map_err(StoreError::from)?;
    tx.commit().await?;

    let tokens = saas.auth().tokens_for(&registered.session).map_err(RegisterInError::from)?;
    Ok(json!({ "user_id": tokens.user, "access_token": tokens.access_token.expose() }))
}

/// Whom the session shows as the one that opened it.
fn client<B>(request: &Request<B>) -> Client {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let agent = request.headers().get(USER_AGENT).and_then(|value| value.to_str().ok());
    Client::new(peer.map(|ConnectInfo(peer)| peer.ip()), agent)
}

/// Our table, beside the product's, whose names all begin with `saas_`.
async fn create_table(saas: &Saas) -> Result<(), Box<dyn Error>> {
    let mut tx = saas.storage().begin(Reach::Platform("own schema")).await?;
    saas_sql::execute!(
        tx.conn(),
        "CREATE TABLE IF NOT EXISTS profiles (user_id BLOB PRIMARY KEY REFERENCES saas_users (id), favourite_colour TEXT NOT NULL)",
    )?;
    Ok(tx.commit().await?)
}

/// Serves until `stop` ends, then lets requests finish within `SAAS_SHUTDOWN_DEADLINE_SECONDS`.
async fn serve(saas: &Saas, listener: TcpListener, stop: impl Future<Output = ()>) {
    let product = saas_http::app(saas);
    let graceful = GracefulShutdown::new();
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        let Ok((stream, peer)) = accepted else {
            // Out of descriptors, mostly: those in use will be given back.
            time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (saas, product) = (saas.clone(), product.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            // Sessions remember where they were opened from; the product asks the connection, no header.
            request.extensions_mut().insert(ConnectInfo(peer));
            let (saas, product) = (saas.clone(), product.clone());
            async move { Ok::<_, Infallible>(answer(&saas, product, request).await) }
        });
        let connection =
            http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        // A connection that ends early is its client's business.
        tokio::spawn(async move { drop(connection.await) });
    }
    drop(listener);
    let deadline = saas.settings().shutdown_deadline.duration();
    if time::timeout(deadline, graceful.shutdown()).await.is_err() {
        eprintln!("the deadline for stopping has passed: leaving requests unfinished");
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let blueprint = Saas::from_env()?.build()?;
    blueprint.migrate().await?;
    let saas = blueprint.open().await?;
    create_table(&saas).await?;

    let listener = TcpListener::bind((saas.settings().host, saas.settings().port)).await?;
    eprintln!("listening on http://{}", listener.local_addr()?);
    let stop = || async { drop(tokio::signal::ctrl_c().await) };
    tokio::join!(serve(&saas, listener, stop()), saas.run_workers(stop()));
    saas.close().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use http_body_util::{Empty, Full};
    use saas_core::{Envelope, Field};
    use saas_kit::testing::{TestEngine, TestSaas};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpStream,
        sync::oneshot,
    };

    use super::*;

    async fn sent<B>(saas: &Saas, request: Request<B>) -> (StatusCode, Value)
    where
        B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
    {
        let (head, body) = answer(saas, saas_http::app(saas), request).await.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        (head.status, serde_json::from_slice(&bytes).expect("JSON"))
    }

    async fn post_signup(saas: &Saas, email: &str) -> (StatusCode, Value) {
        let form = json!({ "email": email, "password": "correct horse battery", "company": "Engines", "favourite_colour": "green" });
        let request = Request::post("/signup")
            .extension(ConnectInfo(SocketAddr::from(([192, 0, 2, 7], 1))))
            .body(Full::<Bytes>::from(form.to_string()));
        sent(saas, request.expect("a request")).await
    }

    #[tokio::test]
    async fn a_signup_writes_both_rows_and_its_token_opens_the_products_routes() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        create_table(&test.saas).await.expect("the table is made");
        let (status, body) = post_signup(&test.saas, "ada@example.com").await;
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let token = body["access_token"].as_str().expect("a token");
        let me = Request::get("/api/v1/auth/me").header("authorization", format!("Bearer {token}"));
        let (status, me) = sent(&test.saas, me.body(Empty::<Bytes>::new()).expect("a request")).await;
        assert_eq!((status, &me["data"]["email"]), (StatusCode::OK, &json!("ada@example.com")));
        let mut conn = test.saas.storage().read(Reach::Platform("test")).await.expect("a connection");
        let row = saas_sql::fetch_one!(
            &mut conn,
            (String, Vec<u8>, Vec<u8>),
            "SELECT p.favourite_colour, s.id, s.address_envelope FROM profiles p JOIN saas_sessions s ON s.user_id = p.user_id",
        );
        let (colour, session, envelope) = row.expect("both rows are there");
        let field = Field { table: "saas_sessions", column: "address_envelope", row: &session };
        let address = test.saas.fields().unseal(field, &Envelope::from_stored(envelope)).expect("it opens");
        assert_eq!((colour.as_str(), address.expose().as_slice()), ("green", &b"192.0.2.*"[..]));
        test.drain_jobs().await;
    }

    #[tokio::test]
    async fn a_signup_whose_own_row_fails_registers_nobody() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        // The table is missing: our own statement fails, and takes the registration with it.
        let (status, body) = post_signup(&test.saas, "ada@example.com").await;
        assert_eq!((status, &body["code"]), (StatusCode::INTERNAL_SERVER_ERROR, &json!("internal")));
        create_table(&test.saas).await.expect("the table is made");
        let (status, _) = post_signup(&test.saas, "ada@example.com").await;
        assert_eq!(status, StatusCode::CREATED, "the address is still free");
        let (status, body) = post_signup(&test.saas, "ada@example.com").await;
        assert_eq!((status, &body["code"]), (StatusCode::CONFLICT, &json!("email_taken")));
        test.drain_jobs().await;
    }

    #[tokio::test]
    async fn it_serves_over_a_socket_until_it_is_told_to_stop() {
        let test = TestSaas::start(TestEngine::Sqlite).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it has an address");
        let (stop, stopped) = oneshot::channel::<()>();
        let saas = test.saas.clone();
        let server = tokio::spawn(async move { serve(&saas, listener, async { drop(stopped.await) }).await });
        for (request, expected) in [
            ("POST /signup HTTP/1.1\r\ncontent-length: 2\r\n", "\"code\":\"invalid_signup\""),
            ("GET /health HTTP/1.1\r\n", "HTTP/1.1 200 OK"),
            ("GET /nothing HTTP/1.1\r\n", "\"code\":\"unknown_route\""),
        ] {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let request = format!("{request}host: localhost\r\nconnection: close\r\n\r\n{{}}");
            stream.write_all(request.as_bytes()).await.expect("it reads");
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("it answers");
            assert!(answer.contains(expected), "{answer}");
        }
        stop.send(()).expect("it still serves");
        server.await.expect("it ends");
        assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
    }
}
