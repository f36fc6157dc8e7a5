//! Where values come from, and which of them counts.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use saas_core::Secret;

use super::{Setting, SettingProblem, SettingWarning, env_file};

/// Where a value came from, highest precedence first.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Origin {
    /// A flag on the command line, or the program's own code.
    Flag,
    /// The process environment.
    Environment,
    /// An env file.
    EnvFile(PathBuf),
    /// The default of the profile.
    Profile,
    /// The default, or another setting that it follows.
    Default,
}

impl Origin {
    /// Whether somebody set it.
    pub const fn is_set(&self) -> bool {
        !matches!(self, Self::Profile | Self::Default)
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Flag => 0,
            Self::Environment => 1,
            Self::EnvFile(_) => 2,
            Self::Profile => 3,
            Self::Default => 4,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("flag"),
            Self::Environment => f.write_str("process environment"),
            Self::EnvFile(path) => write!(f, "env file {}", path.display()),
            Self::Profile => f.write_str("profile default"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// The layers that settings are read from.
///
/// Whatever the order of the calls, a flag goes before the process environment and that before env files. What is wrong with an env
/// file is kept and reported by [`Settings::load`](super::Settings::load) with everything else.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    layers: Vec<Layer>,
    bare_names: bool,
    problems: Vec<SettingProblem>,
}

impl Sources {
    /// No layer: every setting has its default.
    pub fn empty() -> Self {
        Self::default()
    }

    /// The environment of this process. The one place in the kit that reads it.
    ///
    /// Of all variables only those are kept that could be settings.
    pub fn from_process_env() -> Self {
        Self::from_os_variables(std::env::vars_os())
    }

    pub(super) fn from_os_variables(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Self {
        let ours = |name: &str| name.starts_with(Setting::PREFIX) || Setting::named(name).is_some();
        let values = variables.into_iter().filter_map(|(name, value)| {
            let name = name.into_string().ok().filter(|name| ours(name))?;
            Some((name, value.into_string().map_or(Raw::NotUnicode, |text| Raw::Text(Secret::new(text)))))
        });
        Self::empty().with_layer(Origin::Environment, values.collect())
    }

    /// Whether the bare `<NAME>` is accepted beside `SAAS_<NAME>`: for hosts, whose environment is the product's own.
    #[must_use]
    pub const fn accept_bare_names(mut self, accept: bool) -> Self {
        self.bare_names = accept;
        self
    }

    /// Adds values that the command line or the program's own code gives; their names need no prefix.
    #[must_use]
    pub fn with_flags<N: Into<String>, V: Into<String>>(
        self,
        flags: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.with_layer(Origin::Flag, texts(flags))
    }

    /// Adds values as if the process environment held them.
    #[must_use]
    pub fn with_environment<N: Into<String>, V: Into<String>>(
        self,
        variables: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        self.with_layer(Origin::Environment, texts(variables))
    }

    /// Adds the env file at that path, which must exist; it goes before the ones added earlier.
    #[must_use]
    pub fn with_env_file(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        match fs::read_to_string(path) {
            Ok(text) => self.with_env_text(path, &Secret::new(text)),
            Err(error) => {
                let subject = format!("env file {}", path.display());
                let what = format!("cannot be read: {error}");
                self.problems.push(SettingProblem::about(
                    subject,
                    what,
                    "name a text file that the program may read",
                ));
                self
            }
        }
    }

    /// Adds the env file at that path if there is one.
    #[must_use]
    pub fn with_env_file_if_present(self, path: impl AsRef<Path>) -> Self {
        match fs::metadata(path.as_ref()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => self,
            _ => self.with_env_file(path),
        }
    }

    /// Adds the text of an env file under the name that messages give it.
    #[must_use]
    pub fn with_env_text(mut self, path: impl Into<PathBuf>, text: &Secret<String>) -> Self {
        let path = path.into();
        let (values, errors) = env_file::parse(text.expose());
        self.problems.extend(errors.into_iter().map(|error| {
            let subject = format!("env file {}, line {}", path.display(), error.line);
            SettingProblem::about(
                subject,
                error.what.to_owned(),
                "write NAME=value, NAME='value' or NAME=\"value\"",
            )
        }));
        self.with_layer(Origin::EnvFile(path), texts(values))
    }

    pub(super) fn problems(&self) -> &[SettingProblem] {
        &self.problems
    }

    /// The value that counts for the setting of that name.
    pub(super) fn find(&self, name: &str) -> Option<Found<'_>> {
        self.layers.iter().find_map(|layer| layer.find(name, self.bare_names))
    }

    /// Names that look like settings and are none.
    pub(super) fn unknown(&self) -> Vec<SettingWarning> {
        let names = self.layers.iter().flat_map(|layer| layer.values.iter().map(move |value| (layer, value)));
        names
            .filter(|(layer, (name, raw))| {
                let claimed = name.starts_with(Setting::PREFIX) || layer.origin == Origin::Flag;
                claimed && raw.is_set() && Setting::named(name).is_none()
            })
            .map(|(layer, (name, _))| SettingWarning::unknown(name, layer.origin.clone()))
            .collect()
    }

    /// Puts the layer behind those above it and before its equals, so that the later of two env files wins.
    fn with_layer(mut self, origin: Origin, values: BTreeMap<String, Raw>) -> Self {
        let at = self.layers.partition_point(|layer| layer.origin.rank() < origin.rank());
        self.layers.insert(at, Layer { origin, values });
        self
    }
}

/// A value that somebody set: under which name, where, and what.
pub(super) struct Found<'a> {
    pub(super) name: String,
    pub(super) origin: &'a Origin,
    pub(super) raw: &'a Raw,
}

#[derive(Clone, Debug)]
pub(super) enum Raw {
    Text(Secret<String>),
    NotUnicode,
}

impl Raw {
    fn is_set(&self) -> bool {
        match self {
            Self::Text(text) => !text.expose().trim().is_empty(),
            Self::NotUnicode => true,
        }
    }
}

#[derive(Clone, Debug)]
struct Layer {
    origin: Origin,
    values: BTreeMap<String, Raw>,
}

impl Layer {
    fn find(&self, name: &str, bare_names: bool) -> Option<Found<'_>> {
        let full = format!("{}{name}", Setting::PREFIX);
        let bare = (bare_names || self.origin == Origin::Flag).then(|| name.to_owned());
        [Some(full), bare].into_iter().flatten().find_map(|name| {
            let raw = self.values.get(&name).filter(|raw| raw.is_set())?;
            Some(Found { name, origin: &self.origin, raw })
        })
    }
}

fn texts<N: Into<String>, V: Into<String>>(
    values: impl IntoIterator<Item = (N, V)>,
) -> BTreeMap<String, Raw> {
    values.into_iter().map(|(name, value)| (name.into(), Raw::Text(Secret::new(value.into())))).collect()
}
