//! Browsers whose session is a cookie: what they hold, what they may send, and what a page of a stranger cannot make them do.

use std::time::Duration;

use http::{HeaderName, header};
use saas_kit::testing::{Authenticator, PASSWORD, TestEngine};
use saas_sql::execute;
use serde_json::{Value, json};

use crate::harness::{
    Answer, Api, Call, credentials, delete, get, on_both_engines, patch, post, registration,
};

on_both_engines! {
    a_browser_gets_a_cookie_and_no_tokens,
    a_cookie_is_only_given_where_the_setting_says_so,
    whoever_sends_authorization_goes_by_that,
    two_cookies_of_the_name_are_none,
    what_changes_something_has_to_come_from_a_page_of_ours,
    a_page_of_a_stranger_signs_nobody_in,
    bearer_requests_are_not_subject_to_it,
    registering_with_a_cookie_answers_no_tokens,
    refreshing_by_a_cookie_keeps_it_and_says_what_its_user_may_do_by_now,
    a_new_password_gives_the_browser_a_new_cookie_and_ends_the_old_one,
    a_second_factor_and_each_proof_of_who_one_is_give_the_browser_a_new_cookie,
    a_cookie_says_who_one_is_where_that_may_be_left_out,
    signing_out_takes_the_cookie_away,
    the_end_of_the_account_takes_the_cookie_away,
    a_switch_gives_the_browser_a_new_cookie,
    a_switch_by_a_refresh_token_answers_with_tokens,
    signing_out_everywhere_else_keeps_this_browser,
    in_development_without_tls_the_cookie_has_another_name,
    no_get_of_the_description_changes_a_row,
}

const ON: (&str, &str) = ("AUTH_COOKIES", "true");
const ORIGIN: &str = "http://localhost:8000";
const NAME: &str = "__Host-saas_session";
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_SESSION: HeaderName = HeaderName::from_static("x-session");
const ME: &str = "/api/v1/auth/me";
const TOKEN: &str = "/api/v1/auth/token";

/// As a page of ours sends it.
fn from_us(call: Call) -> Call {
    call.header(header::ORIGIN, ORIGIN).header(SEC_FETCH_SITE, "same-origin").header(X_SESSION, "cookie")
}

fn with(call: Call, cookie: &str) -> Call {
    call.header(header::COOKIE, format!("theme=dark; {NAME}={cookie}; lang=en"))
}

/// What `Set-Cookie` gives.
fn given(answer: &Answer) -> String {
    assert!(answer.status.is_success(), "{}", answer.text());
    let (pair, _) = answer.header("set-cookie").split_once(';').expect("it has attributes");
    pair.strip_prefix(NAME).and_then(|rest| rest.strip_prefix('=')).expect("it is the session's").to_owned()
}

async fn sign_in(api: &Api) -> Answer {
    api.send(from_us(post(TOKEN).json(&credentials("ada@example.com")))).await
}

/// The product with cookies on, and Ada's.
async fn browser(engine: TestEngine) -> (Api, String) {
    let api = Api::with_settings(engine, [ON]).await;
    api.register("ada@example.com").await;
    let cookie = given(&sign_in(&api).await);
    (api, cookie)
}

async fn a_browser_gets_a_cookie_and_no_tokens(engine: TestEngine) {
    let (api, first) = browser(engine).await;
    let answer = sign_in(&api).await;
    let second = given(&answer);
    assert_ne!(first, second, "each sign-in has a secret of its own");
    let attributes: Vec<&str> = answer.header("set-cookie").split("; ").skip(1).collect();
    assert_eq!(
        attributes,
        ["Path=/", "Expires=Wed, 01 Apr 2026 00:00:00 GMT", "HttpOnly", "SameSite=Lax", "Secure"]
    );
    let body = answer.json();
    assert_eq!(body["session"], "cookie");
    for member in ["access_token", "refresh_token"] {
        assert!(body[member].is_null(), "{body}");
    }
    assert!(!answer.text().contains(&second[8..]) && !answer.text().contains("eyJ"), "{body}");
    for cookie in [&first, &second] {
        let me = api.send(with(get(ME), cookie)).await;
        assert_eq!((me.status.as_u16(), &me.json()["data"]["email"]), (200, &json!("ada@example.com")));
    }
    assert_eq!(api.send(with(get(ME), &second[1..])).await.problem(), (401, "session_ended".into()));
    let list = api.send(with(get("/api/v1/auth/sessions"), &second)).await.json();
    let current: Vec<&Value> =
        list["sessions"].as_array().expect("a list").iter().filter(|item| item["current"] == true).collect();
    assert_eq!((current.len(), &current[0]["id"]), (1, &body["session_id"]));
}

async fn a_cookie_is_only_given_where_the_setting_says_so(engine: TestEngine) {
    let (on, cookie) = browser(engine).await;
    let off = Api::start(engine).await;
    off.register("ada@example.com").await;
    let answer = sign_in(&off).await;
    assert_eq!(
        (answer.status.as_u16(), answer.wrong_fields()),
        (422, vec![("X-Session".into(), "invalid".into())])
    );
    assert_eq!(off.send(with(get(ME), &cookie)).await.problem(), (401, "unauthenticated".into()));
    let tokens = on.send(post(TOKEN).header(X_SESSION, "tokens").json(&credentials("ada@example.com"))).await;
    assert!(tokens.json()["access_token"].is_string() && tokens.header("set-cookie").is_empty());
    let odd = on.send(post(TOKEN).header(X_SESSION, "both").json(&credentials("ada@example.com"))).await;
    assert_eq!(odd.status, 422);
}

async fn whoever_sends_authorization_goes_by_that(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let eve = api.register("eve@example.com").await;
    let me = api.send(with(get(ME).bearer(eve.access()), &cookie)).await;
    assert_eq!(me.json()["data"]["email"], "eve@example.com");
    for authorization in ["Bearer forged", "Basic YTpi", ""] {
        let call = with(get(ME).header(header::AUTHORIZATION, authorization), &cookie);
        assert_eq!(api.send(call).await.status, 401, "{authorization}");
    }
}

async fn two_cookies_of_the_name_are_none(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let twice = get(ME).header(header::COOKIE, format!("{NAME}={cookie}; {NAME}=another"));
    assert_eq!(api.send(twice).await.status, 401);
    let apart = with(get(ME), &cookie).header(header::COOKIE, format!("{NAME}={cookie}"));
    assert_eq!(api.send(apart).await.status, 401);
    let other = get(ME).header(header::COOKIE, format!("saas_session={cookie}"));
    assert_eq!(api.send(other).await.status, 401, "any page of the domain could have set that one");
}

async fn what_changes_something_has_to_come_from_a_page_of_ours(engine: TestEngine) {
    let api = Api::with_settings(engine, [ON, ("ALLOWED_ORIGINS", "https://app.example.com")]).await;
    api.register("ada@example.com").await;
    let cookie = given(&sign_in(&api).await);
    let absent = "/api/v1/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057";
    let calls: [fn() -> Call; 3] = [
        || delete("/api/v1/auth/sessions/01890a5d-ac96-774b-bcce-b302099a8057"),
        || patch("/api/v1/conversations/k").json(&json!({ "title": "x" })),
        || post("/api/v1/chat").json(&json!({})),
    ];
    let page = "https://app.example.com";
    for (origin, site, passes) in [
        (Some(ORIGIN), Some("same-origin"), true),
        (Some(ORIGIN), None, true),
        (None, Some("same-origin"), true),
        (Some(page), Some("same-site"), true),
        (Some(page), Some("cross-site"), true),
        (Some(page), None, true),
        (None, None, false),
        (None, Some("same-site"), false),
        (None, Some("cross-site"), false),
        (None, Some("none"), false),
        (Some(ORIGIN), Some("none"), false),
        (Some("https://evil.example"), Some("cross-site"), false),
        (Some("https://evil.example"), Some("same-origin"), false),
        (Some("https://evil.example"), None, false),
        (Some("null"), None, false),
        (Some("null"), Some("same-origin"), false),
        (Some("http://localhost:8000/"), None, false),
        (Some("http://localhost:8000.evil.example"), None, false),
        (Some("HTTP://LOCALHOST:8000"), None, false),
        (Some("https://app.example.com:444"), None, false),
        (Some("*"), None, false),
    ] {
        for call in calls {
            let mut call = with(call(), &cookie).header(X_SESSION, "cookie");
            if let Some(origin) = origin {
                call = call.header(header::ORIGIN, origin);
            }
            if let Some(site) = site {
                call = call.header(SEC_FETCH_SITE, site);
            }
            let answer = api.send(call).await;
            let refused = answer.problem() == (403, "cross_site_request".into());
            assert_eq!(refused, !passes, "{origin:?} {site:?}: {}", answer.text());
        }
    }
    // What a form can send is not enough, wherever it says that it is from.
    let plain =
        with(delete(absent), &cookie).header(header::ORIGIN, ORIGIN).header(SEC_FETCH_SITE, "same-origin");
    assert_eq!(api.send(plain).await.problem(), (403, "cross_site_request".into()));
    let two = with(delete(absent), &cookie).header(header::ORIGIN, ORIGIN);
    let two = two.header(header::ORIGIN, "https://evil.example").header(X_SESSION, "cookie");
    assert_eq!(api.send(two).await.problem(), (403, "cross_site_request".into()));
    // Looking is free: no page of another origin reads the answer.
    assert_eq!(api.send(with(get(ME), &cookie).header(SEC_FETCH_SITE, "cross-site")).await.status, 200);
    assert_eq!(api.send(with(get("/api/v1/auth/sessions"), &cookie)).await.json()["total"], 2);
}

async fn a_page_of_a_stranger_signs_nobody_in(engine: TestEngine) {
    let (api, _) = browser(engine).await;
    let login = || post(TOKEN).json(&credentials("ada@example.com")).header(X_SESSION, "cookie");
    let strangers = [
        login(),
        login().header(header::ORIGIN, "https://evil.example").header(SEC_FETCH_SITE, "cross-site"),
        login().header(SEC_FETCH_SITE, "cross-site"),
    ];
    for call in strangers {
        let answer = api.send(call).await;
        assert_eq!(answer.problem(), (403, "cross_site_request".into()));
        assert!(answer.header("set-cookie").is_empty());
    }
    let text = json!({ "email": "ada@example.com", "password": PASSWORD }).to_string();
    let form = from_us(post(TOKEN)).header(header::CONTENT_TYPE, "text/plain").body(text);
    assert_eq!(api.send(form).await.status, 415);
}

async fn bearer_requests_are_not_subject_to_it(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let tokens = api.sign_in("ada@example.com").await;
    let call = with(post("/api/v1/auth/logout/all").bearer(tokens.access()), &cookie);
    let answer = api.send(call.header(header::ORIGIN, "https://evil.example")).await;
    assert_eq!(answer.json()["data"]["revoked"], 3);
    assert!(answer.header("set-cookie").is_empty());
}

async fn registering_with_a_cookie_answers_no_tokens(engine: TestEngine) {
    let api = Api::with_settings(engine, [ON]).await;
    let call = || post("/api/v1/auth/register").json(&registration("ada@example.com"));
    let stranger = call().header(X_SESSION, "cookie").header(header::ORIGIN, "https://evil.example");
    assert_eq!(api.send(stranger).await.problem(), (403, "cross_site_request".into()));
    let answer = api.send(from_us(call())).await;
    let cookie = given(&answer);
    let body = answer.json();
    assert_eq!((answer.status.as_u16(), &body["session"]), (201, &json!("cookie")));
    assert!(
        body["tenant_slug"].is_string() && body["access_token"].is_null() && body["refresh_token"].is_null()
    );
    assert_eq!(api.send(with(get(ME), &cookie)).await.json()["data"]["tenant_id"], body["tenant_id"]);
}

async fn refreshing_by_a_cookie_keeps_it_and_says_what_its_user_may_do_by_now(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let refresh = || post("/api/v1/auth/refresh").json(&json!({}));
    let stranger = with(refresh(), &cookie).header(header::ORIGIN, "https://evil.example");
    assert_eq!(api.send(stranger).await.problem(), (403, "cross_site_request".into()));
    api.test.clock.advance(Duration::from_hours(24));
    let answer = api.send(from_us(with(refresh(), &cookie))).await;
    assert_eq!(given(&answer), cookie, "nothing that two windows could race for");
    let body = answer.json();
    assert_eq!(
        (&body["session"], &body["idle_expires_at"]),
        (&json!("cookie"), &json!("2026-02-01T00:00:00Z"))
    );
    assert!(body["access_token"].is_null() && body["refresh_token"].is_null());
    let may = |body: &Value| body["scopes"].as_array().expect("a list").len();
    let mut tx = api.test.begin().await;
    execute!(tx.conn(), "UPDATE saas_memberships SET role = 'viewer'").expect("the statement is valid");
    tx.commit().await.expect("the database answers");
    let lower = api.send(from_us(with(refresh(), &cookie))).await.json();
    assert!(may(&lower) < may(&body), "{lower}");
    api.send(from_us(with(post("/api/v1/auth/logout").json(&json!({})), &cookie))).await;
    let ended = api.send(from_us(with(refresh(), &cookie))).await;
    assert_eq!((ended.problem(), ended.header("set-cookie")), ((401, "session_ended".into()), ""));
    assert_eq!(
        api.send(from_us(with(refresh(), "saas_sc_forged"))).await.problem(),
        (401, "session_ended".into())
    );
    // Who has neither is told what is missing.
    assert_eq!(api.send(refresh()).await.wrong_fields(), [("refresh_token".into(), "required".into())]);
}

async fn a_new_password_gives_the_browser_a_new_cookie_and_ends_the_old_one(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let body = json!({ "current_password": PASSWORD, "new_password": "another correct horse battery" });
    let answer = api.send(from_us(with(post("/api/v1/auth/password/change").json(&body), &cookie))).await;
    let new = given(&answer);
    assert!(answer.json()["access_token"].is_null() && answer.json()["refresh_token"].is_null());
    assert_eq!(api.send(with(get(ME), &cookie)).await.problem(), (401, "session_ended".into()));
    assert_eq!(api.send(with(get(ME), &new)).await.status, 200);
    api.test.drain_jobs().await;
}

async fn a_second_factor_and_each_proof_of_who_one_is_give_the_browser_a_new_cookie(engine: TestEngine) {
    const TOTP: &str = "/api/v1/auth/second-factor/totp";
    let (api, first) = browser(engine).await;
    let begun = api.send(from_us(with(post(TOTP), &first))).await.json();
    let app = Authenticator::new(begun["data"]["secret"].as_str().expect("a secret"), api.test.clock.clone());
    let code = || json!({ "code": app.shown() });
    let confirm = post(&format!("{TOTP}/confirm")).json(&code());
    let added = api.send(from_us(with(confirm, &first))).await;
    let second = given(&added);
    assert!(added.json()["recovery_codes"].is_array() && added.json()["access_token"].is_null());
    api.test.next_code();

    let asked = sign_in(&api).await;
    assert_eq!((asked.problem(), asked.header("set-cookie")), ((401, "second_factor_required".into()), ""));
    let body = json!({ "challenge": asked.json()["challenge"], "code": app.shown() });
    let meet = || post("/api/v1/auth/token/second-factor").json(&body).header(X_SESSION, "cookie");
    let stranger = api.send(meet().header(header::ORIGIN, "https://evil.example")).await;
    assert_eq!(stranger.problem(), (403, "cross_site_request".into()));
    let signed_in = api.send(meet().header(header::ORIGIN, ORIGIN)).await;
    let third = given(&signed_in);
    assert!(signed_in.json()["access_token"].is_null() && signed_in.json()["refresh_token"].is_null());
    api.test.next_code();

    let stepped = api.send(from_us(with(post("/api/v1/auth/step-up").json(&code()), &third))).await;
    let fourth = given(&stepped);
    assert!(stepped.json()["access_token"].is_null() && stepped.json()["refresh_token"].is_null());
    for old in [&first, &third] {
        assert_eq!(api.send(with(get(ME), old)).await.problem(), (401, "session_ended".into()));
    }
    for live in [&second, &fourth] {
        assert_eq!(api.send(with(get(ME), live)).await.status, 200);
    }
    let me = api.send(with(get(ME), &fourth)).await.json();
    assert_eq!(me["data"]["token_payload"]["amr"], json!(["pwd", "otp", "mfa"]));
    api.test.drain_jobs().await;
}

async fn a_cookie_says_who_one_is_where_that_may_be_left_out(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let call = || post("/api/v1/auth/email/send").json(&json!({}));
    assert_eq!(api.send(from_us(with(call(), &cookie))).await.status, 202, "it goes to her own address");
    assert_eq!(api.send(with(call(), &cookie)).await.problem(), (403, "cross_site_request".into()));
    assert_eq!(api.send(call()).await.status, 422, "nobody is signed in");
    api.test.drain_jobs().await;
}

async fn the_end_of_the_account_takes_the_cookie_away(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let call = delete("/api/v1/auth/account").json(&json!({ "current_password": PASSWORD }));
    let answer = api.send(from_us(with(call, &cookie))).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.header("set-cookie").starts_with(&format!("{NAME}=; ")));
    assert_eq!(api.send(with(get(ME), &cookie)).await.problem(), (401, "session_ended".into()));
    api.test.drain_jobs().await;
}

async fn signing_out_takes_the_cookie_away(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let answer = api.send(from_us(with(post("/api/v1/auth/logout").json(&json!({})), &cookie))).await;
    assert_eq!((answer.status.as_u16(), &answer.json()["data"]["revoked"]), (200, &json!(true)));
    let taken =
        format!("{NAME}=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; SameSite=Lax; Secure");
    assert_eq!(answer.header("set-cookie"), taken);
    assert_eq!(api.send(with(get(ME), &cookie)).await.problem(), (401, "session_ended".into()));

    let cookie = given(&sign_in(&api).await);
    let answer = api.send(from_us(with(post("/api/v1/auth/logout/all"), &cookie))).await;
    assert_eq!(
        (answer.json()["data"]["revoked"].as_u64(), answer.header("set-cookie")),
        (Some(2), taken.as_str())
    );

    let signed_in = sign_in(&api).await;
    let path = format!("/api/v1/auth/sessions/{}", signed_in.json()["session_id"].as_str().expect("an id"));
    let answer = api.send(from_us(with(delete(&path), &given(&signed_in)))).await;
    assert_eq!((answer.status.as_u16(), answer.header("set-cookie")), (200, taken.as_str()));
    // Who has tokens names one.
    let tokens = api.sign_in("ada@example.com").await;
    let answer = api.send(post("/api/v1/auth/logout").bearer(tokens.access()).json(&json!({}))).await;
    assert_eq!(answer.wrong_fields(), [("refresh_token".into(), "required".into())]);
}

/// Makes Ada a member of Bob's tenant in his place.
async fn second_tenant(api: &Api, ada: &str) -> String {
    let bob = api.register("bob@example.com").await;
    let id = |text: &str| text.parse::<saas_core::UserId>().expect("an id").as_uuid();
    let mut tx = api.test.begin().await;
    let join = "UPDATE saas_memberships SET user_id = $1, role = 'member' WHERE user_id = $2";
    let bobs = bob.0["user_id"].as_str().expect("an id");
    assert_eq!(execute!(tx.conn(), join, id(ada), id(bobs)).expect("the statement is valid"), 1);
    tx.commit().await.expect("the database answers");
    bob.tenant().to_owned()
}

async fn a_switch_gives_the_browser_a_new_cookie(engine: TestEngine) {
    let api = Api::with_settings(engine, [ON]).await;
    api.register("ada@example.com").await;
    let signed_in = sign_in(&api).await;
    let cookie = given(&signed_in);
    let ada = signed_in.json()["user_id"].as_str().expect("an id").to_owned();
    let second = second_tenant(&api, &ada).await;
    let call = || post("/api/v1/auth/switch").json(&json!({ "tenant_id": second }));
    let refused = api.send(with(call(), &cookie).header(header::ORIGIN, "https://evil.example")).await;
    assert_eq!(refused.problem(), (403, "cross_site_request".into()));

    let switched = api.send(from_us(with(call(), &cookie))).await;
    let new = given(&switched);
    assert_eq!(switched.json()["tenant_id"], second);
    assert!(!switched.text().contains("token"));
    let me = api.send(with(get(ME), &new)).await.json();
    assert_eq!((&me["data"]["tenant_id"], &me["data"]["role"]), (&json!(second), &json!("member")));
    assert_eq!(api.send(with(get(ME), &cookie)).await.problem(), (401, "session_ended".into()));
    assert_eq!(api.send(from_us(with(call(), &cookie))).await.problem(), (401, "session_ended".into()));
    let absent = json!({ "tenant_id": "01890a5d-ac96-774b-bcce-b302099a8057" });
    let absent = api.send(from_us(with(post("/api/v1/auth/switch").json(&absent), &new))).await;
    assert_eq!(absent.problem(), (404, "tenant_not_found".into()));
}

async fn a_switch_by_a_refresh_token_answers_with_tokens(engine: TestEngine) {
    let api = Api::start(engine).await;
    let ada = api.register("ada@example.com").await;
    let second = second_tenant(&api, ada.0["user_id"].as_str().expect("an id")).await;
    let eve = api.register("eve@example.com").await;
    let switch = async |tenant: &str, token: &str| {
        let body = json!({ "tenant_id": tenant, "refresh_token": token });
        api.send(post("/api/v1/auth/switch").json(&body)).await
    };
    assert_eq!(switch(eve.tenant(), ada.refresh()).await.problem(), (404, "tenant_not_found".into()));
    let switched = switch(&second, ada.refresh()).await;
    assert_eq!((switched.status.as_u16(), &switched.json()["tenant_id"]), (200, &json!(second)));
    assert_eq!(switched.json()["session_id"], ada.id());
    assert_eq!(api.send(get(ME).bearer(ada.access())).await.problem(), (401, "session_ended".into()));
    assert_eq!(switch(ada.tenant(), ada.refresh()).await.problem(), (409, "session_moved_on".into()));
    assert_eq!(switch(&second, "saas_rt_forged").await.problem(), (401, "invalid_refresh_token".into()));
    let nothing = api.send(post("/api/v1/auth/switch").json(&json!({}))).await;
    let required = |name: &str| (name.to_owned(), "required".to_owned());
    assert_eq!(nothing.wrong_fields(), [required("refresh_token"), required("tenant_id")]);
}

async fn signing_out_everywhere_else_keeps_this_browser(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let tokens = api.sign_in("ada@example.com").await;
    let answer = api.send(from_us(with(delete("/api/v1/auth/sessions"), &cookie))).await;
    assert_eq!((answer.json()["data"]["revoked"].as_u64(), answer.header("set-cookie")), (Some(2), ""));
    assert_eq!(api.send(with(get(ME), &cookie)).await.status, 200);
    assert_eq!(api.send(get(ME).bearer(tokens.access())).await.problem(), (401, "session_ended".into()));
    assert_eq!(api.send(delete("/api/v1/auth/sessions")).await.problem(), (401, "unauthenticated".into()));
}

async fn in_development_without_tls_the_cookie_has_another_name(engine: TestEngine) {
    let api = Api::with_settings(engine, [ON, ("ENVIRONMENT", "development")]).await;
    api.register("ada@example.com").await;
    let answer = sign_in(&api).await;
    let set = answer.header("set-cookie");
    assert!(set.starts_with("saas_session=saas_sc_") && !set.contains("Secure"), "{set:.30}");
    let (pair, _) = set.split_once(';').expect("it has attributes");
    assert_eq!(api.send(get(ME).header(header::COOKIE, pair)).await.status, 200);
}

/// What workers write by themselves, whoever asks for what.
const BY_WORKERS: [&str; 4] = ["saas_audit", "saas_changes", "saas_job", "saas_schedule"];

/// Every row of every table, as text.
async fn rows(api: &Api) -> Vec<(String, Vec<String>)> {
    use saas_core::{Reach, Storage};
    use saas_sql::{
        EngineKind,
        sqlx::{self, AssertSqlSafe},
    };

    macro_rules! all {
        ($conn:expr, $query:expr) => {{
            let query = AssertSqlSafe($query);
            let found: Vec<String> =
                sqlx::query_scalar(query).fetch_all($conn).await.expect("the query is valid");
            found
        }};
    }
    let storage = api.test.saas.storage();
    let mut conn = storage.read(Reach::Platform("test")).await.expect("the database answers");
    let mut tables = Vec::new();
    if storage.kind() == EngineKind::Postgres {
        let conn = saas_sql::pg(&mut conn).expect("it is PostgreSQL");
        let names = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() ORDER BY 1";
        for table in all!(&mut *conn, names.to_owned()) {
            tables
                .push((table.clone(), all!(&mut *conn, format!("SELECT t::text FROM {table} t ORDER BY 1"))));
        }
    } else {
        let conn = saas_sql::sqlite(&mut conn).expect("it is SQLite");
        let names = "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'saas%' ORDER BY 1";
        for table in all!(&mut *conn, names.to_owned()) {
            let columns =
                all!(&mut *conn, format!("SELECT 'quote(' || name || ')' FROM pragma_table_info('{table}')"));
            let row = columns.join(" || ', ' || ");
            tables.push((table.clone(), all!(&mut *conn, format!("SELECT {row} FROM {table} ORDER BY 1"))));
        }
    }
    tables.retain(|(table, _)| !BY_WORKERS.iter().any(|prefix| table.starts_with(prefix)));
    tables
}

async fn no_get_of_the_description_changes_a_row(engine: TestEngine) {
    let (api, cookie) = browser(engine).await;
    let tokens = api.sign_in("ada@example.com").await;
    let chat = json!({ "message": "What is 6 * 7?", "conversation_id": "k" });
    let run = api.send(post("/api/v1/chat").bearer(tokens.access()).json(&chat)).await;
    let run = run.json()["run_id"].as_str().map(str::to_owned).unwrap_or_default();
    let before = rows(&api).await;
    assert!(before.iter().filter(|(_, rows)| !rows.is_empty()).count() > 5, "{before:?}");
    let mut asked = 0;
    for (method, template, _) in crate::described::operations().filter(|(method, ..)| method == "GET") {
        let path = template
            .replace("{conversation_id}", "k")
            .replace("{run_id}", &run)
            .replace("{agent_name}", "triage");
        assert!(!path.contains('{'), "{method} {path}: say what stands there");
        let by_cookie = api.send(with(get(&path), &cookie)).await;
        let by_token = api.send(get(&path).bearer(tokens.access())).await;
        assert!(!by_cookie.status.is_server_error() && !by_token.status.is_server_error(), "{path}");
        asked += 1;
    }
    assert!(asked > 10);
    assert_eq!(rows(&api).await, before, "a GET wrote something");
}
