//! What goes to Resend and what comes back ("API Reference", "Send Email").

use std::collections::BTreeMap;

use lettre::message::Mailbox as MessageMailbox;
use saas_core::{Mail, MailError, Mailbox, Refusal};
use serde::{Deserialize, Serialize};

use crate::mime::address;

#[derive(Serialize)]
struct Email<'a> {
    from: String,
    to: [String; 1],
    subject: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<String>,
    #[serde(flatten)]
    says: Says<'a>,
    /// "Managing Tags".
    tags: [Tag; 1],
    headers: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Says<'a> {
    Rendered { html: &'a str, text: &'a str },
    Hosted { template: Template<'a> },
}

#[derive(Serialize)]
struct Template<'a> {
    id: &'a str,
    variables: BTreeMap<&'static str, &'a str>,
}

#[derive(Serialize)]
struct Tag {
    name: &'static str,
    value: &'static str,
}

/// The longest value of a variable ("Templates", "Template variables").
const VARIABLE_MAX: usize = 2_000;

/// The request's body: with our text and HTML, or with a template of Resend's and its variables.
pub(super) fn body(mail: &Mail, template: Option<&str>) -> Result<Vec<u8>, MailError> {
    let says = match template {
        None => Says::Rendered { html: &mail.html, text: &mail.text },
        Some(id) => {
            let variables = mail
                .variables
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect::<BTreeMap<_, _>>();
            if variables.values().any(|value| value.chars().count() > VARIABLE_MAX) {
                return Err(MailError::refused(Refusal::Content, "variable_too_long"));
            }
            Says::Hosted { template: Template { id, variables } }
        }
    };
    let email = Email {
        from: shown(&mail.from)?,
        to: [shown(&mail.to)?],
        subject: mail.subject.as_str(),
        reply_to: mail.reply_to.as_ref().map(shown).transpose()?,
        says,
        tags: [Tag { name: "category", value: mail.template }],
        headers: BTreeMap::from([("Auto-Submitted", "auto-generated")]),
    };
    serde_json::to_vec(&email).map_err(|_| MailError::refused(Refusal::Content, "unmailable"))
}

/// `"Lovelace, Ada" <ada@example.com>`.
fn shown(mailbox: &Mailbox) -> Result<String, MailError> {
    let name = mailbox.name.as_ref().map(|name| name.as_str().to_owned());
    Ok(MessageMailbox::new(name, address(mailbox)?).to_string())
}

/// The id of a mail that was taken.
pub(super) fn id(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Taken {
        id: String,
    }
    serde_json::from_slice(answer).ok().map(|Taken { id }| id).filter(|id| !id.is_empty())
}

/// What an error says ("API Reference", "Errors").
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Explanation {
    pub(super) name: String,
    pub(super) message: String,
}

/// The explanation, as far as there is one.
pub(super) fn explanation(answer: &[u8]) -> Explanation {
    serde_json::from_slice(answer).unwrap_or_default()
}
