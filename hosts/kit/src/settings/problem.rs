//! What is wrong, and what to do about it.

use std::error::Error;
use std::fmt;

use super::{Origin, Profile, Setting, Settings};

/// One thing that keeps the settings from being used. It never holds a value.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SettingProblem {
    /// What it is about: a setting's name as it was found, or an env file and its line.
    pub subject: String,
    /// What is wrong; completes the sentence that the subject begins.
    pub what: String,
    /// What to do.
    pub fix: String,
    /// Where the value came from, if anybody set one.
    pub origin: Option<Origin>,
}

impl SettingProblem {
    pub(super) fn about(subject: String, what: String, fix: &str) -> Self {
        Self { subject, what, fix: fix.to_owned(), origin: None }
    }
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.subject)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        write!(f, " {}; {}", self.what, self.fix)
    }
}

/// Something that was set and has no effect.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct SettingWarning {
    /// The name as it was found.
    pub name: String,
    /// Where it was found.
    pub origin: Origin,
    /// Why it has no effect.
    pub why: NoEffect,
}

/// Why something that was set has no effect.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum NoEffect {
    /// No setting has that name.
    Unknown {
        /// The one that may have been meant.
        suggestion: Option<String>,
    },
    /// It counts elsewhere.
    Elsewhere(&'static str),
}

impl SettingWarning {
    pub(super) fn unknown(name: &str, origin: Origin) -> Self {
        let bare = name.strip_prefix(Setting::PREFIX).unwrap_or(name);
        let nearest = Settings::CATALOGUE
            .iter()
            .map(|setting| (distance(bare, setting.name), setting))
            .min_by_key(|near| near.0);
        let suggestion = nearest
            .filter(|(away, _)| *away <= 3 && away * 2 < bare.len())
            .map(|(_, setting)| setting.full_name());
        Self { name: name.to_owned(), origin, why: NoEffect::Unknown { suggestion } }
    }

    pub(super) fn elsewhere(name: String, origin: Origin, where_: &'static str) -> Self {
        Self { name, origin, why: NoEffect::Elsewhere(where_) }
    }
}

impl fmt::Display for SettingWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) {}", self.name, self.origin, self.why)
    }
}

/// Completes the sentence that the name begins.
impl fmt::Display for NoEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { suggestion: None } => f.write_str("is no setting and has no effect"),
            Self::Unknown { suggestion: Some(name) } => {
                write!(f, "is no setting and has no effect; did you mean {name}?")
            }
            Self::Elsewhere(words) => write!(f, "has no effect: it counts where {}", words.replace('`', "")),
        }
    }
}

/// Everything that is wrong with the settings, one line each.
#[derive(Clone, Debug)]
pub struct SettingsErrors {
    pub(super) profile: Profile,
    pub(super) problems: Vec<SettingProblem>,
    pub(super) warnings: Vec<SettingWarning>,
}

impl SettingsErrors {
    /// The environment that the settings were checked for.
    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// What must be put right.
    pub fn problems(&self) -> &[SettingProblem] {
        &self.problems
    }

    /// What has no effect, and may be the misspelling of what is missing.
    pub fn warnings(&self) -> &[SettingWarning] {
        &self.warnings
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the settings are not fit for {} (problems: {}):", self.profile, self.problems.len())?;
        for problem in &self.problems {
            write!(f, "\n- {problem}")?;
        }
        for warning in &self.warnings {
            write!(f, "\n- {warning}")?;
        }
        Ok(())
    }
}

impl Error for SettingsErrors {}

/// How many letters must be put in, taken out or changed to make one word of the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.bytes().enumerate() {
        let mut corner = row[0];
        row[0] = index + 1;
        for (at, right) in to.bytes().enumerate() {
            let changed = corner + usize::from(left != right);
            corner = row[at + 1];
            row[at + 1] = changed.min(row[at] + 1).min(corner + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::{NoEffect, Origin, SettingWarning, distance};

    #[test]
    fn the_nearest_name_is_suggested_and_a_far_one_is_not() {
        assert_eq!((distance("PROT", "PORT"), distance("", "AB"), distance("SAME", "SAME")), (2, 2, 0));
        let near = SettingWarning::unknown("SAAS_ROT_KEY", Origin::Environment);
        assert_eq!(
            near.to_string(),
            "SAAS_ROT_KEY (process environment) is no setting and has no effect; did you mean SAAS_ROOT_KEY?"
        );
        let far = SettingWarning::unknown("SAAS_WEATHER", Origin::Environment);
        assert_eq!(far.why, NoEffect::Unknown { suggestion: None });
    }
}
