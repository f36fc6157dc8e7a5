//! The end of an account.

use saas_core::{Actor, Reach, Role, Storage};
use saas_kit::testing::{PASSWORD, TestEngine};
use saas_sql::{execute, fetch_one};
use serde_json::{Value, json};

use crate::harness::{Answer, Api, Session, assert_answer, credentials, delete, get, on_both_engines, post};

on_both_engines! {
    an_account_is_deleted_with_all_that_is_kept_of_its_user,
    a_wrong_password_deletes_nothing,
    the_only_owner_of_a_tenant_with_members_cannot_leave_them_behind,
    of_two_owners_who_leave_at_once_one_stays,
    an_operator_deletes_anybody_and_nobody_else_does,
}

async fn remove(api: &Api, session: &Session, password: &str) -> Answer {
    let call = delete("/api/v1/auth/account").bearer(session.access());
    api.send(call.json(&json!({ "current_password": password }))).await
}

async fn count(api: &Api, query: &'static str) -> i64 {
    let mut conn = api.test.saas.storage().read(Reach::Platform("test")).await.expect("it answers");
    let (count,): (i64,) = fetch_one!(&mut conn, (i64,), query).expect("it answers");
    count
}

/// Makes a user a member of another one's tenant, and gives a session in it.
async fn join(api: &Api, email: &str, of: &Session, role: Role) -> Session {
    let member = api.register(email).await;
    let uuid = |text: &Value| -> uuid::Uuid { text.as_str().expect("an id").parse().expect("an id") };
    let (user, tenant) = (uuid(&member.0["user_id"]), uuid(&of.0["tenant_id"]));
    let mut tx = api.test.begin().await;
    let now = api.test.saas.clock().now();
    let insert = "INSERT INTO saas_memberships (tenant_id, user_id, role, created_at, updated_at) VALUES ($1, $2, $3, $4, $4)";
    execute!(tx.conn(), insert, tenant, user, role.as_str(), now).expect("they join");
    tx.commit().await.expect("they join");
    let mut body = credentials(email);
    body["tenant_id"] = json!(of.tenant());
    Session(api.send(post("/api/v1/auth/token").json(&body)).await.json())
}

async fn an_account_is_deleted_with_all_that_is_kept_of_its_user(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (ada, bob) = (api.register("ada@example.com").await, api.register("bob@example.com").await);
    for session in [&ada, &bob] {
        let chat =
            post("/api/v1/chat").bearer(session.access()).json(&json!({ "message": "What is 6 * 7?" }));
        assert_eq!(api.send(chat).await.status, 200);
    }
    assert_answer!(remove(&api, &ada, PASSWORD).await, @r#"
    200 OK
    cache-control: no-store
    content-type: application/json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "data": {
        "deleted": true
      },
      "message": "The account is gone.",
      "success": true
    }
    "#);
    assert_eq!(api.send(get("/api/v1/auth/me").bearer(ada.access())).await.status, 401);
    let refresh = post("/api/v1/auth/refresh").json(&json!({ "refresh_token": ada.refresh() }));
    assert_eq!(api.send(refresh).await.status, 401);
    assert_eq!(api.send(post("/api/v1/auth/token").json(&credentials("ada@example.com"))).await.status, 401);
    while count(&api, "SELECT COUNT(*) FROM saas_jobs WHERE kind IN ('mail.send', 'user.deleted')").await > 0
    {
        api.test.saas.drain_jobs().await.expect("jobs are done");
        tokio::task::yield_now().await;
    }
    for (query, left) in [
        ("SELECT COUNT(*) FROM saas_users", 1),
        ("SELECT COUNT(*) FROM saas_sessions", 1),
        ("SELECT COUNT(*) FROM saas_memberships", 1),
        ("SELECT COUNT(*) FROM saas_conversations", 1),
        ("SELECT COUNT(*) FROM saas_messages", 2),
        ("SELECT COUNT(*) FROM saas_runs", 1),
        ("SELECT COUNT(*) FROM saas_tenants WHERE state = 'suspended'", 1),
        ("SELECT COUNT(*) FROM saas_tenants WHERE state = 'active'", 1),
    ] {
        assert_eq!(count(&api, query).await, left, "{query}");
    }
    // The address is free again.
    api.register("ada@example.com").await;
}

async fn a_wrong_password_deletes_nothing(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let answer = remove(&api, &ada, "not the password at all").await;
    assert_eq!(answer.problem(), (403, "wrong_password".to_owned()));
    assert_eq!(api.send(get("/api/v1/auth/me").bearer(ada.access())).await.status, 200);
}

async fn the_only_owner_of_a_tenant_with_members_cannot_leave_them_behind(engine: TestEngine) {
    let api = Api::start(engine).await;
    let owner = api.register("owner@example.com").await;
    let member = join(&api, "member@example.com", &owner, Role::Admin).await;
    assert_eq!(remove(&api, &owner, PASSWORD).await.problem(), (409, "last_owner".to_owned()));
    assert_eq!(api.send(get("/api/v1/auth/me").bearer(owner.access())).await.status, 200);
    assert_eq!(remove(&api, &member, PASSWORD).await.status, 200);
    assert_eq!(remove(&api, &owner, PASSWORD).await.status, 200, "they are alone by now");
    api.test.drain_jobs().await;
}

async fn of_two_owners_who_leave_at_once_one_stays(engine: TestEngine) {
    let api = Api::start(engine).await;
    let one = api.register("one@example.com").await;
    let two = join(&api, "two@example.com", &one, Role::Owner).await;
    join(&api, "member@example.com", &one, Role::Member).await;
    let (first, second) = tokio::join!(remove(&api, &one, PASSWORD), remove(&api, &two, PASSWORD));
    let mut statuses = [first.status.as_u16(), second.status.as_u16()];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409]);
    let owners = "SELECT COUNT(*) FROM saas_memberships m WHERE role = 'owner' AND \
                  (SELECT COUNT(*) FROM saas_memberships o WHERE o.tenant_id = m.tenant_id) > 1";
    assert_eq!(count(&api, owners).await, 1);
    api.test.drain_jobs().await;
}

async fn an_operator_deletes_anybody_and_nobody_else_does(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (ada, bob) = (api.test.register("ada@example.com").await, api.test.register("bob@example.com").await);
    let me = api.test.actor(&ada.tokens).await;
    let tenancy = api.test.saas.tenancy();
    assert!(tenancy.delete_user(&me, bob.user.id).await.is_err(), "nobody deletes another one");
    tenancy.delete_user(&Actor::system("test"), bob.user.id).await.expect("an operator does");
    assert!(tenancy.delete_user(&Actor::system("test"), bob.user.id).await.is_err(), "they are gone");
    assert!(
        api.test.authenticate(&ada.tokens).await.is_ok() && api.test.authenticate(&bob.tokens).await.is_err()
    );
    api.test.drain_jobs().await;
}
