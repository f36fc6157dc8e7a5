//! Every setting of the product, declared once.
//!
//! [`Settings`] is the typed record that the rest of the kit reads; [`Settings::CATALOGUE`] says of each of its fields what it is
//! called, what it accepts, what it is when nobody sets it, and what to do when it is wrong. Both come from one declaration, and so do
//! the loader, [`inventory`] and [`Settings::effective`].
//!
//! Every setting is called `SAAS_<NAME>`. A program whose environment is the product's own may accept the bare `<NAME>` as well
//! ([`Sources::accept_bare_names`]); where one layer holds both, the name with the prefix counts. Highest first, the layers are:
//! flags, the process environment, env files (the last one named wins), the default of the profile, the default. An empty value
//! counts as not set, and space around a value is dropped.
//!
//! There is no debug setting: nothing but the setting itself weakens a hardened environment, and there only as far as it may.
//!
//! ```
//! use saas_kit::settings::{Settings, Sources};
//!
//! let settings = Settings::load(&Sources::empty().with_environment([("SAAS_PORT", "9000")]))?;
//! assert_eq!(settings.port, 9000);
//! assert_eq!(settings.database_url.shown(), "sqlite:var/saas.db");
//!
//! let refused = Settings::load(&Sources::empty().with_environment([("SAAS_ENVIRONMENT", "production")]));
//! assert!(refused.is_err_and(|errors| errors.problems().len() > 2));
//! # Ok::<(), saas_kit::settings::SettingsErrors>(())
//! ```

#[macro_use]
mod declare;

mod catalogue;
mod checks;
mod choice;
mod database_url;
mod env_file;
mod hosts;
mod inventory;
mod load;
mod log_level;
mod mail;
mod origins;
mod problem;
mod profile;
mod proxies;
mod public_url;
mod root_key;
mod setting;
mod sources;
mod time;
mod value;

pub use catalogue::Settings;
pub use choice::{
    BreachedChoice, BreachedSignInChoice, ForwardedHeader, GeoChoice, LogFormat, MailTransport, SecondFactor,
    SignupAccessPolicy, SmtpEncryption, SqliteSynchronous, UnknownChoice,
};
pub use database_url::{DatabaseEngine, DatabaseUrl};
pub use hosts::{AllowedHosts, InvalidHost};
pub use inventory::inventory;
pub use load::Effective;
pub use log_level::LogLevel;
pub use origins::AllowedOrigins;
pub use problem::{NoEffect, SettingProblem, SettingWarning, SettingsErrors};
pub use profile::Profile;
pub use proxies::ProxyNetworks;
pub use public_url::PublicUrl;
pub use root_key::RootKey;
pub use setting::{Condition, Preset, Section, Setting};
pub use sources::{Origin, Sources};
pub use time::{Days, Minutes, Seconds};
pub use value::{SecretList, SettingValue, TextList};

#[cfg(test)]
mod tests;
