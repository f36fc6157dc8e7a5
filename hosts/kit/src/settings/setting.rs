//! What the catalogue says about one setting.

use std::ops::RangeInclusive;

use super::{Profile, Settings};

/// One setting: its name, what it accepts, what it is when nobody sets it, and why it exists.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Setting {
    /// The name without its prefix: `PORT` is read from `SAAS_PORT`.
    pub name: &'static str,
    /// What kind of value it takes, in words.
    pub kind: &'static str,
    /// The words it accepts, for a setting that is a choice; else empty.
    pub choices: &'static [&'static str],
    /// The part of the product that it belongs to.
    pub section: Section,
    /// Whether the value must not be seen.
    pub secret: bool,
    /// What holds in development and test when nobody sets it.
    pub default: Preset,
    /// What holds in staging and production when nobody sets it.
    pub hardened: Preset,
    /// The smallest and the largest number accepted, in the setting's unit.
    pub range: Option<RangeInclusive<u64>>,
    /// What else a hardened environment demands.
    pub rule: Option<&'static str>,
    /// Where it has an effect at all; everywhere without one.
    pub condition: Option<Condition>,
    /// What it does.
    pub doc: &'static str,
    /// What to do when it is missing or wrong.
    pub fix: &'static str,
    pub(super) check: fn(&str, Option<&RangeInclusive<u64>>) -> Result<(), String>,
    pub(super) show: fn(&Settings) -> Option<String>,
}

impl Setting {
    /// The setting of that name, with or without the prefix.
    pub fn named(name: &str) -> Option<&'static Self> {
        let bare = name.strip_prefix(Self::PREFIX).unwrap_or(name);
        Settings::CATALOGUE.iter().find(|setting| setting.name == bare)
    }

    /// What every full name begins with.
    pub const PREFIX: &'static str = "SAAS_";

    /// The name that every program reads: `SAAS_PORT`.
    pub fn full_name(&self) -> String {
        format!("{}{}", Self::PREFIX, self.name)
    }

    /// What holds in this profile when nobody sets it.
    pub const fn preset(&self, profile: Profile) -> Preset {
        if profile.is_hardened() { self.hardened } else { self.default }
    }

    /// Whether one value would do by itself; the error says what is wrong without repeating the value.
    pub fn check(&self, text: &str) -> Result<(), String> {
        (self.check)(text.trim(), self.range.as_ref())
    }

    /// What it accepts, in words: `whole number, 1 to 1000`.
    pub fn accepts(&self) -> String {
        match &self.range {
            _ if !self.choices.is_empty() => format!("one of {}", self.choices.join(", ")),
            Some(range) => format!("{}, {} to {}", self.kind, range.start(), range.end()),
            None => self.kind.to_owned(),
        }
    }
}

/// Where a setting has an effect.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Condition {
    /// In words that complete "counts where".
    pub words: &'static str,
    pub(super) holds: fn(&Settings) -> bool,
}

impl Condition {
    /// Whether it has an effect with these settings.
    pub fn holds(&self, settings: &Settings) -> bool {
        (self.holds)(settings)
    }
}

/// What holds for a setting that nobody sets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Preset {
    /// This text, read like any other value.
    Text(&'static str),
    /// A value that follows from other settings, as these words say.
    Derived(&'static str),
    /// Nothing: the product does without.
    Unset,
    /// There is none: somebody must set it.
    Required,
}

/// A part of the product, as the documentation divides it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Section {
    /// What and where the program is.
    Application,
    /// The HTTP server.
    Server,
    /// Who stands between the server and its clients, and which pages may call it.
    Network,
    /// The database and how long to wait for it.
    Database,
    /// Keys that protect what is stored.
    Secrets,
    /// Access tokens and the keys that verify them.
    Tokens,
    /// How long a login lasts.
    Sessions,
    /// Where sessions are opened, and who says so.
    Places,
    /// Who has to have a second factor, and when it is asked for again.
    SecondFactors,
    /// What a password must be and how it is hashed.
    Passwords,
    /// How often one may guess, and what locks.
    Lockout,
    /// Who may register.
    Signup,
    /// Proving addresses and setting passwords anew.
    Recovery,
    /// Agents and the models that they ask.
    Agents,
    /// Work that commands leave behind.
    Jobs,
    /// How long rows live.
    Retention,
    /// How mails leave, and whom they are from.
    Mail,
    /// What the program tells its operator.
    Logging,
    /// What it counts and measures, and who may read that.
    Metrics,
}

impl Section {
    /// The heading in the documentation.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Application => "Application",
            Self::Server => "Server",
            Self::Network => "Network",
            Self::Database => "Database",
            Self::Secrets => "Secrets",
            Self::Tokens => "Tokens",
            Self::Sessions => "Sessions",
            Self::Places => "Places",
            Self::SecondFactors => "Second factors",
            Self::Passwords => "Passwords",
            Self::Lockout => "Lockout",
            Self::Signup => "Signup",
            Self::Recovery => "Recovery",
            Self::Agents => "Agents",
            Self::Jobs => "Jobs",
            Self::Retention => "Retention",
            Self::Mail => "Mail",
            Self::Logging => "Logging",
            Self::Metrics => "Metrics",
        }
    }

    /// The crate that acts on the section's settings.
    pub const fn owner(self) -> &'static str {
        match self {
            Self::Application | Self::Secrets | Self::Jobs | Self::Retention => "saas-kit",
            Self::Server | Self::Network | Self::Logging | Self::Metrics => "saas-http",
            Self::Database => "saas-sql",
            Self::Tokens
            | Self::Sessions
            | Self::SecondFactors
            | Self::Passwords
            | Self::Lockout
            | Self::Recovery => "saas-auth",
            Self::Signup => "saas-tenancy",
            Self::Agents => "saas-agents",
            Self::Mail => "saas-mail",
            Self::Places => "saas-geo",
        }
    }
}
