//! What every mail says, as text and as HTML.

use chrono::{TimeZone, Utc};
use saas_core::{DisplayName, Mail, MailKey, Mailbox, Secret, TenantName};
use saas_mail::{Brand, Letter, Letters, Secured, eml};

pub(crate) fn letters() -> Letters {
    let from = Mailbox::parse("Acme <post@acme.example>").unwrap();
    let support = saas_core::Email::parse("help@acme.example").unwrap();
    Letters::new(Brand::new("Acme", "https://app.acme.example/", from).unwrap().with_support(Some(support)))
}

fn mail(letter: &Letter) -> Mail {
    let to = Mailbox::parse("Ada Lovelace <ada@example.com>").unwrap();
    letters().mail(letter, to, MailKey::parse("0198f3a2").unwrap()).unwrap()
}

#[test]
fn every_mail_in_text_and_html() {
    for name in Letter::NAMES {
        let mail = mail(&Letter::sample(name).unwrap());
        insta::assert_snapshot!(format!("{name}.txt"), format!("Subject: {}\n\n{}", mail.subject, mail.text));
        insta::assert_snapshot!(format!("{name}.html"), mail.html);
    }
}

#[test]
fn a_mail_as_a_file() {
    let mail = mail(&Letter::sample("verify_email").unwrap());
    let at = Utc.with_ymd_and_hms(2026, 3, 14, 15, 9, 26).unwrap();
    let file = String::from_utf8(eml(&mail, at).unwrap()).unwrap();
    assert!(file.is_ascii());
    insta::assert_snapshot!(file.replace("\r\n", "\n"));
}

/// Names that want to be more than names.
const HOSTILE: [&str; 5] = [
    "<script>alert(1)</script>",
    "</title><img src=x onerror=alert(1)>",
    "\" onmouseover=\"alert(1)",
    "{{ 7 * 7 }} {% include 'x' %}",
    "https://evil.example/?a=b",
];

fn secured(token: &str) -> Secured {
    Secured { token: Secret::new(token.to_owned()), expires_at: Utc.timestamp_opt(1_800_000_000, 0).unwrap() }
}

#[test]
fn nothing_that_somebody_typed_is_markup_or_a_link() {
    for hostile in HOSTILE {
        let name = Some(DisplayName::parse(hostile).unwrap());
        let tenant = TenantName::parse(hostile).unwrap();
        let at = Utc.timestamp_opt(1_800_000_000, 0).unwrap();
        let letters = [
            Letter::Welcome { name: name.clone(), tenant: tenant.clone() },
            Letter::Invitation {
                tenant,
                inviter: name.clone(),
                role: saas_core::Role::Admin,
                secured: secured("t"),
            },
            Letter::NewSignIn {
                name: name.clone(),
                at,
                device: Some(hostile.to_owned()),
                place: Some(hostile.to_owned()),
            },
            Letter::FactorAdded { name, at, factor: DisplayName::parse(hostile).unwrap() },
        ];
        for letter in letters {
            let mail = mail(&letter);
            for raw in ["<script", "<img", "onmouseover=\"", "https://evil.example", "evil.example"] {
                assert!(
                    !mail.html.contains(raw),
                    "{raw} of {hostile} in the {}: {}",
                    letter.name(),
                    mail.html
                );
            }
            assert!(!mail.text.contains("evil.example"), "{}", mail.text);
            assert!(!mail.subject.as_str().contains("evil.example"), "{}", mail.subject);
        }
    }
}

#[test]
fn a_token_is_in_the_link_alone_and_percent_encoded() {
    let token = "a b&c=d#e\"<f>\r\n+/é";
    let mail = mail(&Letter::PasswordReset { name: None, secured: secured(token) });
    let link = "https://app.acme.example/reset-password?token=a%20b%26c%3Dd%23e%22%3Cf%3E%0D%0A%2B%2F%C3%A9";
    assert_eq!(mail.text.matches("token=").count(), 1);
    assert!(mail.text.contains(&format!("\n{link}\n")), "{}", mail.text);
    assert!(mail.html.contains(&format!("href=\"{link}\"")), "{}", mail.html);
    assert!(!mail.html.contains("a b&amp;c") && !mail.text.contains("a b&c"));
    assert!(
        !format!("{:?}", Letter::PasswordReset { name: None, secured: secured("the-token") })
            .contains("the-token")
    );
}

#[test]
fn nothing_in_a_mail_is_loaded_from_elsewhere() {
    for name in Letter::NAMES {
        let html = mail(&Letter::sample(name).unwrap()).html;
        for loading in ["src=", "url(", "<img", "<link", "<script", "@import", "background="] {
            assert!(!html.contains(loading), "{name} has {loading}");
        }
        let links = html.matches("href=\"").count();
        assert_eq!(links, html.matches("href=\"https://app.acme.example").count(), "{name}");
    }
}

#[test]
fn a_subject_that_gets_too_long_is_cut() {
    let (tenant, name) = (TenantName::parse(&"T".repeat(128)).unwrap(), "P".repeat(128));
    let brand =
        Brand::new(&name, "https://app.example.com", Mailbox::parse("a@example.com").unwrap()).unwrap();
    let letter =
        Letter::Invitation { tenant, inviter: None, role: saas_core::Role::Viewer, secured: secured("t") };
    let mail = Letters::new(brand).mail(
        &letter,
        Mailbox::parse("b@example.com").unwrap(),
        MailKey::parse("k").unwrap(),
    );
    assert_eq!(mail.unwrap().subject.as_str().chars().count(), 250);
}
