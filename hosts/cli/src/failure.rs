//! What went wrong, and the exit code that says so: the one place where errors become exit codes.

use std::{borrow::Cow, error::Error, process::ExitCode};

use saas_core::{ErrorKind, Fault, FieldError};
use saas_http::program::{self, ProgramError};
use saas_kit::{BuildError, MigrateError, OpenError, settings::SettingsErrors};

use crate::text::spans;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It could not.
    Failed = 1,
    /// It was asked wrongly: arguments, settings, input.
    Usage = 2,
    /// Somebody has to do something first.
    ActionRequired = 3,
    /// Whoever asks may not.
    NotAllowed = 4,
    /// Something that it needs is away.
    DependencyMissing = 5,
    /// It was stopped.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    code: Cow<'static, str>,
    /// What failed, then what caused it.
    texts: Vec<String>,
    fields: Vec<FieldError>,
    hint: Option<&'static str>,
}

const fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Invalid => Exit::Usage,
        ErrorKind::Unauthenticated | ErrorKind::Forbidden => Exit::NotAllowed,
        ErrorKind::Unavailable => Exit::DependencyMissing,
        _ => Exit::Failed,
    }
}

/// What a server answered, by its HTTP status.
const fn exit_of_status(status: u16) -> Exit {
    match status {
        400 | 413 | 415 | 422 => Exit::Usage,
        401 | 403 => Exit::NotAllowed,
        502..=504 => Exit::DependencyMissing,
        _ => Exit::Failed,
    }
}

/// Codes that ask for an action, whatever their kind.
fn exit_of_code(code: &str) -> Option<Exit> {
    matches!(
        code,
        "tenant_required" | "key_rotation_not_due" | "data_key_rotation_not_due" | "data_key_not_active"
    )
    .then_some(Exit::ActionRequired)
}

impl Failure {
    /// One in words.
    pub(crate) fn new(exit: Exit, code: impl Into<Cow<'static, str>>, text: impl Into<String>) -> Self {
        Self { exit, code: code.into(), texts: vec![text.into()], fields: Vec::new(), hint: None }
    }

    /// One that an error explains.
    pub(crate) fn caused(exit: Exit, code: &'static str, error: &(dyn Error + 'static)) -> Self {
        Self { texts: program::causes(error), ..Self::new(exit, code, "") }
    }

    /// One of a service's.
    #[expect(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
    pub(crate) fn fault(error: impl Fault) -> Self {
        let report = error.report();
        let exit = exit_of_code(report.code).unwrap_or(exit_of(report.kind));
        let fields = report.fields.to_vec();
        Self { fields, ..Self::caused(exit, report.code, &error) }
    }

    /// One that a server answered with.
    pub(crate) fn answered(status: u16, code: String, text: String) -> Self {
        let exit = exit_of_code(&code).unwrap_or(exit_of_status(status));
        Self::new(exit, code, text)
    }

    /// A server that did not answer.
    pub(crate) fn unreachable(error: &(dyn Error + 'static)) -> Self {
        let mut failure =
            Self::new(Exit::DependencyMissing, "server_unreachable", "the server does not answer");
        failure.texts.extend(program::causes(error));
        failure.with_hint("does it run, and is --server its address?")
    }

    /// The operator pressed Ctrl-C.
    pub(crate) fn interrupted() -> Self {
        Self::new(Exit::Interrupted, "interrupted", "interrupted")
    }

    /// Whoever read stdout has left, which is their right.
    pub(crate) fn unread() -> Self {
        Self { texts: Vec::new(), ..Self::new(Exit::Ok, "unread", "") }
    }

    /// Something that the operating system refused.
    pub(crate) fn io(what: impl Into<String>, error: &std::io::Error) -> Self {
        let mut failure = Self::new(Exit::Failed, "io", what);
        failure.texts.push(error.to_string());
        failure
    }

    /// With what to do about it.
    #[must_use]
    pub(crate) fn with_hint(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// With what to do about several tenants, if that is what it is about.
    #[must_use]
    pub(crate) fn with_hint_for_tenants(self) -> Self {
        if self.code == "tenant_required" { self.with_hint("name one of them: --tenant ID") } else { self }
    }

    /// With what to do about a database that is away, if that is what it is about.
    #[must_use]
    fn with_hint_for_database(self) -> Self {
        if self.code == "database_unreachable" {
            self.with_hint("does the database run, and is DATABASE_URL right?")
        } else {
            self
        }
    }

    /// With more to explain it.
    #[must_use]
    pub(crate) fn with_lines(mut self, lines: impl IntoIterator<Item = String>) -> Self {
        self.texts.extend(lines);
        self
    }

    pub(crate) const fn exit(&self) -> Exit {
        self.exit
    }

    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    pub(crate) fn texts(&self) -> &[String] {
        &self.texts
    }

    pub(crate) fn fields(&self) -> &[FieldError] {
        &self.fields
    }

    pub(crate) const fn hint(&self) -> Option<&'static str> {
        self.hint
    }
}

impl From<SettingsErrors> for Failure {
    fn from(errors: SettingsErrors) -> Self {
        let text = format!("the settings are not fit for {}", errors.profile());
        let problems = errors.problems().iter().map(|problem| {
            let origin = problem.origin.as_ref().map(|origin| format!(" ({origin})")).unwrap_or_default();
            let message = format!("{}{origin}; {}", problem.what, problem.fix);
            FieldError::new(problem.subject.clone(), "invalid_setting", message)
        });
        let warnings = errors.warnings().iter().map(|warning| {
            let message = format!("{} ({})", warning.why, warning.origin);
            FieldError::new(warning.name.clone(), "setting_without_effect", message)
        });
        Self {
            fields: problems.chain(warnings).collect(),
            ..Self::new(Exit::Usage, "invalid_settings", text)
        }
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self::caused(Exit::Usage, "invalid_settings", &error)
    }
}

impl From<MigrateError> for Failure {
    fn from(error: MigrateError) -> Self {
        let exit = match &error {
            MigrateError::Open(cause) => exit_of_open(cause),
            MigrateError::Migrate(cause) => exit_of_migrate(cause),
            _ => Exit::Failed,
        };
        Self::caused(exit, code_of(exit, "migration_failed"), &error).with_hint_for_database()
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::NotMigrated { pending } => {
                let text = format!("the database lacks the migrations {}", spans(pending));
                return Self::new(Exit::ActionRequired, "not_migrated", text).with_hint("run: saas migrate");
            }
            OpenError::Database(cause) => exit_of_open(cause),
            OpenError::Migrations(cause) => exit_of_migrate(cause),
            _ => Exit::Failed,
        };
        Self::caused(exit, code_of(exit, "not_opened"), &error).with_hint_for_database()
    }
}

impl From<ProgramError> for Failure {
    fn from(error: ProgramError) -> Self {
        match error {
            ProgramError::Build(error) => error.into(),
            ProgramError::Migrate(error) => error.into(),
            ProgramError::Open(error) => error.into(),
            other => Self::caused(Exit::Failed, "not_served", &other),
        }
    }
}

const fn code_of(exit: Exit, otherwise: &'static str) -> &'static str {
    match exit {
        Exit::DependencyMissing => "database_unreachable",
        Exit::Usage => "invalid_settings",
        Exit::ActionRequired => "other_release",
        _ => otherwise,
    }
}

fn exit_of_open(error: &saas_sql::OpenError) -> Exit {
    match error {
        saas_sql::OpenError::Url(_) => Exit::Usage,
        _ => Exit::DependencyMissing,
    }
}

fn exit_of_migrate(error: &saas_sql::MigrateError) -> Exit {
    match error {
        saas_sql::MigrateError::Failed { source, .. } | saas_sql::MigrateError::Store(source) => {
            exit_of(source.report().kind)
        }
        // Another release made this database: deploy that one.
        _ => Exit::ActionRequired,
    }
}
