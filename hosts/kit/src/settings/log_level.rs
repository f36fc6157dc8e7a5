//! What is logged.

use super::SettingValue;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A filter for log lines in the notation of `tracing`: `info` or `info,saas_auth=debug`.
///
/// A bare word must be a level: the notation would take `wran` for a module's name and then log nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The directives, separated by commas, the levels in lower case.
    pub fn directives(&self) -> &str {
        &self.0
    }
}

impl SettingValue for LogLevel {
    const KIND: &'static str = "log filter";

    fn parse(text: &str) -> Result<Self, String> {
        let directives = text.split(',').map(|part| directive(part.trim())).collect::<Option<Vec<_>>>();
        directives
            .map(|directives| Self(directives.join(",")))
            .ok_or_else(|| "is not a list of levels and <module>=<level>".to_owned())
    }

    fn shown(&self) -> Option<String> {
        Some(self.0.clone())
    }
}

fn directive(part: &str) -> Option<String> {
    match part.split_once('=') {
        None => level(part).map(str::to_owned),
        Some((module, word)) => {
            let named = !module.is_empty()
                && module.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte));
            level(word).filter(|_| named).map(|level| format!("{module}={level}"))
        }
    }
}

/// The level of that word. Python's words are understood: deployments of the earlier system have them.
fn level(word: &str) -> Option<&'static str> {
    let word = match word.to_ascii_lowercase().as_str() {
        "warning" => "warn".to_owned(),
        "critical" | "fatal" => "error".to_owned(),
        word => word.to_owned(),
    };
    LEVELS.into_iter().find(|level| *level == word)
}

#[cfg(test)]
mod tests {
    use super::{LogLevel, SettingValue};

    #[test]
    fn a_filter_names_levels_and_a_misspelt_level_is_no_module() {
        for (text, directives) in [
            ("INFO", "info"),
            ("warning", "warn"),
            ("warn, saas_auth::token=DEBUG,sqlx=off", "warn,saas_auth::token=debug,sqlx=off"),
        ] {
            assert_eq!(
                LogLevel::parse(text).map(|level| level.directives().to_owned()),
                Ok(directives.to_owned())
            );
        }
        for text in ["wran", "info,", "=info", "a b=info", "saas_auth=loud"] {
            assert!(LogLevel::parse(text).is_err(), "{text}");
        }
    }
}
