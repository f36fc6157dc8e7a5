//! The catalogue as a page.

use std::fmt::Write;

use super::{Preset, Section, Setting, Settings};

/// Every setting in Markdown: a table for each section, in the order of the catalogue.
pub fn inventory() -> String {
    let mut page = String::new();
    let mut current: Option<Section> = None;
    for setting in Settings::CATALOGUE {
        if current != Some(setting.section) {
            let gap = if current.is_some() { "\n" } else { "" };
            let title = setting.section.title();
            // Writing to a `String` cannot fail.
            let _ = write!(
                page,
                "{gap}## {title}\n\n| Setting | What it does | Accepts | Default | In staging and production |\n|---|---|---|---|---|\n"
            );
            current = Some(setting.section);
        }
        page.push_str(&row(setting));
    }
    page
}

fn row(setting: &Setting) -> String {
    let mut accepts = setting.accepts();
    if setting.secret && !accepts.starts_with("secret") {
        accepts.push_str(" (secret)");
    }
    let default = preset(setting.default);
    let mut hardened =
        if setting.hardened == setting.default { String::new() } else { preset(setting.hardened) };
    if let Some(rule) = setting.rule {
        hardened = if setting.hardened == setting.default || setting.hardened == Preset::Required {
            rule.to_owned()
        } else {
            format!("{hardened}; {rule}")
        };
    }
    let counts = setting.condition.map(|condition| format!(" Counts where {}.", condition.words));
    let doc = format!("{}{}", setting.doc, counts.unwrap_or_default());
    let cells = [&doc, &accepts, &default, &hardened].map(|cell| cell.replace('|', "\\|"));
    format!("| `{}` | {} |\n", setting.full_name(), cells.join(" | "))
}

fn preset(preset: Preset) -> String {
    match preset {
        Preset::Text(text) => format!("`{text}`"),
        Preset::Derived(words) => words.to_owned(),
        Preset::Unset => "none".to_owned(),
        Preset::Required => "must be set".to_owned(),
    }
}
