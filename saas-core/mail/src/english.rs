//! The letters in English.

use chrono::{DateTime, Utc};
use saas_core::{DisplayName, Email, Role};

use crate::{
    Brand, Letter, Secured,
    content::{Action, Content, Fact, unlinked},
};

/// A moment as mails write it: nobody knows the reader's zone.
pub(crate) fn moment(at: DateTime<Utc>) -> String {
    at.format("%B %-d, %Y %H:%M UTC").to_string()
}

/// What a letter says.
pub(crate) fn content(brand: &Brand, letter: &Letter) -> Content {
    let words = Words { brand, product: brand.product.as_str() };
    let content = words.content(letter);
    let help = brand.support.as_ref().map(|address| format!("Questions? Write to {}.", address.shown()));
    Content { help, ..content }
}

struct Words<'a> {
    brand: &'a Brand,
    product: &'a str,
}

impl Words<'_> {
    #[expect(
        clippy::too_many_lines,
        reason = "one arm for each letter, so that all their words stand in one place"
    )]
    fn content(&self, letter: &Letter) -> Content {
        let product = self.product;
        match letter {
            Letter::Welcome { name, tenant } => Content {
                subject: format!("Welcome to {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("You have registered with {product}, and {} is ready.", unlinked(tenant.as_str()))],
                action: Some(self.action("Open it", "", None)),
                reason: format!("You get this mail because somebody registered with {product} with this address."),
                ..Content::default()
            },
            Letter::VerifyEmail { name, secured } => Content {
                subject: format!("Confirm your e-mail address for {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("Confirm that this address is yours, and {product} knows that its mails reach you.")],
                action: Some(self.action("Confirm the address", "/verify-email", Some(secured))),
                closing: vec![once(secured), "If this was not you, do nothing: the address stays unconfirmed.".to_owned()],
                reason: format!("You get this mail because somebody gave this address to {product}."),
                ..Content::default()
            },
            Letter::AlreadyRegistered { name } => Content {
                subject: format!("You are registered with {product} already"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![
                    format!("Somebody tried to use this address for another account with {product}. It has an account already, and nothing has changed."),
                    "If this was you, sign in instead; if you have forgotten your password, you can set a new one there.".to_owned(),
                ],
                action: Some(self.action("Sign in", "/login", None)),
                closing: vec!["If this was not you, you need do nothing: whoever it was has learned nothing.".to_owned()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::PasswordReset { name, secured } => Content {
                subject: format!("Set a new password for {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("Somebody, probably you, wants to set a new password for {product}.")],
                action: Some(self.action("Set a new password", "/reset-password", Some(secured))),
                closing: vec![once(secured), "If this was not you, do nothing: your password stays as it is.".to_owned()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::PasswordResetByAdmin { name, secured } => Content {
                subject: format!("You are asked to set a new password for {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("An administrator of {product} asks you to set a new password.")],
                action: Some(self.action("Set a new password", "/reset-password", Some(secured))),
                closing: vec![once(secured)],
                reason: self.account(),
                ..Content::default()
            },
            Letter::PasswordChanged { name, at } => Content {
                subject: format!("Your password for {product} was changed"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("The password of your account with {product} was changed, and your other sessions were ended.")],
                facts: vec![when(*at)],
                closing: vec![format!("If this was not you, set a new password at once: {}", self.brand.page("/forgot-password", None))],
                reason: self.account(),
                ..Content::default()
            },
            Letter::EmailChangeConfirm { name, secured } => Content {
                subject: format!("Confirm your new e-mail address for {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("This address is to become the one of your account with {product}. It does when you confirm it.")],
                action: Some(self.action("Confirm the new address", "/confirm-email-change", Some(secured))),
                closing: vec![once(secured), "If this was not you, do nothing: the account keeps its address.".to_owned()],
                reason: format!("You get this mail because somebody gave this address to {product}."),
                ..Content::default()
            },
            Letter::EmailChangeNotice { name, new_address, secured } => Content {
                subject: format!("The e-mail address of your account with {product} is being changed"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("Your account with {product} is to get another e-mail address in place of this one.")],
                facts: vec![Fact { name: "New address", value: masked(new_address) }],
                action: Some(self.action("Keep this address", "/undo-email-change", Some(secured))),
                closing: vec![
                    "If this was you, you need do nothing. If it was not, follow the link: it undoes the change and ends every session."
                        .to_owned(),
                    once(secured),
                ],
                reason: self.account(),
                ..Content::default()
            },
            Letter::UnlockAccount { name, secured } => Content {
                subject: format!("Signing in to {product} is locked"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("Too many wrong passwords were tried for your account with {product}, so signing in is locked. If it was you, you can unlock it.")],
                action: Some(self.action("Unlock signing in", "/unlock", Some(secured))),
                closing: vec![once(secured), "If it was not you, do nothing: nobody got in, and devices that you have signed in on before are not locked out.".to_owned()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::NewSignIn { name, at, device, place } => Content {
                subject: format!("New sign-in to {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![format!("Somebody signed in to your account with {product} from a device that was not seen before.")],
                facts: facts(*at, device.as_ref(), place.as_ref()),
                closing: vec![format!("If this was you, you need do nothing. If it was not, set a new password at once, which ends every session: {}", self.brand.page("/forgot-password", None))],
                reason: self.account(),
                ..Content::default()
            },
            Letter::SessionRevoked { name, at, device } => Content {
                subject: format!("A session of yours with {product} was ended"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec![
                    format!("A key that keeps you signed in to {product} was used a second time. That happens when somebody has copied it, so we ended the session: whoever holds the copy is out, and that device has to sign in again."),
                ],
                facts: facts(*at, device.as_ref(), None),
                closing: vec![format!("If you do not know the device, or this comes again, set a new password: {}", self.brand.page("/forgot-password", None))],
                reason: self.account(),
                ..Content::default()
            },
            Letter::FactorAdded { name, at, factor } => Content {
                subject: format!("A second factor was added to your account with {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec!["From now on signing in asks for it besides your password.".to_owned()],
                facts: vec![Fact { name: "Factor", value: unlinked(factor.as_str()) }, when(*at)],
                closing: vec![self.not_you()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::FactorRemoved { name, at, factor } => Content {
                subject: format!("A second factor was removed from your account with {product}"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec!["Signing in does not ask for it any more.".to_owned()],
                facts: vec![Fact { name: "Factor", value: unlinked(factor.as_str()) }, when(*at)],
                closing: vec![self.not_you()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::RecoveryCodeUsed { name, at, left } => Content {
                subject: format!("A recovery code of your account with {product} was used"),
                greeting: Some(greeting(name.as_ref())),
                paragraphs: vec!["It stood in for your second factor, and is good for nothing any more.".to_owned()],
                facts: vec![Fact { name: "Codes left", value: left.to_string() }, when(*at)],
                closing: vec![self.not_you()],
                reason: self.account(),
                ..Content::default()
            },
            Letter::Invitation { tenant, inviter, role, secured } => {
                let tenant = unlinked(tenant.as_str());
                let inviter = inviter.as_ref().map_or_else(|| "Somebody".to_owned(), |name| unlinked(name.as_str()));
                Content {
                    subject: format!("You are invited to {tenant} on {product}"),
                    paragraphs: vec![format!("{inviter} invites you to {tenant} on {product}, as {}.", role_in_words(*role))],
                    action: Some(self.action("Accept the invitation", "/accept-invitation", Some(secured))),
                    closing: vec![once(secured), "If you do not know who this is, do nothing.".to_owned()],
                    reason: format!("You get this mail because somebody invited this address to {product}."),
                    ..Content::default()
                }
            }
            Letter::Test => Content {
                subject: format!("A test mail of {product}"),
                paragraphs: vec![format!("Mails of {product} arrive here: whoever operates it has tried that out.")],
                reason: "You get this mail because an operator named this address.".to_owned(),
                ..Content::default()
            },
        }
    }

    fn action(&self, label: &'static str, path: &str, secured: Option<&Secured>) -> Action {
        let url = self.brand.page(path, secured.map(|secured| secured.token.expose().as_str()));
        Action { label, url, by_hand: "Or open this address:" }
    }

    fn account(&self) -> String {
        format!("You get this mail because you have an account with {}.", self.product)
    }

    fn not_you(&self) -> String {
        let page = self.brand.page("/forgot-password", None);
        format!("If this was not you, set a new password at once, which ends every session: {page}")
    }
}

fn greeting(name: Option<&DisplayName>) -> String {
    name.map_or_else(|| "Hello,".to_owned(), |name| format!("Hello {},", unlinked(name.as_str())))
}

fn once(secured: &Secured) -> String {
    format!("The link works once, until {}.", moment(secured.expires_at))
}

fn when(at: DateTime<Utc>) -> Fact {
    Fact { name: "When", value: moment(at) }
}

fn facts(at: DateTime<Utc>, device: Option<&String>, place: Option<&String>) -> Vec<Fact> {
    let more = [("Device", device), ("Address", place)];
    let more = more.into_iter().filter_map(|(name, value)| Some(Fact { name, value: unlinked(value?) }));
    std::iter::once(when(at)).chain(more).collect()
}

/// The first character and the domain: enough for whoever has the address.
fn masked(address: &Email) -> String {
    let (local, domain) = address.shown().rsplit_once('@').unwrap_or((address.shown(), ""));
    let first: String = local.chars().take(1).collect();
    format!("{first}\u{2026}@{domain}")
}

const fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a viewer",
        Role::Member => "a member",
        Role::Admin => "an admin",
        Role::Owner => "an owner",
    }
}
