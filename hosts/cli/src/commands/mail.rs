//! `saas mail`: what the product's mails look like, and whether they arrive.

use std::{fs, path::Path};

use chrono::{DateTime, Utc};
use saas_core::{DisplayName, Email, Mail, MailKey, Mailbox, entropy::SystemEntropy, jobs::JobId};
use saas_kit::{Blueprint, SystemClock};
use saas_mail::{Letter, eml};
use serde::Serialize;

use crate::{
    arguments::{Mail as Command, MailFormat, PreviewMail, TestMail},
    context::{Context, block_on, or_interrupted},
    failure::{Exit, Failure},
    output::{self, Output},
    text::{pairs, table},
};

pub(crate) fn run(context: &Context, command: &Command) -> Result<(), Failure> {
    match command {
        Command::Preview(arguments) => preview(context, arguments),
        Command::Test(arguments) => test(context, arguments),
    }
}

#[derive(Serialize)]
struct Listed {
    mails: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    subject: String,
}

#[derive(Serialize)]
struct Shown<'a> {
    name: &'static str,
    from: String,
    subject: &'a str,
    text: &'a str,
    html: &'a str,
}

fn preview(context: &Context, arguments: &PreviewMail) -> Result<(), Failure> {
    let (blueprint, out) = (context.blueprint()?, context.out());
    let Some(name) = arguments.name else { return list(&blueprint, out) };
    let mail = sample(&blueprint, name)?;
    if let Some(path) = &arguments.file {
        return write(path, &rendered(&mail, arguments.format)?);
    }
    if !out.is_json() {
        return output::text(&rendered(&mail, arguments.format)?);
    }
    let shown = Shown {
        name: mail.template,
        from: mailbox(&mail.from),
        subject: mail.subject.as_str(),
        text: &mail.text,
        html: &mail.html,
    };
    out.data(&shown, |_| String::new())
}

fn list(blueprint: &Blueprint, out: Output) -> Result<(), Failure> {
    let row = |name: &&str| {
        let mail = sample(blueprint, name)?;
        Ok(Row { name: mail.template, subject: mail.subject.to_string() })
    };
    let listed = Listed { mails: Letter::NAMES.iter().map(row).collect::<Result<_, Failure>>()? };
    out.data(&listed, |listed| {
        let row = |row: &Row| [row.name.to_owned(), row.subject.clone()];
        table(["NAME", "SUBJECT"], &listed.mails.iter().map(row).collect::<Vec<_>>())
    })
}

/// A mail with made-up content, to somebody made up.
fn sample(blueprint: &Blueprint, name: &str) -> Result<Mail, Failure> {
    let unknown = || Failure::new(Exit::Usage, "unknown_mail", "no mail has that name");
    let letter = Letter::sample(name).ok_or_else(unknown)?;
    let ada = "ada@example.com".to_owned();
    let to = Mailbox::new(Email::from_stored(ada.clone(), ada));
    mail(blueprint, &letter, to.named(DisplayName::parse("Ada Lovelace").ok()), NOBODYS)
}

/// A job's that never was, so that a preview is the same each time.
const NOBODYS: &str = "00000000-0000-0000-0000-000000000000";

fn mail(blueprint: &Blueprint, letter: &Letter, to: Mailbox, id: &str) -> Result<Mail, Failure> {
    let key =
        MailKey::parse(id).map_err(|error| Failure::caused(Exit::Failed, "mail_not_rendered", &error))?;
    let mail = blueprint.letters().mail(letter, to, key);
    mail.map_err(|error| Failure::caused(Exit::Failed, "mail_not_rendered", &error))
}

fn rendered(mail: &Mail, format: MailFormat) -> Result<String, Failure> {
    Ok(match format {
        MailFormat::Text => format!("Subject: {}\n\n{}", mail.subject, mail.text),
        MailFormat::Html => mail.html.clone(),
        MailFormat::Eml => {
            let file = eml(mail, DateTime::<Utc>::UNIX_EPOCH + SAMPLE_AGE);
            let file = file.map_err(|error| Failure::caused(Exit::Failed, "mail_not_rendered", &error))?;
            // Both bodies are encoded: a message is ASCII.
            String::from_utf8_lossy(&file).into_owned()
        }
    })
}

/// When the samples were written, in March 2026.
const SAMPLE_AGE: chrono::TimeDelta = chrono::TimeDelta::seconds(1_773_500_966);

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
        .map_err(|error| Failure::io(format!("{} cannot be written", path.display()), &error))?;
    output::say(&format!("written to {}", path.display()));
    Ok(())
}

fn mailbox(mailbox: &Mailbox) -> String {
    let address = mailbox.address.shown();
    mailbox.name.as_ref().map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>"))
}

#[derive(Serialize)]
struct Sent {
    sent: SentMail,
}

#[derive(Serialize)]
struct SentMail {
    id: String,
    transport: &'static str,
    from: String,
    to: String,
}

fn test(context: &Context, arguments: &TestMail) -> Result<(), Failure> {
    let blueprint = context.blueprint()?;
    let id = JobId::generate(&SystemClock::default(), &SystemEntropy).to_string();
    let mail = mail(&blueprint, &Letter::Test, Mailbox::new(arguments.to.clone()), &id)?;
    block_on(or_interrupted(async {
        // Within the runtime, as a server makes it.
        let mailer = blueprint.mailer();
        let mailer = mailer.map_err(|error| Failure::caused(Exit::Failed, "mailer_not_opened", &error))?;
        mailer.send(&mail).await.map_err(Failure::fault)
    }))?;
    let transport = blueprint.settings().mail_transport().as_str();
    let sent = SentMail { id, transport, from: mailbox(&mail.from), to: mailbox(&mail.to) };
    context.out().data(&Sent { sent }, |Sent { sent }| {
        pairs([("sent", sent.id.as_str()), ("by", sent.transport), ("from", &sent.from), ("to", &sent.to)])
    })?;
    if transport == "folder" {
        let folder = blueprint.settings().mail_folder.display().to_string();
        output::say(&format!("it is a file in {folder}: with MAIL_TRANSPORT=folder mails reach nobody"));
    }
    Ok(())
}
