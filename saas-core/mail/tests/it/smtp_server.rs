//! `smtp_server.py`, run by the interpreter that scripts/with-services installs for the tests.

use std::process::Stdio;

use async_trait::async_trait;
use rustls::{RootCertStore, pki_types::CertificateDer};
use saas_core::conformance::{
    mail_service::{MailService, Manner},
    mailer::{Inbox, ReceivedMail},
};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::Mutex,
};

use crate::system::python;

pub(crate) const USER: &str = "the-user";
pub(crate) const PASSWORD: &str = "the-password";

#[derive(Debug)]
pub(crate) struct SmtpServer {
    pub(crate) port: u16,
    root: Vec<u8>,
    pipe: Mutex<Pipe>,
    _child: Child,
}

#[derive(Debug)]
struct Pipe {
    commands: ChildStdin,
    answers: Lines<BufReader<ChildStdout>>,
}

#[derive(Deserialize)]
struct Started {
    port: u16,
    root: String,
}

/// A mail as Python's parser reads it.
#[derive(Debug, Deserialize)]
pub(crate) struct Received {
    identity: String,
    from_name: Option<String>,
    from: String,
    to_name: Option<String>,
    recipients: Vec<String>,
    subject: String,
    text: String,
    html: String,
    pub(crate) head: Vec<String>,
    pub(crate) encrypted: bool,
    pub(crate) login: Option<String>,
}

impl SmtpServer {
    /// With `none`, `starttls` or `implicit` TLS.
    pub(crate) async fn start(tls: &str) -> Self {
        let mut child = Command::new(python())
            .args([concat!(env!("CARGO_MANIFEST_DIR"), "/tests/smtp_server.py"), tls])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let commands = child.stdin.take().unwrap();
        let mut answers = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = answers.next_line().await.unwrap().expect("the server starts");
        let Started { port, root } = serde_json::from_str(&line).unwrap();
        let root = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, root).unwrap();
        Self { port, root, pipe: Mutex::new(Pipe { commands, answers }), _child: child }
    }

    /// TLS that trusts this server and nobody else.
    pub(crate) fn trusted(&self) -> rustls::ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(self.root.clone())).unwrap();
        trusting(roots)
    }

    async fn ask<T: DeserializeOwned>(&self, command: &str) -> T {
        let mut pipe = self.pipe.lock().await;
        pipe.commands.write_all(format!("{command}\n").as_bytes()).await.unwrap();
        let answer = pipe.answers.next_line().await.unwrap().expect("the server answers");
        serde_json::from_str(&answer).unwrap()
    }

    pub(crate) async fn mails(&self) -> Vec<Received> {
        self.ask("received").await
    }

    /// How many have been made.
    pub(crate) async fn connections(&self) -> usize {
        self.ask("connections").await
    }
}

/// TLS with those roots, and nothing of the process's.
pub(crate) fn trusting(roots: RootCertStore) -> rustls::ClientConfig {
    rustls::ClientConfig::builder_with_provider(rustls::crypto::ring::default_provider().into())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[async_trait]
impl Inbox for SmtpServer {
    async fn received(&self) -> Vec<ReceivedMail> {
        let mails = self.mails().await.into_iter().map(|mail| ReceivedMail {
            identity: mail.identity,
            from: (mail.from_name, mail.from),
            to_name: mail.to_name,
            recipients: mail.recipients,
            subject: mail.subject,
            text: mail.text,
            html: mail.html,
        });
        mails.collect()
    }
}

#[async_trait]
impl MailService for SmtpServer {
    async fn behave(&self, manner: Manner) {
        let word = match manner {
            Manner::TakesMails => "takes_mails",
            Manner::RefusesTheRecipient => "refuses_the_recipient",
            Manner::RefusesTheMail => "refuses_the_mail",
            Manner::RefusesUs => "refuses_us",
            Manner::Later(_) => "later",
            Manner::BreaksOff => "breaks_off",
            Manner::Away => "away",
        };
        self.ask::<Option<()>>(word).await;
    }

    fn tells_waits(&self) -> bool {
        false
    }
}
