//! From the layers to the record.

use super::catalogue::Draft;
use super::sources::{Found, Raw};
use super::{
    AllowedHosts, DatabaseEngine, DatabaseUrl, Origin, Preset, Profile, Setting, SettingProblem,
    SettingValue, SettingWarning, Settings, SettingsErrors, Sources, checks,
};

/// A setting of the draft: empty when it could not be read.
pub(super) type Slot<T> = Option<T>;

/// What a setting turned out to be, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Effective {
    /// The setting.
    pub setting: &'static Setting,
    /// Its value as people may see it: a secret is `[redacted]`, a password in a URL `***`. `None` when there is none.
    pub value: Option<String>,
    /// Where the value came from.
    pub origin: Origin,
}

impl Settings {
    /// Reads and checks every setting; the error names everything that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, SettingsErrors> {
        let mut loader = Loader::new(sources);
        let mut draft = Draft::load(&mut loader);
        derive(&mut draft, &loader);
        checks::check(&draft, &mut loader);
        let Loader { profile, origins, problems, .. } = loader;
        let errors = SettingsErrors { profile, problems, warnings: sources.unknown() };
        if !errors.problems.is_empty() {
            return Err(errors);
        }
        let plain = origins.iter().map(|(_, _, origin)| origin.clone()).collect();
        let mut settings = draft.complete(plain, errors.warnings.clone()).ok_or(errors)?;
        let idle = origins.into_iter().filter_map(|(setting, name, origin)| {
            let condition = setting.condition.filter(|it| origin.is_set() && !it.holds(&settings))?;
            Some(SettingWarning::elsewhere(name, origin, condition.words))
        });
        let idle: Vec<_> = idle.collect();
        settings.warnings.extend(idle);
        Ok(settings)
    }

    /// What was set and has no effect.
    pub fn warnings(&self) -> &[SettingWarning] {
        &self.warnings
    }

    /// Every setting with the value that it has now and where that came from, fit to be shown.
    pub fn effective(&self) -> impl Iterator<Item = Effective> {
        Self::CATALOGUE.iter().zip(&self.origins).map(|(setting, origin)| Effective {
            setting,
            value: (setting.show)(self),
            origin: origin.clone(),
        })
    }

    /// Whether a starting host migrates by itself, the answer to the field of that name: as set, else on SQLite and wherever the
    /// environment is not hardened.
    pub fn auto_run_migrations(&self) -> bool {
        let harmless =
            self.database_url.engine() == DatabaseEngine::Sqlite || !self.environment.is_hardened();
        self.auto_run_migrations.unwrap_or(harmless)
    }
}

/// Fills what follows from other settings and was not set.
fn derive(draft: &mut Draft, loader: &Loader<'_>) {
    if draft.issuer.is_none() && loader.may_derive("ISSUER") {
        draft.issuer.clone_from(&draft.app_public_url);
    }
    if draft.allowed_hosts.is_none() && loader.may_derive("ALLOWED_HOSTS") {
        let addresses = draft.app_public_url.iter().chain(&draft.issuer);
        draft.allowed_hosts = Some(AllowedHosts::of(addresses, !loader.profile().is_hardened()));
    }
    if draft.database_url.is_none() && loader.may_derive("DATABASE_URL") {
        draft.database_url =
            draft.data_dir.as_ref().map(|directory| DatabaseUrl::sqlite(&directory.join("saas.db")));
    }
    if draft.mail_folder.is_none() && loader.may_derive("MAIL_FOLDER") {
        draft.mail_folder = draft.data_dir.as_ref().map(|directory| directory.join("mail"));
    }
}

/// Takes the settings out of the layers one by one and remembers what it found.
pub(super) struct Loader<'a> {
    sources: &'a Sources,
    profile: Profile,
    /// Setting, the name under which it was found, where.
    origins: Vec<(&'static Setting, String, Origin)>,
    problems: Vec<SettingProblem>,
}

impl<'a> Loader<'a> {
    fn new(sources: &'a Sources) -> Self {
        let profile = match sources.find("ENVIRONMENT").map(|found| found.raw) {
            Some(Raw::Text(text)) => Profile::parse(text.expose().trim()).unwrap_or_default(),
            _ => Profile::default(),
        };
        Self { sources, profile, origins: Vec::new(), problems: sources.problems().to_vec() }
    }

    pub(super) const fn profile(&self) -> Profile {
        self.profile
    }

    /// The setting's value, or a problem more.
    pub(super) fn take<T: SettingValue>(&mut self, setting: &'static Setting) -> Slot<T> {
        let parsed = if let Some(Found { name, origin, raw }) = self.sources.find(setting.name) {
            self.origins.push((setting, name, origin.clone()));
            read(setting, raw).map(Some)
        } else {
            let origin = if setting.default == setting.hardened { Origin::Default } else { Origin::Profile };
            self.origins.push((setting, setting.full_name(), origin));
            match setting.preset(self.profile) {
                Preset::Text(text) => T::parse_within(text, setting.range.as_ref()).map(Some),
                Preset::Required => Err("is not set".to_owned()),
                Preset::Derived(_) | Preset::Unset => Ok(T::when_unset()),
            }
        };
        parsed.unwrap_or_else(|what| {
            self.problem(setting.name, &what, setting.fix);
            None
        })
    }

    /// Adds a problem to a setting; `what` completes the sentence that the setting's name begins.
    pub(super) fn problem(&mut self, name: &str, what: &str, fix: &str) {
        let found = self.origins.iter().find(|(setting, _, _)| setting.name == name);
        let subject = found.map_or_else(|| name.to_owned(), |(_, spelled, _)| spelled.clone());
        let origin = found.map(|(_, _, origin)| origin.clone()).filter(Origin::is_set);
        self.problems.push(SettingProblem { subject, what: what.to_owned(), fix: fix.to_owned(), origin });
    }

    /// Whether the setting was left to follow from others.
    fn may_derive(&self, name: &str) -> bool {
        self.origins.iter().any(|(setting, _, origin)| {
            setting.name == name
                && !origin.is_set()
                && matches!(setting.preset(self.profile), Preset::Derived(_))
        })
    }
}

fn read<T: SettingValue>(setting: &Setting, raw: &Raw) -> Result<T, String> {
    match raw {
        Raw::Text(text) => T::parse_within(text.expose().trim(), setting.range.as_ref()),
        Raw::NotUnicode => Err("is not text in UTF-8".to_owned()),
    }
}
