//! Secrets, the forms that they may be written in, and the search for them.

use std::collections::BTreeSet;

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD},
};
use serde_json::Value;

/// What must not be found, by what it is.
#[derive(Debug, Default)]
pub(super) struct Secrets(BTreeSet<(String, String)>);

impl Secrets {
    pub(super) fn add(&mut self, what: &str, secret: &str) {
        assert!(secret.len() >= 9, "{what} is so short that it is found by chance");
        self.0.insert((what.to_owned(), secret.to_owned()));
    }

    /// An address, however its letters are written.
    pub(super) fn address(&mut self, address: &str) {
        for written in [address.to_owned(), address.to_lowercase(), address.to_uppercase()] {
            self.add("an address", &written);
        }
    }

    /// The tokens of a session, whole and in the parts that are worth something.
    pub(super) fn tokens(&mut self, session: &Value) {
        let text = |member: &str| session[member].as_str().unwrap_or_default().to_owned();
        let (access, refresh) = (text("access_token"), text("refresh_token"));
        for part in access.split('.').skip(1) {
            self.add("a part of an access token", part);
        }
        self.add("an access token", &access);
        self.add("a refresh token", &refresh);
        if let Some(device) = session["device_token"].as_str() {
            self.add("a device token", device);
        }
        self.add("the end of a refresh token", &refresh[refresh.len() - 20..]);
    }

    /// What each would look like: what it is, the form's name, the text.
    pub(super) fn in_every_form(&self) -> Vec<(&str, &'static str, String)> {
        let all = self.0.iter();
        all.flat_map(|(what, secret)| {
            forms(secret).into_iter().map(|(form, text)| (what.as_str(), form, text))
        })
        .collect()
    }
}

/// How a secret may stand in a log.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let escaped = serde_json::to_string(secret).unwrap_or_default();
    let escaped_twice = serde_json::to_string(&escaped).unwrap_or_default();
    let mut forms = vec![
        ("plain", secret.to_owned()),
        ("as JSON", escaped.trim_matches('"').to_owned()),
        ("as JSON in JSON", escaped_twice.trim_matches(['"', '\\']).to_owned()),
        ("as Rust shows it", format!("{secret:?}").trim_matches('"').to_owned()),
        ("percent-encoded", percent(secret, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))),
        (
            "percent-encoded where a path needs it",
            percent(secret, |byte| byte.is_ascii_graphic() && byte != b'%'),
        ),
        (
            "as a form",
            percent(secret, |byte| byte.is_ascii_alphanumeric() || b"-._~ ".contains(&byte))
                .replace(' ', "+"),
        ),
        ("as bytes", secret.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ")),
        ("in hex", saas_core::text::hex(secret.as_bytes())),
    ];
    // Wherever it begins in what was encoded: at each of the three places, without the digits that its neighbours have a part in.
    for offset in 0..3_usize {
        let padded = [&vec![0; offset][..], secret.as_bytes()].concat();
        let whole = padded.len() / 3 * 3;
        let first = (offset * 8).div_ceil(6);
        forms.push(("in base64", STANDARD_NO_PAD.encode(&padded[..whole])[first..].to_owned()));
        forms.push(("in base64 for URLs", URL_SAFE_NO_PAD.encode(&padded[..whole])[first..].to_owned()));
    }
    forms
}

fn percent(secret: &str, as_it_is: impl Fn(u8) -> bool) -> String {
    let one = |byte: u8| if as_it_is(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    secret.bytes().map(one).collect()
}

/// Each secret that is in the log, by what it is and how it was written, with the line's beginning.
pub(super) fn leaks(log: &str, secrets: &Secrets) -> Vec<String> {
    let mut found = Vec::new();
    let lower = log.to_ascii_lowercase();
    for (what, form, text) in secrets.in_every_form() {
        // %2b is %2B.
        let at = log.find(&text).or_else(|| {
            form.starts_with("percent").then(|| lower.find(&text.to_ascii_lowercase())).flatten()
        });
        if let Some(at) = at {
            let line = log[..at].rfind('\n').map_or(0, |at| at + 1);
            let end = log[line..].find('\n').map_or(log.len(), |end| line + end);
            found.push(format!("{what}, {form}, in: {}", &log[line..end]));
        }
    }
    found
}
