//! The contract of [`Mailer`], as far as it is about the service on the other side: for mailers that have one.

use std::{any::Any, fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;

use super::mailer::{Inbox, mail};
use crate::{Fault, Mail, MailError, Mailer, Refusal, fault::chain};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`Mailer`](crate::Mailer) that has a service on the other side: takes the path of an `async fn() -> MailServiceSubject`, makes
    /// a test of each line of its contract that is about the service.
    mail_service_conformance, saas_core, mail_service, MailServiceSubject,
    [
        what_is_refused_for_good_is_refused_and_says_what,
        what_cannot_be_taken_now_is_later_with_the_services_own_wait,
        a_service_that_cannot_be_reached_or_breaks_off_is_unavailable,
        after_each_of_these_the_next_mail_goes_through,
        no_error_shows_an_address_a_body_or_a_secret,
    ]
}

/// How a service behaves. Where it says something, it repeats the recipient's address and the first line of the text, as services do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It takes mails.
    TakesMails,
    /// It has no such recipient.
    RefusesTheRecipient,
    /// It does not like the mail.
    RefusesTheMail,
    /// It does not know us, even who was let in before.
    RefusesUs,
    /// It has too much to do, and says for how long if it can.
    Later(Duration),
    /// It ends the connection in the middle of the exchange.
    BreaksOff,
    /// Nothing listens, and what was open is closed.
    Away,
}

/// The service: a server of the test's own, which speaks its protocol.
#[async_trait]
pub trait MailService: Inbox {
    /// Behaves so from now on.
    async fn behave(&self, manner: Manner);
    /// Whether it can say for how long it cannot take mails.
    fn tells_waits(&self) -> bool;
}

/// A mailer and its service, which takes mails.
#[derive(Debug)]
pub struct MailServiceSubject {
    mailer: Arc<dyn Mailer>,
    service: Arc<dyn MailService>,
    secrets: Vec<&'static str>,
    _kept: Box<dyn Any + Send>,
}

impl MailServiceSubject {
    /// A mailer and its service, and what the mailer was given and may show nobody; `kept` is dropped after the test.
    pub fn new(
        mailer: Arc<dyn Mailer>,
        service: Arc<dyn MailService>,
        secrets: Vec<&'static str>,
        kept: impl Any + Send,
    ) -> Self {
        Self { mailer, service, secrets, _kept: Box::new(kept) }
    }

    /// Sends a mail while the service behaves so.
    async fn send(&self, manner: Manner) -> Result<(), MailError> {
        self.service.behave(manner).await;
        self.mailer.send(&telling()).await
    }
}

const WAIT: Duration = Duration::from_secs(17);

const TROUBLES: [Manner; 6] = [
    Manner::RefusesTheRecipient,
    Manner::RefusesTheMail,
    Manner::RefusesUs,
    Manner::Later(WAIT),
    Manner::BreaksOff,
    Manner::Away,
];

/// A mail whose parts can be told in a text.
fn telling() -> Mail {
    let mut mail = mail("key-telling");
    mail.text = String::from("the-body-of-the-mail\n");
    mail.html = String::from("<p>the-body-of-the-mail</p>\n");
    mail
}

async fn what_is_refused_for_good_is_refused_and_says_what(subject: MailServiceSubject) {
    for (manner, expected) in [
        (Manner::RefusesTheRecipient, Refusal::Recipient),
        (Manner::RefusesTheMail, Refusal::Content),
        (Manner::RefusesUs, Refusal::Credentials),
    ] {
        match subject.send(manner).await {
            Err(MailError::Refused { what, code }) => {
                assert_eq!(what, expected, "{manner:?}");
                assert!(!code.as_str().is_empty(), "{manner:?} has a code");
            }
            other => panic!("{manner:?}: {other:?}"),
        }
    }
    assert!(subject.service.received().await.is_empty(), "nothing was taken");
}

async fn what_cannot_be_taken_now_is_later_with_the_services_own_wait(subject: MailServiceSubject) {
    let expected = subject.service.tells_waits().then_some(WAIT);
    match subject.send(Manner::Later(WAIT)).await {
        Err(error @ MailError::Later { retry_after, .. }) => {
            assert_eq!(retry_after, expected);
            assert_eq!(error.report().retry_after, expected);
        }
        other => panic!("{other:?}"),
    }
}

async fn a_service_that_cannot_be_reached_or_breaks_off_is_unavailable(subject: MailServiceSubject) {
    for manner in [Manner::BreaksOff, Manner::Away] {
        let sent = subject.send(manner).await;
        assert!(matches!(sent, Err(MailError::Unavailable(_))), "{manner:?}: {sent:?}");
    }
}

async fn after_each_of_these_the_next_mail_goes_through(subject: MailServiceSubject) {
    for (number, manner) in TROUBLES.into_iter().enumerate() {
        assert!(subject.send(manner).await.is_err(), "{manner:?}");
        subject.service.behave(Manner::TakesMails).await;
        let next = mail(&format!("key-{number}"));
        subject
            .mailer
            .send(&next)
            .await
            .unwrap_or_else(|error| panic!("after {manner:?}: {}", chain(&error)));
        assert_eq!(subject.service.received().await.len(), number + 1, "after {manner:?}");
    }
}

async fn no_error_shows_an_address_a_body_or_a_secret(subject: MailServiceSubject) {
    for manner in TROUBLES {
        let error = subject.send(manner).await.expect_err("the service does not take mails");
        let shown = format!("{} {error:?}", chain(&error));
        for hidden in ["ada@", "example.com", "the-body-of-the-mail"].iter().chain(&subject.secrets) {
            assert!(!shown.contains(hidden), "{manner:?}: {hidden} is in {shown}");
        }
    }
}
