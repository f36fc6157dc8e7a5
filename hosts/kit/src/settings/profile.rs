//! Where the program runs.

use std::fmt;

use super::SettingValue;

/// The kind of environment that the program runs in, from which defaults and demands follow.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Profile {
    /// A developer's machine (`development`, `dev`, `local`).
    #[default]
    Development,
    /// Automatic tests.
    Test,
    /// A rehearsal for production, as strict as it.
    Staging,
    /// Where real users are (`production`, `prod`).
    Production,
}

impl Profile {
    /// Whether weak settings are refused.
    pub const fn is_hardened(self) -> bool {
        matches!(self, Self::Staging | Self::Production)
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Development => "development",
            Self::Test => "test",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SettingValue for Profile {
    const KIND: &'static str = "choice";
    const CHOICES: &'static [&'static str] = &["development", "test", "staging", "production"];

    fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "development" | "dev" | "local" => Ok(Self::Development),
            "test" => Ok(Self::Test),
            "staging" => Ok(Self::Staging),
            "production" | "prod" => Ok(Self::Production),
            _ => {
                Err("is no known environment (the other settings were checked as for development)".to_owned())
            }
        }
    }

    fn shown(&self) -> Option<String> {
        Some(self.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Profile, SettingValue};

    #[test]
    fn an_environment_has_aliases_and_only_two_are_hardened() {
        for (text, profile, hardened) in [
            ("dev", Profile::Development, false),
            ("local", Profile::Development, false),
            ("Development", Profile::Development, false),
            ("test", Profile::Test, false),
            ("staging", Profile::Staging, true),
            ("prod", Profile::Production, true),
            ("PRODUCTION", Profile::Production, true),
        ] {
            assert_eq!(Profile::parse(text), Ok(profile), "{text}");
            assert_eq!(profile.is_hardened(), hardened, "{text}");
        }
        assert!(Profile::parse("prodction").is_err());
    }
}
