//! The program as its users see it, and its database as its owner does.

use axum::{
    Router,
    body::Body,
    http::{Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use saas_auth::Argon2idParams;
use saas_core::{Reach, Storage};
use saas_sql::{execute, fetch_all, fetch_one};
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::{accounts::Accounts, http};

const TEST: Reach = Reach::Platform("test");

struct Program {
    accounts: Accounts,
    router: Router,
    folder: TempDir,
}

impl Program {
    async fn start() -> Self {
        Self::start_in(tempfile::tempdir().expect("a temporary folder can be made")).await
    }

    async fn start_in(folder: TempDir) -> Self {
        // Hashing that costs little is right for tests alone.
        let hashing = Argon2idParams { memory_kib: 64, iterations: 1, parallelism: 1 };
        let accounts = Accounts::open(folder.path(), hashing).await.expect("it opens");
        Self { router: http::router(&accounts), accounts, folder }
    }

    async fn send(&self, method: Method, path: &str, access: &str, body: Value) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .header("authorization", format!("Bearer {access}"))
            .body(Body::from(body.to_string()));
        let answer = self.router.clone().oneshot(request.expect("a request")).await.expect("an answer");
        let status = answer.status();
        let bytes = answer.into_body().collect().await.expect("a whole body").to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn post(&self, path: &str, access: &str, body: Value) -> (StatusCode, Value) {
        self.send(Method::POST, path, access, body).await
    }

    async fn me(&self, access: &str) -> (StatusCode, Value) {
        self.send(Method::GET, "/me", access, Value::Null).await
    }

    async fn register(&self, name: &str, nickname: &str) -> (StatusCode, Value) {
        self.post(
            "/register",
            "",
            json!({ "email": format!("{name}@example.com"), "password": PASSWORD, "nickname": nickname }),
        )
        .await
    }

    /// How many users we have, how many accounts auth has, and how many of them are one.
    async fn rows(&self) -> (i64, i64, i64) {
        let mut conn = self.accounts.storage.read(TEST).await.expect("a connection");
        fetch_one!(
            &mut conn,
            (i64, i64, i64),
            "SELECT (SELECT COUNT(*) FROM users), (SELECT COUNT(*) FROM saas_users), \
             (SELECT COUNT(*) FROM users u JOIN saas_users s ON s.id = u.account)"
        )
        .expect("they are counted")
    }
}

const PASSWORD: &str = "correct horse battery";

fn token<'a>(answer: &'a Value, name: &str) -> &'a str {
    answer[name].as_str().expect("a token")
}

#[tokio::test]
async fn somebody_registers_signs_in_refreshes_and_signs_out() {
    let program = Program::start().await;
    let (status, registered) = program.register("ada", "ada").await;
    assert_eq!((status, &registered["id"]), (StatusCode::CREATED, &json!(1)));
    let ada = json!({ "id": 1, "nickname": "ada", "email": "ada@example.com" });
    assert_eq!(program.me(token(&registered, "access_token")).await, (StatusCode::OK, ada.clone()));

    let credentials = json!({ "email": "Ada@Example.com", "password": PASSWORD });
    let (status, signed_in) = program.post("/sign-in", "", credentials).await;
    assert_eq!(status, StatusCode::OK, "{signed_in}");
    let presented = json!({ "refresh_token": signed_in["refresh_token"] });
    let (status, refreshed) = program.post("/refresh", "", presented).await;
    assert_eq!(status, StatusCode::OK, "{refreshed}");
    assert_ne!(refreshed["refresh_token"], signed_in["refresh_token"]);
    let access = token(&refreshed, "access_token");
    assert_eq!(program.me(access).await, (StatusCode::OK, ada));

    let presented = json!({ "refresh_token": refreshed["refresh_token"] });
    let (status, _) = program.post("/sign-out", access, presented.clone()).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, ended) = program.me(access).await;
    assert_eq!((status, &ended["code"]), (StatusCode::UNAUTHORIZED, &json!("session_ended")));
    assert_eq!(program.post("/refresh", "", presented).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(program.me(token(&registered, "access_token")).await.0, StatusCode::OK, "another session");
}

#[tokio::test]
async fn both_tables_have_a_user_or_neither_has() {
    let program = Program::start().await;
    program.register("ada", "ada").await;
    let (status, taken) = program.register("grace", "ada").await;
    assert_eq!((status, &taken["code"]), (StatusCode::CONFLICT, &json!("nickname_taken")));
    assert_eq!(program.rows().await, (1, 1, 1), "auth's row went with ours");
    let (status, taken) = program.register("ada", "countess").await;
    assert_eq!((status, &taken["code"]), (StatusCode::CONFLICT, &json!("email_taken")));
    assert_eq!(program.rows().await, (1, 1, 1), "there is none of ours without auth's");
    let (status, wrong) = program.register("grace", " ").await;
    assert_eq!((status, &wrong["code"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("invalid_nickname")));
    assert_eq!(program.register("grace", "grace").await.0, StatusCode::CREATED, "the address is still free");
    assert_eq!(program.rows().await, (2, 2, 2));
}

#[tokio::test]
async fn somebody_who_is_banned_is_out_at_once() {
    let program = Program::start().await;
    let (_, ada) = program.register("ada", "ada").await;
    let (_, grace) = program.register("grace", "grace").await;
    let mut tx = program.accounts.storage.begin(TEST).await.expect("a transaction");
    execute!(tx.conn(), "UPDATE users SET banned = 1 WHERE nickname = $1", "ada").expect("it is written");
    tx.commit().await.expect("it is committed");
    assert_eq!(program.me(token(&ada, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    let presented = json!({ "refresh_token": ada["refresh_token"] });
    assert_eq!(program.post("/refresh", "", presented).await.0, StatusCode::UNAUTHORIZED);
    let credentials = json!({ "email": "ada@example.com", "password": PASSWORD });
    assert_eq!(program.post("/sign-in", "", credentials).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(program.me(token(&grace, "access_token")).await.0, StatusCode::OK);
}

#[tokio::test]
async fn the_database_has_the_tables_of_core_and_auth_and_ours_alone() {
    let program = Program::start().await;
    let mut conn = program.accounts.storage.read(TEST).await.expect("a connection");
    let tables = fetch_all!(
        &mut conn,
        (String,),
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name LIMIT 100"
    );
    let names: Vec<String> = tables.expect("they are listed").into_iter().map(|(name,)| name).collect();
    let [ours @ .., own] = names.as_slice() else { panic!("no tables") };
    assert_eq!(own, "users");
    assert!(ours.iter().all(|name| name.starts_with("saas_")), "{names:?}");
    let components = fetch_all!(
        &mut conn,
        (String,),
        "SELECT DISTINCT component FROM saas_migrations ORDER BY component LIMIT 100"
    );
    assert_eq!(components.expect("they are listed"), [("auth".to_owned(),), ("core".to_owned(),)]);
    for foreign in ["tenant", "member", "agent", "run", "conversation"] {
        assert!(!names.iter().any(|name| name.contains(foreign)), "{foreign}: {names:?}");
    }
}

#[tokio::test]
async fn a_restart_keeps_sessions_and_another_root_key_is_refused() {
    let program = Program::start().await;
    let (_, ada) = program.register("ada", "ada").await;
    program.accounts.close().await;
    let program = Program::start_in(program.folder).await;
    assert_eq!(program.me(token(&ada, "access_token")).await.0, StatusCode::OK);
    program.accounts.close().await;
    std::fs::write(program.folder.path().join("root.key"), [7; 32]).expect("the key is exchanged");
    let refused = Accounts::open(program.folder.path(), Argon2idParams::default()).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("another root key")));
}
