//! `saas mail`.

use crate::harness::{Place, snapshots};

#[test]
fn mails_are_listed_and_shown_in_every_format() {
    let place = Place::empty();
    let set = [
        ("APP_NAME", "Acme"),
        ("APP_PUBLIC_URL", "https://app.acme.example"),
        ("MAIL_FROM", "post@acme.example"),
    ];
    let shown = |arguments: &[&str]| {
        let done = place.run_with(arguments, &set);
        assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done}");
        done.stdout
    };
    insta::assert_snapshot!("mails", shown(&["mail", "preview"]));
    insta::assert_snapshot!("mail_text", shown(&["mail", "preview", "password_reset"]));
    let html = shown(&["mail", "preview", "password_reset", "--format", "html"]);
    assert!(html.starts_with("<!doctype html>") && html.contains("Acme"), "{html}");
    let eml = shown(&["mail", "preview", "password_reset", "--format", "eml"]);
    assert!(
        eml.starts_with("From: Acme <post@acme.example>\r\n") && eml.contains("\r\nDate: Sat, 14 Mar 2026"),
        "{eml}"
    );
    let json = place.run_with(&["mail", "preview", "password_reset", "--output", "json"], &set).json();
    assert_eq!((json["name"].as_str(), json["html"].as_str()), (Some("password_reset"), Some(html.as_str())));
    assert_eq!(json["from"], "Acme <post@acme.example>");
    let written = place
        .run_with(&["mail", "preview", "password_reset", "--format", "html", "--file", "reset.html"], &set);
    assert_eq!(
        (written.code, written.stdout.as_str(), written.stderr.as_str()),
        (0, "", "written to reset.html\n")
    );
    assert_eq!(std::fs::read_to_string(place.path().join("reset.html")).unwrap(), html);
    assert!(!place.path().join("var").exists(), "looking at mails opens nothing");
}

#[test]
fn a_test_mail_goes_as_the_settings_say() {
    let place = Place::empty();
    let done = place.run(&["mail", "test", "--to", "ada@example.com"]);
    assert_eq!(done.code, 0, "{done}");
    snapshots().bind(|| insta::assert_snapshot!("mail_sent", format!("{}{}", done.stdout, done.stderr)));
    let mails: Vec<_> = std::fs::read_dir(place.path().join("var/mail")).unwrap().collect();
    assert_eq!(mails.len(), 1);
    assert!(!place.path().join("var/saas.db").exists(), "the database is not needed");
}

#[cfg(feature = "smtp")]
#[test]
fn a_mail_server_that_is_away_exits_5() {
    let set = [
        ("SMTP_HOST", "127.0.0.1"),
        ("SMTP_PORT", "1"),
        ("SMTP_TLS", "none"),
        ("MAIL_FROM", "post@acme.example"),
    ];
    let done =
        Place::empty().run_with(&["mail", "test", "--to", "ada@example.com", "--output", "json"], &set);
    assert_eq!((done.code, done.stdout.as_str()), (5, ""), "{done}");
    assert_eq!(done.error()["code"], "mail_unavailable", "{done}");
    assert!(!done.stderr.contains("ada@example.com"), "{done}");
}

#[cfg(feature = "resend")]
#[test]
fn a_resend_that_is_away_exits_5() {
    let set = [
        ("RESEND_API_KEY", "re_hunter2"),
        ("RESEND_BASE_URL", "http://127.0.0.1:1"),
        ("MAIL_FROM", "post@acme.example"),
    ];
    let done = Place::empty().run_with(&["mail", "test", "--to", "ada@example.com"], &set);
    assert_eq!(done.code, 5, "{done}");
    assert!(!format!("{done}").contains("hunter2"), "{done}");
}
