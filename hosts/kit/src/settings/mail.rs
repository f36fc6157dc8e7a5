//! What the settings of mails demand of each other.

use std::net::IpAddr;

use saas_core::{DisplayName, Email, Mailbox, Secret};

use super::catalogue::Draft;
use super::load::Loader;
use super::root_key::is_placeholder;
use super::{MailTransport, Setting, SettingValue, Settings, SmtpEncryption};

impl SettingValue for Email {
    const KIND: &'static str = "e-mail address";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| "is not an e-mail address".to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.shown().to_owned())
    }
}

impl SettingValue for Mailbox {
    const KIND: &'static str = "e-mail address, with or without a name";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text).map_err(|_| "is not an e-mail address, nor a name with one".to_owned())
    }

    fn shown(&self) -> Option<String> {
        let address = self.address.shown();
        Some(self.name.as_ref().map_or_else(|| address.to_owned(), |name| format!("{name} <{address}>")))
    }
}

/// Whom mails are from that reach nobody (RFC 2606).
const NOBODY: &str = "no-reply@saas.example";

impl Settings {
    /// How mails leave, the answer to the field of that name: as set, else by what there is.
    pub fn mail_transport(&self) -> MailTransport {
        chosen(self.mail_transport, self.resend_api_key.is_some(), self.smtp_host.is_some())
    }

    /// Whom mails are from, the answer to the field of that name.
    pub fn mail_from(&self) -> Mailbox {
        let set = self.mail_from.clone().or_else(|| self.resend_default_from.clone());
        let from =
            set.unwrap_or_else(|| Mailbox::new(Email::from_stored(NOBODY.to_owned(), NOBODY.to_owned())));
        let name = from.name.clone().or_else(|| DisplayName::parse(&self.app_name).ok());
        from.named(name)
    }
}

fn chosen(set: Option<MailTransport>, resend: bool, smtp: bool) -> MailTransport {
    match set {
        Some(transport) => transport,
        None if resend => MailTransport::Resend,
        None if smtp => MailTransport::Smtp,
        None => MailTransport::Folder,
    }
}

/// What the draft says, where it can be told.
struct Told<'a> {
    set: Option<MailTransport>,
    transport: MailTransport,
    api_key: Option<&'a Secret<String>>,
    host: Option<&'a str>,
    password: Option<&'a Secret<String>>,
    encrypted: bool,
}

impl<'a> Told<'a> {
    fn of(draft: &'a Draft) -> Option<Self> {
        let (set, api_key) = (draft.mail_transport?, draft.resend_api_key.as_ref()?.as_ref());
        let (host, password) = (draft.smtp_host.as_ref()?.as_deref(), draft.smtp_password.as_ref()?.as_ref());
        Some(Self {
            set,
            transport: chosen(set, api_key.is_some(), host.is_some()),
            api_key,
            host,
            password,
            encrypted: draft.smtp_tls? != SmtpEncryption::None,
        })
    }

    /// Whether what goes to the SMTP server can be read on the way.
    fn is_exposed(&self) -> bool {
        !self.encrypted && !self.host.is_some_and(is_loopback)
    }
}

/// What holds everywhere: what was chosen is complete, and no password goes where others can read it.
pub(super) fn check(draft: &Draft, loader: &mut Loader<'_>) {
    let Some(told) = Told::of(draft) else { return };
    if told.set.is_none() && told.api_key.is_some() && told.host.is_some() {
        loader.problem(
            "MAIL_TRANSPORT",
            "is not set, and both RESEND_API_KEY and SMTP_HOST are",
            "set it to resend or smtp, or unset one of them",
        );
    }
    match told.transport {
        MailTransport::Folder => return,
        MailTransport::Smtp if told.host.is_none() => missing("SMTP_HOST", loader),
        MailTransport::Resend if told.api_key.is_none() => missing("RESEND_API_KEY", loader),
        MailTransport::Smtp | MailTransport::Resend => {}
    }
    let from = [&draft.mail_from, &draft.resend_default_from];
    if from.into_iter().all(|from| matches!(from, Some(None))) {
        missing("MAIL_FROM", loader);
    }
    if told.transport == MailTransport::Smtp {
        credentials(draft, &told, loader);
    }
}

fn missing(name: &str, loader: &mut Loader<'_>) {
    loader.problem(
        name,
        "is not set, and mails need it",
        Setting::named(name).map_or("", |setting| setting.fix),
    );
}

fn credentials(draft: &Draft, told: &Told<'_>, loader: &mut Loader<'_>) {
    let Some(user) = &draft.smtp_username else { return };
    if user.is_some() != told.password.is_some() {
        let name = if user.is_some() { "SMTP_PASSWORD" } else { "SMTP_USERNAME" };
        loader.problem(name, "is not set, and the other one of the two is", "set both, or neither");
    }
    if told.password.is_some() && told.is_exposed() {
        loader.problem(
            "SMTP_TLS",
            "is none, so that SMTP_PASSWORD would go to another machine for everybody to read",
            "use starttls or implicit",
        );
    }
}

/// What a hardened environment demands beyond that: mails that reach somebody, and that nobody reads on the way.
pub(super) fn check_hardened(draft: &Draft, loader: &mut Loader<'_>) {
    let Some(told) = Told::of(draft) else { return };
    let placeholder = |secret: Option<&Secret<String>>| {
        // Real keys are long and random: one may hold any word.
        secret.is_some_and(|secret| secret.expose().len() < 32 && is_placeholder(secret.expose().as_bytes()))
    };
    match told.transport {
        MailTransport::Folder if told.set.is_none() => {
            let fix = Setting::named("MAIL_TRANSPORT").map_or("", |setting| setting.fix);
            loader.problem("MAIL_TRANSPORT", "is not set, and mails would stay in a folder", fix);
        }
        MailTransport::Folder => {}
        MailTransport::Smtp => {
            if told.is_exposed() && told.password.is_none() {
                let what = "is none, so that everybody on the way to SMTP_HOST could read the mails";
                loader.problem("SMTP_TLS", what, "use starttls or implicit");
            }
            if placeholder(told.password) {
                loader.problem("SMTP_PASSWORD", "is a placeholder", "set the password of SMTP_USERNAME");
            }
        }
        MailTransport::Resend => {
            if draft.resend_base_url.as_ref().is_some_and(|url| !url.is_https()) {
                let fix = "set the address of the API, https://api.resend.com, or unset it";
                loader.problem("RESEND_BASE_URL", "does not begin with https://", fix);
            }
            if placeholder(told.api_key) {
                loader.problem(
                    "RESEND_API_KEY",
                    "is a placeholder",
                    "set a key of your Resend team that may send",
                );
            }
        }
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.eq_ignore_ascii_case("localhost") || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}
