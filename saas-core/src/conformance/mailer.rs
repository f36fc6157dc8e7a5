//! The contract of [`Mailer`].

use std::{any::Any, collections::BTreeSet, fmt::Debug, sync::Arc};

use async_trait::async_trait;

use super::at_once;
use crate::{DisplayName, Email, Mail, MailBodies, MailKey, MailSubject, Mailbox, Mailer};

saas_core::conformance_suite! {
    ($)
    /// Tests a [`Mailer`](crate::Mailer): takes the path of an `async fn() -> MailerSubject`, makes a test of each line of its contract.
    mailer_conformance, saas_core, mailer, MailerSubject,
    [
        a_mail_arrives_as_it_was_given_whatever_characters_it_has,
        it_arrives_at_its_recipient_and_at_nobody_else,
        a_mail_that_is_sent_again_arrives_once_or_can_be_told_by_its_identity,
        mails_that_are_sent_beside_each_other_all_arrive,
        nothing_readable_of_a_mail_is_in_the_mailers_debug,
    ]
}

/// A mail on the other side, decoded by something that is not the mailer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedMail {
    /// What tells it from other mails: the same for one that is sent again under its key.
    pub identity: String,
    /// The name that it is from, and the address.
    pub from: (Option<String>, String),
    /// The name that it is to, as its head has it.
    pub to_name: Option<String>,
    /// Every address that it was delivered to.
    pub recipients: Vec<String>,
    /// Its subject.
    pub subject: String,
    /// Its text.
    pub text: String,
    /// Its HTML.
    pub html: String,
}

/// Where the mails of a mailer arrive.
#[async_trait]
pub trait Inbox: Debug + Send + Sync + 'static {
    /// All that have arrived, in any order.
    async fn received(&self) -> Vec<ReceivedMail>;
}

/// A mailer that has sent nothing, and where its mails arrive.
#[derive(Debug)]
pub struct MailerSubject {
    mailer: Arc<dyn Mailer>,
    inbox: Arc<dyn Inbox>,
    secrets: Vec<&'static str>,
    _kept: Box<dyn Any + Send>,
}

impl MailerSubject {
    /// A mailer and its inbox; `kept` is dropped after the test, as a temporary folder should be.
    pub fn new(mailer: Arc<dyn Mailer>, inbox: Arc<dyn Inbox>, kept: impl Any + Send) -> Self {
        Self { mailer, inbox, secrets: Vec::new(), _kept: Box::new(kept) }
    }

    /// With what the mailer was given and may show nobody.
    #[must_use]
    pub fn with_secrets(self, secrets: Vec<&'static str>) -> Self {
        Self { secrets, ..self }
    }

    async fn received(&self) -> Vec<ReceivedMail> {
        self.inbox.received().await
    }
}

/// A mail to `ada@example.com` under that key.
pub(super) fn mail(key: &str) -> Mail {
    Mail::new(
        MailKey::parse(key).unwrap(),
        "welcome",
        mailbox("Acme", "from@example.com"),
        mailbox("Ada", "ada@example.com"),
        MailSubject::parse("A subject").unwrap(),
        MailBodies { text: "A text.\n".to_owned(), html: "<p>A text.</p>\n".to_owned() },
    )
}

fn mailbox(name: &str, address: &str) -> Mailbox {
    Mailbox::new(Email::parse(address).unwrap()).named(Some(DisplayName::parse(name).unwrap()))
}

/// Line ends change on the way, and those at the end of a body may go.
fn body(text: &str) -> String {
    text.replace("\r\n", "\n").trim_end_matches('\n').to_owned()
}

/// Asserts that what arrived says what was sent.
fn assert_same(received: &ReceivedMail, sent: &Mail) {
    let name = |mailbox: &Mailbox| mailbox.name.as_ref().map(|name| name.as_str().to_owned());
    assert_eq!(received.from, (name(&sent.from), sent.from.address.shown().to_owned()));
    assert_eq!(received.to_name, name(&sent.to));
    assert_eq!(received.recipients, [sent.to.address.shown()]);
    assert_eq!(received.subject, sent.subject.as_str());
    assert_eq!(body(&received.text), body(&sent.text));
    assert_eq!(body(&received.html), body(&sent.html));
}

/// What mailers have stumbled over: characters, lengths, and what means something to a protocol.
const TEXTS: [&str; 6] = [
    "Plain.",
    "Grüße aus Zürich — 你好, \u{1f44b}!\nZwei Zeilen, eine mit Leerzeichen am Ende. \n\nEnde.",
    ".\n..\n.dot\n\n.\nQUIT\n",
    "From someone\n=20=\n= is no encoding =C3=A4\n\tA tab, and --a-boundary--\n--a-boundary\n",
    "\"quotes\" <tags> & {{ braces }} ${dollars} %percent% \\backslashes\\ https://example.com/?a=b&c=d#e",
    "Content-Type: text/plain\n\nThis looks like a head.",
];

async fn a_mail_arrives_as_it_was_given_whatever_characters_it_has(subject: MailerSubject) {
    let long = format!("{} end", "A very long line of text without any break in it, ".repeat(60));
    let texts = TEXTS.iter().copied().chain([long.as_str()]);
    for (number, text) in texts.enumerate() {
        let mut mail = mail(&format!("key-{number}"));
        mail.text = String::from(text);
        mail.html = format!("<p>{text}</p>");
        let names = [
            "Acme",
            "Zoë Müller",
            "\"die Große\", Inc.",
            "株式会社 例 \u{1f3e2}",
            "A. B. (C) [D]: E; F",
            "O'Neill =?utf-8?q?x?=",
            "Back\\slash",
        ];
        let name = names[number % names.len()];
        mail.from = mailbox(name, "Post@example.com");
        mail.to = mailbox(name, "Ada.Lovelace+work@example.com");
        mail.subject =
            MailSubject::parse(&format!("{name}: Grüße \u{2013} 你好 {}", "and more ".repeat(number * 4)))
                .unwrap();
        subject.mailer.send(&mail).await.unwrap();
        let received = subject.received().await;
        assert_eq!(received.len(), number + 1);
        let arrived = received.iter().find(|received| received.subject == mail.subject.as_str());
        let subjects = || received.iter().map(|received| received.subject.as_str()).collect::<Vec<_>>();
        assert_same(
            arrived.unwrap_or_else(|| panic!("{} is not among {:?}", mail.subject, subjects())),
            &mail,
        );
    }
}

async fn it_arrives_at_its_recipient_and_at_nobody_else(subject: MailerSubject) {
    let mut mail = mail("key-1");
    mail.from = mailbox("Bcc: eve@example.com", "from@example.com");
    mail.to = mailbox("Eve <eve@example.com>,", "ada@example.com");
    mail.subject = MailSubject::parse("Bcc: eve@example.com").unwrap();
    mail.text = String::from("Bcc: eve@example.com\n.\nRCPT TO:<eve@example.com>\n");
    mail.html = String::from("</html>\n.\nMAIL FROM:<ada@example.com>\nRCPT TO:<eve@example.com>\nDATA\n");
    subject.mailer.send(&mail).await.unwrap();
    let received = subject.received().await;
    assert_eq!(received.len(), 1, "one mail was sent: {received:?}");
    assert_same(&received[0], &mail);
}

async fn a_mail_that_is_sent_again_arrives_once_or_can_be_told_by_its_identity(subject: MailerSubject) {
    for key in ["key-1", "key-1", "key-2"] {
        subject.mailer.send(&mail(key)).await.unwrap();
    }
    let received = subject.received().await;
    let identities: BTreeSet<&str> = received.iter().map(|mail| mail.identity.as_str()).collect();
    assert_eq!(identities.len(), 2, "two mails were sent, one of them twice: {identities:?}");
    assert!((2..=3).contains(&received.len()), "{}", received.len());
}

async fn mails_that_are_sent_beside_each_other_all_arrive(subject: MailerSubject) {
    let sent = at_once(8, |number| {
        let (mailer, mut mail) = (&subject.mailer, mail(&format!("key-{number}")));
        mail.text = format!("number {number}");
        async move { mailer.send(&mail).await }
    })
    .await;
    sent.into_iter().collect::<Result<Vec<()>, _>>().unwrap();
    let received = subject.received().await;
    let texts: BTreeSet<String> = received.iter().map(|mail| body(&mail.text)).collect();
    assert_eq!(texts, (0..8).map(|number| format!("number {number}")).collect());
    assert_eq!(received.len(), 8);
}

async fn nothing_readable_of_a_mail_is_in_the_mailers_debug(subject: MailerSubject) {
    subject.mailer.send(&mail("key-1")).await.unwrap();
    let shown = format!("{:?} {:#?}", subject.mailer, subject.mailer);
    for hidden in ["ada@", "from@", "Ada", "A subject", "A text"].iter().chain(&subject.secrets) {
        assert!(!shown.contains(hidden), "{hidden} is in {shown}");
    }
}
