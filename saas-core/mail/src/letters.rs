//! Putting a letter into words and into shape.

use std::fmt::Write;

use askama::Template;
use saas_core::{
    DisplayName, Email, InternalError, InvalidText, Mail, MailBodies, MailKey, MailSubject, Mailbox,
    text::clip,
};

use crate::{Letter, content::Content, english};

/// The language of a mail. There is one; another one is another module beside `english`, and an arm in [`Letters::mail_in`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Locale {
    /// English.
    #[default]
    English,
}

impl Locale {
    /// Its tag (BCP 47).
    pub const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
        }
    }
}

/// Whose mails they are.
#[derive(Debug, Clone)]
pub struct Brand {
    pub(crate) product: DisplayName,
    pub(crate) public_url: String,
    pub(crate) support: Option<Email>,
    from: Mailbox,
}

impl Brand {
    /// A product's name, the address at which people open it, and whom its mails are from.
    pub fn new(product: &str, public_url: &str, from: Mailbox) -> Result<Self, InvalidText> {
        let public_url = public_url.trim_end_matches('/').to_owned();
        Ok(Self { product: DisplayName::parse(product)?, public_url, support: None, from })
    }

    /// With an address for questions: mails name it, and answers go to it.
    #[must_use]
    pub fn with_support(self, support: Option<Email>) -> Self {
        Self { support, ..self }
    }

    /// A page of the product. What is not plain in a token is percent-encoded.
    pub(crate) fn page(&self, path: &str, token: Option<&str>) -> String {
        let mut url = format!("{}{path}", self.public_url);
        if let Some(token) = token {
            url.push_str("?token=");
            for byte in token.bytes() {
                if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
                    url.push(char::from(byte));
                } else {
                    // Writing to a text cannot fail.
                    let _ = write!(url, "%{byte:02X}");
                }
            }
        }
        url
    }
}

/// A letter that did not become a mail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenderError {
    /// Its subject is none.
    #[error("the subject of the mail is {0}")]
    Subject(#[from] InvalidText),
    /// The template failed.
    #[error("the template of the mail failed")]
    Template(#[source] InternalError),
}

/// Makes mails of letters. Cloning shares nothing and costs little.
#[derive(Debug, Clone)]
pub struct Letters {
    brand: Brand,
}

#[derive(Template)]
#[template(path = "letter.html")]
struct Html<'a> {
    language: &'static str,
    product: &'a str,
    content: &'a Content,
}

#[derive(Template)]
#[template(path = "letter.txt", escape = "none")]
struct Text<'a> {
    product: &'a str,
    content: &'a Content,
}

impl Letters {
    /// Letters of that product.
    pub const fn new(brand: Brand) -> Self {
        Self { brand }
    }

    /// A mail to somebody, in English.
    pub fn mail(&self, letter: &Letter, to: Mailbox, key: MailKey) -> Result<Mail, RenderError> {
        self.mail_in(Locale::English, letter, to, key)
    }

    /// A mail to somebody in their language.
    pub fn mail_in(
        &self,
        locale: Locale,
        letter: &Letter,
        to: Mailbox,
        key: MailKey,
    ) -> Result<Mail, RenderError> {
        let content = match locale {
            Locale::English => english::content(&self.brand, letter),
        };
        // Names are short, but two of them and a sentence may be too much.
        let subject = MailSubject::parse(&clip(&content.subject, 250))?;
        let product = self.brand.product.as_str();
        let failed = |error: askama::Error| RenderError::Template(InternalError::new(error));
        let html = Html { language: locale.tag(), product, content: &content }.render().map_err(failed)?;
        let text = Text { product, content: &content }.render().map_err(failed)?;
        let bodies = MailBodies { text: text + "\n", html: html + "\n" };
        let reply_to = self.brand.support.clone().map(Mailbox::new);
        let mail = Mail::new(key, letter.name(), self.brand.from.clone(), to, subject, bodies);
        Ok(mail.reply_to(reply_to).variables(self.variables(letter, &content)))
    }

    /// What a template of a service's own may say: `app_name`, and of what can be followed `link`, `token` and `expires_at`.
    fn variables(&self, letter: &Letter, content: &Content) -> Vec<(&'static str, String)> {
        let mut variables = vec![("app_name", self.brand.product.as_str().to_owned())];
        if let Some(action) = &content.action {
            variables.push(("link", action.url.clone()));
        }
        if let Some(secured) = letter.secured() {
            variables.push(("token", secured.token.expose().clone()));
            variables.push(("expires_at", english::moment(secured.expires_at)));
        }
        variables
    }
}
