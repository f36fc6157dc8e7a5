//! `saas config`: the settings there are, what they are, and what is wrong with them.

use saas_kit::{
    Saas,
    settings::{Effective, Origin, Preset, Setting, SettingProblem, SettingWarning, Settings},
};
use serde::Serialize;

use crate::{
    arguments::Config,
    context::Context,
    failure::{Exit, Failure},
    output,
    text::{counted, lines, paragraph, table},
};

pub(crate) fn run(context: &Context, command: &Config) -> Result<(), Failure> {
    match command {
        Config::Schema => schema(context),
        Config::Show => show(context),
        Config::Check => check(context),
    }
}

#[derive(Serialize)]
struct Schema {
    settings: Vec<Described>,
}

#[derive(Serialize)]
struct Described {
    name: String,
    section: &'static str,
    owner: &'static str,
    kind: &'static str,
    accepts: String,
    choices: &'static [&'static str],
    minimum: Option<u64>,
    maximum: Option<u64>,
    secret: bool,
    default: PresetView,
    hardened: PresetView,
    rule: Option<&'static str>,
    condition: Option<&'static str>,
    description: &'static str,
    fix: &'static str,
}

/// What holds when nobody sets it: `value` as it would be written, or `derived` in words; neither when it is unset.
#[derive(Serialize, PartialEq, Eq)]
struct PresetView {
    required: bool,
    value: Option<&'static str>,
    derived: Option<&'static str>,
}

impl From<Preset> for PresetView {
    fn from(preset: Preset) -> Self {
        let none = Self { required: false, value: None, derived: None };
        match preset {
            Preset::Text(text) => Self { value: Some(text), ..none },
            Preset::Derived(words) => Self { derived: Some(words), ..none },
            Preset::Required => Self { required: true, ..none },
            _ => none,
        }
    }
}

impl PresetView {
    fn words(&self) -> String {
        match (self.required, self.value, self.derived) {
            (true, _, _) => "must be set".to_owned(),
            (_, Some(value), _) => value.to_owned(),
            (_, _, Some(words)) => words.replace('`', ""),
            _ => "none".to_owned(),
        }
    }
}

impl From<&'static Setting> for Described {
    fn from(setting: &'static Setting) -> Self {
        Self {
            name: setting.full_name(),
            section: setting.section.title(),
            owner: setting.section.owner(),
            kind: setting.kind,
            accepts: setting.accepts(),
            choices: setting.choices,
            minimum: setting.range.as_ref().map(|range| *range.start()),
            maximum: setting.range.as_ref().map(|range| *range.end()),
            secret: setting.secret,
            default: setting.default.into(),
            hardened: setting.hardened.into(),
            rule: setting.rule,
            condition: setting.condition.map(|condition| condition.words),
            description: setting.doc,
            fix: setting.fix,
        }
    }
}

impl Described {
    /// What it accepts, and what it is when nobody sets it.
    fn facts(&self) -> String {
        let mut facts = format!("Accepts {}. Default: {}.", self.accepts, self.default.words());
        let hardened = (self.hardened != self.default).then(|| self.hardened.words());
        // A rule says more than that it must be set.
        let hardened = hardened.filter(|_| !self.hardened.required || self.rule.is_none());
        let rule = self.rule.map(|rule| rule.replace('`', ""));
        let strict: Vec<String> = hardened.into_iter().chain(rule).collect();
        if !strict.is_empty() {
            facts += " In staging and production: ";
            facts += &strict.join("; ");
            facts.push('.');
        }
        if let Some(condition) = self.condition {
            facts += " Counts where ";
            facts += &condition.replace('`', "");
            facts.push('.');
        }
        facts
    }
}

fn schema(context: &Context) -> Result<(), Failure> {
    let schema = Schema { settings: Settings::CATALOGUE.iter().map(Described::from).collect() };
    context.out().data(&schema, |schema| page(&schema.settings))
}

/// Section by section, setting by setting.
fn page(settings: &[Described]) -> String {
    let width = Context::width();
    let mut page = String::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            if !section.is_empty() {
                page.push('\n');
            }
            section = setting.section;
            page += &lines([section]);
        }
        let secret = if setting.secret { " (secret)" } else { "" };
        page += &lines(["", &format!("  {}{secret}", setting.name)]);
        page += &paragraph(&setting.description.replace('`', ""), 4, width);
        page += &paragraph(&setting.facts(), 4, width);
    }
    page
}

#[derive(Serialize)]
struct Shown {
    environment: &'static str,
    settings: Vec<InForce>,
}

#[derive(Serialize)]
struct InForce {
    name: String,
    value: Option<String>,
    origin: String,
    secret: bool,
}

impl From<Effective> for InForce {
    fn from(effective: Effective) -> Self {
        Self {
            name: effective.setting.full_name(),
            value: effective.value,
            origin: effective.origin.to_string(),
            secret: effective.setting.secret,
        }
    }
}

fn show(context: &Context) -> Result<(), Failure> {
    let settings = context.settings()?;
    let shown = Shown {
        environment: settings.environment.as_str(),
        settings: settings.effective().map(InForce::from).collect(),
    };
    context.out().data(&shown, |shown| {
        let row = |it: &InForce| {
            let value = it.value.clone().unwrap_or_else(|| "-".to_owned());
            // With the second word, lines would be longer than the terminal.
            [it.name.clone(), value, it.origin.replace("profile default", "profile")]
        };
        table(["SETTING", "VALUE", "ORIGIN"], &shown.settings.iter().map(row).collect::<Vec<_>>())
    })
}

#[derive(Serialize)]
struct Checked {
    environment: &'static str,
    ok: bool,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

#[derive(Serialize)]
struct Problem {
    /// The setting, or the file and its line; `null` where several do not fit each other.
    subject: Option<String>,
    message: String,
    fix: Option<String>,
    origin: Option<String>,
}

impl From<&SettingProblem> for Problem {
    fn from(problem: &SettingProblem) -> Self {
        Self {
            subject: Some(problem.subject.clone()),
            message: problem.to_string(),
            fix: Some(problem.fix.clone()),
            origin: problem.origin.as_ref().map(Origin::to_string),
        }
    }
}

fn check(context: &Context) -> Result<(), Failure> {
    let checked = judged(context)?;
    context.out().data(&checked, |checked| {
        lines(checked.problems.iter().map(|problem| &problem.message).chain(&checked.warnings))
    })?;
    let (environment, count) = (checked.environment, checked.problems.len());
    if count == 0 {
        output::say(&format!("the settings are fit for {environment}"));
        return Ok(());
    }
    let text = format!("the settings are not fit for {environment}: {}", counted(count, "problem"));
    Err(Failure::new(Exit::Failed, "settings_not_fit", text))
}

/// Each setting by itself and with the others, and what would be opened with them; nothing is opened.
fn judged(context: &Context) -> Result<Checked, Failure> {
    let words = |warnings: &[SettingWarning]| warnings.iter().map(ToString::to_string).collect();
    let settings = match context.load()? {
        Ok(settings) => settings,
        Err(errors) => {
            return Ok(Checked {
                environment: errors.profile().as_str(),
                ok: false,
                problems: errors.problems().iter().map(Problem::from).collect(),
                warnings: words(errors.warnings()),
            });
        }
    };
    let (environment, warnings) = (settings.environment.as_str(), words(settings.warnings()));
    let whole = |message| Problem { subject: None, message, fix: None, origin: None };
    let problems: Vec<Problem> = match Saas::builder(settings).build() {
        Ok(_) => Vec::new(),
        Err(error) => error.problems.into_iter().map(whole).collect(),
    };
    Ok(Checked { environment, ok: problems.is_empty(), problems, warnings })
}
