//! [`Smtp`] against aiosmtpd, a server of somebody else's.

use std::{sync::Arc, time::Duration};

use rustls::RootCertStore;
use saas_core::{
    Email, MailError, MailKey, Mailbox, Mailer, Refusal, Secret,
    conformance::{
        mail_service::{MailService, MailServiceSubject, Manner},
        mailer::MailerSubject,
    },
    fault::chain,
};
use saas_mail::{Letter, Smtp, SmtpConfig, SmtpTls};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    letters::letters,
    smtp_server::{PASSWORD, SmtpServer, USER, trusting},
    system::SystemClock,
};

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.to_owned())
}

fn config(tls: SmtpTls, port: u16) -> SmtpConfig {
    // As long as a loaded machine may need.
    SmtpConfig::new("localhost", tls).unwrap().with_port(port).with_timeout(Duration::from_mins(1))
}

/// A mailer of that server's.
fn smtp(server: &SmtpServer, tls: SmtpTls) -> Smtp {
    let config = config(tls, server.port);
    let config = match tls {
        SmtpTls::None => config,
        _ => config.with_credentials(secret(USER), secret(PASSWORD)).unwrap(),
    };
    Smtp::new(config, server.trusted(), Arc::new(SystemClock::new()))
}

fn mail(key: &str, to: &str) -> saas_core::Mail {
    let to = Mailbox::new(Email::parse(to).unwrap());
    letters().mail(&Letter::Test, to, MailKey::parse(key).unwrap()).unwrap()
}

async fn start(word: &str, tls: SmtpTls) -> (Arc<Smtp>, Arc<SmtpServer>) {
    let server = Arc::new(SmtpServer::start(word).await);
    (Arc::new(smtp(&server, tls)), server)
}

mod starttls {
    use super::*;

    async fn mailer() -> MailerSubject {
        let (smtp, server) = start("starttls", SmtpTls::StartTls).await;
        MailerSubject::new(smtp, server, ()).with_secrets(vec![USER, PASSWORD])
    }

    async fn service() -> MailServiceSubject {
        let (smtp, server) = start("starttls", SmtpTls::StartTls).await;
        MailServiceSubject::new(smtp, server, vec![USER, PASSWORD], ())
    }

    saas_core::mailer_conformance!(mailer);
    saas_core::mail_service_conformance!(service);
}

mod implicit {
    use super::*;

    async fn service() -> MailServiceSubject {
        let (smtp, server) = start("implicit", SmtpTls::Implicit).await;
        MailServiceSubject::new(smtp, server, vec![USER, PASSWORD], ())
    }

    saas_core::mail_service_conformance!(service);
}

#[tokio::test]
async fn a_mail_goes_encrypted_and_by_name_where_it_is_asked_to() {
    for (word, tls, encrypted) in [
        ("starttls", SmtpTls::StartTls, true),
        ("implicit", SmtpTls::Implicit, true),
        ("none", SmtpTls::None, false),
    ] {
        let (smtp, server) = start(word, tls).await;
        smtp.send(&mail("key-1", "ada@example.com"))
            .await
            .unwrap_or_else(|error| panic!("{word}: {}", chain(&error)));
        let mails = server.mails().await;
        assert_eq!(mails.len(), 1, "{word}");
        assert_eq!(
            (mails[0].encrypted, mails[0].login.as_deref()),
            (encrypted, encrypted.then_some(USER)),
            "{word}"
        );
        for name in ["Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Reply-To"] {
            assert!(mails[0].head.iter().any(|known| known == name), "{name} in {:?}", mails[0].head);
        }
    }
}

#[tokio::test]
async fn mails_after_each_other_go_over_one_connection() {
    let (smtp, server) = start("starttls", SmtpTls::StartTls).await;
    for key in ["key-1", "key-2", "key-3"] {
        smtp.send(&mail(key, "ada@example.com")).await.unwrap();
    }
    assert_eq!((server.mails().await.len(), server.connections().await), (3, 1));
    // What failed is not used again.
    server.behave(Manner::RefusesTheRecipient).await;
    smtp.send(&mail("key-4", "ada@example.com")).await.unwrap_err();
    server.behave(Manner::TakesMails).await;
    smtp.send(&mail("key-5", "ada@example.com")).await.unwrap();
    assert_eq!((server.mails().await.len(), server.connections().await), (4, 2));
}

#[tokio::test]
async fn an_address_in_any_script_gets_its_mail() {
    let (smtp, server) = start("starttls", SmtpTls::StartTls).await;
    smtp.send(&mail("key-1", "zoë@bücher.example")).await.unwrap();
    let received = saas_core::conformance::mailer::Inbox::received(&*server).await;
    assert_eq!(received[0].recipients, ["zoë@xn--bcher-kva.example"]);
}

#[tokio::test]
async fn a_server_that_nobody_vouches_for_gets_nothing() {
    for (word, tls) in [("starttls", SmtpTls::StartTls), ("implicit", SmtpTls::Implicit)] {
        let server = SmtpServer::start(word).await;
        let config = config(tls, server.port).with_credentials(secret(USER), secret(PASSWORD)).unwrap();
        let smtp = Smtp::new(config, trusting(RootCertStore::empty()), Arc::new(SystemClock::new()));
        let error = smtp.send(&mail("key-1", "ada@example.com")).await.unwrap_err();
        assert!(matches!(error, MailError::Unavailable(_)), "{word}");
        assert!(chain(&error).contains("certificate"), "{word}: {}", chain(&error));
        assert!(server.mails().await.is_empty(), "{word}");
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_neither_mail_nor_password() {
    let server = SmtpServer::start("none").await;
    let error = smtp(&server, SmtpTls::StartTls).send(&mail("key-1", "ada@example.com")).await.unwrap_err();
    assert_eq!(chain(&error), "the mail service does not answer: the server offers no STARTTLS");
    assert!(server.mails().await.is_empty());
}

#[tokio::test]
async fn wrong_credentials_are_refused_as_such() {
    let server = SmtpServer::start("starttls").await;
    let config =
        config(SmtpTls::StartTls, server.port).with_credentials(secret(USER), secret("another")).unwrap();
    let smtp = Smtp::new(config, server.trusted(), Arc::new(SystemClock::new()));
    let error = smtp.send(&mail("key-1", "ada@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::Refused { what: Refusal::Credentials, .. }), "{error}");
}

/// A server that says these lines, one for each that it hears after the first, and then holds the connection.
async fn saying(lines: &'static [&'static str]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        for line in lines {
            socket.write_all(line.as_bytes()).await.unwrap();
            let mut heard = [0; 512];
            if socket.read(&mut heard).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
        std::future::pending::<()>().await;
    });
    port
}

#[tokio::test]
async fn what_is_put_behind_the_word_for_starttls_is_not_taken_for_an_answer() {
    // Somebody on the way answers in advance what the server will be asked under encryption (the "NO STARTTLS" attacks).
    const INJECTED: &[&str] = &[
        "220 hello\r\n",
        "250-hello\r\n250 STARTTLS\r\n",
        "220 go ahead\r\n250-hello\r\n250 AUTH PLAIN\r\n235 known\r\n250 from\r\n250 to\r\n354 data\r\n250 taken\r\n",
    ];
    let config = config(SmtpTls::StartTls, saying(INJECTED).await);
    let smtp = Smtp::new(config, trusting(RootCertStore::empty()), Arc::new(SystemClock::new()));
    let error = smtp.send(&mail("key-1", "ada@example.com")).await.unwrap_err();
    assert!(matches!(error, MailError::Unavailable(_)), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_more_costs_no_more_than_the_time_out() {
    let config =
        SmtpConfig::new("localhost", SmtpTls::None).unwrap().with_port(saying(&["220 hello\r\n"]).await);
    let config = config.with_timeout(Duration::from_secs(10));
    let clock = Arc::new(saas_core::clock::ManualClock::default());
    let smtp = Smtp::new(
        config,
        trusting(RootCertStore::empty()),
        Arc::<saas_core::clock::ManualClock>::clone(&clock),
    );
    let mail = mail("key-1", "ada@example.com");
    let (sent, ()) = tokio::join!(smtp.send(&mail), async {
        tokio::task::yield_now().await;
        clock.advance(Duration::from_secs(10));
    });
    assert_eq!(chain(&sent.unwrap_err()), "the mail service does not answer: no answer came within 10 s");
}
