//! [`FolderMailer`], its files read by Python's own parser.

use std::{fs, path::PathBuf, process::Stdio, sync::Arc};

use async_trait::async_trait;
use saas_core::{
    MailError, MailKey, Mailbox, Mailer,
    clock::ManualClock,
    conformance::mailer::{Inbox, MailerSubject, ReceivedMail},
};
use saas_mail::{FolderMailer, Letter};
use serde::Deserialize;
use tempfile::TempDir;
use tokio::process::Command;

use crate::{letters::letters, system::python};

#[derive(Debug)]
struct Folder(PathBuf);

#[derive(Deserialize)]
struct Read {
    identity: String,
    from: (Option<String>, String),
    to_name: Option<String>,
    recipients: Vec<String>,
    subject: String,
    text: String,
    html: String,
}

#[async_trait]
impl Inbox for Folder {
    async fn received(&self) -> Vec<ReceivedMail> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/read_folder.py");
        let output =
            Command::new(python()).arg(script).arg(&self.0).stderr(Stdio::inherit()).output().await.unwrap();
        assert!(output.status.success());
        let read: Vec<Read> = serde_json::from_slice(&output.stdout).unwrap();
        let received = read.into_iter().map(|mail| ReceivedMail {
            identity: mail.identity,
            from: mail.from,
            to_name: mail.to_name,
            recipients: mail.recipients,
            subject: mail.subject,
            text: mail.text,
            html: mail.html,
        });
        received.collect()
    }
}

fn folder_mailer(folder: &TempDir) -> FolderMailer {
    FolderMailer::new(folder.path().join("deep/mail"), Arc::new(ManualClock::default()))
}

async fn subject() -> MailerSubject {
    let folder = TempDir::new().unwrap();
    let mailer = folder_mailer(&folder);
    let inbox = Folder(mailer.folder().to_owned());
    MailerSubject::new(Arc::new(mailer), Arc::new(inbox), folder)
}

saas_core::mailer_conformance!(subject);

#[tokio::test]
async fn files_are_their_owners_alone_and_named_after_the_mail() {
    let folder = TempDir::new().unwrap();
    let mailer = folder_mailer(&folder);
    let to = Mailbox::parse("ada@example.com").unwrap();
    let mail = letters().mail(&Letter::Test, to, MailKey::parse("key-1").unwrap()).unwrap();
    mailer.send(&mail).await.unwrap();
    let names: Vec<_> =
        fs::read_dir(mailer.folder()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["key-1.test.eml"], "nothing is left beside it");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(mailer.folder().join("key-1.test.eml")), 0o600);
        assert_eq!(mode(mailer.folder().to_owned()), 0o700);
        assert_eq!(mode(folder.path().join("deep")), 0o700);
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_to_is_unavailable() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("deep"), "a file where the folder should be").unwrap();
    let to = Mailbox::parse("ada@example.com").unwrap();
    let mail = letters().mail(&Letter::Test, to, MailKey::parse("key-1").unwrap()).unwrap();
    let sent = folder_mailer(&folder).send(&mail).await;
    assert!(matches!(sent, Err(MailError::Unavailable(_))), "{sent:?}");
}
