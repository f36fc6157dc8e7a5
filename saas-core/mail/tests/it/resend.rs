//! [`Resend`] against exchanges that were written from its API reference.

use std::{sync::Arc, time::Duration};

use rustls::RootCertStore;
use saas_core::{
    Mail, MailError, MailKey, Mailbox, Mailer, Refusal, Secret,
    conformance::{mail_service::MailServiceSubject, mailer::MailerSubject},
    fault::chain,
};
use saas_mail::{Letter, Resend, ResendConfig};

use crate::{
    letters::letters,
    resend_server::{Answer, KEY, ResendServer, rate_limited},
    smtp_server::trusting,
    system::SystemClock,
};

fn resend(server: &ResendServer) -> Resend {
    let config =
        ResendConfig::new(Secret::new(KEY.to_owned())).unwrap().with_base_url(&server.url()).unwrap();
    // As long as a loaded machine may need.
    over(config.with_timeout(Duration::from_mins(1)))
}

fn over(config: ResendConfig) -> Resend {
    let tls = trusting(RootCertStore::empty());
    let http = config.client_builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    Resend::new(http, config, Arc::new(SystemClock::new()))
}

fn mail(name: &str) -> Mail {
    let to = Mailbox::parse("\"Lovelace, Ada\" <ada@example.com>").unwrap();
    letters().mail(&Letter::sample(name).unwrap(), to, MailKey::parse("key-1").unwrap()).unwrap()
}

mod contract {
    use super::*;

    async fn mailer() -> MailerSubject {
        let server = Arc::new(ResendServer::start().await);
        MailerSubject::new(Arc::new(resend(&server)), server, ()).with_secrets(vec![KEY])
    }

    async fn service() -> MailServiceSubject {
        let server = Arc::new(ResendServer::start().await);
        MailServiceSubject::new(Arc::new(resend(&server)), server, vec![KEY], ())
    }

    saas_core::mailer_conformance!(mailer);
    saas_core::mail_service_conformance!(service);
}

#[tokio::test]
async fn a_mail_is_posted_under_its_key() {
    let server = ResendServer::start().await;
    let mut mail = mail("test");
    (mail.text, mail.html) = ("the text".to_owned(), "the html".to_owned());
    resend(&server).send(&mail).await.unwrap();
    let request = server.requests().remove(0);
    assert_eq!(request.line, "POST /emails HTTP/1.1");
    assert_eq!(request.headers["authorization"], format!("Bearer {KEY}"));
    assert_eq!(request.headers["idempotency-key"], "key-1");
    assert_eq!(request.headers["content-type"], "application/json");
    assert!(request.headers["user-agent"].starts_with("saas-mail/"));
    insta::assert_json_snapshot!(request.body, @r#"
    {
      "from": "Acme <post@acme.example>",
      "headers": {
        "Auto-Submitted": "auto-generated"
      },
      "html": "the html",
      "reply_to": "help@acme.example",
      "subject": "A test mail of Acme",
      "tags": [
        {
          "name": "category",
          "value": "test"
        }
      ],
      "text": "the text",
      "to": [
        "\"Lovelace, Ada\" <ada@example.com>"
      ]
    }
    "#);
}

#[tokio::test]
async fn a_letter_with_a_template_at_resend_goes_as_its_variables() {
    let server = ResendServer::start().await;
    let config =
        ResendConfig::new(Secret::new(KEY.to_owned())).unwrap().with_base_url(&server.url()).unwrap();
    let resend = over(config.with_template("verify_email", "confirm-address"));
    resend.send(&mail("verify_email")).await.unwrap();
    insta::assert_json_snapshot!(server.requests()[0].body, @r#"
    {
      "from": "Acme <post@acme.example>",
      "headers": {
        "Auto-Submitted": "auto-generated"
      },
      "reply_to": "help@acme.example",
      "subject": "Confirm your e-mail address for Acme",
      "tags": [
        {
          "name": "category",
          "value": "verify_email"
        }
      ],
      "template": {
        "id": "confirm-address",
        "variables": {
          "app_name": "Acme",
          "expires_at": "March 14, 2026 16:09 UTC",
          "link": "https://app.acme.example/verify-email?token=saas_sample_tokenThatOpensNothing",
          "token": "saas_sample_tokenThatOpensNothing"
        }
      },
      "to": [
        "\"Lovelace, Ada\" <ada@example.com>"
      ]
    }
    "#);
}

/// The variant, and what stands in it.
fn told(error: &MailError) -> String {
    match error {
        MailError::Refused { what, code } => format!("refused: {what} ({code})"),
        MailError::Later { retry_after, code } => format!("later: {retry_after:?} ({code})"),
        other => chain(other),
    }
}

#[tokio::test]
async fn every_error_of_the_reference_says_what_can_be_done() {
    let server = ResendServer::start().await;
    let resend = resend(&server);
    let mail = mail("test");
    // api-reference/errors, in its order; the words are shortened.
    let answers = [
        Answer::error(400, "invalid_idempotency_key", "The key must be between 1-256 chars."),
        Answer::error(400, "validation_error", "We found an error with one or more fields in the request."),
        Answer::error(400, "validation_error", "API key is invalid"),
        Answer::error(401, "missing_api_key", "Missing API key in the authorization header."),
        Answer::error(401, "restricted_api_key", "This API key is restricted to only send emails."),
        Answer::error(403, "invalid_api_key", "API key is invalid."),
        Answer::error(
            403,
            "validation_error",
            "You can only send testing emails to your own email address (x@example.com).",
        ),
        Answer::error(404, "not_found", "The requested endpoint does not exist."),
        Answer::error(405, "method_not_allowed", "Method is not allowed for the requested path."),
        Answer::error(
            409,
            "invalid_idempotent_request",
            "Same idempotency key used with a different request payload.",
        ),
        Answer::error(
            409,
            "concurrent_idempotent_requests",
            "Same idempotency key used while original request is still in progress.",
        ),
        Answer::error(422, "invalid_from_address", "Invalid `from` field."),
        Answer::error(
            422,
            "missing_required_field",
            "The request body is missing one or more required fields.",
        ),
        Answer::error(429, "monthly_quota_exceeded", "You have reached your monthly email sending quota."),
        Answer::error(429, "daily_quota_exceeded", "You have reached your daily email sending quota.")
            .with("retry-after", "3600"),
        rate_limited(Duration::from_secs(1), "ada@example.com"),
        Answer::error(451, "security_error", "We may have found a security issue with the request."),
        Answer::error(500, "application_error", "An unexpected error occurred."),
        Answer::error(500, "internal_server_error", "An unexpected error occurred."),
    ];
    let mut lines = Vec::new();
    for answer in answers {
        server.answer(answer);
        lines.push(told(&resend.send(&mail).await.unwrap_err()));
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    refused: the mail (400 invalid_idempotency_key)
    refused: the mail (400 validation_error)
    refused: our credentials (400 validation_error)
    refused: our credentials (401 missing_api_key)
    refused: our credentials (401 restricted_api_key)
    refused: our credentials (403 invalid_api_key)
    refused: our credentials (403 validation_error)
    the mail service does not answer: there is no Resend at that address (status 404)
    the mail service does not answer: there is no Resend at that address (status 405)
    refused: the mail (409 invalid_idempotent_request)
    later: None (409 concurrent_idempotent_requests)
    refused: the mail (422 invalid_from_address)
    refused: the mail (422 missing_required_field)
    later: None (429 monthly_quota_exceeded)
    later: Some(3600s) (429 daily_quota_exceeded)
    later: Some(1s) (429 rate_limit_exceeded)
    refused: the mail (451 security_error)
    later: None (500 application_error)
    later: None (500 internal_server_error)
    ");
    // What stands before Resend answers without its words.
    for (answer, expected) in [
        (Answer::new(502, "<html>bad gateway</html>"), "later: None (502)"),
        (Answer::new(503, "").with("retry-after", "3600"), "later: Some(3600s) (503)"),
        (Answer::new(503, "").with("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT"), "later: None (503)"),
        (
            Answer::new(302, "").with("location", "http://127.0.0.1:1/"),
            "the mail service does not answer: there is no Resend at that address (status 302)",
        ),
        (
            Answer::new(200, "<html>sign in to this network</html>"),
            "the mail service does not answer: the answer is none of Resend's",
        ),
        (
            Answer::new(200, format!("{{\"id\":\"{}\"}}", "x".repeat(70_000))),
            "the mail service does not answer: the answer is none of Resend's",
        ),
    ] {
        server.answer(answer);
        let error = resend.send(&mail).await.unwrap_err();
        assert_eq!(told(&error), expected);
    }
    resend.send(&mail).await.unwrap();
}

#[tokio::test]
async fn a_mail_with_other_content_under_its_key_is_refused() {
    let server = ResendServer::start().await;
    let resend = resend(&server);
    resend.send(&mail("test")).await.unwrap();
    let error = resend.send(&mail("welcome")).await.unwrap_err();
    assert!(matches!(error, MailError::Refused { what: Refusal::Content, .. }), "{error}");
}
