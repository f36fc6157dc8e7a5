//! [`MemoryMailer`].

use std::sync::Arc;

use async_trait::async_trait;
use saas_core::{
    Mailbox,
    conformance::mailer::{Inbox, MailerSubject, ReceivedMail},
};
use saas_mail::MemoryMailer;

#[derive(Debug)]
struct Kept(Arc<MemoryMailer>);

fn named(mailbox: &Mailbox) -> (Option<String>, String) {
    (mailbox.name.as_ref().map(|name| name.as_str().to_owned()), mailbox.address.shown().to_owned())
}

#[async_trait]
impl Inbox for Kept {
    async fn received(&self) -> Vec<ReceivedMail> {
        let received = self.0.mails().into_iter().map(|mail| ReceivedMail {
            identity: mail.key.as_str().to_owned(),
            from: named(&mail.from),
            to_name: named(&mail.to).0,
            recipients: vec![named(&mail.to).1],
            subject: mail.subject.as_str().to_owned(),
            text: mail.text,
            html: mail.html,
        });
        received.collect()
    }
}

async fn subject() -> MailerSubject {
    let mailer = Arc::new(MemoryMailer::default());
    MailerSubject::new(Arc::<MemoryMailer>::clone(&mailer), Arc::new(Kept(mailer)), ())
}

saas_core::mailer_conformance!(subject);
