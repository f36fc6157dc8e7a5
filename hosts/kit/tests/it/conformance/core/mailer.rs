//! `Mailer`: what breaks its contract is noticed. The adapters are held against it in saas-core/mail, beside the servers that they need.

use std::{
    fmt::{self, Debug},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use saas_core::{
    DisplayName, Mail, MailError, MailKey, Mailbox, Mailer, Refusal,
    conformance::{
        mail_service::{self, MailService, MailServiceSubject, Manner},
        mailer::{self, Inbox, MailerSubject, ReceivedMail},
    },
};
use saas_mail::MemoryMailer;

use crate::conformance::broken::assert_noticed;

const SECRET: &str = "the-password-of-the-service";

/// A mailer in memory that behaves as its service does, but for one line of the contract.
struct Broken {
    line: &'static str,
    kept: MemoryMailer,
    manner: Mutex<Manner>,
    /// How often a mail was sent.
    sent: Mutex<usize>,
}

impl Broken {
    fn new(line: &'static str) -> Self {
        let (manner, sent) = (Mutex::new(Manner::TakesMails), Mutex::new(0));
        Self { line, kept: MemoryMailer::default(), manner, sent }
    }

    fn breaks(&self, line: &str) -> bool {
        self.line.starts_with(line)
    }

    /// What the manner of the service means, rightly or wrongly.
    fn trouble(&self, mail: &Mail) -> Option<MailError> {
        let manner = *self.manner.lock().unwrap();
        if self.breaks("no_error") && manner != Manner::TakesMails {
            let words = format!("could not tell {}: {}", mail.to.address.shown(), mail.text);
            return Some(MailError::unavailable(words));
        }
        let refused = |what| Some(MailError::refused(what, "550"));
        match manner {
            Manner::TakesMails => None,
            // Whatever was refused.
            _ if self.breaks("what_is_refused") => refused(Refusal::Content),
            Manner::RefusesTheRecipient => refused(Refusal::Recipient),
            Manner::RefusesTheMail => refused(Refusal::Content),
            Manner::RefusesUs => refused(Refusal::Credentials),
            Manner::Later(wait) => {
                let wait = if self.breaks("what_cannot_be_taken") { Duration::from_secs(1) } else { wait };
                Some(MailError::later(Some(wait), "429"))
            }
            // As if it had said something.
            Manner::BreaksOff if self.breaks("a_service") => Some(MailError::later(None, "unknown")),
            Manner::BreaksOff | Manner::Away => Some(MailError::unavailable("it is away")),
        }
    }
}

impl Debug for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if self.breaks("nothing_readable") { SECRET } else { "Broken" };
        f.write_str(shown)
    }
}

#[async_trait]
impl Mailer for Broken {
    async fn send(&self, mail: &Mail) -> Result<(), MailError> {
        if let Some(error) = self.trouble(mail) {
            // What was said once is said for ever.
            if !self.breaks("after_each") {
                return Err(error);
            }
        }
        let number = {
            let mut sent = self.sent.lock().unwrap();
            *sent += 1;
            *sent
        };
        let mut mail = mail.clone();
        if self.breaks("a_mail_arrives") {
            mail.text = mail.text.replace("\n.\n", "\n");
        }
        // Each time another mail.
        if self.breaks("a_mail_that_is_sent_again") {
            mail.key = MailKey::parse(&format!("key-{number}")).unwrap();
        }
        if self.breaks("it_arrives_at_its_recipient")
            && let Some(address) = mail.text.strip_prefix("Bcc: ").and_then(|text| text.lines().next())
        {
            // As a head that ends where the body says so.
            mail.to = Mailbox::parse(address).unwrap().named(mail.to.name.clone());
        }
        if self.breaks("mails_that_are_sent_beside") && number > 4 {
            return Ok(());
        }
        self.kept.send(&mail).await
    }
}

fn named(mailbox: &Mailbox) -> (Option<String>, String) {
    (mailbox.name.as_ref().map(DisplayName::to_string), mailbox.address.shown().to_owned())
}

#[async_trait]
impl Inbox for Broken {
    async fn received(&self) -> Vec<ReceivedMail> {
        let received = self.kept.mails().into_iter().map(|mail| ReceivedMail {
            identity: mail.key.as_str().to_owned(),
            from: named(&mail.from),
            to_name: named(&mail.to).0,
            recipients: vec![named(&mail.to).1],
            subject: mail.subject.to_string(),
            text: mail.text,
            html: mail.html,
        });
        received.collect()
    }
}

#[async_trait]
impl MailService for Broken {
    async fn behave(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn tells_waits(&self) -> bool {
        true
    }
}

#[tokio::test]
async fn a_mailer_that_breaks_a_line_is_noticed() {
    for line in mailer::LINES {
        let broken = Arc::new(Broken::new(line));
        let subject =
            MailerSubject::new(Arc::<Broken>::clone(&broken), broken, ()).with_secrets(vec![SECRET]);
        assert_noticed(line, mailer::check(line, subject)).await;
    }
}

fn service(broken: Broken) -> MailServiceSubject {
    let broken = Arc::new(broken);
    MailServiceSubject::new(Arc::<Broken>::clone(&broken), broken, vec![SECRET], ())
}

#[tokio::test]
async fn a_mailer_that_breaks_a_line_about_its_service_is_noticed() {
    for line in mail_service::LINES {
        assert_noticed(line, mail_service::check(line, service(Broken::new(line)))).await;
    }
}

/// So that what is noticed is what is broken, and not the stage.
#[tokio::test]
async fn the_same_mailer_without_a_broken_line_passes() {
    for line in mailer::LINES {
        let whole = Arc::new(Broken::new(""));
        let subject = MailerSubject::new(Arc::<Broken>::clone(&whole), whole, ()).with_secrets(vec![SECRET]);
        mailer::check(line, subject).await;
    }
    for line in mail_service::LINES {
        mail_service::check(line, service(Broken::new(""))).await;
    }
}
