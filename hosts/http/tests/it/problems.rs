//! Every kind of problem, whole, as clients parse it.

use axum::body::Body;
use http::{Method, header};
use saas_kit::testing::TestEngine;
use serde_json::{Value, json};

use crate::harness::{
    Api, Call, assert_answer, credentials, delete, get, on_both_engines, post, registration,
    registration_with,
};

on_both_engines! {
    an_unknown_route_is_a_404,
    a_wrong_method_is_a_405_that_says_which_are_right,
    a_body_that_is_not_json_is_a_400,
    a_body_that_breaks_off_is_a_400,
    a_body_of_another_type_is_a_415,
    a_body_above_the_limit_is_a_413,
    missing_fields_are_a_422_that_names_them_all,
    a_wrong_type_is_a_422_that_names_the_field,
    a_wrong_type_is_never_echoed,
    a_body_that_is_no_object_is_a_422,
    a_member_that_stands_twice_is_a_422,
    a_weak_password_is_a_422,
    a_stolen_password_is_a_403_where_the_operator_says_so,
    terms_that_are_not_accepted_are_a_422,
    fields_of_a_later_release_are_a_422,
    a_taken_address_is_a_409,
    a_wrong_password_and_an_unknown_address_get_the_same_401,
    a_request_without_a_good_token_is_a_401,
    a_refresh_token_that_is_none_is_a_401,
    a_refresh_token_of_somebody_else_cannot_be_signed_out,
    a_closed_registration_is_a_403,
    a_server_whose_storage_is_away_is_not_ready,
    a_request_that_needs_the_storage_gets_a_503_while_it_is_away,
    a_query_that_cannot_be_read_is_a_400,
    wrong_parameters_are_a_422_that_names_them_all,
    a_path_that_is_not_utf_8_is_a_problem_too,
    a_callers_request_id_is_kept_when_it_is_one,
}

async fn an_unknown_route_is_a_404(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(get("/api/v1/nothing?here=1")).await, @r#"
    404 Not Found
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "unknown_route",
      "detail": "there is nothing at this path",
      "errors": [],
      "request_id": "[uuid]",
      "status": 404,
      "title": "Not Found",
      "type": "urn:saas:problem:unknown_route"
    }
    "#);
}

async fn a_wrong_method_is_a_405_that_says_which_are_right(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(get("/api/v1/auth/token")).await, @r#"
    405 Method Not Allowed
    allow: POST
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "method_not_allowed",
      "detail": "this path does not take that method",
      "errors": [],
      "request_id": "[uuid]",
      "status": 405,
      "title": "Method Not Allowed",
      "type": "urn:saas:problem:method_not_allowed"
    }
    "#);
    let answer = api.send(Call::new(Method::PATCH, "/api/v1/auth/me")).await;
    assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET,HEAD"));
}

async fn a_body_that_is_not_json_is_a_400(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(post("/api/v1/auth/token").text("{\"email\": ")).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_json",
      "detail": "the body is not JSON",
      "errors": [],
      "request_id": "[uuid]",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:saas:problem:invalid_json"
    }
    "#);
    for text in ["", " ", "{} {}", "{'email': 1}", "{\"email\": \"\\ud800\"}", "nul", "\u{feff}{}"] {
        let answer = api.send(post("/api/v1/auth/token").text(text)).await;
        assert_eq!(answer.problem(), (400, "invalid_json".into()), "{text:?}");
    }
    let nested = "[".repeat(100_000);
    assert_eq!(api.send(post("/api/v1/auth/token").text(nested)).await.problem().0, 400);
}

async fn a_body_that_breaks_off_is_a_400(engine: TestEngine) {
    let api = Api::start(engine).await;
    let broken = futures_util::stream::iter([
        Ok("{\"email\""),
        Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
    ]);
    let answer = api.send(post("/api/v1/auth/token").text(Body::from_stream(broken))).await;
    assert_answer!(answer, @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "incomplete_body",
      "detail": "the body ended before it was complete",
      "errors": [],
      "request_id": "[uuid]",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:saas:problem:incomplete_body"
    }
    "#);
}

async fn a_body_of_another_type_is_a_415(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = credentials("ada@example.com").to_string();
    let form = post("/api/v1/auth/token").header(header::CONTENT_TYPE, "text/plain").body(body.clone());
    assert_answer!(api.send(form).await, @r#"
    415 Unsupported Media Type
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "unsupported_media_type",
      "detail": "send the body as application/json, with that Content-Type",
      "errors": [],
      "request_id": "[uuid]",
      "status": 415,
      "title": "Unsupported Media Type",
      "type": "urn:saas:problem:unsupported_media_type"
    }
    "#);
    let bare = post("/api/v1/auth/token").body(body.clone());
    assert_eq!(api.send(bare).await.problem(), (415, "unsupported_media_type".into()));
    let charset =
        post("/api/v1/auth/token").header(header::CONTENT_TYPE, "Application/JSON; charset=utf-8").body(body);
    assert_eq!(api.send(charset).await.problem(), (401, "invalid_credentials".into()));
}

async fn a_body_above_the_limit_is_a_413(engine: TestEngine) {
    let api = Api::with_settings(engine, [("REQUEST_BODY_LIMIT_BYTES", "2048")]).await;
    let of_length = |length: usize| {
        let body = credentials("ada@example.com").to_string();
        body.clone() + &" ".repeat(length - body.len())
    };
    assert_answer!(api.send(post("/api/v1/auth/token").text(of_length(2049))).await, @r#"
    413 Payload Too Large
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "body_too_large",
      "detail": "the body is larger than 2048 bytes",
      "errors": [],
      "request_id": "[uuid]",
      "status": 413,
      "title": "Payload Too Large",
      "type": "urn:saas:problem:body_too_large"
    }
    "#);
    let fits = api.send(post("/api/v1/auth/token").text(of_length(2048))).await;
    assert_eq!(fits.problem(), (401, "invalid_credentials".into()));
}

async fn missing_fields_are_a_422_that_names_them_all(engine: TestEngine) {
    let api = Api::start(engine).await;
    assert_answer!(api.send(post("/api/v1/auth/register").text("{}")).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "required",
          "field": "email",
          "message": "this field is required"
        },
        {
          "code": "required",
          "field": "password",
          "message": "this field is required"
        },
        {
          "code": "required",
          "field": "tenant_name",
          "message": "this field is required"
        },
        {
          "code": "required",
          "field": "accept_terms",
          "message": "this field is required"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
    let nulls = json!({ "email": null, "password": null, "tenant_id": null });
    let answer = api.send(post("/api/v1/auth/token").json(&nulls)).await;
    let required = |name: &str| (name.to_owned(), "required".to_owned());
    assert_eq!(answer.wrong_fields(), [required("email"), required("password")]);
    let answer = api.send(post("/api/v1/auth/refresh").text("{}")).await;
    assert_eq!(answer.wrong_fields(), [required("refresh_token")]);
}

async fn a_wrong_type_is_a_422_that_names_the_field(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = registration_with("ada@example.com", &json!({ "accept_terms": "yes" }));
    assert_answer!(api.send(post("/api/v1/auth/register").json(&body)).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "invalid_type",
          "field": "accept_terms",
          "message": "this field has the wrong type"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
}

async fn a_wrong_type_is_never_echoed(engine: TestEngine) {
    let api = Api::start(engine).await;
    let secret = "7315908642";
    let number: Value = serde_json::from_str(secret).expect("a number");
    for wrong in [number.clone(), json!([secret]), json!({ secret: secret }), json!([[number]]), json!(true)]
    {
        for (path, member) in [
            ("/api/v1/auth/register", "password"),
            ("/api/v1/auth/token", "password"),
            ("/api/v1/auth/refresh", "refresh_token"),
        ] {
            let body = json!({ "email": "ada@example.com", member: wrong });
            let answer = api.send(post(path).json(&body)).await;
            assert_eq!(answer.status, 422, "{path} {wrong}");
            assert_eq!(answer.wrong_fields(), [(member.to_owned(), "invalid_type".to_owned())]);
            let told = format!("{:?} {}", answer.headers, answer.text());
            assert!(!told.contains(secret) && !told.contains("true"), "{told}");
        }
    }
}

async fn a_body_that_is_no_object_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = json!(["ada@example.com", "correct horse battery staple", "Tenant", null, true]);
    assert_answer!(api.send(post("/api/v1/auth/register").json(&body)).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "invalid_type",
          "field": "",
          "message": "the body must be a JSON object in which no field stands twice"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
    let token = json!(["ada@example.com", saas_kit::testing::PASSWORD, null]).to_string();
    for text in ["[]", &token, "null", "\"x\"", "1", "true"] {
        let answer = api.send(post("/api/v1/auth/token").text(text.to_owned())).await;
        assert_eq!(answer.wrong_fields(), [(String::new(), "invalid_type".to_owned())], "{text}");
    }
}

async fn a_member_that_stands_twice_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let text = r#"{"email":"ada@example.com","email":"eve@example.com","password":"x"}"#;
    assert_eq!(
        api.send(post("/api/v1/auth/token").text(text)).await.problem(),
        (422, "invalid_request".into())
    );
}

async fn a_weak_password_is_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = registration_with("ada@example.com", &json!({ "password": "fourteen chars" }));
    assert_answer!(api.send(post("/api/v1/auth/register").json(&body)).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_password",
      "detail": "the password is not accepted",
      "errors": [
        {
          "code": "password_too_short",
          "field": "password",
          "message": "use at least 15 characters; a sentence is easy to remember"
        }
      ],
      "password_advice": {
        "score": 3,
        "suggestions": [],
        "warning": null
      },
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_password"
    }
    "#);
}

async fn a_stolen_password_is_a_403_where_the_operator_says_so(engine: TestEngine) {
    let folder = tempfile::tempdir().expect("a temporary file can be written");
    let list = folder.path().join("list.txt");
    // Somebody else's password, then Ada's: a list that grew.
    std::fs::write(&list, format!("{}:1\n", "0".repeat(40))).expect("a temporary file can be written");
    let settings = [
        ("BREACHED_PASSWORDS", "file"),
        ("BREACHED_PASSWORDS_FILE", list.to_str().expect("a temporary file can be written")),
        ("BREACHED_PASSWORDS_AT_SIGN_IN", "refuse"),
    ];
    let api = Api::with_settings(engine, settings).await;
    api.register("ada@example.com").await;
    std::fs::write(&list, "ABF7AAD6438836DBE526AA231ABDE2D0EEF74D42:1\n")
        .expect("a temporary file can be written");
    assert_answer!(api.send(post("/api/v1/auth/token").json(&credentials("ada@example.com"))).await, @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "password_compromised",
      "detail": "this password is in a list of stolen ones: reset it by mail, then sign in with the new one",
      "errors": [],
      "request_id": "[uuid]",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:saas:problem:password_compromised"
    }
    "#);
}

async fn terms_that_are_not_accepted_are_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let body = registration_with("ada@example.com", &json!({ "accept_terms": false }));
    assert_answer!(api.send(post("/api/v1/auth/register").json(&body)).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "invalid",
          "field": "accept_terms",
          "message": "the terms must be accepted: send true"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
}

async fn fields_of_a_later_release_are_a_422(engine: TestEngine) {
    let api = Api::start(engine).await;
    let later = json!({ "plan_code": "pro", "trial_days": 14, "invite_token": { "any": ["thing"] } });
    let body = registration_with("ada@example.com", &later);
    assert_answer!(api.send(post("/api/v1/auth/register").json(&body)).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "not_available",
          "field": "plan_code",
          "message": "this field is not available in this release: leave it out"
        },
        {
          "code": "not_available",
          "field": "trial_days",
          "message": "this field is not available in this release: leave it out"
        },
        {
          "code": "not_available",
          "field": "invite_token",
          "message": "this field is not available in this release: leave it out"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
    // Null is the same as absent: the earlier system's clients send it.
    let mut nulls = registration("ada@example.com");
    for field in ["plan_code", "trial_days", "invite_token", "display_name"] {
        nulls[field] = Value::Null;
    }
    assert_eq!(api.send(post("/api/v1/auth/register").json(&nulls)).await.status, 201);
}

async fn a_taken_address_is_a_409(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.register("ada@example.com").await;
    let again = registration("ADA@Example.com");
    assert_answer!(api.send(post("/api/v1/auth/register").json(&again)).await, @r#"
    409 Conflict
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "email_taken",
      "detail": "the e-mail address is already registered",
      "errors": [],
      "request_id": "[uuid]",
      "status": 409,
      "title": "Conflict",
      "type": "urn:saas:problem:email_taken"
    }
    "#);
}

async fn a_wrong_password_and_an_unknown_address_get_the_same_401(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let try_in = |body: Value| post("/api/v1/auth/token").json(&body);
    let wrong = json!({ "email": "ada@example.com", "password": "incorrect horse battery" });
    let answer = api.send(try_in(wrong)).await;
    assert_answer!(answer, @r#"
    401 Unauthorized
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_credentials",
      "detail": "the e-mail address or the password is wrong",
      "errors": [],
      "request_id": "[uuid]",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:saas:problem:invalid_credentials"
    }
    "#);
    let huge = json!({ "email": "ada@example.com", "password": "x".repeat(100_000) });
    let elsewhere = json!({ "email": "ada@example.com", "password": saas_kit::testing::PASSWORD, "tenant_id": session.id() });
    for body in [credentials("eve@example.com"), huge, elsewhere] {
        let other = api.send(try_in(body)).await;
        let without_id = |mut json: Value| {
            json["request_id"] = Value::Null;
            json
        };
        assert_eq!(without_id(other.json()), without_id(answer.json()));
    }
}

async fn a_request_without_a_good_token_is_a_401(engine: TestEngine) {
    let api = Api::start(engine).await;
    let token = api.register("ada@example.com").await.access().to_owned();
    assert_answer!(api.send(get("/api/v1/auth/me")).await, @r#"
    401 Unauthorized
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "unauthenticated",
      "detail": "send an access token as Authorization: Bearer <token>",
      "errors": [],
      "request_id": "[uuid]",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:saas:problem:unauthenticated"
    }
    "#);
    let with = |value: &str| get("/api/v1/auth/me").header(header::AUTHORIZATION, value);
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        &token,
        &format!("Bearer  {token}"),
        &format!("Bearer {token} x"),
    ] {
        assert_eq!(api.send(with(value)).await.status, 401, "{value:?}");
    }
    let two = get("/api/v1/auth/me").bearer(&token).bearer(&token);
    assert_eq!(api.send(two).await.problem(), (401, "unauthenticated".into()));
    assert_eq!(api.send(with(&format!("bEARER {token}"))).await.status, 200);
    for call in [
        get("/api/v1/auth/sessions"),
        post("/api/v1/auth/logout").text("{}"),
        post("/api/v1/auth/logout/all"),
        delete("/api/v1/auth/sessions/not-an-id"),
    ] {
        assert_eq!(api.send(call).await.problem(), (401, "unauthenticated".into()));
    }
}

async fn a_refresh_token_that_is_none_is_a_401(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let refresh = |token: &str| post("/api/v1/auth/refresh").json(&json!({ "refresh_token": token }));
    assert_answer!(api.send(refresh(session.access())).await, @r#"
    401 Unauthorized
    cache-control: no-store
    content-type: application/problem+json
    www-authenticate: Bearer
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_refresh_token",
      "detail": "the refresh token is not valid: sign in again",
      "errors": [],
      "request_id": "[uuid]",
      "status": 401,
      "title": "Unauthorized",
      "type": "urn:saas:problem:invalid_refresh_token"
    }
    "#);
    for token in ["x", "saas_rt_", "\u{0}", "sååå", &"A".repeat(10_000), &session.refresh()[..40]] {
        assert_eq!(
            api.send(refresh(token)).await.problem(),
            (401, "invalid_refresh_token".into()),
            "{token}"
        );
    }
    assert_eq!(
        api.send(refresh("")).await.wrong_fields(),
        [("refresh_token".to_owned(), "invalid".to_owned())]
    );
}

async fn a_refresh_token_of_somebody_else_cannot_be_signed_out(engine: TestEngine) {
    let api = Api::start(engine).await;
    let (ada, eve) = (api.register("ada@example.com").await, api.register("eve@example.com").await);
    let logout = |token: &str| {
        post("/api/v1/auth/logout").bearer(eve.access()).json(&json!({ "refresh_token": token }))
    };
    assert_answer!(api.send(logout(ada.refresh())).await, @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "refresh_token_not_yours",
      "detail": "the refresh token is not one of yours",
      "errors": [],
      "request_id": "[uuid]",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:saas:problem:refresh_token_not_yours"
    }
    "#);
    assert_eq!(api.send(logout("garbage")).await.problem(), (403, "refresh_token_not_yours".into()));
    assert_eq!(api.send(get("/api/v1/auth/me").bearer(ada.access())).await.status, 200);
}

async fn a_closed_registration_is_a_403(engine: TestEngine) {
    let api = Api::with_settings(engine, [("SIGNUP_ACCESS_POLICY", "invite_only")]).await;
    let answer = api.send(post("/api/v1/auth/register").json(&registration("ada@example.com"))).await;
    assert_answer!(answer, @r#"
    403 Forbidden
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "registration_closed",
      "detail": "registration is not open: ask for an invitation",
      "errors": [],
      "request_id": "[uuid]",
      "status": 403,
      "title": "Forbidden",
      "type": "urn:saas:problem:registration_closed"
    }
    "#);
}

async fn a_server_whose_storage_is_away_is_not_ready(engine: TestEngine) {
    let api = Api::start(engine).await;
    api.test.saas.storage().close().await;
    assert_answer!(api.send(get("/health/ready")).await, @r#"
    503 Service Unavailable
    cache-control: no-store
    content-type: application/problem+json
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "checks": {
        "migrations": "failed",
        "signing_key": "failed",
        "storage": "failed"
      },
      "code": "not_ready",
      "detail": "a part that serving needs is away",
      "errors": [],
      "request_id": "[uuid]",
      "status": 503,
      "title": "Service Unavailable",
      "type": "urn:saas:problem:not_ready"
    }
    "#);
}

async fn a_request_that_needs_the_storage_gets_a_503_while_it_is_away(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    api.test.saas.storage().close().await;
    let refresh_token = json!({ "refresh_token": session.refresh() });
    let register = post("/api/v1/auth/register").json(&registration("eve@example.com"));
    let answer = api.send(register).await;
    let code = answer.json()["code"].clone();
    assert_answer!(answer, @r#"
    503 Service Unavailable
    cache-control: no-store
    content-type: application/problem+json
    retry-after: 1
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "unavailable",
      "detail": "the service is busy or a part of it is away: try again soon",
      "errors": [],
      "request_id": "[uuid]",
      "status": 503,
      "title": "Service Unavailable",
      "type": "urn:saas:problem:unavailable"
    }
    "#);
    for call in [
        post("/api/v1/auth/token").json(&credentials("ada@example.com")),
        post("/api/v1/auth/refresh").json(&refresh_token),
        post("/api/v1/auth/logout").bearer(session.access()).json(&refresh_token),
        post("/api/v1/auth/logout/all").bearer(session.access()),
        get("/api/v1/auth/me").bearer(session.access()),
        get("/api/v1/auth/sessions").bearer(session.access()),
        delete(&format!("/api/v1/auth/sessions/{}", session.id())).bearer(session.access()),
    ] {
        let answer = api.send(call).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].clone()), (503, code.clone()));
        assert!(!answer.header("retry-after").is_empty());
    }
}

async fn a_query_that_cannot_be_read_is_a_400(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let list = get("/api/v1/auth/sessions?limit=1&limit=2").bearer(session.access());
    assert_answer!(api.send(list).await, @r#"
    400 Bad Request
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_query",
      "detail": "the query string cannot be read: is a parameter there twice?",
      "errors": [],
      "request_id": "[uuid]",
      "status": 400,
      "title": "Bad Request",
      "type": "urn:saas:problem:invalid_query"
    }
    "#);
}

async fn wrong_parameters_are_a_422_that_names_them_all(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let list = get("/api/v1/auth/sessions?limit=0&offset=-1&include_revoked=maybe&tenant_id=x&cursor=%00")
        .bearer(session.access());
    assert_answer!(api.send(list).await, @r#"
    422 Unprocessable Entity
    cache-control: no-store
    content-type: application/problem+json
    x-content-type-options: nosniff
    x-request-id: [uuid]

    {
      "code": "invalid_request",
      "detail": "some fields are not valid",
      "errors": [
        {
          "code": "invalid",
          "field": "include_revoked",
          "message": "send true or false"
        },
        {
          "code": "invalid",
          "field": "limit",
          "message": "send a number from 1 to 100"
        },
        {
          "code": "invalid",
          "field": "offset",
          "message": "send a number from 0 to 100000; cursor reaches farther"
        },
        {
          "code": "invalid",
          "field": "tenant_id",
          "message": "not an id: expected a UUID such as [uuid]"
        }
      ],
      "request_id": "[uuid]",
      "status": 422,
      "title": "Unprocessable Entity",
      "type": "urn:saas:problem:invalid_request"
    }
    "#);
    for query in ["limit=101", "limit=9999999999999999999999", "offset=100001", "offset=1.5", "limit="] {
        let list = get(&format!("/api/v1/auth/sessions?{query}")).bearer(session.access());
        assert_eq!(api.send(list).await.status, 422, "{query}");
    }
    let end = delete("/api/v1/auth/sessions/not-an-id").bearer(session.access());
    assert_eq!(api.send(end).await.wrong_fields(), [("session_id".to_owned(), "invalid".to_owned())]);
}

async fn a_path_that_is_not_utf_8_is_a_problem_too(engine: TestEngine) {
    let api = Api::start(engine).await;
    let session = api.register("ada@example.com").await;
    let end = delete("/api/v1/auth/sessions/%FF%FE").bearer(session.access());
    assert_eq!(api.send(end).await.wrong_fields(), [("session_id".to_owned(), "invalid".to_owned())]);
    assert_eq!(api.send(get("/%FF")).await.problem(), (404, "unknown_route".into()));
}

async fn a_callers_request_id_is_kept_when_it_is_one(engine: TestEngine) {
    let api = Api::start(engine).await;
    let name = header::HeaderName::from_static("x-request-id");
    for id in ["01890a5d-ac96-774b-bcce-b302099a8057", "0d2c2b1e-6f0a-4b5e-9a3e-3f1f6c0a7b9d"] {
        for path in ["/health", "/nothing"] {
            let answer = api.send(get(path).header(name.clone(), id)).await;
            assert_eq!(answer.header("x-request-id"), id);
        }
    }
    for id in ["", "1", "x".repeat(5000).as_str(), "01890a5dac96774bbcceb302099a8057", "\u{ff}"] {
        let answer = api.send(get("/nothing").header(name.clone(), id)).await;
        assert_ne!(answer.header("x-request-id"), id);
    }
}
